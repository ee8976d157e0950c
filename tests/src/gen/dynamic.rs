//! Expressions without regard to types: any operator on any values, and operands that fail.

use super::expr::Writer;
use super::extensions::Ext;
use super::model::STR;
use super::paths::access;
use super::text::{cedar_string, escape, is_plain};
use super::value::record_key;
use std::sync::Arc;

/// Functions and methods by the number of arguments after the receiver.
const METHODS: &[(&str, usize)] = &[
    ("contains", 1),
    ("containsAll", 1),
    ("containsAny", 1),
    ("isEmpty", 0),
    ("hasTag", 1),
    ("getTag", 1),
    ("lessThan", 1),
    ("lessThanOrEqual", 1),
    ("greaterThan", 1),
    ("greaterThanOrEqual", 1),
    ("isIpv4", 0),
    ("isIpv6", 0),
    ("isLoopback", 0),
    ("isMulticast", 0),
    ("isInRange", 1),
    ("offset", 1),
    ("durationSince", 1),
    ("toDate", 0),
    ("toTime", 0),
    ("toMilliseconds", 0),
    ("toSeconds", 0),
    ("toMinutes", 0),
    ("toHours", 0),
    ("toDays", 0),
];

const OPERATORS: &[&str] = &[
    " == ", " != ", " < ", " <= ", " > ", " >= ", " + ", " - ", " * ", " in ",
];

/// Expressions that fail whatever the request is.
const FAILING: &[&str] = &[
    "(9223372036854775807 + 1 == 0)",
    "(-9223372036854775808 - 1 < 0)",
    "(9223372036854775807 * 2 > 0)",
    "(-(-9223372036854775808) == 1)",
    "(\"a\" < 1)",
    "(1 < \"a\")",
    "(true + 1 == 2)",
    "(1 in principal)",
    "(principal in 1)",
    "(principal in [principal, 1])",
    "(1 has a)",
    "(1 like \"*\")",
    "(\"a\" is Nothing)",
    "[1].contains(1).isEmpty()",
    "(1).contains(1)",
    "[1].containsAll(1)",
    "(1).containsAny([1])",
    "\"a\".isEmpty()",
    "context.isEmpty()",
    "(Nothing::\"a\".b == 1)",
    "(Nothing::\"a\".getTag(\"b\") == 1)",
    "(principal.hasTag(1))",
    "(principal.getTag(\"no such tag\") == 1)",
    "(context[\"no such attribute\"] == 1)",
    "((if action == action then context else {})[\"no such attribute\"] == 1)",
    "({a: 1}.b == 1)",
    "({a: 1, b: 9223372036854775807 + 1} == {})",
    "[1, 1 + \"a\"].contains(1)",
    "ip(\"nowhere\").isLoopback()",
    "ip(1).isLoopback()",
    "decimal(\"1\").lessThan(decimal(\"1.0\"))",
    "(decimal(\"1.0\") < decimal(\"2.0\"))",
    "(ip(\"::1\") <= ip(\"::1\"))",
    "(datetime(\"2024-01-01\") < duration(\"1d\"))",
    "(datetime(\"2024-01-01\") < 1)",
    "(1 < duration(\"1d\"))",
    "(datetime(\"2024-02-30\") == 1)",
    "(datetime(\"9999-12-31\").offset(duration(\"9223372036854775807ms\")) == 1)",
    "(datetime(\"1970-01-01\").offset(duration(\"-9223372036854775808ms\")).toDate() == 1)",
    "(duration(\"1d\").toDate() == 1)",
    "(if 1 then true else true)",
    "(if \"a\" == 1 then true else 1)",
    "(1 && true)",
    "(true && 1)",
    "(false || \"a\")",
    "(!1)",
    "(-true == 1)",
    "1",
    "\"a\"",
    "context",
];

impl Writer<'_> {
    /// Writes an expression that fails, or is no Boolean where one is needed.
    pub(super) fn failing(&mut self) {
        if self.rng.one_in(4) {
            return self.any(1);
        }
        let text = self.rng.pick(FAILING).copied().unwrap_or("1");
        self.push(text);
    }

    /// Writes an operand of whatever type.
    fn any_operand(&mut self, depth: usize) {
        if self.rng.chance(45u32) {
            return self.any(depth);
        }
        let ty = self.world.model.types.any(self.rng);
        self.value(ty, depth.min(1));
        // A dynamic condition asks nothing first.
        self.guards.clear();
    }

    /// Writes any expression at all, in a form that needs no parentheses.
    pub(super) fn any(&mut self, depth: usize) {
        if self.is_leaf(depth) {
            let ty = self.world.model.types.any(self.rng);
            self.leaf(ty);
            self.guards.clear();
            return;
        }
        let depth = depth - 1;
        match self.rng.below(14) {
            0..=3 => self.any_operator(depth),
            4..=6 => self.any_method(depth),
            7 => self.any_call(depth),
            8 => {
                let operator = if self.rng.one_in(2) { "(!" } else { "(-" };
                self.enclosed(operator, ")", |w| w.any_operand(depth));
            }
            9 => self.any_logic(depth),
            10 => {
                self.enclosed("(if ", " then ", |w| w.any_condition(depth));
                self.any_operand(depth);
                self.enclosed(" else ", ")", |w| w.any_operand(depth));
            }
            11 => self.any_access(depth),
            12 => self.any_test(depth),
            _ => self.any_collection(depth),
        }
    }

    fn enclosed(&mut self, before: &str, after: &str, write: impl FnOnce(&mut Self)) {
        self.push(before);
        write(self);
        self.push(after);
    }

    /// A Boolean more often than chance would have it, so that evaluation goes on.
    fn any_condition(&mut self, depth: usize) {
        if self.rng.chance(60u32) {
            self.boolean(depth.min(1), None);
        } else {
            self.any_operand(depth);
        }
    }

    fn any_operator(&mut self, depth: usize) {
        self.push("(");
        self.any_operand(depth);
        let operator = self.rng.pick(OPERATORS).copied().unwrap_or(" == ");
        self.push(operator);
        self.any_operand(depth);
        self.push(")");
    }

    fn any_logic(&mut self, depth: usize) {
        let operator = if self.rng.one_in(2) { " && " } else { " || " };
        self.push("(");
        self.any_condition(depth);
        for _ in 0..self.rng.between(1, 2) {
            self.push(operator);
            self.any_condition(depth);
        }
        self.push(")");
    }

    fn any_method(&mut self, depth: usize) {
        self.any_operand(depth);
        let (name, arity) = self.rng.pick(METHODS).copied().unwrap_or(("isEmpty", 0));
        escape(self.out, format_args!(".{name}("));
        if arity > 0 {
            self.any_operand(depth);
        }
        self.push(")");
    }

    fn any_call(&mut self, depth: usize) {
        let ext = self.rng.pick(&Ext::ALL).copied().unwrap_or(Ext::Ip);
        self.push(ext.constructor());
        self.push("(");
        match self.rng.below(4) {
            0 => self.any_operand(depth),
            1 => {
                self.value(STR, depth.min(1));
                self.guards.clear();
            }
            form => {
                let pool = if form == 2 {
                    ext.valid()
                } else {
                    ext.invalid()
                };
                let text = self.rng.pick(pool).copied().unwrap_or_default();
                cedar_string(self.out, text, false);
            }
        }
        self.push(")");
    }

    fn any_access(&mut self, depth: usize) {
        self.any_operand(depth);
        let name = self.world.model.pools.attribute(self.rng);
        let quoted = self.rng.one_in(6);
        access(self.out, &name, quoted);
    }

    fn any_test(&mut self, depth: usize) {
        self.push("(");
        self.any_operand(depth);
        match self.rng.below(4) {
            0 => {
                let ty = self.rng.pick(&self.world.model.entity_types);
                let name = ty.map(|ty| ty.name.clone()).unwrap_or_default();
                self.push(" is ");
                self.push(&name);
                if self.rng.one_in(2) {
                    self.push(" in ");
                    self.any_operand(depth);
                }
            }
            1 => self.push(" like \"*a*\""),
            form => {
                self.push(" has ");
                let name = self.world.model.pools.attribute(self.rng);
                if form == 2 || !is_plain(&name) {
                    cedar_string(self.out, &name, false);
                } else {
                    self.push(&name);
                    let second = self.world.model.pools.attribute(self.rng);
                    if is_plain(&second) {
                        self.push(".");
                        self.push(&second);
                    }
                }
            }
        }
        self.push(")");
    }

    fn any_collection(&mut self, depth: usize) {
        let count = self.rng.below(4);
        if self.rng.one_in(2) {
            self.push("[");
            for position in 0..count {
                if position > 0 {
                    self.push(", ");
                }
                self.any_operand(depth);
            }
            self.push("]");
            return;
        }
        let mut names: Vec<Arc<str>> = Vec::new();
        self.push("{");
        for _ in 0..count {
            let name = self.world.model.pools.attribute(self.rng);
            if names.contains(&name) {
                continue;
            }
            if !names.is_empty() {
                self.push(", ");
            }
            record_key(self.out, &name, false);
            self.push(": ");
            self.any_operand(depth);
            names.push(name);
        }
        self.push("}");
    }
}
