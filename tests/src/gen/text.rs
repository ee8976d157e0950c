//! Building text: JSON and Cedar literals, and lists of texts in one allocation.

use std::fmt::Write;

/// A list of texts that share one allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces {
    text: String,
    ends: Vec<usize>,
}

impl Pieces {
    /// Appends what `write` adds to the buffer as a new piece, and passes on its result.
    pub fn add<R>(&mut self, write: impl FnOnce(&mut String) -> R) -> R {
        let result = write(&mut self.text);
        self.ends.push(self.text.len());
        result
    }

    /// Appends `piece`.
    pub fn push(&mut self, piece: &str) {
        self.add(|text| text.push_str(piece));
    }

    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The pieces in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| self.text.get(start..end).unwrap_or_default())
    }

    /// The pieces with `separator` between them.
    pub fn join(&self, separator: &str) -> String {
        let mut joined = String::with_capacity(self.text.len() + separator.len() * self.len());
        for (position, piece) in self.iter().enumerate() {
            if position > 0 {
                joined.push_str(separator);
            }
            joined.push_str(piece);
        }
        joined
    }

    /// The pieces as a JSON array; each must be a JSON value.
    pub fn json_array(&self) -> String {
        format!("[{}]", self.join(",\n"))
    }
}

impl<'a> FromIterator<&'a str> for Pieces {
    fn from_iter<I: IntoIterator<Item = &'a str>>(pieces: I) -> Self {
        let mut list = Self::default();
        for piece in pieces {
            list.push(piece);
        }
        list
    }
}

/// Writes `items` with a comma between two.
pub(super) fn comma_separated<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            out.push_str(", ");
        }
        write(out, item);
    }
}

/// Writes `text` as a JSON string.
pub(super) fn json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => escape(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writes `text` as a Cedar string literal; with `ascii`, everything beyond ASCII is escaped.
pub(super) fn cedar_string(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for c in text.chars() {
        cedar_char(out, c, ascii);
    }
    out.push('"');
}

/// Writes one character as it stands inside a Cedar string literal.
pub(super) fn cedar_char(out: &mut String, c: char, ascii: bool) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0' => out.push_str("\\0"),
        c if c < ' ' => escape(out, format_args!("\\x{:02x}", u32::from(c))),
        c if ascii && !c.is_ascii() => escape(out, format_args!("\\u{{{:x}}}", u32::from(c))),
        c => out.push(c),
    }
}

/// Writes formatted text; writing to a string cannot fail.
pub(super) fn escape(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _infallible = out.write_fmt(text);
}

/// Whether `name` may follow a dot or `has`, or be a record key, without quotes.
pub(super) fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    let reserved = [
        "true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar",
    ];
    chars
        .next()
        .is_some_and(|c| c == '_' || c.is_ascii_alphabetic())
        && chars.all(|c| c == '_' || c.is_ascii_alphanumeric())
        && !reserved.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_their_borders() {
        let pieces: Pieces = ["a", "", "bc"].into_iter().collect();
        assert_eq!(pieces.iter().collect::<Vec<_>>(), ["a", "", "bc"]);
        assert_eq!(pieces.join("+"), "a++bc");
        assert_eq!(pieces.len(), 3);
    }

    #[test]
    fn literals_read_back() {
        let odd = "\0\u{1}\t\n\r\"\\*é🦀\u{10ffff}";
        let mut json = String::new();
        json_string(&mut json, odd);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), odd);
        for ascii in [false, true] {
            let mut source = String::from("permit(principal, action, resource) when { ");
            cedar_string(&mut source, odd, ascii);
            source.push_str(" == 1 };");
            let policy = cedar_policy::Policy::parse(None, source).unwrap();
            let json = policy.to_json().unwrap();
            assert_eq!(json["conditions"][0]["body"]["=="]["left"]["Value"], odd);
        }
    }
}
