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
    /// The requests as clients send them.
    pub texts: Vec<RequestText>,
    /// The schema's text.
    pub schema_text: String,
}

/// A request as a client sends it.
#[derive(Debug)]
pub struct RequestText {
    /// Principal, action and resource.
    pub uids: [String; 3],
    /// The context, in JSON.
    pub context: String,
}

impl Example {
    /// Loads `examples/tinytodo`.
    ///
    /// # Errors
    /// When a file is missing or malformed.
    pub fn load() -> Result<Self, Box<dyn Error>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tinytodo");
        let read = |name: &str| std::fs::read_to_string(folder.join(name));
        let schema_text = read("tinytodo.cedarschema")?;
        let (schema, _) = Schema::from_cedarschema_str(&schema_text)?;
        let policies: PolicySet = read("policies.cedar")?.parse()?;
        let entities = Entities::from_json_str(&read("entities.json")?, Some(&schema))?;
        let (mut requests, mut texts) = (Vec::new(), Vec::new());
        for line in read("requests.jsonl")?.lines() {
            let json: serde_json::Value = serde_json::from_str(line)?;
            let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
            texts.push(RequestText {
                uids: ["principal", "action", "resource"].map(text),
                context: json["context"].to_string(),
            });
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
            texts,
            schema_text,
        })
    }

    /// The engine for this example.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn engine(&self) -> Result<Engine, Box<dyn Error>> {
        Ok(Engine::builder()
            .schema_str(&self.schema_text)
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
