//! The benchmark worlds: every recorded answer, natively and by the interpreter.
//!
//! `CEDARJIT_WORLDS` names the archive of worlds, by default `../shared/bench-worlds.tar.xz` beside
//! the repository. Without it there is nothing to compare with, and the test says so and passes.
//! The worlds of up to 50 entities a kind run always; `CEDARJIT_ALL_WORLDS=1` runs all of them,
//! best with `--release`.

use cedar_policy::{Decision, Entities, PolicySet, Schema};
use cedarjit::{BoundRequest, Engine, Evaluation, Scratch};
use cedarjit_frontend::load;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// The files of each world, by the world's name and the file's.
type Worlds = BTreeMap<String, BTreeMap<String, String>>;

fn archive() -> PathBuf {
    match std::env::var_os("CEDARJIT_WORLDS") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/bench-worlds.tar.xz"),
    }
}

fn wanted(world: &str) -> bool {
    let size = world.rsplit('-').next().and_then(|s| s.parse::<u32>().ok());
    std::env::var_os("CEDARJIT_ALL_WORLDS").is_some() || size.is_some_and(|size| size <= 50)
}

fn read(archive: &Path) -> Worlds {
    let file = BufReader::new(std::fs::File::open(archive).unwrap());
    let mut worlds = Worlds::new();
    let mut unpacked = tar::Archive::new(lzma_rust2::XzReader::new(file, true));
    for entry in unpacked.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let (Some(world), Some(name)) = (path.parent().and_then(Path::file_name), path.file_name())
        else {
            continue;
        };
        let (world, name) = (world.to_string_lossy(), name.to_string_lossy());
        if wanted(&world) && entry.header().entry_type().is_file() {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let files = worlds.entry(world.into_owned()).or_default();
            files.insert(name.into_owned(), text);
        }
    }
    worlds
}

/// A line of `requests.jsonl`.
#[derive(Deserialize)]
struct Recorded {
    principal: String,
    action: String,
    resource: String,
    context: serde_json::Value,
    decision: String,
    reason: BTreeSet<String>,
    errors: Vec<RecordedError>,
}

#[derive(Deserialize)]
struct RecordedError {
    policy: String,
    error: String,
}

fn policies(files: &BTreeMap<String, String>) -> PolicySet {
    // The recorded ids are positional, so `@id` annotations do not count.
    let mut set: PolicySet = files["policies.cedar"].parse().unwrap();
    if let Some(links) = files.get("links.json") {
        load::link(&mut set, links, "links.json").unwrap();
    }
    set
}

fn check(world: &str, recorded: &Recorded, how: &str, evaluation: Evaluation<'_>) {
    let request = format!(
        "{world}, {how}: {} {} {}",
        recorded.principal, recorded.action, recorded.resource
    );
    let decision = match evaluation.decision() {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
    };
    assert_eq!(decision, recorded.decision, "{request}");
    let reasons: BTreeSet<String> = evaluation.reasons().map(str::to_owned).collect();
    assert_eq!(reasons, recorded.reason, "{request}");
    let errors: BTreeMap<String, String> = evaluation
        .errors()
        .map(|(policy, error)| (policy.to_owned(), error.to_string()))
        .collect();
    let expected: BTreeMap<String, String> = recorded
        .errors
        .iter()
        .map(|e| (e.policy.clone(), e.error.clone()))
        .collect();
    assert_eq!(errors, expected, "{request}");
}

fn run(world: &str, files: &BTreeMap<String, String>) -> usize {
    let schema = Schema::from_json_str(&files["cedarschema.json"]).unwrap();
    let policies = policies(files);
    let with_schema = Entities::from_json_str(&files["entities.json"], Some(&schema)).unwrap();
    let engine = |entities| {
        Engine::builder()
            .policies(&policies)
            .entities(entities)
            .build()
            .unwrap()
    };
    // Without the schema, the action entities have to be given.
    let without_schema = Entities::from_json_str(&files["entities.json"], None)
        .unwrap()
        .add_entities_from_json_str(&files["actions.json"], None)
        .unwrap();
    let engines = [
        ("action entities from the schema", engine(with_schema)),
        ("no schema", engine(without_schema)),
    ];
    let mut scratch = Scratch::default();
    let mut requests = 0;
    for line in files["requests.jsonl"].lines() {
        let recorded: Recorded = serde_json::from_str(line).unwrap();
        for (how, engine) in &engines {
            let bound: BoundRequest = engine
                .snapshot()
                .bind_json(
                    &recorded.principal,
                    &recorded.action,
                    &recorded.resource,
                    &recorded.context,
                    false,
                )
                .unwrap();
            check(world, &recorded, how, bound.evaluate(&mut scratch));
            check(world, &recorded, how, bound.interpret(&mut scratch));
        }
        requests += 1;
    }
    requests
}

#[test]
fn every_recorded_answer_is_given() {
    let archive = archive();
    if !archive.is_file() {
        eprintln!(
            "SKIPPED: no benchmark worlds at {}; set CEDARJIT_WORLDS to their archive",
            archive.display()
        );
        return;
    }
    let worlds = read(&archive);
    assert!(!worlds.is_empty());
    for (world, files) in &worlds {
        let requests = run(world, files);
        assert!(requests > 0, "{world}");
        eprintln!("{world}: {requests} requests agree");
    }
}
