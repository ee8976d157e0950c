//! From a bound request to the decision alone, beside full diagnostics.

use cedarjit_bench::apps::App;
use cedarjit_bench::client::Client;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for app in App::all().expect("the applications can be read") {
        let mut client = Client::without_schema(&app).expect("the application loads");
        let bound = app.requests.iter().map(|r| client.bind(r));
        let bound: Vec<_> = bound.collect::<Result<_, _>>().expect("requests bind");
        group.throughput(Throughput::Elements(bound.len() as u64));
        group.bench_function(format!("{}/decide", app.name), |b| {
            b.iter(|| {
                for request in &bound {
                    black_box(client.decide_bound(black_box(request)));
                }
            });
        });
        group.bench_function(format!("{}/evaluate", app.name), |b| {
            b.iter(|| {
                for request in &bound {
                    client.evaluate(black_box(request));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
