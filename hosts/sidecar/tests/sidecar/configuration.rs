//! Configurations: what is wrong is told, all of it at once.

use std::path::PathBuf;

use cedarjit_sidecar::{Config, ServeArgs, check};

use crate::native::folder;
use crate::server::path;

fn args(config: PathBuf) -> ServeArgs {
    ServeArgs {
        config: Some(config),
        ..ServeArgs::default()
    }
}

/// What is wrong with this text, a line each, without the name of the file.
fn mistakes(name: &str, text: &str, change: impl FnOnce(&mut ServeArgs)) -> Vec<String> {
    let folder = folder(name, "", "");
    let file = folder.join("cedarjit.toml");
    std::fs::write(&file, text).expect("a file");
    let mut args = args(file.clone());
    change(&mut args);
    let mistakes = Config::load(&args).map_or_else(|error| error.to_string(), |_| String::new());
    let prefix = format!("{}: ", file.display());
    mistakes
        .lines()
        .map(|line| line.replace(&prefix, ""))
        .collect()
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = r#"
        listen = ["127.0.0.1", "0.0.0.0:80", "unix:"]
        entitys = "x.json"
        request_validation = "yes"
        tls = { cert = "a.pem" }
        [limits]
        body_bytes = 0
        header_seconds = -1
        concurency = 7
        [authzen]
        namespace = "a b"
        base_url = "pdp"
        types = { "a-b" = "c-d" }
        [tokens]
        admin = 7
    "#;
    let mistakes = mistakes("mistakes", text, |_| {});
    let expected = [
        "listen: `127.0.0.1` is no address",
        "listen: `0.0.0.0:80` can be reached from other machines; listen on a loopback address, or say `allow_remote = true`",
        "listen: `unix:` is no address",
        "policies: is missing",
        "request_validation: invalid type: string \"yes\", expected a boolean",
        "limits.body_bytes: `0` is not above 0",
        "limits.header_seconds: `-1` is no time",
        "limits.concurency: there is no such key; here may be body_bytes, concurrency",
        "authzen.namespace: `a b` is no namespace",
        "authzen.types.a-b: `c-d` is not the name of an entity type",
        "authzen.base_url: `pdp` is not the URL",
        "tls.key: is missing",
        "tokens.admin: invalid type: integer `7`",
        "entitys: there is no such key; here may be listen",
    ];
    for (told, expected) in mistakes.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\nis not: {expected}");
    }
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
}

#[test]
fn a_saved_engine_takes_the_place_of_all_other_files() {
    let text = "policies = [\"x.cedar\"]\nentities = \"x.json\"\nsaved = \"x.saved\"";
    let told = mistakes("saved-twice", text, |args| args.schema = Some("s".into()));
    let expected = ["policies: `", "schema: `s` is in", "entities: `"];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}");
        assert!(
            told.ends_with("leave it out, or leave out `saved`"),
            "{told}"
        );
    }
    assert_eq!(told.len(), expected.len(), "{told:?}");
    let told = mistakes("saved-alone", "saved = \"x.saved\"", |args| {
        args.trust_saved = true;
    });
    assert!(told.is_empty(), "{told:?}");
    let told = mistakes("trusted-nothing", "trust_saved = true", |_| {});
    assert!(
        told[0].starts_with("trust_saved: `true` is said of no file"),
        "{told:?}"
    );
    assert!(told[1].starts_with("policies: is missing"), "{told:?}");
}

#[test]
fn what_is_no_toml_is_told_by_line() {
    let told = mistakes("syntax", "policies = \"x\"\nlisten = [\n", |_| {});
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("the file: line "), "{told:?}");
    let none = Config::load(&args("no/such/file.toml".into())).expect_err("no file");
    assert!(
        none.to_string()
            .contains("no/such/file.toml: the file: cannot be read")
    );
}

#[test]
fn flags_go_before_the_file() {
    let text = "policies = \"x.cedar\"\nlisten = \"0.0.0.0:1\"";
    let told = mistakes("flags", text, |args| {
        args.listen = vec!["[::1]:8180".to_owned()]
    });
    assert!(told.is_empty(), "{told:?}");
    let told = mistakes("flags2", text, |args| {
        args.listen = vec!["1.2.3.4:5".to_owned()]
    });
    assert!(
        told[0].starts_with("flag or environment: --listen: `1.2.3.4:5`"),
        "{told:?}"
    );
    let told = mistakes("flags3", text, |args| args.allow_remote = true);
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn the_examples_have_no_mistakes() {
    for example in ["authzen-todo", "authzen-gateway", "authzen-search"] {
        let file = path(&format!("examples/{example}/cedarjit.toml"));
        let verdict = check(&args(file)).expect("no mistakes");
        assert!(verdict.ends_with("no mistakes"), "{verdict}");
    }
}

#[test]
fn what_cannot_be_loaded_is_told_with_its_file() {
    let folder = folder("unloadable", "permit (principal, action, resource)", "");
    let config = folder.join("cedarjit.toml");
    let told = || {
        check(&args(config.clone()))
            .expect_err("mistakes")
            .to_string()
    };
    assert!(told().contains("policies.cedar"), "{}", told());
    std::fs::write(folder.join("policies.cedar"), "").expect("a file");
    std::fs::write(folder.join("entities.json"), "[{}]").expect("a file");
    assert!(told().contains("entities.json"), "{}", told());
    std::fs::remove_file(folder.join("entities.json")).expect("removed");
    assert!(
        told().contains("entities.json: cannot be read"),
        "{}",
        told()
    );
}

#[test]
fn a_folder_of_policies_is_one_set() {
    let folder = folder("set", "", "");
    let policies = folder.join("set");
    std::fs::create_dir_all(&policies).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(policies.join(name), text).expect("a file");
    write(
        "b.cedar",
        "permit (principal, action, resource);\n@id(\"named\")\npermit (principal, action, resource);",
    );
    write(
        "a.cedar",
        "forbid (principal, action, resource) when { false };",
    );
    write(".hidden.cedar", "nonsense");
    write("notes.txt", "nonsense");
    let config = folder.join("cedarjit.toml");
    std::fs::write(&config, "policies = \"set\"").expect("a file");
    let config = Config::load(&args(config)).expect("a configuration");
    let engine = cedarjit_sidecar::load::engine(&config.sources, None).expect("an engine");
    let snapshot = engine.snapshot();
    let ids: Vec<_> = snapshot
        .policies()
        .map(|policy| policy.id.to_string())
        .collect();
    assert_eq!(ids, ["a/policy0", "b/policy0", "named"]);
    write(
        "c.cedar",
        "@id(\"named\")\nforbid (principal, action, resource);",
    );
    let error = cedarjit_sidecar::load::engine(&config.sources, None).expect_err("twice");
    assert!(error.to_string().contains("c.cedar"), "{error}");
}

#[test]
fn traces_go_to_a_collector_in_the_clear() {
    let told = |endpoint: &str| {
        let text = format!("policies = \"policies.cedar\"\n[traces]\n{endpoint}\none_in = 0\n");
        mistakes("traces-mistakes", &text, |_| {})
    };
    let one_in =
        "traces.one_in: `0` is not above 0; write a number above 0: one trace of so many is kept";
    assert_eq!(
        told(""),
        [
            one_in,
            "traces.endpoint: is missing; say where the collector is, as in `http://127.0.0.1:4317`"
        ]
    );
    assert_eq!(told("endpoint = \"http://[::1]:4317\""), [one_in]);
    for endpoint in ["https://collector:4317", "collector:4317", "/x", "http://"] {
        let [_, endpoint_told] = &told(&format!("endpoint = \"{endpoint}\""))[..] else {
            panic!("{endpoint} is taken");
        };
        let expected =
            format!("traces.endpoint: `{endpoint}` is not where a collector can be; write");
        assert!(endpoint_told.starts_with(&expected), "{endpoint_told}");
    }
}
