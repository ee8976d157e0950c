//! Loading, from texts to the first answer: applications, and many links of one template; and of
//! entities alone, beside cedar-policy.

use cedar_policy::{Entities, Schema};
use cedarjit::{Engine, EngineBuilder};
use cedarjit_bench::Error;
use cedarjit_bench::apps::{App, RequestText};
use cedarjit_bench::client::Client;
use cedarjit_bench::drive::drive;
use cedarjit_bench::generate::{Names, links};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn first_answer(builder: EngineBuilder, request: &RequestText) -> Result<(), Error> {
    let engine = builder.build()?;
    black_box(Client::new(&engine, false).decide(request)?);
    Ok(())
}

fn load(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    for app in App::all().expect("the applications can be read") {
        let builder = app.builder(true).expect("the application can be read");
        let request = app.requests.first().expect("an application has requests");
        group.bench_function(BenchmarkId::new("application", &app.name), |b| {
            b.iter_batched(
                || builder.clone(),
                |builder| first_answer(builder, request).expect("the application loads"),
                BatchSize::LargeInput,
            );
        });
    }
    for count in [1_000, 10_000] {
        let generated = links(count, Names::Own);
        let builder = generated.builder();
        let request = generated.requests.first().expect("there is one request");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("links", count), |b| {
            b.iter_batched(
                || builder.clone(),
                |builder| first_answer(builder, request).expect("the links load"),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn entities(criterion: &mut Criterion) {
    const COUNT: usize = 10_000;
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    group.throughput(Throughput::Elements(COUNT as u64));
    let drive = drive(COUNT);
    let builder = Engine::builder().schema_json(&drive.schema);
    let builder = builder.entities_json(&drive.entities);
    group.bench_function(BenchmarkId::new("entities", COUNT), |b| {
        b.iter_batched(
            || builder.clone(),
            |builder| builder.build().expect("the entities load"),
            BatchSize::LargeInput,
        );
    });
    let schema = Schema::from_json_str(&drive.schema).expect("the schema is right");
    group.bench_function(BenchmarkId::new("entities by cedar-policy", COUNT), |b| {
        b.iter_with_large_drop(|| {
            Entities::from_json_str(&drive.entities, Some(&schema)).expect("the entities load")
        });
    });
    group.finish();
}

criterion_group!(benches, load, entities);
criterion_main!(benches);
