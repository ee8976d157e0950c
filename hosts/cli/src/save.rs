//! `cedarjit save`: policies, schema and entities in, a file that loads in no time out.

use std::path::PathBuf;

use cedar_policy_cli::{CedarExitCode, OptionalSchemaArgs, PoliciesArgs};
use clap::Args;

use crate::{engine, load, output};

/// Arguments of `save`.
#[derive(Args, Debug)]
pub(crate) struct SaveArgs {
    /// Policies args (incorporated by reference)
    #[command(flatten)]
    policies: PoliciesArgs,
    /// Schema args (incorporated by reference)
    ///
    /// With a schema, entities are validated against it.
    #[command(flatten)]
    schema: OptionalSchemaArgs,
    /// File containing JSON representation of the Cedar entity hierarchy
    #[arg(long = "entities", value_name = "FILE")]
    entities: PathBuf,
    /// The file to write
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: PathBuf,
}

/// Builds an engine and saves it.
pub(crate) fn save(args: &SaveArgs) -> CedarExitCode {
    let world = load::world(&args.policies, &args.schema, &args.entities);
    let saved = world.and_then(|world| {
        engine::save(world, &args.output, &args.policies).map_err(|report| vec![report])
    });
    match saved {
        Ok(()) => CedarExitCode::Success,
        Err(reports) => {
            reports.iter().for_each(output::complain);
            CedarExitCode::Failure
        }
    }
}
