//! Every expression here is also evaluated by cedar-policy, and outcomes and error texts must be
//! the same.

mod depth;
mod matrix;
mod scopes;
mod traps;

use crate::error::to_cedar_error;
use crate::interpreter::Interpreter;
use crate::request::{RequestValues, parse_request};
use crate::store::Store;
use crate::values::{ScratchSpace, ValueContext};
use cedar_policy::{
    AuthorizationError, Authorizer, Effect, Entities, PolicyId, PolicySet, Request, Schema,
};
use cedarjit_frontend::load::load_policy_set;
use cedarjit_ir::interner::Interner;
use serde_json::json;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

/// What a policy came to, by its id.
type Outcomes = BTreeMap<String, Result<bool, String>>;

struct World {
    entities: Entities,
    request: Request,
}

impl World {
    fn new(entities: serde_json::Value, context: serde_json::Value) -> Self {
        Self {
            entities: Entities::from_json_value(entities, None).unwrap(),
            request: request(
                "User::\"alice\"",
                "Action::\"view\"",
                "Doc::\"d\"",
                &context,
            ),
        }
    }

    /// Users, groups and documents with attributes of every kind.
    fn standard() -> Self {
        Self::new(standard_entities(), standard_context())
    }

    fn with_request(mut self, principal: &str, action: &str, resource: &str) -> Self {
        self.request = request(principal, action, resource, &standard_context());
        self
    }

    /// Evaluates every policy with both engines and compares.
    #[track_caller]
    fn check(&self, policies: &PolicySet) -> Outcomes {
        let expected = self.expected(policies);
        // Interning in another order must not matter; a few policies are enough to see it.
        let orders = [true, false]
            .into_iter()
            .take(if expected.len() < 500 { 2 } else { 1 });
        for store_first in orders {
            let actual = self.actual(policies, store_first);
            for (id, expected) in &expected {
                let policy = policies.policy(&PolicyId::new(id)).unwrap();
                assert_eq!(&actual[id], expected, "{policy}");
            }
            assert_eq!(actual.len(), expected.len());
        }
        expected
    }

    /// As [`check`](Self::check), of policies with these conditions; gives their outcomes in order.
    #[track_caller]
    fn conditions<S: AsRef<str>>(&self, conditions: &[S]) -> Vec<Result<bool, String>> {
        let mut source = String::new();
        for (i, condition) in conditions.iter().enumerate() {
            let condition = condition.as_ref();
            writeln!(
                source,
                "@id(\"{i:06}\") permit(principal, action, resource) when {{ {condition} }};"
            )
            .unwrap();
        }
        let parsed: PolicySet = source.parse().unwrap_or_else(|e| panic!("{source}: {e:?}"));
        let renamed = parsed.policies().map(|p| {
            let id = p.annotation("id").unwrap();
            p.new_id(PolicyId::new(id))
        });
        let policies = PolicySet::from_policies(renamed).unwrap();
        self.check(&policies).into_values().collect()
    }

    /// That each condition has this outcome, with cedar-policy too.
    #[track_caller]
    fn outcomes(&self, cases: &[(&str, Result<bool, &str>)]) {
        let conditions: Vec<&str> = cases.iter().map(|(condition, _)| *condition).collect();
        for (outcome, (condition, expected)) in self.conditions(&conditions).iter().zip(cases) {
            let outcome = outcome.as_ref().map(|b| *b).map_err(String::as_str);
            assert_eq!(outcome, *expected, "{condition}");
        }
    }

    fn expected(&self, policies: &PolicySet) -> Outcomes {
        let mut outcomes = Outcomes::new();
        // Apart from each other: a satisfied forbid would hide satisfied permits.
        for effect in [Effect::Permit, Effect::Forbid] {
            let mut alike = policies.clone();
            for policy in policies.policies().filter(|p| p.effect() != effect) {
                if policy.is_static() {
                    alike.remove_static(policy.id().clone()).unwrap();
                } else {
                    alike.unlink(policy.id().clone()).unwrap();
                }
            }
            let response = Authorizer::new().is_authorized(&self.request, &alike, &self.entities);
            outcomes.extend(alike.policies().map(|p| (p.id().to_string(), Ok(false))));
            for id in response.diagnostics().reason() {
                outcomes.insert(id.to_string(), Ok(true));
            }
            for AuthorizationError::PolicyEvaluationError(error) in response.diagnostics().errors()
            {
                let text = error.inner().to_string();
                outcomes.insert(error.policy_id().to_string(), Err(text));
            }
        }
        outcomes
    }

    fn actual(&self, policies: &PolicySet, store_first: bool) -> Outcomes {
        let mut interner = Interner::new();
        let early = store_first.then(|| Store::build(&self.entities, &mut interner).unwrap());
        let loaded = load_policy_set(policies, &mut interner).unwrap();
        let mut store =
            early.unwrap_or_else(|| Store::build(&self.entities, &mut interner).unwrap());
        store.extend_to(&interner);
        let request = RequestValues::new(&self.request, &interner, &store).unwrap();
        let mut scratch = ScratchSpace::new();
        let mut outcomes = Outcomes::new();
        let mut witnessed = HashSet::new();
        for policy in &loaded {
            let mut interpreter = Interpreter::new(ValueContext {
                interner: &interner,
                store: &store,
                request: &request,
                scratch: &mut scratch,
            });
            let outcome = interpreter.evaluate(policy).map_err(|error| {
                let text = error.to_string();
                // Whatever happens, cedar-policy's error can be made of it.
                if witnessed.insert(text.clone()) {
                    assert!(to_cedar_error(&policy.id, &error).is_some(), "{error}");
                }
                text
            });
            outcomes.insert(policy.id.to_string(), outcome);
        }
        outcomes
    }
}

fn request(principal: &str, action: &str, resource: &str, context: &serde_json::Value) -> Request {
    let context = Cow::Borrowed(context);
    parse_request(principal, action, resource, context, None, false).unwrap()
}

fn entity(ty: &str, id: &str) -> serde_json::Value {
    json!({"__entity": {"type": ty, "id": id}})
}

fn extension(function: &str, argument: &str) -> serde_json::Value {
    json!({"__extn": {"fn": function, "arg": argument}})
}

fn standard_entities() -> serde_json::Value {
    json!([
        {
            "uid": {"type": "User", "id": "alice"},
            "attrs": {
                "yes": true,
                "no": false,
                "seven": 7,
                "max": i64::MAX,
                "min": i64::MIN,
                "name": "alice",
                "self": entity("User", "alice"),
                "ghost": entity("User", "ghost"),
                "numbers": [1, 2, 3],
                "friends": [entity("User", "bob"), entity("User", "ghost")],
                "groups": [entity("Group", "g0")],
                "none": [],
                "record": {"a": {"b": {"c": 1}}, "n": 1, "with space": true},
                "records": [{"a": 1}, {"a": 2}],
                "price": extension("decimal", "1.5"),
                "address": extension("ip", "10.0.0.1"),
                "network": extension("ip", "10.0.0.0/8"),
                "birth": extension("datetime", "2000-02-29"),
                "age": extension("duration", "24h")
            },
            "parents": [{"type": "Group", "id": "g1"}],
            "tags": {"color": "red", "level": 3, "seven": "not the attribute"}
        },
        {"uid": {"type": "User", "id": "bob"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Group", "id": "g1"}, "attrs": {}, "parents": [
            {"type": "Group", "id": "g0"}, {"type": "Group", "id": "ghosts"}
        ]},
        {"uid": {"type": "Group", "id": "g0"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Doc", "id": "d"}, "attrs": {
            "owner": entity("User", "alice"), "numbers": [3, 2, 1]
        }, "parents": []},
        {"uid": {"type": "Action", "id": "view"}, "attrs": {}, "parents": [
            {"type": "Action", "id": "read"}
        ]},
        {"uid": {"type": "Action", "id": "read"}, "attrs": {}, "parents": []}
    ])
}

fn standard_context() -> serde_json::Value {
    json!({
        "yes": true,
        "seven": 7,
        "name": "nobody knows this string",
        "user": entity("User", "unheard of"),
        "strange": entity("Strange::Type", "x"),
        "numbers": [1, 2, 3],
        "record": {"a": {"b": {"c": 1}}, "n": 1, "with space": true},
        "fresh": {"only here": [{"and": "here"}]},
        "price": extension("decimal", "1.50"),
        "address": extension("ip", "10.0.0.1/32"),
        "birth": extension("datetime", "2000-02-29T00:00:00Z"),
        "age": extension("duration", "1d"),
        "text": "1.5"
    })
}

#[test]
fn schemas_bring_action_groups() {
    let schema: Schema = r#"
        entity User, Doc;
        action read;
        action view in [read] appliesTo { principal: User, resource: Doc };
    "#
    .parse()
    .unwrap();
    let world = World {
        entities: Entities::from_json_value(json!([]), Some(&schema)).unwrap(),
        request: request(
            "User::\"alice\"",
            "Action::\"view\"",
            "Doc::\"d\"",
            &json!({}),
        ),
    };
    world.outcomes(&[(r#"action in Action::"read""#, Ok(true))]);
}
