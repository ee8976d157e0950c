//! Schema texts, and entities.

use super::error::{ParseError, ParseErrorKind, Spans};
use super::text::{check_json_syntax, guard_json_text, guard_schema_text, on_big_stack};
use crate::limits::{
    MAX_ENTITIES_BYTES, MAX_ENTITY_HIERARCHY, MAX_SCHEMA_BYTES, check_entity_count, check_hierarchy,
};
use crate::schema::SchemaFacts;
use cedar_policy::{Entities, Schema, SchemaFragment, SchemaWarning};
use miette::Diagnostic;
use serde::Deserialize;
use serde_json::Value;

/// Which of Cedar's two forms a schema is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaFormat {
    /// Cedar's own syntax.
    #[default]
    Cedar,
    /// JSON.
    Json,
}

/// A schema, and what its text says beyond what `cedar_policy::Schema` tells.
#[derive(Clone, Debug)]
pub struct LoadedSchema {
    /// The schema.
    pub schema: Schema,
    /// The types of attributes, tags and contexts.
    pub facts: SchemaFacts,
    /// What cedar-policy finds doubtful about the schema.
    pub warnings: Vec<SchemaWarning>,
}

/// Parses a schema.
///
/// # Errors
/// As [`load_schema`].
pub fn parse_schema(text: &str, format: SchemaFormat, origin: &str) -> Result<Schema, ParseError> {
    Ok(load_schema(text, format, origin)?.schema)
}

/// Parses a schema, and reads the types of attributes from it.
///
/// # Errors
/// When the text is malformed or exceeds a bound of [`crate::limits`].
pub fn load_schema(
    text: &str,
    format: SchemaFormat,
    origin: &str,
) -> Result<LoadedSchema, ParseError> {
    match format {
        SchemaFormat::Cedar => guard_schema_text(text, origin)?,
        SchemaFormat::Json => guard_json_text(text, MAX_SCHEMA_BYTES, origin)?,
    }
    let refuse = |error: &dyn Diagnostic| {
        let spans = Spans {
            text,
            start: (format == SchemaFormat::Cedar).then_some(0),
            padding: 0,
        };
        ParseError::from_diagnostic(origin, ParseErrorKind::Malformed, error, &spans)
    };
    on_big_stack(text, origin, || {
        let (fragment, warnings) = match format {
            SchemaFormat::Cedar => {
                let parsed = SchemaFragment::from_cedarschema_str(text);
                let (fragment, warnings) = parsed.map_err(|error| refuse(&error))?;
                (fragment, warnings.collect())
            }
            SchemaFormat::Json => {
                check_json_syntax(text, origin)?;
                let parsed = SchemaFragment::from_json_str(text);
                (parsed.map_err(|error| refuse(&error))?, Vec::new())
            }
        };
        let json = fragment.clone().to_json_value();
        let json = json.map_err(|error| refuse(&error))?;
        // Before cedar-policy resolves the schema, since this bounds how much that takes.
        let facts = SchemaFacts::from_fragment_json(&json)
            .map_err(|error| ParseError::from_limit(origin, text, error))?;
        let schema = Schema::from_schema_fragments([fragment]).map_err(|error| refuse(&error))?;
        Ok(LoadedSchema {
            schema,
            facts,
            warnings,
        })
    })
}

/// What the hierarchy needs of an entity's JSON form.
#[derive(Deserialize)]
struct EntityHead {
    uid: Value,
    #[serde(default)]
    parents: Value,
}

/// The type and id of a JSON entity uid, in either of its two forms.
fn uid_of(uid: &Value) -> Option<(String, String)> {
    let uid = uid.get("__entity").unwrap_or(uid);
    let text = |name| Some(uid.get(name)?.as_str()?.to_owned());
    Some((text("type")?, text("id")?))
}

/// Parses entities in Cedar's JSON form. With a schema they are checked against it, and the
/// schema's actions are added.
///
/// # Errors
/// When the text is malformed or exceeds a bound of [`crate::limits`], or the entities do not fit
/// the schema.
pub fn parse_entities(
    text: &str,
    schema: Option<&Schema>,
    origin: &str,
) -> Result<Entities, ParseError> {
    guard_json_text(text, MAX_ENTITIES_BYTES, origin)?;
    on_big_stack(text, origin, || {
        check_json_syntax(text, origin)?;
        // What is not of this form has no parents, and is for cedar-policy to complain about.
        let heads: Vec<EntityHead> = serde_json::from_str(text).unwrap_or_default();
        check_entity_count(heads.len())
            .map_err(|error| ParseError::from_limit(origin, text, error))?;
        let uids = heads.into_iter().map(|head| (head.uid, head.parents));
        let parents = uids.filter_map(|(uid, parents)| {
            let parents = parents.as_array()?.iter().filter_map(uid_of).collect();
            Some((uid_of(&uid)?, parents))
        });
        check_hierarchy(&parents.collect(), MAX_ENTITY_HIERARCHY)
            .map_err(|error| ParseError::from_limit(origin, text, error))?;
        Entities::from_json_str(text, schema).map_err(|error| {
            let spans = Spans {
                text,
                start: None,
                padding: 0,
            };
            ParseError::from_diagnostic(origin, ParseErrorKind::Malformed, &error, &spans)
        })
    })
}
