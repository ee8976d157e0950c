//! Faults that tests plant on purpose, to see that the differential test catches them.
//!
//! Each [`Fault`] is a mistake that somebody could have made, at the place where they could have
//! made it: `if planted(Fault::…)` switches it on. Without the feature `planted-faults`, which is
//! for tests only, [`planted`] is `false` while compiling and nothing of a fault is left.
//!
//! A fault acts wherever its code runs: while an engine is built or while it evaluates. So it has
//! to be planted before a world is loaded. None may make anything unsafe, hang or abort.

macro_rules! faults {
    ($($place:literal { $($(#[doc = $what:literal])+ $name:ident,)+ })+) => {
        /// A mistake that can be planted.
        #[derive(Copy, Clone, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Fault {
            $($($(#[doc = $what])+ #[doc = concat!("\n\nIn `", $place, "`.")] $name,)+)+
        }

        impl Fault {
            /// Every fault, in the order of declaration.
            pub const ALL: &'static [Fault] = &[$($(Fault::$name),+),+];

            /// The fault's name.
            pub fn name(self) -> &'static str {
                match self {
                    $($(Fault::$name => stringify!($name),)+)+
                }
            }

            /// The file that has the fault.
            pub fn place(self) -> &'static str {
                match self {
                    $($(Fault::$name)|+ => $place,)+
                }
            }

            /// What is wrong.
            pub fn what(self) -> &'static str {
                match self {
                    $($(Fault::$name => concat!($($what),+),)+)+
                }
            }
        }
    };
}

faults! {
    "frontend/src/load.rs" {
        /// A link read from a file of links that binds both slots has them exchanged.
        PlainSlotsExchanged,
    }
    "frontend/src/load/convert.rs" {
        /// Every clause is taken for what the first one is, `when` or `unless`.
        LaterClauseKind,
        /// The operands of `&&` and `||` are put in the opposite order.
        ChainOperandOrder,
        /// The type after `is` loses its namespace.
        IsIgnoresNamespace,
        /// A link that binds both slots of a template has them exchanged.
        SlotsExchanged,
        /// An escaped star in a pattern is a wildcard.
        EscapedStarIsWildcard,
        /// `action in []` is no constraint at all.
        EmptyActionList,
    }
    "ir/src/builder.rs" {
        /// `if true` takes the wrong branch.
        ConstantIfTakesElse,
        /// `a || true` is simplified to `true` even if `a` can fail.
        OrDropsFailing,
        /// `true && a` is simplified to `a` even if `a` need not be a Boolean.
        ChainOfOneUnchecked,
    }
    "ir/src/expr.rs" {
        /// Reading an attribute is inferred never to fail.
        ReadCannotFail,
    }
    "frontend/src/lower/fold.rs" {
        /// A difference of constants has its operands swapped.
        FoldSubSwapped,
        /// A product of constants wraps around.
        FoldMulWraps,
        /// `containsAny` of constant sets looks for one element only.
        FoldContainsAnyFirst,
    }
    "frontend/src/lower/mod.rs" {
        /// Constant sets keep their duplicates, so equal ones differ.
        FoldSetDuplicates,
        /// `e is T in a` in a condition does not test the type.
        IsInLosesType,
        /// `e has a.b.c` does not test the third name of the path.
        HasPathTail,
        /// `e has a` is `true` if the schema requires the attribute, also when `e` does not exist.
        HasRequired,
        /// An attribute of type datetime is taken for a duration.
        DatetimeTypedDuration,
        /// `principal in E` in the scope gives the principal the type of `E`.
        ScopeInGivesType,
    }
    "runtime/src/recent.rs" {
        /// Policies that were removed are there again when tables are built anew.
        RemovedComeBack,
    }
    "runtime/src/policies.rs" {
        /// Policies of one shape share their constants if the first is the same.
        ConstantsShared,
        /// Patterns that differ only in where their wildcards are become one.
        PatternByText,
    }
    "runtime/src/engine/update.rs" {
        /// In place of a policy that is removed, its neighbour goes.
        NeighbourRemoved,
    }
    "runtime/src/symbols.rs" {
        /// The values of a record literal are stored in the order in which they are written.
        RecordLiteralOrder,
        /// Attributes beyond the eighth of a shape are missing in the attribute table.
        NinthAttributeMissing,
    }
    "jit/src/emit/ops.rs" {
        /// A difference is checked for overflow as a sum is.
        SubOverflowAsAdd,
        /// A product that overflows into the sign bit alone passes.
        MulOverflowIntoSign,
        /// Operands whose types are not known are compared as if unsigned.
        UnsignedComparison,
        /// `==` looks at words only if the type of one side is known.
        EqualIgnoresTag,
        /// Only half of a bucket of ancestors is looked at.
        AncestorHalfBucket,
    }
    "jit/src/emit/known.rs" {
        /// A chain with a constant that decides it is that constant, even after what may fail.
        FusedConstantChain,
    }
    "jit/src/emit/sets.rs" {
        /// `in` a set asks the Bloom word for the descendant instead of the ancestor.
        InSetBloomOfDescendant,
        /// `in` a set checks only the first element to be an entity.
        InSetChecksFirst,
        /// `contains` in a short set compares words only.
        ContainsIgnoresTag,
        /// Whether a value is in a constant set is told by its word alone.
        ConstantSetIgnoresTag,
        /// Halving a set of entities passes over the element in its middle.
        HalvingLosesMiddle,
    }
    "jit/src/emit/attr.rs" {
        /// `context has a` is false if the attribute's word is zero.
        ContextHasZero,
        /// `has` on what has no attributes fails.
        HasWithoutAttributes,
        /// Behind a `has`, the attribute is read where that found it, even if it is another's.
        GuardOfOtherBase,
    }
    "jit/src/emit/lookup.rs" {
        /// Where many are decided at a time, whoever is in two attributes of one name is in either.
        LookupByAttribute,
    }
    "jit/src/emit/batch.rs" {
        /// Where many are decided at a time, a policy that fails counts as satisfied.
        BatchFailureSatisfies,
    }
    "runtime/src/native.rs" {
        /// `containsAll` of the empty set is false.
        ContainsAllEmpty,
        /// A set literal begins with what the one before has left.
        StaleElements,
    }
    "runtime/src/values.rs" {
        /// Sets and records that evaluation builds are not looked for among those of the request.
        ScratchIgnoresRequest,
        /// A tag that is missing is looked for among the attributes.
        TagFallsBackToAttribute,
    }
    "runtime/src/values/convert.rs" {
        /// A set in the context is not looked for among the sets that the store has.
        ContextSetNotShared,
    }
    "runtime/src/store.rs" {
        /// The Bloom word keeps the lower 32 bits.
        BloomHalf,
        /// An entity without attributes is stored as if it did not exist.
        EmptyEntityMissing,
        /// An entity that is replaced keeps its tags.
        TagsOfReplaced,
    }
    "runtime/src/facts.rs" {
        /// Entities of one type are told apart from those of another by their parents' types alone.
        TypesApartByParents,
        /// Fused code is kept when an entity gets a parent of a type that had none in it.
        TypesApartForEver,
        /// The first set of an attribute stands for what is in those of other entities.
        ElementsOfTheFirst,
    }
    "runtime/src/fused.rs" {
        /// Fused code is kept when entities are not any more what it relies on.
        StaleFusedCode,
        /// Fused code is kept when an entity that is a constant of it comes or goes.
        NamedEntityMoved,
        /// Fused code for all actions that runs alone answers for policies of other actions, too.
        AloneForAllActions,
    }
    "runtime/src/store/saved.rs" {
        /// The tags of a saved entity all have the value of the first.
        SavedTagValue,
        /// A saved entity without attributes is read as one that does not exist.
        SavedEmptyMissing,
    }
    "runtime/src/store/saved/hierarchy.rs" {
        /// Saved entities that are in equally many others are saved as being in the same.
        SavedRowsShared,
    }
    "runtime/src/saved/policies.rs" {
        /// A saved link that binds both slots has them exchanged.
        SavedSlotsExchanged,
    }
    "runtime/src/store/tags.rs" {
        /// The last of an entity's tags is forgotten.
        LastTagForgotten,
    }
    "runtime/src/store/update.rs" {
        /// What is in an entity that gets other parents keeps its ancestors.
        DescendantsNotClosed,
        /// What is in an entity that is removed stays in it.
        RemovedStaysParent,
        /// An entity that is replaced stays in the parents that it had.
        ParentsOfReplaced,
        /// A transaction that fails leaves its changes to the hierarchy with the next one.
        FailureKeepsChildren,
    }
    "runtime/src/store/hierarchy.rs" {
        /// What policies name among the ancestors of an entity stays when its ancestors change.
        NamesOfOldAncestors,
    }
    "runtime/src/overlay.rs" {
        /// What is in an entity that a request brings with other parents keeps its ancestors.
        OverlayNotClosed,
        /// The index is asked although what is asked about is in something else than in the store.
        OverlayAsksIndex,
        /// An entity that a request brings has no tags.
        OverlayWithoutTags,
    }
    "runtime/src/engine/transaction.rs" {
        /// A transaction takes effect although a part of it failed, if its closure does not say so.
        FailedPartForgotten,
        /// When the schema is replaced, all ancestors of an entity become its parents.
        SchemaForgetsParents,
        /// A transaction that replaces the entities still knows who was in whom before.
        ChildrenOfReplaced,
    }
    "ir/src/ancestors.rs" {
        /// Eight places are taken to suffice for nine ancestors, one of which takes another's.
        BucketOverfull,
    }
    "ir/src/heap.rs" {
        /// Objects are equal if their first four words are.
        LongObjectsCollide,
        /// The binary search of a set steps over an element.
        SetSearchStepsOver,
    }
    "ir/src/interner.rs" {
        /// Entities of different types with equal ids are one.
        EntityTypeIgnored,
        /// The tables of a file in which names are found are used with another seed.
        SavedSeedForgotten,
    }
    "runtime/src/bind.rs" {
        /// Context slots are filled by a shape of the store, for a shape of the request.
        ContextSlotsOfOtherShape,
        /// Context attributes of the request before stay in their slots.
        StaleContextSlots,
        /// A principal that is exchanged need not fit the schema.
        ExchangedWithoutValidation,
    }
    "runtime/src/request/values.rs" {
        /// Entities that only the request mentions have no type.
        LocalEntityUntyped,
    }
    "runtime/src/request/uid.rs" {
        /// An id with escapes is taken as it is written.
        EscapesOfIdKept,
    }
    "runtime/src/request/context.rs" {
        /// Attributes that the schema requires may be missing in the context.
        RequiredAttributeMissing,
        /// A string is a string even if the schema declares an extension type.
        ExtensionStringKept,
        /// A datetime that the JSON has computed, `offset`, is the one that it is computed from.
        ComputedDatetimeKept,
    }
    "runtime/src/request/remembered.rs" {
        /// A uid that was looked up before is known again by its place and its length.
        RememberedByLength,
        /// Uids that were looked up before are not forgotten when the interner is another.
        RememberedOfOtherInterner,
    }
    "runtime/src/request/rules.rs" {
        /// An entity that its type does not enumerate may be the principal or the resource.
        AnyEntityEnumerated,
        /// Actions that apply to entities of an enumerated type are not looked for.
        EnumeratedNotSearched,
    }
    "runtime/src/index/build.rs" {
        /// The index leaves out the last ancestor.
        LastAncestorSkipped,
        /// Of many policies under an entity, those that leave the other side open are lost.
        OtherSideOpen,
        /// For an action that some policy names, policies for any action are not looked up.
        AnyActionForgotten,
    }
    "runtime/src/index/posting.rs" {
        /// Of the groups that an action is in, the index sees only one.
        OneActionGroup,
        /// Without the index, an action is not `in` itself.
        ActionNotInItself,
    }
    "ir/src/ext/datetime.rs" {
        /// A negative offset is taken for a positive one.
        OffsetSignIgnored,
        /// Every century's first year has a leap day.
        CenturyLeapDay,
        /// `toTime` is negative before 1970.
        TimeBeforeEpoch,
    }
    "ir/src/ext/duration.rs" {
        /// `toSeconds` and the like round down, not toward zero.
        DurationRoundsDown,
    }
    "ir/src/ext/ip.rs" {
        /// A range is not in a range of the same length.
        RangeOfSameLength,
    }
    "ir/src/ext/decimal.rs" {
        /// The sign of a decimal is that of its whole part, so `-0.5` is `0.5`.
        SignOfWholePart,
    }
    "ir/src/pattern.rs" {
        /// The texts before the first and after the last wildcard may overlap.
        PatternEndsOverlap,
        /// After a segment is found the search goes on behind its first byte.
        SegmentUsedAgain,
    }
    "runtime/src/interpreter.rs" {
        /// `||` goes on after an operand that fails.
        OrSwallowsError,
        /// The right operand is evaluated before the left one.
        RightOperandFirst,
    }
    "runtime/src/interpreter/operators.rs" {
        /// The error of `in` a set names another element's type.
        OffenderOrder,
        /// The error of comparing a datetime with an integer expects the wrong one.
        ExpectedTypeOfComparison,
        /// Reading a tag of a missing entity says that the tag is missing.
        TagOfMissingEntity,
    }
    "runtime/src/evaluate.rs" {
        /// Where fused code ran, policies posted under entities are not visited.
        FusedSkipsScoped,
    }
    "runtime/src/query/allowed.rs" {
        /// A query leaves out the first entity that is allowed of each block but the first.
        QueryLosesFirst,
    }
    "runtime/src/query/lists.rs" {
        /// Where many are decided at a time, who has whom in an attribute is as it was when listed.
        HoldersOutliveWrites,
    }
    "runtime/src/query/lookup.rs" {
        /// Where many are decided at a time, an entity is not in itself.
        LookupWithoutSelf,
        /// Where many are decided at a time, attributes do not lead to an entity that is in theirs.
        TrailWithoutAncestors,
    }
    "runtime/src/query/decide.rs" {
        /// Where many are decided at a time, policies posted under the varying entity do not count.
        BatchSkipsNamed,
        /// Where many are decided at a time, forbids do not count.
        BatchIgnoresForbids,
    }
    "runtime/src/outcomes.rs" {
        /// Deciding alone, no forbid is evaluated once a permit is satisfied.
        PermitSettlesForbids,
        /// A fused forbid that fails is not recorded.
        FusedFailuresOfPermitsOnly,
        /// Forbids do not count if some policy failed.
        ForbidIgnoredAfterError,
        /// Of several satisfied forbids the second is no reason.
        SecondForbidLost,
        /// A failure is not recorded once a forbid is satisfied.
        FailureDroppedAfterForbid,
        /// Failures of the request before stay.
        StaleFailures,
        /// A policy whose code is still to come is not evaluated.
        PendingSkipped,
    }
    "runtime/src/error/witness.rs" {
        /// Attribute names are escaped in JSON as they are in Cedar's text, so some errors get lost on
        /// the way to cedar-policy's.
        AttributeEscaped,
    }
}

/// Whether this fault is planted; without the feature `planted-faults`, never.
#[cfg(not(feature = "planted-faults"))]
#[inline(always)]
pub fn planted(_fault: Fault) -> bool {
    false
}

#[cfg(feature = "planted-faults")]
pub use switch::{plant, planted};

#[cfg(feature = "planted-faults")]
mod switch {
    use super::Fault;
    use std::sync::atomic::{AtomicU8, Ordering};

    /// No fault.
    const NONE: u8 = u8::MAX;

    static PLANTED: AtomicU8 = AtomicU8::new(NONE);

    const _: () = assert!(Fault::ALL.len() < NONE as usize);

    /// Plants a fault in the whole process, in place of the one before, or none.
    pub fn plant(fault: Option<Fault>) {
        let number = fault.map_or(NONE, |fault| fault as u8);
        PLANTED.store(number, Ordering::SeqCst);
    }

    /// Whether this fault is planted.
    #[inline(always)]
    pub fn planted(fault: Fault) -> bool {
        PLANTED.load(Ordering::Relaxed) == fault as u8
    }
}
