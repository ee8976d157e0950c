//! Comparing policies with what was made of them. They need cvc5, and say so where there is none.

use cedar_policy::Schema;
use cedarjit_analysis::{Answer, DEFAULT_TIME_LIMIT, NotKnown, Proofs, Solver, Subject, prove};
use std::collections::HashMap;

const SCHEMA: &str = r#"
    entity User { age: Long };
    entity Doc { owner: User, open: Bool };
    action view appliesTo { principal: User, resource: Doc, context: { n: Long } };
"#;

/// What is known of one policy that `made` was made of; nothing where there is no solver.
fn compare(policy: &str, made: Option<&str>) -> Option<Proofs> {
    let mut solver = match Solver::start(None, DEFAULT_TIME_LIMIT) {
        Ok(solver) => solver,
        Err(error) if std::env::var_os("CEDARJIT_REQUIRE_CVC5").is_none() => {
            eprintln!("SKIPPED: {error}; install cvc5 or name it in CVC5");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let subject = Subject::new(&policy.parse().unwrap()).unwrap();
    let schema = Schema::from_cedarschema_str(SCHEMA).unwrap().0;
    let made = HashMap::from([("policy0".to_owned(), made.map(str::to_owned))]);
    Some(prove(&subject, &made, &schema, &mut solver, |_| {}))
}

#[track_caller]
fn same(policy: &str, made: &str) {
    if let Some(proofs) = compare(policy, Some(made)) {
        assert_eq!(proofs.counts(), (1, 0, 0), "{proofs:?}");
        assert!(proofs.unproven().is_empty());
        assert!(proofs.most_within().as_nanos() > 0);
    }
}

/// The policy satisfied and failed, and what was made of it.
#[track_caller]
fn differ(policy: &str, made: &str, expected: [(bool, bool); 2]) {
    let Some(proofs) = compare(policy, Some(made)) else {
        return;
    };
    assert_eq!(proofs.unproven(), ["policy0"]);
    let Answer::No(example) = &proofs.proofs[0].answer else {
        panic!("{proofs:?}");
    };
    let judged = example.judged.iter();
    let came_to: Vec<_> = judged
        .map(|it| (!it.reasons.is_empty(), !it.errors.is_empty()))
        .collect();
    assert_eq!(came_to, expected);
}

const OVERFLOWS: &str =
    "permit (principal, action, resource) when { context.n + 1 > 0 && resource.open };";

#[test]
fn what_means_the_same_is_proved() {
    same(
        OVERFLOWS,
        r#"(((context["n"] + 1) > 0) && (resource["open"]))"#,
    );
    same(
        r#"forbid (principal == User::"a", action == Action::"view", resource)
           when { resource.open } unless { principal.age < 3 };"#,
        r#"(action == Action::"view" && principal == User::"a" && resource["open"]
            && !(principal["age"] < 3))"#,
    );
    // What never decides.
    same(
        "permit (principal, action, resource) when { 1 + 9223372036854775807 > 0 };",
        "1 + 9223372036854775807 == 0",
    );
}

#[test]
fn failing_is_not_being_false() {
    let exchanged = r#"((resource["open"]) && ((context["n"] + 1) > 0))"#;
    differ(OVERFLOWS, exchanged, [(false, true), (false, false)]);
    let cautious = r#"(resource["open"] && context["n"] >= 0 && context["n"] <= 5
                       || resource["open"] && context["n"] > 5 && context["n"] + 0 > 0)"#;
    // Satisfied for the same requests but one, and it never fails.
    differ(OVERFLOWS, cautious, [(false, true), (true, false)]);
}

#[test]
fn what_is_satisfied_elsewhere_is_refuted() {
    differ(
        "permit (principal, action, resource) when { context.n < 5 };",
        r#"context["n"] <= 5"#,
        [(false, false), (true, false)],
    );
    differ(
        r#"permit (principal == User::"a", action, resource);"#,
        r#"(principal == User::"a" && false)"#,
        [(true, false), (false, false)],
    );
}

#[test]
fn what_cannot_be_compared_is_not_known() {
    for made in [None, Some("context.nothing"), Some("no expression at all")] {
        let Some(proofs) = compare(OVERFLOWS, made) else {
            return;
        };
        assert_eq!(proofs.counts(), (0, 0, 1), "{proofs:?}");
        let Answer::NotKnown(why) = &proofs.proofs[0].answer else {
            panic!("{proofs:?}");
        };
        assert!(
            matches!(why, NotKnown::NotTranslated(_) | NotKnown::NotValid(_)),
            "{why}"
        );
    }
}
