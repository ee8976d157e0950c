//! What a snapshot says that it takes of memory is what the process grows by.
//!
//! Looks into `/proc/self`; says that it skips where there is none.

use cedarjit::{Engine, JitMode};
use std::fmt::Write;
use std::process::Command;

const ENTITIES: usize = 200_000;

/// Says that this is the process that loads, and what.
const FILE: &str = "CEDARJIT_ACCOUNTING";

fn entities() -> String {
    let mut text = String::from("[");
    for i in 0..ENTITIES {
        let comma = if i == 0 { "" } else { "," };
        let (group, other, n) = (i / 100 * 100, i / 7, i % 9);
        let parent = |id: usize| format!(r#"{{"type": "Group", "id": "group-{id}"}}"#);
        let parents = match i % 100 {
            0 => String::new(),
            _ => format!("{}, {}", parent(group), parent(i % 1000)),
        };
        let ty = if i % 100 == 0 { "Group" } else { "User" };
        write!(
            text,
            r#"{comma}{{"uid": {{"type": "{ty}", "id": "{}-{i}"}}, "attrs": {{"name": "name {i}",
            "n": {i}, "friends": [{{"__entity": {{"type": "User", "id": "user-{other}"}}}}, {n}]}},
            "tags": {{"t{n}": {n}}}, "parents": [{parents}]}}"#,
            ty.to_lowercase(),
        )
        .unwrap();
    }
    text + "]"
}

/// The resident memory of this process, in bytes.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

fn load(path: &str) {
    let file = std::fs::read(path).unwrap();
    // What is allocated once in a process, whatever is loaded.
    drop(Engine::builder().jit(JitMode::Off).build().unwrap());
    let before = resident().unwrap();
    let engine = Engine::builder().jit(JitMode::Off).load(&file).unwrap();
    let grown = resident().unwrap() - before;
    let memory = engine.snapshot().memory();
    let total = memory.total();
    println!(
        "{memory}resident   {grown:>12}, {} for each entity",
        grown / ENTITIES
    );
    assert_eq!(engine.stats().entities, ENTITIES);
    assert!(total.used < total.reserved);
    // Spare room at the end of tables is reserved and not resident.
    assert!(total.used < grown + grown / 20, "{} used", total.used);
    assert!(
        grown < total.reserved + total.reserved / 10,
        "{} reserved",
        total.reserved
    );
}

#[test]
fn memory_is_what_the_process_grows_by() {
    if resident().is_none() {
        println!("SKIPPED: no /proc/self");
        return;
    }
    if let Ok(path) = std::env::var(FILE) {
        load(&path);
        return;
    }
    let engine = Engine::builder().entities_json(entities()).build().unwrap();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("accounting.saved");
    engine.save(std::fs::File::create(&path).unwrap()).unwrap();
    // A process of its own, which has no free memory left from building.
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "memory_is_what_the_process_grows_by",
            "--exact",
            "--nocapture",
        ])
        .env(FILE, &path)
        .status()
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(status.success());
}
