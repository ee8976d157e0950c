//! Load on a sidecar: clients that ask again as soon as they have an answer, over connections that
//! stay. `benches/sidecar/compare` runs it against a sidecar and one that decides nothing.

mod client;
mod stream;

use cedarjit_bench::Error;
use clap::Parser;
use client::Client;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Asks a sidecar for decisions as fast as it answers.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where it listens: `ADDRESS:PORT`, or `unix:PATH`.
    address: String,
    /// The file with the bodies of requests, one a line, that are sent in turn.
    #[arg(long)]
    requests: PathBuf,
    /// Where they are sent to.
    #[arg(long, default_value = "/v1/is_authorized")]
    path: String,
    /// How many connections there are.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How long it takes, in seconds.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
}

fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let bodies = std::fs::read_to_string(&arguments.requests)
        .map_err(|error| format!("{}: {error}", arguments.requests.display()))?;
    let bodies: Vec<&str> = bodies.lines().filter(|line| !line.is_empty()).collect();
    if bodies.is_empty() {
        return Err(format!("{}: no requests", arguments.requests.display()).into());
    }
    let ended = AtomicBool::new(false);
    let started = Instant::now();
    let run = |first: usize| -> Result<Vec<Duration>, Error> {
        let mut client = Client::connect(&arguments.address, &arguments.path)?;
        let mut times = Vec::new();
        let mut bodies = bodies.iter().cycle().skip(first);
        while let Some(body) = bodies.next().filter(|_| !ended.load(Ordering::Relaxed)) {
            times.push(client.ask(body)?);
        }
        Ok(times)
    };
    let times = thread::scope(|scope| {
        let clients: Vec<_> = (0..arguments.connections)
            .map(|first| scope.spawn(move || run(first).map_err(|error| error.to_string())))
            .collect();
        thread::sleep(Duration::from_secs_f64(arguments.seconds));
        ended.store(true, Ordering::Relaxed);
        let ends = clients.into_iter().map(|client| match client.join() {
            Ok(times) => times,
            Err(_) => Err("a client panicked".to_owned()),
        });
        ends.collect::<Result<Vec<_>, _>>()
    });
    let seconds = started.elapsed().as_secs_f64();
    let mut times: Vec<Duration> = times?.into_iter().flatten().collect();
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied();
    println!(
        "{:.0} requests/s, p50 {:.0} µs, p99 {:.0} µs, {} answers, all 200",
        times.len() as f64 / seconds,
        at(50).unwrap_or_default().as_secs_f64() * 1e6,
        at(99).unwrap_or_default().as_secs_f64() * 1e6,
        times.len(),
    );
    Ok(())
}
