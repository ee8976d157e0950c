//! A decision against the number of policies, and with all policies on one hub.

use cedarjit::{BoundRequest, Scratch};
use cedarjit_bench::Error;
use cedarjit_bench::client::Client;
use cedarjit_bench::generate::{Layout, scaling};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const REQUESTS: usize = 2_000;

fn bound(layout: Layout, policies: usize) -> Result<Vec<BoundRequest>, Error> {
    let generated = scaling(layout, policies, REQUESTS);
    let mut client = Client::new(&generated.builder().build()?, false);
    generated.requests.iter().map(|r| client.bind(r)).collect()
}

fn policies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("policies");
    group.throughput(Throughput::Elements(REQUESTS as u64));
    let mixed = [10, 100, 1_000, 10_000, 100_000].map(|n| ("mixed", Layout::Mixed, n));
    let hubs = [
        ("hub-group", Layout::HubGroup, 100_000),
        ("hub-resource", Layout::HubResource, 100_000),
    ];
    for (name, layout, policies) in mixed.into_iter().chain(hubs) {
        let requests = bound(layout, policies).expect("generated policies load");
        let mut scratch = Scratch::default();
        group.bench_function(BenchmarkId::new(name, policies), |b| {
            b.iter(|| {
                for request in &requests {
                    black_box(black_box(request).evaluate(&mut scratch));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, policies);
criterion_main!(benches);
