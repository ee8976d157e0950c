//! Entities by id, laid out as in the engine.

use crate::engines::json::{entity_ref, uid_text};
use cedar_policy::Entities;
use cedarjit_bench::Error;
use foldhash::quality::RandomState;
use hashbrown::HashMap;
use serde_json::Value;

/// What is known of one entity: half a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Header {
    /// Where its attribute words start.
    attrs: u32,
    /// One more than the position of its shape in what the code declares; 0 for any other.
    pub(super) shape: u32,
    /// Here for the size only: the engine has its type and tags in this place.
    _unused: [u32; 2],
    /// Where its ancestors start.
    ancestors: u32,
    /// How many places they take, padding included.
    ancestor_places: u32,
    /// The Bloom bits of all ancestors.
    bloom: u64,
}

const _: () = assert!(size_of::<Header>() == 32);

/// Ancestors are padded to a multiple of this, so that they are compared without a rest.
const LANES: usize = 8;

/// Fills the padding; no entity has this id.
const NOBODY: u32 = u32::MAX;

/// How many ids stand for entities that are not there.
const MISSING: u32 = 3;

/// The entities of one application.
pub(super) struct Store {
    ids: HashMap<String, u32, RandomState>,
    headers: Vec<Header>,
    ancestors: Vec<u32>,
    /// Attribute values: an entity's id, 0 or 1, or a set's start and length in `elements`.
    words: Vec<u64>,
    elements: Vec<u32>,
    first_missing: u32,
}

fn bloom_bit(id: u32) -> u64 {
    1 << (id.wrapping_mul(0x9E37_79B1) >> 26)
}

impl Store {
    /// Ids are given out to the named entities first, in their order.
    pub(super) fn new(
        entities: &Entities,
        named: &[&str],
        shapes: &[&[&str]],
    ) -> Result<Self, Error> {
        let mut store = Self {
            ids: HashMap::default(),
            headers: Vec::new(),
            ancestors: Vec::new(),
            words: Vec::new(),
            elements: Vec::new(),
            first_missing: 0,
        };
        for name in named {
            store.intern((*name).into());
        }
        for entity in entities.iter() {
            store.intern(entity.uid().to_string());
        }
        for entity in entities.iter() {
            let uid = entity.uid();
            let json = entity.to_json_value()?;
            let mut header = Header::default();
            let ancestors = entities.ancestors(&uid).into_iter().flatten();
            store.add_ancestors(&mut header, ancestors.map(ToString::to_string));
            if let Some(Value::Object(attrs)) = json.get("attrs") {
                store.add_attrs(&mut header, attrs, shapes)?;
            }
            let id = store.intern(uid.to_string());
            store.headers[id as usize] = header;
        }
        store.first_missing = u32::try_from(store.headers.len())?;
        let all = store.headers.len() + MISSING as usize;
        store.headers.resize(all, Header::default());
        Ok(store)
    }

    fn intern(&mut self, uid: String) -> u32 {
        let next = self.headers.len() as u32;
        let id = *self.ids.entry(uid).or_insert(next);
        if id == next {
            self.headers.push(Header::default());
        }
        id
    }

    fn add_ancestors(&mut self, header: &mut Header, uids: impl Iterator<Item = String>) {
        let mut ids: Vec<u32> = uids.map(|uid| self.intern(uid)).collect();
        ids.sort_unstable();
        header.bloom = ids.iter().fold(0, |bloom, id| bloom | bloom_bit(*id));
        ids.resize(ids.len().next_multiple_of(LANES), NOBODY);
        header.ancestors = self.ancestors.len() as u32;
        header.ancestor_places = ids.len() as u32;
        self.ancestors.extend(ids);
    }

    fn add_attrs(
        &mut self,
        header: &mut Header,
        attrs: &serde_json::Map<String, Value>,
        shapes: &[&[&str]],
    ) -> Result<(), Error> {
        let mut names: Vec<&str> = attrs.keys().map(String::as_str).collect();
        names.sort_unstable();
        let shape = shapes.iter().position(|shape| *shape == names);
        let Some(shape) = shape else {
            // The code takes another shape to lack every attribute that it reads.
            if names.iter().any(|name| shapes.concat().contains(name)) {
                return Err(format!("nothing is written by hand for {names:?}").into());
            }
            return Ok(());
        };
        header.shape = shape as u32 + 1;
        let words: Result<Vec<u64>, Error> =
            names.iter().map(|name| self.word(&attrs[*name])).collect();
        header.attrs = self.words.len() as u32;
        self.words.extend(words?);
        Ok(())
    }

    /// A value as a word; 0 for what no policy reads.
    fn word(&mut self, value: &Value) -> Result<u64, Error> {
        if let Some((ty, id)) = entity_ref(value) {
            return Ok(u64::from(self.intern(uid_text(ty, id)?)));
        }
        Ok(match value {
            Value::Bool(value) => u64::from(*value),
            Value::Array(values) => {
                let mut ids = Vec::new();
                for (ty, id) in values.iter().filter_map(entity_ref) {
                    ids.push(self.intern(uid_text(ty, id)?));
                }
                let start = self.elements.len() as u64;
                self.elements.extend(&ids);
                start << 32 | ids.len() as u64
            }
            _ => 0,
        })
    }

    /// The id of an entity that is there or that something mentions.
    #[inline]
    pub(super) fn find(&self, uid: &str) -> Option<u32> {
        self.ids.get(uid).copied()
    }

    /// An id that stands for some entity that is not there.
    #[inline]
    pub(super) fn missing(&self, which: u32) -> u32 {
        self.first_missing + which % MISSING
    }

    #[inline]
    pub(super) fn header(&self, id: u32) -> &Header {
        &self.headers[id as usize]
    }

    /// The attribute in a slot of the entity's shape.
    #[inline]
    pub(super) fn attr(&self, header: &Header, slot: usize) -> u64 {
        self.words[header.attrs as usize + slot]
    }

    /// The attribute in a slot, an entity.
    #[inline]
    pub(super) fn entity(&self, header: &Header, slot: usize) -> u32 {
        self.attr(header, slot) as u32
    }

    /// The attribute in a slot, a set of entities.
    #[inline]
    pub(super) fn set(&self, header: &Header, slot: usize) -> &[u32] {
        let word = self.attr(header, slot);
        let (start, len) = ((word >> 32) as usize, word as u32 as usize);
        &self.elements[start..start + len]
    }

    /// Cedar's `in`, for the entity that has this id and header.
    #[inline]
    pub(super) fn is_in(&self, id: u32, header: &Header, group: u32) -> bool {
        id == group || (header.bloom & bloom_bit(group) != 0 && self.search(header, group))
    }

    /// Cedar's `in`, for a set of groups.
    #[inline]
    pub(super) fn is_in_any(&self, id: u32, header: &Header, groups: &[u32]) -> bool {
        groups.iter().any(|group| self.is_in(id, header, *group))
    }

    #[inline]
    fn search(&self, header: &Header, group: u32) -> bool {
        let start = header.ancestors as usize;
        let places = &self.ancestors[start..start + header.ancestor_places as usize];
        // Without early exit within a chunk: that is one comparison of a vector.
        let (chunks, _) = places.as_chunks::<LANES>();
        let found = |chunk: &[u32; LANES]| chunk.iter().fold(false, |f, id| f | (*id == group));
        chunks.iter().any(found)
    }
}
