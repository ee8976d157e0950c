//! Replacing the schema of a running engine: it is then as if built anew.

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, Schema,
};
use cedarjit::{Engine, UpdateError};
use std::sync::Arc;

const OLD: &str = r#"
    entity Team; entity User in [Team] = { level: Long }; entity Doc = { owner: User };
    action all;
    action view, edit in [all] appliesTo { principal: User, resource: Doc };
"#;

/// `edit` is no longer one of `all`, and `share` is new.
const NEW: &str = r#"
    entity Team; entity User in [Team] = { level: Long }; entity Doc = { owner: User };
    action all;
    action view, share in [all] appliesTo { principal: User, resource: Doc };
    action edit appliesTo { principal: User, resource: Doc };
"#;

/// Nobody has a name.
const UNFIT: &str = r#"
    entity Team; entity User in [Team] = { name: String }; entity Doc = { owner: User };
    action view appliesTo { principal: User, resource: Doc };
"#;

const POLICIES: &str = r#"
    permit (principal in Team::"core", action in Action::"all", resource);
    permit (principal is User, action == Action::"edit", resource) when { principal.level > 3 };
    forbid (principal, action, resource) when { resource.owner != principal };
"#;

const ENTITIES: &str = r#"[
    {"uid": {"type": "User", "id": "ann"}, "attrs": {"level": 5}, "parents": [{"type": "Team", "id": "web"}]},
    {"uid": {"type": "Team", "id": "web"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Team", "id": "core"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Doc", "id": "plan"}, "parents": [],
     "attrs": {"owner": {"__entity": {"type": "User", "id": "ann"}}}}
]"#;

fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

fn engine(schema: Option<&str>) -> Engine {
    let mut builder = Engine::builder();
    if let Some(schema) = schema {
        builder = builder.schema_str(schema);
    }
    builder
        .policies_str(POLICIES)
        .entities_json(ENTITIES)
        .build()
        .unwrap()
}

/// Compares with cedar-policy over entities read with this schema, and gives the decisions.
fn compare(engine: &Engine, schema: Option<&str>) -> Vec<Decision> {
    let schema: Option<Schema> = schema.map(|text| text.parse().unwrap());
    let entities = Entities::from_json_str(ENTITIES, schema.as_ref()).unwrap();
    let policies: PolicySet = POLICIES.parse().unwrap();
    assert_eq!(
        engine.snapshot().entities().count(),
        entities.iter().count()
    );
    let actions = ["view", "edit", "share"].map(|id| uid(&format!("Action::\"{id}\"")));
    let decisions = actions.into_iter().map(|action| {
        let (ann, plan) = (uid(r#"User::"ann""#), uid(r#"Doc::"plan""#));
        let request = Request::new(ann, action, plan, Context::empty(), None).unwrap();
        let expected = Authorizer::new().is_authorized(&request, &policies, &entities);
        assert_eq!(
            engine.is_authorized(&request).decision(),
            expected.decision(),
            "{request}"
        );
        expected.decision()
    });
    decisions.collect()
}

#[test]
fn a_replaced_schema_brings_its_own_actions() {
    let engine = engine(Some(OLD));
    let move_ann = |engine: &Engine| {
        let parents = [uid(r#"Team::"core""#)];
        engine
            .update(|tx| tx.set_parents(&uid(r#"User::"ann""#), parents))
            .unwrap();
    };
    compare(&engine, Some(OLD));
    engine.update(|tx| tx.replace_schema_str(NEW)).unwrap();
    compare(&engine, Some(NEW));
    // Parents are still told from other ancestors.
    move_ann(&engine);
    let ann = engine.snapshot().entity(&uid(r#"User::"ann""#)).unwrap();
    assert_eq!(ann.into_inner().2, [uid(r#"Team::"core""#)].into());
    engine.update(|tx| tx.replace_schema_str(OLD)).unwrap();
    let ann = engine.snapshot().entity(&uid(r#"User::"ann""#)).unwrap();
    assert_eq!(ann.into_inner().2, [uid(r#"Team::"core""#)].into());
}

#[test]
fn requests_are_validated_by_the_schema_that_is_there() {
    let engine = engine(Some(OLD));
    let bind = |action: &str| {
        let snapshot = engine.snapshot();
        let context = serde_json::json!({});
        let bound = snapshot.bind_json(r#"User::"ann""#, action, r#"Doc::"plan""#, &context, true);
        bound.is_ok()
    };
    assert!(bind(r#"Action::"edit""#) && !bind(r#"Action::"share""#));
    engine.update(|tx| tx.replace_schema_str(NEW)).unwrap();
    assert!(bind(r#"Action::"edit""#) && bind(r#"Action::"share""#));
    assert!(
        engine
            .update(|tx| tx.remove_schema().map(|existed| assert!(existed)))
            .is_ok()
    );
    assert!(bind(r#"Action::"anything""#) && engine.snapshot().schema().is_none());
    compare(&engine, None);
    let schema: Schema = OLD.parse().unwrap();
    engine.update(|tx| tx.replace_schema(&schema)).unwrap();
    assert!(bind(r#"Action::"edit""#) && !bind(r#"Action::"share""#));
    compare(&engine, Some(OLD));
    let json = r#"{"": {"entityTypes": {"User": {}}, "actions": {}}}"#;
    assert!(engine.update(|tx| tx.replace_schema_json(json)).is_err());
}

#[test]
fn a_schema_that_does_not_fit_changes_nothing() {
    let engine = engine(Some(OLD));
    let before = engine.snapshot();
    let error = engine
        .update(|tx| tx.replace_schema_str(UNFIT))
        .unwrap_err();
    assert!(matches!(error, UpdateError::Entities(_)), "{error}");
    let error = engine
        .update(|tx| tx.replace_schema_str("entity ;"))
        .unwrap_err();
    assert!(error.to_string().contains("schema"), "{error}");
    let failed = engine.update(|tx| {
        tx.replace_schema_str(NEW)?;
        tx.remove_policy(cedar_policy::PolicyId::new("no such policy"))
    });
    assert!(failed.is_err());
    assert!(Arc::ptr_eq(&before, &engine.snapshot()));
    compare(&engine, Some(OLD));
}

#[test]
fn an_entity_that_the_old_schema_refuses_fits_after_it_is_replaced() {
    let engine = engine(Some(OLD));
    let named =
        r#"{"uid": {"type": "User", "id": "bob"}, "attrs": {"name": "Bob"}, "parents": []}"#;
    let bob = || cedar_policy::Entity::from_json_str(named, None).unwrap();
    assert!(engine.update(|tx| tx.upsert_entity(bob())).is_err());
    engine
        .update(|tx| {
            for id in ["ann", "bob"] {
                tx.remove_entity(&uid(&format!("User::\"{id}\"")))?;
            }
            tx.replace_schema_str(UNFIT)?;
            tx.upsert_entity(bob())
        })
        .unwrap();
    assert!(engine.snapshot().entity(&uid(r#"User::"bob""#)).is_some());
}
