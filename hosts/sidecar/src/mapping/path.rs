//! Paths of requests, read so that nobody can read them otherwise, and the templates they match.
//!
//! A gateway decides by what it asks the sidecar, and forwards what the client sent. If the two could be
//! read as different paths, a client could ask for one and get the other. So whatever some servers
//! resolve and others do not is refused: `.` and `..`, empty segments, slashes that are encoded, escapes
//! of escapes, path parameters after `;`, backslashes, control characters. What is left has one
//! reading: segments between slashes, each decoded once.

use std::fmt;

use super::problem::MappingProblem;

/// Bytes of a request's path and query that are looked at.
pub const TARGET_BYTES: usize = 16 << 10;

/// Segments that a path may have.
const SEGMENTS: usize = 256;

/// Why a path has no certain meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("it does not begin with `/`")]
    NotAbsolute,
    /// It is too long, or has too many segments.
    #[error("it is longer than {TARGET_BYTES} bytes or {SEGMENTS} segments")]
    TooLong,
    /// It has a `#`.
    #[error("it has a `#`")]
    Fragment,
    /// A segment is empty, and it is not the last.
    #[error("it has an empty segment")]
    EmptySegment,
    /// A segment is `.` or `..`, escaped or not.
    #[error("it has a segment `.` or `..`")]
    Dots,
    /// There is a slash or backslash within a segment.
    #[error("it has an escaped slash, or a backslash")]
    Slash,
    /// There is a `;`.
    #[error("it has a `;`")]
    Parameter,
    /// A `%` without two hexadecimal digits.
    #[error("it has a `%` that is no escape")]
    Escape,
    /// What an escape stands for is, with what follows, an escape again.
    #[error("it has an escape of an escape")]
    EscapedEscape,
    /// A control character, escaped or not.
    #[error("it has a control character")]
    Control,
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    Utf8,
}

/// The decoded segments of a path. `/` has one, which is empty, as has `/todos/` at its end.
///
/// # Errors
/// When the path could be read in more ways than one.
pub fn segments(path: &str) -> Result<Vec<String>, PathError> {
    if path.len() > TARGET_BYTES {
        return Err(PathError::TooLong);
    }
    let inside = path.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
    let raw: Vec<&str> = inside.split('/').take(SEGMENTS + 1).collect();
    if raw.len() > SEGMENTS {
        return Err(PathError::TooLong);
    }
    let last = raw.len() - 1;
    let read = |(i, raw): (usize, &&str)| match raw.is_empty() && i < last {
        true => Err(PathError::EmptySegment),
        false => segment(raw),
    };
    raw.iter().enumerate().map(read).collect()
}

fn segment(raw: &str) -> Result<String, PathError> {
    // These have a meaning where they are not escaped.
    if raw.contains(';') {
        return Err(PathError::Parameter);
    }
    if raw.contains('#') {
        return Err(PathError::Fragment);
    }
    let text = decode(raw)?;
    if text.contains(['/', '\\']) {
        return Err(PathError::Slash);
    }
    if text.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    // With parameters that somebody cuts off: `..;x`, here of an escaped `;`.
    let name = text.split(';').next().unwrap_or_default();
    if matches!(name, "." | "..") {
        return Err(PathError::Dots);
    }
    match has_escape(&text) {
        true => Err(PathError::EscapedEscape),
        false => Ok(text),
    }
}

/// Whether the text has something in it that would be decoded again.
fn has_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes
        .windows(3)
        .any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit())
}

/// Decodes the escapes of a text, once.
///
/// # Errors
/// When there is a `%` without two digits, or the outcome is not UTF-8.
pub(super) fn decode(text: &str) -> Result<String, PathError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                match (digit(rest.next()), digit(rest.next())) {
                    (Some(high), Some(low)) => (high << 4 | low) as u8,
                    _ => return Err(PathError::Escape),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| PathError::Utf8)
}

/// A template of paths, `/todos/{id}` or `/files/{rest...}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// This segment.
    Literal(String),
    /// Any one segment that is not empty.
    One(String),
    /// All that follows, at least one segment.
    Rest(String),
}

impl PathTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, MappingProblem> {
        if text.contains('?') {
            return Err(MappingProblem::QueryInPath);
        }
        let mut parts: Vec<Part> = Vec::new();
        // Braces are not among what is escaped, so the segments are those of the text.
        for segment in segments(text).map_err(MappingProblem::Path)? {
            let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else {
                if segment.contains(['{', '}']) {
                    return Err(MappingProblem::PartOfSegment(segment));
                }
                parts.push(Part::Literal(segment));
                continue;
            };
            let part = match name.strip_suffix("...") {
                Some(name) => Part::Rest(name.to_owned()),
                None => Part::One(name.to_owned()),
            };
            let (Part::One(name) | Part::Rest(name) | Part::Literal(name)) = &part;
            let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if name.is_empty() || !name.chars().all(word) {
                return Err(MappingProblem::VariableName(name.clone()));
            }
            if parts.iter().any(|part| part.variable() == Some(name)) {
                return Err(MappingProblem::TwiceInPath(name.clone()));
            }
            parts.push(part);
        }
        let ends_early = |part: &Part| matches!(part, Part::Rest(_));
        match parts.split_last() {
            Some((_, before)) if before.iter().any(ends_early) => Err(MappingProblem::RestNotLast),
            _ => Ok(Self { parts }),
        }
    }

    /// The names of its variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(Part::variable)
    }

    /// Whether a path, of these segments, is one of the template's.
    pub fn matches(&self, segments: &[String]) -> bool {
        let rest = matches!(self.parts.last(), Some(Part::Rest(_)));
        let enough = match rest {
            true => segments.len() >= self.parts.len(),
            false => segments.len() == self.parts.len(),
        };
        let fits = |(part, segment): (&Part, &String)| match part {
            Part::Literal(text) => text == segment,
            Part::One(_) | Part::Rest(_) => !segment.is_empty(),
        };
        enough && self.parts.iter().zip(segments).all(fits)
    }

    /// What a variable is in a path that matches.
    pub fn variable(&self, segments: &[String], name: &str) -> Option<String> {
        let at = self
            .parts
            .iter()
            .position(|part| part.variable() == Some(name))?;
        match self.parts.get(at)? {
            Part::Rest(_) => Some(segments.get(at..)?.join("/")),
            _ => segments.get(at).cloned(),
        }
    }
}

impl Part {
    fn variable(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::One(name) | Self::Rest(name) => Some(name),
        }
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Literal(text) => write!(f, "/{text}")?,
                Part::One(name) => write!(f, "/{{{name}}}")?,
                Part::Rest(name) => write!(f, "/{{{name}...}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_once() {
        let read = |path| segments(path).expect("a path");
        assert_eq!(read("/"), [""]);
        assert_eq!(read("/todos/7"), ["todos", "7"]);
        assert_eq!(read("/todos/"), ["todos", ""]);
        assert_eq!(read("/%74odos/a%20b+c"), ["todos", "a b+c"]);
        assert_eq!(read("/%C3%A9/é"), ["é", "é"]);
        assert_eq!(read("/100%25/..."), ["100%", "..."]);
        assert_eq!(read("/a%3Bb"), ["a;b"]);
    }

    #[test]
    fn what_could_be_read_otherwise_is_refused() {
        use PathError::*;
        let cases = [
            ("", NotAbsolute),
            ("*", NotAbsolute),
            ("http://host/todos", NotAbsolute),
            ("todos", NotAbsolute),
            ("//todos", EmptySegment),
            ("/todos//7", EmptySegment),
            ("/todos/../admin", Dots),
            ("/todos/..", Dots),
            ("/todos/.", Dots),
            ("/./todos", Dots),
            ("/todos/%2e%2E/admin", Dots),
            ("/todos/.%2e/admin", Dots),
            ("/todos/..%3Bx/admin", Dots),
            ("/todos/..;/admin", Parameter),
            ("/todos/7;role=admin", Parameter),
            ("/todos%2F7", Slash),
            ("/todos%2f..%2fadmin", Slash),
            ("/todos%5C7", Slash),
            ("/todos\\7", Slash),
            ("/todos/%252e%252e/admin", EscapedEscape),
            ("/todos/%25252e", EscapedEscape),
            ("/todos%252F7", EscapedEscape),
            ("/todos/%2", Escape),
            ("/todos/%", Escape),
            ("/todos/%zz", Escape),
            ("/todos/%u002e", Escape),
            ("/todos/%+1", Escape),
            ("/todos/%00", Control),
            ("/todos/7%0d%0aX-Role:%20admin", Control),
            ("/todos/\u{7f}", Control),
            ("/todos/%C2%80", Control),
            ("/todos/%ff", Utf8),
            ("/todos/%c0%ae%c0%ae/admin", Utf8),
            ("/todos#/admin", Fragment),
        ];
        for (path, error) in cases {
            assert_eq!(segments(path), Err(error), "{path}");
        }
        let long = format!("/{}", "a".repeat(TARGET_BYTES));
        assert_eq!(segments(&long), Err(TooLong));
        assert_eq!(segments(&"/a".repeat(SEGMENTS + 1)), Err(TooLong));
        assert!(segments(&"/a".repeat(SEGMENTS)).is_ok());
    }

    fn template(text: &str) -> PathTemplate {
        PathTemplate::parse(text).expect("a template")
    }

    #[test]
    fn templates_match_whole_paths() {
        let cases = [
            ("/", "/", true),
            ("/", "/todos", false),
            ("/todos", "/todos", true),
            ("/todos", "/todos/", false),
            ("/todos/", "/todos/", true),
            ("/todos", "/Todos", false),
            ("/todos/{id}", "/todos/7", true),
            ("/todos/{id}", "/todos/", false),
            ("/todos/{id}", "/todos", false),
            ("/todos/{id}", "/todos/7/items", false),
            ("/todos/{id}/items", "/todos/7/items", true),
            ("/files/{path...}", "/files/a", true),
            ("/files/{path...}", "/files/a/b/", true),
            ("/files/{path...}", "/files/", false),
            ("/files/{path...}", "/files", false),
            ("/a%20b", "/a b", true),
        ];
        for (text, path, expected) in cases {
            let segments = segments(path).expect("a path");
            assert_eq!(template(text).matches(&segments), expected, "{text} {path}");
        }
    }

    #[test]
    fn variables_are_segments() {
        let path = segments("/todos/a%20b/items/c/d").expect("a path");
        let template = template("/todos/{id}/items/{rest...}");
        assert_eq!(template.variables().collect::<Vec<_>>(), ["id", "rest"]);
        assert_eq!(template.variable(&path, "id").as_deref(), Some("a b"));
        assert_eq!(template.variable(&path, "rest").as_deref(), Some("c/d"));
        assert_eq!(template.variable(&path, "other"), None);
        assert_eq!(template.to_string(), "/todos/{id}/items/{rest...}");
    }

    #[test]
    fn bad_templates_are_refused() {
        for bad in [
            "",
            "todos",
            "/todos/{",
            "/todos/{}",
            "/todos/x{id}",
            "/{id}/{id}",
            "/{a b}",
            "/..",
            "/{rest...}/x",
            "/{...}",
            "/a//b",
            "/{a}{b}",
            "/a?b=c",
        ] {
            assert!(PathTemplate::parse(bad).is_err(), "{bad}");
        }
    }
}
