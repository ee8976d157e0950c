//! Requests in Cedar's words, and mistakes in mappings.

use std::borrow::Cow;
use std::collections::HashMap;

use super::source::{Found, PeerPart, Told};
use super::*;
use crate::config::read_text;

/// A request as a test writes it.
#[derive(Default)]
struct Telling {
    headers: Vec<(&'static str, &'static str)>,
    claims: HashMap<&'static str, Found<'static>>,
    peer: Option<&'static str>,
}

impl Told for Telling {
    fn header(&self, name: &str) -> Vec<Cow<'_, str>> {
        let named = self.headers.iter().filter(|(key, _)| *key == name);
        named.map(|(_, value)| Cow::Borrowed(*value)).collect()
    }

    fn claim(&self, path: &[String]) -> Option<Found<'_>> {
        self.claims.get(path.join(".").as_str()).cloned()
    }

    fn peer(&self, part: PeerPart) -> Option<Cow<'_, str>> {
        (part == PeerPart::Identity).then_some(self.peer?.into())
    }
}

/// What Envoy tells.
const TELLS: Tells = Tells {
    claims: true,
    peer: true,
    peer_parts: false,
};

/// A mapping, and what is wrong with it.
fn read(text: &str) -> (Mapping, Vec<String>) {
    read_text(text, |mut section| {
        let mapping = mapping(&mut section, TELLS);
        section.finish();
        mapping
    })
}

const MAPPING: &str = r#"
    principal = { type = "User", id = "{header.x-user}" }

    [[route]]
    method = ["GET", "HEAD"]
    path = "/todos/{id}"
    action = { id = "read" }
    resource = { type = "Todo", id = "{path.id}" }
    [route.context]
    page = { long = "{query.page}", optional = true }
    tags = { set = "{query.tag}", optional = true }
    roles = { set = "{header.x-roles}", optional = true }
    level = { long = 3 }
    internal = { bool = false }
    zones = { set = ["b", "a", "b"] }
    from = { string = "{host}:{method}" }

    [[route]]
    method = "GET"
    path = "/todos/special"
    action = { id = "never" }
    resource = { type = "Todo", id = "special" }

    [[route]]
    host = "api.example"
    path = "/files/{owner}/{path...}"
    principal = { type = "App::Account", id = "{jwt.sub}" }
    action = { type = "App::Action", id = "{method}" }
    resource = { type = "App::File", id = "{path.owner}:{path.path}" }
    [route.context]
    verified = { bool = "{jwt.email_verified}" }
    age = { long = "{jwt.age}" }
    groups = { set = "{jwt.groups}" }
    scopes = { set = "{jwt.scope}", separator = " " }

    [[route]]
    path = "/peers"
    principal = { type = "Workload", id = "{peer}" }
    action = { id = "list" }
    resource = { type = "Peers", id = "all" }
"#;

fn ask(method: &str, target: &str, host: &str, told: &Telling) -> Result<Asked, Refusal> {
    let (mapping, problems) = read(MAPPING);
    assert!(problems.is_empty(), "{problems:?}");
    let host = Some(host).filter(|host| !host.is_empty());
    mapping.ask(Check {
        method,
        target,
        host,
        told,
    })
}

fn ann() -> Telling {
    let headers = vec![("x-user", "ann")];
    Telling {
        headers,
        ..Telling::default()
    }
}

fn refused(method: &str, target: &str, told: &Telling) -> String {
    let asked = ask(method, target, "a", told);
    asked.expect_err(target).to_string()
}

#[test]
fn the_first_route_that_matches_says_what_it_is() {
    let asked = ask(
        "GET",
        "/todos/special?tag=x&page=-2&t%61g=y",
        "H.x:80",
        &ann(),
    );
    let asked = asked.expect("asked");
    assert_eq!(asked.principal, r#"User::"ann""#);
    assert_eq!(asked.action, r#"Action::"read""#);
    assert_eq!(asked.resource, r#"Todo::"special""#);
    let context: Value = serde_json::from_str(&asked.context).expect("JSON");
    let expected = serde_json::json!({
        "page": -2, "tags": ["x", "y"], "level": 3, "internal": false, "zones": ["a", "b"],
        "from": "h.x:GET",
    });
    assert_eq!(context, expected);
}

#[test]
fn what_does_not_match_is_denied() {
    for (method, target) in [
        ("POST", "/todos/7"),
        ("get", "/todos/7"),
        ("GET", "/todos"),
        ("GET", "/todos/7/"),
        ("GET", "/Todos/7"),
        // Another host than the route's.
        ("GET", "/files/ann/x"),
    ] {
        assert_eq!(
            refused(method, target, &ann()),
            "no route matches",
            "{method} {target}"
        );
    }
    assert!(refused("GET", "/todos/../peers", &ann()).starts_with("the path is refused"));
}

#[test]
fn what_is_missing_is_denied() {
    let nobody = Telling::default();
    assert_eq!(
        ask("GET", "/todos/7", "a", &nobody),
        Err(Refusal::Unauthenticated(source::Source::Header(
            "x-user".to_owned()
        )))
    );
    let empty = Telling {
        headers: vec![("x-user", "")],
        ..Telling::default()
    };
    assert!(refused("GET", "/todos/7", &empty).starts_with("there is no principal"));
    let host = ask("GET", "/todos/7", "", &ann())
        .expect_err("no host")
        .to_string();
    assert_eq!(
        host,
        "`context.from` cannot be told: the request has no {host}"
    );
    assert!(refused("GET", "/peers", &ann()).starts_with("there is no principal"));
}

#[test]
fn what_is_there_twice_is_denied() {
    let two = Telling {
        headers: vec![("x-user", "bob"), ("x-user", "ann")],
        ..ann()
    };
    assert!(refused("GET", "/todos/7", &two).contains("more than one {header.x-user}"));
    let empty = Telling {
        headers: vec![("x-user", ""), ("x-user", "ann")],
        ..ann()
    };
    assert!(refused("GET", "/todos/7", &empty).contains("more than one {header.x-user}"));
    assert!(
        refused("GET", "/todos/7?page=1&page=2", &ann()).contains("more than one {query.page}")
    );
    assert!(refused("GET", "/todos/7?page=1&p%61ge=2", &ann()).contains("more than one"));
}

#[test]
fn what_is_of_another_type_is_denied_even_if_optional() {
    let long = (1_i128 << 63).to_string();
    for page in ["x", "1.5", "%2B1", "0x1", "1%201", "", "-", long.as_str()] {
        let refused = refused("GET", &format!("/todos/7?page={page}"), &ann());
        assert_eq!(refused, "{query.page} is no long", "{page}");
    }
    for query in [
        "page=%zz",
        "a=%",
        "page=1;page=2",
        "page=1#x",
        "a=%ff",
        "a=%00",
    ] {
        let refused = refused("GET", &format!("/todos/7?{query}"), &ann());
        assert!(
            refused.starts_with("the query is refused"),
            "{query}: {refused}"
        );
    }
}

#[test]
fn headers_are_divided_at_commas() {
    let headers = vec![("x-user", "ann"), ("x-roles", "b, a,,"), ("x-roles", "c")];
    let asked = ask(
        "GET",
        "/todos/7",
        "a",
        &Telling {
            headers,
            ..Telling::default()
        },
    );
    let context: Value = serde_json::from_str(&asked.expect("asked").context).expect("JSON");
    assert_eq!(context["roles"], serde_json::json!(["a", "b", "c"]));
}

fn claims() -> Telling {
    let text = |text: &'static str| Found::Text(text.into());
    let claims = HashMap::from([
        ("sub", text("ann\"\\")),
        ("email_verified", Found::Bool(true)),
        ("age", Found::Number(41.0)),
        ("groups", Found::Texts(vec!["b".to_owned(), "a".to_owned()])),
        ("scope", text("read  write")),
    ]);
    Telling {
        claims,
        ..Telling::default()
    }
}

#[test]
fn claims_keep_their_types() {
    let asked = ask("PUT", "/files/ann/a/b", "API.example.:443", &claims()).expect("asked");
    assert_eq!(asked.principal, r#"App::Account::"ann\"\\""#);
    assert_eq!(asked.action, r#"App::Action::"PUT""#);
    assert_eq!(asked.resource, r#"App::File::"ann:a/b""#);
    let context: Value = serde_json::from_str(&asked.context).expect("JSON");
    let expected = serde_json::json!({
        "verified": true, "age": 41, "groups": ["a", "b"], "scopes": ["read", "write"],
    });
    assert_eq!(context, expected);
    let wrong = [
        ("sub", Found::Bool(true)),
        ("email_verified", Found::Number(1.0)),
        ("email_verified", Found::Text("True".into())),
        ("age", Found::Number(41.5)),
        ("age", Found::Number(1e300)),
        ("age", Found::Number(f64::NAN)),
        ("groups", Found::Number(1.0)),
        ("scope", Found::Other),
    ];
    for (claim, value) in wrong {
        let mut told = claims();
        told.claims.insert(claim, value.clone());
        let asked = ask("PUT", "/files/ann/a", "api.example", &told);
        assert!(
            matches!(asked, Err(Refusal::Mistyped { .. })),
            "{claim} {value:?} {asked:?}"
        );
    }
}

/// `a:b` of `c` and `a` of `b:c` are not the same file.
#[test]
fn texts_of_several_sources_are_never_mistaken() {
    let asked = |target| ask("PUT", target, "api.example", &claims());
    assert!(asked("/files/a/b:c").is_ok());
    assert!(matches!(asked("/files/a:b/c"), Err(Refusal::Unclear(_))));
    assert!(matches!(asked("/files/a%3Ab/c"), Err(Refusal::Unclear(_))));
}

#[test]
fn a_peer_is_a_principal() {
    let told = Telling {
        peer: Some("spiffe://x/ann"),
        ..Telling::default()
    };
    let asked = ask("GET", "/peers", "", &told).expect("asked");
    assert_eq!(asked.principal, r#"Workload::"spiffe://x/ann""#);
}

#[test]
fn all_mistakes_are_found_at_once() {
    let (_, problems) = read(
        r#"
        principal = { type = "User", id = "{path.who}" }
        surplus = 1

        [[route]]
        method = "get"
        path = "/todos/{id}"
        principal = { type = "9x", id = "{header.x user}" }
        action = { id = "{path.name}" }
        resource = { type = "Todo", id = "{path.id}{query.x}" }
        [route.context]
        a = { long = "{query.a}x" }
        b = { set = "{path.b}" }
        c = { string = 5 }
        d = {}
        e = { long = 1, bool = true }
        f = { long = true }
        g = { string = "{", separator = "," }
        h = { string = "{peer.subject}" }
        i = { bool = "{jwt.}" }
        j = 5
        k = { long = 1, optional = true, default = 2 }

        [[route]]
        path = "/todos/x{id}"
        method = []
        host = ["api.example:80", ""]
        principal = { type = "User", id = "x", of = "y" }
        resource = { type = "Todo" }
        "#,
    );
    let expected = [
        ("route[0].method", "`get` is no method"),
        ("route[0].principal.type", "`9x` is not the name"),
        ("route[0].principal.id", "there is no `{header.x user}`"),
        ("route[0].action.id", "has no variable `{name}`"),
        ("route[0].resource.id", "side by side"),
        ("route[0].context.j", "expected a table"),
        ("route[0].context.a.long", "one source"),
        ("route[0].context.b", "has no variable `{b}`"),
        ("route[0].context.c.string", "a string is written"),
        ("route[0].context.d", "say one of"),
        ("route[0].context.e", "say one of"),
        ("route[0].context.f.long", "a long is written"),
        ("route[0].context.g.string", "a brace"),
        ("route[0].context.h.string", "x-forwarded-client-cert"),
        ("route[0].context.i.bool", "there is no `{jwt.}`"),
        ("route[0].context.k.default", "no such key"),
        ("route[0].principal.id", "has no variable `{who}`"),
        ("route[1].method", "`[]` is no method"),
        ("route[1].host", "`api.example:80` is no host"),
        ("route[1].host", "`` is no host"),
        ("route[1].path", "a whole segment"),
        ("route[1].principal.of", "no such key"),
        ("route[1].action", "is missing"),
        ("route[1].resource.id", "is missing"),
        ("surplus", "no such key"),
    ];
    let lines = problems.join("\n");
    for (key, text) in expected {
        let found = problems.iter().any(|p| {
            p.strip_prefix(key)
                .and_then(|p| p.strip_prefix(": "))
                .is_some_and(|p| p.contains(text))
        });
        assert!(found, "{key}: {text}\n{lines}");
    }
    assert_eq!(problems.len(), expected.len(), "{lines}");
}

#[test]
fn a_mapping_has_routes() {
    let (mapping, problems) = read("");
    assert_eq!(mapping.routes(), 0);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("route: is missing"), "{problems:?}");
}
