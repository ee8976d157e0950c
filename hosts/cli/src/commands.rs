//! The verbs, and who does them.

use std::process::{ExitCode, Termination};

use cedar_policy_cli::{
    AuthorizeArgs, CheckParseArgs, ErrorFormat, EvaluateArgs, FormatArgs, LinkArgs, NewArgs,
    RunTestsArgs, TranslatePolicyArgs, TranslateSchemaArgs, ValidateArgs, VisualizeArgs,
};
use clap::{Parser, Subcommand};

use crate::guard;
use crate::{analysis, authorize, campaign, conformance, explain, output, replay, save, serve};

/// A compiled policy decision engine for Cedar
#[derive(Parser, Debug)]
#[command(name = "cedarjit", version, about, long_about = None)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// The output format to use for error reporting
    #[arg(
        global = true,
        short = 'f',
        long = "error-format",
        env = "CEDAR_ERROR_FORMAT",
        default_value_t,
        value_enum
    )]
    pub(crate) err_fmt: ErrorFormat,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Evaluate an authorization request
    Authorize(AuthorizeArgs),
    /// Answer a file of authorization requests, and measure how fast
    Replay(replay::ReplayArgs),
    /// Save policies, schema and entities as a file that loads in milliseconds
    Save(save::SaveArgs),
    /// Answer authorization requests over HTTP
    Serve(cedarjit_sidecar::ServeArgs),
    /// Show what becomes of a policy: HIR, IR, shape, index entry, CLIF and disassembly
    Explain(explain::ExplainArgs),
    /// Ask what policies do for every request: each answer is proved or refuted by an example
    Analyze(analysis::AnalyzeArgs),
    /// Say which requests a change of policies allows or denies that were not before
    Diff(analysis::DiffArgs),
    /// Prove that what the engine made of each policy means what the policy says
    Prove(analysis::ProveArgs),
    /// Run Cedar integration tests through every engine
    Conformance(conformance::ConformanceArgs),
    /// Compare every engine with cedar-policy over generated worlds
    Campaign(campaign::CampaignArgs),
    /// Validate a policy set against a schema
    Validate(ValidateArgs),
    /// Check that policies, an expression, a schema or entities parse (policies from stdin if
    /// nothing is named)
    CheckParse(CheckParseArgs),
    /// Format a policy set
    Format(FormatArgs),
    /// Link a template
    Link(LinkArgs),
    /// Evaluate a Cedar expression
    Evaluate(EvaluateArgs),
    /// Translate policies between Cedar and JSON syntax (except comments)
    TranslatePolicy(TranslatePolicyArgs),
    /// Translate a schema between Cedar and JSON syntax (except comments)
    TranslateSchema(TranslateSchemaArgs),
    /// Run test cases on a policy set
    RunTests(RunTestsArgs),
    /// Print entities as a graph in Graphviz format
    Visualize(VisualizeArgs),
    /// Create a Cedar project
    New(NewArgs),
    /// Print the version of the Cedar language
    LanguageVersion,
}

/// Does what the command line asks for.
pub(crate) fn run(command: Command) -> ExitCode {
    let on_stdout = command.reports_on_stdout();
    let done = guard::check(&command.guarded()).and_then(|stdin| match stdin {
        Some(text) => guard::run_again(&text),
        None => Ok(command.run()),
    });
    done.unwrap_or_else(|report| {
        match on_stdout {
            true => output::complain_on_stdout(&[report]),
            false => output::complain(&report),
        }
        ExitCode::FAILURE
    })
}

impl Command {
    /// Whether `cedar` reports what is wrong with the input of this verb on stdout.
    fn reports_on_stdout(&self) -> bool {
        matches!(
            self,
            Self::Authorize(_)
                | Self::CheckParse(_)
                | Self::Evaluate(_)
                | Self::Format(_)
                | Self::Link(_)
                | Self::RunTests(_)
                | Self::Validate(_)
        )
    }

    fn run(self) -> ExitCode {
        let done = match self {
            Self::Analyze(args) => return analysis::analyze(args),
            Self::Diff(args) => return analysis::diff(args),
            Self::Prove(args) => return analysis::prove(args),
            Self::Authorize(args) => authorize::authorize(&args),
            Self::Replay(args) => replay::replay(&args),
            Self::Save(args) => save::save(&args),
            Self::Serve(args) => serve::serve(&args),
            Self::Explain(args) => explain::explain(&args),
            Self::Conformance(args) => conformance::conformance(&args),
            Self::Campaign(args) => campaign::campaign(&args),
            Self::Validate(args) => cedar_policy_cli::validate(&args),
            Self::CheckParse(args) => cedar_policy_cli::check_parse(&args),
            Self::Format(args) => cedar_policy_cli::format_policies(&args),
            Self::Link(args) => cedar_policy_cli::link(&args),
            Self::Evaluate(args) => cedar_policy_cli::evaluate(&args).0,
            Self::TranslatePolicy(args) => cedar_policy_cli::translate_policy(&args),
            Self::TranslateSchema(args) => cedar_policy_cli::translate_schema(&args),
            Self::RunTests(args) => cedar_policy_cli::run_tests(&args),
            Self::Visualize(args) => cedar_policy_cli::visualize(&args),
            Self::New(args) => cedar_policy_cli::new(&args),
            Self::LanguageVersion => cedar_policy_cli::language_version(),
        };
        done.report()
    }
}
