//! What went wrong while loading, with the place in the text where it is known.

use crate::limits::{Excess, LimitError};
use cedar_policy::pst::PstConstructionError;
use cedarjit_ir::interner::CapacityError;
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use smol_str::SmolStr;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The longest message taken over from cedar-policy, in characters. Some quote whole policies.
const MAX_MESSAGE: usize = 2000;

/// The most problems that one error tells of.
const MAX_PROBLEMS: usize = 50;

/// A place in a text, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in Unicode scalar values.
    pub column: usize,
}

impl Place {
    /// The place of a byte offset.
    fn of(text: &str, offset: usize) -> Self {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line_start = before
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |i| i + 1);
        let lines = before.iter().filter(|&&b| b == b'\n').count();
        // A scalar value has one byte that does not continue another.
        let chars = before[line_start..].iter().filter(|&&b| b & 0xC0 != 0x80);
        Self {
            line: lines + 1,
            column: chars.count() + 1,
        }
    }
}

/// What kind of problem a [`ParseError`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The text is not well-formed, or breaks a rule of Cedar.
    Malformed,
    /// The text exceeds a bound of [`crate::limits`].
    Limit(LimitError),
    /// Two policies or templates have this id.
    DuplicateId(SmolStr),
    /// The link with this id cannot be made.
    Link(SmolStr),
    /// The text is fine as far as cedar-policy is concerned, but the policy with this id cannot be
    /// loaded.
    Policy(SmolStr),
}

/// One thing that is wrong with a text.
#[derive(Debug)]
struct Problem {
    message: String,
    help: Option<String>,
    labels: Vec<LabeledSpan>,
    place: Option<Place>,
}

impl Problem {
    fn new(message: impl fmt::Display) -> Self {
        let mut message = message.to_string();
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        Self {
            message,
            help: None,
            labels: Vec::new(),
            place: None,
        }
    }

    fn with_label(mut self, label: Option<&str>, offset: usize, len: usize) -> Self {
        let label = label.map(str::to_owned);
        self.labels.push(LabeledSpan::new(label, offset, len));
        self
    }

    /// Takes over a diagnostic of cedar-policy without those related to it. Its labels mean the
    /// text as `spans` translates them.
    fn from_diagnostic(diagnostic: &dyn Diagnostic, spans: &Spans<'_>) -> Self {
        let mut problem = Self::new(chain(diagnostic));
        problem.help = diagnostic.help().map(|help| help.to_string());
        problem.labels = diagnostic
            .labels()
            .into_iter()
            .flatten()
            .filter_map(|label| spans.translate(&label))
            .collect();
        problem
    }
}

/// The message of an error and of what caused it.
pub(super) fn chain(error: &dyn Diagnostic) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        source = error.source();
    }
    message
}

/// How the spans of a diagnostic relate to the text that was given to us.
pub(super) struct Spans<'a> {
    /// The text as given.
    pub(super) text: &'a str,
    /// Where what was parsed begins in it, if the diagnostic's spans mean anything.
    pub(super) start: Option<usize>,
    /// How many bytes were put before it.
    pub(super) padding: usize,
}

impl Spans<'_> {
    fn translate(&self, label: &LabeledSpan) -> Option<LabeledSpan> {
        let offset = label.offset().checked_sub(self.padding)? + self.start?;
        // Some spans end behind the text, to say that more was expected.
        let (offset, len) = (offset.min(self.text.len()), label.len());
        let len = len.min(self.text.len() - offset);
        let text = label.label().map(str::to_owned);
        Some(LabeledSpan::new(text, offset, len))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}

/// A text could not be read.
///
/// `Display` gives the origin, line and column where they are known, and the message of the first
/// problem. As a [`Diagnostic`] it has the text, labels, and the other problems as related ones.
#[derive(Debug)]
pub struct ParseError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    origin: String,
    source: NamedSource<Arc<str>>,
    kind: ParseErrorKind,
    first: Problem,
    others: Vec<Problem>,
}

impl ParseError {
    fn new(origin: &str, text: &str, kind: ParseErrorKind, problems: Vec<Problem>) -> Self {
        let mut problems = problems.into_iter();
        let mut first = problems
            .next()
            .unwrap_or_else(|| Problem::new("malformed text"));
        if first.place.is_none() {
            let label = first.labels.first();
            first.place = label.map(|label| Place::of(text, label.offset()));
        }
        Self(Box::new(Inner {
            origin: origin.to_owned(),
            source: NamedSource::new(origin, Arc::from(text)),
            kind,
            first,
            others: problems.collect(),
        }))
    }

    /// What cedar-policy says about the text.
    pub(super) fn from_diagnostic(
        origin: &str,
        kind: ParseErrorKind,
        diagnostic: &dyn Diagnostic,
        spans: &Spans<'_>,
    ) -> Self {
        let mut problems = vec![Problem::from_diagnostic(diagnostic, spans)];
        let related = diagnostic.related().into_iter().flatten();
        let related = related.take(MAX_PROBLEMS - 1);
        problems.extend(related.map(|d| Problem::from_diagnostic(d, spans)));
        if let Some(place) = json_place(diagnostic)
            && let Some(first) = problems.first_mut()
            && first.labels.is_empty()
        {
            first.place = Some(place);
        }
        Self::new(origin, spans.text, kind, problems)
    }

    /// What serde_json says about the text.
    pub(super) fn from_json(origin: &str, text: &str, error: &serde_json::Error) -> Self {
        let mut problem = Problem::new(error);
        problem.place = place_of_json(error);
        Self::new(origin, text, ParseErrorKind::Malformed, vec![problem])
    }

    /// A bound that the text exceeds.
    pub(super) fn from_excess(origin: &str, text: &str, excess: Excess) -> Self {
        let label = (!matches!(excess.error, LimitError::Text { .. })).then_some("here");
        let mut problem = Problem::new(excess.error);
        if label.is_some() {
            problem = problem.with_label(label, excess.offset, 0);
        }
        // A text that is too long is not worth a copy.
        let text = if label.is_some() { text } else { "" };
        Self::new(
            origin,
            text,
            ParseErrorKind::Limit(excess.error),
            vec![problem],
        )
    }

    /// A bound that has no place in the text.
    pub(super) fn from_limit(origin: &str, text: &str, error: LimitError) -> Self {
        let problem = Problem::new(error);
        Self::new(origin, text, ParseErrorKind::Limit(error), vec![problem])
    }

    /// Two statements, given by their offsets, have the same id.
    pub(super) fn duplicate(origin: &str, text: &str, id: &str, at: [usize; 2]) -> Self {
        let [first, second] = at;
        let problem = Problem::new(format_args!("duplicate policy id `{id}`"))
            .with_label(Some("already used"), second, 0)
            .with_label(Some("first used here"), first, 0);
        let kind = ParseErrorKind::DuplicateId(id.into());
        Self::new(origin, text, kind, vec![problem])
    }

    /// A problem without a place in the text.
    pub(super) fn plain(
        origin: &str,
        text: &str,
        kind: ParseErrorKind,
        message: impl fmt::Display,
        help: Option<&str>,
    ) -> Self {
        let mut problem = Problem::new(message);
        problem.help = help.map(str::to_owned);
        Self::new(origin, text, kind, vec![problem])
    }

    /// What kind of problem the first one is.
    pub fn kind(&self) -> &ParseErrorKind {
        &self.0.kind
    }

    /// Where the text came from, as given by the caller; usually a file name.
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// Where in the text the first problem is, if it is known.
    pub fn place(&self) -> Option<Place> {
        self.0.first.place
    }

    /// The messages of the problems, without places; at least one.
    pub fn messages(&self) -> impl Iterator<Item = &str> {
        let problems = std::iter::once(&self.0.first).chain(&self.0.others);
        problems.map(|problem| problem.message.as_str())
    }
}

/// The place that serde_json gives, if it caused the error.
fn json_place(diagnostic: &dyn Diagnostic) -> Option<Place> {
    let mut source = diagnostic.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<serde_json::Error>() {
            return place_of_json(error);
        }
        source = error.source();
    }
    None
}

fn place_of_json(error: &serde_json::Error) -> Option<Place> {
    (error.line() > 0).then(|| Place {
        line: error.line(),
        column: error.column(),
    })
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { origin, first, .. } = &*self.0;
        match first.place {
            Some(Place { line, column }) => write!(f, "{origin}:{line}:{column}: {first}"),
            None => write!(f, "{origin}: {first}"),
        }
    }
}

impl Error for ParseError {}

impl Diagnostic for ParseError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.first.help()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.0.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.first.labels()
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        let others = self.0.others.iter();
        Some(Box::new(others.map(|problem| problem as &dyn Diagnostic)))
    }
}

/// Why a policy could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// The policy uses something that this version does not know.
    #[error("unsupported: {what}")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// An expression is deeper than [`crate::limits::MAX_EXPR_DEPTH`].
    #[error("expressions nest more than {limit} deep")]
    TooDeep {
        /// How deep they may nest.
        limit: usize,
    },
    /// Another bound is exceeded.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// cedar-policy cannot give the policy's syntax tree.
    #[error("{0}")]
    Syntax(#[source] Box<PstConstructionError>),
    /// The policy is a link of a template that is not there.
    #[error("there is no template `{template}`")]
    NoTemplate {
        /// The id of the template.
        template: SmolStr,
    },
    /// The policy is a link that binds too few or too many slots.
    #[error("the link does not bind exactly the slots of template `{template}`")]
    Slots {
        /// The id of the template.
        template: SmolStr,
    },
    /// A static policy was needed, or a link.
    #[error("expected {expected}")]
    WrongKind {
        /// Which of them was needed.
        expected: &'static str,
    },
    /// There are too many distinct names, strings or entities.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
}

/// A policy could not be loaded.
///
/// As a [`Diagnostic`] it has the policy's own text, if the policy was made from text;
/// [`LoadError::in_text`] finds the place in the text of the whole policy set.
#[derive(Debug)]
pub struct LoadError(Box<LoadInner>);

#[derive(Debug)]
struct LoadInner {
    policy: Option<SmolStr>,
    kind: LoadErrorKind,
    source: Option<NamedSource<String>>,
}

impl LoadError {
    pub(super) fn new(policy: &str, kind: LoadErrorKind, text: Option<String>) -> Self {
        Self(Box::new(LoadInner {
            policy: Some(policy.into()),
            kind,
            source: text.map(|text| NamedSource::new(policy, text)),
        }))
    }

    /// The id of the policy or template; `None` if no policy is to blame.
    pub fn policy(&self) -> Option<&str> {
        self.0.policy.as_deref()
    }

    /// What is wrong with it.
    pub fn kind(&self) -> &LoadErrorKind {
        &self.0.kind
    }

    /// This error with the place of the policy in `text`, from which the policy set was parsed.
    #[must_use]
    pub fn in_text(&self, origin: &str, text: &str) -> ParseError {
        let mut problem = Problem::new(self);
        if let Some(source) = &self.0.source
            && let Some(offset) = text.find(source.inner().as_str())
        {
            problem = problem.with_label(Some("this policy"), offset, 0);
        }
        let policy = self.policy().unwrap_or("").into();
        ParseError::new(origin, text, ParseErrorKind::Policy(policy), vec![problem])
    }
}

impl From<LimitError> for LoadError {
    fn from(error: LimitError) -> Self {
        Self(Box::new(LoadInner {
            policy: None,
            kind: error.into(),
            source: None,
        }))
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(policy) = self.policy() {
            write!(f, "policy `{policy}`: ")?;
        }
        write!(f, "{}", self.0.kind)
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.kind.source()
    }
}

impl Diagnostic for LoadError {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source.as_ref().map(|source| source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.source.as_ref()?;
        let label = LabeledSpan::new(Some("this policy".to_owned()), 0, 0);
        Some(Box::new(std::iter::once(label)))
    }
}
