//! One principal and action, and every resource of a type: one by one, and in a batch.

use cedarjit::{Decision, EntityHandle, Scratch};
use cedarjit_bench::Error;
use cedarjit_bench::apps::{App, absent, worlds};
use cedarjit_bench::questions::{QUESTIONS, Question};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn ask(criterion: &mut Criterion, question: &Question, app: &App) -> Result<(), Error> {
    let snapshot = app.builder(true)?.build()?.snapshot();
    let resources = question.resources(app)?;
    let resources = resources.iter().map(|uid| snapshot.resolve(uid));
    let resources: Vec<EntityHandle> = resources.filter_map(|r| r.ok().flatten()).collect();
    let asked = question.requests(app, 1)?[0];
    let context = serde_json::from_str(&asked.context)?;
    let (principal, action, resource) = (&asked.principal, &asked.action, &asked.resource);
    let request = snapshot.bind_json(principal, action, resource, &context, true)?;
    let mut group = criterion.benchmark_group(format!("batch/{}", app.name));
    group.throughput(Throughput::Elements(resources.len() as u64));

    let (mut single, mut scratch) = (request.clone(), Scratch::default());
    single.warm_up();
    let mut one_by_one = || -> Vec<Option<Decision>> {
        let decide = |resource: &EntityHandle| {
            single.set_resource(*resource).ok()?;
            Some(single.evaluate(&mut scratch).decision())
        };
        resources.iter().map(decide).collect()
    };
    let mut batch = request.for_resources();
    group.bench_function("one-by-one", |b| b.iter(|| black_box(one_by_one())));
    snapshot.list_descendants();
    assert!(batch.warm_up(resources[0]), "there is no code");
    let decisions: Vec<_> = batch.decide(resources.iter().copied()).iter().collect();
    assert_eq!(decisions, one_by_one());
    group.bench_function("batch", |b| {
        b.iter(|| {
            let mut batch = request.for_resources();
            black_box(batch.decide(resources.iter().copied()).allowed().count())
        });
    });
    group.finish();
    Ok(())
}

fn batch(criterion: &mut Criterion) {
    for question in &QUESTIONS {
        match worlds(&[question.world]).expect("the worlds can be read") {
            Some(apps) => {
                for app in &apps {
                    ask(criterion, question, app).expect("the question can be asked");
                }
            }
            None => eprintln!("SKIPPED: {}: {}", question.world, absent()),
        }
    }
}

criterion_group!(benches, batch);
criterion_main!(benches);
