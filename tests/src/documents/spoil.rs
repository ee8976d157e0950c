//! Spoiling documents: small changes that break a text, or nearly.

use crate::generator::Rng;
use serde_json::{Value, json};

/// What is put into texts.
const TOKENS: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ",",
    ";",
    ":",
    "::",
    ".",
    "@",
    "?",
    "!",
    "-",
    "==",
    "&&",
    "||",
    "in",
    "is",
    "has",
    "like",
    "if",
    "then",
    "else",
    "true",
    "null",
    "0",
    "9223372036854775808",
    "-9223372036854775809",
    "1.5",
    "1e3",
    "\\ud800",
    "\\u{110000}",
    "\\x80",
    "\u{0}",
    "é",
    "🦀",
    "//",
    "/*",
    "__cedar",
    "__entity",
    "principal",
    "?principal",
    "decimal(\"1\")",
    "{\"a\": 1, \"a\": 2}",
    "required",
    "unless { false }",
    "= ",
    " ",
];

/// What is put in the place of JSON values.
fn odd_values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(9_223_372_036_854_775_808_u64),
        json!(""),
        json!("nobody"),
        json!("Nothing::\"a\""),
        json!("a b"),
        json!([]),
        json!({}),
        json!([1, "a", true]),
        json!({"type": "Nothing", "id": "a"}),
        json!({"__entity": {"type": "Nothing", "id": "a"}}),
        json!({"__entity": {"type": "a b", "id": "a"}}),
        json!({"__extn": {"fn": "ip", "arg": "nowhere"}}),
        json!({"__extn": {"fn": "decimal", "arg": "1.0"}}),
        json!({"__extn": {"fn": "nothing", "arg": "1.0"}}),
        json!({"__expr": "1"}),
        json!({"unknown": "a"}),
    ]
}

/// The text with one to three changes anywhere.
pub(super) fn text(rng: &mut Rng, source: &str) -> String {
    let mut chars: Vec<char> = source.chars().collect();
    for _ in 0..rng.between(1, 3) {
        let from = rng.below(chars.len());
        let to = (from + rng.between(1, 12)).min(chars.len());
        match rng.below(6) {
            0 => drop(chars.drain(from..to)),
            1 => {
                let copy: Vec<char> = chars.get(from..to).unwrap_or_default().to_vec();
                chars.splice(from..from, copy);
            }
            2 if from < chars.len() => {
                let other = rng.below(chars.len());
                chars.swap(from, other);
            }
            3 if from < chars.len() => drop(chars.remove(from)),
            _ => {
                let token = rng.pick(TOKENS).copied().unwrap_or_default();
                chars.splice(from..from, token.chars());
            }
        }
    }
    chars.into_iter().collect()
}

/// The JSON text with one to three values, keys or elements changed, dropped or doubled; texts that
/// are no JSON are spoiled as texts.
pub(super) fn json_text(rng: &mut Rng, source: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(source) else {
        return text(rng, source);
    };
    for _ in 0..rng.between(1, 2) {
        change(rng, &mut value);
    }
    value.to_string()
}

/// Changes something at a random place below `value`.
fn change(rng: &mut Rng, value: &mut Value) {
    if rng.one_in(6) {
        return replace(rng, value);
    }
    match value {
        Value::Array(items) if !items.is_empty() => {
            let at = rng.below(items.len());
            match rng.below(12) {
                0 => drop(items.remove(at)),
                1 => items.extend(items.get(at).cloned()),
                2 => {
                    let mut changed = items.get(at).cloned().unwrap_or_default();
                    change(rng, &mut changed);
                    items.push(changed);
                }
                _ => items
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|v| change(rng, v)),
            }
        }
        Value::Object(fields) if !fields.is_empty() => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let name = rng.pick(&names).cloned().unwrap_or_default();
            match rng.below(10) {
                0 => drop(fields.remove(&name)),
                1 => {
                    let moved = fields.remove(&name).unwrap_or_default();
                    fields.insert(format!("{name}x"), moved);
                }
                2 => {
                    let other = rng
                        .pick(&names)
                        .and_then(|other| fields.get(other).cloned());
                    fields.insert(name, other.unwrap_or_default());
                }
                _ => {
                    if let Some(field) = fields.get_mut(&name) {
                        change(rng, field);
                    }
                }
            }
        }
        _ => replace(rng, value),
    }
}

fn replace(rng: &mut Rng, value: &mut Value) {
    let odd = odd_values();
    *value = match value {
        Value::String(text) if rng.one_in(2) => Value::String(self::text(rng, text)),
        _ => rng.pick(&odd).cloned().unwrap_or_default(),
    };
}
