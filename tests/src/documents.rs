//! Documents in all their forms, sound and spoiled: the engine takes what cedar-policy takes,
//! refuses what it refuses, and decides alike on what both take.
//!
//! What exceeds the bounds of [`cedarjit_frontend::limits`] the engine may refuse.

mod entities;
mod spoil;

pub use entities::{EntityCounts, compare_entities, run_entities};

use crate::engines::limits::is_build_limit;
use crate::engines::{Answer, SchemaText};
use crate::generator::{Case, Knobs, LoadedCase, Pieces, Rng, generate};
use cedar_policy::{
    Authorizer, Context, Entities, EntityUid, PolicySet, Request, Response, Schema, SchemaFragment,
};
use cedarjit::{BuildError, Engine, EngineBuilder, JitMode, RequestError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DocumentKind {
    /// Policies in Cedar syntax.
    Policies,
    /// Policies and links in JSON.
    PoliciesJson,
    /// A schema in Cedar's schema syntax.
    Schema,
    /// A schema in JSON.
    SchemaJson,
    /// Entities in JSON.
    Entities,
    /// A request: uids as texts and a context in JSON.
    Request,
}

impl DocumentKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Policies,
        Self::PoliciesJson,
        Self::Schema,
        Self::SchemaJson,
        Self::Entities,
        Self::Request,
    ];

    fn is_json(self) -> bool {
        !matches!(self, Self::Policies | Self::Schema)
    }
}

/// What came of the documents of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Both took it.
    pub accepted: usize,
    /// Both refused it.
    pub refused: usize,
    /// cedar-policy took it, the engine refused it for a documented bound.
    pub limited: usize,
}

/// A document about which the engine and cedar-policy differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentMismatch {
    /// The seed of the world that it came from.
    pub seed: u64,
    /// What it is.
    pub kind: DocumentKind,
    /// The document.
    pub text: String,
    /// How they differ.
    pub difference: String,
}

impl fmt::Display for DocumentMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            kind,
            text,
            difference,
        } = self;
        write!(f, "seed {seed}, {kind:?}: {difference}\n{text}")
    }
}

/// What came of all documents.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DocumentsOutcome {
    /// By kind.
    pub counts: BTreeMap<DocumentKind, Counts>,
    /// Where they differ.
    pub mismatches: Vec<DocumentMismatch>,
}

impl DocumentsOutcome {
    /// Adds what came of other documents.
    pub fn merge(&mut self, other: Self) {
        for (kind, more) in other.counts {
            let counts = self.counts.entry(kind).or_default();
            counts.accepted += more.accepted;
            counts.refused += more.refused;
            counts.limited += more.limited;
        }
        self.mismatches.extend(other.mismatches);
    }

    /// The mismatch with the shortest document.
    pub fn smallest(&self) -> Option<&DocumentMismatch> {
        self.mismatches.iter().min_by_key(|found| found.text.len())
    }
}

impl fmt::Display for DocumentsOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, counts) in &self.counts {
            let Counts {
                accepted,
                refused,
                limited,
            } = counts;
            let kind = format!("{kind:?}");
            writeln!(
                f,
                "{kind:<14} {accepted:>8} accepted {refused:>8} refused {limited:>4} limited"
            )?;
        }
        write!(f, "{} mismatches", self.mismatches.len())
    }
}

/// How many spoiled documents of each kind are made of one world.
const SPOILED: usize = 6;

/// How many requests are decided with documents that both take.
const REQUESTS: usize = 5;

/// How many policies and entities a document has at most: small ones are spoiled more often where
/// it matters, and are easier to look at.
const PARTS: usize = 4;

/// Renders the documents of a generated world, spoils them and compares what becomes of them.
///
/// cedar-policy parses on the caller's stack: 32 MiB are enough, the 2 MiB of a thread are not.
pub fn run_documents(seed: u64, knobs: &Knobs) -> DocumentsOutcome {
    let mut outcome = DocumentsOutcome::default();
    let case = small(generate(seed, knobs));
    let Ok(loaded) = case.load() else {
        return outcome;
    };
    let mut rng = Rng::new(seed ^ 0x646f_6373);
    for kind in DocumentKind::ALL {
        let Some(sound) = render(kind, &case, &loaded) else {
            continue;
        };
        for number in 0..=SPOILED {
            let text = match number {
                0 => sound.clone(),
                n if kind.is_json() && n % 3 > 0 => spoil::json_text(&mut rng, &sound),
                _ => spoil::text(&mut rng, &sound),
            };
            outcome.add(seed, kind, text, &loaded);
        }
    }
    outcome
}

/// The first policies, with their links, and the first entities.
fn small(mut case: Case) -> Case {
    let first = |pieces: &Pieces| pieces.iter().take(PARTS).collect::<Pieces>();
    case.policies = first(&case.policies);
    case.links.retain(|link| link.template < PARTS);
    case.links.truncate(PARTS);
    case.entities = first(&case.entities);
    case
}

fn render(kind: DocumentKind, case: &Case, loaded: &LoadedCase) -> Option<String> {
    let schema = case.schema.as_deref();
    match kind {
        DocumentKind::Policies => Some(case.policies.join("\n")),
        DocumentKind::PoliciesJson => {
            let json = loaded.world.policies.clone().to_json().ok()?;
            Some(json.to_string())
        }
        DocumentKind::Schema => {
            let fragment = SchemaFragment::from_json_str(schema?).ok()?;
            fragment.to_cedarschema().ok()
        }
        DocumentKind::SchemaJson => schema.map(str::to_owned),
        DocumentKind::Entities => Some(case.entities.json_array()),
        DocumentKind::Request => {
            let request = loaded.requests.first()?;
            let parts = (&request.principal, &request.action, &request.resource);
            serde_json::to_string(&(parts.0, parts.1, parts.2, &request.context.json)).ok()
        }
    }
}

/// Whether a document was taken, or why the engine refused it.
enum Taken<T> {
    Yes(T),
    Limit,
    No(String),
}

impl Taken<Engine> {
    fn of(built: Result<Engine, BuildError>) -> Self {
        let error = match built {
            Ok(engine) => return Taken::Yes(engine),
            Err(error) => error,
        };
        match is_build_limit(&error) {
            true => Taken::Limit,
            false => Taken::No(error.to_string()),
        }
    }
}

/// What cedar-policy decides with.
struct Judge {
    policies: PolicySet,
    entities: Entities,
}

impl DocumentsOutcome {
    fn add(&mut self, seed: u64, kind: DocumentKind, text: String, loaded: &LoadedCase) {
        // The engine takes ids from this annotation, as cedar-policy's command line does.
        if text.contains("@id") {
            return;
        }
        let read = || match kind {
            DocumentKind::Request => self.request(&text, loaded),
            _ => self.world(kind, &text, loaded),
        };
        let difference = catch_unwind(AssertUnwindSafe(read))
            .unwrap_or_else(|_| Some("it makes one of them panic".to_owned()));
        self.mismatches
            .extend(difference.map(|difference| DocumentMismatch {
                seed,
                kind,
                text,
                difference,
            }));
    }

    fn world(&mut self, kind: DocumentKind, text: &str, loaded: &LoadedCase) -> Option<String> {
        let judge = judge(kind, text, loaded);
        let engine = Taken::of(builder(kind, text, loaded).build());
        let counts = self.counts.entry(kind).or_default();
        match (judge, engine) {
            (Ok(judge), Taken::Yes(engine)) => {
                counts.accepted += 1;
                let requests = loaded.requests.iter().take(REQUESTS);
                let mut requests = requests.filter_map(|request| request.parsed.as_ref().ok());
                requests.find_map(|request| different_answer(&judge, &engine, request))
            }
            (Ok(_), Taken::Limit) => {
                counts.limited += 1;
                None
            }
            (Ok(_), Taken::No(error)) => Some(format!("only the engine refuses it: {error}")),
            (Err(error), Taken::Yes(_)) => Some(format!("only cedar-policy refuses it: {error}")),
            (Err(_), _) => {
                counts.refused += 1;
                None
            }
        }
    }

    fn request(&mut self, text: &str, loaded: &LoadedCase) -> Option<String> {
        let parts = serde_json::from_str::<(String, String, String, serde_json::Value)>(text);
        let (principal, action, resource, context) = parts.ok()?;
        let world = &loaded.world;
        let mut builder = Engine::builder()
            .jit(JitMode::Off)
            .policies(&world.policies);
        builder = builder.entities(world.entities.clone());
        if let Some(schema) = &world.schema {
            builder = builder.schema(schema);
        }
        let snapshot = builder.build().ok()?.snapshot();
        let schema = world.schema.as_deref();
        let judged = parse_request([&principal, &action, &resource], &context, schema);
        let bound = snapshot.bind_json(&principal, &action, &resource, &context, true);
        let counts = self.counts.entry(DocumentKind::Request).or_default();
        match (judged, bound) {
            (Ok(request), Ok(bound)) => {
                counts.accepted += 1;
                let mut scratch = cedarjit::Scratch::default();
                let got = Answer::from(bound.interpret(&mut scratch));
                let response =
                    Authorizer::new().is_authorized(&request, &world.policies, &world.entities);
                let expected = Answer::from(&response);
                (got != expected).then(|| format!("expected {expected:?}, got {got:?}"))
            }
            (Err(_), Err(_)) => {
                counts.refused += 1;
                None
            }
            (Ok(_), Err(RequestError::Limit { .. })) => {
                counts.limited += 1;
                None
            }
            (Ok(_), Err(error)) => Some(format!("only the engine refuses it: {error}")),
            (Err(error), Ok(_)) => Some(format!("only cedar-policy refuses it: {error}")),
        }
    }
}

fn judge(kind: DocumentKind, text: &str, loaded: &LoadedCase) -> Result<Judge, String> {
    let world = &loaded.world;
    let said = |error: &dyn fmt::Display| error.to_string();
    let mut judge = Judge {
        policies: world.policies.clone(),
        entities: world.entities.clone(),
    };
    let entities = world.texts.entities.as_deref().unwrap_or("[]");
    match kind {
        DocumentKind::Policies => judge.policies = text.parse().map_err(|e| said(&e))?,
        DocumentKind::PoliciesJson => {
            judge.policies = PolicySet::from_json_str(text).map_err(|e| said(&e))?;
        }
        DocumentKind::Schema | DocumentKind::SchemaJson => {
            let schema = match kind {
                DocumentKind::Schema => Schema::from_cedarschema_str(text)
                    .map(|(schema, _)| schema)
                    .map_err(|e| said(&e))?,
                _ => Schema::from_json_str(text).map_err(|e| said(&e))?,
            };
            judge.entities =
                Entities::from_json_str(entities, Some(&schema)).map_err(|e| said(&e))?;
        }
        _ => {
            judge.entities =
                Entities::from_json_str(text, world.schema.as_deref()).map_err(|e| said(&e))?;
        }
    }
    Ok(judge)
}

fn builder(kind: DocumentKind, text: &str, loaded: &LoadedCase) -> EngineBuilder {
    let world = &loaded.world;
    let entities = world.texts.entities.as_deref().unwrap_or("[]");
    let builder = Engine::builder();
    match kind {
        DocumentKind::Policies => builder.policies_str(text).entities(world.entities.clone()),
        DocumentKind::PoliciesJson => builder.policies_json(text).entities(world.entities.clone()),
        DocumentKind::Schema => {
            let builder = builder.schema_str(text).entities_json(entities);
            builder.policies(&world.policies)
        }
        DocumentKind::SchemaJson => {
            let builder = builder.schema_json(text).entities_json(entities);
            builder.policies(&world.policies)
        }
        _ => {
            let builder = builder.entities_json(text).policies(&world.policies);
            // As text, so that the engine reads plain entities itself.
            match &world.texts.schema {
                Some(SchemaText::Cedar(schema)) => builder.schema_str(schema),
                Some(SchemaText::Json(schema)) => builder.schema_json(schema),
                None => builder,
            }
        }
    }
}

fn different_answer(judge: &Judge, engine: &Engine, request: &Request) -> Option<String> {
    let response = Authorizer::new().is_authorized(request, &judge.policies, &judge.entities);
    let expected = Answer::from(&response);
    let got = Answer::from(&Response::from(&engine.is_authorized(request)));
    (got != expected).then(|| format!("expected {expected:?}, got {got:?} for {request}"))
}

fn parse_request(
    uids: [&str; 3],
    context: &serde_json::Value,
    schema: Option<&Schema>,
) -> Result<Request, String> {
    let uid = |text: &str| text.parse::<EntityUid>().map_err(|error| error.to_string());
    let [principal, action, resource] = uids;
    let (principal, action, resource) = (uid(principal)?, uid(action)?, uid(resource)?);
    let context = Context::from_json_value(context.clone(), schema.map(|s| (s, &action)))
        .map_err(|error| error.to_string())?;
    Request::new(principal, action, resource, context, schema).map_err(|error| error.to_string())
}
