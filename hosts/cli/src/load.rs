//! Files to a world: what `authorize`, `replay` and `explain` load before they start.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use cedar_policy::{Entities, PolicySet, Schema};
use cedar_policy_cli::{OptionalSchemaArgs, PoliciesArgs, PolicyFormat, SchemaFormat};
use cedarjit::{BuildError, RequestError, SaveError, SavedError};
use cedarjit_frontend::load::{
    self, ParseError, link, link_by_position, load_schema, parse_entities, parse_policies,
    parse_policies_json,
};
use cedarjit_tests::engines::{SchemaText, World, WorldTexts};
use miette::{Diagnostic, Report, Result};

use crate::output;

/// What goes wrong outside any Cedar parser.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum Failure {
    /// A file could not be opened or read.
    #[error("failed to read {what} file {path}")]
    Read {
        what: &'static str,
        path: String,
        #[source]
        cause: io::Error,
    },
    /// A file is not text.
    #[error("{what} file {path} is not UTF-8: invalid byte at line {line}, column {column}")]
    NotUtf8 {
        what: &'static str,
        path: String,
        line: usize,
        column: usize,
    },
    /// The thread that does the work could not be started.
    #[error("failed to start a thread")]
    Thread(#[source] io::Error),
    /// The second process, which reads what this one has looked at, could not be run.
    #[error("failed to run a process")]
    Process(#[source] io::Error),
    /// stdout does not take any more, and not because its reader went away.
    #[error("failed to write to stdout")]
    Write(#[source] io::Error),
    /// There is nothing to read policies from.
    #[error("policies and requests cannot both be read from stdin")]
    #[diagnostic(help("name a file with `--policies`"))]
    StdinTwice,
    /// The engine did not take what cedar-policy took.
    #[error("failed to build the engine")]
    Build(#[source] Box<BuildError>),
    /// A saved engine could not be loaded.
    #[error("failed to load the saved engine {path}")]
    Saved {
        path: String,
        #[source]
        cause: Box<SavedError>,
    },
    /// An engine could not be saved.
    #[error("failed to save the engine as {path}")]
    Save {
        path: String,
        #[source]
        cause: Box<SaveError>,
    },
    /// cedar-policy does not know this project's files.
    #[error("the engine `cedar` cannot load saved engines")]
    SavedForCedar,
    /// The engine did not take a request that cedar-policy took.
    #[error("failed to bind the request")]
    Bind(#[source] Box<RequestError>),
}

/// Name of stdin in messages, as in `cedar`.
pub(crate) const STDIN: &str = "<stdin>";

/// Reads all of a file, or of stdin, as text. `what` says what it holds.
pub(crate) fn read_text(
    path: Option<&Path>,
    what: &'static str,
) -> Result<(String, String), Failure> {
    let origin = path.map_or_else(|| STDIN.to_owned(), |path| path.display().to_string());
    let mut bytes = Vec::new();
    let read = match path {
        Some(path) => std::fs::File::open(path).and_then(|mut f| f.read_to_end(&mut bytes)),
        None => io::stdin().read_to_end(&mut bytes),
    };
    if let Err(cause) = read {
        return Err(unreadable(what, &origin, cause));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((text, origin)),
        Err(error) => {
            let (good, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
            let line_start = good
                .iter()
                .rposition(|&b| b == b'\n')
                .map_or(0, |at| at + 1);
            Err(Failure::NotUtf8 {
                what,
                path: origin,
                line: good.iter().filter(|&&b| b == b'\n').count() + 1,
                column: good.len() - line_start + 1,
            })
        }
    }
}

/// Lines longer than this, in bytes, are not shown in reports: one of 10 MB helps nobody.
const LONG_LINE: usize = 2000;

/// A problem with a text that is told without showing the text.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{problem}")]
struct Untold {
    problem: ParseError,
    #[help]
    help: Option<String>,
}

/// Turns a problem with a text into a report, which shows the place if it can be shown.
pub(crate) fn report(text: &str) -> impl Fn(ParseError) -> Report {
    move |problem| {
        if text.lines().all(|line| line.len() <= LONG_LINE) {
            return problem.into();
        }
        let help = problem.help().map(|help| help.to_string());
        Untold { problem, help }.into()
    }
}

/// What an engine that was to be built has against the policies of `args`, whose text this is.
pub(crate) fn build_report(error: BuildError, args: &PoliciesArgs, text: Option<&str>) -> Report {
    match (&error, text) {
        (BuildError::Load(problem), Some(text)) => {
            let origin = args.policies_file.as_deref().unwrap_or(STDIN);
            report(text)(problem.in_text(origin, text))
        }
        _ => Failure::Build(Box::new(error)).into(),
    }
}

/// A file, or stdin, that could not be opened or read.
pub(crate) fn unreadable(what: &'static str, origin: &str, cause: io::Error) -> Failure {
    Failure::Read {
        what,
        path: origin.to_owned(),
        cause,
    }
}

/// Policies, templates and links, with their ids as in `cedar`: `@id` where there is one, else by
/// position. The text comes along if it is Cedar syntax.
fn policies(args: &PoliciesArgs) -> Result<(PolicySet, Option<String>)> {
    let path = args.policies_file.as_deref().map(Path::new);
    let (text, origin) = read_text(path, "policy set")?;
    match args.policy_format {
        PolicyFormat::Cedar => Ok((
            parse_policies(&text, &origin).map_err(report(&text))?,
            Some(text),
        )),
        PolicyFormat::Json => Ok((
            parse_policies_json(&text, &origin).map_err(report(&text))?,
            None,
        )),
    }
}

/// Policies with their links, and the texts of both.
pub(crate) fn linked_policies(args: &PoliciesArgs, texts: &mut WorldTexts) -> Result<PolicySet> {
    let (mut set, text) = policies(args)?;
    texts.policies = text;
    if let Some(path) = &args.template_linked_file {
        let (text, origin) = read_text(Some(Path::new(path)), "template link")?;
        let linked = match &texts.policies {
            Some(policies) => link_by_position(&mut set, &text, &origin, policies),
            None => link(&mut set, &text, &origin),
        };
        linked.map_err(report(&text))?;
        texts.links = Some(text);
    }
    Ok(set)
}

/// The schema, if one is named, and its text.
pub(crate) fn schema(
    args: &OptionalSchemaArgs,
    texts: &mut WorldTexts,
) -> Result<Option<Arc<Schema>>> {
    let read = |path| read_schema(path, args.schema_format, texts);
    args.schema_file.as_deref().map(read).transpose()
}

/// A schema, and its text.
pub(crate) fn read_schema(
    path: &Path,
    format: SchemaFormat,
    texts: &mut WorldTexts,
) -> Result<Arc<Schema>> {
    let (text, origin) = read_text(Some(path), "schema")?;
    let syntax = match format {
        SchemaFormat::Cedar => load::SchemaFormat::Cedar,
        SchemaFormat::Json => load::SchemaFormat::Json,
    };
    let loaded = load_schema(&text, syntax, &origin).map_err(report(&text))?;
    for warning in loaded.warnings {
        output::complain(&warning.into());
    }
    texts.schema = Some(match format {
        SchemaFormat::Cedar => SchemaText::Cedar(text),
        SchemaFormat::Json => SchemaText::Json(text),
    });
    Ok(Arc::new(loaded.schema))
}

/// The entities, validated against the schema if there is one, and their text.
pub(crate) fn entities(
    path: &Path,
    schema: Option<&Schema>,
    texts: &mut WorldTexts,
) -> Result<Entities> {
    let (text, origin) = read_text(Some(path), "entities")?;
    let entities = parse_entities(&text, schema, &origin).map_err(report(&text))?;
    texts.entities = Some(text);
    Ok(entities)
}

/// A file's text if it can be had: for looking at it before somebody else reads it.
pub(crate) fn peek(path: &Path) -> Option<String> {
    path.is_file().then(|| std::fs::read_to_string(path).ok())?
}

/// Policies, schema and entities.
pub(crate) fn world(
    policies: &PoliciesArgs,
    schema: &OptionalSchemaArgs,
    entities: &Path,
) -> Result<World, Vec<Report>> {
    let mut texts = WorldTexts::default();
    let mut problems = Vec::new();
    let policies = linked_policies(policies, &mut texts)
        .map_err(|report| problems.push(report))
        .unwrap_or_default();
    let schema = self::schema(schema, &mut texts)
        .map_err(|report| problems.push(report))
        .unwrap_or_default();
    // Without its schema the entities would be judged by other rules: better not at all.
    if !problems.is_empty() {
        return Err(problems);
    }
    let entities = self::entities(entities, schema.as_deref(), &mut texts);
    match entities {
        Ok(entities) => Ok(World {
            policies,
            entities,
            schema,
            texts,
        }),
        Err(report) => Err(vec![report]),
    }
}
