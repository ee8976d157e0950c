//! Reading the table `gateway` of the configuration.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::{Denied, Envoy, ForwardAuth, Gateway, PeerFrom};
use crate::config::{ProblemKind, Section};
use crate::mapping::{Tells, mapping};

/// Reads the table; notes all mistakes in it.
pub fn gateway(mut section: Section<'_>) -> Gateway {
    let peer = peer(&mut section);
    let envoy = section.has("envoy");
    let tells = Tells {
        claims: envoy,
        peer: envoy || peer == PeerFrom::Header,
        peer_parts: peer == PeerFrom::Header,
    };
    let mapping = mapping(&mut section, tells);
    let denied = denied(section.section("denied"));
    let settings = envoy_settings(section.section("envoy"));
    let forward_auth = forward_auth(&mut section);
    if !envoy && forward_auth.is_empty() && !section.has("forward_auth") {
        let help =
            "say `[gateway.envoy]` to answer Envoy, `[[gateway.forward_auth]]` to answer others";
        section.complain_if_absent("envoy", ProblemKind::Missing { help });
    }
    section.finish();
    Gateway {
        mapping,
        peer,
        denied,
        envoy: envoy.then_some(settings),
        forward_auth,
    }
}

fn invalid(
    section: &mut Section<'_>,
    key: &str,
    value: impl ToString,
    what: &'static str,
    help: &'static str,
) {
    let value = value.to_string();
    section.complain(key, ProblemKind::Invalid { value, what, help });
}

fn peer(section: &mut Section<'_>) -> PeerFrom {
    match section.take::<String>("peer").as_deref() {
        None | Some("envoy") => PeerFrom::Envoy,
        Some("x-forwarded-client-cert") => PeerFrom::Header,
        Some(other) => {
            let help = "write `envoy` or `x-forwarded-client-cert`";
            invalid(section, "peer", other, "does not tell of peers", help);
            PeerFrom::Envoy
        }
    }
}

fn denied(mut section: Section<'_>) -> Denied {
    let denied = Denied {
        status: status(&mut section, "status", StatusCode::FORBIDDEN),
        unauthenticated: status(&mut section, "unauthenticated", StatusCode::UNAUTHORIZED),
        body: section.take("body").unwrap_or_default(),
        headers: headers(&mut section),
        reasons: section.take("reasons").unwrap_or(false),
    };
    section.finish();
    denied
}

/// A status that denies, and that Envoy knows.
fn status(section: &mut Section<'_>, key: &'static str, default: StatusCode) -> StatusCode {
    let Some(number) = section.take::<u16>(key) else {
        return default;
    };
    let known = envoy_types::pb::envoy::r#type::v3::StatusCode::try_from(i32::from(number)).is_ok();
    match StatusCode::from_u16(number) {
        Ok(status) if known && status.is_client_error() => status,
        _ => {
            let help = "write 403, or another status between 400 and 499 that Envoy knows";
            invalid(section, key, number, "does not deny", help);
            default
        }
    }
}

fn headers(section: &mut Section<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let written = section
        .take::<BTreeMap<String, String>>("headers")
        .unwrap_or_default();
    let framing = [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::HOST,
    ];
    let mut headers = Vec::new();
    for (name, value) in written {
        match (HeaderName::try_from(&name), HeaderValue::try_from(&value)) {
            (Ok(name), Ok(value)) if !framing.contains(&name) => headers.push((name, value)),
            _ => {
                let help = "write headers such as `WWW-Authenticate = \"Bearer\"`";
                invalid(
                    section,
                    "headers",
                    name,
                    "cannot be sent with a denial",
                    help,
                );
            }
        }
    }
    headers
}

fn envoy_settings(mut section: Section<'_>) -> Envoy {
    let settings = Envoy {
        jwt_payload: section
            .take("jwt_payload")
            .unwrap_or_else(|| "jwt_payload".to_owned()),
        metadata: section.take("metadata").unwrap_or(true),
    };
    section.finish();
    settings
}

/// The name of a header.
struct Name(HeaderName);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        HeaderName::try_from(&name).map(Self).map_err(|_| {
            serde::de::Error::custom(format!("`{}` is not a header's name", name.escape_debug()))
        })
    }
}

fn forward_auth(section: &mut Section<'_>) -> Vec<ForwardAuth> {
    let mut all = Vec::new();
    let mut paths = BTreeSet::new();
    for (i, table) in section.tables("forward_auth").into_iter().enumerate() {
        let mut one = section.child(format!("forward_auth[{i}]"), table);
        let mut name = |key, default| match one.take::<Name>(key) {
            Some(Name(name)) => name,
            None => HeaderName::from_static(default),
        };
        let (uri, method) = (
            name("uri", "x-forwarded-uri"),
            name("method", "x-forwarded-method"),
        );
        let host = name("host", "x-forwarded-host");
        let path = one
            .take("path")
            .unwrap_or_else(|| "/forward-auth".to_owned());
        // What is below is free for whoever configures it, and can collide with nothing.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/' | b'.');
        let below = path.strip_prefix("/forward-auth");
        let good = below.is_some_and(|rest| {
            rest.bytes().all(plain) && (rest.is_empty() || rest.starts_with('/'))
        });
        let help = "write `/forward-auth` or a path below it, and each once";
        match good && paths.insert(path.clone()) {
            true => all.push(ForwardAuth {
                path,
                uri,
                method,
                host,
            }),
            false => invalid(
                &mut one,
                "path",
                path,
                "cannot be the path of an endpoint",
                help,
            ),
        }
        one.finish();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_text;

    fn read(text: &str) -> (Gateway, Vec<String>) {
        read_text(text, gateway)
    }

    const ROUTE: &str = r#"
        [[route]]
        path = "/"
        principal = { type = "User", id = "{peer.dns}" }
        action = { id = "read" }
        resource = { type = "Page", id = "start" }
    "#;

    #[test]
    fn what_is_not_said_is_as_usual() {
        let text = "peer = \"x-forwarded-client-cert\"\nenvoy = {}\nforward_auth = [{}]\n";
        let (gateway, problems) = read(&format!("{text}{ROUTE}"));
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(gateway.denied.status, StatusCode::FORBIDDEN);
        assert_eq!(gateway.denied.unauthenticated, StatusCode::UNAUTHORIZED);
        assert!(!gateway.denied.reasons);
        let endpoint = &gateway.forward_auth[0];
        assert_eq!(endpoint.path, "/forward-auth");
        assert_eq!(endpoint.uri, "x-forwarded-uri");
        assert!(gateway.envoy.is_some_and(|envoy| envoy.metadata));
    }

    #[test]
    fn all_mistakes_are_told() {
        let (_, problems) = read(&format!(
            r#"
            peer = "somebody"
            denied = {{ status = 200, unauthenticated = 499, headers = {{ "a b" = "x", Content-Length = "1" }} }}
            envoy = {{ jwt = "x" }}
            forward_auth = [{{ uri = "x y" }}, {{}}, {{ path = "/v1/is_authorized" }}, {{ path = "/forward-auth/{{x}}" }}]
            {ROUTE}"#
        ));
        let expected = [
            "peer: `somebody` does not tell",
            "route[0].principal.id: `{peer.dns}` is in the header",
            "denied.status: `200` does not deny",
            "denied.unauthenticated: `499` does not deny",
            "denied.headers: `Content-Length` cannot be sent",
            "denied.headers: `a b` cannot be sent",
            "envoy.jwt: there is no such key",
            "forward_auth[0].uri: `x y` is not a header's name",
            "forward_auth[1].path: `/forward-auth` cannot be",
            "forward_auth[2].path: `/v1/is_authorized` cannot be",
            "forward_auth[3].path: `/forward-auth/{x}` cannot be",
        ];
        let lines = problems.join("\n");
        for start in expected {
            assert!(
                problems.iter().any(|p| p.starts_with(start)),
                "{start}\n{lines}"
            );
        }
        assert_eq!(problems.len(), expected.len(), "{lines}");
    }

    /// What nobody tells of would deny everything.
    #[test]
    fn somebody_is_answered_and_tells_what_is_needed() {
        let header = ROUTE.replace("peer.dns", "header.x-user");
        let (_, problems) = read(&header);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("envoy: is missing"), "{problems:?}");
        for (source, problem) in [
            ("jwt.sub", "of claims Envoy alone"),
            ("peer", "of the client's"),
        ] {
            let route = ROUTE.replace("peer.dns", source);
            let (_, problems) = read(&format!("forward_auth = [{{}}]\n{route}"));
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(problem), "{problems:?}");
        }
    }
}
