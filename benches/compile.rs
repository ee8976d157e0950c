//! Generating code for policies no two of which are alike.
//!
//! `native` waits until all code is there; the difference to `interpreted` is code generation.

use cedarjit::{Engine, EngineBuilder, JitMode};
use cedarjit_bench::Error;
use cedarjit_bench::generate::distinct;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn build(builder: EngineBuilder, native: bool) -> Result<Engine, Error> {
    let engine = builder.build()?;
    while native && engine.stats().native_shapes < engine.stats().shapes {
        std::thread::yield_now();
    }
    Ok(engine)
}

fn compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for count in [100, 1_000] {
        let builder = distinct(count, 1).builder();
        group.throughput(Throughput::Elements(count as u64));
        for (name, native) in [("native", true), ("interpreted", false)] {
            let mode = if native { JitMode::Auto } else { JitMode::Off };
            group.bench_function(BenchmarkId::new(name, count), |b| {
                b.iter_batched(
                    || builder.clone().jit(mode),
                    |builder| build(builder, native).expect("generated policies compile"),
                    BatchSize::LargeInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, compile);
criterion_main!(benches);
