//! Which requests certainly fit a schema.
//!
//! Made once for a schema, so that a request that fits is not taken to cedar-policy. What these
//! rules do not cover, cedar-policy judges: external actions, types of attributes that
//! [`SchemaFacts`] does not know, and whatever does not fit.

use crate::request::uid::uid_of_names;
use cedar_policy::{EntityTypeName, Schema};
use cedarjit_frontend::schema::{Attrs, SchemaFacts, SchemaType};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, TypeId};
use cedarjit_ir::interner::{CapacityError, Interner};
use cedarjit_ir::shape::ShapeTable;
use foldhash::fast::RandomState;
use hashbrown::HashSet;
use std::sync::Arc;

/// What is known about the requests of a schema's actions.
#[derive(Debug, Default)]
pub(crate) struct RequestRules {
    actions: Vec<ActionRules>,
    /// By id, from the first action's to the last's, the position of its rules; [`u32::MAX`] for what is
    /// no action. Actions are interned one after the other, unless the schema changes.
    places: Vec<u32>,
    first: usize,
}

/// What is known about the requests of one action.
#[derive(Debug)]
pub(crate) struct ActionRules {
    /// Who may be the principal.
    pub(crate) principals: Applicable,
    /// What may be the resource.
    pub(crate) resources: Applicable,
    /// The attributes of the context.
    pub(crate) context: Arc<Attrs>,
    /// Whether the context may be empty.
    pub(crate) may_be_empty: bool,
}

impl RequestRules {
    /// The rules of a schema. O(actions × types that they apply to).
    ///
    /// The names of these types, the entities that they enumerate, and the usual shapes of contexts
    /// are interned, so that what a request is about is told by ids.
    ///
    /// # Errors
    /// When a table is full.
    pub(crate) fn new(
        schema: &Schema,
        facts: &SchemaFacts,
        interner: &mut Interner,
        shapes: &mut ShapeTable,
    ) -> Result<Self, CapacityError> {
        let mut rules = Vec::new();
        let mut contexts = ContextShapes {
            interner,
            shapes,
            seen: HashSet::default(),
        };
        // In an order that is always the same, and so are the ids.
        let mut actions: Vec<_> = facts.actions.iter().collect();
        actions.sort_unstable_by_key(|(name, _)| *name);
        for context in actions.iter().filter_map(|(_, a)| a.context.as_ref()) {
            contexts.record(context)?;
        }
        for ((ty, id), action) in actions {
            let known = interner.find_entity(ty, id).zip(uid_of_names(ty, id));
            let Some(((action_id, uid), context)) = known.zip(action.context.clone()) else {
                continue;
            };
            let principals = schema.principals_for_action(&uid);
            let resources = schema.resources_for_action(&uid);
            let Some((principals, resources)) = principals.zip(resources) else {
                continue;
            };
            let action = ActionRules {
                principals: Applicable::new(principals, facts, interner)?,
                resources: Applicable::new(resources, facts, interner)?,
                may_be_empty: context.values().all(|attr| !attr.required),
                context,
            };
            rules.push((action_id, action));
        }
        Ok(Self::of(rules))
    }

    fn of(actions: Vec<(EntityId, ActionRules)>) -> Self {
        let ids = || actions.iter().map(|(action, _)| action.index());
        let first = ids().min().unwrap_or(0);
        let span = ids().max().map_or(0, |last| last - first + 1);
        let mut places = vec![u32::MAX; span];
        for (position, id) in (0..).zip(ids()) {
            places[id - first] = position;
        }
        Self {
            actions: actions.into_iter().map(|(_, rules)| rules).collect(),
            first,
            places,
        }
    }

    /// What is known about an action's requests.
    #[inline]
    pub(crate) fn action(&self, action: EntityId) -> Option<&ActionRules> {
        let place = action.index().wrapping_sub(self.first);
        let position = *self.places.get(place)?;
        self.actions.get(position as usize)
    }
}

/// Interns the shapes that the records of contexts usually have.
struct ContextShapes<'a> {
    interner: &'a mut Interner,
    shapes: &'a mut ShapeTable,
    /// The types that are done. Types share parts, which are seen once.
    seen: HashSet<*const Attrs, RandomState>,
}

impl ContextShapes<'_> {
    /// Recursion is bounded by the depth of the schema's types.
    fn record(&mut self, attrs: &Arc<Attrs>) -> Result<(), CapacityError> {
        if !self.seen.insert(Arc::as_ptr(attrs)) {
            return Ok(());
        }
        let (mut all, mut required) = (Vec::new(), Vec::new());
        for (name, attr) in &**attrs {
            let name = self.interner.intern_str(name)?;
            all.push(name);
            if attr.required {
                required.push(name);
            }
        }
        for mut names in [all, required] {
            names.sort_unstable();
            self.shapes.intern(&names)?;
        }
        for attr in attrs.values() {
            let mut ty = &attr.ty;
            while let SchemaType::Set(element) = ty {
                ty = element;
            }
            if let SchemaType::Record(attrs) = ty {
                self.record(attrs)?;
            }
        }
        Ok(())
    }
}

/// Which entities an action applies to.
#[derive(Debug, Default)]
pub(crate) struct Applicable {
    /// All of these types.
    types: Vec<TypeId>,
    /// Those that enumerated types have.
    entities: HashSet<EntityId, RandomState>,
    /// Whether there are types of which nothing is known.
    open: bool,
}

impl Applicable {
    fn new<'s>(
        types: impl Iterator<Item = &'s EntityTypeName>,
        facts: &SchemaFacts,
        interner: &mut Interner,
    ) -> Result<Self, CapacityError> {
        let mut applicable = Self::default();
        for ty in types {
            let name = ty.to_string();
            let Some(facts) = facts.entity_type(&name) else {
                applicable.open = true;
                continue;
            };
            match &facts.choices {
                Some(choices) if !planted(Fault::AnyEntityEnumerated) => {
                    for id in choices {
                        let entity = interner.intern_entity(&name, id)?;
                        applicable.entities.insert(entity);
                    }
                }
                _ => {
                    let name = interner.intern_str(&name)?;
                    applicable.types.push(TypeId::of_name(name));
                }
            }
        }
        Ok(applicable)
    }

    /// Whether all entities of a type are certainly among them.
    pub(crate) fn has_type(&self, ty: TypeId) -> bool {
        self.types.contains(&ty)
    }

    /// Whether this entity, which is of this type, is certainly among them.
    #[inline]
    pub(crate) fn has(&self, entity: EntityId, ty: TypeId) -> bool {
        self.has_type(ty) || self.entities.contains(&entity)
    }

    /// Whether an entity is certainly not among them, by what the interner knows of it.
    pub(crate) fn lacks(&self, entity: Option<EntityId>, ty: Option<TypeId>) -> bool {
        let enumerated = entity.is_some_and(|entity| self.entities.contains(&entity));
        let enumerated = enumerated && !planted(Fault::EnumeratedNotSearched);
        !self.open && !enumerated && !ty.is_some_and(|ty| self.has_type(ty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fused::UNKNOWN_ACTION;

    fn rules(action: EntityId) -> ActionRules {
        let mut principals = Applicable::default();
        principals.entities.insert(action);
        ActionRules {
            principals,
            resources: Applicable::default(),
            context: Arc::default(),
            may_be_empty: true,
        }
    }

    #[test]
    fn each_action_has_its_rules() {
        // Every other entity is an action.
        let mut ids = (0..1_000).map(EntityId::from_index);
        for count in [0, 1, 2, 3, 8, 200] {
            let (known, others): (Vec<_>, Vec<_>) =
                (ids.by_ref().take(2 * count)).partition(|id| id.index() % 2 == 1);
            let all = RequestRules::of(known.iter().map(|id| (*id, rules(*id))).collect());
            for id in known {
                let found = all.action(id).expect("the action has rules");
                assert!(found.principals.entities.contains(&id));
            }
            let others = others.into_iter().chain(ids.by_ref().take(40));
            for id in others.chain([UNKNOWN_ACTION, EntityId::local(3)]) {
                assert!(all.action(id).is_none(), "{id:?}");
            }
        }
    }
}
