//! From the texts of a request to a bound request, and on to full diagnostics.

use cedarjit_bench::apps::{App, RequestText};
use cedarjit_bench::client::Client;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn each_request(criterion: &mut Criterion, name: &str, ask: fn(&mut Client, &RequestText) -> bool) {
    let mut group = criterion.benchmark_group(name);
    for app in App::all().expect("the applications can be read") {
        let mut client = Client::without_schema(&app).expect("the application loads");
        group.throughput(Throughput::Elements(app.requests.len() as u64));
        group.bench_function(&app.name, |b| {
            b.iter(|| {
                for request in &app.requests {
                    black_box(ask(&mut client, request));
                }
            });
        });
    }
    group.finish();
}

fn bind(criterion: &mut Criterion) {
    each_request(criterion, "bind", |client, request| {
        client.rebind(request).is_ok()
    });
}

fn end_to_end(criterion: &mut Criterion) {
    each_request(criterion, "end-to-end", |client, request| {
        client.decide(request).is_ok()
    });
}

criterion_group!(benches, bind, end_to_end);
criterion_main!(benches);
