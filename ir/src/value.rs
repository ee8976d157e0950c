//! Values as compiled code and the interpreter see them: a tag and an 8-byte word.
//!
//! Strings and entities are interned; sets, records and IP addresses live on a [`Heap`] that
//! stores each distinct value once. Two values are therefore equal exactly when tag and word are
//! equal, and `==` is one comparison however deep the values are.
//!
//! [`Heap`]: crate::heap::Heap

use crate::ids::{EntityId, StrId};
use std::fmt;

/// The kind of a [`Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Tag {
    /// No value: the attribute is missing.
    Absent = 0,
    /// `false` is word 0, `true` is word 1.
    Bool = 1,
    /// A signed 64-bit integer.
    Long = 2,
    /// An interned string; the word is a [`StrId`].
    String = 3,
    /// An interned entity uid; the word is an [`EntityId`].
    Entity = 4,
    /// A set; the word is a [`HeapRef`](crate::heap::HeapRef).
    Set = 5,
    /// A record; the word is a [`HeapRef`](crate::heap::HeapRef).
    Record = 6,
    /// A decimal, in units of 1/10,000.
    Decimal = 7,
    /// A datetime, in milliseconds since 1970-01-01T00:00:00Z.
    Datetime = 8,
    /// A duration, in milliseconds.
    Duration = 9,
    /// An IP address or range; the word is a [`HeapRef`](crate::heap::HeapRef).
    Ip = 10,
}

impl Tag {
    /// All tags, in numeric order.
    pub const ALL: [Tag; 11] = [
        Tag::Absent,
        Tag::Bool,
        Tag::Long,
        Tag::String,
        Tag::Entity,
        Tag::Set,
        Tag::Record,
        Tag::Decimal,
        Tag::Datetime,
        Tag::Duration,
        Tag::Ip,
    ];

    /// The tag with this number, or `None` if there is none.
    #[inline]
    pub fn from_u8(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Whether the word of such a value refers to the heap.
    #[inline]
    pub fn is_heap(self) -> bool {
        matches!(self, Tag::Set | Tag::Record | Tag::Ip)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tag::Absent => "absent",
            Tag::Bool => "bool",
            Tag::Long => "long",
            Tag::String => "string",
            Tag::Entity => "entity",
            Tag::Set => "set",
            Tag::Record => "record",
            Tag::Decimal => "decimal",
            Tag::Datetime => "datetime",
            Tag::Duration => "duration",
            Tag::Ip => "ipaddr",
        })
    }
}

/// A Cedar value: a tag and a word whose meaning the tag gives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// What kind of value this is.
    pub tag: Tag,
    /// The value itself, or where to find it.
    pub word: u64,
}

impl Value {
    /// The missing value.
    pub const ABSENT: Value = Value {
        tag: Tag::Absent,
        word: 0,
    };

    /// A Boolean.
    #[inline]
    pub fn bool(b: bool) -> Self {
        Self {
            tag: Tag::Bool,
            word: u64::from(b),
        }
    }

    /// An integer.
    #[inline]
    pub fn long(i: i64) -> Self {
        Self {
            tag: Tag::Long,
            word: i.cast_unsigned(),
        }
    }

    /// A string.
    #[inline]
    pub fn string(s: StrId) -> Self {
        Self {
            tag: Tag::String,
            word: u64::from(s.0),
        }
    }

    /// An entity.
    #[inline]
    pub fn entity(e: EntityId) -> Self {
        Self {
            tag: Tag::Entity,
            word: u64::from(e.0),
        }
    }

    /// A value of a kind that is a plain number: `Decimal`, `Datetime` or `Duration`.
    #[inline]
    pub fn scalar(tag: Tag, number: i64) -> Self {
        debug_assert!(matches!(tag, Tag::Decimal | Tag::Datetime | Tag::Duration));
        Self {
            tag,
            word: number.cast_unsigned(),
        }
    }

    /// The word as a signed number.
    #[inline]
    pub fn as_i64(self) -> i64 {
        self.word.cast_signed()
    }

    /// The word as an entity id; meaningful for [`Tag::Entity`].
    #[inline]
    pub fn as_entity(self) -> EntityId {
        EntityId(self.word as u32)
    }

    /// The word as a string id; meaningful for [`Tag::String`].
    #[inline]
    pub fn as_str(self) -> StrId {
        StrId(self.word as u32)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag {
            Tag::Absent => write!(f, "absent"),
            Tag::Bool => write!(f, "{}", self.word != 0),
            Tag::String => write!(f, "{}", self.as_str()),
            Tag::Entity => write!(f, "{}", self.as_entity()),
            Tag::Set | Tag::Record | Tag::Ip => write!(f, "{}@{:#x}", self.tag, self.word),
            _ => write!(f, "{}({})", self.tag, self.as_i64()),
        }
    }
}
