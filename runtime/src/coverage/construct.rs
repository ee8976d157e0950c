//! The list of everything that an evaluation can execute.

use super::Came;
use crate::error::{Arithmetic, ErrorKind, ExpectedTypes};
use cedarjit_frontend::hir::{
    ActionConstraint, BinaryOp, Condition, EntityRef, Expr, Literal, ScopeConstraint, UnaryOp, Var,
};
use cedarjit_ir::abi::{Builtin, Returns};
use cedarjit_ir::ext::ExtFn;
use std::fmt;

/// Gives an enumeration its list and the names that tables show.
macro_rules! listed {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$item])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: [$name; [$($name::$variant),+].len()] = [$($name::$variant),+];

            fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)+
                }
            }
        }
    };
}

listed! {
    /// Whom a scope constraint is about.
    Side {
        /// The principal.
        Principal = "principal",
        /// The resource.
        Resource = "resource",
    }
}

listed! {
    /// The forms of a scope constraint on principal or resource.
    ScopeKind {
        /// None.
        Any = "",
        /// `== entity`
        Eq = " ==",
        /// `== ?slot`
        EqSlot = " == ?slot",
        /// `in entity`
        In = " in",
        /// `in ?slot`
        InSlot = " in ?slot",
        /// `is Type`
        Is = " is",
        /// `is Type in entity`
        IsIn = " is … in",
        /// `is Type in ?slot`
        IsInSlot = " is … in ?slot",
    }
}

listed! {
    /// The two kinds of clauses.
    ConditionKind {
        /// `when`
        When = "when",
        /// `unless`
        Unless = "unless",
    }
}

listed! {
    /// Constructs that are told apart by nothing but their kind.
    Shape {
        /// A Boolean literal.
        Bool = "Boolean literal",
        /// An integer literal.
        Long = "integer literal",
        /// A string literal.
        String = "string literal",
        /// An entity uid.
        Entity = "entity literal",
        /// `&&`
        And = "&&",
        /// `||`
        Or = "||",
        /// `if`
        If = "if",
        /// `.attr`
        GetAttr = ".attr",
        /// `has` with one name.
        HasName = "has name",
        /// `has` with a path.
        HasPath = "has a.b",
        /// `like`
        Like = "like",
        /// `is`
        Is = "is",
        /// `is … in`
        IsIn = "is … in",
        /// A set literal.
        Set = "[…]",
        /// A record literal.
        Record = "{…}",
        /// No constraint on the action.
        AnyAction = "scope action",
        /// `action ==`
        EqAction = "scope action ==",
        /// `action in` one, or a list of one.
        InAction = "scope action in",
        /// `action in` a list of several.
        InActions = "scope action in […]",
        /// `action in []`
        InNone = "scope action in []",
    }
}

/// Something that an evaluation can execute, or a way in which it can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Construct {
    /// An expression or a constraint on the action without particulars.
    Shape(Shape),
    /// A request variable.
    Var(Var),
    /// An operator with one operand.
    Unary(UnaryOp),
    /// An operator with two operands.
    Binary(BinaryOp),
    /// An extension function that the interpreter calls.
    Call(ExtFn),
    /// A constraint on principal or resource.
    Scope(Side, ScopeKind),
    /// A clause.
    Condition(ConditionKind),
    /// A builtin that compiled code calls.
    Builtin(Builtin),
    /// An extension function that compiled code calls.
    NativeCall(ExtFn),
    /// A failure of this kind.
    Failure(ErrorKind),
    /// A type error for want of these types.
    Expected(ExpectedTypes),
    /// A sum, difference or product beyond 64 bits.
    Overflow(BinaryOp),
    /// A negation beyond 64 bits.
    NegOverflow,
    /// An extension function that failed on an argument of the right type.
    ExtensionFailed(ExtFn),
    /// An extension function called with a wrong number of arguments.
    WrongArity(ExtFn),
}

/// Every kind of failure, in the order of declaration.
const KINDS: [ErrorKind; 11] = [
    ErrorKind::EntityDoesNotExist,
    ErrorKind::EntityAttrDoesNotExist,
    ErrorKind::EntityTagDoesNotExist,
    ErrorKind::RecordAttrDoesNotExist,
    ErrorKind::Type,
    ErrorKind::IntegerOverflow,
    ErrorKind::ExtensionFailed,
    ErrorKind::WrongNumArguments,
    ErrorKind::UnlinkedSlot,
    ErrorKind::Capacity,
    ErrorKind::Unexplained,
];

/// The operators that can overflow.
const ARITHMETIC: [BinaryOp; 3] = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul];

/// No kind of construct has more members.
const WIDTH: usize = 32;

impl ScopeKind {
    pub(super) fn of(constraint: &ScopeConstraint) -> Self {
        match constraint {
            ScopeConstraint::Any => Self::Any,
            ScopeConstraint::Eq(EntityRef::Entity(_)) => Self::Eq,
            ScopeConstraint::Eq(EntityRef::Slot(_)) => Self::EqSlot,
            ScopeConstraint::In(EntityRef::Entity(_)) => Self::In,
            ScopeConstraint::In(EntityRef::Slot(_)) => Self::InSlot,
            ScopeConstraint::Is(_) => Self::Is,
            ScopeConstraint::IsIn(_, EntityRef::Entity(_)) => Self::IsIn,
            ScopeConstraint::IsIn(_, EntityRef::Slot(_)) => Self::IsInSlot,
        }
    }
}

impl ConditionKind {
    pub(super) fn of(condition: &Condition) -> Self {
        match condition.unless {
            true => Self::Unless,
            false => Self::When,
        }
    }
}

impl Construct {
    /// How many places there are for counts.
    pub(super) const PLACES: usize = 15 * WIDTH;

    /// Every construct, those included that never come to anything.
    pub fn all() -> Vec<Construct> {
        let mut all = Vec::with_capacity(Self::PLACES);
        all.extend(Side::ALL.iter().flat_map(|side| {
            let of_side = ScopeKind::ALL.iter();
            of_side.map(|kind| Construct::Scope(*side, *kind))
        }));
        all.extend(ConditionKind::ALL.map(Construct::Condition));
        all.extend(Shape::ALL.map(Construct::Shape));
        all.extend(Var::ALL.map(Construct::Var));
        all.extend(UnaryOp::ALL.map(Construct::Unary));
        all.extend(BinaryOp::ALL.map(Construct::Binary));
        all.extend(ExtFn::ALL.map(Construct::Call));
        all.extend(Builtin::ALL.iter().map(|b| Construct::Builtin(*b)));
        all.extend(ExtFn::ALL.map(Construct::NativeCall));
        all.extend(KINDS.map(Construct::Failure));
        all.extend(ExpectedTypes::ALL.map(Construct::Expected));
        all.push(Construct::NegOverflow);
        all.extend(ARITHMETIC.map(Construct::Overflow));
        all.extend(ExtFn::ALL.map(Construct::ExtensionFailed));
        all.extend(ExtFn::ALL.map(Construct::WrongArity));
        all
    }

    /// Where the construct's counts are: each kind has a block of its own.
    pub(super) fn place(self) -> usize {
        let (block, member) = match self {
            Construct::Shape(shape) => (0, shape as usize),
            Construct::Var(var) => (1, var as usize),
            Construct::Unary(op) => (2, op as usize),
            Construct::Binary(op) => (3, op as usize),
            Construct::Call(function) => (4, function as usize),
            Construct::Scope(side, kind) => {
                (5, side as usize * ScopeKind::ALL.len() + kind as usize)
            }
            Construct::Condition(kind) => (6, kind as usize),
            Construct::Builtin(builtin) => (7, builtin as usize),
            Construct::NativeCall(function) => (8, function as usize),
            Construct::Failure(kind) => (9, kind as usize),
            Construct::Expected(types) => (10, types as usize),
            Construct::Overflow(op) => (11, op as usize),
            Construct::NegOverflow => (12, 0),
            Construct::ExtensionFailed(function) => (13, function as usize),
            Construct::WrongArity(function) => (14, function as usize),
        };
        block * WIDTH + member
    }

    pub(super) fn of_action(constraint: &ActionConstraint) -> Self {
        Construct::Shape(match constraint {
            ActionConstraint::Any => Shape::AnyAction,
            ActionConstraint::Eq(_) => Shape::EqAction,
            ActionConstraint::In(actions) => match actions.len() {
                0 => Shape::InNone,
                1 => Shape::InAction,
                _ => Shape::InActions,
            },
        })
    }

    pub(super) fn of_expr(expr: &Expr) -> Self {
        Construct::Shape(match expr {
            Expr::Literal(Literal::Bool(_)) => Shape::Bool,
            Expr::Literal(Literal::Long(_)) => Shape::Long,
            Expr::Literal(Literal::String(_)) => Shape::String,
            Expr::Literal(Literal::Entity(_)) => Shape::Entity,
            Expr::Var(var) => return Construct::Var(*var),
            Expr::Unary(op, _) => return Construct::Unary(*op),
            Expr::Binary(op, ..) => return Construct::Binary(*op),
            Expr::And(_) => Shape::And,
            Expr::Or(_) => Shape::Or,
            Expr::If(..) => Shape::If,
            Expr::GetAttr(..) => Shape::GetAttr,
            Expr::Has(_, path) if path.len() == 1 => Shape::HasName,
            Expr::Has(..) => Shape::HasPath,
            Expr::Like(..) => Shape::Like,
            Expr::Is(_, _, None) => Shape::Is,
            Expr::Is(_, _, Some(_)) => Shape::IsIn,
            Expr::Set(_) => Shape::Set,
            Expr::Record(_) => Shape::Record,
            Expr::Call(function, _) => return Construct::Call(*function),
        })
    }

    pub(super) fn overflow(operation: Arithmetic) -> Self {
        match operation {
            Arithmetic::Add(..) => Construct::Overflow(BinaryOp::Add),
            Arithmetic::Sub(..) => Construct::Overflow(BinaryOp::Sub),
            Arithmetic::Mul(..) => Construct::Overflow(BinaryOp::Mul),
            Arithmetic::Neg(_) => Construct::NegOverflow,
        }
    }

    /// Whether a suite can be asked to make the construct come to this.
    pub fn can_come_to(self, came: Came) -> bool {
        use Came::{Failed, False, PassedOn, True, Value};
        let possible: &[Came] = match self {
            Construct::Shape(shape) => shape_outcomes(shape),
            Construct::Var(_) => &[Value],
            Construct::Unary(UnaryOp::Neg) => &[Value, Failed, PassedOn],
            Construct::Unary(_) => &[True, False, Failed, PassedOn],
            // Any two values compare.
            Construct::Binary(BinaryOp::Eq) => &[True, False, PassedOn],
            Construct::Binary(BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul) => {
                &[Value, Failed, PassedOn]
            }
            Construct::Binary(BinaryOp::GetTag) => &Came::ALL,
            Construct::Binary(_) => &[True, False, Failed, PassedOn],
            Construct::Call(function) if is_test(function) => &[True, False, Failed, PassedOn],
            Construct::Call(_) => &[Value, Failed, PassedOn],
            Construct::Scope(_, ScopeKind::Any) => &[True],
            Construct::Scope(..) => &[True, False],
            Construct::Condition(_) => &[True, False, Failed, PassedOn],
            Construct::Builtin(builtin) => builtin_outcomes(builtin),
            Construct::NativeCall(function) => native_outcomes(function),
            // Templates that are not linked are not evaluated.
            Construct::Failure(ErrorKind::UnlinkedSlot) => &[],
            // Sets, records and heaps beyond their limits take gigabytes.
            Construct::Failure(ErrorKind::Capacity) => &[],
            // There only in case of a bug.
            Construct::Failure(ErrorKind::Unexplained) => &[],
            Construct::ExtensionFailed(function) if !can_fail(function) => &[],
            Construct::Failure(_)
            | Construct::Expected(_)
            | Construct::Overflow(_)
            | Construct::NegOverflow
            | Construct::ExtensionFailed(_)
            | Construct::WrongArity(_) => &[Failed],
        };
        possible.contains(&came)
    }
}

fn shape_outcomes(shape: Shape) -> &'static [Came] {
    use Came::{Failed, False, PassedOn, True, Value};
    match shape {
        Shape::Bool => &[True, False],
        Shape::Long | Shape::String | Shape::Entity => &[Value],
        Shape::If | Shape::GetAttr => &Came::ALL,
        Shape::And
        | Shape::Or
        | Shape::HasName
        | Shape::HasPath
        | Shape::Like
        | Shape::Is
        | Shape::IsIn => &[True, False, Failed, PassedOn],
        // They fail of themselves only at their limits, which take gigabytes.
        Shape::Set | Shape::Record => &[Value, PassedOn],
        Shape::AnyAction => &[True],
        Shape::InNone => &[False],
        Shape::EqAction | Shape::InAction | Shape::InActions => &[True, False],
    }
}

fn builtin_outcomes(builtin: Builtin) -> &'static [Came] {
    use Came::{Failed, False, True, Value};
    match (builtin, builtin.returns()) {
        // They fail only at their limits, which take gigabytes.
        (Builtin::MakeSet | Builtin::MakeRecord, _) => &[Value],
        // What code asks this of it has found to be a record or an entity.
        (Builtin::HasAttr, _) => &[True, False],
        (_, Returns::Bool) => &[True, False],
        (_, Returns::FallibleBool) => &[True, False, Failed],
        (_, Returns::FallibleValue) => &[Value, Failed],
    }
}

/// As for the interpreter, but that types and numbers of arguments were checked before.
fn native_outcomes(function: ExtFn) -> &'static [Came] {
    use Came::{Failed, False, True, Value};
    match function {
        // These are emitted inline.
        ExtFn::DecimalLessThan
        | ExtFn::DecimalLessEq
        | ExtFn::DecimalGreater
        | ExtFn::DecimalGreaterEq
        | ExtFn::Offset
        | ExtFn::DurationSince
        | ExtFn::ToMilliseconds => &[],
        function if is_test(function) => &[True, False],
        function if can_fail(function) => &[Value, Failed],
        _ => &[Value],
    }
}

/// Whether the function's value is a Boolean.
fn is_test(function: ExtFn) -> bool {
    matches!(
        function,
        ExtFn::DecimalLessThan
            | ExtFn::DecimalLessEq
            | ExtFn::DecimalGreater
            | ExtFn::DecimalGreaterEq
            | ExtFn::IsIpv4
            | ExtFn::IsIpv6
            | ExtFn::IsLoopback
            | ExtFn::IsMulticast
            | ExtFn::IsInRange
    )
}

/// Whether the function may fail on arguments of the right types.
fn can_fail(function: ExtFn) -> bool {
    function.is_constructor()
        || matches!(
            function,
            ExtFn::Offset | ExtFn::DurationSince | ExtFn::ToDate
        )
}

impl fmt::Display for Construct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Construct::Shape(shape) => f.pad(shape.name()),
            Construct::Var(var) => write!(f, "{}", format!("{var:?}").to_lowercase()),
            Construct::Unary(op) => f.write_str(op.name()),
            Construct::Binary(op) => f.write_str(op.name()),
            Construct::Call(function) => write!(f, "{}()", function.name()),
            Construct::Scope(side, kind) => write!(f, "scope {}{}", side.name(), kind.name()),
            Construct::Condition(kind) => f.write_str(kind.name()),
            Construct::Builtin(builtin) => write!(f, "builtin {}", builtin.name()),
            Construct::NativeCall(function) => write!(f, "builtin {}()", function.name()),
            Construct::Failure(kind) => write!(f, "failure {kind:?}"),
            Construct::Expected(types) => write!(f, "type error, expected {types:?}"),
            Construct::Overflow(op) => write!(f, "overflow of {}", op.name()),
            Construct::NegOverflow => f.write_str("overflow of neg"),
            Construct::ExtensionFailed(function) => {
                write!(f, "failure of {}()", function.name())
            }
            Construct::WrongArity(function) => {
                write!(f, "wrong number of arguments of {}()", function.name())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_construct_has_a_place_of_its_own() {
        let all = Construct::all();
        let places: HashSet<usize> = all.iter().map(|construct| construct.place()).collect();
        assert_eq!(places.len(), all.len());
        assert!(places.iter().all(|place| *place < Construct::PLACES));
        // Counts are kept by name.
        let names: HashSet<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), all.len());
    }
}
