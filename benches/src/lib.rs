//! What the Criterion suites measure: the shipped example, loaded for every engine.

#![forbid(unsafe_code)]

use cedar_policy::{Entities, EntityUid, PolicySet, Request, Schema};
use cedarjit::{BoundRequest, Engine};
use std::error::Error;
use std::path::Path;

/// The shipped example: policies with their links, entities, schema and requests.
#[derive(Debug)]
pub struct Example {
    /// Policies and links.
    pub policies: PolicySet,
    /// Entities, actions included.
    pub entities: Entities,
    /// The schema.
    pub schema: Schema,
    /// The requests, validated.
    pub requests: Vec<Request>,
}

impl Example {
    /// Loads `examples/tinytodo`.
    ///
    /// # Errors
    /// When a file is missing or malformed.
    pub fn load() -> Result<Self, Box<dyn Error>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tinytodo");
        let read = |name: &str| std::fs::read_to_string(folder.join(name));
        let (schema, _) = Schema::from_cedarschema_str(&read("tinytodo.cedarschema")?)?;
        let policies: PolicySet = read("policies.cedar")?.parse()?;
        let entities = Entities::from_json_str(&read("entities.json")?, Some(&schema))?;
        let mut requests = Vec::new();
        for line in read("requests.jsonl")?.lines() {
            let json: serde_json::Value = serde_json::from_str(line)?;
            let uid = |name: &str| -> Result<EntityUid, Box<dyn Error>> {
                Ok(json[name].as_str().unwrap_or_default().parse()?)
            };
            let action = uid("action")?;
            let context = cedar_policy::Context::from_json_value(
                json["context"].clone(),
                Some((&schema, &action)),
            )?;
            let (principal, resource) = (uid("principal")?, uid("resource")?);
            requests.push(Request::new(
                principal,
                action,
                resource,
                context,
                Some(&schema),
            )?);
        }
        Ok(Self {
            policies,
            entities,
            schema,
            requests,
        })
    }

    /// The engine for this example.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn engine(&self) -> Result<Engine, Box<dyn Error>> {
        Ok(Engine::builder()
            .schema(&self.schema)
            .policies(&self.policies)
            .entities(self.entities.clone())
            .build()?)
    }

    /// The requests, bound to an engine's current snapshot.
    ///
    /// # Errors
    /// When one cannot be bound.
    pub fn bound(&self, engine: &Engine) -> Result<Vec<BoundRequest>, Box<dyn Error>> {
        let snapshot = engine.snapshot();
        self.requests
            .iter()
            .map(|request| Ok(snapshot.bind(request)?))
            .collect()
    }
}
