//! What a schema says about the entities of a document.

use cedar_policy::{Entities, Entity, EntityTypeName, EntityUid, Schema};
use cedarjit_frontend::schema::{EntityTypeFacts, SchemaFacts};
use cedarjit_ir::ids::TypeId;
use cedarjit_ir::interner::{CapacityError, Interner};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// How many entity types a schema may declare: cedar-policy takes time that grows with the square of
/// their number to say which may be in which. With more, documents are left to it.
const MAX_TYPES: usize = 1000;

/// What a schema says about entities, by the ids of one interner.
pub(super) struct EntityRules<'s> {
    pub(super) facts: &'s SchemaFacts,
    types: HashMap<TypeId, TypeRules<'s>, RandomState>,
    /// The actions, which the schema supplies.
    actions: Entities,
}

/// What a schema says about the entities of one type.
pub(super) struct TypeRules<'s> {
    pub(super) facts: &'s EntityTypeFacts,
    /// The types that parents may have.
    parents: Vec<TypeId>,
}

impl TypeRules<'_> {
    #[inline]
    pub(super) fn may_be_parent(&self, ty: TypeId) -> bool {
        self.parents.contains(&ty)
    }
}

impl<'s> EntityRules<'s> {
    /// The rules of a schema; `None` if it has too many types, its actions cannot be had, or a table
    /// is full. O(n²) in the number of types.
    pub(super) fn new(
        schema: &Schema,
        facts: &'s SchemaFacts,
        interner: &mut Interner,
    ) -> Option<Self> {
        if facts.entity_types.len() > MAX_TYPES {
            return None;
        }
        let mut declared: Vec<_> = facts.entity_types.iter().collect();
        declared.sort_unstable_by_key(|(name, _)| *name);
        let mut types = HashMap::default();
        for (name, facts) in declared {
            let parsed: EntityTypeName = name.parse().ok()?;
            let mut ancestors: Vec<_> = schema.ancestors(&parsed)?.collect();
            ancestors.sort_unstable();
            let parents = ancestors.into_iter();
            let parents = parents.map(|ty| type_id(interner, &ty.to_string()));
            let rules = TypeRules {
                facts,
                parents: parents.collect::<Result<_, _>>().ok()?,
            };
            types.insert(type_id(interner, name).ok()?, rules);
        }
        Some(Self {
            facts,
            types,
            actions: schema.action_entities().ok()?,
        })
    }

    /// What is known about an entity type.
    #[inline]
    pub(super) fn entity_type(&self, ty: TypeId) -> Option<&TypeRules<'s>> {
        self.types.get(&ty)
    }

    /// The actions with all their ancestors.
    pub(super) fn actions(&self) -> &Entities {
        &self.actions
    }

    /// The actions in a fixed order.
    pub(super) fn sorted_actions(&self) -> Vec<(EntityUid, &Entity)> {
        let mut sorted: Vec<_> = self.actions.iter().map(|e| (e.uid(), e)).collect();
        sorted.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        sorted
    }
}

fn type_id(interner: &mut Interner, name: &str) -> Result<TypeId, CapacityError> {
    interner.intern_str(name).map(TypeId::of_name)
}

/// Whether entities of the type with this name are actions.
#[inline]
pub(super) fn is_action_type(name: &str) -> bool {
    let namespace = name.strip_suffix("Action");
    namespace.is_some_and(|namespace| namespace.is_empty() || namespace.ends_with("::"))
}
