//! The uids of a document, to tell which of them were met before.
//!
//! A document of a million entities names millions of uids at random, and each look-up waits for
//! memory. The interner's tables are made to be kept, and a look-up there goes through several of
//! them; this one lasts as long as the document, so it can lean on the document's own text and take
//! one place in a table and one in the text.

use crate::request::context::UidText;
use crate::values::{GlobalSink, ValueSink};
use cedarjit_ir::ahead::touch;
use cedarjit_ir::heap::IpWords;
use cedarjit_ir::ids::{EntityId, ShapeId, StrId, TypeId};
use cedarjit_ir::interner::{CapacityError, Interner};
use cedarjit_ir::value::Value;
use foldhash::quality::RandomState;
use std::hash::BuildHasher;

/// How many types are told apart; entities of further types are looked up in the interner.
const MAX_TYPES: usize = 64;

/// A uid that was met before.
#[derive(Clone, Copy)]
struct Known {
    hash: u32,
    id: EntityId,
    /// Where the text has the id, up to a quotation mark.
    at: u32,
    /// One more than the type's position; 0 in a free place.
    ty: u32,
}

const FREE: Known = Known {
    hash: 0,
    id: EntityId(0),
    at: 0,
    ty: 0,
};

/// A uid that is looked for.
#[derive(Clone, Copy)]
struct Wanted {
    hash: u32,
    /// What [`Known::ty`] says of its type; 0 for one of too many.
    number: u32,
    type_id: TypeId,
}

/// The uids that a document names, and their ids.
pub(super) struct Names<'t> {
    text: &'t str,
    /// Open addressing by the hash; a power of two, and never more than half full.
    places: Vec<Known>,
    taken: usize,
    types: Vec<(String, TypeId)>,
    /// Those that are looked for at the same time; memory that is used again.
    wanted: Vec<Wanted>,
    seed: RandomState,
}

impl<'t> Names<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            places: vec![FREE; 64],
            taken: 0,
            types: Vec::new(),
            wanted: Vec::new(),
            seed: RandomState::default(),
        }
    }

    /// The ids of an entity and of its type, interned if they are new.
    ///
    /// # Errors
    /// When a table of the interner is full.
    pub(super) fn entity(
        &mut self,
        interner: &mut Interner,
        ty: &str,
        eid: &str,
    ) -> Result<(EntityId, TypeId), CapacityError> {
        let wanted = self.hashed(interner, ty, eid)?;
        self.find(interner, ty, eid, wanted)
    }

    /// What [`entity`](Self::entity) gives for each of these.
    ///
    /// A look-up waits for the table and then for the text, so both are [read ahead](touch).
    ///
    /// # Errors
    /// As there.
    pub(super) fn entities(
        &mut self,
        interner: &mut Interner,
        uids: &[UidText<'_>],
        found: &mut Vec<(EntityId, TypeId)>,
    ) -> Result<(), CapacityError> {
        let mut all = std::mem::take(&mut self.wanted);
        all.clear();
        for uid in uids {
            all.push(self.hashed(interner, &uid.ty, &uid.id)?);
        }
        let likely = all.iter().filter_map(|wanted| {
            let place = self.probe(wanted.hash, |known| known.hash == wanted.hash);
            Some(self.places.get(place)?.at)
        });
        let text = self.text.as_bytes();
        touch(likely.clone());
        touch(likely.filter_map(|at| text.get(at as usize).copied()));
        found.clear();
        for (uid, wanted) in uids.iter().zip(&all) {
            found.push(self.find(interner, &uid.ty, &uid.id, *wanted)?);
        }
        self.wanted = all;
        Ok(())
    }

    fn hashed(
        &mut self,
        interner: &mut Interner,
        ty: &str,
        eid: &str,
    ) -> Result<Wanted, CapacityError> {
        let (number, type_id) = self.entity_type(interner, ty)?;
        let hash = self.seed.hash_one((number, eid)) as u32;
        Ok(Wanted {
            hash,
            number,
            type_id,
        })
    }

    fn find(
        &mut self,
        interner: &mut Interner,
        ty: &str,
        eid: &str,
        wanted: Wanted,
    ) -> Result<(EntityId, TypeId), CapacityError> {
        let Wanted {
            hash,
            number,
            type_id,
        } = wanted;
        let Some(at) = self.offset(eid).filter(|_| number > 0) else {
            return Ok((interner.intern_entity(ty, eid)?, type_id));
        };
        let place = self.probe(hash, |known| {
            (known.hash, known.ty) == (hash, number) && self.has(known.at, eid)
        });
        if let Some(known) = self.places.get(place).filter(|known| known.ty > 0) {
            return Ok((known.id, type_id));
        }
        let id = interner.intern_entity(ty, eid)?;
        let ty = number;
        if let Some(free) = self.places.get_mut(place) {
            *free = Known { hash, id, at, ty };
        }
        self.taken += 1;
        if self.taken * 2 > self.places.len() {
            self.grow();
        }
        Ok((id, type_id))
    }

    /// The place of what has this hash and is the `same`, or else the free one for it.
    #[inline]
    fn probe(&self, hash: u32, same: impl Fn(&Known) -> bool) -> usize {
        let mut place = hash as usize;
        loop {
            place &= self.places.len() - 1;
            match self.places.get(place) {
                Some(known) if known.ty > 0 && !same(known) => place += 1,
                _ => return place,
            }
        }
    }

    /// A number for a type, 0 for one of too many, and its id.
    fn entity_type(
        &mut self,
        interner: &mut Interner,
        ty: &str,
    ) -> Result<(u32, TypeId), CapacityError> {
        for (number, (name, id)) in (1..).zip(&self.types) {
            if name == ty {
                return Ok((number, *id));
            }
        }
        let id = TypeId::of_name(interner.intern_str(ty)?);
        if self.types.len() == MAX_TYPES {
            return Ok((0, id));
        }
        self.types.push((ty.to_owned(), id));
        Ok((self.types.len() as u32, id))
    }

    /// Where the text has this very string; `None` if it is a copy, since it has escapes there.
    fn offset(&self, eid: &str) -> Option<u32> {
        let at = (eid.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let at = u32::try_from(at).ok()?;
        self.has(at, eid).then_some(at)
    }

    /// Whether the text has this string there, up to a quotation mark.
    #[inline]
    fn has(&self, at: u32, eid: &str) -> bool {
        let rest = self.text.as_bytes().get(at as usize..).unwrap_or_default();
        rest.get(eid.len()) == Some(&b'"') && rest.starts_with(eid.as_bytes())
    }

    #[cold]
    fn grow(&mut self) {
        let larger = vec![FREE; self.places.len() * 2];
        let smaller = std::mem::replace(&mut self.places, larger);
        for known in smaller.into_iter().filter(|known| known.ty > 0) {
            let place = self.probe(known.hash, |_| false);
            if let Some(free) = self.places.get_mut(place) {
                *free = known;
            }
        }
    }
}

/// Where the values of a document's entities go.
pub(super) struct NamingSink<'a, 't> {
    pub(super) global: GlobalSink<'a>,
    pub(super) names: &'a mut Names<'t>,
}

impl ValueSink for NamingSink<'_, '_> {
    fn string(&mut self, text: &str) -> Result<StrId, CapacityError> {
        self.global.string(text)
    }

    fn entity(&mut self, ty: &str, eid: &str) -> Result<EntityId, CapacityError> {
        Ok(self.names.entity(self.global.interner, ty, eid)?.0)
    }

    fn shape(&mut self, names: &[StrId]) -> Result<ShapeId, CapacityError> {
        self.global.shape(names)
    }

    fn set(&mut self, elements: &mut Vec<Value>) -> Result<Value, CapacityError> {
        self.global.set(elements)
    }

    fn record(&mut self, shape: ShapeId, values: &[Value]) -> Result<Value, CapacityError> {
        self.global.record(shape, values)
    }

    fn ip(&mut self, ip: IpWords) -> Result<Value, CapacityError> {
        self.global.ip(ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_have_the_ids_of_the_interner() {
        let ids: Vec<String> = (0..5000).map(|i| format!("\"{}\"", i % 1500)).collect();
        let text = ids.join(",");
        let mut interner = Interner::new();
        let mut names = Names::new(&text);
        let mut at = 0;
        for (i, quoted) in ids.iter().enumerate() {
            let eid = &text[at + 1..at + quoted.len() - 1];
            at += quoted.len() + 1;
            // More types than are told apart, and copies of ids.
            let ty = format!("T{}", i % 100);
            let copy = eid.to_owned();
            let known = names.entity(&mut interner, &ty, eid).unwrap();
            assert_eq!(names.entity(&mut interner, &ty, &copy), Ok(known));
            assert_eq!(interner.find_uid(&ty, eid), Some(known));
        }
        // 1,500 and 100 have 1,500 as their least common multiple.
        assert_eq!(interner.entity_count(), 1500);
        assert!(names.places.len() >= 1500);
    }

    #[test]
    fn uids_that_are_looked_up_together_have_the_same_ids() {
        let text: String = (0..600).map(|i| format!("\"{}\",", i % 70 + 100)).collect();
        let uids: Vec<UidText<'_>> = (0..600)
            .map(|i| UidText {
                ty: format!("T{}", i % 90).into(),
                id: text[6 * i + 1..6 * i + 4].into(),
            })
            .collect();
        let mut interner = Interner::new();
        let (mut names, mut found) = (Names::new(&text), Vec::new());
        // Many come twice in a few, in some before the table grows.
        for few in uids.chunks(150) {
            names.entities(&mut interner, few, &mut found).unwrap();
            assert_eq!(found.len(), few.len());
            for (uid, known) in few.iter().zip(&found) {
                assert_eq!(interner.find_uid(&uid.ty, &uid.id), Some(*known));
            }
        }
        // 70 and 90 have 630 as their least common multiple.
        assert_eq!(interner.entity_count(), 600);
        let again = uids
            .iter()
            .map(|uid| names.entity(&mut interner, &uid.ty, &uid.id));
        let again: Vec<_> = again.map(Result::unwrap).collect();
        names.entities(&mut interner, &uids, &mut found).unwrap();
        assert_eq!((found, interner.entity_count()), (again, 600));
    }

    #[test]
    fn ids_that_begin_alike_are_told_apart() {
        let text = r#""ab","abc","","a""#;
        let mut interner = Interner::new();
        let mut names = Names::new(text);
        for eid in [&text[1..3], &text[6..9], &text[12..12], &text[15..16]] {
            let (id, _) = names.entity(&mut interner, "T", eid).unwrap();
            assert_eq!(interner.find_entity("T", eid), Some(id));
        }
        assert_eq!((interner.entity_count(), names.taken), (4, 4));
    }
}
