//! The one interface through which every engine is tested.
//!
//! A suite builds a [`World`] and some [`TestRequest`]s once, loads the world into each
//! [`TestEngine`] and compares the [`Answer`]s. An engine answers each request in one or more
//! *modes*, so that several ways to decide can share a loaded world and a bound request.
//! [`engines`] is the single place where a new engine is plugged in, and [`Mode`] where a new way
//! to ask cedarjit is: the conformance runner, the differential test and the command line all take
//! their engines from there. A mode that is not there is not tested.

mod answer;
mod cedar;
mod cedarjit;
mod checked;
pub mod limits;
mod mode;
mod queries;
mod ready;
mod updates;

pub use answer::{Answer, Failure, FailureKind, Given, Verdict};
pub use cedar::CedarEngine;
pub use cedarjit::CedarjitEngine;
pub use mode::Mode;

use std::error::Error;
use std::sync::Arc;

use ::cedarjit::coverage::Coverage;
use cedar_policy::{Context, Entities, EntityUid, PolicySet, Request, Schema};

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

/// A context, a JSON object: many requests share one.
#[derive(Debug, Clone)]
pub struct TestContext {
    /// The object.
    pub json: serde_json::Value,
    /// The same as text.
    pub text: String,
}

impl From<serde_json::Value> for TestContext {
    fn from(json: serde_json::Value) -> Self {
        Self {
            text: json.to_string(),
            json,
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
    pub principal: Arc<str>,
    /// The action, likewise.
    pub action: Arc<str>,
    /// The resource, likewise.
    pub resource: Arc<str>,
    /// The context.
    pub context: Arc<TestContext>,
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
        principal: impl Into<Arc<str>>,
        action: impl Into<Arc<str>>,
        resource: impl Into<Arc<str>>,
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
            context: Arc::new(context.into()),
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
    /// The names of the modes in which it answers, as reports and the command line's `--engine`
    /// have them.
    fn modes(&self) -> Vec<&'static str>;

    /// Loads a world.
    ///
    /// # Errors
    /// When it refuses the world.
    fn load(&self, world: &World) -> Result<Box<dyn Loaded>, EngineError>;
}

/// A world loaded into an engine.
pub trait Loaded {
    /// Answers one request with full diagnostics, or refuses it: tells `answers` what each mode
    /// gave.
    ///
    /// A mode may leave out some of the requests where the suite asked for a sample of them.
    fn authorize(&mut self, request: &TestRequest, answers: &mut Answers<'_>);

    /// What was executed so far, if the engine counts that.
    fn coverage(&self) -> Option<&Coverage> {
        None
    }
}

/// What an engine tells its answers to, with the name of the mode.
pub type Answers<'a> = dyn FnMut(&'static str, Given<'_>) + 'a;

/// The engine whose answers count: cedar-policy.
pub const JUDGE: &str = "cedar";

/// Every engine there is, the judge first.
///
/// **This is the place to plug in an engine.**
pub fn engines() -> Vec<Box<dyn TestEngine>> {
    vec![Box::new(CedarEngine), Box::new(CedarjitEngine::default())]
}

/// The engines of these modes, each once, in the order in which they are known; `None` if there is
/// no mode of such a name.
pub fn engines_of(modes: &[impl AsRef<str>]) -> Option<Vec<Box<dyn TestEngine>>> {
    let mut engines: Vec<Box<dyn TestEngine>> = Vec::new();
    let mut ours = Vec::new();
    for mode in modes.iter().map(AsRef::as_ref) {
        if mode == JUDGE {
            engines = vec![Box::new(CedarEngine)];
        } else {
            ours.push(Mode::by_name(mode)?);
        }
    }
    if !ours.is_empty() {
        engines.push(Box::new(CedarjitEngine::of(&ours)));
    }
    Some(engines)
}
