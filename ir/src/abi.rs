//! What compiled code and the runtime agree on in memory.
//!
//! A compiled body is a function `(frame, constants) -> outcome`. Everything it reads of the
//! request and the store it finds through the [`Frame`]; what is too large to emit inline it calls
//! through the frame's table of [`Builtin`]s.

use crate::heap::SPACES;
use crate::ids::EntityId;
use crate::shape::EMPTY_SHAPE;
use crate::value::{Tag, Value};
use std::ffi::c_void;

/// What the store and the scope index know about one entity: a cache line, found by entity id.
///
/// Every interned entity uid has one, whether the entity exists or is only mentioned somewhere,
/// so that a load through any valid id is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct EntityHeader {
    /// Reference to the attribute record in the global heap; 0 if the entity does not exist.
    ///
    /// An entity that exists and has no attributes refers to the empty record.
    pub attrs: u32,
    /// The shape of the attribute record, a [`ShapeId`](crate::ids::ShapeId); the empty shape if
    /// the entity does not exist.
    pub shape: u32,
    /// The entity's type, a [`TypeId`](crate::ids::TypeId).
    pub ty: u32,
    /// One more than the number of the entity's tag block in the store's tag table; 0 if the
    /// entity has no tags.
    pub tags: u32,
    /// The first of the entity's buckets in the table of [`Ancestors`](crate::ancestors::Ancestors),
    /// as an index.
    pub ancestors: u32,
    /// How an ancestor's bucket is found, see [`BucketSearch`].
    pub search: BucketSearch,
    /// The [`bloom_bit`]s of all ancestors, or-ed.
    pub bloom: u64,
    /// The key of the list of the entity's parents; 0 if it has none.
    pub parents: u32,
    /// The keys of the scope index's lists of what policies name, as principal and as resource,
    /// among the entity and its ancestors; 0 if they name nothing there.
    pub named: [u32; 2],
    /// One more than the number that the scope index has for the entity itself, as principal and
    /// as resource; 0 if no policy names it there.
    pub name: [u32; 2],
}

/// The header of an id that nobody gave out.
pub static MISSING_ENTITY: EntityHeader = missing_entity(0);

/// The header of an entity of this type that does not exist.
pub const fn missing_entity(ty: u32) -> EntityHeader {
    EntityHeader {
        attrs: 0,
        shape: EMPTY_SHAPE.0,
        ty,
        tags: 0,
        ancestors: 0,
        search: BucketSearch::ONE,
        bloom: 0,
        parents: 0,
        named: [0; 2],
        name: [0; 2],
    }
}

/// How many headers are in a page of a [`HeaderTable`](crate::headers::HeaderTable), as a power of
/// two.
pub const PAGE_BITS: u32 = 4;

/// How many headers are in a page.
pub const HEADERS_IN_PAGE: usize = 1 << PAGE_BITS;

/// How many pages are in a directory of a [`HeaderTable`](crate::headers::HeaderTable), as a power
/// of two.
pub const DIRECTORY_BITS: u32 = 8;

/// How many pages are in a directory.
pub const PAGES_IN_DIRECTORY: usize = 1 << DIRECTORY_BITS;

/// How many ids are in a bucket of ancestors, in no order; places without one hold [`NO_ANCESTOR`].
///
/// An entity's buckets are a hash table that is never longer than one bucket to search: two vector
/// comparisons say whether an id is in it, without a branch.
pub const BUCKET_IDS: usize = 8;

/// How many bytes a bucket has.
pub const BUCKET_BYTES: usize = BUCKET_IDS * size_of::<u32>();

/// Fills a bucket's free places; no entity has this id.
pub const NO_ANCESTOR: u32 = u32::MAX;

/// Which of an entity's buckets may hold an ancestor: multiply-shift hashing.
///
/// The number itself, made odd, is the multiplier; its low six bits say how far to shift the 32-bit
/// product right, as a 64-bit number: 32 where there is only one bucket. Each entity has a
/// multiplier that spreads its ancestors; that there is one for any set of them is what makes
/// multiply-shift a universal family (Dietzfelbinger, Hagerup, Katajainen and Penttonen, A reliable
/// randomized algorithm for the closest-pair problem, 1997).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct BucketSearch(pub u32);

impl BucketSearch {
    /// All ancestors are in the first bucket.
    pub const ONE: BucketSearch = BucketSearch(32);

    /// Two to the power of `bits` buckets, at most 26, chosen by the upper bits of `multiplier`.
    pub fn new(bits: u32, multiplier: u32) -> Self {
        BucketSearch((multiplier & !63) | (32 - bits.min(26)))
    }

    /// What a number says that comes from elsewhere; `None` if [`new`](Self::new) does not give it.
    pub fn from_number(number: u32) -> Option<Self> {
        (6..=32).contains(&(number & 63)).then_some(Self(number))
    }

    /// How many buckets there are.
    #[inline]
    pub fn buckets(self) -> usize {
        1 << (32 - (self.0 & 63).min(32))
    }

    /// The number of the bucket that may hold `id`.
    #[inline]
    pub fn bucket(self, id: EntityId) -> usize {
        let product = id.0.wrapping_mul(self.0 | 1);
        (u64::from(product) >> (self.0 & 63)) as usize
    }
}

/// The factor of [`id_hash`].
pub const HASH_FACTOR: u32 = 0x9E37_79B1;

/// A multiplicative hash whose top bits are the well mixed ones.
#[inline]
pub fn id_hash(id: EntityId) -> u32 {
    id.0.wrapping_mul(HASH_FACTOR)
}

/// How far [`id_hash`] is shifted right for [`bloom_bit`].
pub const BLOOM_SHIFT: u32 = 26;

/// The bit that stands for `id` in [`EntityHeader::bloom`].
///
/// An entity whose word lacks the bit of `id` does not have `id` as an ancestor.
#[inline]
pub fn bloom_bit(id: EntityId) -> u64 {
    // The top six bits of the hash pick one of the 64 bits.
    1 << (id_hash(id) >> BLOOM_SHIFT)
}

/// What a policy's condition came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Outcome {
    /// The condition is false.
    Unsatisfied = 0,
    /// The condition is true.
    Satisfied = 1,
    /// The evaluation failed; the interpreter says why.
    Failed = 2,
}

/// A value as compiled code passes it: two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ValuePair {
    /// The value's tag, as a number.
    pub tag: u64,
    /// The value's word.
    pub word: u64,
}

impl ValuePair {
    /// The missing value.
    pub const ABSENT: ValuePair = ValuePair { tag: 0, word: 0 };

    /// The value; absent if the tag is not a tag's number.
    #[inline]
    pub fn value(self) -> Value {
        Value {
            tag: u8::try_from(self.tag)
                .ok()
                .and_then(Tag::from_u8)
                .unwrap_or(Tag::Absent),
            word: self.word,
        }
    }
}

impl From<Value> for ValuePair {
    #[inline]
    fn from(value: Value) -> Self {
        Self {
            tag: value.tag as u64,
            word: value.word,
        }
    }
}

/// The columns of the attribute table, where an attribute's value is found by shape.
///
/// The entry for shape `h` and column `a` is at `h * stride + a`. An entry is 0 if the shape lacks
/// the attribute; else its lower half is the offset in bytes of the value's tag from the start of
/// the record object, and its upper half the offset in words of the value's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttrEntry(pub u32);

impl AttrEntry {
    /// The shape lacks the attribute.
    pub const NONE: AttrEntry = AttrEntry(0);

    /// The entry for slot `slot` of a record with `len` attributes, or `None` if the record is too
    /// large for the table and must be searched.
    pub fn new(slot: usize, len: usize) -> Option<Self> {
        let tag = u32::from(u16::try_from(8 + slot).ok()?);
        let word = u32::from(u16::try_from(1 + crate::heap::tag_words(len) + slot).ok()?);
        Some(AttrEntry((word << 16) | tag))
    }
}

/// What a compiled body sees of one evaluation.
///
/// Pointers, not references: the code that reads them is generated. Whoever makes a frame keeps
/// everything that it points to alive and unchanged while code runs, except that the scratch heap
/// may grow inside a builtin, which then renews its base.
#[derive(Debug)]
#[repr(C)]
pub struct Frame {
    // What almost every body reads comes first.
    /// The principal's id.
    pub principal: u32,
    /// The resource's id.
    pub resource: u32,
    /// The principal's header.
    pub principal_header: *const EntityHeader,
    /// The resource's header.
    pub resource_header: *const EntityHeader,
    /// The ancestors of all entities; a header says which buckets are its entity's.
    pub ancestors: *const u32,
    /// The first word of each heap, by the number of its space.
    pub heaps: [*const u64; SPACES],
    /// The context attributes that policies read, by their position in the engine's list.
    pub context_slots: *const ValuePair,
    /// The headers of the store's entities and of the request's local ones: the addresses of
    /// directories, which are addresses of pages.
    pub headers: [*const *const *const EntityHeader; 2],
    /// The action's id.
    pub action: u32,
    /// The context, a reference to a record.
    pub context: u32,
    /// What fewer bodies read, and what builtins write.
    pub rest: *mut FrameRest,
}

/// The part of a [`Frame`] that is not in every request's own memory: a frame that a request keeps
/// should be small, so that those of many requests stay in the cache. It takes one cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct FrameRest {
    /// The attribute table, of [`AttrEntry`] values.
    pub attr_table: *const u32,
    /// How many columns the attribute table has.
    pub attr_stride: u64,
    /// How many shapes the attribute table covers; others, and request-local ones, are searched.
    pub attr_shapes: u64,
    /// 1 if every attribute of every covered shape has its entry; 0 if a missing entry may also
    /// mean a record too large for the table.
    pub attr_complete: u32,
    /// Set by a builtin that could not do its work; what the code then returns means nothing.
    pub broken: u32,
    /// The table of builtins, indexed by [`Builtin`].
    pub builtins: *const *const c_void,
    /// The builtins' own state.
    pub host: *mut c_void,
    /// Where a builtin puts the tag of a value that it returns.
    pub result_tag: u64,
    /// Where a builtin puts the word of a value that it returns.
    pub result_word: u64,
}

const _: () = assert!(size_of::<FrameRest>() == 64);

/// What a builtin's return word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// 0 or 1.
    Bool,
    /// 0 or 1, or 2 if the evaluation failed.
    FallibleBool,
    /// 1 with the value in the frame's result fields, or 0 if the evaluation failed.
    FallibleValue,
}

macro_rules! builtins {
    ($($(#[$doc:meta])* $name:ident = $text:literal ($arity:literal) -> $returns:ident;)*) => {
        /// A function that compiled code calls through the frame's table.
        ///
        /// Every builtin takes the frame and words, and returns a word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Builtin {
            $($(#[$doc])* $name,)*
        }

        impl Builtin {
            /// Every builtin, in the order of the table.
            pub const ALL: &'static [Builtin] = &[$(Builtin::$name),*];

            /// The name shown in listings.
            pub fn name(self) -> &'static str {
                match self { $(Builtin::$name => $text,)* }
            }

            /// How many words it takes after the frame.
            pub fn arity(self) -> usize {
                match self { $(Builtin::$name => $arity,)* }
            }

            /// What its return word means.
            pub fn returns(self) -> Returns {
                match self { $(Builtin::$name => Returns::$returns,)* }
            }
        }
    };
}

builtins! {
    /// (tag, word, attribute name): an attribute of an entity or a record.
    GetAttr = "get_attr" (3) -> FallibleValue;
    /// (tag, word, attribute name): whether an entity or a record has an attribute.
    HasAttr = "has_attr" (3) -> FallibleBool;
    /// (entity, key): a tag.
    GetTag = "get_tag" (2) -> FallibleValue;
    /// (entity, key): whether an entity has a tag.
    HasTag = "has_tag" (2) -> Bool;
    /// (set, tag, word): set membership.
    Contains = "contains" (3) -> Bool;
    /// (set, set): whether the first has all of the second.
    ContainsAll = "contains_all" (2) -> Bool;
    /// (set, set): whether they share an element.
    ContainsAny = "contains_any" (2) -> Bool;
    /// (address of tag and word pairs, number of pairs): a set of these values.
    MakeSet = "make_set" (2) -> FallibleValue;
    /// (shape, address of tag and word pairs, number of pairs): a record of these values.
    MakeRecord = "make_record" (3) -> FallibleValue;
    /// (string, pattern): a `like` match.
    Like = "like" (2) -> Bool;
    /// (function, word, word): an extension function on arguments of the right types.
    CallExt = "call_ext" (3) -> FallibleValue;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{align_of, offset_of, size_of};

    #[test]
    fn entity_header_layout() {
        assert_eq!(size_of::<EntityHeader>(), 64);
        assert_eq!(align_of::<EntityHeader>(), 64);
        assert_eq!(offset_of!(EntityHeader, attrs), 0);
        assert_eq!(offset_of!(EntityHeader, shape), 4);
        assert_eq!(offset_of!(EntityHeader, ty), 8);
        assert_eq!(offset_of!(EntityHeader, tags), 12);
        assert_eq!(offset_of!(EntityHeader, ancestors), 16);
        assert_eq!(offset_of!(EntityHeader, search), 20);
        assert_eq!(offset_of!(EntityHeader, bloom), 24);
    }

    #[test]
    fn ancestor_buckets_are_half_a_cache_line() {
        assert_eq!(BUCKET_BYTES, 32);
        for bits in 0..=26 {
            let search = BucketSearch::new(bits, HASH_FACTOR);
            for id in [0, 1, 77, u32::MAX >> 1] {
                assert!(search.bucket(EntityId(id)) < 1 << bits);
            }
        }
    }

    #[test]
    fn frame_layout() {
        let word = size_of::<usize>();
        assert_eq!(offset_of!(Frame, principal), 0);
        assert_eq!(offset_of!(Frame, resource), 4);
        assert_eq!(offset_of!(Frame, principal_header), 8);
        assert_eq!(offset_of!(Frame, resource_header), 8 + word);
        assert_eq!(offset_of!(Frame, heaps), 8 + 3 * word);
        assert_eq!(offset_of!(Frame, context_slots), 8 + 7 * word);
        assert_eq!(offset_of!(Frame, headers), 8 + 8 * word);
        assert_eq!(offset_of!(Frame, action), 8 + 10 * word);
        assert_eq!(offset_of!(Frame, context), 12 + 10 * word);
        assert_eq!(offset_of!(Frame, rest), 16 + 10 * word);
        assert_eq!(offset_of!(FrameRest, attr_stride), word);
        assert_eq!(size_of::<ValuePair>(), 16);
        assert_eq!(offset_of!(ValuePair, word), 8);
    }

    #[test]
    fn attr_entries_address_the_record_object() {
        // Nine attributes: a header word, two tag words, nine value words.
        assert_eq!(AttrEntry::new(8, 9), Some(AttrEntry((11 << 16) | 16)));
        assert_eq!(AttrEntry::new(0, 1), Some(AttrEntry((2 << 16) | 8)));
        assert_eq!(AttrEntry::new(70_000, 80_000), None);
    }

    #[test]
    fn builtins_are_numbered_as_listed() {
        for (i, builtin) in Builtin::ALL.iter().enumerate() {
            assert_eq!(*builtin as usize, i);
        }
    }

    #[test]
    fn bloom_bits_are_single_and_spread() {
        let mut seen = 0_u64;
        for i in 0..1000 {
            let bit = bloom_bit(EntityId(i));
            assert_eq!(bit.count_ones(), 1);
            seen |= bit;
        }
        assert_eq!(seen, u64::MAX);
    }
}
