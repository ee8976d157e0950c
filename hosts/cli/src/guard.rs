//! A look at the input of verbs that cedar-policy's crates do, before they get to see it.
//!
//! Those verbs read files themselves. Text nested so deeply that a parser could run out of stack is
//! refused here; everything else, unreadable files included, is theirs to report.
//!
//! What such a verb is about to read from stdin can be looked at only once. So the verb is then done
//! by a second process, which gets the text on its stdin.

use std::env;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode, ExitStatus, Stdio};

use cedar_policy_cli::{
    CheckParseArgs, OptionalSchemaArgs, PoliciesArgs, PolicyFormat, PolicyTranslationDirection,
    RequestArgs, SchemaArgs, SchemaFormat, SchemaTranslationDirection,
};
use cedarjit_frontend::load::{
    ParseError, ParseErrorKind, guard_json_depth, guard_policy_text, guard_schema_text,
    parse_policies,
};
use miette::Result;

use crate::commands::Command;
use crate::load::{self, Failure};

/// Something that another crate is going to parse.
#[derive(Debug)]
pub(crate) struct Guarded {
    source: Source,
    syntax: Syntax,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Stdin,
    Argument(String),
}

#[derive(Debug, Clone, Copy)]
enum Syntax {
    Policies,
    Expression,
    Schema,
    Json,
}

/// Set for the second process, whose stdin has been looked at.
const STDIN_IS_CHECKED: &str = "CEDARJIT_STDIN_IS_CHECKED";

/// Refuses input that is nested too deeply. Returns what was read from stdin, if anything had to
/// be: whoever is to read it must get it from [`run_again`].
pub(crate) fn check(inputs: &[Guarded]) -> Result<Option<Vec<u8>>> {
    let mut from_stdin = None;
    for Guarded { source, syntax } in inputs {
        match source {
            Source::Argument(text) => syntax.check(text, "the argument")?,
            Source::File(path) => {
                if let Some(text) = load::peek(path) {
                    syntax.check(&text, &path.display().to_string())?;
                }
            }
            Source::Stdin if env::var_os(STDIN_IS_CHECKED).is_some() => {}
            Source::Stdin => {
                let mut bytes = Vec::new();
                let read = io::stdin().read_to_end(&mut bytes);
                read.map_err(|cause| load::unreadable("input", load::STDIN, cause))?;
                if let Ok(text) = std::str::from_utf8(&bytes) {
                    syntax.check(text, load::STDIN)?;
                }
                from_stdin = Some(bytes);
            }
        }
    }
    Ok(from_stdin)
}

impl Syntax {
    fn check(self, text: &str, origin: &str) -> Result<()> {
        let checked = match self {
            Self::Policies => check_policies(text, origin),
            Self::Expression => guard_policy_text(text, origin),
            Self::Schema => guard_schema_text(text, origin),
            Self::Json => guard_json_depth(text, origin),
        };
        checked.map_err(load::report(text))
    }
}

/// Parses the policies, because our report of what is wrong names the file and the place, and
/// cedar-policy's does not. What `@id` annotations make of them is not looked at: a verb may not
/// care.
fn check_policies(text: &str, origin: &str) -> Result<(), ParseError> {
    match parse_policies(text, origin) {
        Err(error) if !matches!(error.kind(), ParseErrorKind::DuplicateId(_)) => Err(error),
        _ => Ok(()),
    }
}

/// Does this very command line in another process, with `stdin` as its input.
pub(crate) fn run_again(stdin: &[u8]) -> Result<ExitCode> {
    let outcome = spawn_again(stdin).map_err(Failure::Process)?;
    let code = outcome.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn spawn_again(stdin: &[u8]) -> io::Result<ExitStatus> {
    let mut child = process::Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(STDIN_IS_CHECKED, "1")
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        match pipe.write_all(stdin) {
            // The verb may well fail before it has read everything.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    child.wait()
}

impl Command {
    /// The inputs of a verb that does not guard itself.
    pub(crate) fn guarded(&self) -> Vec<Guarded> {
        let mut inputs = Inputs::default();
        match self {
            Self::Validate(args) => inputs.policies(&args.policies).schema(&args.schema),
            Self::CheckParse(args) => inputs.check_parse(args),
            Self::Format(args) => inputs.file_or_stdin(&args.policies_file, Syntax::Policies),
            Self::Link(args) => inputs.policies(&args.policies),
            Self::Evaluate(args) => inputs
                .request(&args.request)
                .optional_schema(&args.schema)
                .file(&args.entities_file, Syntax::Json)
                .argument(&Some(&args.expression)),
            Self::TranslatePolicy(args) => {
                let syntax = match args.direction {
                    PolicyTranslationDirection::CedarToJson => Syntax::Policies,
                    PolicyTranslationDirection::JsonToCedar => Syntax::Json,
                };
                inputs.file_or_stdin(&args.input_file, syntax)
            }
            Self::TranslateSchema(args) => {
                let syntax = match args.direction {
                    SchemaTranslationDirection::JsonToCedar => Syntax::Json,
                    SchemaTranslationDirection::CedarToJson
                    | SchemaTranslationDirection::CedarToJsonWithResolvedTypes => Syntax::Schema,
                };
                inputs.file_or_stdin(&args.input_file, syntax)
            }
            Self::RunTests(args) => inputs
                .policies(&args.policies)
                .optional_schema(&args.schema)
                .file(&Some(&args.tests), Syntax::Json),
            Self::Visualize(args) => inputs.file(&Some(&args.entities_file), Syntax::Json),
            Self::Authorize(_)
            | Self::Replay(_)
            | Self::Save(_)
            | Self::Serve(_)
            | Self::Explain(_)
            | Self::Analyze(_)
            | Self::Diff(_)
            | Self::Prove(_)
            | Self::Conformance(_)
            | Self::Campaign(_) => &mut inputs,
            Self::New(_) | Self::LanguageVersion => &mut inputs,
        };
        inputs.0
    }
}

/// The inputs of a verb, gathered from its arguments.
#[derive(Default)]
struct Inputs(Vec<Guarded>);

impl Inputs {
    fn push(&mut self, source: Option<Source>, syntax: Syntax) -> &mut Self {
        self.0
            .extend(source.map(|source| Guarded { source, syntax }));
        self
    }

    fn file(&mut self, path: &Option<impl AsRef<Path>>, syntax: Syntax) -> &mut Self {
        let path = path.as_ref().map(|path| path.as_ref().to_owned());
        self.push(path.map(Source::File), syntax)
    }

    fn file_or_stdin(&mut self, path: &Option<impl AsRef<Path>>, syntax: Syntax) -> &mut Self {
        match path {
            Some(_) => self.file(path, syntax),
            None => self.push(Some(Source::Stdin), syntax),
        }
    }

    fn argument(&mut self, text: &Option<impl AsRef<str>>) -> &mut Self {
        let text = text.as_ref().map(|text| text.as_ref().to_owned());
        self.push(text.map(Source::Argument), Syntax::Expression)
    }

    fn policies(&mut self, args: &PoliciesArgs) -> &mut Self {
        self.file(&args.template_linked_file, Syntax::Json)
            .file_or_stdin(&args.policies_file, syntax_of(args.policy_format))
    }

    fn schema(&mut self, args: &SchemaArgs) -> &mut Self {
        let syntax = schema_syntax_of(args.schema_format);
        self.file(&Some(&args.schema_file), syntax)
    }

    fn optional_schema(&mut self, args: &OptionalSchemaArgs) -> &mut Self {
        self.file(&args.schema_file, schema_syntax_of(args.schema_format))
    }

    fn check_parse(&mut self, args: &CheckParseArgs) -> &mut Self {
        let nothing_named = args.policies.policies_file.is_none()
            && args.schema.schema_file.is_none()
            && args.entities_file.is_none()
            && args.expression.is_none();
        let syntax = syntax_of(args.policies.policy_format);
        self.push(nothing_named.then_some(Source::Stdin), syntax)
            .file(&args.policies.policies_file, syntax)
            .file(&args.policies.template_linked_file, Syntax::Json)
            .optional_schema(&args.schema)
            .file(&args.entities_file, Syntax::Json)
            .argument(&args.expression)
    }

    fn request(&mut self, args: &RequestArgs) -> &mut Self {
        self.argument(&args.principal)
            .argument(&args.action)
            .argument(&args.resource)
            .file(&args.context_json_file, Syntax::Json)
            .file(&args.request_json_file, Syntax::Json)
    }
}

fn syntax_of(format: PolicyFormat) -> Syntax {
    match format {
        PolicyFormat::Cedar => Syntax::Policies,
        PolicyFormat::Json => Syntax::Json,
    }
}

fn schema_syntax_of(format: SchemaFormat) -> Syntax {
    match format {
        SchemaFormat::Cedar => Syntax::Schema,
        SchemaFormat::Json => Syntax::Json,
    }
}
