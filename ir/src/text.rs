//! The textual form of a [`Body`]: printer and parser, inverse to each other.
//!
//! ```text
//! consts c0: entity
//! v0: entity = principal
//! v1: entity = const c0
//! v2: bool = eq v0, v1
//! v3: any! = get_attr v0, "age"
//! return v2
//! ```
//!
//! A `!` behind the type marks a node whose evaluation may fail.

use crate::expr::{BinaryOp, Body, ConstKind, Field, Node, Op, Type, UnaryOp, Var};
use crate::ext::ExtFn;
use crate::ids::{ConstId, NodeId};
use std::fmt;

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.consts.is_empty() {
            f.write_str("consts ")?;
            for (i, kind) in self.consts.iter().enumerate() {
                let comma = if i == 0 { "" } else { ", " };
                write!(f, "{comma}{}: {kind}", ConstId::from_index(i))?;
            }
            f.write_str("\n")?;
        }
        for (i, node) in self.nodes.iter().enumerate() {
            let fail = if node.may_fail { "!" } else { "" };
            writeln!(
                f,
                "{}: {}{fail} = {}",
                NodeId::from_index(i),
                node.ty,
                node.op
            )?;
        }
        writeln!(f, "return {}", self.root)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Const(c) => write!(f, "const {c}"),
            Op::Bool(b) => write!(f, "{b}"),
            Op::Var(v) => f.write_str(v.name()),
            Op::Unary(op, a) => write!(f, "{} {a}", op.name()),
            Op::Binary(op, a, b) => write!(f, "{} {a}, {b}", op.name()),
            Op::And(items) => list(f, "and", items),
            Op::Or(items) => list(f, "or", items),
            Op::If(c, t, e) => write!(f, "if {c}, {t}, {e}"),
            Op::GetAttr(a, attr) => write!(f, "get_attr {a}, {attr:?}"),
            Op::HasAttr(a, attr) => write!(f, "has_attr {a}, {attr:?}"),
            Op::Like(a, c) => write!(f, "like {a}, {c}"),
            Op::Is(a, c) => write!(f, "is {a}, {c}"),
            Op::Set(items) => list(f, "set", items),
            Op::Record(fields) => {
                f.write_str("record")?;
                for (i, (attr, value)) in fields.iter().enumerate() {
                    let comma = if i == 0 { " " } else { ", " };
                    write!(f, "{comma}{attr:?}: {value}")?;
                }
                Ok(())
            }
            Op::Call(func, args) => list(f, &format!("call {}", func.name()), args),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, name: &str, items: &[NodeId]) -> fmt::Result {
    f.write_str(name)?;
    for (i, item) in items.iter().enumerate() {
        let comma = if i == 0 { " " } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

/// Why a text is no IR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// What should have stood there.
    pub expected: &'static str,
}

/// Reads the textual form. The result is not verified.
///
/// # Errors
/// When the text does not follow the grammar; the error names the line.
pub fn parse(text: &str) -> Result<Body, ParseError> {
    let mut body = Body {
        consts: Vec::new(),
        nodes: Vec::new(),
        root: NodeId(0),
    };
    let mut root = None;
    let mut last = 0;
    for (i, line) in text.lines().enumerate() {
        last = i + 1;
        let mut cursor = Cursor {
            rest: line.trim(),
            line: last,
        };
        if cursor.rest.is_empty() {
            continue;
        }
        if root.is_some() {
            return Err(cursor.expected("nothing after `return`"));
        }
        if cursor.eat("consts ") {
            cursor.consts(&mut body.consts)?;
        } else if cursor.eat("return ") {
            root = Some(cursor.node_id()?);
        } else {
            let id = cursor.node_id()?;
            if id.index() != body.nodes.len() {
                return Err(cursor.expected("the next node number"));
            }
            body.nodes.push(cursor.node()?);
        }
        cursor.end()?;
    }
    body.root = root.ok_or(ParseError {
        line: last,
        expected: "`return`",
    })?;
    Ok(body)
}

struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Cursor<'a> {
    fn expected(&self, expected: &'static str) -> ParseError {
        ParseError {
            line: self.line,
            expected,
        }
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn want(&mut self, token: &'static str) -> Result<(), ParseError> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(self.expected(token))
        }
    }

    fn end(&self) -> Result<(), ParseError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.expected("the end of the line"))
        }
    }

    fn word(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn handle(&mut self, prefix: &str, what: &'static str) -> Result<u32, ParseError> {
        let error = self.expected(what);
        self.word()
            .strip_prefix(prefix)
            .and_then(|n| n.parse().ok())
            .ok_or(error)
    }

    fn node_id(&mut self) -> Result<NodeId, ParseError> {
        self.handle("v", "a node, such as `v0`").map(NodeId)
    }

    fn const_id(&mut self) -> Result<ConstId, ParseError> {
        self.handle("c", "a constant slot, such as `c0`")
            .map(ConstId)
    }

    fn consts(&mut self, consts: &mut Vec<ConstKind>) -> Result<(), ParseError> {
        loop {
            if self.const_id()?.index() != consts.len() {
                return Err(self.expected("the next constant slot"));
            }
            self.want(":")?;
            let error = self.expected("the kind of a constant");
            consts.push(match self.word() {
                "pattern" => ConstKind::Pattern,
                "type" => ConstKind::EntityType,
                name => ConstKind::Value(Type::from_name(name).ok_or(error)?),
            });
            if !self.eat(",") {
                return Ok(());
            }
        }
    }

    fn node(&mut self) -> Result<Node, ParseError> {
        self.want(":")?;
        let error = self.expected("a type");
        let ty = Type::from_name(self.word()).ok_or(error)?;
        let may_fail = self.eat("!");
        self.want("=")?;
        Ok(Node {
            op: self.op()?,
            ty,
            may_fail,
        })
    }

    fn op(&mut self) -> Result<Op, ParseError> {
        let error = self.expected("an operator");
        let name = self.word();
        if let Some(var) = Var::ALL.into_iter().find(|v| v.name() == name) {
            return Ok(Op::Var(var));
        }
        if let Some(op) = UnaryOp::ALL.into_iter().find(|o| o.name() == name) {
            return Ok(Op::Unary(op, self.node_id()?));
        }
        if let Some(op) = BinaryOp::ALL.into_iter().find(|o| o.name() == name) {
            let a = self.node_id()?;
            self.want(",")?;
            return Ok(Op::Binary(op, a, self.node_id()?));
        }
        Ok(match name {
            "const" => Op::Const(self.const_id()?),
            "true" => Op::Bool(true),
            "false" => Op::Bool(false),
            "and" => Op::And(self.nodes()?),
            "or" => Op::Or(self.nodes()?),
            "set" => Op::Set(self.nodes()?),
            "if" => {
                let c = self.node_id()?;
                self.want(",")?;
                let t = self.node_id()?;
                self.want(",")?;
                Op::If(c, t, self.node_id()?)
            }
            "get_attr" => {
                let a = self.node_id()?;
                self.want(",")?;
                Op::GetAttr(a, self.string()?)
            }
            "has_attr" => {
                let a = self.node_id()?;
                self.want(",")?;
                Op::HasAttr(a, self.string()?)
            }
            "like" => {
                let a = self.node_id()?;
                self.want(",")?;
                Op::Like(a, self.const_id()?)
            }
            "is" => {
                let a = self.node_id()?;
                self.want(",")?;
                Op::Is(a, self.const_id()?)
            }
            "record" => Op::Record(self.fields()?),
            "call" => {
                let error = self.expected("an extension function");
                let func = ExtFn::from_name(self.word()).ok_or(error)?;
                Op::Call(func, self.nodes()?)
            }
            _ => return Err(error),
        })
    }

    fn nodes(&mut self) -> Result<Box<[NodeId]>, ParseError> {
        let mut nodes = Vec::new();
        if self.rest.is_empty() {
            return Ok(nodes.into());
        }
        loop {
            nodes.push(self.node_id()?);
            if !self.eat(",") {
                return Ok(nodes.into());
            }
        }
    }

    fn fields(&mut self) -> Result<Box<[Field]>, ParseError> {
        let mut fields = Vec::new();
        if self.rest.is_empty() {
            return Ok(fields.into());
        }
        loop {
            let attr = self.string()?;
            self.want(":")?;
            fields.push((attr, self.node_id()?));
            if !self.eat(",") {
                return Ok(fields.into());
            }
        }
    }

    /// A string literal with the escapes that `{:?}` writes.
    fn string(&mut self) -> Result<Box<str>, ParseError> {
        let error = self.expected("a string in quotes");
        let inner = self.rest.strip_prefix('"').ok_or(error)?;
        let mut text = String::new();
        let mut chars = inner.char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = inner.get(i + 1..).unwrap_or("").trim_start();
                    return Ok(text.into());
                }
                '\\' => text.push(unescape(&mut chars).ok_or(error)?),
                c => text.push(c),
            }
        }
        Err(error)
    }
}

fn unescape(chars: &mut std::str::CharIndices<'_>) -> Option<char> {
    Some(match chars.next()?.1 {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '0' => '\0',
        'u' => {
            if chars.next()?.1 != '{' {
                return None;
            }
            let mut code = 0_u32;
            loop {
                match chars.next()?.1 {
                    '}' => return char::from_u32(code),
                    digit => code = code.checked_mul(16)? + digit.to_digit(16)?,
                }
            }
        }
        c => c,
    })
}
