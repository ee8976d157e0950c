//! The public Cedar integration tests, run through every engine.
//!
//! A test is a JSON file that names a policy file, an entity file and a schema (by paths relative
//! to the root of the suite), says whether the policies validate against the schema, and holds
//! requests with their decision, reasons and erroring policies. [`Suite`] reads tests from a
//! folder, a single test file or a `.tar.gz` archive; [`run`] loads each into every engine given
//! and reports what differs.
//!
//! Policy ids are positional (`policy0`, `policy1`, …): the format has no `@id` annotations.

mod case;
mod format;
mod report;
mod run;
mod source;

pub use case::CaseError;
pub use report::{Expected, Mismatch, MismatchKind, Report};
pub use run::{Plan, Progress, Selection, run};
pub use source::{Suite, SuiteError};
