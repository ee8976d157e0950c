//! Entities in JSON that the engine reads itself, and what it leaves to cedar-policy.

use cedar_policy::Entities;
use cedarjit::entities::{self, Check};
use cedarjit::{Engine, JitMode};
use cedarjit_frontend::load::{LoadedSchema, SchemaFormat, load_schema};
use cedarjit_tests::documents::{EntityCounts, compare_entities, run_entities};
use cedarjit_tests::generator::Knobs;
use cedarjit_tests::stack::on_large_stack;

/// How many worlds' entities are compared, and how often each is spoiled.
const SEEDS: u64 = if cfg!(debug_assertions) { 20 } else { 400 };
const SPOILED: usize = 100;

/// `CEDARJIT_SEEDS=n` makes it a longer run.
fn seeds() -> u64 {
    let set = std::env::var("CEDARJIT_SEEDS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn documents_are_read_as_by_cedar_policy_or_left_to_it() {
    let counts = on_large_stack(|| {
        let mut counts = EntityCounts::default();
        for seed in 0..seeds() {
            match run_entities(seed, &Knobs::default(), SPOILED) {
                Ok(more) => counts.merge(more),
                Err(error) => panic!("{error}"),
            }
        }
        counts
    });
    println!("{counts:?}");
    // Some are not plain: a uid comes twice, or a value is written in a way that is seldom used.
    assert!(counts.sound_plain * 10 > counts.sound * 8, "{counts:?}");
    assert!(counts.spoiled_plain * 50 > counts.spoiled, "{counts:?}");
    assert!(counts.spoiled_plain * 2 < counts.spoiled, "{counts:?}");
}

const SCHEMA: &str = r#"
    entity Color enum ["red", "green"];
    entity Team in [Company];
    entity Company;
    entity Person in [Team] {
        name: String,
        age?: Long,
        boss?: Person,
        color?: Color,
        limit?: decimal,
        from?: ipaddr,
        since?: datetime,
        pause?: duration,
        friends?: Set<Person>,
        home?: { street: String, number?: Long },
        places?: Set<{ at: ipaddr }>,
        admin?: Bool,
    } tags Set<String>;
    namespace Sub { entity Thing { owner: Person }; }
    action all;
    action view in [all] appliesTo { principal: Person, resource: Person, context: {} };
"#;

fn schema() -> LoadedSchema {
    load_schema(SCHEMA, SchemaFormat::Cedar, "schema").expect("the schema is right")
}

fn person(attrs: &str, parents: &str, rest: &str) -> String {
    let uid = r#"{"type": "Person", "id": "ann"}"#;
    format!(r#"[{{"uid": {uid}, "attrs": {{{attrs}}}, "parents": [{parents}]{rest}}}]"#)
}

fn is_plain(text: &str, schema: Option<&LoadedSchema>) -> bool {
    compare_entities(text, schema).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_the_schema_declares_is_plain_in_every_usual_form() {
    let schema = schema();
    for attrs in [
        r#""name": "Ann""#,
        r#""name": "A\u00e9\n\"""#,
        r#""name": "", "age": -5, "admin": true"#,
        r#""name": "", "boss": {"type": "Person", "id": "b\"ob"}"#,
        r#""name": "", "boss": {"__entity": {"id": "bob", "type": "Person"}}"#,
        r#""name": "", "color": {"type": "Color", "id": "red"}"#,
        r#""name": "", "limit": "1.50""#,
        r#""name": "", "limit": {"fn": "decimal", "arg": "1.5"}"#,
        r#""name": "", "limit": {"__extn": {"fn": "decimal", "arg": "1.5"}}"#,
        r#""name": "", "from": "10.0.0.0/8", "since": "2024-01-01", "pause": "1h""#,
        r#""name": "", "friends": []"#,
        r#""name": "", "friends": [{"type": "Person", "id": "a"}, {"__entity": {"type": "Person", "id": "a"}}]"#,
        r#""name": "", "home": {"street": "x"}"#,
        r#""name": "", "home": {"number": 1, "street": "x"}"#,
        r#""name": "", "places": [{"at": "::1"}, {"at": {"fn": "ip", "arg": "::1"}}]"#,
    ] {
        assert!(is_plain(&person(attrs, "", ""), Some(&schema)), "{attrs}");
    }
    let name = r#""name": """#;
    for parents in [
        r#"{"type": "Team", "id": "t"}"#,
        r#"{"__entity": {"type": "Team", "id": "t"}}, {"type": "Team", "id": "t"}"#,
        // What teams may be in, their members may.
        r#"{"type": "Company", "id": "c"}"#,
    ] {
        let text = person(name, parents, "");
        assert!(is_plain(&text, Some(&schema)), "{text}");
    }
    for rest in [
        r#", "tags": {}"#,
        r#", "tags": {"a": ["x", "y"], "b": [], "": ["x"]}"#,
    ] {
        assert!(is_plain(&person(name, "", rest), Some(&schema)), "{rest}");
    }
    for text in [
        "[]".to_owned(),
        r#"[{"uid": {"type": "Color", "id": "red"}, "attrs": {}, "parents": []}]"#.to_owned(),
        r#"[{"parents": [], "attrs": {"owner": {"type": "Person", "id": "ann"}},
            "uid": {"type": "Sub::Thing", "id": "1"}}]"#
            .to_owned(),
        // An action as the schema has it.
        r#"[{"uid": {"type": "Action", "id": "view"}, "attrs": {},
            "parents": [{"type": "Action", "id": "all"}]}]"#
            .to_owned(),
        r#"[{"uid": {"type": "Action", "id": "all"}, "attrs": {}, "parents": []}]"#.to_owned(),
    ] {
        assert!(is_plain(&text, Some(&schema)), "{text}");
    }
}

#[test]
fn what_does_not_fit_the_schema_is_left_to_cedar_policy() {
    let schema = schema();
    let wrong = |text: &str| {
        assert!(!is_plain(text, Some(&schema)), "{text}");
        let judged = Entities::from_json_str(text, Some(&schema.schema));
        assert!(judged.is_err(), "{text}");
    };
    for attrs in [
        "",
        r#""name": 1"#,
        r#""name": null"#,
        r#""name": "", "name": """#,
        r#""name": "", "other": 1"#,
        r#""name": "", "age": 1.0"#,
        r#""name": "", "age": 9223372036854775808"#,
        r#""name": "", "age": "1""#,
        r#""name": "", "boss": "bob""#,
        r#""name": "", "boss": {"type": "Team", "id": "t"}"#,
        r#""name": "", "boss": {"type": "Person"}"#,
        r#""name": "", "color": {"type": "Color", "id": "blue"}"#,
        r#""name": "", "limit": "1.50000""#,
        r#""name": "", "limit": {"__extn": {"fn": "ip", "arg": "::1"}}"#,
        r#""name": "", "friends": [1]"#,
        r#""name": "", "friends": {}"#,
        r#""name": "", "home": {}"#,
        r#""name": "", "home": {"street": "", "door": 1}"#,
        r#""name": "", "home": {"street": "", "street": ""}"#,
        r#""name": "\ud800""#,
    ] {
        wrong(&person(attrs, "", ""));
    }
    let name = r#""name": """#;
    for parents in [
        r#"{"type": "Person", "id": "bob"}"#,
        r#"{"type": "Color", "id": "red"}"#,
        r#"{"type": "Nothing", "id": "red"}"#,
        r#"{"type": "Action", "id": "view"}"#,
        r#""Team::\"t\"""#,
        r#"{"type": "Team"}"#,
        "1",
    ] {
        wrong(&person(name, parents, ""));
    }
    for rest in [
        r#", "tags": {"a": "x"}"#,
        r#", "tags": {"a": ["x"], "a": ["x"]}"#,
        r#", "tags": null"#,
        r#", "attrs": {}"#,
    ] {
        wrong(&person(name, "", rest));
    }
    for text in [
        r#"[{"uid": {"type": "Nothing", "id": "x"}, "attrs": {}, "parents": []}]"#,
        r#"[{"uid": {"type": "Color", "id": "blue"}, "attrs": {}, "parents": []}]"#,
        r#"[{"uid": {"type": "Color", "id": "red"}, "attrs": {}, "parents": [], "tags": {"a": 1}}]"#,
        r#"[{"uid": {"type": "Action", "id": "new"}, "attrs": {}, "parents": []}]"#,
        r#"[{"uid": {"type": "Action", "id": "view"}, "attrs": {}, "parents": []}]"#,
        r#"[{"uid": {"type": "Action", "id": "all"}, "attrs": {"a": 1}, "parents": []}]"#,
        r#"[{"uid": {"type": "Action", "id": "all"}, "attrs": {}, "parents": [{"type": "Color", "id": "red"}]}]"#,
        "{}",
        "[] []",
        "",
    ] {
        wrong(text);
    }
}

#[test]
fn without_a_schema_escapes_say_what_is_meant() {
    for attrs in [
        "",
        r#""a": 1, "b": "x", "c": [1, "x", [true]], "d": {"e": {}}"#,
        r#""a": {"__entity": {"type": "A::B", "id": "x"}}"#,
        r#""a": {"type": "A", "id": "x"}"#,
        r#""a": [{"__extn": {"fn": "ip", "arg": "10.0.0.1"}}]"#,
        r#""a": {"__extn": {"fn": "duration", "arg": "1h"}}"#,
        r#""a": {"__extn": {"fn": "offset", "args": [{"__extn": {"fn": "datetime", "arg": "2024-01-01"}}, {"__extn": {"fn": "duration", "arg": "1h"}}]}}"#,
    ] {
        assert!(is_plain(&person(attrs, "", ""), None), "{attrs}");
    }
    let in_any = person(
        "",
        r#"{"type": "Person", "id": "b"}"#,
        r#", "tags": {"a": 1}"#,
    );
    assert!(is_plain(&in_any, None));
    let group = r#"[{"uid": {"type": "Action", "id": "v"}, "attrs": {}, "parents": [{"type": "Action", "id": "g"}]}]"#;
    assert!(is_plain(group, None));
    for attrs in [
        r#""a": null"#,
        r#""a": 1.5"#,
        r#""a": {"__entity": {"type": "a b", "id": "x"}}"#,
        r#""a": {"__extn": {"fn": "ip", "arg": "nowhere"}}"#,
        r#""a": {"__expr": "1"}"#,
        r#""a": {"b": 1, "b": 1}"#,
    ] {
        let text = person(attrs, "", "");
        assert!(!is_plain(&text, None), "{attrs}");
        assert!(Entities::from_json_str(&text, None).is_err(), "{attrs}");
    }
    // Legal, and not in ordinary use.
    for (attrs, rest) in [
        (r#""__entity": 1"#, ""),
        (
            r#""a": {"__entity": {"type": "A", "id": "x", "more": 1}}"#,
            "",
        ),
        ("", r#", "more": 1"#),
    ] {
        let text = person(attrs, "", rest);
        assert!(!is_plain(&text, None), "{attrs}");
        assert!(Entities::from_json_str(&text, None).is_ok(), "{attrs}");
    }
    let action = r#"[{"uid": {"type": "Action", "id": "v"}, "attrs": {}, "parents": [{"type": "A", "id": "g"}]}]"#;
    assert!(!is_plain(action, None));
    assert!(Entities::from_json_str(action, None).is_err());
}

/// A document of groups, each with the numbers of those that it is in.
fn groups(parents: &[&[usize]]) -> String {
    let uid = |i: usize| format!(r#"{{"type": "G", "id": "{i}"}}"#);
    let groups = parents.iter().enumerate().map(|(i, parents)| {
        let parents: Vec<_> = parents.iter().map(|i| uid(*i)).collect();
        let (uid, parents) = (uid(i), parents.join(", "));
        format!(r#"{{"uid": {uid}, "attrs": {{}}, "parents": [{parents}]}}"#)
    });
    format!("[{}]", groups.collect::<Vec<_>>().join(","))
}

#[test]
fn hierarchies_are_closed_and_cycles_left_to_cedar_policy() {
    for plain in [
        &[&[1][..], &[2], &[3], &[]][..],
        &[&[], &[0], &[1, 0], &[2, 1, 1]],
        &[&[1, 2], &[3], &[3], &[9]],
        // Nobody has number 9, 10 and 11.
        &[&[9, 10, 11], &[0], &[0, 9]],
    ] {
        assert!(is_plain(&groups(plain), None), "{plain:?}");
    }
    for cyclic in [
        &[&[0][..]][..],
        &[&[1], &[0]],
        &[&[1], &[2], &[3], &[1]],
        &[&[], &[0, 2], &[3], &[1]],
    ] {
        assert!(!is_plain(&groups(cyclic), None), "{cyclic:?}");
        assert!(Entities::from_json_str(&groups(cyclic), None).is_err());
    }
    let group = groups(&[&[]]);
    let group = group
        .trim_start_matches('[')
        .strip_suffix(']')
        .expect("an array");
    let other = group.replace("{}", r#"{"a": 1}"#);
    for (second, is_legal) in [(group, true), (other.as_str(), false)] {
        let twice = format!("[{group},{second}]");
        assert!(!is_plain(&twice, None), "{twice}");
        assert_eq!(
            Entities::from_json_str(&twice, None).is_ok(),
            is_legal,
            "{twice}"
        );
    }
}

#[test]
fn chains_are_plain_up_to_the_limit() {
    let chain = |length: usize| {
        // The last one's parent does not exist, and is a member all the same.
        let parents: Vec<[usize; 1]> = (1..length).map(|i| [i]).collect();
        let parents: Vec<&[usize]> = parents.iter().map(|p| &p[..]).collect();
        groups(&parents)
    };
    let read = |length| entities::read(&chain(length), None, Check::Schema).is_some();
    assert!(read(1000));
    assert!(!read(1001));
    assert!(!read(100_000));
    let built = |length| Engine::builder().entities_json(chain(length)).build();
    assert!(built(1000).is_ok());
    let error = built(1001).expect_err("too long").to_string();
    assert!(error.contains("more than 1000 members"), "{error}");
}

#[test]
fn trusted_entities_are_taken_as_they_are() {
    let schema = schema();
    let read = |text: &str, check| {
        entities::read(text, Some((&schema.schema, &schema.facts)), check).is_some()
    };
    for text in [
        person("", "", ""),
        person(r#""other": 1, "limit": "1.0""#, "", ""),
        person("", r#"{"type": "Nothing", "id": "x"}"#, ""),
        person(r#""color": {"type": "Color", "id": "blue"}"#, "", ""),
        r#"[{"uid": {"type": "New", "id": "x"}, "attrs": {"a": 1}, "parents": []}]"#.to_owned(),
        r#"[{"uid": {"type": "Color", "id": "blue"}, "attrs": {}, "parents": [], "tags": {"a": 1}}]"#
            .to_owned(),
    ] {
        assert!(read(&text, Check::Trusted), "{text}");
        assert!(!read(&text, Check::Schema), "{text}");
    }
    // What is declared is read as declared, and actions are the schema's.
    for text in [
        person(r#""name": 1"#, "", ""),
        r#"[{"uid": {"type": "Action", "id": "new"}, "attrs": {}, "parents": []}]"#.to_owned(),
    ] {
        assert!(!read(&text, Check::Trusted), "{text}");
    }
}

/// Policies that ask for what the schema promises, on entities that break the promise.
#[test]
fn broken_trust_is_safe() {
    let policies = r#"
        permit (principal is Person, action, resource) when { principal.name like "A*" };
        permit (principal is Person, action, resource) when { principal.age < 5 };
        permit (principal is Person, action, resource) when { principal.getTag("a").contains("x") };
        permit (principal is Color, action, resource) when { principal.getTag("a") == 1 };
    "#;
    let color = r#"{"uid": {"type": "Color", "id": "blue"}, "attrs": {"a": 1}, "parents": [], "tags": {"a": 1}}"#;
    let ann = person(r#""age": 3, "extra": [1]"#, "", "");
    let text = format!("[{color},{}", ann.trim_start_matches('['));
    let build = |jit| {
        let builder = Engine::builder().schema_str(SCHEMA).policies_str(policies);
        builder
            .entities_json_trusted(&text)
            .jit(jit)
            .build()
            .expect("builds")
    };
    let (native, interpreted) = (build(JitMode::Auto), build(JitMode::Off));
    for principal in ["Person::\"ann\"", "Color::\"blue\"", "Person::\"bob\""] {
        let answer = |engine: &Engine| {
            let request = cedar_policy::Request::new(
                principal.parse().expect("a uid"),
                "Action::\"view\"".parse().expect("a uid"),
                "Person::\"ann\"".parse().expect("a uid"),
                cedar_policy::Context::empty(),
                None,
            );
            let response = engine.is_authorized(&request.expect("no schema to fit"));
            let response = cedar_policy::Response::from(&response);
            let mut errors: Vec<_> = response
                .diagnostics()
                .errors()
                .map(ToString::to_string)
                .collect();
            errors.sort();
            let mut reasons: Vec<_> = response
                .diagnostics()
                .reason()
                .map(ToString::to_string)
                .collect();
            reasons.sort();
            (response.decision(), reasons, errors)
        };
        assert_eq!(answer(&native), answer(&interpreted), "{principal}");
    }
}
