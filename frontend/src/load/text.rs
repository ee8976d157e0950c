//! Policy texts, policy JSON, and files of template links.

use super::error::{ParseError, ParseErrorKind, Spans, chain};
use crate::limits::{
    Excess, LimitError, MAX_POLICY_SET_BYTES, MAX_RECOVERY, Statement, scan_json, scan_policies,
    scan_schema, with_big_stack,
};
use cedar_policy::{EntityUid, Policy, PolicyId, PolicySet, PolicySetError, SlotId, Template};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::HashMap;
use std::ops::Range;

/// How much text is parsed at once, in bytes.
///
/// cedar-policy's parser takes memory in proportion to what it parses, far more than the policies
/// take afterwards, and goes on after errors. Parsing a long text in parts bounds both.
const CHUNK_BYTES: usize = 256 << 10;

/// How many policies are parsed at once: each may be an error.
const CHUNK_POLICIES: usize = 4096;

/// Checks the nesting and length of Cedar policies without parsing them. O(n).
///
/// # Errors
/// When a bound of [`crate::limits`] is exceeded.
pub fn guard_policy_text(text: &str, origin: &str) -> Result<(), ParseError> {
    statements(text, origin).map(|_| ())
}

/// Checks the nesting and length of a Cedar schema without parsing it. O(n).
///
/// # Errors
/// When a bound of [`crate::limits`] is exceeded.
pub fn guard_schema_text(text: &str, origin: &str) -> Result<(), ParseError> {
    scan_schema(text).map_err(|excess| ParseError::from_excess(origin, text, excess))
}

/// Checks the nesting of a JSON text without parsing it. O(n).
///
/// # Errors
/// When arrays and objects nest deeper than [`crate::limits::MAX_JSON_NESTING`].
pub fn guard_json_depth(text: &str, origin: &str) -> Result<(), ParseError> {
    scan_json(text).map_err(|excess| ParseError::from_excess(origin, text, excess))
}

/// Checks that a text is JSON, whatever it means.
pub(super) fn check_json_syntax(text: &str, origin: &str) -> Result<(), ParseError> {
    // cedar-policy's errors do not have the place.
    serde_json::from_str::<IgnoredAny>(text)
        .map(|_| ())
        .map_err(|error| ParseError::from_json(origin, text, &error))
}

/// Checks the length and nesting of a JSON text.
pub(super) fn guard_json_text(text: &str, limit: usize, origin: &str) -> Result<(), ParseError> {
    let bytes = text.len();
    if bytes > limit {
        let error = LimitError::Text { bytes, limit };
        let excess = Excess { error, offset: 0 };
        return Err(ParseError::from_excess(origin, text, excess));
    }
    guard_json_depth(text, origin)
}

fn statements(text: &str, origin: &str) -> Result<Vec<Statement>, ParseError> {
    scan_policies(text).map_err(|excess| ParseError::from_excess(origin, text, excess))
}

/// Runs `f` on a large stack.
pub(super) fn on_big_stack<T>(
    text: &str,
    origin: &str,
    f: impl FnOnce() -> Result<T, ParseError>,
) -> Result<T, ParseError> {
    with_big_stack(f).map_err(|error| ParseError::from_limit(origin, text, error))?
}

/// Parses policies and templates in Cedar's syntax.
///
/// As with the `cedar` command line tool, an annotation `@id("…")` gives a policy or template its
/// id; without it the id is `policy0` for the first of the text, and so on. `origin` names the text
/// in errors: its file name, say.
///
/// # Errors
/// When the text is malformed or exceeds a bound of [`crate::limits`], or an id occurs twice.
pub fn parse_policies(text: &str, origin: &str) -> Result<PolicySet, ParseError> {
    let statements = statements(text, origin)?;
    let source = Source { text, origin };
    on_big_stack(text, origin, || {
        let mut chunks = chunks(&statements);
        match (chunks.next(), chunks.next()) {
            // All at once, also what comes behind the last statement.
            (None | Some(_), None) => {
                let set = source.parse(0..text.len(), &mut Cursor::new(text))?;
                if has_named(&set) {
                    source.assemble(&statements, [Ok((0, set))])
                } else {
                    Ok(set)
                }
            }
            (first, second) => {
                let all = first.into_iter().chain(second).chain(chunks);
                let mut cursor = Cursor::new(text);
                let parsed = all.map(|indices| {
                    let bounds = statements.get(indices.clone()).unwrap_or(&[]);
                    let start = bounds.first().map_or(0, |first| first.range.start);
                    let end = bounds.last().map_or(start, |last| last.range.end);
                    Ok((indices.start, source.parse(start..end, &mut cursor)?))
                });
                source.assemble(&statements, parsed)
            }
        }
    })
}

/// Groups statements so that each group has at most [`CHUNK_BYTES`], [`CHUNK_POLICIES`] and
/// [`MAX_RECOVERY`], or is one statement. Gives ranges of their indices.
fn chunks(statements: &[Statement]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut next = 0;
    std::iter::from_fn(move || {
        let first = next;
        let Statement { range, work } = statements.get(first)?;
        let mut work = *work;
        let rest = statements.get(first + 1..).unwrap_or(&[]);
        let rest = rest.iter().take(CHUNK_POLICIES - 1);
        let more = rest.take_while(|statement| {
            work += statement.work;
            work <= MAX_RECOVERY && statement.range.end - range.start <= CHUNK_BYTES
        });
        next = first + 1 + more.count();
        Some(first..next)
    })
}

fn has_named(set: &PolicySet) -> bool {
    set.templates().any(|t| t.annotation("id").is_some())
        || set.policies().any(|p| p.annotation("id").is_some())
}

/// Counts lines while a text is parsed in parts.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
    lines: usize,
    column: usize,
    /// How much padding may still be given out. The parts keep theirs, and all together must not
    /// take more memory than the text.
    budget: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            lines: 0,
            column: 0,
            budget: text.len(),
        }
    }

    /// What has the same end as the text up to `offset`, in lines and columns. Empty once there
    /// was too much of it.
    fn padding(&mut self, offset: usize) -> String {
        let passed = self.text.get(self.at..offset).unwrap_or("");
        self.at = offset;
        self.lines += passed.bytes().filter(|&b| b == b'\n').count();
        self.column = match passed.rsplit_once('\n') {
            Some((_, line)) => line.chars().count(),
            None => self.column + passed.chars().count(),
        };
        let len = self.lines + self.column;
        if len > self.budget {
            return String::new();
        }
        self.budget -= len;
        format!("{}{}", "\n".repeat(self.lines), " ".repeat(self.column))
    }
}

/// A text to parse, and what it is called.
#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    origin: &'a str,
}

impl Source<'_> {
    /// Parses the part of the text in `range`, which is not before an earlier one.
    ///
    /// Line breaks and spaces are put before it, so that the places that cedar-policy remembers
    /// are those of the whole text.
    fn parse(self, range: Range<usize>, cursor: &mut Cursor<'_>) -> Result<PolicySet, ParseError> {
        let part = self.text.get(range.clone()).unwrap_or("");
        let padding = cursor.padding(range.start);
        let parsed = if padding.is_empty() {
            part.parse::<PolicySet>()
        } else {
            format!("{padding}{part}").parse()
        };
        let spans = Spans {
            text: self.text,
            start: Some(range.start),
            padding: padding.len(),
        };
        parsed.map_err(|error| {
            let kind = ParseErrorKind::Malformed;
            ParseError::from_diagnostic(self.origin, kind, &error, &spans)
        })
    }

    /// Joins parsed parts to one set, each part with the index of its first statement, and gives
    /// every policy its id.
    fn assemble(
        self,
        statements: &[Statement],
        parts: impl IntoIterator<Item = Result<(usize, PolicySet), ParseError>>,
    ) -> Result<PolicySet, ParseError> {
        let mut joined = PolicySet::new();
        let mut seen = HashMap::new();
        for part in parts {
            let (base, set) = part?;
            let mut claim = |id: &PolicyId, name: Option<&str>| {
                let index = base + statement_number(id);
                let id = match name {
                    Some(name) => PolicyId::new(name),
                    None => PolicyId::new(format!("policy{index}")),
                };
                match seen.insert(id.clone(), index) {
                    None => Ok(id),
                    Some(first) => {
                        let start = |i: usize| statements.get(i).map_or(0, |s| s.range.start);
                        let at = [first, index].map(start);
                        let id = id.as_ref();
                        Err(ParseError::duplicate(self.origin, self.text, id, at))
                    }
                }
            };
            for template in set.templates() {
                let id = claim(template.id(), template.annotation("id"))?;
                self.added(joined.add_template(template.new_id(id)))?;
            }
            for policy in set.policies() {
                let id = claim(policy.id(), policy.annotation("id"))?;
                self.added(joined.add(policy.new_id(id)))?;
            }
        }
        Ok(joined)
    }

    fn added(self, result: Result<(), PolicySetError>) -> Result<(), ParseError> {
        result.map_err(|error| self.refused(&error))
    }

    /// An error of cedar-policy that has no place in the text.
    fn refused(self, error: &dyn miette::Diagnostic) -> ParseError {
        let spans = Spans {
            text: self.text,
            start: None,
            padding: 0,
        };
        ParseError::from_diagnostic(self.origin, ParseErrorKind::Malformed, error, &spans)
    }
}

/// The number of the statement that cedar-policy gave this id to while parsing.
fn statement_number(id: &PolicyId) -> usize {
    let id: &str = id.as_ref();
    let number = id.strip_prefix("policy").and_then(|n| n.parse().ok());
    number.unwrap_or(0)
}

/// Parses Cedar's JSON form of a policy set, or of a single policy or template.
///
/// Ids are those of the JSON; a single policy has the id that cedar-policy gives it.
///
/// # Errors
/// When the text is malformed or exceeds a bound of [`crate::limits`], or an id occurs twice.
pub fn parse_policies_json(text: &str, origin: &str) -> Result<PolicySet, ParseError> {
    guard_json_text(text, MAX_POLICY_SET_BYTES, origin)?;
    let source = Source { text, origin };
    on_big_stack(text, origin, || {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| ParseError::from_json(origin, text, &error))?;
        let has = |names: &[&str]| names.iter().any(|name| value.get(name).is_some());
        let is_set = has(&["staticPolicies", "templates", "templateLinks"]);
        let is_policy = has(&["effect", "principal", "action", "resource", "conditions"]);
        match (is_set, is_policy) {
            // From the text, not the value: only so are duplicate keys found.
            (true, false) => PolicySet::from_json_str(text).map_err(|error| source.refused(&error)),
            (false, true) => source.single(value),
            _ => Err(ParseError::plain(
                origin,
                text,
                ParseErrorKind::Malformed,
                "neither a policy set nor a policy",
                Some(
                    "a policy set has `staticPolicies`, `templates` or `templateLinks`, \
                     a policy has `effect`, `principal`, `action`, `resource` and `conditions`",
                ),
            )),
        }
    })
}

impl Source<'_> {
    fn single(self, value: Value) -> Result<PolicySet, ParseError> {
        let mut set = PolicySet::new();
        match Policy::from_json(None, value.clone()) {
            Ok(policy) => self.added(set.add(policy))?,
            Err(_) => {
                let template =
                    Template::from_json(None, value).map_err(|error| self.refused(&error))?;
                self.added(set.add_template(template))?;
            }
        }
        Ok(set)
    }
}

/// One link of a file of links.
#[derive(Deserialize)]
struct Link {
    template_id: String,
    link_id: String,
    args: HashMap<String, String>,
}

/// Links templates of `policies` as a file of links says, which the `cedar` command line tool
/// calls `--template-linked`: a JSON array of
/// `{"template_id": "…", "link_id": "…", "args": {"?principal": "User::\"alice\""}}`. An empty
/// text has no links.
///
/// # Errors
/// When the text is malformed or exceeds a bound of [`crate::limits`], a template is missing, a
/// link binds other slots than its template has, or its id is taken. The set is then left as it
/// was.
pub fn link(policies: &mut PolicySet, text: &str, origin: &str) -> Result<(), ParseError> {
    link_all(policies, text, origin, HashMap::new)
}

/// As [`link`], for a set that [`parse_policies`] read from `policy_text`: a link may also name its
/// template by position (`policy0` …), which is the template's id to whoever does not look at its
/// `@id` annotation.
///
/// # Errors
/// As [`link`].
pub fn link_by_position(
    policies: &mut PolicySet,
    text: &str,
    origin: &str,
    policy_text: &str,
) -> Result<(), ParseError> {
    link_all(policies, text, origin, || {
        let unnamed: PolicySet = policy_text.parse().unwrap_or_default();
        let named = unnamed.templates().filter_map(|template| {
            let position: &str = template.id().as_ref();
            Some((position.to_owned(), template.annotation("id")?.to_owned()))
        });
        named.collect()
    })
}

/// `aliases` are other names of templates; asked for only when a link's template is missing.
fn link_all(
    policies: &mut PolicySet,
    text: &str,
    origin: &str,
    aliases: impl FnOnce() -> HashMap<String, String> + Send,
) -> Result<(), ParseError> {
    if text.is_empty() {
        return Ok(());
    }
    guard_json_text(text, MAX_POLICY_SET_BYTES, origin)?;
    let source = Source { text, origin };
    on_big_stack(text, origin, || {
        let mut links: Vec<Link> = serde_json::from_str(text)
            .map_err(|error| ParseError::from_json(origin, text, &error))?;
        let missing = |link: &Link| {
            policies
                .template(&PolicyId::new(&link.template_id))
                .is_none()
        };
        if links.iter().any(missing) {
            let aliases = aliases();
            for link in links.iter_mut().filter(|link| missing(link)) {
                if let Some(name) = aliases.get(&link.template_id) {
                    link.template_id.clone_from(name);
                }
            }
        }
        let mut done = Vec::with_capacity(links.len());
        for link in links {
            let id = PolicyId::new(&link.link_id);
            if let Err(error) = source.link(policies, link) {
                for id in done {
                    // Each was linked just now, so it can be unlinked.
                    let _ = policies.unlink(id);
                }
                return Err(error);
            }
            done.push(id);
        }
        Ok(())
    })
}

impl Source<'_> {
    fn link(self, policies: &mut PolicySet, link: Link) -> Result<(), ParseError> {
        let Link {
            template_id,
            link_id,
            args,
        } = link;
        let refuse = |message: String, help| {
            let kind = ParseErrorKind::Link(link_id.as_str().into());
            let message = format!("cannot link `{link_id}`: {message}");
            ParseError::plain(self.origin, self.text, kind, message, help)
        };
        let mut slots = HashMap::with_capacity(args.len());
        for (slot, uid) in args {
            let slot = match slot.as_str() {
                "?principal" => SlotId::principal(),
                "?resource" => SlotId::resource(),
                _ => {
                    let help = Some("the slots are `?principal` and `?resource`");
                    return Err(refuse(format!("there is no slot `{slot}`"), help));
                }
            };
            let entity: EntityUid = uid
                .parse()
                .map_err(|error| refuse(format!("`{uid}` is no entity uid: {error}"), None))?;
            slots.insert(slot, entity);
        }
        let (template, id) = (PolicyId::new(&template_id), PolicyId::new(&link_id));
        policies
            .link(template, id, slots)
            .map_err(|error| refuse(chain(&error), None))
    }
}
