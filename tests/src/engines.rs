//! The one interface through which every engine is tested.
//!
//! A suite builds a [`World`] and some [`TestRequest`]s once, loads the world into each
//! [`TestEngine`] and compares the [`Answer`]s. [`engines`] is the single place where a new engine
//! is plugged in: the conformance runner, the differential test and the command line all take their
//! engines from there.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, EntityUid, PolicyId, PolicySet,
    Request, Response, Schema,
};
use cedarjit::{Engine, Evaluation, JitMode, Scratch, Snapshot};

/// Everything an engine loads before it can answer: policies with their links, entities, and the
/// schema where there is one.
///
/// The parsed values are authoritative. The texts are there for engines that read text themselves,
/// and for whoever has to print a failing case; a suite that never had text leaves them out.
#[derive(Debug, Clone)]
pub struct World {
    /// Static policies, templates and links.
    pub policies: PolicySet,
    /// Entities, closed under ancestry. With a schema they hold its action entities too.
    pub entities: Entities,
    /// The schema that the entities were read with, if any.
    pub schema: Option<Arc<Schema>>,
    /// The sources of the above, as far as they exist.
    pub texts: WorldTexts,
}

impl World {
    /// A world of parsed values without their sources.
    pub fn new(policies: PolicySet, entities: Entities, schema: Option<Arc<Schema>>) -> Self {
        Self {
            policies,
            entities,
            schema,
            texts: WorldTexts::default(),
        }
    }
}

/// The sources of a [`World`].
#[derive(Debug, Clone, Default)]
pub struct WorldTexts {
    /// Policies and templates in Cedar syntax.
    pub policies: Option<String>,
    /// Template links in the JSON format of the `cedar` command line.
    pub links: Option<String>,
    /// Entities in Cedar's entity JSON.
    pub entities: Option<String>,
    /// The schema and its syntax.
    pub schema: Option<SchemaText>,
}

/// A schema source in one of its two syntaxes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SchemaText {
    /// Cedar schema syntax.
    Cedar(String),
    /// Cedar's JSON schema format.
    Json(String),
}

impl SchemaText {
    /// The text, whatever its syntax.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Cedar(text) | Self::Json(text) => text,
        }
    }
}

/// A request in the form that a client sends it, and parsed once for all engines.
///
/// An engine may take either form; both must lead to the same answer, and to a refusal of the same
/// requests.
#[derive(Debug, Clone)]
pub struct TestRequest {
    /// The principal, as Cedar prints an entity uid.
    pub principal: String,
    /// The action, likewise.
    pub action: String,
    /// The resource, likewise.
    pub resource: String,
    /// The context, a JSON object.
    pub context: serde_json::Value,
    /// Whether the request must conform to the world's schema.
    pub validate: bool,
    /// What cedar-policy makes of it.
    pub parsed: Result<Request, EngineError>,
}

impl TestRequest {
    /// Takes a request from text, parses it and, if `validate` is set and there is a schema,
    /// validates it.
    ///
    /// The context is always read with the schema when there is one, as the `cedar` command line
    /// does. A bad request is not an error here: it is kept in [`parsed`](Self::parsed), because a
    /// suite wants to see every engine refuse it.
    pub fn new(
        principal: impl Into<String>,
        action: impl Into<String>,
        resource: impl Into<String>,
        context: serde_json::Value,
        validate: bool,
        schema: Option<&Schema>,
    ) -> Self {
        let (principal, action, resource) = (principal.into(), action.into(), resource.into());
        let parsed = parse(&principal, &action, &resource, &context, validate, schema);
        Self {
            principal,
            action,
            resource,
            context,
            validate,
            parsed,
        }
    }
}

fn parse(
    principal: &str,
    action: &str,
    resource: &str,
    context: &serde_json::Value,
    validate: bool,
    schema: Option<&Schema>,
) -> Result<Request, EngineError> {
    let uid = |text: &str| text.parse::<EntityUid>().map_err(EngineError::request);
    let (principal, action, resource) = (uid(principal)?, uid(action)?, uid(resource)?);
    let context = Context::from_json_value(context.clone(), schema.map(|s| (s, &action)))
        .map_err(EngineError::request)?;
    let schema = schema.filter(|_| validate);
    Request::new(principal, action, resource, context, schema).map_err(EngineError::request)
}

/// One answer, in a form in which two engines' answers compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Allow or deny.
    pub decision: Decision,
    /// Ids of the policies that determined the decision.
    pub reasons: BTreeSet<String>,
    /// Message of the evaluation error (without any mention of the policy) by id of the policy that
    /// failed.
    pub errors: BTreeMap<String, String>,
}

impl From<&Response> for Answer {
    fn from(response: &Response) -> Self {
        // The ids as they are, not as they are displayed: that escapes them.
        let raw = |id: &PolicyId| AsRef::<str>::as_ref(id).to_owned();
        let errors = response.diagnostics().errors().map(|error| match error {
            AuthorizationError::PolicyEvaluationError(error) => {
                (raw(error.policy_id()), error.inner().to_string())
            }
        });
        Self {
            decision: response.decision(),
            reasons: response.diagnostics().reason().map(raw).collect(),
            errors: errors.collect(),
        }
    }
}

/// Why an engine gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The world was refused.
    #[error("cannot load the world: {0}")]
    Load(#[source] Arc<dyn Error + Send + Sync>),
    /// The request was refused.
    #[error("invalid request: {0}")]
    Request(#[source] Arc<dyn Error + Send + Sync>),
}

impl EngineError {
    /// A refusal of the world.
    pub fn load(cause: impl Error + Send + Sync + 'static) -> Self {
        Self::Load(Arc::new(cause))
    }

    /// A refusal of the request.
    pub fn request(cause: impl Error + Send + Sync + 'static) -> Self {
        Self::Request(Arc::new(cause))
    }
}

/// An engine under test, shared by the threads of a suite.
pub trait TestEngine: Send + Sync {
    /// A short name, as reports and the command line's `--engine` have it.
    fn name(&self) -> &str;

    /// Loads a world.
    fn load(&self, world: &World) -> Result<Box<dyn Loaded>, EngineError>;
}

/// A world loaded into an engine.
pub trait Loaded {
    /// Answers one request with full diagnostics, or refuses it.
    fn authorize(&mut self, request: &TestRequest) -> Result<Answer, EngineError>;
}

/// Every engine there is, the judge first.
///
/// **This is the place to plug in an engine.**
pub fn engines() -> Vec<Box<dyn TestEngine>> {
    vec![
        Box::new(CedarEngine),
        Box::new(CedarjitEngine::Native),
        Box::new(CedarjitEngine::Interpreter),
        Box::new(CedarjitEngine::IndexOff),
        Box::new(CedarjitEngine::Facade),
    ]
}

/// cedar-policy itself: the judge.
#[derive(Debug, Clone, Copy, Default)]
pub struct CedarEngine;

struct LoadedCedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
}

impl TestEngine for CedarEngine {
    fn name(&self) -> &str {
        "cedar"
    }

    fn load(&self, world: &World) -> Result<Box<dyn Loaded>, EngineError> {
        Ok(Box::new(LoadedCedar {
            authorizer: Authorizer::new(),
            policies: world.policies.clone(),
            entities: world.entities.clone(),
        }))
    }
}

impl Loaded for LoadedCedar {
    fn authorize(&mut self, request: &TestRequest) -> Result<Answer, EngineError> {
        let request = request.parsed.as_ref().map_err(Clone::clone)?;
        let response = self
            .authorizer
            .is_authorized(request, &self.policies, &self.entities);
        Ok(Answer::from(&response))
    }
}

/// This project's engine, by each of the ways in which it can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CedarjitEngine {
    /// Native code behind the scope index; requests bound from strings and JSON.
    Native,
    /// The interpreter on the same bound requests.
    Interpreter,
    /// Native code that visits every policy.
    IndexOff,
    /// `Engine::is_authorized` on cedar-policy's request, its answer converted into cedar-policy's
    /// response.
    Facade,
}

struct LoadedCedarjit {
    way: CedarjitEngine,
    engine: Engine,
    snapshot: Arc<Snapshot>,
    scratch: Scratch,
}

impl TestEngine for CedarjitEngine {
    fn name(&self) -> &str {
        match self {
            Self::Native => "native",
            Self::Interpreter => "interpreter",
            Self::IndexOff => "index-off",
            Self::Facade => "facade",
        }
    }

    fn load(&self, world: &World) -> Result<Box<dyn Loaded>, EngineError> {
        let mut builder = Engine::builder()
            .policies(&world.policies)
            .entities(world.entities.clone())
            .index(*self != Self::IndexOff);
        if *self == Self::Interpreter {
            builder = builder.jit(JitMode::Off);
        }
        // One engine gets the text, which tells the types of attributes; `Schema` does not.
        let text = world.texts.schema.as_ref();
        builder = match (text.filter(|_| *self == Self::Native), &world.schema) {
            (Some(SchemaText::Cedar(text)), _) => builder.schema_str(text),
            (Some(SchemaText::Json(text)), _) => builder.schema_json(text),
            (None, Some(schema)) => builder.schema(schema),
            (None, None) => builder,
        };
        let engine = builder.build().map_err(EngineError::load)?;
        Ok(Box::new(LoadedCedarjit {
            way: *self,
            snapshot: engine.snapshot(),
            engine,
            scratch: Scratch::default(),
        }))
    }
}

impl Loaded for LoadedCedarjit {
    fn authorize(&mut self, request: &TestRequest) -> Result<Answer, EngineError> {
        if self.way == CedarjitEngine::Facade {
            let request = request.parsed.as_ref().map_err(Clone::clone)?;
            let response = self.engine.is_authorized(request);
            return Ok(Answer::from(&Response::from(&response)));
        }
        let TestRequest {
            principal,
            action,
            resource,
            context,
            validate,
            ..
        } = request;
        let bound = self
            .snapshot
            .bind_json(principal, action, resource, context, *validate)
            .map_err(EngineError::request)?;
        let evaluation = match self.way {
            CedarjitEngine::Interpreter => bound.interpret(&mut self.scratch),
            _ => bound.evaluate(&mut self.scratch),
        };
        Ok(Answer::from(evaluation))
    }
}

impl From<Evaluation<'_>> for Answer {
    fn from(evaluation: Evaluation<'_>) -> Self {
        let errors = evaluation.errors();
        Self {
            decision: evaluation.decision(),
            reasons: evaluation.reasons().map(str::to_owned).collect(),
            errors: errors
                .map(|(policy, error)| (policy.to_owned(), error.to_string()))
                .collect(),
        }
    }
}
