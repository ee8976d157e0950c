//! Bearer tokens: who may ask for decisions, and who may administer.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use crate::config::Section;

/// The files of tokens.
#[derive(Clone, Debug, Default)]
pub struct TokenFiles {
    /// Tokens for decisions and searches; without them everybody may ask who can connect.
    pub api: Option<PathBuf>,
    /// Tokens for the admin API; without them there is none.
    pub admin: Option<PathBuf>,
}

/// Tokens, of which a request must bring one.
#[derive(Clone)]
pub struct Tokens(Vec<String>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

/// The shortest token: what is shorter can be guessed.
const SHORTEST: usize = 16;

/// Why a file of tokens is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// There is none in it.
    #[error("{}: there is no token; write one a line", path.display())]
    None {
        /// The file.
        path: PathBuf,
    },
    /// One is too short, or is not text that a header can hold.
    #[error(
        "{}: line {line}: a token has at least {SHORTEST} characters, all of them ASCII and visible",
        path.display()
    )]
    Token {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

impl TokenFiles {
    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let folder = section.origin().folder().to_owned();
        let mut path = |key| {
            let path = section.take::<PathBuf>(key);
            path.map(|path| folder.join(path))
        };
        let files = Self {
            api: path("api"),
            admin: path("admin"),
        };
        section.finish();
        files
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.api.is_none() && self.admin.is_none()
    }
}

impl Tokens {
    /// Reads tokens, one a line. Empty lines and lines that begin with `#` do not count.
    ///
    /// # Errors
    /// When there is none, or one that will not do.
    pub fn read(path: &Path) -> Result<Self, TokensError> {
        let text = std::fs::read_to_string(path).map_err(|cause| TokensError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        let mut tokens = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let token = line.trim();
            if token.is_empty() || token.starts_with('#') {
                continue;
            }
            if token.len() < SHORTEST || !token.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(TokensError::Token {
                    path: path.to_owned(),
                    line: i + 1,
                });
            }
            tokens.push(token.to_owned());
        }
        match tokens.is_empty() {
            true => Err(TokensError::None {
                path: path.to_owned(),
            }),
            false => Ok(Self(tokens)),
        }
    }

    /// Whether a request brings one of them, as `Authorization: Bearer TOKEN`.
    ///
    /// How long that takes tells nothing but how long the tokens are.
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        let header = headers.get(AUTHORIZATION).map_or(&[][..], |h| h.as_bytes());
        let Some((scheme, token)) = header.split_at_checked("bearer ".len()) else {
            return false;
        };
        let brought = scheme.eq_ignore_ascii_case(b"bearer ");
        // All are compared, whichever fits.
        let fits = self
            .0
            .iter()
            .fold(false, |fits, t| fits | same(t.as_bytes(), token));
        brought & fits
    }
}

/// Whether the two are the same, without an early end.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differ) == 0
}
