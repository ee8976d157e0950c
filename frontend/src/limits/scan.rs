//! One linear pass over a text before a parser sees it.
//!
//! The pass knows just enough of Cedar's lexical rules to bound the depth of the syntax tree that
//! a parser would build. On well-formed text it never bounds it too low. Malformed text builds no
//! tree, and cedar-policy's parser itself recurses only where brackets nest.

use super::{
    LimitError, MAX_CHAIN, MAX_JSON_NESTING, MAX_NESTING, MAX_POLICY_BYTES, MAX_POLICY_SET_BYTES,
    MAX_RECOVERY, MAX_SCHEMA_BYTES, MAX_SCHEMA_NESTING,
};
use std::mem::take;
use std::ops::Range;

/// A text exceeds a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Excess {
    /// Which bound.
    pub error: LimitError,
    /// Where, in bytes from the start of the text.
    pub offset: usize,
}

/// One policy or template of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its place in bytes, from its first token to its semicolon.
    pub range: Range<usize>,
    /// How much work it is to recover from an error in it; see [`MAX_RECOVERY`].
    pub work: u64,
}

/// How tightly an operator binds, loosest first.
#[derive(Clone, Copy)]
enum Class {
    /// `when` and `unless`
    Clause,
    /// `if`
    If,
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`, `<`, `in`, `has`, `like`, `is` and so on
    Relation,
    /// `+` and `-`
    Sum,
    /// `*`
    Product,
    /// What is before or behind one operand: `!`, `-`, `.a`, `[…]`, `(…)`
    Operand,
}

const CLASSES: usize = Class::Operand as usize + 1;

/// What is known of the text between two brackets, up to where the pass is.
#[derive(Clone, Copy, Default)]
struct Frame {
    /// For each class, how many operators the expression being read has so far.
    count: [usize; CLASSES],
    /// For each class, the depth of the deepest finished operand of these operators.
    deepest: [usize; CLASSES],
    /// The depth of the deepest finished expression: items are separated by commas.
    items: usize,
}

impl Frame {
    /// Closes all operators that bind at least as tightly as class `from`: what they joined is
    /// one operand now. Returns its depth.
    fn fold(&mut self, from: usize) -> usize {
        let classes = self.count.iter_mut().zip(&mut self.deepest).skip(from);
        classes.rev().fold(0, |depth, (count, deepest)| {
            take(deepest).max(depth) + take(count)
        })
    }

    /// Counts `n` operators of a class behind the operand that ends here.
    fn operator(&mut self, class: Class, n: usize) -> usize {
        let class = class as usize;
        let operand = self.fold(class + 1);
        let (Some(count), Some(deepest)) = (self.count.get_mut(class), self.deepest.get_mut(class))
        else {
            return operand;
        };
        *count += n;
        *deepest = operand.max(*deepest);
        *count + *deepest
    }

    /// Adds an operand of this depth that is in brackets.
    fn operand(&mut self, depth: usize) {
        if let Some(deepest) = self.deepest.last_mut() {
            *deepest = depth.max(*deepest);
        }
    }

    fn finish_item(&mut self) -> usize {
        self.items = self.fold(0).max(self.items);
        self.items
    }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    max_nesting: usize,
    max_policy_bytes: usize,
    max_work: u64,
    /// Innermost last, never empty.
    frames: Vec<Frame>,
    /// Whether what was read last can be the end of an operand.
    after_operand: bool,
    /// Where the statement being read begins, if it does.
    start: Option<usize>,
    /// How many tokens it has so far.
    tokens: u64,
    /// How many `if` expressions are open.
    ifs: usize,
    /// The deepest nesting in the statement, an `if` being 4 and a bracket 1.
    deepest: usize,
    statements: Vec<Statement>,
}

/// Checks the text of a policy set, and finds its policies and templates.
///
/// O(n) for n bytes of text.
///
/// # Errors
/// When the text is too long or nested too deep.
pub fn scan_policies(text: &str) -> Result<Vec<Statement>, Excess> {
    check_length(text, MAX_POLICY_SET_BYTES)?;
    let mut scan = Scan::new(text);
    scan.run()?;
    Ok(scan.statements)
}

/// Bounds the operators that depend on one another in a policy that a parser has read already.
///
/// The parser recurses where brackets nest, but not along a chain of operators: that it got
/// through says something about the former only. O(n) for n bytes of text.
///
/// # Errors
/// When more than [`MAX_CHAIN`] operators and brackets are on one path.
pub fn check_chains(policy: &str) -> Result<(), Excess> {
    Scan {
        max_nesting: usize::MAX,
        max_policy_bytes: usize::MAX,
        max_work: u64::MAX,
        ..Scan::new(policy)
    }
    .run()
}

fn check_length(text: &str, limit: usize) -> Result<(), Excess> {
    let bytes = text.len();
    if bytes > limit {
        let error = LimitError::Text { bytes, limit };
        return Err(Excess { error, offset: 0 });
    }
    Ok(())
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
            max_nesting: MAX_NESTING,
            max_policy_bytes: MAX_POLICY_BYTES,
            max_work: MAX_RECOVERY,
            frames: vec![Frame::default()],
            after_operand: false,
            start: None,
            tokens: 0,
            ifs: 0,
            deepest: 0,
            statements: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), Excess> {
        while self.at < self.text.len() {
            self.step()?;
        }
        while self.frames.len() > 1 {
            self.close()?;
        }
        self.end_statement()
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn frame(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::default());
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn check(&self, depth: usize) -> Result<(), Excess> {
        if depth > MAX_CHAIN {
            let error = LimitError::Chain { limit: MAX_CHAIN };
            let offset = self.at;
            return Err(Excess { error, offset });
        }
        Ok(())
    }

    /// Reads one token.
    fn step(&mut self) -> Result<(), Excess> {
        let Some(b) = self.peek(0) else {
            return Ok(());
        };
        if b.is_ascii_whitespace() || b == 0x0b {
            self.at += 1;
            return Ok(());
        }
        if b == b'/' && self.peek(1) == Some(b'/') {
            self.at = line_end(self.text, self.at);
            return Ok(());
        }
        self.start.get_or_insert(self.at);
        self.tokens += 1;
        match b {
            b'"' => {
                self.at = string_end(self.text, self.at);
                self.after_operand = true;
                return Ok(());
            }
            b'(' | b'[' | b'{' => self.open()?,
            b')' | b']' | b'}' => self.close()?,
            b',' => {
                self.end_item()?;
                self.after_operand = false;
            }
            b';' if self.frames.len() == 1 => {
                self.at += 1;
                return self.end_statement();
            }
            b if is_word(b) => return self.word(),
            _ => return self.symbol(b),
        }
        self.at += 1;
        Ok(())
    }

    fn open(&mut self) -> Result<(), Excess> {
        if self.after_operand {
            // A call or an index: `a[…][…]` nests as `a.b.c` does.
            self.operator(Class::Operand, 1)?;
        }
        if self.frames.len() > self.max_nesting {
            let limit = self.max_nesting;
            let error = LimitError::Nesting { limit };
            let offset = self.at;
            return Err(Excess { error, offset });
        }
        self.frames.push(Frame::default());
        self.note_nesting();
        self.after_operand = false;
        Ok(())
    }

    fn note_nesting(&mut self) {
        self.deepest = self.deepest.max(self.frames.len() - 1 + 4 * self.ifs);
    }

    /// Ends the expression being read; gives the depth of the deepest one between these brackets.
    fn end_item(&mut self) -> Result<usize, Excess> {
        let ifs = self.frame().count[Class::If as usize];
        self.ifs -= ifs.min(self.ifs);
        let depth = self.frame().finish_item();
        self.check(depth)?;
        Ok(depth)
    }

    fn close(&mut self) -> Result<(), Excess> {
        if self.frames.len() > 1 {
            let depth = self.end_item()? + 1;
            self.frames.pop();
            self.check(depth)?;
            self.frame().operand(depth);
        }
        self.after_operand = true;
        Ok(())
    }

    fn end_statement(&mut self) -> Result<(), Excess> {
        self.after_operand = false;
        self.end_item()?;
        *self.frame() = Frame::default();
        let (tokens, deepest) = (take(&mut self.tokens), take(&mut self.deepest));
        let Some(offset) = self.start.take() else {
            return Ok(());
        };
        let (bytes, limit) = (self.at - offset, self.max_policy_bytes);
        if bytes > limit {
            let error = LimitError::Policy { bytes, limit };
            return Err(Excess { error, offset });
        }
        let depth = (deepest / 4) as u64;
        let (work, limit) = (depth * depth * tokens, self.max_work);
        if work > limit {
            let error = LimitError::Recovery { work, limit };
            return Err(Excess { error, offset });
        }
        let range = offset..self.at;
        self.statements.push(Statement { range, work });
        Ok(())
    }

    /// An operator; what follows it is an operand.
    fn operator(&mut self, class: Class, n: usize) -> Result<(), Excess> {
        self.after_operand = false;
        let depth = self.frame().operator(class, n);
        self.check(depth)
    }

    /// An identifier, a keyword or a number.
    fn word(&mut self) -> Result<(), Excess> {
        let start = self.at;
        while self.peek(0).is_some_and(is_word) {
            self.at += 1;
        }
        match self.text.get(start..self.at).unwrap_or(&[]) {
            b"if" => {
                self.ifs += 1;
                self.note_nesting();
                self.operator(Class::If, 1)
            }
            b"then" | b"else" => self.operator(Class::If, 0),
            b"in" | b"has" | b"like" | b"is" => self.operator(Class::Relation, 1),
            b"when" | b"unless" if self.frames.len() == 1 => self.operator(Class::Clause, 1),
            _ => {
                self.after_operand = true;
                Ok(())
            }
        }
    }

    fn symbol(&mut self, b: u8) -> Result<(), Excess> {
        let doubled = self.peek(1) == Some(b);
        let equals = self.peek(1) == Some(b'=');
        let (class, length) = match b {
            b'!' if !equals => (Class::Operand, 1),
            b'!' | b'=' | b'<' | b'>' => (Class::Relation, 1 + usize::from(equals)),
            b'&' => (Class::And, 1 + usize::from(doubled)),
            b'|' => (Class::Or, 1 + usize::from(doubled)),
            b'-' if !self.after_operand => (Class::Operand, 1),
            b'+' | b'-' => (Class::Sum, 1),
            b'*' | b'/' | b'%' => (Class::Product, 1),
            b'.' => (Class::Operand, 1),
            _ => {
                // What follows a record's key is its value, and no index into it.
                self.after_operand &= b != b':';
                self.at += 1;
                return Ok(());
            }
        };
        self.operator(class, 1)?;
        self.at += length;
        Ok(())
    }
}

/// Where the line that `at` is on ends.
fn line_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or(&[]);
    let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
    at + end.unwrap_or(rest.len())
}

/// Where the string that begins at `at` ends; the end of the text if it is not closed.
fn string_end(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(b) = text.get(at) {
        match b {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// Checks the text of a schema in Cedar's syntax.
///
/// O(n) for n bytes of text.
///
/// # Errors
/// When the text is too long or nested too deep.
pub fn scan_schema(text: &str) -> Result<(), Excess> {
    check_length(text, MAX_SCHEMA_BYTES)?;
    scan_brackets(text.as_bytes(), MAX_SCHEMA_NESTING, true)
}

/// Checks the nesting of a JSON text.
///
/// O(n) for n bytes of text.
///
/// # Errors
/// When arrays and objects nest too deep.
pub fn scan_json(text: &str) -> Result<(), Excess> {
    scan_brackets(text.as_bytes(), MAX_JSON_NESTING, false)
}

/// Bounds the nesting of brackets outside of strings; Cedar's schemas also have comments and
/// angle brackets.
fn scan_brackets(text: &[u8], limit: usize, cedar: bool) -> Result<(), Excess> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(&b) = text.get(at) {
        match b {
            b'"' => {
                at = string_end(text, at);
                continue;
            }
            b'/' if cedar && text.get(at + 1) == Some(&b'/') => {
                at = line_end(text, at);
                continue;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'<' if cedar => depth += 1,
            b'>' if cedar => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            let error = LimitError::Nesting { limit };
            return Err(Excess { error, offset: at });
        }
        at += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
