//! Entities that only one request brings: the answer is that of cedar-policy's own upserts.

use cedar_policy::{Authorizer, Context, Entities, Entity, EntityUid, PolicySet, Request, Schema};
use cedarjit::{Decision, Engine, MAX_OVERLAID, OverlayError, Scratch};
use serde_json::{Value, json};

const POLICIES: &str = r#"
    permit (principal in Team::"core", action, resource);
    permit (principal, action == Action::"view", resource) when { resource.owner == principal };
    permit (principal, action, resource) when { resource.hasTag("public") };
    forbid (principal, action, resource in Folder::"secret");
    permit (principal, action in Action::"all", resource) when { context has never };
"#;

const ENTITIES: &str = r#"[
    {"uid": {"type": "User", "id": "ann"}, "attrs": {}, "parents": [{"type": "Team", "id": "web"}]},
    {"uid": {"type": "User", "id": "bob"}, "attrs": {}, "parents": [{"type": "Team", "id": "core"}]},
    {"uid": {"type": "Team", "id": "web"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Team", "id": "core"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Folder", "id": "a"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Doc", "id": "plan"}, "attrs": {}, "parents": [{"type": "Folder", "id": "a"}]}
]"#;

fn uid(ty: &str, id: &str) -> Value {
    json!({"type": ty, "id": id})
}

fn entity(ty: &str, id: &str, attrs: Value, tags: Value, parents: &[Value]) -> Entity {
    let entity = json!({"uid": uid(ty, id), "attrs": attrs, "tags": tags, "parents": parents});
    Entity::from_json_value(entity, None).unwrap()
}

fn request(principal: &str, resource: &str) -> Request {
    let uid = |text: &str| text.parse::<EntityUid>().unwrap();
    let action = uid(r#"Action::"view""#);
    Request::new(
        uid(principal),
        action,
        uid(resource),
        Context::empty(),
        None,
    )
    .unwrap()
}

/// Compares every request over these entities with cedar-policy; gives which were allowed.
fn compare(brought: &[Entity]) -> Vec<Decision> {
    let policies: PolicySet = POLICIES.parse().unwrap();
    let stored = Entities::from_json_str(ENTITIES, None).unwrap();
    let engine = Engine::builder()
        .policies(&policies)
        .entities_json(ENTITIES)
        .build()
        .unwrap();
    let upserted = stored
        .upsert_entities(brought.iter().cloned(), None)
        .unwrap();
    let mut scratch = Scratch::default();
    let mut decisions = Vec::new();
    for principal in [r#"User::"ann""#, r#"User::"bob""#, r#"User::"new""#] {
        for resource in [r#"Doc::"plan""#, r#"Doc::"new""#] {
            let request = request(principal, resource);
            let expected = Authorizer::new().is_authorized(&request, &policies, &upserted);
            let bound = engine.snapshot().bind(&request).unwrap();
            let overlaid = bound.with_entities(brought.iter().cloned()).unwrap();
            let got = overlaid.evaluate(&mut scratch);
            assert_eq!(got.decision(), expected.decision(), "{request}");
            let mut reasons: Vec<&str> = got.reasons().collect();
            reasons.sort_unstable();
            let mut wanted: Vec<&str> =
                expected.diagnostics().reason().map(AsRef::as_ref).collect();
            wanted.sort_unstable();
            assert_eq!(reasons, wanted, "{request}");
            let mut failed: Vec<String> = got.errors().map(|(_, e)| e.to_string()).collect();
            failed.sort_unstable();
            let errors = expected.diagnostics().errors();
            let mut wanted: Vec<String> = errors
                .map(|error| match error {
                    cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
                        error.inner().to_string()
                    }
                })
                .collect();
            wanted.sort_unstable();
            assert_eq!(failed, wanted, "{request}");
            decisions.push(overlaid.decide(&mut scratch));
        }
    }
    decisions
}

#[test]
fn attributes_and_tags_are_laid_over() {
    let ann = json!({"__entity": uid("User", "ann")});
    let plan = entity("Doc", "plan", json!({"owner": ann}), json!({}), &[]);
    assert_eq!(compare(&[plan])[0], Decision::Allow);
    let new = entity("Doc", "new", json!({}), json!({"public": true}), &[]);
    assert_eq!(compare(&[new])[5], Decision::Allow);
    assert_eq!(compare(&[])[0], Decision::Deny);
}

#[test]
fn what_is_in_a_moved_entity_moves_with_it() {
    let web = entity("Team", "web", json!({}), json!({}), &[uid("Team", "core")]);
    assert_eq!(compare(&[web])[0], Decision::Allow);
    let folder = entity(
        "Folder",
        "a",
        json!({}),
        json!({}),
        &[uid("Folder", "secret")],
    );
    assert_eq!(compare(&[folder])[2], Decision::Deny);
    // No longer in the core team.
    let bob = entity("User", "bob", json!({}), json!({}), &[]);
    assert_eq!(compare(&[bob])[2], Decision::Deny);
    let core = entity("Team", "core", json!({}), json!({}), &[uid("Team", "new")]);
    let new = entity(
        "Team",
        "new",
        json!({}),
        json!({}),
        &[uid("Folder", "secret")],
    );
    compare(&[core, new]);
    let action = entity(
        "Action",
        "view",
        json!({}),
        json!({}),
        &[uid("Action", "all")],
    );
    compare(&[action]);
    let (first, last) = (
        entity("User", "new", json!({}), json!({}), &[]),
        entity("User", "new", json!({}), json!({}), &[uid("Team", "core")]),
    );
    assert_eq!(compare(&[first, last])[5], Decision::Allow);
}

#[test]
fn what_cannot_be_upserted_cannot_be_laid_over() {
    let engine = Engine::builder().entities_json(ENTITIES).build().unwrap();
    let bound = || {
        let request = request(r#"User::"ann""#, r#"Doc::"plan""#);
        engine.snapshot().bind(&request).unwrap()
    };
    let folder = entity("Folder", "a", json!({}), json!({}), &[uid("Doc", "plan")]);
    let error = bound().with_entities([folder]).unwrap_err().to_string();
    assert!(error.contains("cycle"), "{error}");
    let many = (0..=MAX_OVERLAID).map(|i| entity("Doc", &i.to_string(), json!({}), json!({}), &[]));
    let error = bound().with_entities(many).unwrap_err();
    assert!(matches!(error, OverlayError::TooMany), "{error}");

    let schema = "entity Doc { level: Long }; entity User; \
                  action view appliesTo { principal: User, resource: Doc };";
    let engine = Engine::builder().schema_str(schema).build().unwrap();
    let parsed: Schema = schema.parse().unwrap();
    let bound = engine
        .snapshot()
        .bind(&request(r#"User::"ann""#, r#"Doc::"plan""#))
        .unwrap();
    let wrong = entity("Doc", "plan", json!({"level": "high"}), json!({}), &[]);
    let right = entity("Doc", "plan", json!({"level": 1}), json!({}), &[]);
    let empty = Entities::empty();
    assert!(
        empty
            .clone()
            .upsert_entities([wrong.clone()], Some(&parsed))
            .is_err()
    );
    assert!(bound.clone().with_entities([wrong]).is_err());
    assert!(
        empty
            .upsert_entities([right.clone()], Some(&parsed))
            .is_ok()
    );
    assert!(bound.with_entities([right]).is_ok());
}

#[test]
fn an_engine_keeps_nothing_of_what_requests_bring() {
    let policies: PolicySet = POLICIES.parse().unwrap();
    let engine = Engine::builder()
        .policies(&policies)
        .entities_json(ENTITIES)
        .build()
        .unwrap();
    let before = engine.snapshot().memory().total();
    let plain = engine.is_authorized(&request(r#"User::"ann""#, r#"Doc::"plan""#));
    for i in 0..100 {
        let attrs = json!({"owner": format!("somebody new: {i}")});
        let plan = entity(
            "Doc",
            "plan",
            attrs,
            json!({}),
            &[uid("Folder", &i.to_string())],
        );
        let bound = engine
            .snapshot()
            .bind(&request(r#"User::"ann""#, r#"Doc::"plan""#));
        let overlaid = bound.unwrap().with_entities([plan]).unwrap();
        assert_eq!(overlaid.decide(&mut Scratch::default()), Decision::Deny);
    }
    let after = engine.is_authorized(&request(r#"User::"ann""#, r#"Doc::"plan""#));
    assert_eq!(plain.decision(), after.decision());
    assert_eq!(engine.snapshot().memory().total(), before);
    let plan = engine.snapshot().entity(&r#"Doc::"plan""#.parse().unwrap());
    let parents = plan.unwrap().into_inner().2;
    assert_eq!(parents, [r#"Folder::"a""#.parse().unwrap()].into());
}
