//! `campaign`: that it runs, goes on from where it ended, and says what is wrong with its state.

mod common;

use common::{file, run, scratch};

#[test]
fn a_campaign_goes_on_from_its_state() {
    let folder = scratch("campaign");
    std::fs::create_dir_all(&folder).unwrap();
    let state = folder.join("state.json").display().to_string();
    let _fresh = std::fs::remove_file(&state);
    let start = |requests: &str| run(&["campaign", "--requests", requests, "--state", &state]);
    let first = start("1");
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.stdout.contains("\n1 worlds, "), "{first:?}");
    assert!(first.stdout.contains(" 0 mismatches"), "{first:?}");
    // Enough already: nothing more is run, and the sums are the earlier ones.
    let second = start("1");
    assert!(second.stdout.contains("\n1 worlds, "), "{second:?}");
    let third = start("1201");
    assert!(!third.stdout.contains("\n1 worlds, "), "{third:?}");
    assert_eq!(third.stderr, "", "no progress bar off a terminal");
}

#[test]
fn a_file_that_is_no_state_is_refused() {
    let path = file("campaign-state.json", "{}");
    let run = run(&["campaign", "--requests", "1", "--state", &path]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("campaign-state.json"), "{run:?}");
    assert!(run.stderr.contains("remove it"), "{run:?}");
}
