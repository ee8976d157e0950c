//! From a test file to a world and requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cedar_policy::{
    Entities, EntityId, EntityTypeName, EntityUid, PolicySet, Schema, ValidationMode,
    ValidationWarning, Validator,
};

use super::format::{TestFile, TestQuery, Uid};
use super::report::Expected;
use super::source::{Suite, SuiteError};
use cedarjit_frontend::load::link;

use crate::engines::{SchemaText, TestRequest, World, WorldTexts};

/// Why a test could not be made ready. The engines have no part in it.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// One of its files could not be read.
    #[error(transparent)]
    Source(#[from] SuiteError),
    /// The test file is not in the integration-test format.
    #[error("not in the integration-test format: {0}")]
    Format(#[source] serde_json::Error),
    /// cedar-policy refused the schema.
    #[error("{path}: {cause}")]
    Schema {
        /// Path of the schema.
        path: String,
        /// Why, shared between all tests of the same schema.
        cause: SharedError,
    },
    /// cedar-policy refused the policies or the entities.
    #[error("{path}: {cause}")]
    Input {
        /// Path of the file.
        path: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A principal, action or resource has a type that is not a Cedar name.
    #[error("`{0}` is not an entity type")]
    EntityType(String),
}

/// A test made ready to run.
pub(super) struct Case {
    pub(super) world: World,
    pub(super) queries: Vec<Query>,
    /// What the file says about strict validation.
    pub(super) should_validate: bool,
    /// What the validator says.
    pub(super) validation: Validation,
}

/// What strict validation of a test's policies came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validation {
    Passed,
    /// It passed, with the warning that a policy applies to no action: an error before Cedar 4.14,
    /// hence in suites recorded before.
    PassedWithoutAction,
    Failed,
}

impl Validation {
    fn of(validator: &Validator, policies: &PolicySet) -> Self {
        let result = validator.validate(policies, ValidationMode::Strict);
        let is_about_action =
            |warning| matches!(warning, &ValidationWarning::InvalidActionApplication(_));
        if !result.validation_passed() {
            Self::Failed
        } else if result.validation_warnings().any(is_about_action) {
            Self::PassedWithoutAction
        } else {
            Self::Passed
        }
    }
}

/// One request of a test.
pub(super) struct Query {
    /// Position in the test file, from 0.
    pub(super) index: usize,
    pub(super) description: String,
    pub(super) request: TestRequest,
    /// `None` if the request is to be refused.
    pub(super) expected: Option<Expected>,
}

/// A schema, parsed once however many tests use it.
pub(super) struct ParsedSchema {
    schema: Arc<Schema>,
    validator: Validator,
}

type SharedError = Arc<dyn std::error::Error + Send + Sync>;

fn shared(error: impl std::error::Error + Send + Sync + 'static) -> SharedError {
    Arc::new(error)
}

type SchemaSlot = OnceLock<Result<ParsedSchema, SharedError>>;

/// Parsed schemas by text: many tests of a suite share one.
#[derive(Default)]
pub(super) struct SchemaCache(Mutex<HashMap<SchemaText, Arc<SchemaSlot>>>);

impl SchemaCache {
    /// The slot for a text; parsing happens outside the cache's lock.
    fn slot(&self, text: &SchemaText) -> Arc<SchemaSlot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(text) {
            return Arc::clone(slot);
        }
        Arc::clone(slots.entry(text.clone()).or_default())
    }
}

fn read_schema(suite: &Suite, test: &str, path: &str) -> Result<SchemaText, SuiteError> {
    let text = suite.referenced(test, path)?.into_owned();
    Ok(match is_json(path) {
        true => SchemaText::Json(text),
        false => SchemaText::Cedar(text),
    })
}

fn parse_schema(text: &SchemaText) -> Result<ParsedSchema, SharedError> {
    let schema = match text {
        SchemaText::Json(text) => Schema::from_json_str(text).map_err(shared)?,
        SchemaText::Cedar(text) => Schema::from_cedarschema_str(text).map_err(shared)?.0,
    };
    Ok(ParsedSchema {
        validator: Validator::new(schema.clone()),
        schema: Arc::new(schema),
    })
}

impl Case {
    /// Reads a test and everything that it refers to, keeping only request `only` if given.
    pub(super) fn load(
        suite: &Suite,
        name: &str,
        only: Option<usize>,
        schemas: &SchemaCache,
    ) -> Result<Self, CaseError> {
        let file: TestFile =
            serde_json::from_slice(&suite.test(name)?).map_err(CaseError::Format)?;

        let schema_text = match &file.schema {
            Some(path) => Some(read_schema(suite, name, path)?),
            None => None,
        };
        let slot = schema_text.as_ref().map(|text| schemas.slot(text));
        let parsed = match (&slot, &schema_text) {
            (Some(slot), Some(text)) => Some(slot.get_or_init(|| parse_schema(text))),
            _ => None,
        };
        let parsed = parsed.map(Result::as_ref).transpose();
        let parsed = parsed.map_err(|cause| CaseError::Schema {
            path: file.schema.clone().unwrap_or_default(),
            cause: Arc::clone(cause),
        })?;
        let schema = parsed.map(|parsed| &*parsed.schema);

        let policy_text = suite.referenced(name, &file.policies)?.into_owned();
        let mut policies = parse_policies(&file.policies, &policy_text)?;
        let links = match &file.template_linked {
            Some(path) => {
                let links = suite.referenced(name, path)?.into_owned();
                link(&mut policies, &links, path).map_err(|e| input_error(path, e))?;
                Some(links)
            }
            None => None,
        };
        let entity_text = suite.referenced(name, &file.entities)?.into_owned();
        let entities = Entities::from_json_str(&entity_text, schema)
            .map_err(|e| input_error(&file.entities, e))?;

        let validation = parsed.map_or(Validation::Failed, |parsed| {
            Validation::of(&parsed.validator, &policies)
        });
        let queries = file.requests.into_iter().enumerate();
        let queries = queries
            .filter(|(index, _)| only.is_none_or(|only| only == *index))
            .map(|(index, query)| Query::new(index, query, schema))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            world: World {
                policies,
                entities,
                schema: parsed.map(|parsed| Arc::clone(&parsed.schema)),
                texts: WorldTexts {
                    policies: (!is_json(&file.policies)).then_some(policy_text),
                    links,
                    entities: Some(entity_text),
                    schema: schema_text,
                },
            },
            queries,
            should_validate: file.should_validate,
            validation,
        })
    }
}

impl Query {
    fn new(index: usize, query: TestQuery, schema: Option<&Schema>) -> Result<Self, CaseError> {
        Ok(Self {
            index,
            description: query.description,
            request: TestRequest::new(
                uid_text(&query.principal)?,
                uid_text(&query.action)?,
                uid_text(&query.resource)?,
                query.context,
                query.validate_request,
                schema,
            ),
            expected: query.decision.map(|decision| Expected {
                decision,
                reasons: query.reason.into_iter().collect(),
                errors: query.errors.into_iter().collect(),
            }),
        })
    }
}

fn uid_text(uid: &Uid) -> Result<String, CaseError> {
    let uid = uid.parts();
    let ty: EntityTypeName = uid
        .ty
        .parse()
        .map_err(|_| CaseError::EntityType(uid.ty.clone()))?;
    Ok(EntityUid::from_type_name_and_id(ty, EntityId::new(&uid.id)).to_string())
}

/// Whether a file of policies or of a schema is in JSON rather than in Cedar syntax.
fn is_json(path: &str) -> bool {
    path.ends_with(".json")
}

fn parse_policies(path: &str, text: &str) -> Result<PolicySet, CaseError> {
    if is_json(path) {
        PolicySet::from_json_str(text).map_err(|e| input_error(path, e))
    } else {
        text.parse().map_err(|e| input_error(path, e))
    }
}

fn input_error(path: &str, cause: impl std::error::Error + Send + Sync + 'static) -> CaseError {
    CaseError::Input {
        path: path.to_owned(),
        cause: Box::new(cause),
    }
}
