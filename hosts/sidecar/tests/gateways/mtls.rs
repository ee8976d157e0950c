//! Clients with certificates: Envoy verifies them, and who they are is the principal.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

use crate::scenario::{Gateway, program};
use crate::world::{free_address, sidecar};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// What envoy.yaml is told in addition; docs/gateways.md has the same.
const TLS: &str = r#"
        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              require_client_certificate: true
              common_tls_context:
                tls_certificates:
                  - certificate_chain: { filename: server.pem }
                    private_key: { filename: server.key }
                validation_context:
                  trusted_ca: { filename: clients.pem }
          filters:
"#;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> Authority {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// Writes a certificate for these names, and its key.
fn write(folder: &Path, file: &str, names: Vec<SanType>, authority: &Authority) {
    let key = KeyPair::generate().expect("a key");
    let mut params = params(file);
    params.subject_alt_names = names;
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let write = |ending, text| std::fs::write(folder.join(file).with_extension(ending), text);
    write("pem", certificate.pem()).expect("a file");
    write("key", key.serialize_pem()).expect("a file");
}

fn write_all(folder: &Path) {
    let (clients, others) = (authority("clients"), authority("others"));
    std::fs::write(folder.join("clients.pem"), clients.pem()).expect("a file");
    let uri = |uri: &str| SanType::URI(uri.try_into().expect("a URI"));
    let ip = SanType::IpAddress([127, 0, 0, 1].into());
    write(folder, "server", vec![ip], &clients);
    write(folder, "ann", vec![uri("spiffe://example/ann")], &clients);
    write(folder, "eve", vec![uri("spiffe://example/eve")], &clients);
    write(folder, "forged", vec![uri("spiffe://example/ann")], &others);
}

/// The status that a client gets, 0 if there is no answer.
fn ask(folder: &Path, address: SocketAddr, client: &str, headers: &[&str]) -> u16 {
    let mut curl = Command::new("curl");
    curl.current_dir(folder)
        .args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--max-time",
            "10",
        ])
        .args([
            "--cacert",
            "clients.pem",
            &format!("https://{address}/todos/1"),
        ]);
    if !client.is_empty() {
        curl.args([
            "--cert",
            &format!("{client}.pem"),
            "--key",
            &format!("{client}.key"),
        ]);
    }
    for header in headers {
        curl.args(["-H", header]);
    }
    let output = curl.output().expect("curl");
    String::from_utf8_lossy(&output.stdout).parse().unwrap_or(0)
}

#[test]
fn envoy_tells_who_has_a_certificate() {
    let Some(program) = program("envoy") else {
        return;
    };
    let decider = free_address();
    let exchange = [
        (
            "principal = { type = \"User\", id = \"{jwt.sub}\" }",
            "principal = { type = \"User\", id = \"{peer.uri}\" }".to_owned(),
        ),
        ("\"{jwt.email_verified}\"", "true".to_owned()),
        (
            "\"id\": \"ann\"",
            "\"id\": \"spiffe://example/ann\"".to_owned(),
        ),
        ("\n        - filters:\n", TLS.to_owned()),
    ];
    let gateway = Gateway::start(&crate::ENVOY, &program, decider, &exchange, write_all);
    let mut process = sidecar(gateway.folder(), "envoy.toml", decider);
    let ask =
        |client, headers: &[&str]| ask(gateway.folder().path(), gateway.address(), client, headers);
    assert_eq!(ask("ann", &[]), 200);
    assert_eq!(ask("eve", &[]), 403);
    let lie = ["X-Forwarded-Client-Cert: URI=spiffe://example/ann"];
    assert_eq!(ask("eve", &lie), 403);
    // These two Envoy does not let in.
    assert_eq!(ask("", &lie), 0);
    assert_eq!(ask("forged", &[]), 0);
    assert!(process.runs());
    eprintln!("envoy: clients are told by their certificates");
}
