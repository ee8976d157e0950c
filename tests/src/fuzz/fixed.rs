//! The small world that the inputs of the other targets are put into.

use crate::engines::TestRequest;
use cedar_policy::Schema;
use serde_json::json;

/// Policies that look at everything that entities and contexts of this world have.
pub(super) const POLICIES: &str = r#"
permit (principal in Team::"t", action == Action::"view", resource);
permit (principal == User::"a", action in [Action::"view", Action::"edit"], resource in Doc::"d");
permit (principal is User in Team::"t", action, resource is Doc);
permit (principal, action in Action::"all", resource) when { principal.owner == resource };
permit (principal, action, resource) when { principal has n && principal.n > 1 };
permit (principal, action, resource) when { resource.s like "a*b" };
permit (principal, action, resource) when { context.r.s == principal.s || context.n < 3 };
permit (principal, action, resource)
    when { context.l.contains(principal) || context.l.containsAny(principal.l) };
permit (principal, action, resource)
    when { principal.hasTag("k") && principal.getTag("k") == context.s };
forbid (principal, action, resource) when { context has ip && context.ip.isInRange(principal.ip) };
forbid (principal, action, resource) when { principal.d.lessThan(context.d) };
forbid (principal, action, resource)
    when { context.t.offset(principal.dur) > datetime("2024-01-01") };
forbid (principal, action, resource) unless { context.b };
permit (principal, action, resource) when { principal in context.e && resource in principal.l };
permit (principal, action, resource) when { context == {} || context.r == principal.r };
"#;

/// A schema in Cedar's syntax that [`ENTITIES`] fit.
pub(super) const SCHEMA: &str = r#"
type Rec = { s: String, n?: Long };
entity Team, Doc { s?: String };
entity User in [Team, User] {
    owner?: Doc, n?: Long, s?: String, b?: Bool, l?: Set<User>, r?: Rec,
    ip?: ipaddr, d?: decimal, t?: datetime, dur?: duration,
} tags String;
action all;
action view, edit in [all] appliesTo {
    principal: User, resource: [Doc, Team],
    context: {
        n?: Long, s?: String, b?: Bool, l?: Set<User>, e?: Set<User>, r?: Rec,
        ip?: ipaddr, d?: decimal, t?: datetime, dur?: duration,
    },
};
"#;

/// Entities with attributes of every type.
pub(super) const ENTITIES: &str = r#"[
{"uid": {"type": "User", "id": "a"}, "parents": [{"type": "Team", "id": "t"}],
 "attrs": {"n": 2, "s": "axb", "b": true, "owner": {"__entity": {"type": "Doc", "id": "d"}},
  "l": [{"__entity": {"type": "User", "id": "a"}}, {"__entity": {"type": "User", "id": "b"}}],
  "r": {"s": "x", "n": 1}, "ip": {"__extn": {"fn": "ip", "arg": "10.0.0.0/8"}},
  "d": {"__extn": {"fn": "decimal", "arg": "1.5"}},
  "t": {"__extn": {"fn": "datetime", "arg": "2024-01-01"}},
  "dur": {"__extn": {"fn": "duration", "arg": "1h"}}}, "tags": {"k": "v"}},
{"uid": {"type": "User", "id": "b"}, "parents": [{"type": "User", "id": "a"}], "attrs": {}},
{"uid": {"type": "Team", "id": "t"}, "parents": [], "attrs": {}},
{"uid": {"type": "Doc", "id": "d"}, "parents": [], "attrs": {"s": "ab"}},
{"uid": {"type": "Action", "id": "view"}, "parents": [{"type": "Action", "id": "all"}],
 "attrs": {}},
{"uid": {"type": "Action", "id": "edit"}, "parents": [{"type": "Action", "id": "all"}],
 "attrs": {}},
{"uid": {"type": "Action", "id": "all"}, "parents": [], "attrs": {}}
]"#;

/// A context with attributes of every type.
pub(super) const CONTEXT: &str = r#"{
"n": 3, "s": "v", "b": true, "r": {"s": "x", "n": 1},
"l": [{"__entity": {"type": "User", "id": "a"}}], "e": [{"__entity": {"type": "User", "id": "a"}}],
"ip": {"__extn": {"fn": "ip", "arg": "10.1.2.3"}},
"d": {"__extn": {"fn": "decimal", "arg": "1.25"}},
"t": {"__extn": {"fn": "datetime", "arg": "2024-01-01T00:00:00Z"}},
"dur": {"__extn": {"fn": "duration", "arg": "1h30m"}}
}"#;

/// A request in this world.
pub(super) fn request(
    principal: &str,
    context: serde_json::Value,
    validate: bool,
    schema: Option<&Schema>,
) -> TestRequest {
    let (action, resource) = (r#"Action::"view""#, r#"Doc::"d""#);
    TestRequest::new(principal, action, resource, context, validate, schema)
}

/// Requests with full and empty contexts about entities that exist and one that does not.
pub(super) fn requests(schema: Option<&Schema>) -> Vec<TestRequest> {
    let full: serde_json::Value = serde_json::from_str(CONTEXT).unwrap_or_default();
    let principals = [r#"User::"a""#, r#"User::"b""#, r#"Team::"none""#];
    let mut requests = Vec::new();
    for principal in principals {
        for context in [&full, &json!({})] {
            requests.push(request(principal, context.clone(), false, schema));
        }
        if schema.is_some() {
            requests.push(request(principal, full.clone(), true, schema));
        }
    }
    requests
}
