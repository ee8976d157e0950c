//! Expressions of the core, written as Cedar and as terms of the model.

use cedarjit_tests::generator::Rng;

/// The number of an attribute's name, a tag's key or a string's text.
pub(crate) type Name = usize;

/// How many names there are: one for each [`Kind`], which is that of most values under the name.
pub(crate) const NAMES: usize = 6;

/// The type and number of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Uid(pub(crate) usize, pub(crate) usize);

/// The names of the entity types; the last is that of actions.
pub(crate) const TYPES: [&str; 3] = ["A", "B", "Action"];

/// How many entities of each type policies speak of.
pub(crate) const IDS: usize = 4;

impl Uid {
    pub(crate) fn any(rng: &mut Rng) -> Self {
        Self(rng.below(TYPES.len()), rng.below(IDS))
    }

    pub(crate) fn id(self) -> String {
        format!("e{}", self.1)
    }

    pub(crate) fn cedar(self) -> String {
        format!("{}::\"{}\"", TYPES[self.0], self.id())
    }

    pub(crate) fn coq(self) -> String {
        format!("(Entity {} {})", self.0, self.1)
    }
}

/// What an expression is meant to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Long,
    Text,
    Entity,
    Set,
    Record,
}

pub(crate) const KINDS: [Kind; NAMES] = [
    Kind::Bool,
    Kind::Long,
    Kind::Text,
    Kind::Entity,
    Kind::Set,
    Kind::Record,
];

/// Integers at which something may happen.
pub(crate) const LONGS: [i64; 10] = [
    0,
    1,
    2,
    -1,
    7,
    3_037_000_500,
    1 << 62,
    i64::MAX,
    i64::MIN,
    i64::MIN + 1,
];

/// An operator: its Cedar text, and the model's with whether the result is negated.
type Operator = (&'static str, &'static str, bool);

const EQUALITY: [Operator; 2] = [("==", "Eq", false), ("!=", "Eq", true)];
const ORDER: [Operator; 4] = [
    ("<", "Less", false),
    ("<=", "LessEq", false),
    (">", "LessEq", true),
    (">=", "Less", true),
];
const ARITHMETIC: [Operator; 3] = [
    ("+", "Add", false),
    ("-", "Sub", false),
    ("*", "Mul", false),
];
const IN: Operator = ("in", "InOp", false);
const SETS: [Operator; 2] = [
    ("containsAll", "ContainsAll", false),
    ("containsAny", "ContainsAny", false),
];
const CONTAINS: Operator = ("contains", "Contains", false);
const HAS_TAG: Operator = ("hasTag", "HasTag", false);
const GET_TAG: Operator = ("getTag", "GetTag", false);

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Bool(bool),
    Long(i64),
    Text(Name),
    Uid(Uid),
    Var(&'static str),
    Not(Box<Expr>),
    Neg(Box<Expr>),
    IsEmpty(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    Get(Box<Expr>, Name),
    Has(Box<Expr>, Vec<Name>),
    Is(Box<Expr>, usize, Option<Box<Expr>>),
    Set(Vec<Expr>),
    Record(Vec<(Name, Expr)>),
}

fn joined<T>(items: &[T], separator: &str, text: impl Fn(&T) -> String) -> String {
    let texts: Vec<_> = items.iter().map(text).collect();
    texts.join(separator)
}

/// A list in the syntax of the model.
pub(crate) fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    format!("[{}]", joined(items, "; ", text))
}

impl Expr {
    /// The expression in Cedar's syntax.
    pub(crate) fn cedar(&self) -> String {
        match self {
            Self::Bool(b) => b.to_string(),
            Self::Long(i) => format!("({i})"),
            Self::Text(s) => format!("\"k{s}\""),
            Self::Uid(uid) => uid.cedar(),
            Self::Var(var) => var.to_lowercase(),
            Self::Not(a) => format!("(!{})", a.cedar()),
            Self::Neg(a) => format!("(-({}))", a.cedar()),
            Self::IsEmpty(a) => format!("({}).isEmpty()", a.cedar()),
            Self::Binary((op, ..), a, b) if op.starts_with(char::is_alphabetic) && *op != "in" => {
                format!("({}).{op}({})", a.cedar(), b.cedar())
            }
            Self::Binary((op, ..), a, b) => format!("({} {op} {})", a.cedar(), b.cedar()),
            Self::And(items) => format!("({})", joined(items, " && ", Self::cedar)),
            Self::Or(items) => format!("({})", joined(items, " || ", Self::cedar)),
            Self::If(c, t, e) => {
                let (c, t, e) = (c.cedar(), t.cedar(), e.cedar());
                format!("(if {c} then {t} else {e})")
            }
            Self::Get(e, k) => format!("({}).k{k}", e.cedar()),
            Self::Has(e, path) => {
                let path = joined(path, ".", |k| format!("k{k}"));
                format!("(({}) has {path})", e.cedar())
            }
            Self::Is(e, ty, within) => {
                let within = within.as_ref();
                let within = within.map_or(String::new(), |o| format!(" in {}", o.cedar()));
                format!("(({}) is {}{within})", e.cedar(), TYPES[*ty])
            }
            Self::Set(items) => format!("[{}]", joined(items, ", ", Self::cedar)),
            Self::Record(fields) => {
                let fields = joined(fields, ", ", |(k, e)| format!("\"k{k}\": {}", e.cedar()));
                format!("{{{fields}}}")
            }
        }
    }

    /// The expression as a term of the model.
    pub(crate) fn coq(&self) -> String {
        match self {
            Self::Bool(b) => format!("(bool {b})"),
            Self::Long(i) => format!("(long ({i}))"),
            Self::Text(s) => format!("(text {s})"),
            Self::Uid(Uid(ty, id)) => format!("(uid {ty} {id})"),
            Self::Var(var) => format!("(Var {var})"),
            Self::Not(a) => format!("(Unary Not {})", a.coq()),
            Self::Neg(a) => format!("(Unary Neg {})", a.coq()),
            Self::IsEmpty(a) => format!("(Unary IsEmpty {})", a.coq()),
            Self::Binary((_, op, negated), a, b) => {
                let plain = format!("(Binary {op} {} {})", a.coq(), b.coq());
                match negated {
                    true => format!("(Unary Not {plain})"),
                    false => plain,
                }
            }
            Self::And(items) => format!("(And {})", list(items, Self::coq)),
            Self::Or(items) => format!("(Or {})", list(items, Self::coq)),
            Self::If(c, t, e) => format!("(If {} {} {})", c.coq(), t.coq(), e.coq()),
            Self::Get(e, k) => format!("(get {} {k})", e.coq()),
            Self::Has(e, path) => {
                format!("(has {} {}%N)", e.coq(), list(path, Name::to_string))
            }
            Self::Is(e, ty, None) => format!("(is {} {ty})", e.coq()),
            Self::Is(e, ty, Some(within)) => {
                format!("(is_within {} {ty} {})", e.coq(), within.coq())
            }
            Self::Set(items) => format!("(SetOf {})", list(items, Self::coq)),
            Self::Record(fields) => {
                // Evaluated in the order of the keys' texts.
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(k, _)| *k);
                let fields = list(&fields, |(k, e)| format!("({k}%N, {})", e.coq()));
                format!("(RecordOf {fields})")
            }
        }
    }
}

fn pick<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    items[rng.below(items.len())]
}

/// An expression that mostly comes to a value of this kind, of at most this depth.
pub(crate) fn expr(rng: &mut Rng, kind: Kind, depth: usize) -> Expr {
    let kind = match rng.one_in(30) {
        true => pick(rng, &KINDS),
        false => kind,
    };
    if depth == 0 || rng.one_in(8) {
        return leaf(rng, kind);
    }
    let general = rng.below(10);
    match kind {
        _ if general == 0 => Expr::If(
            boxed(rng, Kind::Bool, depth),
            boxed(rng, kind, depth),
            boxed(rng, kind, depth),
        ),
        _ if general == 1 => binary(rng, GET_TAG, Kind::Entity, Kind::Text, depth),
        _ if general < 5 && kind != Kind::Bool => {
            let base = base(rng, depth);
            Expr::Get(base, name_of(rng, kind))
        }
        Kind::Bool => condition(rng, depth),
        Kind::Long if rng.one_in(4) => Expr::Neg(boxed(rng, Kind::Long, depth)),
        Kind::Long => {
            let op = pick(rng, &ARITHMETIC);
            binary(rng, op, Kind::Long, Kind::Long, depth)
        }
        Kind::Text | Kind::Entity => leaf(rng, kind),
        Kind::Set => {
            let of = pick(rng, &KINDS);
            Expr::Set(many(rng, of, 0, depth))
        }
        Kind::Record => {
            let mut fields = Vec::new();
            let mut keys: Vec<Name> = (0..NAMES).collect();
            while !keys.is_empty() && rng.chance(60_u32) {
                let key = keys.swap_remove(rng.below(keys.len()));
                fields.push((key, expr(rng, KINDS[key], depth - 1)));
            }
            Expr::Record(fields)
        }
    }
}

fn boxed(rng: &mut Rng, kind: Kind, depth: usize) -> Box<Expr> {
    Box::new(expr(rng, kind, depth - 1))
}

fn binary(rng: &mut Rng, op: Operator, left: Kind, right: Kind, depth: usize) -> Expr {
    Expr::Binary(op, boxed(rng, left, depth), boxed(rng, right, depth))
}

fn many(rng: &mut Rng, kind: Kind, least: usize, depth: usize) -> Vec<Expr> {
    let count = rng.between(least, least + 2);
    (0..count).map(|_| expr(rng, kind, depth - 1)).collect()
}

/// What has attributes.
fn base(rng: &mut Rng, depth: usize) -> Box<Expr> {
    let kind = pick(rng, &[Kind::Entity, Kind::Record]);
    boxed(rng, kind, depth)
}

/// The name under which values of a kind are, mostly.
fn name_of(rng: &mut Rng, kind: Kind) -> Name {
    let own = KINDS.iter().position(|k| *k == kind).unwrap_or(0);
    if rng.one_in(10) {
        rng.below(NAMES)
    } else {
        own
    }
}

fn condition(rng: &mut Rng, depth: usize) -> Expr {
    match rng.below(15) {
        0 => Expr::Not(boxed(rng, Kind::Bool, depth)),
        1 | 2 => Expr::And(many(rng, Kind::Bool, 2, depth)),
        3 => Expr::Or(many(rng, Kind::Bool, 2, depth)),
        4 | 5 => {
            let (op, kind) = (pick(rng, &EQUALITY), pick(rng, &KINDS));
            binary(rng, op, kind, kind, depth)
        }
        6 | 7 => {
            let op = pick(rng, &ORDER);
            binary(rng, op, Kind::Long, Kind::Long, depth)
        }
        8 => {
            let left = boxed(rng, Kind::Entity, depth);
            let right = match rng.one_in(3) {
                true => Box::new(Expr::Set(many(rng, Kind::Entity, 0, depth))),
                false => boxed(rng, Kind::Entity, depth),
            };
            Expr::Binary(IN, left, right)
        }
        9 => Expr::Has(base(rng, depth), path(rng)),
        10 => {
            let within = rng.one_in(2).then(|| boxed(rng, Kind::Entity, depth));
            let ty = rng.below(TYPES.len());
            Expr::Is(boxed(rng, Kind::Entity, depth), ty, within)
        }
        11 => {
            let kind = pick(rng, &KINDS);
            binary(rng, CONTAINS, Kind::Set, kind, depth)
        }
        12 => match rng.one_in(3) {
            true => Expr::IsEmpty(boxed(rng, Kind::Set, depth)),
            false => {
                let op = pick(rng, &SETS);
                binary(rng, op, Kind::Set, Kind::Set, depth)
            }
        },
        13 => binary(rng, HAS_TAG, Kind::Entity, Kind::Text, depth),
        _ => guarded(rng, depth),
    }
}

/// `e has k && …`, where what follows reads `e.k`.
fn guarded(rng: &mut Rng, depth: usize) -> Expr {
    let base = base(rng, depth);
    let key = rng.below(NAMES);
    let read = Box::new(Expr::Get(base.clone(), key));
    let other = boxed(rng, KINDS[key], depth);
    let test = Expr::Binary(pick(rng, &EQUALITY), read, other);
    Expr::And(vec![Expr::Has(base, vec![key]), test])
}

fn path(rng: &mut Rng) -> Vec<Name> {
    let mut path = Vec::new();
    while path.len() < 2 && rng.one_in(3) {
        path.push(pick(rng, &[3, 5]));
    }
    path.push(rng.below(NAMES));
    path
}

fn leaf(rng: &mut Rng, kind: Kind) -> Expr {
    match kind {
        Kind::Bool => Expr::Bool(rng.one_in(2)),
        Kind::Long => Expr::Long(pick(rng, &LONGS)),
        Kind::Text => Expr::Text(rng.below(NAMES)),
        Kind::Entity if rng.one_in(2) => Expr::Var(pick(rng, &["Principal", "Action", "Resource"])),
        Kind::Entity => Expr::Uid(Uid::any(rng)),
        Kind::Set => Expr::Set(Vec::new()),
        Kind::Record => Expr::Var("Context"),
    }
}
