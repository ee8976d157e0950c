//! One decision on the shipped example: binding, evaluating, and both, beside cedar-policy.

use cedar_policy::Authorizer;
use cedarjit::Scratch;
use cedarjit_bench::Example;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn decide(criterion: &mut Criterion) {
    let example = Example::load().expect("the shipped example loads");
    let engine = example.engine().expect("the shipped example compiles");
    let bound = example.bound(&engine).expect("the example's requests bind");
    let mut group = criterion.benchmark_group("tinytodo");
    group.throughput(Throughput::Elements(example.requests.len() as u64));

    let mut scratch = Scratch::default();
    group.bench_function("evaluate/native", |b| {
        b.iter(|| {
            for request in &bound {
                black_box(request.evaluate(&mut scratch));
            }
        });
    });
    group.bench_function("evaluate/interpreter", |b| {
        b.iter(|| {
            for request in &bound {
                black_box(request.interpret(&mut scratch));
            }
        });
    });
    let authorizer = Authorizer::new();
    group.bench_function("evaluate/cedar-policy", |b| {
        b.iter(|| {
            for request in &example.requests {
                black_box(authorizer.is_authorized(request, &example.policies, &example.entities));
            }
        });
    });
    let snapshot = engine.snapshot();
    group.bench_function("bind", |b| {
        b.iter(|| {
            for request in &example.requests {
                black_box(snapshot.bind(request).is_ok());
            }
        });
    });
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
