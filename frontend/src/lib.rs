//! From Cedar's texts to HIR and IR.
//!
//! [`load`] reads policies, schemas and links through cedar-policy's public API and turns policies
//! into [`hir`]; [`schema`] extracts what a schema says about types; [`lower`] turns HIR into IR.
//! [`limits`] bounds what may be loaded. This crate knows neither Cranelift nor the entity store.

#![forbid(unsafe_code)]

pub mod hir;
pub mod limits;
pub mod load;
pub mod lower;
pub mod schema;
