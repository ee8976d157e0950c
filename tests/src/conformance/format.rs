//! The integration-test file format.

use cedar_policy::Decision;
use serde::Deserialize;

/// One test file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestFile {
    /// Path of the policies.
    pub(super) policies: String,
    /// Path of the entities.
    pub(super) entities: String,
    /// Path of template links, in the format of the `cedar` command line. Not in the public format.
    #[serde(default)]
    pub(super) template_linked: Option<String>,
    /// Path of the schema; in the public format there always is one.
    #[serde(default)]
    pub(super) schema: Option<String>,
    /// Whether the policies pass strict validation.
    pub(super) should_validate: bool,
    /// The requests, each with its expected answer.
    pub(super) requests: Vec<TestQuery>,
}

/// A request and its expected answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestQuery {
    #[serde(default)]
    pub(super) description: String,
    pub(super) principal: Uid,
    pub(super) action: Uid,
    pub(super) resource: Uid,
    pub(super) context: serde_json::Value,
    /// Whether the request is checked against the schema: yes, unless the file says otherwise.
    #[serde(default = "yes")]
    pub(super) validate_request: bool,
    /// In the public format there always is one; a request without is to be refused.
    pub(super) decision: Option<Decision>,
    #[serde(default)]
    pub(super) reason: Vec<String>,
    #[serde(default)]
    pub(super) errors: Vec<String>,
}

fn yes() -> bool {
    true
}

/// An entity uid: `{"type": …, "id": …}`, or the same inside `__entity`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Uid {
    Plain(TypeAndId),
    Escaped { __entity: TypeAndId },
}

#[derive(Debug, Deserialize)]
pub(super) struct TypeAndId {
    #[serde(rename = "type")]
    pub(super) ty: String,
    pub(super) id: String,
}

impl Uid {
    pub(super) fn parts(&self) -> &TypeAndId {
        match self {
            Self::Plain(uid) | Self::Escaped { __entity: uid } => uid,
        }
    }
}
