//! Names, ids, strings and numbers to draw from.

use super::extensions::Ext;
use super::knobs::Knobs;
use super::rng::Rng;
use std::sync::Arc;

pub(super) const NAMESPACES: &[&str] = &["App", "Acme::Core", "_n", "N1::N2::N3"];

pub(super) const TYPES: &[&str] = &[
    "User", "Team", "Doc", "Folder", "Org", "Device", "List", "Role", "Issue",
];

/// Cedar's keywords that may still name a type, and other identifiers that are easily mistaken.
pub(super) const ODD_TYPES: &[&str] = &[
    "_",
    "__x",
    "permit",
    "forbid",
    "when",
    "unless",
    "principal",
    "resource",
    "context",
    "decimal",
    "A1_b",
    "Entity_",
    "aVeryLongTypeNameThatGoesOnAndOnAndOnAndOnAndOnAndOnAndOnAndOn",
];

pub(super) const ACTIONS: &[&str] = &["view", "edit", "share", "delete", "create", "list"];

pub(super) const GROUPS: &[&str] = &["read", "write", "any"];

pub(super) const ATTRIBUTES: &[&str] = &[
    "age", "name", "owner", "team", "level", "active", "addr", "cost", "since", "meta", "limits",
    "members", "labels",
];

pub(super) const ODD_ATTRIBUTES: &[&str] = &[
    "if",
    "in",
    "is",
    "has",
    "like",
    "true",
    "then",
    "__cedar",
    "has space",
    "",
    " ",
    "principal",
    "context",
    "permit",
    "type",
    "id",
    "fn",
    "arg",
    "a.b",
    "a\"b",
    "back\\slash",
    "new\nline",
    "tab\t",
    "nul\0",
    "star*",
    "é",
    "e\u{301}",
    "日本",
    "🦀",
    "ß",
    "9lives",
    "-",
    "_",
    "A",
];

pub(super) const IDS: &[&str] = &["a", "b", "c", "d", "alice", "bob", "x1", "root"];

/// Ids, strings and tag keys that are easily cut, folded, escaped or normalised wrongly.
pub(super) const ODD_STRINGS: &[&str] = &[
    "",
    " ",
    "a ",
    " a",
    "A",
    "a*b",
    "*",
    "**",
    "\\",
    "\\*",
    "\"",
    "'",
    "\n",
    "\r\n",
    "\0",
    "a\0b",
    "\u{7f}",
    "é",
    "e\u{301}",
    "ſ",
    "ß",
    "İ",
    "日本語",
    "🦀",
    "👩‍👩‍👧‍👦",
    "\u{feff}x",
    "\u{202e}abc",
    "\u{10ffff}",
    "User::\"a\"",
    "::",
    "?principal",
    "${x}",
    "%s",
    "true",
    "0",
    "null",
    "__entity",
    "loooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooong",
];

pub(super) const WORDS: &[&str] = &["red", "green", "blue", "ab", "abc", "abcabc", "b"];

pub(super) const EDGE_LONGS: &[i64] = &[
    i64::MIN,
    i64::MIN + 1,
    i64::MAX,
    i64::MAX - 1,
    i64::MIN / 2,
    i64::MAX / 2 + 1,
    3_037_000_500,
    -3_037_000_500,
    4_294_967_296,
    2_147_483_648,
    -2_147_483_649,
];

/// What one world draws its constants from: small pools, so that things are often equal.
#[derive(Debug, Clone)]
pub(super) struct Pools {
    pub(super) strings: Vec<Arc<str>>,
    pub(super) longs: Vec<i64>,
    extensions: [Vec<Arc<str>>; 4],
    pub(super) attributes: Vec<Arc<str>>,
    pub(super) tag_keys: Vec<Arc<str>>,
}

impl Pools {
    pub(super) fn new(rng: &mut Rng, knobs: &Knobs) -> Self {
        let mut strings = sample(rng, WORDS, 4);
        if rng.chance(knobs.odd_strings) {
            strings.extend(sample(rng, ODD_STRINGS, 4));
        }
        let extensions = Ext::ALL.map(|ext| sample(rng, ext.valid(), 5));
        for (pool, ext) in extensions.iter().zip(Ext::ALL) {
            if rng.chance(knobs.extensions) {
                strings.extend(pool.iter().take(2).cloned());
                strings.extend(sample(rng, ext.invalid(), 1));
            }
        }
        let mut longs: Vec<i64> = (0..4).map(|_| rng.below(12) as i64 - 3).collect();
        if rng.chance(u32::from(knobs.overflow) * 3) {
            longs.extend((0..2).filter_map(|_| rng.pick(EDGE_LONGS).copied()));
        }
        let attributes = (0..9).map(|_| name(rng, knobs, ATTRIBUTES, ODD_ATTRIBUTES));
        let attributes: Vec<Arc<str>> = attributes.collect();
        let tag_keys = (0..4).map(|_| name(rng, knobs, WORDS, ODD_STRINGS));
        let mut tag_keys: Vec<Arc<str>> = tag_keys.collect();
        // Tags are no attributes, even if they are called the same.
        tag_keys.extend((0..2).filter_map(|_| rng.pick(&attributes).cloned()));
        Self {
            strings,
            longs,
            extensions,
            attributes,
            tag_keys,
        }
    }

    pub(super) fn string(&self, rng: &mut Rng) -> Arc<str> {
        rng.pick(&self.strings).cloned().unwrap_or_default()
    }

    pub(super) fn long(&self, rng: &mut Rng) -> i64 {
        rng.pick(&self.longs).copied().unwrap_or_default()
    }

    /// A string that the constructor of `ext` takes.
    pub(super) fn extension(&self, rng: &mut Rng, ext: Ext) -> Arc<str> {
        let pool = self.extensions.get(ext as usize);
        pool.and_then(|pool| rng.pick(pool))
            .cloned()
            .unwrap_or_default()
    }

    pub(super) fn attribute(&self, rng: &mut Rng) -> Arc<str> {
        rng.pick(&self.attributes).cloned().unwrap_or_default()
    }

    pub(super) fn tag_key(&self, rng: &mut Rng) -> Arc<str> {
        rng.pick(&self.tag_keys).cloned().unwrap_or_default()
    }
}

/// One of `plain`, or with the knob's chance one of `odd`.
pub(super) fn name(rng: &mut Rng, knobs: &Knobs, plain: &[&str], odd: &[&str]) -> Arc<str> {
    let from = if rng.chance(knobs.odd_names) {
        odd
    } else {
        plain
    };
    Arc::from(rng.pick(from).copied().unwrap_or_default())
}

fn sample(rng: &mut Rng, from: &[&str], count: usize) -> Vec<Arc<str>> {
    (0..count)
        .filter_map(|_| rng.pick(from))
        .map(|text| Arc::from(*text))
        .collect()
}
