//! Typed handles.
//!
//! Every table is indexed by a handle type of its own, so that a string id cannot be used where
//! an entity id is meant. Handles print as the textual IR writes them.

use std::fmt;

/// The bit that marks a string, entity or shape id as local to one request.
///
/// Requests are untrusted and never grow the interner: what a request mentions and the interner
/// does not know gets an id with this bit set, meaningful only together with that request.
pub const LOCAL_BIT: u32 = 1 << 31;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// This handle as an index into its table.
            #[inline]
            pub fn index(self) -> usize {
                self.0 as usize
            }

            /// The handle for the `index`-th entry of a table.
            ///
            /// Tables are bounded far below 2³¹ entries where they are filled.
            #[inline]
            pub fn from_index(index: usize) -> Self {
                Self(u32::try_from(index).unwrap_or(u32::MAX))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

handle!(
    /// An interned string: an attribute name, a tag key, an entity id or a string value.
    StrId,
    "s"
);
handle!(
    /// An interned entity uid.
    EntityId,
    "e"
);
handle!(
    /// An entity type, identified by the interned string of its qualified name.
    TypeId,
    "t"
);
handle!(
    /// A record shape: the set of attribute names that a record or an entity has.
    ShapeId,
    "h"
);
handle!(
    /// An attribute name that some policy reads, as a column of the shape table.
    AttrId,
    "a"
);
handle!(
    /// A node of a policy body's expression graph.
    NodeId,
    "v"
);
handle!(
    /// A slot of a policy's constants table.
    ConstId,
    "c"
);
handle!(
    /// A compiled `like` pattern.
    PatternId,
    "p"
);
handle!(
    /// A policy, by its position in the snapshot it belongs to.
    PolicyIndex,
    "policy#"
);
handle!(
    /// A policy body shared by all policies of one shape.
    BodyId,
    "body"
);

macro_rules! locality {
    ($($name:ident),*) => {$(
        impl $name {
            /// Whether this id belongs to one request instead of the interner.
            #[inline]
            pub fn is_local(self) -> bool {
                self.0 & LOCAL_BIT != 0
            }

            /// The id for the `index`-th request-local entry.
            #[inline]
            pub fn local(index: usize) -> Self {
                Self(Self::from_index(index).0 | LOCAL_BIT)
            }

            /// The position of a request-local id in its table.
            #[inline]
            pub fn local_index(self) -> usize {
                (self.0 & !LOCAL_BIT) as usize
            }
        }
    )*};
}

locality!(StrId, EntityId, TypeId, ShapeId);

impl TypeId {
    /// The type whose qualified name is the string `name`.
    #[inline]
    pub fn of_name(name: StrId) -> Self {
        Self(name.0)
    }

    /// The string that is this type's qualified name.
    #[inline]
    pub fn name(self) -> StrId {
        StrId(self.0)
    }
}
