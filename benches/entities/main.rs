//! How long it takes to load many entities, and how much memory; beside it cedar-policy on fewer.
//!
//! Run it as `entities`, or as `entities 100000` for that many; `--trusted` leaves the checks out,
//! `--world DIR` loads `entities.json` and `cedarschema.json` from there.

use cedar_policy::{Entities, Schema};
use cedarjit::Engine;
use cedarjit_bench::Error;
use cedarjit_bench::drive::{Drive, drive};
use clap::Parser;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// For how many entities cedar-policy is measured.
const COMPARED: usize = 50_000;

#[derive(Parser)]
struct Arguments {
    /// How many entities to load.
    #[arg(default_value_t = 1_000_000)]
    count: usize,
    /// Do not check the entities against the schema.
    #[arg(long)]
    trusted: bool,
    /// A folder with a world, in place of a generated one.
    #[arg(long)]
    world: Option<PathBuf>,
    /// Measure cedar-policy alone.
    #[arg(long, hide = true)]
    cedar_policy: bool,
}

fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    if arguments.cedar_policy {
        return cedar_policy();
    }
    let Drive { schema, entities } = match &arguments.world {
        Some(world) => Drive {
            schema: std::fs::read_to_string(world.join("cedarschema.json"))?,
            entities: std::fs::read_to_string(world.join("entities.json"))?,
        },
        None => drive(arguments.count),
    };
    let (before, bytes) = (peak_memory()?, entities.len());
    let started = Instant::now();
    let builder = Engine::builder().schema_json(schema);
    let engine = match arguments.trusted {
        true => builder.entities_json_trusted(entities),
        false => builder.entities_json(entities),
    };
    let engine = engine.build()?;
    let (took, count) = (started.elapsed(), engine.stats().entities);
    println!(
        "{count} entities, {bytes} bytes: {:.2} s, {:.0} entities/s, {:.2} µs each",
        took.as_secs_f64(),
        count as f64 / took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / count as f64,
    );
    let after = peak_memory()?;
    println!("peak memory {before} MiB with the text alone, {after} MiB after loading");
    saved(&engine)?;
    println!("{}", engine.snapshot().memory());
    drop(engine);

    // What this process has freed would be used again, and not seen to grow.
    let status = Command::new(std::env::current_exe()?)
        .arg("--cedar-policy")
        .status()?;
    if !status.success() {
        return Err(format!("the process for cedar-policy: {status}").into());
    }
    Ok(())
}

/// Measures cedar-policy, in a process that has done nothing else.
fn cedar_policy() -> Result<(), Error> {
    let Drive { schema, entities } = drive(COMPARED);
    let schema = Schema::from_json_str(&schema)?;
    let before = resident_memory()?;
    let started = Instant::now();
    let entities = Entities::from_json_str(&entities, Some(&schema))?;
    let grown = resident_memory()?.saturating_sub(before);
    println!(
        "cedar-policy: {grown} bytes resident for {}, {} each",
        entities.len(),
        grown / entities.len().max(1)
    );
    let each = started.elapsed().as_secs_f64() * 1e6 / entities.len() as f64;
    println!("cedar-policy: {each:.2} µs each for {}", entities.len());
    black_box(entities);
    Ok(())
}

/// The most memory that this process had, in MiB; 0 where the system does not tell.
fn peak_memory() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
    Ok(kib.map_or(Ok(0), str::parse::<u64>)? / 1024)
}

/// Saves an engine and loads it again, a few times.
fn saved(engine: &Engine) -> Result<(), Error> {
    let started = Instant::now();
    let mut file = Vec::new();
    engine.save(&mut file)?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    println!("saved: {} bytes in {took:.0} ms", file.len());
    for round in 0..6 {
        let before = resident_memory()?;
        let started = Instant::now();
        let (loaded, how) = match round % 2 {
            0 => (Engine::load(&file)?, ""),
            _ => (Engine::load_trusted(&file)?, ", trusted,"),
        };
        let took = started.elapsed().as_secs_f64() * 1e3;
        let grown = resident_memory()?.saturating_sub(before);
        let told = loaded.snapshot().memory().total();
        println!(
            "loaded{how} in {took:.0} ms, {grown} bytes resident, {} used and {} reserved",
            told.used, told.reserved
        );
        black_box(loaded);
    }
    Ok(())
}

/// The resident memory of this process, in bytes.
fn resident_memory() -> Result<usize, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.map(|line| line.trim().trim_end_matches("kB").trim().parse());
    Ok(kib.transpose()?.unwrap_or(0) << 10)
}
