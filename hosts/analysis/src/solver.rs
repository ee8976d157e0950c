//! The solver: a process that answers one question after the other.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::time::Duration;

use cedar_policy_symcc::err::Error;
use cedar_policy_symcc::solver::LocalSolver;
use cedar_policy_symcc::{CedarSymCompiler, Env};
use tokio::process::Command;
use tokio::runtime::{Builder, Runtime};

use crate::example::{Answer, Example, NotKnown};

/// How long the solver may think about one question, if nothing else is said.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(10);

/// How much longer than the solver's own limit is waited for it before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// There is no solver to ask.
#[derive(Debug, thiserror::Error)]
#[error("the SMT solver `{}` cannot be run", program.display())]
pub struct NoSolver {
    /// What was to be run.
    pub program: OsString,
    /// Why it was not.
    #[source]
    pub cause: io::Error,
}

/// cvc5, started when it is first needed, and again when it failed or was stuck.
#[derive(Debug)]
pub struct Solver {
    program: OsString,
    time_limit: Duration,
    runtime: Runtime,
    running: Option<CedarSymCompiler<LocalSolver>>,
}

impl Solver {
    /// Starts the solver: `program`, or what the environment variable `CVC5` names, or `cvc5`.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start(program: Option<OsString>, time_limit: Duration) -> Result<Self, NoSolver> {
        let program = program
            .or_else(|| std::env::var_os("CVC5"))
            .unwrap_or_else(|| "cvc5".into());
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|cause| NoSolver {
            program: program.clone(),
            cause,
        })?;
        let mut solver = Self {
            program,
            time_limit,
            runtime,
            running: None,
        };
        solver.running = Some(solver.spawn()?);
        Ok(solver)
    }

    fn spawn(&self) -> Result<CedarSymCompiler<LocalSolver>, NoSolver> {
        let mut command = Command::new(&self.program);
        command
            .args(["--lang", "smt"])
            .arg(format!("--tlimit-per={}", self.time_limit.as_millis()))
            .kill_on_drop(true);
        let _inside = self.runtime.enter();
        LocalSolver::from_command(&mut command)
            .map_err(Error::from)
            .and_then(CedarSymCompiler::new)
            .map_err(|error| NoSolver {
                program: self.program.clone(),
                cause: io::Error::other(error),
            })
    }

    /// Asks for a request that refutes something. `confirm` makes an example of it.
    pub(crate) fn ask<F>(
        &mut self,
        question: F,
        confirm: impl FnOnce(&Env) -> Result<Box<Example>, NotKnown>,
    ) -> Answer
    where
        F: AsyncFnOnce(&mut CedarSymCompiler<LocalSolver>) -> Result<Option<Env>, Error>,
    {
        let mut compiler = match self.running.take().map_or_else(|| self.spawn(), Ok) {
            Ok(compiler) => compiler,
            Err(error) => return Answer::NotKnown(NotKnown::Solver(error.to_string())),
        };
        let limit = self.time_limit + GRACE;
        let asked = self
            .runtime
            .block_on(async { within(limit, question(&mut compiler)).await });
        let (answer, usable) = match asked {
            None => (Answer::NotKnown(NotKnown::TimeLimit), false),
            Some(Ok(None)) => (Answer::Yes, true),
            Some(Ok(Some(found))) => match confirm(&found) {
                Ok(example) => (Answer::No(example), true),
                Err(why) => (Answer::NotKnown(why), true),
            },
            Some(Err(error)) => {
                let usable = !matches!(error, Error::SolverError(_));
                (Answer::NotKnown(not_known(&error)), usable)
            }
        };
        if usable {
            self.running = Some(compiler);
        }
        answer
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

/// Why symcc could not answer.
pub(crate) fn not_known(error: &Error) -> NotKnown {
    match error {
        Error::SolverUnknown => NotKnown::TimeLimit,
        Error::SolverError(error) => NotKnown::Solver(error.to_string()),
        Error::PolicyNotWellTyped { errs } => {
            let errors: Vec<_> = errs.iter().map(ToString::to_string).collect();
            NotKnown::NotValid(errors.join("; "))
        }
        Error::DecodeModel(_) | Error::ConcretizeError(_) | Error::ModelInvalid { .. } => {
            NotKnown::NotConfirmed(error.to_string())
        }
        _ => NotKnown::NotTranslated(error.to_string()),
    }
}
