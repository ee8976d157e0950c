//! Which requests certainly fit a schema.
//!
//! Made once for a schema, so that a request that fits is not taken to cedar-policy. What these
//! rules do not cover, cedar-policy judges: external actions, types of attributes that
//! [`SchemaFacts`] does not know, and whatever does not fit.

use crate::request::uid::uid_of_names;
use cedar_policy::{EntityTypeName, Schema};
use cedarjit_frontend::schema::{Attrs, SchemaFacts};
use cedarjit_ir::ids::{EntityId, TypeId};
use cedarjit_ir::interner::{CapacityError, Interner};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

/// What is known about the requests of a schema's actions.
#[derive(Debug, Default)]
pub(crate) struct RequestRules {
    actions: HashMap<EntityId, ActionRules, RandomState>,
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
    /// The names of these types and the entities that they enumerate are interned, so that what a
    /// request is about is told by ids.
    ///
    /// # Errors
    /// When the interner is full.
    pub(crate) fn new(
        schema: &Schema,
        facts: &SchemaFacts,
        interner: &mut Interner,
    ) -> Result<Self, CapacityError> {
        let mut rules = Self::default();
        for ((ty, id), action) in &facts.actions {
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
            rules.actions.insert(action_id, action);
        }
        Ok(rules)
    }

    /// What is known about an action's requests.
    #[inline]
    pub(crate) fn action(&self, action: EntityId) -> Option<&ActionRules> {
        self.actions.get(&action)
    }
}

/// Which entities an action applies to.
#[derive(Debug, Default)]
pub(crate) struct Applicable {
    /// All of these types.
    types: Vec<TypeId>,
    /// Those that enumerated types have.
    entities: HashSet<EntityId, RandomState>,
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
                continue;
            };
            match &facts.choices {
                None => {
                    let name = interner.intern_str(&name)?;
                    applicable.types.push(TypeId::of_name(name));
                }
                Some(choices) => {
                    for id in choices {
                        let entity = interner.intern_entity(&name, id)?;
                        applicable.entities.insert(entity);
                    }
                }
            }
        }
        Ok(applicable)
    }

    /// Whether this entity is certainly among them. Its type is `None` if the interner does not know
    /// that.
    #[inline]
    pub(crate) fn has(&self, entity: EntityId, ty: Option<TypeId>) -> bool {
        ty.is_some_and(|ty| self.types.contains(&ty)) || self.entities.contains(&entity)
    }
}
