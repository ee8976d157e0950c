//! `cedarjit prove`: whether what the engine made of policies means what they say.

use std::io::{self, Write};
use std::process::{ExitCode, Termination};
use std::sync::Arc;

use cedar_policy::{PolicySet, Schema};
use cedar_policy_cli::{CedarExitCode, PoliciesArgs};
use cedarjit::{Engine, EngineBuilder, Scratch};
use cedarjit_analysis::{Answer, Example, Judged, Proof, Proofs};
use cedarjit_tests::engines::{SchemaText, WorldTexts};
use clap::Args;
use miette::Result;
use serde::Serialize;

use super::{Printer, SchemaArgs, SolverArgs, print_example, reported, stand_alone};
use crate::load;

/// Arguments of `prove`.
#[derive(Args, Debug)]
pub(crate) struct ProveArgs {
    /// Policies args (incorporated by reference)
    #[command(flatten)]
    policies: PoliciesArgs,
    /// Schema args (incorporated by reference)
    #[command(flatten)]
    schema: SchemaArgs,
    /// Compile as for entities that do not fit the schema, which gives code no types then
    #[arg(long)]
    untyped: bool,
    /// Solver args (incorporated by reference)
    #[command(flatten)]
    solver: SolverArgs,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    proofs: &'a Proofs,
    /// What the engine answers to the requests that refute.
    answers: Vec<Judged>,
    /// The policies that are not proved, to be interpreted.
    unproven: Vec<&'a str>,
}

/// Compares policies with what the engine made of them. Ends with 0 if all is proved, with 2 if
/// something is not known, and with 3 if something is refuted.
pub(crate) fn prove(args: ProveArgs) -> ExitCode {
    reported(try_prove(args))
}

fn try_prove(args: ProveArgs) -> Result<ExitCode> {
    let mut texts = WorldTexts::default();
    let policies = load::linked_policies(&args.policies, &mut texts)?;
    let schema = args.schema.read_into(&mut texts)?;
    let subject = stand_alone(&policies, &args.policies)?;
    let compiled = Compiled {
        policies: &policies,
        schema: &schema,
        text: texts.schema.take().filter(|_| !args.untyped),
    };
    let engine = (compiled.builder().build())
        .map_err(|error| load::build_report(error, &args.policies, texts.policies.as_deref()))?;
    let made = engine.snapshot().compiled_conditions();
    let made = made.into_iter().map(|made| (made.policy, made.expression));
    let mut solver = args.solver.start()?;
    let mut printer = Printer::new(args.solver.json);
    let mut answers = Vec::new();
    let tell = |proof: &Proof| {
        let example = match &proof.answer {
            Answer::No(example) => Some(&**example),
            _ => None,
        };
        let answer = example.map(|example| compiled.answer(example));
        printer.line(|out| print_proof(out, proof, answer.as_ref()));
        answers.extend(answer);
    };
    let proofs = cedarjit_analysis::prove(&subject, &made.collect(), &schema, &mut solver, tell);
    let document = Document {
        proofs: &proofs,
        answers,
        unproven: proofs.unproven(),
    };
    printer.finish(&document, |out| print_summary(out, &proofs))?;
    Ok(match proofs.counts() {
        (_, 0, 0) => ExitCode::SUCCESS,
        (_, 0, _) => CedarExitCode::AuthorizeDeny.report(),
        _ => CedarExitCode::ValidationFailure.report(),
    })
}

/// What is proved, to be asked about concrete requests.
struct Compiled<'a> {
    policies: &'a PolicySet,
    schema: &'a Arc<Schema>,
    /// The schema's text, if code gets types from it.
    text: Option<SchemaText>,
}

impl Compiled<'_> {
    fn builder(&self) -> EngineBuilder {
        let builder = Engine::builder().policies(self.policies);
        match &self.text {
            Some(SchemaText::Cedar(text)) => builder.schema_str(text),
            Some(SchemaText::Json(text)) => builder.schema_json(text),
            None => builder.schema(self.schema),
        }
    }

    /// What the engine answers to an example. That it cannot be asked is told as an error, too.
    fn answer(&self, example: &Example) -> Judged {
        let Example {
            principal,
            action,
            resource,
            ..
        } = example;
        let unasked = |error: &dyn std::error::Error| Judged {
            allowed: false,
            reasons: Vec::new(),
            errors: vec![format!("not asked: {error}")],
        };
        let builder = self.builder().entities_json(example.entities.to_string());
        let engine = match builder.build() {
            Ok(engine) => engine,
            Err(error) => return unasked(&error),
        };
        let snapshot = engine.snapshot();
        let bound = snapshot.bind_json(principal, action, resource, &example.context, true);
        let bound = match bound {
            Ok(bound) => bound,
            Err(error) => return unasked(&error),
        };
        let mut scratch = Scratch::default();
        let evaluation = bound.evaluate(&mut scratch);
        let errors = evaluation.errors();
        let mut judged = Judged {
            allowed: evaluation.decision() == cedarjit::Decision::Allow,
            reasons: evaluation.reasons().map(str::to_owned).collect(),
            errors: errors
                .map(|(id, error)| format!("`{id}`: {error}"))
                .collect(),
        };
        judged.reasons.sort_unstable();
        judged.errors.sort_unstable();
        judged
    }
}

fn print_proof(out: &mut dyn Write, proof: &Proof, answer: Option<&Judged>) -> io::Result<()> {
    let word = match &proof.answer {
        Answer::Yes => "proved",
        Answer::No(_) => "REFUTED",
        Answer::NotKnown(_) => "not proved",
    };
    let (policy, environment) = (&proof.policy, &proof.environment);
    let time = proof.time.as_millis();
    writeln!(out, "{word:<10}  {time:>5} ms  {policy}  ({environment})")?;
    match &proof.answer {
        Answer::Yes => Ok(()),
        Answer::NotKnown(why) => writeln!(out, "    {why}"),
        Answer::No(example) => {
            writeln!(out, "    the policy, then what was made of it:")?;
            print_example(out, example)?;
            let Some(answer) = answer else {
                return Ok(());
            };
            let decision = if answer.allowed { "allow" } else { "deny" };
            let (reasons, errors) = (&answer.reasons, &answer.errors);
            writeln!(
                out,
                "    cedarjit on all policies: {decision}, reasons {reasons:?}, errors {errors:?}"
            )
        }
    }
}

fn print_summary(out: &mut dyn Write, proofs: &Proofs) -> io::Result<()> {
    let (proved, refuted, not_known) = proofs.counts();
    let all = proofs.proofs.len();
    let most = proofs.most_within().as_millis();
    writeln!(
        out,
        "{all} policies and request environments: {proved} proved, {refuted} refuted, {not_known} \
         not proved; 95 % within {most} ms"
    )?;
    match &proofs.unproven()[..] {
        [] => Ok(()),
        ids => writeln!(out, "to be interpreted: {}", ids.join(", ")),
    }
}
