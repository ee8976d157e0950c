//! What the sidecar shows and asks for: certificate and tokens, as they were last read.

use std::sync::Arc;

use axum::http::HeaderMap;
use rustls::ServerConfig;

use crate::config::Config;
use crate::tls::TlsError;
use crate::tokens::{Tokens, TokensError};

/// Certificate and tokens. Until they are read, nobody gets in where they are needed.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// How TLS is spoken; `None` if it is not, or not yet.
    pub tls: Option<Arc<ServerConfig>>,
    /// Who may ask.
    pub api: Guard,
    /// Who may administer.
    pub admin: Guard,
}

/// Who may do something.
#[derive(Clone, Debug)]
pub enum Guard {
    /// Everybody who can connect.
    Everybody,
    /// Nobody.
    Nobody,
    /// Who brings a token.
    Tokens(Tokens),
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Certificate, key or authorities.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Tokens.
    #[error(transparent)]
    Tokens(#[from] TokensError),
}

impl Guard {
    /// Whether a request may do it.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Everybody => true,
            Self::Nobody => false,
            Self::Tokens(tokens) => tokens.admit(headers),
        }
    }
}

impl Credentials {
    /// What holds before the files are read.
    pub(crate) fn unread(config: &Config) -> Self {
        Self {
            tls: None,
            api: match config.tokens.api {
                None => Guard::Everybody,
                Some(_) => Guard::Nobody,
            },
            admin: Guard::Nobody,
        }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// When one of them is not what it should be.
    pub fn read(config: &Config) -> Result<Self, CredentialsError> {
        let mut credentials = Self::unread(config);
        if let Some(tls) = &config.tls {
            credentials.tls = Some(tls.server_config()?);
        }
        if let Some(path) = &config.tokens.api {
            credentials.api = Guard::Tokens(Tokens::read(path)?);
        }
        if let Some(path) = &config.tokens.admin {
            credentials.admin = Guard::Tokens(Tokens::read(path)?);
        }
        Ok(credentials)
    }
}
