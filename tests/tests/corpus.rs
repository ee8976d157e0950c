//! A sample of the public Cedar integration tests, through every engine.
//!
//! `CEDARJIT_CORPUS` names the folder of their archives, by default `../shared/corpus` beside the
//! repository. Without it there is nothing to run, and the test says so and passes.
//! `cedarjit conformance` runs all of them.

use cedarjit_tests::conformance::{Plan, Selection, Suite, run};
use cedarjit_tests::engines::engines;
use std::num::NonZero;
use std::path::{Path, PathBuf};

/// How many tests of each archive a developer waits a few seconds for, without optimisation.
const SAMPLE: usize = 120;

fn folder() -> PathBuf {
    match std::env::var_os("CEDARJIT_CORPUS") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
    }
}

#[test]
fn a_sample_of_the_public_tests_passes() {
    for archive in ["corpus-tests.tar.gz", "handwritten-tests.tar.gz"] {
        let path = folder().join(archive);
        if !path.is_file() {
            eprintln!(
                "SKIPPED: no public tests at {}; set CEDARJIT_CORPUS to their folder",
                path.display()
            );
            continue;
        }
        let suites = [Suite::open(&path).unwrap()];
        let selection = Selection {
            sample: Some(SAMPLE),
            ..Selection::default()
        };
        let plan = Plan::new(&suites, &selection);
        let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let report = run(&plan, &engines(), threads, &());
        assert!(report.tests > 0);
        assert!(report.passed(), "{:#?}", report.mismatches);
    }
}
