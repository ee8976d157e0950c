//! TLS for TCP listeners: certificate, key, and who may connect.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::config::{ProblemKind, Section};

/// The files of TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate and those between it and its authority, in PEM.
    pub cert: PathBuf,
    /// The certificate's key, in PEM.
    pub key: PathBuf,
    /// The authorities of clients; with them only clients with a certificate may connect.
    pub client_ca: Option<PathBuf>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of its kind.
    #[error("{}: {cause}; it should hold {what} in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        #[source]
        cause: pem::Error,
    },
    /// Certificate and key do not do.
    #[error("{}: {cause}; certificate and key must belong together", path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls says.
        #[source]
        cause: rustls::Error,
    },
    /// The authorities of clients do not do.
    #[error("{}: {cause}", path.display())]
    ClientCa {
        /// Their file.
        path: PathBuf,
        /// What rustls says.
        #[source]
        cause: VerifierBuilderError,
    },
    /// The library does not offer what it should.
    #[error("no TLS: {0}")]
    Library(#[source] rustls::Error),
}

impl Tls {
    pub(crate) fn read(mut section: Section<'_>) -> Option<Self> {
        let folder = section.origin().folder().to_owned();
        let mut path = |key| {
            let path = section.take::<PathBuf>(key);
            path.map(|path| folder.join(path))
        };
        let (cert, key, client_ca) = (path("cert"), path("key"), path("client_ca"));
        let tls = match (cert, key, client_ca) {
            (Some(cert), Some(key), client_ca) => Some(Self {
                cert,
                key,
                client_ca,
            }),
            (None, None, None) => None,
            (cert, key, _) => {
                let help = "TLS takes `cert` and `key`";
                for (name, there) in [("cert", cert.is_some()), ("key", key.is_some())] {
                    if !there {
                        section.complain_if_absent(name, ProblemKind::Missing { help });
                    }
                }
                None
            }
        };
        section.finish();
        tls
    }

    /// Reads the files.
    ///
    /// # Errors
    /// When they are not what they should be.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let client_ca = |cause| TlsError::ClientCa {
                    path: path.clone(),
                    cause,
                };
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    let added = roots.add(certificate);
                    added.map_err(|cause| TlsError::Certificate {
                        path: path.clone(),
                        cause,
                    })?;
                }
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().map_err(client_ca)?)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|cause| pem_error(&self.key, "a private key", cause))?;
        let mut config = builder
            .with_single_cert(certificates(&self.cert)?, key)
            .map_err(|cause| TlsError::Certificate {
                path: self.cert.clone(),
                cause,
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let what = "certificates";
    let all: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect());
    match all {
        Ok(all) if all.is_empty() => Err(pem_error(path, what, pem::Error::NoItemsFound)),
        Ok(all) => Ok(all),
        Err(cause) => Err(pem_error(path, what, cause)),
    }
}

fn pem_error(path: &Path, what: &'static str, cause: pem::Error) -> TlsError {
    TlsError::Pem {
        path: path.to_owned(),
        what,
        cause,
    }
}
