//! Batches and queries answer as one request after the other does, and as cedar-policy does.

use cedar_policy::{
    Authorizer, Context, Entities, EntityUid, PolicySet, Request, Schema, ValidationMode,
};
use cedarjit::{Decision, Engine, EntityHandle, RequestError, Scratch, Snapshot};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Each policy is decided in another way: without branches, by searching sets, by builtins, with
/// failures, under entities and types.
const POLICIES: &str = r#"
    @id("owner") permit (principal, action, resource)
        when { resource has owner && resource.owner == principal };
    @id("reader") permit (principal, action == Action::"read", resource)
        when { principal in resource.readers || principal in resource.owner.friends };
    @id("own") permit (principal, action in [Action::"read", Action::"write"], resource)
        when { resource in principal.folders };
    @id("pinned") permit (principal, action == Action::"pin", resource)
        when { principal.folders.contains(resource) };
    @id("named") permit (principal, action == Action::"write", resource)
        when { resource.level > 7 && resource.name like "*draft*" };
    @id("sum") permit (principal, action == Action::"sum", resource)
        when { resource.level + 9223372036854775800 > 0 };
    @id("group") permit (principal in Group::"staff", action == Action::"list", resource in Folder::"f1");
    @id("kind") permit (principal, action == Action::"list", resource is Folder);
    @id("secret") forbid (principal, action == Action::"read", resource)
        when { resource.level == 9 } unless { principal in Group::"staff" };
    @id("locked") forbid (principal, action, resource == Doc::"d3");
    @id("broken") forbid (principal, action == Action::"pin", resource)
        when { resource.missing };
"#;

const ACTIONS: [&str; 6] = ["read", "write", "pin", "sum", "list", "unknown"];

fn uid(ty: &str, id: &str) -> serde_json::Value {
    json!({"__entity": {"type": ty, "id": id}})
}

/// Users in groups, folders in folders, documents in folders; not all of one shape.
fn entities() -> Entities {
    let mut all = Vec::new();
    let entity = |ty: &str, id: &str, attrs: serde_json::Value, parents: &[(&str, &str)]| {
        let parents: Vec<_> = parents
            .iter()
            .map(|(t, i)| json!({"type": t, "id": i}))
            .collect();
        json!({"uid": {"type": ty, "id": id}, "attrs": attrs, "parents": parents})
    };
    for group in ["staff", "guests"] {
        all.push(entity("Group", group, json!({}), &[]));
    }
    for i in 0..6 {
        let group = if i % 2 == 0 { "staff" } else { "guests" };
        let folders: Vec<_> = (0..i).map(|f| uid("Folder", &format!("f{f}"))).collect();
        let attrs = json!({"folders": folders, "friends": uid("Group", group)});
        all.push(entity("User", &format!("u{i}"), attrs, &[("Group", group)]));
    }
    for i in 0..5 {
        let above = format!("f{}", i / 2);
        let parents: &[(&str, &str)] = if i > 0 { &[("Folder", &above)] } else { &[] };
        all.push(entity("Folder", &format!("f{i}"), json!({}), parents));
    }
    for i in 0..40 {
        let group = if i % 3 == 0 { "staff" } else { "guests" };
        let mut attrs = json!({
            "owner": uid("User", &format!("u{}", i % 6)),
            "readers": uid("Group", group),
            "level": i % 10,
            "name": if i % 4 == 0 { "a draft" } else { "final" },
        });
        if i % 13 == 12 {
            attrs.as_object_mut().unwrap().remove("owner");
        }
        let folder = format!("f{}", i % 5);
        all.push(entity(
            "Doc",
            &format!("d{i}"),
            attrs,
            &[("Folder", &folder)],
        ));
    }
    Entities::from_json_value(json!(all), None).unwrap()
}

struct World {
    policies: PolicySet,
    entities: Entities,
    snapshot: Arc<Snapshot>,
}

impl World {
    fn new() -> Self {
        let policies: PolicySet = POLICIES.parse().unwrap();
        let entities = entities();
        let builder = Engine::builder().policies(&policies);
        let engine = builder.entities(entities.clone()).build().unwrap();
        Self {
            policies,
            entities,
            snapshot: engine.snapshot(),
        }
    }

    fn uids(&self) -> Vec<EntityUid> {
        let mut uids: Vec<EntityUid> = self.entities.iter().map(|e| e.uid()).collect();
        uids.sort_unstable();
        // Mentioned, and not stored.
        uids.push(r#"Action::"read""#.parse().unwrap());
        uids
    }

    fn handle(&self, uid: &EntityUid) -> EntityHandle {
        self.snapshot.resolve(&uid.to_string()).unwrap().unwrap()
    }

    fn judge(&self, request: &Request) -> Decision {
        let authorizer = Authorizer::new();
        let response = authorizer.is_authorized(request, &self.policies, &self.entities);
        response.decision()
    }
}

fn request(principal: &EntityUid, action: &str, resource: &EntityUid) -> Request {
    let action = format!("Action::\"{action}\"").parse().unwrap();
    let (principal, resource) = (principal.clone(), resource.clone());
    Request::new(principal, action, resource, Context::empty(), None).unwrap()
}

/// For each action and each entity that stays, the decisions about all that vary.
///
/// `listed` says whether descendants are.
fn check_batches(resources: bool, listed: bool) {
    let world = World::new();
    if listed {
        world.snapshot.list_descendants();
    }
    let (uids, stranger) = (world.uids(), r#"Stranger::"s""#.parse().unwrap());
    let handles: Vec<EntityHandle> = uids.iter().map(|uid| world.handle(uid)).collect();
    let (mut allowed, mut coded) = (0, 0);
    for action in ACTIONS {
        for fixed in uids.iter().chain([&stranger]) {
            let asked = |varied: &EntityUid| match resources {
                true => request(fixed, action, varied),
                false => request(varied, action, fixed),
            };
            let expected: Vec<_> = uids.iter().map(|uid| world.judge(&asked(uid))).collect();
            let bound = world.snapshot.bind(&asked(&uids[0])).unwrap();
            let mut batch = match resources {
                true => bound.for_resources(),
                false => bound.for_principals(),
            };
            for warm in [false, true] {
                if warm {
                    coded += handles.iter().filter(|h| batch.warm_up(**h)).count();
                }
                let decisions = batch.decide(handles.iter().copied());
                for ((uid, expected), decision) in uids.iter().zip(&expected).zip(decisions.iter())
                {
                    assert_eq!(decision, Some(*expected), "{warm} {fixed} {action} {uid}");
                }
                assert_eq!(decisions.len(), uids.len());
                allowed += decisions.allowed().count();
            }
            let mut scratch = Scratch::default();
            let evaluation = batch.evaluate(handles[0], &mut scratch).unwrap();
            assert_eq!(evaluation.decision(), expected[0]);
        }
    }
    assert!(allowed > 500, "the world allows too little: {allowed}");
    assert!(coded > 1000, "too few have code: {coded}");
}

#[test]
fn batches_of_resources_decide_as_cedar_does() {
    check_batches(true, false);
    check_batches(true, true);
}

#[test]
fn batches_of_principals_decide_as_cedar_does() {
    check_batches(false, false);
    check_batches(false, true);
}

#[test]
fn queries_list_what_is_allowed_in_order_and_in_pages() {
    let world = World::new();
    let uids = world.uids();
    let stored = |ty: &str| -> Vec<&EntityUid> {
        let of_type = uids.iter().filter(|uid| uid.type_name().to_string() == ty);
        of_type.collect()
    };
    let user = r#"User::"u4""#.parse().unwrap();
    for action in ACTIONS {
        let text = format!("Action::\"{action}\"");
        let ask = |ty| {
            let snapshot = &world.snapshot;
            snapshot
                .allowed_resources(r#"User::"u4""#, &text, "{}", true, ty)
                .unwrap()
        };
        let listed: Vec<EntityHandle> = ask(Some("Doc")).collect();
        let expected: BTreeSet<String> = stored("Doc")
            .into_iter()
            .filter(|doc| world.judge(&request(&user, action, doc)) == Decision::Allow)
            .map(|doc| doc.to_string())
            .collect();
        let text_of = |handle: &EntityHandle| world.snapshot.uid_text(*handle).unwrap();
        assert_eq!(
            listed.iter().map(text_of).collect::<BTreeSet<_>>(),
            expected,
            "{action}"
        );

        let mut pages: Vec<EntityHandle> = Vec::new();
        loop {
            let mut page = ask(Some("Doc"));
            if let Some(last) = pages.last() {
                page.after(*last).unwrap();
            }
            let before = pages.len();
            pages.extend(page.take(3));
            if pages.len() == before {
                break;
            }
        }
        assert_eq!(pages, listed, "{action}");

        let all: Vec<EntityHandle> = ask(None).collect();
        let documents = all
            .iter()
            .filter(|handle| text_of(handle).starts_with("Doc::"));
        assert!(documents.eq(&listed), "{action}");
        assert_eq!(ask(Some("Nothing")).count(), 0);
    }
}

#[test]
fn principals_and_actions_are_listed() {
    let world = World::new();
    let texts = |handles: &mut dyn Iterator<Item = EntityHandle>| -> Vec<String> {
        handles.filter_map(|h| world.snapshot.uid_text(h)).collect()
    };
    let document = r#"Doc::"d9""#;
    let uid = document.parse().unwrap();
    let mut readers = world
        .snapshot
        .allowed_principals(r#"Action::"read""#, document, "{}", true, Some("User"))
        .unwrap();
    let readers = texts(&mut readers);
    for i in 0..6 {
        let user = format!("User::\"u{i}\"");
        let allowed = world.judge(&request(&user.parse().unwrap(), "read", &uid));
        assert_eq!(
            readers.contains(&user),
            allowed == Decision::Allow,
            "{user}"
        );
    }
    assert!(!readers.is_empty() && readers.len() < 6, "{readers:?}");

    let ask = || {
        world
            .snapshot
            .allowed_actions(r#"User::"u3""#, document, "{}", true)
            .unwrap()
    };
    let actions = texts(&mut ask());
    for action in &ACTIONS[..5] {
        let allowed = world.judge(&request(&r#"User::"u3""#.parse().unwrap(), action, &uid));
        let text = format!("Action::\"{action}\"");
        assert_eq!(
            actions.contains(&text),
            allowed == Decision::Allow,
            "{action}"
        );
    }
    let first = ask().next().unwrap();
    let mut rest = ask();
    rest.after(first).unwrap();
    assert_eq!(texts(&mut rest), actions[1..]);
}

const SCHEMA: &str = r#"
    entity User; entity Doc { public: Bool }; entity Color enum ["red", "green"];
    entity Folder;
    action view appliesTo { principal: User, resource: [Doc, Color], context: { mfa: Bool } };
    action open appliesTo { principal: User, resource: Folder };
"#;

fn validated() -> Arc<Snapshot> {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).unwrap();
    let policies: PolicySet = "permit (principal, action, resource);".parse().unwrap();
    let validator = cedar_policy::Validator::new(schema.clone());
    let result = validator.validate(&policies, ValidationMode::default());
    assert!(result.validation_passed());
    let entity = |ty: &str, id: &str, attrs| json!({"uid": {"type": ty, "id": id}, "attrs": attrs, "parents": []});
    let entities = json!([
        entity("User", "ann", json!({})),
        entity("Doc", "a", json!({"public": true})),
        entity("Folder", "f", json!({})),
        entity("Color", "red", json!({})),
    ]);
    let entities = Entities::from_json_value(entities, Some(&schema)).unwrap();
    let builder = Engine::builder().policies(&policies).entities(entities);
    let engine = builder.schema_str(SCHEMA).build().unwrap();
    engine.snapshot()
}

#[test]
fn what_does_not_fit_the_schema_is_refused_and_not_listed() {
    let snapshot = validated();
    let handle = |uid: &str| snapshot.resolve(uid).unwrap().unwrap();
    let uids = [
        r#"Doc::"a""#,
        r#"Folder::"f""#,
        r#"Color::"red""#,
        r#"User::"ann""#,
    ];
    let (ann, view) = (r#"User::"ann""#, r#"Action::"view""#);
    let context = json!({"mfa": true});
    let bound = snapshot
        .bind_json(ann, view, uids[0], &context, true)
        .unwrap();
    let mut batch = bound.for_resources();
    let allow = Some(Decision::Allow);
    for _ in 0..2 {
        let decisions: Vec<_> = batch.decide(uids.map(handle)).iter().collect();
        assert_eq!(decisions, [allow, None, allow, None]);
        batch.warm_up(handle(uids[0]));
    }
    let mut scratch = Scratch::default();
    let refused = batch.evaluate(handle(uids[1]), &mut scratch);
    assert!(matches!(refused, Err(RequestError::Validation(_))));

    let list = |validate, context, ty| -> Result<Vec<String>, RequestError> {
        let allowed = snapshot.allowed_resources(ann, view, context, validate, ty)?;
        Ok(allowed.filter_map(|h| snapshot.uid_text(h)).collect())
    };
    let mfa = r#"{"mfa": true}"#;
    let listed = list(true, mfa, None).unwrap();
    assert_eq!(
        BTreeSet::from_iter(listed),
        BTreeSet::from([uids[0].into(), uids[2].into()])
    );
    assert!(list(true, mfa, Some("Folder")).unwrap().is_empty());
    assert_eq!(list(false, mfa, Some("Folder")).unwrap(), [uids[1]]);
    assert!(matches!(
        list(true, "{}", None),
        Err(RequestError::Context(_))
    ));
    let unfit = snapshot.allowed_resources(uids[1], view, mfa, true, None);
    assert!(matches!(unfit, Err(RequestError::Validation(_))));
    assert!(matches!(
        list(true, "[", Some("Folder")),
        Err(RequestError::Context(_))
    ));

    let actions = |resource, context| -> Vec<String> {
        let allowed = snapshot
            .allowed_actions(ann, resource, context, true)
            .unwrap();
        allowed.filter_map(|h| snapshot.uid_text(h)).collect()
    };
    assert_eq!(actions(uids[0], mfa), [view]);
    assert!(actions(uids[0], "{}").is_empty());
    assert_eq!(actions(uids[1], "{}"), [r#"Action::"open""#]);
    // Of an enumerated type, one that it lists and one that it does not; of a type, one unheard of.
    assert_eq!(actions(uids[2], mfa), [view]);
    assert!(actions(r#"Color::"blue""#, mfa).is_empty());
    assert_eq!(actions(r#"Doc::"other""#, mfa), [view]);
    assert!(actions(r#"Unheard::"of""#, mfa).is_empty());
    // Written with escapes, and contexts that are none for any action.
    assert_eq!(actions(r#"Doc::"a\\b""#, mfa), [view]);
    for (principal, context) in [
        ("User::ann", mfa),
        (r#"User::"\x41""#, mfa),
        (ann, ""),
        (ann, "[]"),
        (ann, "{} {}"),
        (ann, r#"{"mfa": null}"#),
        (ann, r#"{"a": {"__extn": {"fn": "ip", "arg": "x"}}}"#),
    ] {
        let refused = snapshot.allowed_actions(principal, uids[0], context, true);
        assert!(refused.is_err(), "{principal} {context}");
    }
}

#[test]
fn handles_of_another_engine_are_refused() {
    let (world, other) = (World::new(), World::new());
    let uids = world.uids();
    let bound = world
        .snapshot
        .bind(&request(&uids[3], "read", &uids[20]))
        .unwrap();
    let mut batch = bound.for_resources();
    assert!(batch.decide([]).is_empty());
    let own = world.handle(&uids[20]);
    for foreign_first in [false, true] {
        let mut asked = [own, other.handle(&uids[20])];
        if foreign_first {
            asked.reverse();
        }
        let decisions: Vec<_> = batch.decide(asked).iter().collect();
        assert_eq!(decisions.iter().filter(|d| d.is_none()).count(), 1);
        assert_eq!(decisions[usize::from(!foreign_first)], None);
        batch.warm_up(own);
    }
    let mut list = bound.for_resources().allowed(None);
    assert!(list.after(other.handle(&uids[0])).is_err());
}

#[test]
fn many_requests_are_decided_on_one_state() {
    let world = World::new();
    let uids = world.uids();
    let builder = Engine::builder().policies(&world.policies);
    let engine = builder.entities(world.entities.clone()).build().unwrap();
    let user = r#"User::"u4""#.parse().unwrap();
    let requests: Vec<Request> = uids.iter().map(|uid| request(&user, "read", uid)).collect();
    let responses = engine.is_authorized_batch(&requests);
    engine.replace_policies(&PolicySet::new()).unwrap();
    let decisions: Vec<Decision> = responses.map(|response| response.decision()).collect();
    let expected: Vec<Decision> = requests.iter().map(|r| world.judge(r)).collect();
    assert_eq!(decisions, expected);
    assert!(expected.contains(&Decision::Allow));
}

/// What stays the same is computed before anything is checked, so it must not be what only a check
/// makes an entity.
#[test]
fn values_of_unknown_type_are_checked_before_they_are_read() {
    let policies = r#"
        permit (principal, action, resource) when { context.who in resource.readers };
        permit (principal, action, resource)
            when { resource.level > 3 && context.who.name == resource.name };
        permit (principal, action, resource)
            when { resource.level > 3 && resource in context.who };
        permit (principal, action, resource)
            when { resource.level > 3 && context.who.contains(resource) };
    "#;
    let policies: PolicySet = policies.parse().unwrap();
    let entities = entities();
    let builder = Engine::builder().policies(&policies);
    let snapshot = builder
        .entities(entities.clone())
        .build()
        .unwrap()
        .snapshot();
    let documents: Vec<EntityUid> = (0..40)
        .map(|i| format!("Doc::\"d{i}\"").parse().unwrap())
        .collect();
    let handle = |uid: &EntityUid| snapshot.resolve(&uid.to_string()).unwrap().unwrap();
    let mut allowed = 0;
    for who in [
        json!(-15000),
        json!(true),
        json!("a draft"),
        json!([1, 2]),
        json!([uid("Folder", "f1"), uid("Nobody", "n")]),
        json!({"name": "final"}),
        uid("User", "u1"),
        uid("Folder", "f2"),
        uid("Nobody", "n"),
    ] {
        let (user, view) = (
            r#"User::"u1""#.parse().unwrap(),
            r#"Action::"view""#.parse().unwrap(),
        );
        let context = Context::from_json_value(json!({"who": who}), None).unwrap();
        let about = |document: &EntityUid| {
            let (user, view): (&EntityUid, &EntityUid) = (&user, &view);
            let document = document.clone();
            Request::new(user.clone(), view.clone(), document, context.clone(), None).unwrap()
        };
        let bound = snapshot.bind(&about(&documents[0])).unwrap();
        let mut batch = bound.for_resources();
        assert!(batch.warm_up(handle(&documents[0])) && batch.warm_up(handle(&documents[12])));
        let decisions: Vec<_> = batch.decide(documents.iter().map(handle)).iter().collect();
        for (document, decision) in documents.iter().zip(decisions) {
            let response = Authorizer::new().is_authorized(&about(document), &policies, &entities);
            assert_eq!(decision, Some(response.decision()), "{who} {document}");
            allowed += usize::from(response.decision() == Decision::Allow);
        }
    }
    assert!(allowed > 20, "{allowed}");
}
