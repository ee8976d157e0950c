//! What it costs an evaluation that the engine checks itself.

use cedarjit::SelfCheck;
use cedarjit_bench::Error;
use cedarjit_bench::apps::App;
use cedarjit_bench::client::Client;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::num::NonZero;

/// A client of an engine that checks one in so many decisions, or none.
fn client(app: &App, every: Option<NonZero<u32>>) -> Result<Client, Error> {
    let builder = app.builder(app.actions.is_none())?;
    let builder = match every {
        Some(every) => builder.self_check(SelfCheck::one_in(every)),
        None => builder,
    };
    Ok(Client::new(&builder.build()?, false))
}

fn self_check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("self-check");
    for app in App::all().expect("the applications can be read") {
        for every in [None, NonZero::new(1_000), NonZero::new(100)] {
            let mut client = client(&app, every).expect("the application loads");
            let bound = app.requests.iter().map(|r| client.bind(r));
            let bound: Vec<_> = bound.collect::<Result<_, _>>().expect("requests bind");
            let name = every.map_or("none".to_owned(), |every| format!("one in {every}"));
            group.throughput(Throughput::Elements(bound.len() as u64));
            group.bench_function(format!("{}/{name}", app.name), |b| {
                b.iter(|| {
                    for request in &bound {
                        client.evaluate(black_box(request));
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, self_check);
criterion_main!(benches);
