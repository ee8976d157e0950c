//! Every mismatch that was ever found, made small and kept: each must stay fixed.

use cedarjit_tests::conformance::{Plan, Selection, Suite, run};
use cedarjit_tests::engines::engines;
use std::num::NonZero;
use std::path::Path;

#[test]
fn what_was_found_once_stays_fixed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let suites = [Suite::open(&folder).expect("tests")];
    let plan = Plan::new(&suites, &Selection::default());
    assert!(!plan.is_empty());
    let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let report = run(&plan, &engines(), threads, &());
    for mismatch in &report.mismatches {
        println!("{mismatch}\n");
    }
    assert!(report.passed(), "{report}");
}
