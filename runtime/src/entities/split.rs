//! Where the entities of a document are, and their members.
//!
//! The members of a JSON object come in any order, but an entity's attributes cannot be read before
//! its type is known. So the text is divided here, by brackets and quotes alone, and each member is
//! read as a document of its own after that: what is between the brackets is none of this module's
//! business, and is checked by whoever reads it.

/// How deep the arrays and objects of a member may nest. What is deeper is not plain.
const MAX_NESTING: usize = 64;

/// One entity: its members, each the text of an array or object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Members<'a> {
    pub(super) uid: &'a str,
    pub(super) attrs: &'a str,
    pub(super) parents: &'a str,
    /// May be missing.
    pub(super) tags: Option<&'a str>,
}

/// The entities of a document, one after the other.
pub(super) struct Splitter<'a> {
    text: &'a str,
    at: usize,
    /// Whether the array was opened.
    begun: bool,
}

impl<'a> Splitter<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            begun: false,
        }
    }

    /// The next entity; `Some(None)` at the end of the document.
    ///
    /// `None` if the document is not an array of objects of just the members that entities have.
    pub(super) fn next(&mut self) -> Option<Option<Members<'a>>> {
        if !self.begun {
            self.begun = true;
            self.take(b'[')?;
            if self.peek()? == b']' {
                return self.finish();
            }
            return self.entity().map(Some);
        }
        match self.peek()? {
            b',' => {
                self.at += 1;
                self.entity().map(Some)
            }
            _ => self.finish(),
        }
    }

    /// The end of the array, and of the document.
    fn finish(&mut self) -> Option<Option<Members<'a>>> {
        self.take(b']')?;
        match self.peek() {
            None => Some(None),
            Some(_) => None,
        }
    }

    fn entity(&mut self) -> Option<Members<'a>> {
        self.take(b'{')?;
        let mut members = Members::default();
        loop {
            let place = match self.key()? {
                "uid" => &mut members.uid,
                "attrs" => &mut members.attrs,
                "parents" => &mut members.parents,
                "tags" => members.tags.get_or_insert_default(),
                _ => return None,
            };
            // No member is empty, and none may come twice.
            if !place.is_empty() {
                return None;
            }
            self.take(b':')?;
            *place = self.value()?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return None,
            }
        }
        self.at += 1;
        let missing =
            members.uid.is_empty() || members.attrs.is_empty() || members.parents.is_empty();
        (!missing).then_some(members)
    }

    /// A key without escapes.
    fn key(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let rest = self.text.get(self.at..)?;
        let end = rest.find(['"', '\\'])?;
        self.at += end;
        self.take(b'"')?;
        rest.get(..end)
    }

    /// An array or object, whatever is in it.
    fn value(&mut self) -> Option<&'a str> {
        if !matches!(self.peek()?, b'{' | b'[') {
            return None;
        }
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let (mut at, mut depth) = (start, 0_usize);
        loop {
            match bytes.get(at)? {
                b'{' | b'[' if depth == MAX_NESTING => return None,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at = at + 1;
                        return self.text.get(start..self.at);
                    }
                }
                b'"' => at = closing_quote(bytes, at + 1)?,
                _ => {}
            }
            at += 1;
        }
    }

    /// The next byte that is not white space, which is skipped.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }
}

/// Where the string ends that goes on at `at`.
#[inline]
fn closing_quote(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Option<Vec<Members<'_>>> {
        let mut splitter = Splitter::new(text);
        let mut all = Vec::new();
        while let Some(members) = splitter.next()? {
            all.push(members);
        }
        Some(all)
    }

    #[test]
    fn members_are_found_in_any_order() {
        let text = r#" [ {"uid" : {"a":"}"}, "attrs":{"x":["\"]"]},"parents":[ ] } ,
            {"tags":{},"parents":[{}],"attrs":{},"uid":{}}]
        "#;
        let first = Members {
            uid: r#"{"a":"}"}"#,
            attrs: r#"{"x":["\"]"]}"#,
            parents: "[ ]",
            tags: None,
        };
        let second = Members {
            uid: "{}",
            attrs: "{}",
            parents: "[{}]",
            tags: Some("{}"),
        };
        assert_eq!(split(text), Some(vec![first, second]));
        assert_eq!(split("[]"), Some(Vec::new()));
        assert_eq!(split(" [ ] "), Some(Vec::new()));
    }

    #[test]
    fn anything_else_is_not_plain() {
        let whole = r#"{"uid":{},"attrs":{},"parents":[]}"#;
        assert!(split(&format!("[{whole}]")).is_some());
        for text in [
            String::new(),
            "{}".to_owned(),
            "[".to_owned(),
            "[]]".to_owned(),
            format!("[{whole}"),
            format!("[{whole},]"),
            format!("[,{whole}]"),
            format!("[{whole}{whole}]"),
            format!("[{whole}] x"),
            format!("[[{whole}]]"),
            "[{}]".to_owned(),
            whole.to_owned(),
            r#"[{"uid":{},"attrs":{}}]"#.to_owned(),
            r#"[{"uid":{},"attrs":{},"parents":[],}]"#.to_owned(),
            r#"[{"uid":{},"attrs":{},"parents":[],"more":[]}]"#.to_owned(),
            r#"[{"uid":{},"attrs":{},"parents":[],"uid":{}}]"#.to_owned(),
            r#"[{"uid":{},"attrs":{},"parents":[],"tags":{},"tags":{}}]"#.to_owned(),
            r#"[{"u\u0069d":{},"attrs":{},"parents":[]}]"#.to_owned(),
            r#"[{"uid":"x","attrs":{},"parents":[]}]"#.to_owned(),
            r#"[{"uid":{},"attrs":null,"parents":[]}]"#.to_owned(),
            r#"[{"uid":{},"attrs":{"#.to_owned(),
            r#"[{"uid":{},"attrs":{"\"#.to_owned(),
            r#"[{"uid":{},"attrs":{},"parents":[]"#.to_owned(),
        ] {
            assert_eq!(split(&text), None, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!(r#"[{{"uid":{{}},"attrs":{{}},"parents":{open}{close}}}]"#)
        };
        assert!(split(&nested(MAX_NESTING)).is_some());
        assert_eq!(split(&nested(MAX_NESTING + 1)), None);
    }
}
