//! Checking decisions again by the interpreter, as the engine does it.

use std::num::NonZero;
use std::path::PathBuf;

use cedarjit::SelfCheck;

use crate::config::{ProblemKind, Section};
use crate::log::say;
use crate::metrics::Metrics;

/// What the sidecar is told about checks.
#[derive(Clone, Debug)]
pub struct SelfCheckConfig {
    /// One decision of so many, on average, is checked.
    pub one_in: NonZero<u32>,
    /// Where differences are kept for replaying.
    pub folder: Option<PathBuf>,
}

impl SelfCheckConfig {
    pub(crate) fn read(mut section: Section<'_>) -> Option<Self> {
        let folder = section.origin().folder().to_owned();
        let said: Option<u32> = section.take("one_in");
        let kept: Option<PathBuf> = section.take("folder");
        let one_in = said.and_then(NonZero::new);
        if one_in.is_none() && (said.is_some() || kept.is_some()) {
            let kind = ProblemKind::Invalid {
                value: said.unwrap_or_default().to_string(),
                what: "is not above 0",
                help: "write a number above 0: one decision of so many is checked",
            };
            section.complain("one_in", kind);
        }
        section.finish();
        Some(Self {
            one_in: one_in?,
            folder: kept.map(|kept| folder.join(kept)),
        })
    }

    /// What the engine is told: differences are counted and said.
    pub(crate) fn for_engine(&self, metrics: &Metrics) -> SelfCheck {
        let differences = metrics.wrong_answers();
        let check = SelfCheck::one_in(self.one_in).on_difference(move |difference| {
            differences.inc();
            say(difference);
        });
        match &self.folder {
            Some(folder) => check.reproductions(folder),
            None => check,
        }
    }
}
