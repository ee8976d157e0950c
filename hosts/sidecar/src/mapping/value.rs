//! What a mapping makes of what it finds: text for uids, typed values for the context.

use std::fmt;

use serde_json::Value;

use super::problem::{MappingProblem, Refusal};
use super::source::{Found, Look, Source};

/// The types of context attributes that a mapping can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A string.
    String,
    /// A whole number of 64 bits.
    Long,
    /// `true` or `false`.
    Bool,
    /// A set of strings.
    Set,
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Long => "long",
            Self::Bool => "bool",
            Self::Set => "set",
        })
    }
}

/// Text with sources in it, `{path.owner}/{path.name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextTemplate {
    parts: Vec<TextPart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TextPart {
    Literal(String),
    Source(Source),
}

impl TextTemplate {
    /// Reads a template. Two braces stand for one.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, MappingProblem> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    literal.push(c);
                }
                '{' => {
                    if !literal.is_empty() {
                        parts.push(TextPart::Literal(std::mem::take(&mut literal)));
                    } else if !parts.is_empty() {
                        return Err(MappingProblem::SideBySide);
                    }
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some('{') | None => return Err(MappingProblem::Brace),
                            Some(c) => name.push(c),
                        }
                    }
                    parts.push(TextPart::Source(Source::parse(&name)?));
                }
                '}' => return Err(MappingProblem::Brace),
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            parts.push(TextPart::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// What it takes from a request.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.parts.iter().filter_map(|part| match part {
            TextPart::Literal(_) => None,
            TextPart::Source(source) => Some(source),
        })
    }

    /// The source, if it is one and nothing else.
    pub fn only_source(&self) -> Option<&Source> {
        match self.parts.as_slice() {
            [TextPart::Source(source)] => Some(source),
            _ => None,
        }
    }

    /// The text for a request. Different values of its sources give different texts: what a source
    /// gives may not contain the text that is written after it.
    ///
    /// # Errors
    /// When a source is missing, which is [`Failed::Missing`], or has no text that is clear.
    pub fn text(&self, look: &Look<'_>) -> Result<String, Failed> {
        let mut text = String::new();
        for (i, part) in self.parts.iter().enumerate() {
            let source = match part {
                TextPart::Literal(literal) => {
                    text.push_str(literal);
                    continue;
                }
                TextPart::Source(source) => source,
            };
            let found = look.one(source)?.ok_or_else(|| missing(source))?;
            let value = found
                .into_text()
                .ok_or_else(|| mistyped(source, ValueType::String))?;
            if let Some(TextPart::Literal(next)) = self.parts.get(i + 1)
                && i + 2 < self.parts.len()
                && format!("{value}{next}").find(next.as_str()) != Some(value.len())
            {
                return Err(Failed::Refused(Refusal::Unclear(source.clone())));
            }
            text.push_str(&value);
        }
        Ok(text)
    }
}

/// Why there is no value.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// The request does not have it.
    Missing(Source),
    /// It is there, and is not to be used.
    Refused(Refusal),
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn missing(source: &Source) -> Failed {
    Failed::Missing(source.clone())
}

fn mistyped(source: &Source, expected: ValueType) -> Failed {
    Failed::Refused(Refusal::Mistyped {
        source_name: source.clone(),
        expected,
    })
}

/// Where the value of a context attribute comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// It is always the same.
    Constant(Value),
    /// A string.
    Text(TextTemplate),
    /// A long or bool.
    Scalar(ValueType, Source),
    /// A set, of what there is in one text between separators, or several times, or as a list.
    Set(Source, Option<String>),
}

impl Expression {
    /// What it takes from a request.
    pub fn sources(&self) -> Vec<&Source> {
        match self {
            Self::Constant(_) => Vec::new(),
            Self::Text(template) => template.sources().collect(),
            Self::Scalar(_, source) | Self::Set(source, _) => vec![source],
        }
    }

    /// The value for a request.
    ///
    /// # Errors
    /// When a source is missing, or has a value of another type.
    pub fn value(&self, look: &Look<'_>) -> Result<Value, Failed> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Text(template) => template.text(look).map(Value::String),
            Self::Scalar(ty, source) => {
                let found = look.one(source)?.ok_or_else(|| missing(source))?;
                let value = match ty {
                    ValueType::Bool => found.into_bool().map(Value::Bool),
                    _ => found.into_long().map(Value::from),
                };
                value.ok_or_else(|| mistyped(source, *ty))
            }
            Self::Set(source, separator) => {
                let found = look.all(source)?;
                if found.is_empty() {
                    return Err(missing(source));
                }
                set(found, separator.as_deref()).ok_or_else(|| mistyped(source, ValueType::Set))
            }
        }
    }
}

/// The set of what was found; empty texts are left out, and the same twice makes no difference.
fn set(found: Vec<Found<'_>>, separator: Option<&str>) -> Option<Value> {
    let mut texts: Vec<String> = Vec::new();
    for found in found {
        match (found, separator) {
            (Found::Texts(more), _) => texts.extend(more),
            (Found::Text(text), Some(separator)) => {
                let parts = text.split(separator).map(str::trim);
                texts.extend(parts.filter(|part| !part.is_empty()).map(str::to_owned));
            }
            (Found::Text(text), None) => texts.push(text.into_owned()),
            _ => return None,
        }
    }
    texts.sort_unstable();
    texts.dedup();
    Some(texts.into())
}

/// Whole numbers up to this are exact in a claim, which is a binary floating-point number.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Found<'_> {
    fn whole(number: f64) -> Option<i64> {
        (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
    }

    fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.into_owned()),
            Self::Number(number) => Self::whole(number).map(|n| n.to_string()),
            Self::Bool(_) | Self::Texts(_) | Self::Other => None,
        }
    }

    fn into_long(self) -> Option<i64> {
        match self {
            Self::Text(text) => {
                let digits = text.strip_prefix('-').unwrap_or(&text);
                let plain = digits.bytes().all(|b| b.is_ascii_digit());
                plain.then(|| text.parse().ok()).flatten()
            }
            Self::Number(number) => Self::whole(number),
            _ => None,
        }
    }

    fn into_bool(self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(value),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}
