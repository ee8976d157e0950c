//! Asking from strings: sessions, and responses of their own.

use cedar_policy::{Decision, Entities, Policy, PolicyId};
use cedarjit::{Engine, RequestError};

const ANN: &str = r#"User::"ann""#;
const VIEW: &str = r#"Action::"view""#;
const PLAN: &str = r#"Doc::"plan""#;

fn engine() -> Engine {
    Engine::builder()
        .policies_str(
            r#"permit (principal == User::"ann", action, resource) when { context.n > 1 };"#,
        )
        .build()
        .expect("builds")
}

fn forbid(id: &str) -> Policy {
    let text = "forbid (principal, action, resource);";
    Policy::parse(Some(PolicyId::new(id)), text).expect("parses")
}

#[test]
fn a_session_sees_every_change() {
    let engine = engine();
    let mut session = engine.session();
    let mut other = session.clone();
    let mut decide = |context: &str| {
        let answer = session.is_authorized(ANN, VIEW, PLAN, context, true);
        let answer = answer.expect("is a request");
        (answer.decision(), answer.errors().len())
    };
    assert_eq!(decide(r#"{"n": 2}"#), (Decision::Allow, 0));
    assert_eq!(decide(r#"{"n": 1}"#), (Decision::Deny, 0));
    assert_eq!(decide("{}"), (Decision::Deny, 1));
    engine.add_policy(forbid("no")).expect("is added");
    assert_eq!(decide(r#"{"n": 2}"#), (Decision::Deny, 0));
    engine
        .remove_policy(PolicyId::new("no"))
        .expect("is removed");
    assert_eq!(decide(r#"{"n": 2}"#), (Decision::Allow, 0));
    engine
        .replace_entities(Entities::empty())
        .expect("are replaced");
    assert_eq!(decide(r#"{"n": 2}"#), (Decision::Allow, 0));
    let answer = other.is_authorized(ANN, VIEW, PLAN, r#"{"n": 2}"#, true);
    assert_eq!(answer.expect("is a request").decision(), Decision::Allow);
}

#[test]
fn a_bad_request_is_an_error_and_the_next_is_fine() {
    let engine = engine();
    let mut session = engine.session();
    for (uid, context) in [
        ("ann", "{}"),
        (ANN, "{"),
        (ANN, "[]"),
        (ANN, r#"{"n": 1.5}"#),
    ] {
        let error = session.is_authorized(uid, VIEW, PLAN, context, true);
        let error = error.expect_err("is no request").to_string();
        let other = engine.is_authorized_json(uid, VIEW, PLAN, context, true);
        assert_eq!(other.expect_err("is no request").to_string(), error);
        let answer = session.is_authorized(ANN, VIEW, PLAN, r#"{"n": 2}"#, true);
        let answer = answer.expect("is a request");
        assert_eq!(answer.decision(), Decision::Allow);
        assert_eq!(answer.reasons().collect::<Vec<_>>(), ["policy0"]);
    }
}

#[test]
fn a_response_outlives_the_engine() {
    let engine = engine();
    let response = engine.is_authorized_json(ANN, VIEW, PLAN, "{}", true);
    let response = response.expect("is a request");
    drop(engine);
    assert_eq!(response.decision(), Decision::Deny);
    let errors: Vec<_> = response.diagnostics().errors().collect();
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0]
            .to_string()
            .contains("does not have the attribute `n`")
    );
}

#[test]
fn handles_serve_sessions() {
    let engine = engine();
    let ann = engine
        .resolve(ANN)
        .expect("is a uid")
        .expect("a policy mentions it");
    let mut session = engine.session();
    let answer = session.is_authorized(ann, VIEW, PLAN, r#"{"n": 2}"#, true);
    assert_eq!(answer.expect("is a request").decision(), Decision::Allow);
    let response = engine.is_authorized_json(ann, VIEW, PLAN, r#"{"n": 2}"#, true);
    assert_eq!(response.expect("is a request").decision(), Decision::Allow);
    engine
        .replace_entities(Entities::empty())
        .expect("are replaced");
    let error = session.is_authorized(ann, VIEW, PLAN, "{}", true);
    assert!(matches!(error, Err(RequestError::Handle(_))));
}
