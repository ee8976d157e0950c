//! Calls of extension functions whose arguments only the evaluation knows, and calls with a wrong
//! number of arguments.

use super::expr::Writer;
use super::extensions::Ext;
use super::text::{cedar_string, escape};

/// What a method makes of its receiver.
#[derive(Debug, Clone, Copy)]
enum Makes {
    Bool,
    Long,
    Ext(Ext),
}

/// A method: its name, its receiver, the type of its argument if it takes one, and its result.
type Method = (&'static str, Ext, Option<Ext>, Makes);

const METHODS: &[Method] = &[
    ("lessThan", Ext::Decimal, Some(Ext::Decimal), Makes::Bool),
    (
        "lessThanOrEqual",
        Ext::Decimal,
        Some(Ext::Decimal),
        Makes::Bool,
    ),
    ("greaterThan", Ext::Decimal, Some(Ext::Decimal), Makes::Bool),
    (
        "greaterThanOrEqual",
        Ext::Decimal,
        Some(Ext::Decimal),
        Makes::Bool,
    ),
    ("isIpv4", Ext::Ip, None, Makes::Bool),
    ("isIpv6", Ext::Ip, None, Makes::Bool),
    ("isLoopback", Ext::Ip, None, Makes::Bool),
    ("isMulticast", Ext::Ip, None, Makes::Bool),
    ("isInRange", Ext::Ip, Some(Ext::Ip), Makes::Bool),
    (
        "offset",
        Ext::Datetime,
        Some(Ext::Duration),
        Makes::Ext(Ext::Datetime),
    ),
    (
        "durationSince",
        Ext::Datetime,
        Some(Ext::Datetime),
        Makes::Ext(Ext::Duration),
    ),
    ("toDate", Ext::Datetime, None, Makes::Ext(Ext::Datetime)),
    ("toTime", Ext::Datetime, None, Makes::Ext(Ext::Duration)),
    ("toMilliseconds", Ext::Duration, None, Makes::Long),
    ("toSeconds", Ext::Duration, None, Makes::Long),
    ("toMinutes", Ext::Duration, None, Makes::Long),
    ("toHours", Ext::Duration, None, Makes::Long),
    ("toDays", Ext::Duration, None, Makes::Long),
];

/// The methods of datetimes, which overflow only for the ends of time.
const DATETIMES: std::ops::Range<usize> = 9..13;

/// Conditions that hold for some requests, so that what depends on one is no constant.
const UNSURE: &[&str] = &[
    "principal == resource",
    "principal != resource",
    "action in principal",
    "context == {}",
    "context != {}",
    "action == action",
];

impl Writer<'_> {
    /// Writes a Boolean expression around a call of a method on computed values.
    pub(super) fn computed_call(&mut self) -> Option<bool> {
        let position = match self.rng.one_in(8) {
            true => self.rng.between(DATETIMES.start, DATETIMES.end - 1),
            false => self.rng.below(METHODS.len()),
        };
        let method = METHODS.get(position).copied();
        let (name, receiver, argument, makes) = method?;
        self.push("(");
        if self.rng.chance(self.knobs.wrong_arity) {
            self.wrong_arity(name, receiver, argument);
        } else {
            self.computed(receiver);
            escape(self.out, format_args!(".{name}("));
            if let Some(argument) = argument {
                self.computed(argument);
            }
            self.push(")");
        }
        match makes {
            Makes::Bool => {}
            Makes::Long => {
                let operator = self.rng.pick(&[" < ", " >= ", " == ", " != "]).copied();
                self.push(operator.unwrap_or(" < "));
                let bound = self.rng.below(200);
                escape(self.out, format_args!("{bound}"));
            }
            Makes::Ext(ext) => {
                let operator = self.rng.pick(&[" < ", " >= ", " == ", " != "]).copied();
                self.push(operator.unwrap_or(" < "));
                self.computed(ext);
            }
        }
        self.push(")");
        None
    }

    /// Writes an extension value that is not a constant.
    fn computed(&mut self, ext: Ext) {
        match (self.rng.below(16), ext) {
            // The ends of time.
            (0..=5, Ext::Datetime) => {
                self.push("datetime(\"1970-01-01\").offset(");
                let end = ["9223372036854775807ms", "-9223372036854775808ms"];
                let end = self.rng.pick(&end).copied().unwrap_or_default();
                self.constructor(Ext::Duration, end, end);
                self.push(")");
            }
            (6..=7, _) => {
                self.push(ext.constructor());
                self.push("(");
                self.failing();
                self.push(")");
            }
            _ => {
                let first = self.text_for(ext);
                let second = self.text_for(ext);
                self.constructor(ext, first, second);
            }
        }
    }

    fn text_for(&mut self, ext: Ext) -> &'static str {
        let pool = match self.rng.chance(self.knobs.bad_extensions) {
            true => ext.invalid(),
            false => ext.valid(),
        };
        self.rng.pick(pool).copied().unwrap_or_default()
    }

    /// A condition that is no constant.
    pub(super) fn unsure(&mut self) -> &'static str {
        self.rng.pick(UNSURE).copied().unwrap_or("true")
    }

    /// Writes a constructor that gets one of two texts.
    pub(super) fn constructor(&mut self, ext: Ext, first: &str, second: &str) {
        self.push(ext.constructor());
        let unsure = self.unsure();
        escape(self.out, format_args!("(if {unsure} then "));
        cedar_string(self.out, first, false);
        self.push(" else ");
        cedar_string(self.out, second, false);
        self.push(")");
    }

    /// Writes a call of the method, or of its receiver's constructor, with too few or too many
    /// arguments: Cedar parses these, and fails to evaluate them.
    fn wrong_arity(&mut self, name: &str, receiver: Ext, argument: Option<Ext>) {
        if self.rng.one_in(3) {
            self.push(receiver.constructor());
            self.push("(");
            if self.rng.one_in(2) {
                cedar_string(self.out, "1.0", false);
                self.push(", principal");
            }
            self.push(")");
            return;
        }
        // Arguments that do not fail themselves.
        let plain = |ext: Ext| ext.valid().first().copied().unwrap_or_default();
        self.constructor(receiver, plain(receiver), plain(receiver));
        escape(self.out, format_args!(".{name}("));
        match argument {
            None => self.push("1"),
            Some(_) if self.rng.one_in(2) => {}
            Some(argument) => {
                self.constructor(argument, plain(argument), plain(argument));
                self.push(", 1");
            }
        }
        self.push(")");
    }
}
