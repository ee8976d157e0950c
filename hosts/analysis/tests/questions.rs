//! Questions with answers that are known. They need cvc5, and say so where there is none.

use cedar_policy::{PolicySet, Schema};
use cedarjit_analysis::{
    Answer, Change, DEFAULT_TIME_LIMIT, NotKnown, Question, Solver, Subject, analyze, diff,
};

const SCHEMA: &str = r#"
    entity Team;
    entity User in [Team] { age: Long, boss?: User };
    entity Doc { owner: User, open: Bool };
    action view appliesTo { principal: User, resource: Doc, context: { n: Long } };
    action edit appliesTo { principal: User, resource: Doc, context: { n: Long } };
"#;

/// A solver, or nothing where there is none and none is demanded.
fn solver() -> Option<Solver> {
    match Solver::start(None, DEFAULT_TIME_LIMIT) {
        Ok(solver) => Some(solver),
        Err(error) if std::env::var_os("CEDARJIT_REQUIRE_CVC5").is_none() => {
            eprintln!("SKIPPED: {error}; install cvc5 or name it in CVC5");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn schema() -> Schema {
    Schema::from_cedarschema_str(SCHEMA).unwrap().0
}

fn subject(policies: &str) -> Subject {
    Subject::new(&policies.parse().unwrap()).unwrap()
}

/// The answers to one question for `view`.
fn ask(first: &str, second: Option<&str>, question: Question) -> Option<Answer> {
    let mut solver = solver()?;
    let second = second.map(subject);
    let (first, schema) = (subject(first), schema());
    let all = analyze(
        &first,
        second.as_ref(),
        &schema,
        &[question],
        &mut solver,
        |_| {},
    );
    let of_view = |it: &&cedarjit_analysis::Answered| {
        it.environment.action().to_string() == r#"Action::"view""#
    };
    Some(all.answers.iter().find(of_view).unwrap().answer.clone())
}

#[track_caller]
fn yes(first: &str, second: Option<&str>, question: Question) {
    if let Some(answer) = ask(first, second, question) {
        assert!(matches!(answer, Answer::Yes), "{answer:?}");
    }
}

#[track_caller]
fn no(first: &str, second: Option<&str>, question: Question) {
    if let Some(answer) = ask(first, second, question) {
        let Answer::No(example) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(example.judged.len(), 1 + usize::from(second.is_some()));
    }
}

const ALL: &str = "permit (principal, action, resource);";
const NONE: &str = "forbid (principal, action, resource);";
const OWNER: &str = "permit (principal, action, resource) when { principal == resource.owner };";
const OPEN: &str = "permit (principal, action, resource) when { resource.open };";
const SHUT: &str = "permit (principal, action, resource) when { !resource.open };";

#[test]
fn policies_that_may_fail() {
    yes(OWNER, None, Question::NeverErrors);
    let overflow = "permit (principal, action, resource) when { context.n + 1 > 0 };";
    no(overflow, None, Question::NeverErrors);
    let guarded =
        "permit (principal, action, resource) when { context.n < 9 && context.n + 1 > 0 };";
    yes(guarded, None, Question::NeverErrors);
}

#[test]
fn policies_that_are_superfluous() {
    let never = "permit (principal, action, resource) when { context.n > 3 && context.n < 2 };";
    yes(never, None, Question::NeverMatches);
    yes(
        "forbid (principal, action == Action::\"edit\", resource);",
        None,
        Question::NeverMatches,
    );
    no(OWNER, None, Question::NeverMatches);
    no(NONE, None, Question::NeverMatches);
}

#[test]
fn sets_that_always_decide_alike() {
    yes(ALL, None, Question::AlwaysAllows);
    no(OPEN, None, Question::AlwaysAllows);
    yes(&format!("{OPEN}{SHUT}"), None, Question::AlwaysAllows);
    yes(&format!("{ALL}{NONE}"), None, Question::AlwaysDenies);
    yes("", None, Question::AlwaysDenies);
    no(OWNER, None, Question::AlwaysDenies);
}

#[test]
fn two_sets() {
    yes(OPEN, Some(ALL), Question::Implies);
    no(ALL, Some(OPEN), Question::Implies);
    yes(OPEN, Some(SHUT), Question::Disjoint);
    no(OPEN, Some(OWNER), Question::Disjoint);
    yes(&format!("{OPEN}{SHUT}"), Some(ALL), Question::Equivalent);
    no(OPEN, Some(SHUT), Question::Equivalent);
}

#[test]
fn a_link_is_what_it_stands_for() {
    let mut set: PolicySet = "@id(\"t\") permit (principal == ?principal, action, resource);"
        .parse()
        .unwrap();
    let template = set.templates().next().unwrap().id().clone();
    let ann = r#"User::"ann""#.parse().unwrap();
    let values = [(cedar_policy::SlotId::principal(), ann)].into();
    set.link(template, "ann".parse().unwrap(), values).unwrap();
    let linked = Subject::new(&set).unwrap();
    let written = subject(r#"permit (principal == User::"ann", action, resource);"#);
    let Some(mut solver) = solver() else { return };
    let asked = [Question::Equivalent];
    let all = analyze(
        &linked,
        Some(&written),
        &schema(),
        &asked,
        &mut solver,
        |_| {},
    );
    assert_eq!(all.counts(), (2, 0, 0));
    // And not one that does nothing.
    let empty = subject("");
    let all = analyze(
        &linked,
        Some(&empty),
        &schema(),
        &asked,
        &mut solver,
        |_| {},
    );
    assert_eq!(all.counts(), (0, 2, 0));
}

#[test]
fn policies_that_are_not_valid_are_not_judged() {
    let wrong = "permit (principal, action, resource) when { resource.colour == 3 };";
    let Some(answer) = ask(wrong, None, Question::AlwaysAllows) else {
        return;
    };
    assert!(
        matches!(answer, Answer::NotKnown(NotKnown::NotValid(_))),
        "{answer:?}"
    );
}

#[test]
fn what_a_change_changes() {
    let Some(mut solver) = solver() else { return };
    let old = subject(&format!("{OPEN}{OWNER}"));
    let view = r#"action == Action::"view", resource)"#;
    let new = subject(&format!(
        "{OPEN}{OWNER} permit (principal, {view} when {{ principal.age > 30 }};
         forbid (principal, action == Action::\"edit\", resource) unless {{ resource.open }};"
    ));
    let changes = diff(&old, &new, &schema(), &mut solver, |_| {});
    let by_action = |action: &str| {
        let of_it = |it: &&cedarjit_analysis::EnvironmentChange| {
            it.environment.action().to_string().contains(action)
        };
        changes.environments.iter().find(of_it).unwrap()
    };
    let (edit, view) = (by_action("edit"), by_action("view"));
    assert_eq!(edit.change, Change::LessPermissive);
    let judged = &edit.newly_denied.as_ref().unwrap().judged;
    assert!(judged[0].allowed && !judged[1].allowed);
    assert_eq!(view.change, Change::MorePermissive);
    assert!(view.newly_denied.is_none() && view.not_known.is_empty());
    let nothing = diff(&old, &old, &schema(), &mut solver, |_| {});
    assert_eq!(nothing.count(Change::Unchanged), 2);
}
