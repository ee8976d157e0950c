//! Who is compared.

pub(crate) mod cedar;
pub(crate) mod floor;
mod json;
pub(crate) mod rego;

/// The names under which the engines appear in figures.
pub(crate) const CEDARJIT: &str = "cedarjit";
/// The peer that everything is a ratio against.
pub(crate) const CEDAR: &str = "cedar-policy";
/// Rego, interpreted.
pub(crate) const REGORUS: &str = "regorus";
/// Hand-written Rust.
pub(crate) const FLOOR: &str = "hand-written Rust";
