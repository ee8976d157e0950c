//! The pattern of a `like` expression.

use crate::fault::{Fault, planted};
use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// One element of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PatternElem {
    /// Exactly this character.
    Char(char),
    /// Any number of characters, also none: `*`.
    Wildcard,
}

/// A `like` pattern, kept as the literal texts between its wildcards.
///
/// `a*b**` is the segments `a`, `b`, the empty text, and the empty text: there is always one
/// segment more than there are wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// All segments, one after the other.
    text: Box<str>,
    /// Where each segment ends in `text`; never empty.
    ends: Box<[usize]>,
}

impl Pattern {
    /// The pattern with these elements.
    pub fn new(elems: impl IntoIterator<Item = PatternElem>) -> Self {
        let mut text = String::new();
        let mut ends = Vec::new();
        for elem in elems {
            match elem {
                PatternElem::Char(c) => text.push(c),
                PatternElem::Wildcard => ends.push(text.len()),
            }
        }
        ends.push(text.len());
        Self {
            text: text.into(),
            ends: ends.into(),
        }
    }

    /// The literal texts between the wildcards, at least one, each possibly empty.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator + Clone {
        self.ends.iter().enumerate().map(|(i, &end)| {
            let start = match i {
                0 => 0,
                _ => self.ends.get(i - 1).copied().unwrap_or(end),
            };
            self.text.get(start..end).unwrap_or("")
        })
    }

    /// The elements that the pattern was made of.
    pub fn elems(&self) -> impl Iterator<Item = PatternElem> + Clone {
        self.segments().enumerate().flat_map(|(i, segment)| {
            let star = (i > 0).then_some(PatternElem::Wildcard);
            star.into_iter()
                .chain(segment.chars().map(PatternElem::Char))
        })
    }

    /// Whether the whole of `text` matches.
    ///
    /// Takes each segment at the first place where it fits, which never rules out a match of the
    /// rest: O(n) for n bytes of text, plus O(m) for m bytes of pattern. Allocates nothing.
    /// Comparing bytes is comparing Unicode scalar values, since both are UTF-8.
    pub fn matches(&self, text: &str) -> bool {
        let mut segments = self.segments();
        let Some(first) = segments.next() else {
            return text.is_empty();
        };
        let Some(last) = segments.next_back() else {
            return text == first;
        };
        let Some(rest) = text.strip_prefix(first) else {
            return false;
        };
        let overlap = planted(Fault::PatternEndsOverlap) && segments.len() == 0;
        let rest = if overlap { text } else { rest };
        let Some(mut middle) = rest.strip_suffix(last) else {
            return false;
        };
        for segment in segments {
            if segment.is_empty() {
                continue;
            }
            let Some(found) = middle.find(segment) else {
                return false;
            };
            let used = if planted(Fault::SegmentUsedAgain) {
                1
            } else {
                segment.len()
            };
            middle = middle.get(found + used..).unwrap_or("");
        }
        true
    }

    /// The pattern that Cedar reads from `source`, the text between the quotes of a `like`.
    ///
    /// Accepts Cedar's string escapes and `\*`; `None` for anything that is not a well-formed
    /// string. The inverse of `Display`.
    pub fn parse(source: &str) -> Option<Self> {
        let mut elems = Vec::new();
        let mut chars = source.chars().peekable();
        while let Some(c) = chars.next() {
            elems.push(match c {
                '*' => PatternElem::Wildcard,
                '\\' => PatternElem::Char(parse_escape(&mut chars)?),
                '"' | '\r' => return None,
                c => PatternElem::Char(c),
            });
        }
        Some(Self::new(elems))
    }
}

/// The character that an escape stands for; the backslash is already consumed.
fn parse_escape(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    match chars.next()? {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        '0' => Some('\0'),
        c @ ('*' | '\\' | '\'' | '"') => Some(c),
        'x' => {
            let high = chars.next()?.to_digit(16)?;
            let low = chars.next()?.to_digit(16)?;
            // Cedar, as Rust, allows ASCII here and no more.
            (high < 8).then(|| char::from_u32(high * 16 + low))?
        }
        'u' => parse_unicode_escape(chars),
        _ => None,
    }
}

/// `{…}` with one to six hexadecimal digits and underscores between them.
fn parse_unicode_escape(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    if chars.next()? != '{' || chars.peek() == Some(&'_') {
        return None;
    }
    let (mut number, mut digits) = (0, 0);
    loop {
        match chars.next()? {
            '_' => {}
            '}' => break,
            c => {
                digits += 1;
                if digits > 6 {
                    return None;
                }
                number = number * 16 + c.to_digit(16)?;
            }
        }
    }
    (digits > 0).then(|| char::from_u32(number))?
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for elem in self.elems() {
            match elem {
                PatternElem::Wildcard => f.write_str("*")?,
                PatternElem::Char('*') => f.write_str("\\*")?,
                PatternElem::Char(c) => write!(f, "{}", c.escape_debug())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn literals_match_themselves_only() {
        assert!(like("", ""));
        assert!(!like("a", ""));
        assert!(like("abc", "abc"));
        assert!(!like("abcd", "abc"));
        assert!(like("*", "\\*"));
        assert!(!like("a", "\\*"));
    }

    #[test]
    fn wildcards_take_any_number_of_characters() {
        assert!(like("", "*"));
        assert!(like("", "***"));
        assert!(like("abc", "a*c"));
        assert!(like("ac", "a*c"));
        assert!(!like("a", "a*a"), "prefix and suffix must not overlap");
        assert!(like("aa", "a*a"));
        assert!(like("xaxbxcx", "*a*b*c*"));
        assert!(!like("xaxcxbx", "*a*b*c*"));
        assert!(like("abab", "*ab"));
        assert!(like("eclipse", "*e"));
        assert!(!like("ab", "*ab*b"));
    }

    #[test]
    fn characters_are_unicode_scalar_values() {
        assert!(like("äöü", "ä*ü"));
        assert!(like("👍🏽", "👍*"));
        assert!(!like("é", "e*"), "composed and decomposed differ");
        assert!(like("e\u{301}", "e*"));
    }

    #[test]
    fn repeated_near_misses_stay_cheap() {
        let text = "a".repeat(200_000);
        let pattern = Pattern::parse(&format!("{}b", "*a".repeat(1000))).unwrap();
        assert!(!pattern.matches(&text));
        let pattern = Pattern::parse(&format!("*{}b*", "a".repeat(1000))).unwrap();
        assert!(!pattern.matches(&text));
    }

    #[test]
    fn display_is_parsed_back() {
        for source in [
            "",
            "*",
            "**",
            "a*b",
            "\\*\\\\*",
            "\\n\\t\\r\\0\\'\\\"",
            "äb*\\u{301}",
            "\\u{1F600}\\x7f",
        ] {
            let pattern = Pattern::parse(source).unwrap();
            assert_eq!(Pattern::parse(&pattern.to_string()), Some(pattern));
        }
        let pattern = Pattern::new([
            PatternElem::Char('*'),
            PatternElem::Wildcard,
            PatternElem::Char('\\'),
        ]);
        assert_eq!(pattern.to_string(), "\\**\\\\");
        assert_eq!(pattern.elems().count(), 3);
    }

    #[test]
    fn malformed_sources_are_refused() {
        for source in [
            "\\",
            "\\q",
            "\\x",
            "\\x8",
            "\\x80",
            "\\xg0",
            "\\u",
            "\\u{",
            "\\u{}",
            "\\u{_1}",
            "\\u{1234567}",
            "\\u{d800}",
            "\\u{110000}",
            "\"",
            "\r",
        ] {
            assert_eq!(Pattern::parse(source), None, "{source}");
        }
    }
}
