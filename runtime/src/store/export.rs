//! Stored entities as cedar-policy's.

use super::Store;
use crate::Snapshot;
use crate::request::RequestValues;
use crate::values::{ScratchSpace, ValueContext};
use cedar_policy::{Entity, EntityId as Eid, EntityTypeName, EntityUid, RestrictedExpression};
use cedarjit_ir::ids::{EntityId, StrId};
use cedarjit_ir::interner::Interner;
use cedarjit_ir::value::{Tag, Value};

impl Snapshot {
    /// The entities of this state as cedar-policy's, with their parents; the actions that a schema
    /// supplies are among them.
    ///
    /// Where entities came in one value, which does not tell parents from other ancestors, all
    /// ancestors are parents. An entity takes microseconds: its values are written and read again as
    /// Cedar expressions.
    pub fn entities(&self) -> impl Iterator<Item = Entity> {
        self.store.entities(&self.interner)
    }

    /// The stored entity of this uid as cedar-policy's, with its parents as
    /// [`entities`](Self::entities) has them; `None` if there is none. Takes microseconds.
    pub fn entity(&self, uid: &EntityUid) -> Option<Entity> {
        let ty = uid.type_name().to_string();
        let id = self.interner.find_entity(&ty, uid.id().unescaped())?;
        self.store.with_parents(&self.interner, id)
    }
}

impl Store {
    /// All entities that exist, with their parents.
    pub(crate) fn entities(&self, interner: &Interner) -> impl Iterator<Item = Entity> {
        let ids = (0..self.headers().len()).map(EntityId::from_index);
        ids.filter(|id| self.exists(*id))
            .filter_map(|id| self.with_parents(interner, id))
    }

    fn with_parents(&self, interner: &Interner, id: EntityId) -> Option<Entity> {
        let parents = self.parents_of(id).iter();
        self.entity(
            interner,
            id,
            parents.filter_map(|id| self.uid(interner, id)),
        )
    }

    /// The uid of an entity; `None` for an id not given out, or a type whose name cedar-policy does
    /// not read.
    pub(crate) fn uid(&self, interner: &Interner, id: EntityId) -> Option<EntityUid> {
        let (ty, eid) = interner.entity(id)?;
        let ty: EntityTypeName = interner.str(ty.name()).parse().ok()?;
        Some(EntityUid::from_type_name_and_id(
            ty,
            Eid::new(interner.str(eid)),
        ))
    }

    /// An entity as it is stored, with these parents; `None` if it does not exist.
    ///
    /// Values are written and read again as Cedar expressions, so this takes microseconds.
    pub(crate) fn entity(
        &self,
        interner: &Interner,
        id: EntityId,
        parents: impl IntoIterator<Item = EntityUid>,
    ) -> Option<Entity> {
        let record = Value::entity(id);
        let mut scratch = ScratchSpace::new();
        let request = RequestValues::unbound(interner);
        let values = ValueContext {
            interner,
            store: self,
            request: &request,
            scratch: &mut scratch,
        };
        let object = values.attributes(record)?;
        let names = values.shape_attrs(object.shape()).iter().copied();
        let expression = |(name, value): (StrId, Value)| {
            let name = interner.str(name).to_owned();
            Some((name, restricted(&values, value)?))
        };
        let attrs: Option<Vec<_>> = names.zip(object.values()).map(expression).collect();
        let tags: Option<Vec<_>> = self.tags(id).iter().map(expression).collect();
        Entity::new_with_tags(self.uid(interner, id)?, attrs?, parents, tags?).ok()
    }
}

/// A value as an expression of cedar-policy, by way of Cedar's syntax.
pub(crate) fn restricted(values: &ValueContext<'_>, value: Value) -> Option<RestrictedExpression> {
    Some(match value.tag {
        // Any text can be a string; the others have one way to be written.
        Tag::String => RestrictedExpression::new_string(values.str(value.as_str()).to_owned()),
        Tag::Bool => RestrictedExpression::new_bool(value.word != 0),
        Tag::Long => RestrictedExpression::new_long(value.as_i64()),
        _ => values.text(value).parse().ok()?,
    })
}
