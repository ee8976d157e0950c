//! Cedar's syntax for each form of expression, around operands that are text already.
//!
//! What needs parentheses anywhere has them everywhere, so operands can be put in as they are.

use super::{BinaryOp, UnaryOp};
use cedarjit_ir::ext::ExtFn;
use std::fmt::{self, Display};

/// A text as a string literal.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_debug())
    }
}

/// An integer literal.
pub fn long(i: i64) -> String {
    match i < 0 {
        true => format!("({i})"),
        false => i.to_string(),
    }
}

/// The sign or the method's name of an operator with one operand.
pub(super) fn unary_name(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Not => "!",
        UnaryOp::Neg => "-",
        UnaryOp::IsEmpty => "isEmpty",
    }
}

/// The sign, the word or the method's name of an operator with two operands.
pub(super) fn binary_name(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Eq => "==",
        BinaryOp::Less => "<",
        BinaryOp::LessEq => "<=",
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::In => "in",
        BinaryOp::Contains => "contains",
        BinaryOp::ContainsAll => "containsAll",
        BinaryOp::ContainsAny => "containsAny",
        BinaryOp::GetTag => "getTag",
        BinaryOp::HasTag => "hasTag",
    }
}

/// An operator with one operand.
pub fn unary(op: UnaryOp, a: &str) -> String {
    let name = unary_name(op);
    match op {
        UnaryOp::Not => format!("({name}{a})"),
        // A sign and digits would be read as one literal.
        UnaryOp::Neg => format!("({name}({a}))"),
        UnaryOp::IsEmpty => format!("{a}.{name}()"),
    }
}

/// An operator with two operands.
pub fn binary(op: BinaryOp, a: &str, b: &str) -> String {
    let name = binary_name(op);
    match op {
        BinaryOp::Contains
        | BinaryOp::ContainsAll
        | BinaryOp::ContainsAny
        | BinaryOp::GetTag
        | BinaryOp::HasTag => format!("{a}.{name}({b})"),
        _ => format!("({a} {name} {b})"),
    }
}

/// `a && b && …`; of one operand, what checks that it is a Boolean.
pub fn and(operands: &[String]) -> String {
    match operands {
        [one] => format!("({one} && true)"),
        more => format!("({})", more.join(" && ")),
    }
}

/// `a || b || …`; of one operand, what checks that it is a Boolean.
pub fn or(operands: &[String]) -> String {
    match operands {
        [one] => format!("({one} || false)"),
        more => format!("({})", more.join(" || ")),
    }
}

/// `if c then t else e`
pub fn choice(c: &str, t: &str, e: &str) -> String {
    format!("(if {c} then {t} else {e})")
}

/// An attribute of an entity or a record.
pub fn attribute(base: &str, name: &str) -> String {
    format!("{base}[{}]", Quoted(name))
}

/// Whether an entity or a record has an attribute.
pub fn has(base: &str, name: &str) -> String {
    format!("({base} has {})", Quoted(name))
}

/// Whether a string matches a pattern, which is displayed as Cedar writes it.
pub fn like(text: &str, pattern: &dyn Display) -> String {
    format!("({text} like \"{pattern}\")")
}

/// Whether an entity is of a type, and in another if one is given.
pub fn is(entity: &str, ty: &str, within: Option<&str>) -> String {
    match within {
        Some(within) => format!("({entity} is {ty} in {within})"),
        None => format!("({entity} is {ty})"),
    }
}

/// A set literal.
pub fn set(elements: &[String]) -> String {
    format!("[{}]", elements.join(", "))
}

/// A record literal.
pub fn record<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields = fields.into_iter();
    let fields = fields.map(|(name, value)| format!("{}: {value}", Quoted(name)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

/// A function of an argument, or a method of the first.
pub fn call(func: ExtFn, args: &[String]) -> String {
    let name = func.name();
    match args {
        [receiver, rest @ ..] if !func.is_constructor() => {
            format!("{receiver}.{name}({})", rest.join(", "))
        }
        _ => format!("{name}({})", args.join(", ")),
    }
}
