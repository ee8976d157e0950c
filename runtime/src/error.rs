//! Why a policy could not be evaluated.
//!
//! [`EvalError`] has the text of cedar-policy's `EvaluationError`, and [`to_cedar_error`] makes
//! that error itself.

mod witness;

pub use witness::to_cedar_error;

use cedarjit_frontend::hir::Slot;
use cedarjit_ir::ext::{ExtError, ExtFn};
use cedarjit_ir::interner::CapacityError;
use std::fmt;

/// cedar-policy's name for "some entity type" in type errors.
const ANY_ENTITY: &str = "(entity of type `any_entity_type`)";

/// The kind of an [`EvalError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An attribute or tag was read of an entity that does not exist.
    EntityDoesNotExist,
    /// An attribute was read that the entity does not have.
    EntityAttrDoesNotExist,
    /// A tag was read that the entity does not have.
    ///
    /// cedar-policy puts these under `EntityAttrDoesNotExist`.
    EntityTagDoesNotExist,
    /// An attribute was read that the record does not have.
    RecordAttrDoesNotExist,
    /// An operand has the wrong type.
    Type,
    /// An integer operation left what 64 bits hold.
    IntegerOverflow,
    /// An extension function failed.
    ExtensionFailed,
    /// An extension function was called with too few or too many arguments.
    WrongNumArguments,
    /// A template's slot was not linked.
    UnlinkedSlot,
    /// A value was too large.
    Capacity,
    /// Compiled code and interpreter disagree.
    Unexplained,
}

/// What types an operand may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpectedTypes {
    /// A Boolean.
    Bool,
    /// An integer.
    Long,
    /// A string.
    String,
    /// A set.
    Set,
    /// An entity.
    Entity,
    /// A record or an entity: what has attributes.
    RecordOrEntity,
    /// A set or an entity: the right side of `in`.
    SetOrEntity,
    /// A decimal.
    Decimal,
    /// A datetime.
    Datetime,
    /// A duration.
    Duration,
    /// An IP address or range.
    Ip,
    /// What `<` compares.
    Comparable,
}

impl ExpectedTypes {
    /// Every list of types that an operator expects.
    pub const ALL: [ExpectedTypes; 12] = [
        ExpectedTypes::Bool,
        ExpectedTypes::Long,
        ExpectedTypes::String,
        ExpectedTypes::Set,
        ExpectedTypes::Entity,
        ExpectedTypes::RecordOrEntity,
        ExpectedTypes::SetOrEntity,
        ExpectedTypes::Decimal,
        ExpectedTypes::Datetime,
        ExpectedTypes::Duration,
        ExpectedTypes::Ip,
        ExpectedTypes::Comparable,
    ];

    /// The types' names, in the order in which cedar-policy lists them.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            ExpectedTypes::Bool => &["bool"],
            ExpectedTypes::Long => &["long"],
            ExpectedTypes::String => &["string"],
            ExpectedTypes::Set => &["set"],
            ExpectedTypes::Entity => &[ANY_ENTITY],
            ExpectedTypes::RecordOrEntity => &["record", ANY_ENTITY],
            ExpectedTypes::SetOrEntity => &["set", ANY_ENTITY],
            ExpectedTypes::Decimal => &["decimal"],
            ExpectedTypes::Datetime => &["datetime"],
            ExpectedTypes::Duration => &["duration"],
            ExpectedTypes::Ip => &["ipaddr"],
            ExpectedTypes::Comparable => &["long", "datetime", "duration"],
        }
    }
}

impl fmt::Display for ExpectedTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names() {
            [name] => f.write_str(name),
            names => write!(f, "one of [{}]", names.join(", ")),
        }
    }
}

/// The type of a value, as type errors name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ActualType {
    /// A Boolean.
    Bool,
    /// An integer.
    Long,
    /// A string.
    String,
    /// A set.
    Set,
    /// A record.
    Record,
    /// An entity of the type with this qualified name.
    Entity(Box<str>),
    /// A decimal.
    Decimal,
    /// A datetime.
    Datetime,
    /// A duration.
    Duration,
    /// An IP address or range.
    Ip,
}

impl fmt::Display for ActualType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ActualType::Bool => "bool",
            ActualType::Long => "long",
            ActualType::String => "string",
            ActualType::Set => "set",
            ActualType::Record => "record",
            ActualType::Entity(ty) => return write!(f, "(entity of type `{ty}`)"),
            ActualType::Decimal => "decimal",
            ActualType::Datetime => "datetime",
            ActualType::Duration => "duration",
            ActualType::Ip => "ipaddr",
        })
    }
}

/// An integer operation with its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// `a + b`
    Add(i64, i64),
    /// `a - b`
    Sub(i64, i64),
    /// `a * b`
    Mul(i64, i64),
    /// `-a`
    Neg(i64),
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arithmetic::Add(a, b) => write!(f, "add the values `{a}` and `{b}`"),
            Arithmetic::Sub(a, b) => write!(f, "subtract the values `{a}` and `{b}`"),
            Arithmetic::Mul(a, b) => write!(f, "multiply the values `{a}` and `{b}`"),
            Arithmetic::Neg(a) => write!(f, "negate the value `{a}`"),
        }
    }
}

/// Why a policy could not be evaluated; the text is cedar-policy's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// An attribute or tag was read of an entity that does not exist.
    #[error("entity `{entity}` does not exist")]
    EntityDoesNotExist {
        /// The entity's uid.
        entity: String,
    },
    /// An attribute was read that the entity does not have.
    #[error("`{entity}` does not have the attribute `{attr}`")]
    EntityAttrDoesNotExist {
        /// The entity's uid.
        entity: String,
        /// The attribute's name.
        attr: String,
    },
    /// A tag was read that the entity does not have.
    #[error("`{entity}` does not have the tag `{tag}`")]
    EntityTagDoesNotExist {
        /// The entity's uid.
        entity: String,
        /// The tag's key.
        tag: String,
    },
    /// An attribute was read that the record does not have.
    #[error("record does not have the attribute `{attr}`")]
    RecordAttrDoesNotExist {
        /// The attribute's name.
        attr: String,
    },
    /// An operand has the wrong type.
    #[error("type error: expected {expected}, got {actual}")]
    Type {
        /// What it should have been.
        expected: ExpectedTypes,
        /// What it is.
        actual: ActualType,
    },
    /// An integer operation left what 64 bits hold.
    #[error("integer overflow while attempting to {0}")]
    IntegerOverflow(Arithmetic),
    /// An extension function failed.
    #[error("error while evaluating `{}` extension function: {error}", .function.error_name())]
    ExtensionFailed {
        /// The function.
        function: ExtFn,
        /// What a constructor was given; `None` for a method, whose operands `error` has.
        argument: Option<Box<str>>,
        /// Why it failed.
        error: ExtError,
    },
    /// An extension function was called with too few or too many arguments.
    #[error(
        "wrong number of arguments provided to extension function `{}`: expected {}, got {actual}",
        .function.name(), .function.arity()
    )]
    WrongNumArguments {
        /// The function.
        function: ExtFn,
        /// How many arguments it got, a method's receiver included.
        actual: usize,
    },
    /// A template's slot was not linked.
    #[error("template slot `{}` was not linked", slot_name(*.0))]
    UnlinkedSlot(Slot),
    /// A set, a record or all values of the evaluation together are too large.
    ///
    /// cedar-policy has no such limit.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// Compiled code failed where the interpreter does not: a bug in one of them.
    #[error("compiled code failed where the interpreter does not; please report this")]
    Unexplained,
}

impl EvalError {
    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            EvalError::EntityDoesNotExist { .. } => ErrorKind::EntityDoesNotExist,
            EvalError::EntityAttrDoesNotExist { .. } => ErrorKind::EntityAttrDoesNotExist,
            EvalError::EntityTagDoesNotExist { .. } => ErrorKind::EntityTagDoesNotExist,
            EvalError::RecordAttrDoesNotExist { .. } => ErrorKind::RecordAttrDoesNotExist,
            EvalError::Type { .. } => ErrorKind::Type,
            EvalError::IntegerOverflow(_) => ErrorKind::IntegerOverflow,
            EvalError::ExtensionFailed { .. } => ErrorKind::ExtensionFailed,
            EvalError::WrongNumArguments { .. } => ErrorKind::WrongNumArguments,
            EvalError::UnlinkedSlot(_) => ErrorKind::UnlinkedSlot,
            EvalError::Capacity(_) => ErrorKind::Capacity,
            EvalError::Unexplained => ErrorKind::Unexplained,
        }
    }
}

fn slot_name(slot: Slot) -> &'static str {
    match slot {
        Slot::Principal => "?principal",
        Slot::Resource => "?resource",
    }
}
