//! Links that come and go among many policies, against cedar-policy.

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityUid, Policy, PolicyId, PolicySet, Request, SlotId,
    Template,
};
use cedarjit::{Engine, Scratch};
use std::collections::{BTreeSet, HashMap};

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

    fn uid(&mut self, ty: &str) -> EntityUid {
        uid(ty, self.below(12))
    }

    fn parents(&mut self, ty: &str) -> Vec<EntityUid> {
        (0..self.below(3)).map(|_| self.uid(ty)).collect()
    }
}

fn uid(ty: &str, number: usize) -> EntityUid {
    format!("{ty}::\"{number}\"").parse().unwrap()
}

const TEMPLATES: [(&str, &str); 5] = [
    (
        "t0",
        "permit (principal == ?principal, action == Action::\"view\", resource == ?resource);",
    ),
    (
        "t1",
        "forbid (principal in ?principal, action in Action::\"all\", resource);",
    ),
    (
        "t2",
        "permit (principal, action, resource in ?resource) when { principal.x > 1 };",
    ),
    (
        "t3",
        "permit (principal in ?principal, action, resource in ?resource) when { resource has x };",
    ),
    (
        "t4",
        "forbid (principal == ?principal, action == Action::\"edit\", resource);",
    ),
];

fn slots(template: &str, numbers: &mut Numbers) -> HashMap<SlotId, EntityUid> {
    let mut slots = HashMap::new();
    if template != "t2" {
        let ty = ["User", "Team"][numbers.below(2)];
        slots.insert(SlotId::principal(), numbers.uid(ty));
    }
    if ["t0", "t2", "t3"].contains(&template) {
        let ty = ["Doc", "Folder"][numbers.below(2)];
        slots.insert(SlotId::resource(), numbers.uid(ty));
    }
    slots
}

struct World {
    engine: Engine,
    set: PolicySet,
    entities: Entities,
    numbers: Numbers,
    next: usize,
}

impl World {
    fn new(seed: u64, links: usize) -> Self {
        let mut numbers = Numbers(seed);
        let mut set = PolicySet::new();
        for (id, text) in TEMPLATES {
            set.add_template(Template::parse(Some(PolicyId::new(id)), text).unwrap())
                .unwrap();
        }
        for i in 0..links {
            // The last template has no link at first.
            let (template, _) = TEMPLATES[numbers.below(4)];
            let slots = slots(template, &mut numbers);
            set.link(
                PolicyId::new(template),
                PolicyId::new(format!("link{i}")),
                slots,
            )
            .unwrap();
        }
        let text =
            "permit (principal, action == Action::\"edit\", resource) when { resource.x == 1 };";
        set.add(Policy::parse(Some(PolicyId::new("own")), text).unwrap())
            .unwrap();
        let action = |id: &str, parents: &[&str]| {
            let uid = |id: &&str| format!("Action::\"{id}\"").parse().unwrap();
            Entity::new_no_attrs(uid(&id), parents.iter().map(uid).collect())
        };
        let entities = [
            action("view", &["all"]),
            action("edit", &[]),
            action("all", &[]),
        ];
        let entities = Entities::from_entities(entities, None).unwrap();
        let builder = Engine::builder().policies(&set).entities(entities.clone());
        Self {
            engine: builder.build().unwrap(),
            set,
            entities,
            numbers,
            next: links,
        }
    }

    fn change(&mut self) {
        let Self {
            engine,
            set,
            entities,
            numbers,
            next,
        } = self;
        match numbers.below(20) {
            0..=9 => {
                let (template, _) = TEMPLATES[numbers.below(5)];
                let slots = slots(template, numbers);
                *next += 1;
                let id = PolicyId::new(format!("link{next}"));
                engine
                    .link(PolicyId::new(template), id.clone(), slots.clone())
                    .unwrap();
                set.link(PolicyId::new(template), id, slots).unwrap();
            }
            10..=15 => {
                let ids: Vec<PolicyId> = set.policies().map(|p| p.id().clone()).collect();
                let id = ids[numbers.below(ids.len())].clone();
                let is_link = set.policy(&id).is_some_and(|policy| !policy.is_static());
                engine.remove_policy(id.clone()).unwrap();
                match is_link {
                    true => drop(set.unlink(id).unwrap()),
                    false => drop(set.remove_static(id).unwrap()),
                }
            }
            16 => {
                *next += 1;
                let id = PolicyId::new(format!("static{next}"));
                let text = format!(
                    "permit (principal == User::\"{}\", action, resource);",
                    numbers.below(12)
                );
                let policy = Policy::parse(Some(id), text).unwrap();
                engine.add_policy(policy.clone()).unwrap();
                set.add(policy).unwrap();
            }
            17 if numbers.below(10) == 0 => {
                // The template has links, or none: the answer is the same on both.
                let (template, _) = TEMPLATES[4];
                let ours = engine.remove_template(PolicyId::new(template));
                let theirs = set.remove_template(PolicyId::new(template));
                assert_eq!(ours.is_ok(), theirs.is_ok());
                if theirs.is_ok() {
                    let text = TEMPLATES[4].1;
                    let template = Template::parse(Some(PolicyId::new(template)), text).unwrap();
                    engine.add_template(template.clone()).unwrap();
                    set.add_template(template).unwrap();
                }
            }
            _ => {
                let (ty, parents) = match numbers.below(4) {
                    0 => ("User", numbers.parents("Team")),
                    1 => ("Team", vec![]),
                    2 => ("Doc", numbers.parents("Folder")),
                    _ => ("Folder", vec![]),
                };
                let attrs = [(
                    "x".to_owned(),
                    (numbers.below(4) as i64).to_string().parse().unwrap(),
                )];
                let uid = numbers.uid(ty);
                let entity = Entity::new(uid, attrs.into(), parents.into_iter().collect()).unwrap();
                engine
                    .update(|tx| tx.upsert_entity(entity.clone()))
                    .unwrap();
                *entities = entities.clone().upsert_entities([entity], None).unwrap();
            }
        }
    }

    fn check(&mut self) {
        let snapshot = self.engine.snapshot();
        assert_eq!(snapshot.policies().len(), self.set.num_of_policies());
        assert_eq!(snapshot.stats().policies, self.set.num_of_policies());
        assert!(snapshot.policies().map(|policy| &policy.id).is_sorted());
        let mut scratch = Scratch::default();
        for i in 0..6 {
            let action = ["view", "edit", "all"][self.numbers.below(3)];
            let request = Request::new(
                self.numbers.uid("User"),
                format!("Action::\"{action}\"").parse().unwrap(),
                self.numbers.uid("Doc"),
                Context::empty(),
                None,
            )
            .unwrap();
            let answer = Authorizer::new().is_authorized(&request, &self.set, &self.entities);
            let diagnostics = answer.diagnostics();
            let reasons: BTreeSet<String> = diagnostics.reason().map(ToString::to_string).collect();
            let errors = diagnostics.errors().count();
            let bound = snapshot.bind(&request).unwrap();
            if i % 2 == 0 {
                bound.warm_up();
            }
            assert_eq!(bound.decide(&mut scratch), answer.decision());
            let ours = bound.evaluate(&mut scratch);
            assert_eq!(
                ours.reasons()
                    .map(ToOwned::to_owned)
                    .collect::<BTreeSet<_>>(),
                reasons
            );
            assert_eq!(
                (ours.decision(), ours.errors().len()),
                (answer.decision(), errors)
            );
            let ours = bound.evaluate_unindexed(&mut scratch);
            assert_eq!(
                ours.reasons()
                    .map(ToOwned::to_owned)
                    .collect::<BTreeSet<_>>(),
                reasons
            );
            let ours = bound.interpret(&mut scratch);
            assert_eq!(ours.reasons().len(), reasons.len());
        }
    }
}

#[test]
fn links_come_and_go_among_many() {
    for seed in 0..3 {
        let mut world = World::new(seed, 150);
        for i in 0..900 {
            world.change();
            if i % 3 == 0 {
                world.check();
            }
        }
    }
}
