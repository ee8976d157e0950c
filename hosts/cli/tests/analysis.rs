//! `analyze` and `diff` on the shipped example. What needs cvc5 says so where there is none.

mod common;

use common::{Run, file, run, tinytodo};

/// Whether there is a solver to ask; it must be there where CEDARJIT_REQUIRE_CVC5 is set.
fn can_be_asked(run: &Run) -> bool {
    let missing = run.code == Some(1) && run.stderr.contains("there is no solver");
    let required = std::env::var_os("CEDARJIT_REQUIRE_CVC5").is_some();
    assert!(!(missing && required), "{run:?}");
    if missing {
        eprintln!("SKIPPED: there is no cvc5; install it or name it in CVC5");
    }
    !missing
}

fn diff(old: &str, new: &str, more: &[&str]) -> Run {
    let (links, schema) = (tinytodo("links.json"), tinytodo("tinytodo.cedarschema"));
    let args = [
        "diff",
        old,
        new,
        "--template-linked",
        &links,
        "--schema",
        &schema,
    ];
    run(&args
        .iter()
        .chain(more)
        .map(|&arg| arg.to_owned())
        .collect::<Vec<_>>())
}

#[test]
fn diff_of_the_example() {
    let (old, new) = (tinytodo("policies.cedar"), tinytodo("policies.next.cedar"));
    let changed = diff(&old, &new, &[]);
    if !can_be_asked(&changed) {
        return;
    }
    assert_eq!(changed.code, Some(2), "{changed:?}");
    for words in [
        "more permissive",
        "less permissive",
        "allowed now, denied before:",
    ] {
        assert!(changed.stdout.contains(words), "{changed:?}");
    }
    assert!(changed.stdout.ends_with("0 not known\n"), "{changed:?}");
    let unchanged = diff(&old, &old, &["--json"]);
    assert_eq!(unchanged.code, Some(0), "{unchanged:?}");
    assert!(!unchanged.stdout.contains("permissive"), "{unchanged:?}");
}

#[test]
fn analyze_of_the_example() {
    let mut args = common::on_tinytodo("analyze", &[]);
    let at = args.iter().position(|arg| arg == "--entities").unwrap();
    args.drain(at..at + 2);
    let answered = run(&args);
    if !can_be_asked(&answered) {
        return;
    }
    assert_eq!(answered.code, Some(0), "{answered:?}");
    assert!(answered.stdout.ends_with(" 0 not known\n"), "{answered:?}");
}

#[test]
fn what_cannot_be_asked() {
    let old = tinytodo("policies.cedar");
    diff(&old, &old, &["--solver", "/no/such/solver"]).assert_fails_saying(&[
        "there is no solver",
        "/no/such/solver",
        "apt-get install cvc5",
    ]);
    let broken = file("analysis-broken.cedar", "permit (");
    diff(&old, &broken, &[]).assert_fails_saying(&["analysis-broken.cedar"]);
    let schema = tinytodo("tinytodo.cedarschema");
    let ask = |question: &str| {
        let args = ["analyze", "-p", &old, "-s", &schema, "--question", question];
        run(&args.map(str::to_owned))
    };
    ask("why").assert_fails_saying(&["why", "never-errors"]);
    ask("implies").assert_fails_saying(&["implies", "--against"]);
}
