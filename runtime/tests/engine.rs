//! The facade: building, deciding, changing.

use cedar_policy::{
    Authorizer, Context, Entities, EntityUid, Policy, PolicyId, PolicySet, Request, Response,
    Schema, SlotId, Template,
};
use cedarjit::{
    BuildError, Decision, Engine, ErrorKind, InterpretedBecause, JitMode, Scratch, Tier,
    UpdateError,
};
use std::collections::{BTreeSet, HashMap};

const ENTITIES: &str = r#"[
  {"uid": {"type": "User", "id": "ann"}, "attrs": {"age": 41},
   "parents": [{"type": "Team", "id": "core"}]},
  {"uid": {"type": "User", "id": "bob"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Team", "id": "core"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Doc", "id": "plan"}, "attrs": {"open": true}, "parents": []}
]"#;

fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

fn request(principal: &str) -> Request {
    let (principal, action, resource) = (
        uid(principal),
        uid(r#"Action::"view""#),
        uid(r#"Doc::"plan""#),
    );
    Request::new(principal, action, resource, Context::empty(), None).unwrap()
}

fn entities() -> Entities {
    Entities::from_json_str(ENTITIES, None).unwrap()
}

fn engine(policies: &str) -> Engine {
    Engine::builder()
        .policies_str(policies)
        .entities(entities())
        .build()
        .unwrap()
}

fn decide(engine: &Engine, principal: &str) -> (Decision, BTreeSet<String>) {
    let response = engine.is_authorized(&request(principal));
    let reasons = response.diagnostics().reason().map(str::to_owned).collect();
    (response.decision(), reasons)
}

fn reasons(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(ToString::to_string).collect()
}

const ANN: &str = r#"User::"ann""#;
const BOB: &str = r#"User::"bob""#;

#[test]
fn engines_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    let engine = engine("permit (principal, action, resource);");
    shared(&engine);
    let other = engine.clone();
    let there = std::thread::spawn(move || decide(&other, BOB))
        .join()
        .unwrap();
    assert_eq!(there, decide(&engine, BOB));
}

#[test]
fn a_response_is_cedar_policys_when_converted() {
    let text = r#"
        @id("age") permit (principal, action, resource) when { principal.age > 18 };
        @id("no")  forbid (principal, action, resource) when { resource.closed };
        @id("sum") permit (principal, action, resource)
          when { principal.age + 9223372036854775807 > 0 };
    "#;
    let engine = engine(text);
    // cedar-policy's own parser does not look at `@id`.
    let parsed: PolicySet = text.parse().unwrap();
    let mut set = PolicySet::new();
    for policy in parsed.policies() {
        let id = policy.annotation("id").unwrap();
        set.add(policy.new_id(PolicyId::new(id))).unwrap();
    }
    for principal in [ANN, BOB, r#"User::"nobody""#] {
        let request = request(principal);
        let expected = Authorizer::new().is_authorized(&request, &set, &entities());
        let response = engine.is_authorized(&request);
        for error in response.diagnostics().errors() {
            assert_ne!(error.kind(), ErrorKind::Unexplained);
        }
        let converted: Response = response.into();
        assert_eq!(converted.decision(), expected.decision());
        let ids = |r: &Response| r.diagnostics().reason().cloned().collect::<BTreeSet<_>>();
        assert_eq!(ids(&converted), ids(&expected));
        let errors = |r: &Response| {
            r.diagnostics()
                .errors()
                .map(ToString::to_string)
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(errors(&converted), errors(&expected));
    }
}

#[test]
fn policies_come_and_go() {
    let engine = engine(r#"@id("core") permit (principal in Team::"core", action, resource);"#);
    assert_eq!(decide(&engine, ANN), (Decision::Allow, reasons(&["core"])));
    assert_eq!(decide(&engine, BOB), (Decision::Deny, reasons(&[])));

    let before = engine.snapshot();
    let open = "permit (principal, action, resource) when { resource.open };";
    let open = Policy::parse(Some(PolicyId::new("open")), open).unwrap();
    engine.add_policy(open.clone()).unwrap();
    assert_eq!(decide(&engine, BOB), (Decision::Allow, reasons(&["open"])));
    // Who holds the earlier snapshot goes on seeing it.
    let bound = before.bind(&request(BOB)).unwrap();
    let mut scratch = Scratch::default();
    assert_eq!(bound.evaluate(&mut scratch).decision(), Decision::Deny);

    assert!(matches!(
        engine.add_policy(open),
        Err(UpdateError::Policies(_))
    ));
    assert_eq!(decide(&engine, BOB), (Decision::Allow, reasons(&["open"])));
    engine.remove_policy(PolicyId::new("open")).unwrap();
    assert_eq!(decide(&engine, BOB), (Decision::Deny, reasons(&[])));
    assert!(engine.remove_policy(PolicyId::new("open")).is_err());
}

#[test]
fn templates_are_linked_and_unlinked() {
    let engine = engine("");
    let text = "forbid (principal == ?principal, action, resource in ?resource);";
    let template = Template::parse(Some(PolicyId::new("ban")), text).unwrap();
    engine.add_template(template).unwrap();
    let all = "permit (principal, action, resource);";
    let all = Policy::parse(Some(PolicyId::new("all")), all).unwrap();
    engine.add_policy(all).unwrap();
    let link = |id: &str, slots: HashMap<SlotId, EntityUid>| {
        engine.link(PolicyId::new("ban"), PolicyId::new(id), slots)
    };
    let principal = (SlotId::principal(), uid(BOB));
    let resource = (SlotId::resource(), uid(r#"Doc::"plan""#));
    assert!(link("half", HashMap::from([principal.clone()])).is_err());
    link("ban bob", HashMap::from([principal, resource])).unwrap();
    assert_eq!(decide(&engine, ANN), (Decision::Allow, reasons(&["all"])));
    assert_eq!(
        decide(&engine, BOB),
        (Decision::Deny, reasons(&["ban bob"]))
    );
    assert!(engine.remove_template(PolicyId::new("ban")).is_err());
    engine.remove_policy(PolicyId::new("ban bob")).unwrap();
    assert_eq!(decide(&engine, BOB), (Decision::Allow, reasons(&["all"])));
    engine.remove_template(PolicyId::new("ban")).unwrap();
    engine.replace_policies(&PolicySet::new()).unwrap();
    assert_eq!(decide(&engine, BOB), (Decision::Deny, reasons(&[])));
}

#[test]
fn entities_are_replaced() {
    let engine = engine(r#"@id("core") permit (principal in Team::"core", action, resource);"#);
    let moved = ENTITIES.replace(
        r#""id": "bob"}, "attrs": {}, "parents": []"#,
        r#""id": "bob"}, "attrs": {}, "parents": [{"type": "Team", "id": "core"}]"#,
    );
    let moved = Entities::from_json_str(&moved, None).unwrap();
    engine.replace_entities(moved).unwrap();
    assert_eq!(decide(&engine, BOB), (Decision::Allow, reasons(&["core"])));
    engine.replace_entities(Entities::empty()).unwrap();
    assert_eq!(decide(&engine, ANN), (Decision::Deny, reasons(&[])));
    assert_eq!(engine.stats().entities, 0);
}

const SCHEMA: &str = r#"
    entity Team; entity User in Team { age?: Long };
    entity Doc { open: Bool };
    action view appliesTo { principal: User, resource: Doc };
"#;

#[test]
fn entities_must_fit_the_schema() {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).unwrap();
    let policies = r#"permit (principal is User, action, resource) when { principal.age > 40 };"#;
    let build = |entities: &str| {
        Engine::builder()
            .schema_str(SCHEMA)
            .policies_str(policies)
            .entities_json(entities)
            .build()
    };
    let engine = build(ENTITIES).unwrap();
    assert_eq!(decide(&engine, ANN).0, Decision::Allow);
    let response = engine.is_authorized(&request(BOB));
    let kinds: Vec<_> = response.diagnostics().errors().map(|e| e.kind()).collect();
    assert_eq!(kinds, [ErrorKind::EntityAttrDoesNotExist]);

    let wrong = ENTITIES.replace("41", "\"old\"");
    assert!(build(&wrong).is_err());
    let wrong = Entities::from_json_str(&wrong, None).unwrap();
    let given = Engine::builder().schema(&schema).entities(wrong.clone());
    assert!(matches!(given.build(), Err(BuildError::Entities(_))));
    assert!(matches!(
        engine.replace_entities(wrong),
        Err(UpdateError::Build(BuildError::Entities(_)))
    ));
    assert_eq!(decide(&engine, ANN).0, Decision::Allow);
}

#[test]
fn an_engine_without_code_generation_says_so_and_answers() {
    let policies = r#"@id("core") permit (principal in Team::"core", action, resource);"#;
    let interpreted = Engine::builder()
        .policies_str(policies)
        .entities(entities())
        .jit(JitMode::Off)
        .build()
        .unwrap();
    assert!(matches!(
        interpreted.tier(),
        Tier::Interpreted(InterpretedBecause::Asked)
    ));
    assert_eq!(interpreted.stats().native_shapes, 0);
    assert_eq!(decide(&interpreted, ANN), decide(&engine(policies), ANN));
    assert!(matches!(engine(policies).tier(), Tier::Native));
}

#[test]
fn a_body_too_large_to_compile_is_interpreted() {
    // A set literal that is not constant takes stack in compiled code.
    let items = vec!["context"; 3000].join(", ");
    let text = format!("permit (principal, action, resource) when {{ [{items}].contains({{}}) }};");
    let engine = engine(&text);
    assert!(matches!(engine.tier(), Tier::Native));
    let stats = engine.stats();
    assert_eq!((stats.shapes, stats.native_shapes), (1, 0));
    assert_eq!(decide(&engine, BOB).0, Decision::Allow);
}

#[test]
fn links_of_a_template_share_one_shape() {
    let mut set: PolicySet = "permit (principal == ?principal, action, resource);"
        .parse()
        .unwrap();
    for i in 0..500 {
        let user = EntityUid::from_type_name_and_id(
            "User".parse().unwrap(),
            i.to_string().parse().unwrap(),
        );
        let slots = HashMap::from([(SlotId::principal(), user)]);
        set.link(
            PolicyId::new("policy0"),
            PolicyId::new(format!("l{i}")),
            slots,
        )
        .unwrap();
    }
    let engine = Engine::builder().policies(&set).build().unwrap();
    let stats = engine.stats();
    assert_eq!((stats.policies, stats.shapes), (500, 1));
    let allowed = decide(&engine, r#"User::"77""#);
    assert_eq!(allowed, (Decision::Allow, reasons(&["l77"])));
    assert_eq!(decide(&engine, ANN).0, Decision::Deny);
}

/// Enough links under each entity that the index searches them.
#[test]
fn links_of_a_grid_are_found() {
    const SIDE: usize = 20;
    let text = r#"
        permit (principal == ?principal, action, resource == ?resource);
        forbid (principal in ?principal, action == Action::"view", resource in ?resource);
        permit (principal == ?principal, action, resource);
        permit (principal, action, resource in ?resource);
    "#;
    let mut set: PolicySet = text.parse().unwrap();
    let mut link = |template: usize, principal: Option<usize>, resource: Option<usize>| {
        let user = principal.map(|i| (SlotId::principal(), uid(&format!("User::\"{i}\""))));
        let doc = resource.map(|i| (SlotId::resource(), uid(&format!("Doc::\"{i}\""))));
        let id = PolicyId::new(format!("{template} {principal:?} {resource:?}"));
        let slots = user.into_iter().chain(doc).collect();
        let template = PolicyId::new(format!("policy{template}"));
        set.link(template, id, slots).unwrap();
    };
    for i in 0..SIDE {
        for j in 0..SIDE {
            link(0, Some(i), Some(j));
            if (i + j) % 3 == 0 {
                link(1, Some(i), Some(j));
            }
        }
        if i % 2 == 0 {
            link(2, Some(i), None);
            link(3, None, Some(i));
        }
    }
    let mut json = Vec::new();
    for i in 0..SIDE {
        for ty in ["User", "Doc"] {
            let parent = i.checked_sub(7).map(|parent| {
                let parent = parent.to_string();
                serde_json::json!({ "type": ty, "id": parent })
            });
            let uid = serde_json::json!({ "type": ty, "id": i.to_string() });
            let parents: Vec<_> = parent.into_iter().collect();
            json.push(serde_json::json!({ "uid": uid, "attrs": {}, "parents": parents }));
        }
    }
    let entities = Entities::from_json_value(json.into(), None).unwrap();
    let engine = Engine::builder().policies(&set).entities(entities.clone());
    let snapshot = engine.build().unwrap().snapshot();
    let mut scratch = Scratch::default();
    for i in 0..SIDE {
        for j in 0..SIDE {
            for action in ["view", "edit"] {
                let request = Request::new(
                    uid(&format!("User::\"{i}\"")),
                    uid(&format!("Action::\"{action}\"")),
                    uid(&format!("Doc::\"{j}\"")),
                    Context::empty(),
                    None,
                );
                let bound = snapshot.bind(&request.unwrap()).unwrap();
                let ids = |evaluation: cedarjit::Evaluation<'_>| {
                    let ids = evaluation.reasons().map(str::to_owned);
                    (evaluation.decision(), ids.collect::<BTreeSet<_>>())
                };
                let indexed = ids(bound.evaluate(&mut scratch));
                assert_eq!(indexed, ids(bound.evaluate_unindexed(&mut scratch)));
                assert_eq!(indexed, ids(bound.interpret(&mut scratch)));
                assert!(!indexed.1.is_empty());
            }
        }
    }
}
