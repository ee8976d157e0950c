//! Engines that are changed, against cedar-policy on what they should have become.

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression,
};
use cedarjit::{BoundRequest, Engine, Scratch, UpdateError};
use std::collections::{BTreeMap, BTreeSet, HashSet};

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

    fn uid(&mut self) -> EntityUid {
        let ty = ["User", "Team", "Team", "Doc"][self.below(4)];
        uid(ty, self.below(6))
    }

    fn value(&mut self) -> RestrictedExpression {
        match self.below(5) {
            0 => RestrictedExpression::new_long(self.below(3) as i64),
            1 => RestrictedExpression::new_bool(self.below(2) == 0),
            2 => RestrictedExpression::new_string(["a", "b"][self.below(2)].to_owned()),
            3 => RestrictedExpression::new_set(
                (0..self.below(3))
                    .map(|_| uid("User", 1))
                    .map(RestrictedExpression::new_entity_uid),
            ),
            _ => RestrictedExpression::new_entity_uid(self.uid()),
        }
    }

    fn row(&mut self) -> Row {
        // Most often all have the same attributes, which is what fused code relies on.
        let plain = self.below(4) > 0;
        let mut attrs = BTreeMap::from([
            (
                "owner".to_owned(),
                RestrictedExpression::new_entity_uid(uid("User", self.below(6))),
            ),
            (
                "level".to_owned(),
                RestrictedExpression::new_long(self.below(4) as i64),
            ),
        ]);
        if !plain {
            for _ in 0..self.below(3) {
                let name = ["owner", "level", "open"][self.below(3)];
                match self.below(3) {
                    0 => drop(attrs.remove(name)),
                    _ => drop(attrs.insert(name.to_owned(), self.value())),
                }
            }
        }
        let tags = (0..self.below(2)).map(|_| (["x", "y"][self.below(2)].to_owned(), self.value()));
        Row {
            tags: tags.collect::<Vec<_>>().into_iter().collect(),
            attrs,
            parents: self.parents(),
        }
    }

    fn parents(&mut self) -> BTreeSet<EntityUid> {
        (0..self.below(3))
            .map(|_| uid("Team", self.below(6)))
            .collect()
    }
}

fn uid(ty: &str, number: usize) -> EntityUid {
    format!("{ty}::\"{number}\"").parse().unwrap()
}

#[derive(Clone, Debug)]
struct Row {
    attrs: BTreeMap<String, RestrictedExpression>,
    tags: BTreeMap<String, RestrictedExpression>,
    parents: BTreeSet<EntityUid>,
}

/// The entities as they should be.
type Model = BTreeMap<EntityUid, Row>;

fn entity(uid: &EntityUid, row: &Row) -> Entity {
    let Row {
        attrs,
        tags,
        parents,
    } = row.clone();
    Entity::new_with_tags(uid.clone(), attrs, parents, tags).unwrap()
}

fn entities(model: &Model) -> Option<Entities> {
    Entities::from_entities(model.iter().map(|(uid, row)| entity(uid, row)), None).ok()
}

const POLICIES: &str = r#"
    permit (principal in Team::"0", action, resource);
    permit (principal, action == Action::"view", resource) when { resource.owner == principal };
    permit (principal, action in Action::"all", resource is Doc) when { resource.owner in Team::"1" };
    forbid (principal, action, resource in Team::"2") unless { principal has open };
    forbid (principal, action, resource) when { principal.level > resource.level };
    permit (principal, action, resource) when { resource.owner.owner.level < 2 };
    permit (principal == User::"3", action, resource);
    permit (principal in Team::"4", action, resource in Team::"5");
    forbid (principal in Team::"3", action, resource) when { principal.hasTag("x") };
    permit (principal is Team in Team::"5", action, resource == Doc::"1");
    permit (principal, action, resource) when { User::"2".level == 1 && Team::"1" has open };
"#;

fn check(engine: &Engine, policies: &PolicySet, model: &Model, numbers: &mut Numbers) {
    let entities = entities(model).unwrap();
    let snapshot = engine.snapshot();
    assert_eq!(snapshot.stats().entities, model.len());
    let mut scratch = Scratch::default();
    for i in 0..12 {
        let action = ["view", "edit", "all"][numbers.below(3)];
        let request = Request::new(
            numbers.uid(),
            uid_text("Action", action),
            numbers.uid(),
            Context::empty(),
            None,
        )
        .unwrap();
        let expected = Authorizer::new().is_authorized(&request, policies, &entities);
        let expected = (
            expected.decision(),
            expected
                .diagnostics()
                .reason()
                .map(ToString::to_string)
                .collect(),
            (expected.diagnostics().errors())
                .map(|error| error.to_string())
                .collect::<BTreeSet<_>>(),
        );
        let bound = snapshot.bind(&request).unwrap();
        if i < 4 {
            bound.warm_up();
        }
        let answer = answer(&bound, &mut scratch);
        assert_eq!(answer, expected, "{request}");
        assert_eq!(bound.decide(&mut scratch), expected.0);
        let evaluation = bound.interpret(&mut scratch);
        assert_eq!(evaluation.decision(), expected.0);
    }
}

fn answer(
    bound: &BoundRequest,
    scratch: &mut Scratch,
) -> (cedar_policy::Decision, BTreeSet<String>, BTreeSet<String>) {
    let evaluation = bound.evaluate(scratch);
    let errors = evaluation
        .errors()
        .map(|(id, error)| format!("error while evaluating policy `{id}`: {error}"));
    (
        evaluation.decision(),
        evaluation.reasons().map(ToOwned::to_owned).collect(),
        errors.collect(),
    )
}

fn uid_text(ty: &str, id: &str) -> EntityUid {
    format!("{ty}::\"{id}\"").parse().unwrap()
}

fn actions(model: &mut Model) {
    for (action, parent) in [("view", Some("all")), ("edit", None), ("all", None)] {
        let row = Row {
            attrs: BTreeMap::new(),
            tags: BTreeMap::new(),
            parents: parent
                .into_iter()
                .map(|id| uid_text("Action", id))
                .collect(),
        };
        model.insert(uid_text("Action", action), row);
    }
}

/// A change, on the model.
enum Change {
    Upsert(EntityUid, Row),
    Remove(EntityUid),
    Parents(EntityUid, BTreeSet<EntityUid>),
}

impl Change {
    fn random(numbers: &mut Numbers) -> Self {
        match numbers.below(8) {
            0 | 1 => Self::Remove(numbers.uid()),
            2 => Self::Parents(numbers.uid(), numbers.parents()),
            3 if numbers.below(8) == 0 => {
                let action = ["view", "edit", "all"][numbers.below(3)];
                match numbers.below(2) {
                    0 => Self::Remove(uid_text("Action", action)),
                    _ => {
                        let mut row = numbers.row();
                        row.parents = BTreeSet::from([uid_text("Action", "all")]);
                        Self::Upsert(uid_text("Action", action), row)
                    }
                }
            }
            _ => Self::Upsert(numbers.uid(), numbers.row()),
        }
    }

    fn on_model(&self, model: &mut Model) {
        match self {
            Self::Upsert(uid, row) => drop(model.insert(uid.clone(), row.clone())),
            Self::Remove(uid) => {
                if model.remove(uid).is_some() {
                    for row in model.values_mut() {
                        row.parents.remove(uid);
                    }
                }
            }
            Self::Parents(uid, parents) => {
                if let Some(row) = model.get_mut(uid) {
                    row.parents.clone_from(parents);
                }
            }
        }
    }
}

fn apply(engine: &Engine, changes: &[Change], before: &Model) -> Result<(), UpdateError> {
    engine.update(|tx| {
        let mut known: HashSet<EntityUid> = before.keys().cloned().collect();
        for change in changes {
            match change {
                Change::Upsert(uid, row) => {
                    known.insert(uid.clone());
                    tx.upsert_entity(entity(uid, row))?;
                }
                Change::Remove(uid) => assert_eq!(tx.remove_entity(uid)?, known.remove(uid)),
                Change::Parents(uid, parents) => {
                    let changed = tx.set_parents(uid, parents.iter().cloned())?;
                    assert_eq!(changed, known.contains(uid));
                }
            }
        }
        Ok(())
    })
}

/// How many histories are gone through.
const SEEDS: u64 = if cfg!(debug_assertions) { 8 } else { 60 };

#[test]
fn changed_entities_are_as_if_built_anew() {
    let policies: PolicySet = POLICIES.parse().unwrap();
    let (mut refused, mut changed) = (0, 0);
    for seed in 0..SEEDS {
        let mut numbers = Numbers(seed);
        let mut model = Model::new();
        actions(&mut model);
        for _ in 0..numbers.below(12) {
            let (uid, row) = (numbers.uid(), numbers.row());
            let mut more = model.clone();
            more.insert(uid, row);
            if entities(&more).is_some() {
                model = more;
            }
        }
        let builder = Engine::builder().policies(&policies);
        let engine = match seed % 2 {
            // The document tells parents from other ancestors, and values do not.
            0 => builder.build().unwrap(),
            _ => builder.entities(Entities::empty()).build().unwrap(),
        };
        engine
            .update(|tx| {
                model
                    .iter()
                    .try_for_each(|(uid, row)| tx.upsert_entity(entity(uid, row)))
            })
            .unwrap();
        check(&engine, &policies, &model, &mut numbers);
        for _ in 0..30 {
            let count = 1 + numbers.below(3);
            let changes: Vec<Change> = (0..count).map(|_| Change::random(&mut numbers)).collect();
            let mut next = model.clone();
            changes.iter().for_each(|change| change.on_model(&mut next));
            let old = engine.snapshot();
            match apply(&engine, &changes, &model) {
                Ok(()) => {
                    assert!(entities(&next).is_some(), "a cycle was admitted");
                    model = next;
                    changed += 1;
                }
                Err(error) => {
                    assert!(entities(&next).is_none(), "refused: {error}");
                    assert!(std::sync::Arc::ptr_eq(&old, &engine.snapshot()));
                    refused += 1;
                }
            }
            check(&engine, &policies, &model, &mut numbers);
        }
    }
    assert!(
        refused > SEEDS / 2 && changed > 12 * SEEDS,
        "{refused} refused, {changed} changed"
    );
}

#[test]
fn parents_in_a_document_are_told_from_other_ancestors() {
    let document = |odd: &str| {
        format!(
            r#"[{{"uid": {{"type": "User", "id": "0"}}, "attrs": {{{odd}}}, "parents": [{{"type": "Team", "id": "1"}}]}},
                {{"uid": {{"type": "Team", "id": "1"}}, "attrs": {{}}, "parents": [{{"type": "Team", "id": "2"}}]}},
                {{"uid": {{"type": "Team", "id": "2"}}, "attrs": {{}}, "parents": []}}]"#
        )
    };
    // The second is one that cedar-policy reads.
    for odd in [
        "",
        r#""when": {"__extn": {"fn": "offset", "args": [{"__extn": {"fn": "datetime", "arg": "2024-01-01"}}, {"__extn": {"fn": "duration", "arg": "1h"}}]}}"#,
    ] {
        let engine = Engine::builder()
            .policies_str("permit (principal in Team::\"2\", action, resource);")
            .entities_json(document(odd))
            .build()
            .unwrap();
        let ask = || {
            let (action, doc) = (uid_text("Action", "view"), uid("Doc", 1));
            let request = Request::new(uid("User", 0), action, doc, Context::empty(), None);
            engine.is_authorized(&request.unwrap()).decision()
        };
        assert_eq!(ask(), cedar_policy::Decision::Allow);
        assert!(
            engine
                .update(|tx| tx.remove_entity(&uid("Team", 1)))
                .unwrap()
        );
        assert_eq!(ask(), cedar_policy::Decision::Deny, "{odd}");
    }
}

#[test]
fn who_is_in_whom_is_told_from_the_entities_that_a_transaction_has_put_in_place() {
    let entity = |id: &str, parents: &[&str]| {
        let uid = |id: &str| format!("Doc::\"{id}\"").parse::<EntityUid>().unwrap();
        let parents = parents.iter().map(|id| uid(id)).collect();
        Entity::new_no_attrs(uid(id), parents)
    };
    let entities = |all: Vec<Entity>| Entities::from_entities(all, None).unwrap();
    let engine = Engine::builder()
        .policies_str(r#"permit (principal, action, resource in Doc::"root");"#)
        .build()
        .unwrap();
    // So that the engine knows who is in whom.
    engine
        .update(|tx| tx.upsert_entity(entity("other", &[])))
        .unwrap();
    engine
        .update(|tx| tx.upsert_entity(entity("other", &["more"])))
        .unwrap();
    engine
        .update(|tx| {
            let all = vec![entity("folder", &[]), entity("doc", &["folder"])];
            tx.replace_entities(entities(all))?;
            tx.upsert_entity(entity("folder", &["root"]))
        })
        .unwrap();
    let doc = engine
        .session()
        .is_authorized(
            "User::\"a\"",
            "Action::\"view\"",
            "Doc::\"doc\"",
            "{}",
            true,
        )
        .unwrap()
        .decision();
    assert_eq!(doc, cedarjit::Decision::Allow);
}
