//! `cedarjit explain`: what becomes of a policy.

use std::fmt::Write as _;
use std::io::Write as _;

use cedar_policy_cli::{CedarExitCode, OptionalSchemaArgs, PoliciesArgs};
use cedarjit::{Explanation, Posting, Side, Snapshot};
use cedarjit_frontend::hir::{Printed, Slot};
use cedarjit_ir::ids::EntityId;
use cedarjit_tests::engines::{SchemaText, WorldTexts};
use clap::Args;
use miette::{Diagnostic, Report};

use crate::load;
use crate::output::{self, Written};

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// Policies args (incorporated by reference)
    #[command(flatten)]
    pub(crate) policies: PoliciesArgs,
    /// Schema args (incorporated by reference)
    ///
    /// The schema types attributes, and its action groups decide which actions a policy is indexed
    /// under.
    #[command(flatten)]
    pub(crate) schema: OptionalSchemaArgs,
    /// Show only the policy with this id
    #[arg(long = "policy", value_name = "ID")]
    pub(crate) policy: Option<String>,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("there is no policy with id `{id}`")]
#[diagnostic(help("the policies are: {known}. A template is shown through one of its links"))]
struct NoSuchPolicy {
    id: String,
    known: String,
}

/// How many policy ids a message lists.
const LISTED: usize = 20;

/// Shows HIR, IR, shape, index entry, CLIF and disassembly of the policies.
pub(crate) fn explain(args: &ExplainArgs) -> CedarExitCode {
    match explained(args) {
        Ok(text) => {
            let result = std::io::stdout().lock().write_all(text.as_bytes());
            match output::written(result) {
                Ok(Written::Taken | Written::Closed) => CedarExitCode::Success,
                Err(failure) => complain(&failure.into()),
            }
        }
        Err(report) => complain(&report),
    }
}

fn complain(report: &Report) -> CedarExitCode {
    output::complain(report);
    CedarExitCode::Failure
}

fn explained(args: &ExplainArgs) -> Result<String, Report> {
    let mut texts = WorldTexts::default();
    let policies = load::linked_policies(&args.policies, &mut texts)?;
    // For its complaints, which name the file; the engine reads the text again.
    load::schema(&args.schema, &mut texts)?;
    let builder = cedarjit::Engine::builder().policies(&policies);
    let builder = match texts.schema.take() {
        Some(SchemaText::Cedar(text)) => builder.schema_str(text),
        Some(SchemaText::Json(text)) => builder.schema_json(text),
        None => builder,
    };
    let engine = builder
        .build()
        .map_err(|error| load::build_report(error, &args.policies, texts.policies.as_deref()))?;
    let snapshot = engine.snapshot();
    let ids: Vec<&str> = match &args.policy {
        Some(id) => vec![id.as_str()],
        None => snapshot.policies().map(|p| p.id.as_str()).collect(),
    };
    let mut text = String::new();
    for id in ids {
        let Some(explanation) = snapshot.explain(id) else {
            return Err(no_such_policy(id, &snapshot).into());
        };
        // Writing to a string cannot fail.
        let _ = describe(&mut text, &explanation, &snapshot);
    }
    Ok(text)
}

fn no_such_policy(id: &str, snapshot: &Snapshot) -> NoSuchPolicy {
    let mut known: Vec<&str> = snapshot
        .policies()
        .map(|p| p.id.as_str())
        .take(LISTED)
        .collect();
    if snapshot.policies().len() > LISTED {
        known.push("…");
    }
    NoSuchPolicy {
        id: id.to_owned(),
        known: known.join(", "),
    }
}

fn describe(
    out: &mut String,
    explanation: &Explanation<'_>,
    snapshot: &Snapshot,
) -> std::fmt::Result {
    let bound = explanation.policy;
    writeln!(out, "== policy {} ==", bound.id)?;
    for (slot, name) in [
        (Slot::Principal, "?principal"),
        (Slot::Resource, "?resource"),
    ] {
        if let Some(entity) = bound.slots.get(slot) {
            writeln!(out, "{name} = {}", uid(snapshot, entity))?;
        }
    }
    let printed = Printed {
        policy: &bound.policy,
        interner: snapshot.interner(),
    };
    writeln!(out, "\n-- HIR --\n{printed}")?;
    writeln!(
        out,
        "-- IR: {}, shared by {} of {} policies --\n{}",
        explanation.shape,
        explanation.sharers,
        snapshot.policies().len(),
        explanation.body
    )?;
    write!(out, "-- constants --\n[")?;
    for (i, word) in explanation.consts.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        write!(out, "{comma}c{i} = {word:#x}")?;
    }
    writeln!(out, "]\n")?;
    writeln!(
        out,
        "-- index entry --\n{}\n",
        posting(snapshot, &explanation.posting)
    )?;
    match &explanation.listing {
        Ok(listing) => {
            writeln!(out, "-- CLIF --\n{}", listing.clif)?;
            writeln!(
                out,
                "-- machine code, {} bytes --\n{}",
                listing.code_size, listing.disassembly
            )
        }
        Err(because) => writeln!(out, "-- no machine code: {because} --\n"),
    }
}

fn uid(snapshot: &Snapshot, entity: EntityId) -> String {
    let interner = snapshot.interner();
    match interner.entity(entity) {
        Some((ty, eid)) => format!("{}::{:?}", interner.str(ty.name()), interner.str(eid)),
        None => entity.to_string(),
    }
}

fn posting(snapshot: &Snapshot, posting: &Posting) -> String {
    let actions = match posting.actions.as_deref() {
        None => "any action".to_owned(),
        Some([]) => "no action: it can never apply".to_owned(),
        Some(actions) => {
            let names: Vec<String> = actions.iter().map(|a| uid(snapshot, *a)).collect();
            names.join(", ")
        }
    };
    let side = |side| match side {
        Side::Principal => "principal",
        Side::Resource => "resource",
    };
    match (posting.under, posting.of_type) {
        (Some((of, entity)), _) => {
            let (side, entity) = (side(of), uid(snapshot, entity));
            format!("{actions}; {side} {entity} and what is in it")
        }
        (None, Some((of, ty))) => {
            let ty = snapshot.interner().str(ty.name());
            format!("{actions}; {} of type {ty}", side(of))
        }
        (None, None) => actions,
    }
}
