//! TLS, and who may connect.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::native::folder;
use crate::server::Sidecar;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A certificate of this authority and its key, in PEM.
fn certificate(authority: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file");
}

/// What `GET /healthz` is answered by, and the server's certificate.
fn ask(
    address: SocketAddr,
    roots: &Authority,
    client: Option<&(String, String)>,
) -> std::io::Result<(String, CertificateDer<'static>)> {
    let mut store = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(roots.pem().as_bytes()).expect("PEM");
    store.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(store);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(chain, key).expect("a client")
        }
    };
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let chain = stream.conn.peer_certificates().expect("certificates");
    Ok((answer, chain[0].clone().into_owned()))
}

#[test]
fn certificates_are_shown_asked_for_and_exchanged() {
    let (ours, theirs) = (authority(), authority());
    let more = "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\nclient_ca = \"clients.pem\"\n";
    let folder = folder("tls", "", more);
    let (cert, key) = certificate(&ours, "localhost");
    write(&folder, "cert.pem", &cert);
    write(&folder, "key.pem", &key);
    write(&folder, "clients.pem", &theirs.pem());
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |_| {});
    let client = certificate(&theirs, "client");
    let (answer, first) = ask(sidecar.address, &ours, Some(&client)).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    // Nobody without a certificate, or with one of somebody else.
    assert!(ask(sidecar.address, &ours, None).is_err());
    let stranger = certificate(&ours, "client");
    assert!(ask(sidecar.address, &ours, Some(&stranger)).is_err());
    // Who does not speak TLS gets no answer either.
    let mut plain = TcpStream::connect(sidecar.address).expect("a connection");
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    // A key that does not fit changes nothing.
    let (next_cert, next_key) = certificate(&ours, "localhost");
    write(&folder, "cert.pem", &next_cert);
    assert!(sidecar.state.read_credentials().is_err());
    let (_, same) = ask(sidecar.address, &ours, Some(&client)).expect("an answer");
    assert_eq!(same, first);
    write(&folder, "key.pem", &next_key);
    sidecar.state.read_credentials().expect("credentials");
    let (_, next) = ask(sidecar.address, &ours, Some(&client)).expect("an answer");
    assert_ne!(next, first);
}
