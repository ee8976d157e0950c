//! The floor: each application's policies written by hand in Rust.
//!
//! The store has the layout of the engine's own: a 32-byte header an entity, found by its id, with
//! a Bloom word of its ancestors; sorted ancestors in one table; attributes as words by slot. What
//! is written by hand says for every policy whether it was satisfied or failed, as full diagnostics
//! do. What a person knows and an engine has to find out is built in: which policies an action
//! concerns, that ids of actions are constants, which slot an attribute has.

mod gdrive;
mod github;
mod store;
mod tinytodo;

use self::store::Store;
use cedar_policy::{Decision, Entities};
use cedarjit_bench::Error;
use cedarjit_bench::apps::{Answer, App, RequestText};

/// Which policies were satisfied and which failed, a bit each by position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    satisfied: u32,
    failed: u32,
}

impl Outcome {
    #[inline]
    fn policy(&mut self, position: u32, satisfied: bool) {
        self.satisfied |= u32::from(satisfied) << position;
    }

    #[inline]
    fn failed(&mut self, position: u32) {
        self.failed |= 1 << position;
    }

    /// All policies of these applications are permits.
    #[inline]
    pub(crate) fn decision(self) -> Decision {
        if self.satisfied != 0 {
            Decision::Allow
        } else {
            Decision::Deny
        }
    }

    pub(crate) fn answer(self) -> Answer {
        let ids = |mask: u32| {
            let positions = (0..32).filter(move |i| mask & (1 << i) != 0);
            positions.map(|i| format!("policy{i}")).collect()
        };
        Answer {
            decision: self.decision(),
            reasons: ids(self.satisfied),
            errors: ids(self.failed),
        }
    }
}

/// A request as ids of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    principal: u32,
    action: u32,
    resource: u32,
}

/// What is written by hand for one application.
struct Code {
    /// Entities that the code names: their ids are their positions here.
    named: &'static [&'static str],
    /// Sets of attributes that the code reads, sorted: a shape's id is one more than its position
    /// here, an attribute's slot its position in the shape.
    shapes: &'static [&'static [&'static str]],
    evaluate: fn(&Store, Bound) -> Outcome,
}

/// An application written by hand, with its entities.
pub(crate) struct Floor {
    store: Store,
    evaluate: fn(&Store, Bound) -> Outcome,
}

impl Floor {
    /// Loads an application's entities for the code that is written for it.
    pub(crate) fn new(app: &App) -> Result<Self, Error> {
        let code = match app.name.split('-').next() {
            Some("tinytodo") => &tinytodo::CODE,
            Some("gdrive") => &gdrive::CODE,
            Some("github") => &github::CODE,
            _ => return Err(format!("nothing is written by hand for {}", app.name).into()),
        };
        let entities = Entities::from_json_str(&app.all_entities()?, None)?;
        Ok(Self {
            store: Store::new(&entities, code.named, code.shapes)?,
            evaluate: code.evaluate,
        })
    }

    /// Looks up the uids as they are written; no policy reads the context.
    #[inline]
    pub(crate) fn bind(&self, text: &RequestText) -> Bound {
        let store = &self.store;
        let resource = store.find(&text.resource).unwrap_or(store.missing(1));
        let principal = store.find(&text.principal).unwrap_or_else(|| {
            if text.principal == text.resource {
                resource
            } else {
                store.missing(0)
            }
        });
        Bound {
            principal,
            // No policy compares the action with the principal or the resource.
            action: store.find(&text.action).unwrap_or(store.missing(2)),
            resource,
        }
    }

    /// Evaluates every policy that the action concerns.
    #[inline]
    pub(crate) fn evaluate(&self, bound: Bound) -> Outcome {
        (self.evaluate)(&self.store, bound)
    }
}
