//! That it is counted what worlds execute. That nothing is left out takes more worlds than a test
//! has time for: `cedarjit campaign --complete` sees to that.

use cedarjit::coverage::{Came, Construct, Coverage};
use cedarjit_tests::differential::{campaign, run};
use cedarjit_tests::engines::CedarEngine;
use cedarjit_tests::generator::Knobs;
use std::num::NonZero;

fn observed(seeds: u64) -> Coverage {
    let engines = campaign::engines(NonZero::<usize>::MIN);
    let mut knobs = Knobs::default();
    knobs.sizes.max_requests = 200;
    knobs.many_policies = 0;
    run(0..seeds, 2, &CedarEngine, &engines, &knobs).coverage
}

#[test]
fn a_few_worlds_execute_most_of_everything() {
    let nothing = Coverage::default().missing().len();
    let coverage = observed(40);
    let missing = coverage.missing().len();
    assert!(missing * 2 < nothing, "{missing} of {nothing}: {coverage}");
    let outcomes = Construct::all()
        .into_iter()
        .flat_map(|construct| Came::ALL.map(|came| (construct, came)));
    let mut odd = outcomes.filter(|(construct, came)| {
        coverage.count(*construct, *came) > 0 && !construct.can_come_to(*came)
    });
    assert_eq!(odd.next(), None, "what cannot happen is counted");
}

#[test]
fn counts_add_up() {
    let mut sum = observed(3);
    let one = sum.clone();
    sum.merge(&one);
    for construct in Construct::all() {
        for came in Came::ALL {
            assert_eq!(sum.count(construct, came), 2 * one.count(construct, came));
        }
    }
}
