//! From the texts of a request to full diagnostics.

use cedarjit_bench::apps::App;
use cedarjit_bench::client::Client;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn end_to_end(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("end-to-end");
    for app in App::all().expect("the applications can be read") {
        // Without a schema where that is possible: some recorded requests do not fit it.
        let builder = app.builder(app.actions.is_none());
        let builder = builder.expect("the application loads");
        let engine = builder.build().expect("the application compiles");
        let mut client = Client::new(&engine, false);
        group.throughput(Throughput::Elements(app.requests.len() as u64));
        group.bench_function(&app.name, |b| {
            b.iter(|| {
                for request in &app.requests {
                    black_box(client.decide(request).is_ok());
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, end_to_end);
criterion_main!(benches);
