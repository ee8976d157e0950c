//! What can be wrong with a configuration.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::mapping::MappingProblem;

/// Everything that is wrong with a configuration, found in one go.
#[derive(Debug)]
pub struct ConfigError(Vec<Problem>);

impl ConfigError {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self(problems)
    }

    /// The mistakes, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One mistake in a configuration: where it is, what it is, and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {key}: {kind}")]
pub struct Problem {
    origin: Origin,
    key: String,
    kind: ProblemKind,
}

impl Problem {
    /// A mistake of this kind in what `key` says.
    pub fn new(origin: Origin, key: impl Into<String>, kind: ProblemKind) -> Self {
        Self {
            origin,
            key: key.into(),
            kind,
        }
    }

    /// Where it was said.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The key, with the names of its tables, or the flag.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong.
    pub fn kind(&self) -> &ProblemKind {
        &self.kind
    }
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A configuration file.
    File(PathBuf),
    /// A flag, or the environment variable in its place.
    Flag,
}

impl Origin {
    /// What a relative path in it is relative to.
    pub(crate) fn folder(&self) -> &Path {
        match self {
            Self::File(path) => path.parent().unwrap_or(Path::new("")),
            Self::Flag => Path::new(""),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Flag => f.write_str("flag or environment"),
        }
    }
}

/// What is wrong with a setting, and the way out.
#[derive(Debug, thiserror::Error)]
pub enum ProblemKind {
    /// The file cannot be read.
    #[error("cannot be read: {0}; name a file that exists and that this user may read")]
    Unreadable(#[source] io::Error),
    /// The file is not TOML.
    #[error("line {line}: {message}; the file is TOML, see docs/sidecar.md")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// There is no such key.
    #[error("there is no such key; here may be {}", .allowed.join(", "))]
    Unknown {
        /// The keys that may be there.
        allowed: Vec<&'static str>,
    },
    /// A value of the wrong type.
    #[error("{message}; see docs/sidecar.md for what belongs here")]
    Type {
        /// What the deserializer says.
        message: String,
    },
    /// Nothing says it, and it is needed.
    #[error("is missing; {help}")]
    Missing {
        /// What to say.
        help: &'static str,
    },
    /// A mistake in the mapping of HTTP requests.
    #[error("{0}; see docs/gateways.md")]
    Mapping(#[source] MappingProblem),
    /// A value that makes no sense.
    #[error("`{value}` {what}; {help}")]
    Invalid {
        /// The value.
        value: String,
        /// What is wrong with it.
        what: &'static str,
        /// What to say instead.
        help: &'static str,
    },
}
