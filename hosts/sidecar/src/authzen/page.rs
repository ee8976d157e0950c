//! Results page by page.
//!
//! A token says which page comes next: of which engine, for which question, and behind which result.
//! It holds nothing secret, and nothing is believed of it: a wrong one begins elsewhere in the same
//! results, or is refused.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::request::{Object, object};
use crate::api::{ApiError, field};

/// Which part of the results is asked for.
pub(super) struct Page {
    /// The most results.
    pub(super) limit: usize,
    /// The uid behind which to begin.
    pub(super) after: Option<String>,
    /// Whether pages are spoken of at all.
    asked: bool,
    /// What the token must begin with: the engine and the question.
    of: u64,
}

impl Page {
    /// Reads what is said about pages. `generation` is the engine's, `most` the largest page.
    pub(super) fn read(request: &Object, generation: u64, most: usize) -> Result<Self, ApiError> {
        let page = object(request, "page", "page")?;
        let limit = match page.and_then(|page| page.get("limit")) {
            None => most,
            Some(limit) => match limit.as_u64() {
                // No page is empty, or there would be no end of them.
                Some(limit) => usize::try_from(limit).map_or(most, |l| l.clamp(1, most)),
                None => return Err(field("page.limit", "must be a whole number, 0 or more")),
            },
        };
        let token = match page.and_then(|page| page.get("token").or(page.get("next_token"))) {
            None => "",
            Some(Value::String(token)) => token,
            Some(_) => return Err(field("page.token", "must be a string")),
        };
        let of = fingerprint(request, generation, limit);
        Ok(Self {
            limit,
            after: match token {
                "" => None,
                token => Some(open(token, of).ok_or_else(stale)?),
            },
            asked: page.is_some(),
            of,
        })
    }

    /// The answer with these results, `next` being the uid behind which there may be more.
    pub(super) fn answer(&self, results: Vec<Value>, next: Option<&str>) -> Value {
        let token = next.map(|uid| seal(self.of, uid)).unwrap_or_default();
        match self.asked || next.is_some() {
            true => {
                let count = results.len();
                json!({ "page": { "next_token": token, "count": count }, "results": results })
            }
            false => json!({ "results": results }),
        }
    }
}

/// What a token that leads nowhere is answered by.
pub(super) fn stale() -> ApiError {
    field(
        "page.token",
        "is none of this search, or policies and entities were loaded anew since; search again",
    )
}

/// A number that is the same for the same question to the same engine.
fn fingerprint(request: &Object, generation: u64, limit: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (generation, limit).hash(&mut hasher);
    for part in ["subject", "action", "resource", "context"] {
        match request.get(part) {
            Some(part) => part.to_string().hash(&mut hasher),
            None => 0_u8.hash(&mut hasher),
        }
    }
    hasher.finish()
}

fn seal(of: u64, uid: &str) -> String {
    let mut token = format!("{of:016x}");
    for byte in uid.bytes() {
        token.push_str(&format!("{byte:02x}"));
    }
    token
}

fn open(token: &str, of: u64) -> Option<String> {
    let hex = token.strip_prefix(&format!("{of:016x}"))?;
    let digits: Option<Vec<u8>> = (hex.chars())
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect();
    let (pairs, []) = digits.as_deref()?.as_chunks::<2>() else {
        return None;
    };
    String::from_utf8(pairs.iter().map(|[high, low]| high * 16 + low).collect()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_to_their_own_question_only() {
        let token = seal(7, "User::\"é\"");
        assert_eq!(open(&token, 7).as_deref(), Some("User::\"é\""));
        assert_eq!(open(&token, 8), None);
        for bad in [
            "",
            "x",
            &token[1..],
            &format!("{token}0"),
            &format!("{token}zz"),
        ] {
            assert_eq!(open(bad, 7), None);
        }
    }
}
