//! From a bound request to full diagnostics: with a schema, without one, and interpreted.

use cedarjit::{BoundRequest, JitMode, Scratch};
use cedarjit_bench::Error;
use cedarjit_bench::apps::App;
use cedarjit_bench::client::Client;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// All requests, bound; with a schema those whose action it knows.
fn bound(app: &App, with_schema: bool, jit: JitMode) -> Result<Vec<BoundRequest>, Error> {
    let engine = app.builder(with_schema)?.jit(jit).build()?;
    let mut client = Client::new(&engine, false);
    let bound = app.requests.iter().map(|r| client.bind(r));
    if with_schema {
        return Ok(bound.filter_map(Result::ok).collect());
    }
    bound.collect()
}

fn evaluate(criterion: &mut Criterion) {
    let modes = [
        ("schema", true, JitMode::Auto),
        ("no-schema", false, JitMode::Auto),
        ("interpreted", true, JitMode::Off),
    ];
    for (mode, with_schema, jit) in modes {
        let mut group = criterion.benchmark_group(format!("evaluate/{mode}"));
        for app in App::all().expect("the applications can be read") {
            if !with_schema && app.actions.is_none() {
                continue;
            }
            let requests = bound(&app, with_schema, jit).expect("the application loads");
            let mut scratch = Scratch::default();
            group.throughput(Throughput::Elements(requests.len() as u64));
            group.bench_function(&app.name, |b| {
                b.iter(|| {
                    for request in &requests {
                        black_box(black_box(request).evaluate(&mut scratch));
                    }
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, evaluate);
criterion_main!(benches);
