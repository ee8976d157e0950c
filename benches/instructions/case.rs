//! What is counted.

use cedarjit::{BoundRequest, JitMode, Tier};
use cedarjit_bench::Error;
use cedarjit_bench::apps::{App, RequestText};
use cedarjit_bench::client::Client;
use std::hint::black_box;

/// In the names of the functions whose instructions are counted, and of no others.
pub(crate) const COUNTED: &str = "counted_by_callgrind";

/// At least so many operations are counted, so that what varies from run to run averages out.
const OPERATIONS: usize = 4_000;

/// Requests are bound to so many engines: the hash tables of each have a seed of their own, which makes
/// a difference to every request.
const SEEDS: usize = 16;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// From texts to a bound request.
    Bind,
    /// From there to full diagnostics.
    Evaluate,
    /// From there to the decision alone.
    Decide,
}

/// An operation on the requests of an application.
#[derive(Debug)]
pub(crate) struct Case {
    app: String,
    operation: Operation,
}

impl Case {
    /// The cases of an application.
    pub(crate) fn of(app: &App) -> [Case; 3] {
        [Operation::Bind, Operation::Evaluate, Operation::Decide].map(|operation| Case {
            app: app.name.clone(),
            operation,
        })
    }

    /// What the case is called where counts are kept.
    pub(crate) fn name(&self) -> String {
        let operation = match self.operation {
            Operation::Bind => "bind",
            Operation::Evaluate => "evaluate",
            Operation::Decide => "decide",
        };
        format!("{} {operation}", self.app)
    }

    /// Performs the operations of the case with this name, on the application that comes as JSON on
    /// stdin, and prints how many.
    pub(crate) fn measure(name: &str) -> Result<(), Error> {
        let app: App = serde_json::from_reader(std::io::stdin().lock())?;
        let case = Case::of(&app).into_iter().find(|case| case.name() == name);
        let case = case.ok_or_else(|| format!("{}: there is no case {name}", app.name))?;
        let engine = app.builder(true)?.build()?;
        if !matches!(engine.tier(), Tier::Native) {
            return Err(format!("not native: {}", engine.tier()).into());
        }
        let mut client = Client::new(&engine, false);
        // Some recorded requests name an action that the schema does not know.
        let mut requests = app.requests.clone();
        requests.retain(|request| client.bind(request).is_ok());
        let mut passes = OPERATIONS.div_ceil(requests.len().max(1));
        match case.operation {
            Operation::Bind => {
                for _ in 0..SEEDS {
                    // What requests are bound to is the same without code.
                    let engine = app.builder(true)?.jit(JitMode::Off).build()?;
                    let mut client = Client::new(&engine, false);
                    bind_counted_by_callgrind(&mut client, &requests, passes);
                }
                passes *= SEEDS;
            }
            Operation::Evaluate | Operation::Decide => {
                let bound = requests.iter().map(|r| client.bind(r));
                let bound = bound.collect::<Result<Vec<_>, _>>()?;
                // Code is fused and the scratch grows to size before anything is counted.
                for request in &bound {
                    request.warm_up();
                    client.evaluate(request);
                }
                if case.operation == Operation::Evaluate {
                    evaluate_counted_by_callgrind(&mut client, &bound, passes);
                } else {
                    decide_counted_by_callgrind(&mut client, &bound, passes);
                }
            }
        }
        println!("{}", passes * requests.len());
        Ok(())
    }
}

#[inline(never)]
fn bind_counted_by_callgrind(client: &mut Client, requests: &[RequestText], passes: usize) {
    for _ in 0..passes {
        for request in requests {
            black_box(client.rebind(black_box(request)).is_ok());
        }
    }
}

#[inline(never)]
fn evaluate_counted_by_callgrind(client: &mut Client, bound: &[BoundRequest], passes: usize) {
    for _ in 0..passes {
        for request in bound {
            client.evaluate(black_box(request));
        }
    }
}

#[inline(never)]
fn decide_counted_by_callgrind(client: &mut Client, bound: &[BoundRequest], passes: usize) {
    for _ in 0..passes {
        for request in bound {
            black_box(client.decide_bound(black_box(request)));
        }
    }
}
