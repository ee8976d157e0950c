//! Values that are easily taken for one another, and conditions that tell them apart.

use super::boolean::contains_some;
use super::expr::Writer;
use super::extensions::{Ext, KIN, kin};
use super::model::{BOOL, Ty};
use super::paths::{Path, access};
use super::text::{comma_separated, escape};
use super::value::{Val, record_key};
use std::sync::Arc;

/// Constants of different types that an engine may hold in the same machine word.
const SAME_WORD: &[(&str, &str)] = &[
    ("true", "1"),
    ("false", "0"),
    ("decimal(\"0.0\")", "0"),
    ("decimal(\"0.0001\")", "1"),
    ("decimal(\"-0.0001\")", "(-1)"),
    ("duration(\"1ms\")", "1"),
    ("duration(\"0s\")", "false"),
    ("datetime(\"1970-01-01\")", "0"),
    ("datetime(\"1970-01-01T00:00:00.001Z\")", "true"),
    ("datetime(\"1970-01-01\")", "duration(\"0ms\")"),
];

/// A receiver, a method with its argument, the result, and a wrong one that is close to it.
type CallResult = (Ext, &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const RESULTS: &[CallResult] = &[
    (Ext::Duration, "-999ms", "toSeconds()", "0", "(-1)"),
    (Ext::Duration, "-1ms", "toSeconds()", "0", "(-1)"),
    (Ext::Duration, "-1d2h3m4s5ms", "toSeconds()", "(-93784)", "(-93785)"),
    (Ext::Duration, "999ms", "toSeconds()", "0", "1"),
    (Ext::Duration, "-61s", "toMinutes()", "(-1)", "(-2)"),
    (Ext::Duration, "-61s", "toMilliseconds()", "(-61000)", "(-61001)"),
    (Ext::Duration, "-1d2h3m4s5ms", "toHours()", "(-26)", "(-27)"),
    (Ext::Duration, "-1d2h3m4s5ms", "toDays()", "(-1)", "(-2)"),
    (Ext::Duration, "1d2h3m4s5ms", "toMinutes()", "1563", "1564"),
    (Ext::Datetime, "1969-12-31T23:59:59.999Z", "toDate()",
     "datetime(\"1969-12-31\")", "datetime(\"1970-01-01\")"),
    (Ext::Datetime, "1969-12-31T23:59:59.999Z", "toTime()",
     "duration(\"86399999ms\")", "duration(\"-1ms\")"),
    (Ext::Datetime, "1969-12-31T23:59:59.999Z", "durationSince(datetime(\"1970-01-01\"))",
     "duration(\"-1ms\")", "duration(\"1ms\")"),
    (Ext::Datetime, "1970-01-01", "offset(duration(\"-1ms\"))",
     "datetime(\"1969-12-31T23:59:59.999Z\")", "datetime(\"1970-01-01T00:00:00.001Z\")"),
    (Ext::Datetime, "1900-02-28", "offset(duration(\"1d\"))",
     "datetime(\"1900-03-01\")", "datetime(\"1900-02-28\")"),
    (Ext::Datetime, "2000-02-28", "offset(duration(\"1d\"))",
     "datetime(\"2000-02-29\")", "datetime(\"2000-03-01\")"),
];

/// Last days of February, of which some years do not have the 29th.
const LEAP_DAYS: &[&str] = &[
    "1900-02-29",
    "2000-02-29",
    "2100-02-29",
    "2200-02-29",
    "2400-02-29",
    "1900-03-01",
    "2100-02-28",
];

/// Elements of a set in which something may be.
const NO_ENTITIES: &[&str] = &[
    "datetime(\"1970-01-01\")",
    "decimal(\"1.0\")",
    "duration(\"1d\")",
    "ip(\"::1\")",
    "1",
    "true",
    "\"a\"",
    "[]",
    "{}",
];

/// Pairs of ranges, and whether the first is in the second: of the same length, and not.
const RANGES: &[(&str, &str, bool)] = &[
    ("10.9.8.7/8", "10.0.0.0/8", true),
    ("10.1.2.200/24", "10.1.2.3/24", true),
    ("10.1.2.200/24", "10.1.3.200/24", false),
    ("10.1.3.7/23", "10.1.2.0/23", true),
    ("10.1.2.3/24", "10.9.8.7/8", true),
    ("10.9.8.7/8", "10.1.2.3/24", false),
    ("1.2.3.4/0", "0.0.0.0/0", true),
    ("2001:db8:1::1/32", "2001:db8::/32", true),
    ("2001:db8::1/64", "2001:db8::2/64", true),
    ("2001:db8:0:1::1/64", "2001:db8::1/64", false),
    ("2001:db8::1/64", "2001:db8:1::1/32", true),
    ("::1/127", "::/127", true),
    ("1::/0", "::1/0", true),
    ("::/0", "0.0.0.0/0", false),
];

const COMPARISONS: &[&str] = &[" == ", " != ", " < ", " <= ", " > ", " >= "];

const DECIMAL_COMPARISONS: &[&str] = &[
    ".lessThan(",
    ".lessThanOrEqual(",
    ".greaterThan(",
    ".greaterThanOrEqual(",
];

impl Writer<'_> {
    /// Writes a condition on values that are easily taken for one another.
    pub(super) fn twins(&mut self) -> Option<bool> {
        self.push("(");
        let known = match self.rng.below(16) {
            0..=2 => self.kin_comparison(),
            3..=4 => self.call_result(),
            5 => self.leap_days(),
            6..=7 => self.same_word(),
            8 => self.chain_of_one(),
            9 => self.constant_sets(),
            10 => self.late_element(),
            11..=12 => self.rebuilt(),
            13 => self.ranges(),
            _ => self.mixed_list(),
        };
        self.push(")");
        known
    }

    fn one_of(&mut self, texts: &'static [&'static str]) -> &'static str {
        self.rng.pick(texts).copied().unwrap_or_default()
    }

    /// Two values of one extension type that are equal or close, written differently.
    fn kin_comparison(&mut self) -> Option<bool> {
        let ext = self.rng.pick(&Ext::ALL).copied()?;
        let known = |path: &Path| match &path.val {
            Some(Val::Ext(of, text)) if *of == ext => kin(ext, text),
            _ => None,
        };
        let read = self.paths.pick(self.rng, |path| known(path).is_some());
        let family = match read.filter(|_| self.rng.chance(60u32)) {
            Some(found) => {
                self.path(found);
                self.paths.get(found).and_then(known)?
            }
            None => {
                let families: Vec<_> = KIN.iter().filter(|(of, _)| *of == ext).collect();
                let (_, family) = self.rng.pick(&families)?;
                self.one_of_kin(ext, family);
                family
            }
        };
        let operators = match ext {
            _ if self.rng.one_in(4) => &[" == ", " != "],
            Ext::Decimal => DECIMAL_COMPARISONS,
            Ext::Ip => &[".isInRange("],
            Ext::Datetime | Ext::Duration => COMPARISONS,
        };
        let operator = self.one_of(operators);
        self.push(operator);
        self.one_of_kin(ext, family);
        if operator.ends_with('(') {
            self.push(")");
        }
        None
    }

    /// Writes a value of a family, as a constant or not.
    fn one_of_kin(&mut self, ext: Ext, family: &'static [&'static str]) {
        let first = self.one_of(family);
        if self.rng.one_in(3) {
            let second = self.one_of(family);
            self.constructor(ext, first, second);
        } else {
            self.literal(&Val::Ext(ext, Arc::from(first)));
        }
    }

    /// The result of a method, compared with what it is or nearly is.
    fn call_result(&mut self) -> Option<bool> {
        let (ext, text, method, right, wrong) = *self.rng.pick(RESULTS)?;
        let is_it = |path: &Path| match &path.val {
            Some(Val::Ext(of, other)) => *of == ext && &**other == text,
            _ => false,
        };
        match self.paths.pick(self.rng, is_it) {
            Some(found) => {
                self.path(found);
            }
            None if self.rng.one_in(2) => self.constructor(ext, text, text),
            None => self.literal(&Val::Ext(ext, Arc::from(text))),
        }
        let operator = self.one_of(COMPARISONS);
        let exact = self.rng.one_in(2);
        let with = if exact { right } else { wrong };
        escape(self.out, format_args!(".{method}{operator}{with}"));
        match operator {
            " == " => Some(exact),
            " != " => Some(!exact),
            _ => exact.then_some(operator.contains('=')),
        }
    }

    /// Ranges in each other.
    fn ranges(&mut self) -> Option<bool> {
        let (range, other, within) = *self.rng.pick(RANGES)?;
        match self.rng.one_in(2) {
            true => self.constructor(Ext::Ip, range, range),
            false => self.literal(&Val::Ext(Ext::Ip, Arc::from(range))),
        }
        self.push(".isInRange(");
        self.literal(&Val::Ext(Ext::Ip, Arc::from(other)));
        self.push(")");
        Some(within)
    }

    fn leap_days(&mut self) -> Option<bool> {
        let (first, second) = (self.one_of(LEAP_DAYS), self.one_of(LEAP_DAYS));
        if self.rng.one_in(2) {
            self.constructor(Ext::Datetime, first, second);
        } else {
            self.literal(&Val::Ext(Ext::Datetime, Arc::from(first)));
        }
        let operator = self.one_of(COMPARISONS);
        self.push(operator);
        self.literal(&Val::Ext(Ext::Datetime, Arc::from("2000-02-29")));
        None
    }

    /// Values of different types that may have the same machine word.
    fn same_word(&mut self) -> Option<bool> {
        let (mut one, mut other) = *self.rng.pick(SAME_WORD)?;
        if self.rng.one_in(2) {
            (one, other) = (other, one);
        }
        let unsure = self.unsure();
        let form = self.rng.below(4);
        match form {
            0 => escape(
                self.out,
                format_args!("(if {unsure} then {one} else {other}) == {other}"),
            ),
            1 => escape(
                self.out,
                format_args!("[{one}, \"a\"].contains(if {unsure} then {other} else {one})"),
            ),
            _ => {
                // Something that is read, without a schema of a type that nobody knows.
                let wanted = |path: &Path| {
                    matches!(&path.val, Some(Val::Bool(_) | Val::Long(0 | 1)))
                        || matches!(&path.val, Some(Val::Ext(ext, _)) if *ext != Ext::Ip)
                };
                let read = self.paths.pick(self.rng, wanted);
                let twin = match read.and_then(|found| self.paths.get(found)?.val.clone()) {
                    Some(Val::Bool(true)) => "1",
                    Some(Val::Long(0)) => "false",
                    Some(Val::Long(_)) => "true",
                    _ => "0",
                };
                if form == 2 {
                    escape(self.out, format_args!("[{twin}, \"a\"].contains("));
                }
                match read {
                    Some(found) => {
                        self.path(found);
                    }
                    None => self.push(one),
                }
                if form == 2 {
                    self.push(")");
                } else {
                    escape(self.out, format_args!(" == {twin}"));
                }
            }
        }
        None
    }

    /// `&&` or `||` of one operand that decides and need not be a Boolean.
    fn chain_of_one(&mut self) -> Option<bool> {
        let read = self
            .paths
            .pick(self.rng, |path| path.ty != BOOL && path.val.is_some());
        let neutral = if self.rng.one_in(2) {
            "(true && "
        } else {
            "(false || "
        };
        let in_set = self.rng.one_in(2);
        self.push(if in_set { "[" } else { "" });
        self.push(neutral);
        let val = read.and_then(|found| self.path(found));
        if val.is_none() {
            self.push("1");
        }
        self.push(if in_set { ")].contains(" } else { ") == " });
        self.literal(&val.unwrap_or(Val::Long(1)));
        self.push(if in_set { ")" } else { "" });
        None
    }

    /// An operation on two sets that are known before any request, with elements written twice.
    fn constant_sets(&mut self) -> Option<bool> {
        let mut numbers = || -> Vec<Val> {
            let count = self.rng.between(1, 4);
            let numbers = (0..count).map(|_| self.rng.below(5) as i64);
            numbers.map(Val::Long).collect()
        };
        let (left, mut right) = (numbers(), numbers());
        let method = self.rng.below(4);
        if method == 0 || self.rng.one_in(3) {
            // The same set, written differently.
            right.clone_from(&left);
            right.reverse();
            right.extend(left.first().filter(|_| self.rng.one_in(2)).cloned());
        }
        let operator = [" == ", ".containsAll(", ".containsAny(", ".containsAny("];
        let known = match method {
            0 => Val::Set(Arc::from(&*left)).same(&Val::Set(Arc::from(&*right))),
            _ => contains_some(&left, &right, method == 1),
        };
        self.literal(&Val::Set(Arc::from(left)));
        self.push(operator.get(method).copied().unwrap_or_default());
        self.literal(&Val::Set(Arc::from(right)));
        self.push(if method == 0 { "" } else { ")" });
        known
    }

    /// Sets that differ in one of many elements.
    fn late_element(&mut self) -> Option<bool> {
        let count = self.rng.between(7, 16) as i64;
        let with = |last: i64| {
            let numbers = (0..count).chain([last]).map(Val::Long);
            Val::Set(numbers.collect())
        };
        let unsure = self.unsure();
        let last = count + self.rng.below(2) as i64;
        if self.rng.one_in(2) {
            escape(self.out, format_args!("(if {unsure} then "));
            self.literal(&with(count));
            self.push(" else ");
            self.literal(&with(count + 1));
            escape(self.out, format_args!(").contains({last})"));
        } else {
            self.literal(&with(count));
            self.push(" == [");
            comma_separated(self.out, 0..count, |out, n| {
                escape(out, format_args!("{n}"))
            });
            escape(
                self.out,
                format_args!(", (if {unsure} then {last} else {count})]"),
            );
        }
        None
    }

    /// A record or set of the request, compared with one that evaluation builds of its parts.
    fn rebuilt(&mut self) -> Option<bool> {
        let paths = self.paths;
        let of_request = |path: &Path| match &path.val {
            Some(Val::Record(fields)) => !fields.is_empty(),
            Some(Val::Set(members)) => (1..8).contains(&members.len()),
            _ => false,
        };
        let within = |position: &usize| paths.source(*position).starts_with("context");
        let all = paths.all.iter().enumerate();
        let wanted = all.filter(|(_, path)| of_request(path)).map(|(n, _)| n);
        let wanted: Vec<usize> = wanted.filter(within).collect();
        let Some(found) = self.rng.pick(&wanted).copied() else {
            return self.constant_sets();
        };
        let val = self.path(found);
        self.push(" == ");
        match val? {
            Val::Record(fields) => {
                self.push("{");
                comma_separated(self.out, fields.iter(), |out, (name, _)| {
                    record_key(out, name, false);
                    out.push_str(": ");
                    out.push_str(paths.source(found));
                    access(out, name, false);
                });
                self.push("}");
            }
            Val::Set(members) => {
                let unsure = self.unsure();
                for (position, member) in members.iter().enumerate() {
                    self.push(if position == 0 { "[" } else { ", " });
                    if position > 0 {
                        self.literal(member);
                        continue;
                    }
                    escape(self.out, format_args!("(if {unsure} then "));
                    self.literal(member);
                    self.push(" else \"another\")");
                }
                self.push("]");
            }
            _ => {}
        }
        None
    }

    /// `in` a set that has other things than entities.
    fn mixed_list(&mut self) -> Option<bool> {
        let uid = self.world.any_uid(self.rng);
        let world = self.world;
        let is_entity = |path: &Path| matches!(world.model.types.get(path.ty), Ty::Entity(_));
        match self.paths.pick(self.rng, is_entity) {
            Some(found) => {
                self.path(found);
            }
            None => self.literal(&Val::Entity(uid)),
        }
        self.push(" in [");
        let mut elements: Vec<&str> = Vec::new();
        for _ in 0..self.rng.between(1, 3) {
            elements.push(self.one_of(NO_ENTITIES));
        }
        if self.rng.chance(70u32) {
            // The two types whose order in Cedar is not that of their declaration.
            elements = vec!["decimal(\"1.0\")", "datetime(\"1970-01-01\")"];
            elements.extend(self.rng.pick(&["duration(\"1d\")", "ip(\"::1\")"]));
        }
        let first = self.rng.below(elements.len());
        elements.rotate_left(first);
        for (position, element) in elements.iter().enumerate() {
            self.push(if position == 0 { "" } else { ", " });
            if self.rng.one_in(8) {
                self.literal(&Val::Entity(uid));
            } else {
                self.push(element);
            }
        }
        self.push("]");
        None
    }
}
