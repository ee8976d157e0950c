//! From the texts of a request to a bound request.

use cedarjit_bench::apps::App;
use cedarjit_bench::client::Client;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn bind(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bind");
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
                    black_box(client.rebind(request).is_ok());
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bind);
criterion_main!(benches);
