//! Requests that are frequent get fused code while they are asked, and nobody can tell.

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Request};
use cedarjit::{BoundRequest, Decision, Engine, Scratch, Tier};
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

/// Some apply to all requests of an action, others only where their scope holds; some fail, and some
/// need what fused code calls a builtin for.
const POLICIES: &str = r#"
@id("owner")   permit (principal, action, resource) when { resource.owner == principal };
@id("team")    permit (principal, action == Action::"view", resource)
  when { principal in resource.team };
@id("named")   permit (principal, action == Action::"find", resource)
  when { [resource.name, "memo"].contains(context.name) };
@id("like")    permit (principal, action == Action::"find", resource)
  when { resource.name like "p*n" };
@id("late")    forbid (principal, action, resource) when { context.hour > 20 };
@id("ann")     permit (principal == User::"ann", action, resource) when { context.hour < 9 };
@id("core")    permit (principal in Team::"core", action, resource) when { resource.level < 2 };
@id("memo")    forbid (principal, action, resource == Doc::"memo") when { principal.level < 2 };
@id("view")    permit (principal == User::"bob", action == Action::"view", resource);
@id("other1")  permit (principal == User::"cid", action, resource) when { true };
@id("other2")  forbid (principal == User::"dan", action, resource) when { true };
"#;

const ENTITIES: &str = r#"[
  {"uid": {"type": "User", "id": "ann"}, "attrs": {"level": 3},
   "parents": [{"type": "Team", "id": "core"}]},
  {"uid": {"type": "User", "id": "bob"}, "attrs": {"level": 1}, "parents": []},
  {"uid": {"type": "Team", "id": "core"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Doc", "id": "plan"}, "parents": [], "attrs": {
    "owner": {"__entity": {"type": "User", "id": "bob"}}, "name": "plan", "level": 1,
    "team": {"__entity": {"type": "Team", "id": "core"}}}},
  {"uid": {"type": "Doc", "id": "memo"}, "parents": [], "attrs": {
    "owner": {"__entity": {"type": "User", "id": "ann"}}, "name": "memo", "level": 2,
    "team": {"__entity": {"type": "User", "id": "ann"}}}}
]"#;

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    decision: Decision,
    reasons: BTreeSet<String>,
    failed: BTreeSet<String>,
}

fn requests() -> Vec<Request> {
    let uid = |text: String| text.parse::<EntityUid>().unwrap();
    let mut requests = Vec::new();
    for user in ["ann", "bob", "nobody"] {
        for action in ["view", "find", "none"] {
            for doc in ["plan", "memo", "missing"] {
                for context in ["{}", r#"{"hour": 8, "name": "plan"}"#, r#"{"hour": 22}"#] {
                    requests.push(
                        Request::new(
                            uid(format!("User::\"{user}\"")),
                            uid(format!("Action::\"{action}\"")),
                            uid(format!("Doc::\"{doc}\"")),
                            Context::from_json_str(context, None).unwrap(),
                            None,
                        )
                        .unwrap(),
                    );
                }
            }
        }
    }
    requests
}

/// What cedar-policy answers.
fn expected(policies: &PolicySet, entities: &Entities, request: &Request) -> Answer {
    let response = Authorizer::new().is_authorized(request, policies, entities);
    let failed = response.diagnostics().errors().map(|error| match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
            error.policy_id().to_string()
        }
    });
    Answer {
        decision: response.decision(),
        reasons: response
            .diagnostics()
            .reason()
            .map(ToString::to_string)
            .collect(),
        failed: failed.collect(),
    }
}

/// What the engine answers, on every way that fused code may go.
fn answer(request: &BoundRequest, scratch: &mut Scratch) -> Answer {
    let decision = request.decide(scratch);
    let evaluation = request.evaluate(scratch);
    assert_eq!(evaluation.decision(), decision);
    Answer {
        decision,
        reasons: evaluation.reasons().map(str::to_owned).collect(),
        failed: evaluation.failed().map(str::to_owned).collect(),
    }
}

#[test]
fn frequent_requests_get_fused_code_and_the_same_answers() {
    let policies = cedarjit_frontend::load::parse_policies(POLICIES, "test").unwrap();
    let entities = Entities::from_json_str(ENTITIES, None).unwrap();
    let builder = Engine::builder().policies(&policies);
    let engine = builder.entities(entities.clone()).build().unwrap();
    assert!(matches!(engine.tier(), Tier::Native));
    let snapshot = engine.snapshot();
    let requests = requests();
    let bound = requests.iter().map(|request| snapshot.bind(request));
    let bound: Vec<BoundRequest> = bound.collect::<Result<_, _>>().unwrap();
    let expected = requests.iter().map(|r| expected(&policies, &entities, r));
    let expected: Vec<Answer> = expected.collect();
    let mut scratch = Scratch::default();
    let mut check = |when: &str| {
        for (request, (bound, expected)) in requests.iter().zip(bound.iter().zip(&expected)) {
            assert_eq!(&answer(bound, &mut scratch), expected, "{when}: {request}");
        }
    };

    check("before");
    assert_eq!(engine.stats().fused_buckets, 0);
    let code_bytes = engine.stats().code_bytes;
    // Three actions, users that exist or not, documents that exist or not.
    let buckets = 3 * 2 * 2;
    let started = Instant::now();
    while engine.stats().fused_buckets < buckets {
        check("meanwhile");
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "not fused: {:?}",
            engine.stats()
        );
        thread::sleep(Duration::from_millis(1));
    }
    check("after");
    assert_eq!(engine.stats().fused_buckets, buckets);
    assert!(engine.stats().code_bytes > code_bytes);
}
