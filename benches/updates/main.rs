//! How long it takes to change a large engine, and what readers notice of it.
//!
//! Run it as `updates`, or as `updates 100000 10000` for that many entities and links. Times are of
//! single transactions, each until its effect is visible to new decisions.

mod world;

use cedar_policy::EntityUid;
use cedarjit::Engine;
use cedarjit_bench::Error;
use clap::Parser;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use world::World;

#[derive(Parser)]
struct Arguments {
    /// How many entities there are.
    #[arg(default_value_t = 1_000_000)]
    entities: usize,
    /// How many links there are.
    #[arg(default_value_t = 100_000)]
    links: usize,
    /// How many transactions of each kind.
    #[arg(long, default_value_t = 5_000)]
    count: usize,
    /// How many updates a second the readers have beside them.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
}

fn main() -> Result<(), Error> {
    let Arguments {
        entities,
        links,
        count,
        rate,
    } = Arguments::parse();
    let started = Instant::now();
    let world = World::new(entities);
    let engine = world.engine(links)?;
    println!(
        "{entities} entities and {links} links in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    println!(
        "\n{:40} {:>9} {:>9} {:>9} {:>9}",
        "µs", "median", "99 %", "99.9 %", "longest"
    );

    let users: Vec<_> = (0..count).map(|i| world.user(i * 7919, i)).collect();
    let mut users = users.into_iter();
    report("an entity gets other attributes", count, |_| {
        let user = users.next().ok_or("too few users")?;
        Ok(engine.update(|tx| tx.upsert_entity(user))?)
    })?;
    report("an entity is new", count, |i| {
        let user = world.user(entities + i, i);
        Ok(engine.update(|tx| tx.upsert_entity(user))?)
    })?;
    report("an entity gets another parent", count, |i| {
        let (user, team) = (world.user_uid(i * 7919), world.team_uid(i));
        Ok(engine.update(|tx| tx.set_parents(&user, [team]).map(drop))?)
    })?;
    let members = 10_000.min(entities / 2);
    let group = world.team_uid(0);
    engine.update(|tx| {
        (0..members).try_for_each(|i| {
            let user = world.user_uid(i);
            let parents = [world.team_uid(1 + i), group.clone()];
            tx.set_parents(&user, parents).map(drop)
        })
    })?;
    report(
        &format!("a group of {members} gets another parent"),
        20,
        |i| {
            let parent = world.region_uid(i);
            Ok(engine.update(|tx| tx.set_parents(&group, [parent]).map(drop))?)
        },
    )?;
    if links > 0 {
        report("a link is added", count, |i| world.link(&engine, links + i))?;
        report("a link is removed", count, |i| {
            Ok(engine.remove_policy(World::link_id(links + i))?)
        })?;
    }

    println!(
        "\n{:40} {:>9} {:>9} {:>9} {:>9}",
        "a decision from text, µs", "median", "99 %", "99.9 %", "longest"
    );
    let alone = read(&world, &engine)?;
    println!("{:40} {alone}", "without a writer");
    let stop = AtomicBool::new(false);
    let (beside, done) = thread::scope(|scope| -> Result<_, Error> {
        let writer = scope.spawn(|| write(&world, &engine, rate, &stop));
        let beside = read(&world, &engine);
        stop.store(true, Ordering::Relaxed);
        let done = writer.join().map_err(|_| "the writer failed")?;
        Ok((beside?, done))
    })?;
    println!(
        "{:40} {beside}",
        format!("beside {done:.0} updates a second")
    );
    println!("ratio of the medians: {:.2}", beside.median / alone.median);
    Ok(())
}

/// Times of something, in microseconds.
struct Times {
    median: f64,
    most: f64,
    nearly_all: f64,
    longest: f64,
}

impl Times {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let place = (times.len().saturating_sub(1) as f64 * part) as usize;
            times.get(place).copied().unwrap_or(0.0)
        };
        Self {
            median: at(0.5),
            most: at(0.99),
            nearly_all: at(0.999),
            longest: at(1.0),
        }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            median,
            most,
            nearly_all,
            longest,
        } = self;
        write!(f, "{median:9.2} {most:9.2} {nearly_all:9.2} {longest:9.2}")
    }
}

/// Does something so many times and prints how long each took.
fn report(
    what: &str,
    count: usize,
    mut change: impl FnMut(usize) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut times = Vec::with_capacity(count);
    for i in 0..count {
        let started = Instant::now();
        change(i)?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    println!("{what:40} {}", Times::of(times));
    Ok(())
}

/// Decides for some seconds, on the current state each time.
fn read(world: &World, engine: &Engine) -> Result<Times, Error> {
    let requests: Vec<[String; 2]> = (0..500)
        .map(|i| {
            [world.user_uid(i * 31), world.doc_uid(i * 17)].map(|uid: EntityUid| uid.to_string())
        })
        .collect();
    let mut session = engine.session();
    let mut times = Vec::with_capacity(20_000_000);
    let end = Instant::now() + Duration::from_secs(4);
    for [user, doc] in requests.iter().cycle() {
        let started = Instant::now();
        session.is_authorized(
            user.as_str(),
            r#"Action::"view""#,
            doc.as_str(),
            "{}",
            false,
        )?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
        if started >= end || times.len() == times.capacity() {
            break;
        }
    }
    Ok(Times::of(times))
}

/// Changes entities at a rate until told to stop. How many a second it came to.
fn write(world: &World, engine: &Engine, rate: u32, stop: &AtomicBool) -> f64 {
    let (started, pause) = (Instant::now(), Duration::from_secs(1) / rate);
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let number = done as usize;
        let user = world.user(number * 7919, number);
        if engine.update(|tx| tx.upsert_entity(user)).is_err() {
            break;
        }
        done += 1;
        let due = started + pause * done;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    f64::from(done) / started.elapsed().as_secs_f64()
}
