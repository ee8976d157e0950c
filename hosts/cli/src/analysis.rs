//! `cedarjit analyze`, `cedarjit diff` and `cedarjit prove`: questions that are answered for every
//! request.

mod prove;

pub(crate) use prove::{ProveArgs, prove};

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{ExitCode, Termination};
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{PolicySet, Schema};
use cedar_policy_cli::{CedarExitCode, PoliciesArgs, PolicyFormat, SchemaFormat};
use cedarjit_analysis::{
    Analysis, Answer, Answered, Change, DEFAULT_TIME_LIMIT, Diff, EnvironmentChange, Example,
    NoSolver, NotAnalysable, Question, Solver, Subject,
};
use cedarjit_tests::engines::WorldTexts;
use clap::Args;
use miette::{Diagnostic, Report, Result};

use crate::{load, output};

/// What goes wrong before anything is asked.
#[derive(Debug, thiserror::Error, Diagnostic)]
enum Failure {
    #[error("there is no solver")]
    #[diagnostic(help(
        "install cvc5 (on Debian: `apt-get install cvc5`), or name the program with `--solver` or in the environment variable CVC5"
    ))]
    NoSolver(#[source] NoSolver),
    #[error("{path}: a policy cannot be analysed")]
    NotAnalysable {
        path: String,
        #[source]
        cause: NotAnalysable,
    },
    #[error("there is no question called `{name}`")]
    #[diagnostic(help("questions are: {known}"))]
    NoQuestion { name: String, known: String },
    #[error("`{question}` is about two policy sets, and there is one")]
    #[diagnostic(help("name the other with `--against`"))]
    OneSet { question: Question },
}

/// Flags that both verbs have.
#[derive(Args, Debug)]
struct SolverArgs {
    /// The SMT solver, cvc5; if not given, what CVC5 in the environment names, or `cvc5`
    #[arg(long, value_name = "PROGRAM")]
    solver: Option<PathBuf>,
    /// How long the solver may think about one question, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = DEFAULT_TIME_LIMIT.as_millis() as u64)]
    time_limit: u64,
    /// Print the answers as one JSON document
    #[arg(long)]
    json: bool,
}

/// A schema, which must be named.
#[derive(Args, Debug)]
struct SchemaArgs {
    /// File containing the schema
    #[arg(short, long = "schema", value_name = "FILE")]
    schema_file: PathBuf,
    /// Schema format
    #[arg(long, value_enum, default_value_t)]
    schema_format: SchemaFormat,
}

/// Arguments of `analyze`.
#[derive(Args, Debug)]
pub(crate) struct AnalyzeArgs {
    /// Policies args (incorporated by reference)
    #[command(flatten)]
    policies: PoliciesArgs,
    /// Schema args (incorporated by reference)
    #[command(flatten)]
    schema: SchemaArgs,
    /// A second policy set, to which the first is compared
    #[arg(long, value_name = "FILE")]
    against: Option<String>,
    /// Links of the templates of the second policy set
    #[arg(long, value_name = "FILE", requires = "against")]
    against_template_linked: Option<String>,
    /// A question to ask, and again for each further one; all if not given
    #[arg(long = "question", value_name = "QUESTION")]
    questions: Vec<String>,
    /// Solver args (incorporated by reference)
    #[command(flatten)]
    solver: SolverArgs,
}

/// Arguments of `diff`.
#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// File containing the policies as they are
    #[arg(value_name = "OLD")]
    old: String,
    /// File containing the policies as they are to be
    #[arg(value_name = "NEW")]
    new: String,
    /// Format of policies in both files
    #[arg(long, value_enum, default_value_t)]
    policy_format: PolicyFormat,
    /// Links of the templates of both files
    #[arg(short = 'k', long = "template-linked", value_name = "FILE")]
    links: Option<String>,
    /// Links of the templates of NEW, if they are others
    #[arg(long = "new-template-linked", value_name = "FILE")]
    new_links: Option<String>,
    /// Schema args (incorporated by reference)
    #[command(flatten)]
    schema: SchemaArgs,
    /// Solver args (incorporated by reference)
    #[command(flatten)]
    solver: SolverArgs,
}

/// Asks what policies always do. Ends with 0 whatever the answers are.
pub(crate) fn analyze(args: AnalyzeArgs) -> ExitCode {
    reported(try_analyze(args))
}

/// Says what a change changes. Ends with 0 if it is proved that nothing does, and with 2 otherwise.
pub(crate) fn diff(args: DiffArgs) -> ExitCode {
    reported(try_diff(args))
}

fn reported(done: Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|report| {
        output::complain(&report);
        ExitCode::FAILURE
    })
}

fn try_analyze(args: AnalyzeArgs) -> Result<ExitCode> {
    let questions = questions(&args)?;
    let schema = args.schema.read()?;
    let format = args.policies.policy_format;
    let first = subject(&args.policies)?;
    let second = args.against.map(|file| {
        subject(&PoliciesArgs {
            policies_file: Some(file),
            policy_format: format,
            template_linked_file: args.against_template_linked,
        })
    });
    let second = second.transpose()?;
    let mut solver = args.solver.start()?;
    let mut printer = Printer::new(args.solver.json);
    let tell = |answered: &Answered| printer.line(|out| print_answered(out, answered));
    let other = second.as_ref();
    let analysis =
        cedarjit_analysis::analyze(&first, other, &schema, &questions, &mut solver, tell);
    printer.finish(&analysis, |out| print_counts(out, &analysis))?;
    Ok(ExitCode::SUCCESS)
}

fn try_diff(args: DiffArgs) -> Result<ExitCode> {
    let schema = args.schema.read()?;
    let subject_of = |file, links| {
        subject(&PoliciesArgs {
            policies_file: Some(file),
            policy_format: args.policy_format,
            template_linked_file: links,
        })
    };
    let old = subject_of(args.old, args.links.clone())?;
    let new = subject_of(args.new, args.new_links.or(args.links))?;
    let mut solver = args.solver.start()?;
    let mut printer = Printer::new(args.solver.json);
    let tell = |change: &EnvironmentChange| printer.line(|out| print_change(out, change));
    let diff = cedarjit_analysis::diff(&old, &new, &schema, &mut solver, tell);
    printer.finish(&diff, |out| print_changes(out, &diff))?;
    Ok(
        match diff.count(Change::Unchanged) == diff.environments.len() {
            true => ExitCode::SUCCESS,
            false => CedarExitCode::AuthorizeDeny.report(),
        },
    )
}

fn questions(args: &AnalyzeArgs) -> Result<Vec<Question>, Failure> {
    if args.questions.is_empty() {
        return Ok(Question::ALL.to_vec());
    }
    let by_name = |name: &String| {
        let question = Question::ALL.into_iter().find(|it| it.name() == name);
        let question = question.ok_or_else(|| Failure::NoQuestion {
            name: name.clone(),
            known: Question::ALL.map(Question::name).join(", "),
        })?;
        match question.scope() {
            cedarjit_analysis::Scope::TwoSets if args.against.is_none() => {
                Err(Failure::OneSet { question })
            }
            _ => Ok(question),
        }
    };
    args.questions.iter().map(by_name).collect()
}

fn subject(args: &PoliciesArgs) -> Result<Subject> {
    let policies = load::linked_policies(args, &mut WorldTexts::default())?;
    stand_alone(&policies, args)
}

fn stand_alone(policies: &PolicySet, args: &PoliciesArgs) -> Result<Subject> {
    Subject::new(policies).map_err(|cause| {
        let path = args.policies_file.as_deref().unwrap_or(load::STDIN);
        Report::from(Failure::NotAnalysable {
            path: path.to_owned(),
            cause,
        })
    })
}

impl SchemaArgs {
    fn read(&self) -> Result<Arc<Schema>> {
        self.read_into(&mut WorldTexts::default())
    }

    fn read_into(&self, texts: &mut WorldTexts) -> Result<Arc<Schema>> {
        load::read_schema(&self.schema_file, self.schema_format, texts)
    }
}

impl SolverArgs {
    fn start(&self) -> Result<Solver, Failure> {
        let program = self.solver.clone().map(PathBuf::into_os_string);
        Solver::start(program, Duration::from_millis(self.time_limit)).map_err(Failure::NoSolver)
    }
}

/// stdout, until something goes wrong with it: lines as they come, or one document at the end.
struct Printer {
    json: bool,
    written: Result<output::Written, load::Failure>,
}

impl Printer {
    fn new(json: bool) -> Self {
        let written = Ok(output::Written::Taken);
        Self { json, written }
    }

    fn print(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if let Ok(output::Written::Taken) = self.written {
            let mut out = io::stdout().lock();
            self.written = output::written(write(&mut out).and_then(|()| out.flush()));
        }
    }

    fn line(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if !self.json {
            self.print(write);
        }
    }

    fn finish(
        mut self,
        document: &impl serde::Serialize,
        summary: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), load::Failure> {
        match self.json {
            true => self.print(|out| print_json(out, document)),
            false => self.print(summary),
        }
        self.written.map(drop)
    }
}

fn print_json(out: &mut dyn Write, document: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    writeln!(out)
}

fn print_answered(out: &mut dyn Write, answered: &Answered) -> io::Result<()> {
    let word = match &answered.answer {
        Answer::Yes => "yes",
        Answer::No(_) => "no",
        Answer::NotKnown(_) => "not known",
    };
    write!(out, "{word:<9}  {:<13}", answered.question)?;
    if let Some(policy) = &answered.policy {
        write!(out, "  {policy}")?;
    }
    writeln!(out, "  ({})", answered.environment)?;
    match &answered.answer {
        Answer::Yes => Ok(()),
        Answer::No(example) => print_example(out, example),
        Answer::NotKnown(why) => writeln!(out, "    {why}"),
    }
}

fn print_counts(out: &mut dyn Write, analysis: &Analysis) -> io::Result<()> {
    let (yes, no, not_known) = analysis.counts();
    let all = analysis.answers.len();
    writeln!(
        out,
        "{all} questions: {yes} yes, {no} no, {not_known} not known"
    )
}

fn print_change(out: &mut dyn Write, change: &EnvironmentChange) -> io::Result<()> {
    writeln!(out, "{:<15}  {}", change.change, change.environment)?;
    if let Some(example) = &change.newly_allowed {
        writeln!(out, "  allowed now, denied before:")?;
        print_example(out, example)?;
    }
    if let Some(example) = &change.newly_denied {
        writeln!(out, "  denied now, allowed before:")?;
        print_example(out, example)?;
    }
    for why in &change.not_known {
        writeln!(out, "    {why}")?;
    }
    Ok(())
}

fn print_changes(out: &mut dyn Write, diff: &Diff) -> io::Result<()> {
    let counts = Change::ALL.map(|change| format!("{} {change}", diff.count(change)));
    let all = diff.environments.len();
    writeln!(out, "{all} request environments: {}", counts.join(", "))
}

fn print_example(out: &mut dyn Write, example: &Example) -> io::Result<()> {
    let (principal, action, resource) = (&example.principal, &example.action, &example.resource);
    writeln!(out, "    {principal}, {action}, {resource}")?;
    writeln!(out, "    context {}", example.context)?;
    let is_action = |entity: &&serde_json::Value| {
        let of_type = entity.pointer("/uid/type").and_then(|it| it.as_str());
        of_type.is_some_and(|it| it == "Action" || it.ends_with("::Action"))
    };
    let entities = example.entities.as_array().into_iter().flatten();
    for entity in entities.filter(|it| !is_action(it)) {
        writeln!(out, "    entity {entity}")?;
    }
    for judged in &example.judged {
        let decision = if judged.allowed { "allow" } else { "deny" };
        write!(out, "    cedar-policy: {decision}")?;
        if !judged.reasons.is_empty() {
            write!(out, " by {}", judged.reasons.join(", "))?;
        }
        writeln!(out)?;
        for error in &judged.errors {
            writeln!(out, "      {error}")?;
        }
    }
    Ok(())
}
