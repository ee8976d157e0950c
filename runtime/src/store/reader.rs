//! Entities of cedar-policy as headers of a store.

use super::{Store, StoreError};
use crate::values::{GlobalSink, ValueError, ValueSink, intern_record, intern_value};
use cedar_policy::{Entities, Entity, EntityUid, EvalResult, PartialValueToValueError};
use cedarjit_ir::abi::EntityHeader;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, StrId};
use cedarjit_ir::interner::{CapacityError, Interner};
use cedarjit_ir::value::Value;
use std::sync::Arc;

pub(super) fn capacity(entity: &EntityUid, error: CapacityError) -> StoreError {
    StoreError::Capacity {
        entity: entity.to_string(),
        error,
    }
}

type AttrResult<'e> = (&'e str, Result<EvalResult, PartialValueToValueError>);

/// Reads entities of cedar-policy into a store.
pub(super) struct Reader<'a> {
    pub(super) store: &'a mut Store,
    pub(super) interner: &'a mut Interner,
}

impl Reader<'_> {
    pub(super) fn sink(&mut self) -> GlobalSink<'_> {
        GlobalSink {
            interner: self.interner,
            heap: &mut Arc::make_mut(&mut self.store.memory).heap,
            shapes: &mut self.store.shapes,
        }
    }

    /// The header of an entity that exists, with its attributes and tags.
    pub(super) fn read(
        &mut self,
        id: EntityId,
        uid: &EntityUid,
        entity: &Entity,
    ) -> Result<EntityHeader, StoreError> {
        let mut attrs =
            self.values(entity.attrs())
                .map_err(|(attr, error)| StoreError::Attribute {
                    entity: uid.to_string(),
                    attr,
                    error,
                })?;
        let (shape, record) =
            intern_record(&mut self.sink(), &mut attrs).map_err(|e| capacity(uid, e))?;
        let mut tags = self
            .values(entity.tags())
            .map_err(|(tag, error)| StoreError::Tag {
                entity: uid.to_string(),
                tag,
                error,
            })?;
        let old = *self.store.header(id);
        let header = (self.store).valued(id, shape, record.as_heap_ref(), &mut tags);
        let mut header = header.map_err(|e| capacity(uid, e))?;
        if planted(Fault::TagsOfReplaced) && self.store.exists(id) {
            header.tags = old.tags;
        }
        Ok(header)
    }

    /// Adds an entity with all the ancestors that it has among `entities`; all of them are taken for
    /// its parents if these are not known.
    pub(super) fn add(
        &mut self,
        uid: &EntityUid,
        id: EntityId,
        entity: &Entity,
        entities: &Entities,
        parents: Option<&[EntityUid]>,
    ) -> Result<(), StoreError> {
        let ancestors = entities.ancestors(uid).into_iter().flatten();
        let ancestors = self.ids(ancestors).map_err(|e| capacity(uid, e))?;
        self.store.extend_to(self.interner);
        let header = self.read(id, uid, entity)?;
        let mut parents = match parents {
            Some(parents) => self.ids(parents.iter()).map_err(|e| capacity(uid, e))?,
            None => ancestors.clone(),
        };
        parents.sort_unstable();
        parents.dedup();
        let header = (self.store.hierarchy(header, &ancestors, &mut parents))
            .map_err(|e| capacity(uid, e))?;
        self.store.put(id, header);
        Ok(())
    }

    /// Interns names and values; an error names the attribute or tag.
    fn values<'e>(
        &mut self,
        pairs: impl Iterator<Item = AttrResult<'e>>,
    ) -> Result<Vec<(StrId, Value)>, (String, ValueError)> {
        let mut interned = Vec::new();
        for (name, value) in pairs {
            let mut sink = self.sink();
            let pair = value
                .map_err(ValueError::from)
                .and_then(|value| Ok((sink.string(name)?, intern_value(&mut sink, &value)?)))
                .map_err(|error| (name.to_owned(), error))?;
            interned.push(pair);
        }
        Ok(interned)
    }

    pub(super) fn ids<'e>(
        &mut self,
        uids: impl Iterator<Item = &'e EntityUid>,
    ) -> Result<Vec<u32>, CapacityError> {
        let mut sink = self.sink();
        uids.map(|uid| Ok(sink.uid(uid)?.0)).collect()
    }
}
