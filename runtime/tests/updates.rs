//! Changes of policies are accepted and refused exactly as cedar-policy's `PolicySet` does.

use cedar_policy::{
    Authorizer, Context, Entities, EntityUid, Policy, PolicyId, PolicySet, PolicySetError, Request,
    SlotId, Template,
};
use cedarjit::{Engine, UpdateError};
use std::collections::{BTreeSet, HashMap};

/// A few ids, so that they collide.
const IDS: [&str; 6] = [
    "a",
    "b",
    "c",
    "a longer id than fits into a small string",
    "",
    "e\n",
];

const TEMPLATES: [&str; 3] = [
    "permit (principal == ?principal, action, resource);",
    "forbid (principal in ?principal, action, resource == ?resource) when { context.x };",
    "permit (principal, action, resource is Doc in ?resource);",
];

const POLICIES: [&str; 2] = [
    "permit (principal, action, resource) when { resource == principal };",
    "forbid (principal == User::\"0\", action, resource);",
];

/// A small generator of numbers, since what matters is only that they vary.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }

    fn id(&mut self) -> PolicyId {
        PolicyId::new(IDS[self.below(IDS.len())])
    }

    fn uid(&mut self) -> EntityUid {
        let types = ["User", "Doc", "N::S::Team"];
        let ty = types[self.below(types.len())];
        let text = format!("{ty}::\"{}\"", self.below(3));
        text.parse().unwrap()
    }

    fn slots(&mut self) -> HashMap<SlotId, EntityUid> {
        let mut slots = HashMap::new();
        if self.below(3) > 0 {
            slots.insert(SlotId::principal(), self.uid());
        }
        if self.below(3) > 0 {
            slots.insert(SlotId::resource(), self.uid());
        }
        slots
    }
}

/// Makes one change on both, and compares what they say.
fn change(numbers: &mut Numbers, engine: &Engine, set: &mut PolicySet) -> bool {
    let (id, other) = (numbers.id(), numbers.id());
    let (ours, theirs): (Result<(), UpdateError>, Result<(), PolicySetError>) =
        match numbers.below(9) {
            0 | 1 => {
                let text = POLICIES[numbers.below(POLICIES.len())];
                let policy = Policy::parse(Some(id), text).unwrap();
                (engine.add_policy(policy.clone()), set.add(policy))
            }
            2 => {
                let text = TEMPLATES[numbers.below(TEMPLATES.len())];
                let template = Template::parse(Some(id), text).unwrap();
                let ours = engine.add_template(template.clone());
                (ours, set.add_template(template))
            }
            3..=6 => {
                let slots = numbers.slots();
                let ours = engine.link(id.clone(), other.clone(), slots.clone());
                (ours, set.link(id, other, slots))
            }
            7 => {
                let is_link = set.policy(&id).is_some_and(|p| !p.is_static());
                let theirs = match is_link {
                    true => set.unlink(id.clone()),
                    false => set.remove_static(id.clone()),
                };
                (engine.remove_policy(id), theirs.map(|_| ()))
            }
            _ => {
                let theirs = set.remove_template(id.clone()).map(|_| ());
                (engine.remove_template(id), theirs)
            }
        };
    match (&ours, &theirs) {
        (Ok(()), Ok(())) => {}
        (Err(UpdateError::Policies(ours)), Err(theirs)) => {
            assert_eq!(ours.to_string(), theirs.to_string());
            let kind = |e: &PolicySetError| std::mem::discriminant(e);
            assert_eq!(kind(ours), kind(theirs));
        }
        _ => panic!("{ours:?} and {theirs:?}"),
    }
    ours.is_ok()
}

fn compare(engine: &Engine, set: &PolicySet) {
    let snapshot = engine.snapshot();
    let ids: Vec<&str> = snapshot.policies().map(|p| p.id.as_str()).collect();
    assert!(ids.is_sorted());
    let expected: BTreeSet<&str> = set.policies().map(|p| p.id().as_ref()).collect();
    assert_eq!(ids, expected.into_iter().collect::<Vec<_>>());
    for (principal, resource) in [("User::\"0\"", "Doc::\"1\""), ("Doc::\"1\"", "Doc::\"1\"")] {
        let request = Request::new(
            principal.parse().unwrap(),
            "Action::\"view\"".parse().unwrap(),
            resource.parse().unwrap(),
            Context::empty(),
            None,
        );
        let request = request.unwrap();
        let expected = Authorizer::new().is_authorized(&request, set, &Entities::empty());
        let ours: cedar_policy::Response = engine.is_authorized(&request).into();
        assert_eq!(ours.decision(), expected.decision());
        let of = |r: &cedar_policy::Response| {
            let reasons: BTreeSet<String> =
                r.diagnostics().reason().map(|r| r.to_string()).collect();
            let errors: BTreeSet<String> =
                r.diagnostics().errors().map(|e| e.to_string()).collect();
            (reasons, errors)
        };
        assert_eq!(of(&ours), of(&expected));
    }
}

#[test]
fn changes_are_accepted_and_refused_as_by_cedar_policy() {
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..if cfg!(debug_assertions) { 5 } else { 20 } {
        let mut numbers = Numbers(seed);
        let engine = Engine::builder().build().unwrap();
        let mut set = PolicySet::new();
        for step in 0..150 {
            match change(&mut numbers, &engine, &mut set) {
                true => accepted += 1,
                false => refused += 1,
            }
            if step % 10 == 0 {
                compare(&engine, &set);
            }
            if step % 40 == 0 {
                // Numbers every id anew.
                engine.replace_entities(Entities::empty()).unwrap();
                compare(&engine, &set);
            }
            if step % 70 == 0 {
                engine.replace_policies(&set).unwrap();
            }
        }
        compare(&engine, &set);
    }
    assert!(accepted > 100 && refused > 100, "{accepted} and {refused}");
}

/// Links given as text are those that cedar-policy makes of the same text.
#[test]
fn links_given_as_text_are_made() {
    let policies = TEMPLATES.join("\n");
    let links = r#"[
        {"template_id": "policy0", "link_id": "one", "args": {"?principal": "User::\"0\""}},
        {"link_id": "two", "args": {"?resource": "Doc::\"1\""}, "template_id": "policy2"},
        {"template_id": "policy0", "link_id": "odd", "args": {"?principal": "User::\"é\\'\""}},
        {"template_id": "policy1", "link_id": "both", "note": [1],
         "args": {"?resource": "Doc::\"1\"", "?principal": "User::\"9\"", "?principal": "User::\"0\""}}
    ]"#;
    // Without what is unusual the engine reads it all by itself.
    let plain = links.replace("é\\\\'", "e");
    assert_ne!(links, plain);
    for links in [links, &plain] {
        let mut set: PolicySet = policies.parse().unwrap();
        cedarjit_frontend::load::link(&mut set, links, "links").unwrap();
        let read = cedarjit_frontend::load::plain_links(&policies.parse().unwrap(), links);
        assert_eq!(read.is_some(), links == plain);
        let builder = Engine::builder().policies_str(&policies).links_json(links);
        let engine = builder.build().unwrap();
        compare(&engine, &set);
        engine.remove_policy(PolicyId::new("one")).unwrap();
        assert!(engine.remove_template(PolicyId::new("policy2")).is_err());
        engine.remove_policy(PolicyId::new("two")).unwrap();
        engine.remove_template(PolicyId::new("policy2")).unwrap();
    }
    for (from, to) in [
        ("\"both\"", "\"one\""),
        ("?resource", "?other"),
        ("policy0", "policy7"),
    ] {
        let wrong = plain.replace(from, to);
        let mut set: PolicySet = policies.parse().unwrap();
        let theirs = cedarjit_frontend::load::link(&mut set, &wrong, "template links").unwrap_err();
        let ours = Engine::builder()
            .policies_str(&policies)
            .links_json(wrong)
            .build();
        assert_eq!(ours.unwrap_err().to_string(), theirs.to_string());
    }
}
