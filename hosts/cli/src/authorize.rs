//! `cedarjit authorize`: the flags, output and exit codes of `cedar authorize`, decided by our
//! engine.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use cedar_policy::{Decision, PolicyId};
use cedar_policy_cli::{AuthorizeArgs, CedarExitCode};
use cedarjit_tests::engines::{Answer, World};
use miette::{Report, WrapErr};

use crate::{engine, load, output, request};

/// Decides the request and prints the answer.
pub(crate) fn authorize(args: &AuthorizeArgs) -> CedarExitCode {
    let outcome = decide(args);
    match outcome {
        Ok((answer, order, time)) => {
            // The exit code tells the decision whether or not somebody reads the text.
            let _ = print(&answer, &order, args.timing.then_some(time), args.verbose);
            match answer.decision {
                Decision::Allow => CedarExitCode::Success,
                Decision::Deny => CedarExitCode::AuthorizeDeny,
            }
        }
        Err(reports) => {
            output::complain_on_stdout(&reports);
            CedarExitCode::Failure
        }
    }
}

type Outcome = Result<(Answer, Vec<PolicyId>, Duration), Vec<Report>>;

fn decide(args: &AuthorizeArgs) -> Outcome {
    let entities = Path::new(&args.entities_file);
    let world = load::world(&args.policies, &args.schema, entities)?;
    let request = request::from_args(&args.request, world.schema.as_deref())
        .wrap_err("failed to parse request")
        .map_err(|report| vec![report])?;
    let order = policy_order(&world);
    let (answer, time) =
        engine::decide(world, &request, &args.policies).map_err(|report| vec![report])?;
    Ok((answer, order, time))
}

/// Policy ids in the order in which cedar-policy evaluates them, hence lists errors.
fn policy_order(world: &World) -> Vec<PolicyId> {
    world.policies.policies().map(|p| p.id().clone()).collect()
}

fn print(
    answer: &Answer,
    order: &[PolicyId],
    time: Option<Duration>,
    verbose: bool,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out)?;
    if let Some(time) = time {
        writeln!(
            out,
            "Authorization Time (micro seconds) : {}",
            time.as_micros()
        )?;
    }
    match answer.decision {
        Decision::Allow => writeln!(out, "ALLOW")?,
        Decision::Deny => writeln!(out, "DENY")?,
    }
    if !answer.errors.is_empty() {
        writeln!(out)?;
        for id in order {
            if let Some(message) = answer.errors.get::<str>(id.as_ref()) {
                writeln!(out, "error while evaluating policy `{id}`: {message}")?;
            }
        }
    }
    if verbose {
        writeln!(out)?;
        if answer.reasons.is_empty() {
            writeln!(out, "note: no policies applied to this request")?;
        } else {
            writeln!(
                out,
                "note: this decision was due to the following policies:"
            )?;
            for reason in &answer.reasons {
                writeln!(out, "  {reason}")?;
            }
            writeln!(out)?;
        }
    }
    out.flush()
}
