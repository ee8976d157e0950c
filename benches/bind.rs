//! From strings to a request that can be evaluated, and to a decision: the long way through
//! cedar-policy, a binder, and handles.

use cedarjit::request::parse_request;
use cedarjit::{Binder, Uid};
use cedarjit_bench::{Example, RequestText};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::borrow::Cow;
use std::hint::black_box;

fn bind(criterion: &mut Criterion) {
    let example = Example::load().expect("the shipped example loads");
    let engine = example.engine().expect("the shipped example compiles");
    let snapshot = engine.snapshot();
    let requests = &example.texts;
    let mut group = criterion.benchmark_group("bind");
    group.throughput(Throughput::Elements(requests.len() as u64));

    group.bench_function("cedar-policy", |b| {
        b.iter(|| {
            for RequestText { uids, context } in requests {
                let [principal, action, resource] = uids;
                let context = serde_json::from_str(context).expect("is JSON");
                let context = Cow::Owned(context);
                let schema = Some(&example.schema);
                let request = parse_request(principal, action, resource, context, schema, true);
                let request = request.expect("is valid");
                black_box(snapshot.bind(&request).is_ok());
            }
        });
    });
    group.bench_function("request", |b| {
        b.iter(|| {
            for request in &example.requests {
                black_box(snapshot.bind(request).is_ok());
            }
        });
    });
    let mut binder = Binder::new(snapshot.clone());
    group.bench_function("strings", |b| {
        b.iter(|| {
            for RequestText { uids, context } in requests {
                let [principal, action, resource] = uids;
                black_box(
                    binder
                        .bind(principal, action, resource, context, true)
                        .is_ok(),
                );
            }
        });
    });
    // What the engine does not know has no handle.
    let uids: Vec<[Uid<'_>; 3]> = requests
        .iter()
        .map(|request| {
            request.uids.each_ref().map(|uid| {
                let known = engine.resolve(uid).ok().flatten();
                known.map_or(Uid::Text(uid), Uid::Handle)
            })
        })
        .collect();
    group.bench_function("handles", |b| {
        b.iter(|| {
            for ([principal, action, resource], request) in uids.iter().zip(requests) {
                let context = &request.context;
                let bound = binder.bind(*principal, *action, *resource, context, true);
                black_box(bound.is_ok());
            }
        });
    });
    let empty = cedarjit::Engine::builder()
        .policies(&example.policies)
        .entities(example.entities.clone())
        .build();
    let mut binder = Binder::new(empty.expect("builds").snapshot());
    group.bench_function("strings/no schema, no context", |b| {
        b.iter(|| {
            for RequestText { uids, .. } in requests {
                let [principal, action, resource] = uids;
                black_box(binder.bind(principal, action, resource, "{}", true).is_ok());
            }
        });
    });
    let mut session = engine.session();
    group.bench_function("session", |b| {
        b.iter(|| {
            for RequestText { uids, context } in requests {
                let [principal, action, resource] = uids;
                let answer = session.is_authorized(principal, action, resource, context, true);
                black_box(answer.is_ok());
            }
        });
    });
    group.bench_function("is_authorized_json", |b| {
        b.iter(|| {
            for RequestText { uids, context } in requests {
                let [principal, action, resource] = uids;
                let answer = engine.is_authorized_json(principal, action, resource, context, true);
                black_box(answer.is_ok());
            }
        });
    });
    group.finish();
}

criterion_group!(benches, bind);
criterion_main!(benches);
