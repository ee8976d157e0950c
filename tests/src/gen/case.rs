//! A generated world in text, and what cedar-policy makes of it.

use super::policies::Link;
use super::text::{Pieces, json_string};
use super::value::UidText;
use crate::engines::{EngineError, SchemaText, TestContext, TestRequest, World, WorldTexts};
use cedar_policy::{
    Context, Entities, EntityId, EntityTypeName, EntityUid, PolicyId, PolicySet, Request, Schema,
    SchemaFragment, SlotId,
};
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

/// A generated world: everything in text, in parts that can be left out one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The JSON schema, if the world has one.
    pub schema: Option<String>,
    /// Whether engines get the schema in Cedar's schema syntax.
    pub schema_as_cedar: bool,
    /// Whether cedar-policy reads the policies back from their JSON form.
    pub policies_as_json: bool,
    /// Policies and templates as Cedar source, in order.
    pub policies: Pieces,
    /// Links of the templates.
    pub links: Vec<Link>,
    /// Entities, each a JSON object.
    pub entities: Pieces,
    /// The uids that requests refer to.
    pub uids: Vec<UidText>,
    /// The contexts that requests refer to, each a JSON object.
    pub contexts: Vec<String>,
    /// The requests.
    pub requests: Vec<CaseRequest>,
}

/// A request, by positions in its [`Case`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CaseRequest {
    /// The principal's position in [`Case::uids`].
    pub principal: usize,
    /// The action's.
    pub action: usize,
    /// The resource's.
    pub resource: usize,
    /// The context's position in [`Case::contexts`].
    pub context: usize,
    /// Whether to validate it against the schema.
    pub validate: bool,
}

/// A case as cedar-policy has read it.
#[derive(Debug, Clone)]
pub struct LoadedCase {
    /// What engines load.
    pub world: World,
    /// What they are asked, in the order of [`Case::requests`].
    pub requests: Vec<TestRequest>,
}

/// Which part of a case cedar-policy refuses, and why.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CaseError {
    /// The schema.
    #[error("schema: {0}")]
    Schema(String),
    /// A policy or template.
    #[error("policies: {0}")]
    Policies(String),
    /// A link.
    #[error("link: {0}")]
    Link(String),
    /// The entities.
    #[error("entities: {0}")]
    Entities(String),
    /// A uid.
    #[error("uid: {0}")]
    Uid(String),
}

impl Case {
    /// Has cedar-policy read everything.
    ///
    /// # Errors
    ///
    /// The first part that it refuses. A request that it refuses is no error: it is kept as such.
    pub fn load(&self) -> Result<LoadedCase, CaseError> {
        let schema = self.schema.as_deref().map(Schema::from_json_str);
        let schema = schema
            .transpose()
            .map_err(|error| CaseError::Schema(error.to_string()))?;
        let source = self.policies.join("\n");
        let mut policies = PolicySet::from_str(&source)
            .map_err(|error| CaseError::Policies(format!("{error:?}")))?;
        if self.policies_as_json {
            let json = policies
                .to_json()
                .map_err(|error| CaseError::Policies(format!("{error:?}")))?;
            policies = PolicySet::from_json_value(json)
                .map_err(|error| CaseError::Policies(format!("{error:?}")))?;
        }
        for link in &self.links {
            link.add_to(&mut policies)?;
        }
        let json = self.entities.json_array();
        let entities = Entities::from_json_str(&json, schema.as_ref())
            .map_err(|error| CaseError::Entities(format!("{error:?}")))?;
        let requests = self.load_requests(schema.as_ref())?;
        let texts = WorldTexts {
            policies: Some(source),
            links: (!self.links.is_empty()).then(|| self.links_json()),
            entities: Some(json),
            schema: self.schema_text(),
        };
        let world = World {
            texts,
            ..World::new(policies, entities, schema.map(Arc::new))
        };
        Ok(LoadedCase { world, requests })
    }

    /// The schema in the syntax in which engines get it.
    fn schema_text(&self) -> Option<SchemaText> {
        let json = self.schema.clone()?;
        if self.schema_as_cedar {
            let fragment = SchemaFragment::from_json_str(&json).ok();
            let text = fragment.and_then(|fragment| fragment.to_cedarschema().ok());
            // What Cedar's syntax cannot say stays JSON, and what it would say otherwise.
            if let Some(text) = text.filter(|text| Schema::from_str(text).is_ok()) {
                return Some(SchemaText::Cedar(text));
            }
        }
        Some(SchemaText::Json(json))
    }

    /// Many requests share uids and contexts, so each is read only once.
    fn load_requests(&self, schema: Option<&Schema>) -> Result<Vec<TestRequest>, CaseError> {
        let uids: Vec<EntityUid> = self.uids.iter().map(entity_uid).collect::<Result<_, _>>()?;
        let texts = self.uids.iter().map(|uid| Arc::from(uid.to_string()));
        let texts: Vec<Arc<str>> = texts.collect();
        let jsons: Vec<Arc<TestContext>> = self
            .contexts
            .iter()
            .map(|context| serde_json::from_str(context).unwrap_or_default())
            .map(|json: serde_json::Value| Arc::new(json.into()))
            .collect();
        let mut contexts: HashMap<(usize, usize), Result<Context, EngineError>> = HashMap::new();
        let mut requests = Vec::with_capacity(self.requests.len());
        for request in &self.requests {
            let uid = |position: usize| uids.get(position).cloned().ok_or_else(missing);
            let text = |position: usize| texts.get(position).cloned().ok_or_else(missing);
            let json = jsons.get(request.context).cloned();
            let json = json.unwrap_or_else(|| Arc::new(serde_json::Value::Null.into()));
            let action = uid(request.action)?;
            // Without a schema the action makes no difference to how a context is read.
            let key = (request.context, schema.map_or(0, |_| request.action));
            let context = contexts.entry(key).or_insert_with(|| {
                Context::from_json_value(json.json.clone(), schema.map(|schema| (schema, &action)))
                    .map_err(EngineError::request)
            });
            let (principal, resource) = (uid(request.principal)?, uid(request.resource)?);
            let parsed = context.clone().and_then(|context| {
                let schema = schema.filter(|_| request.validate);
                Request::new(principal, action, resource, context, schema)
                    .map_err(EngineError::request)
            });
            requests.push(TestRequest {
                principal: text(request.principal)?,
                action: text(request.action)?,
                resource: text(request.resource)?,
                context: json,
                validate: request.validate,
                parsed,
            });
        }
        Ok(requests)
    }

    /// The links in the JSON format of the `cedar` command line.
    pub fn links_json(&self) -> String {
        let mut out = String::from("[");
        for (position, link) in self.links.iter().enumerate() {
            out.push_str(if position > 0 { ",\n" } else { "" });
            link.json(&mut out);
        }
        out.push(']');
        out
    }
}

impl Link {
    fn add_to(&self, policies: &mut PolicySet) -> Result<(), CaseError> {
        let mut slots = HashMap::new();
        if let Some(uid) = &self.principal {
            slots.insert(SlotId::principal(), entity_uid(uid)?);
        }
        if let Some(uid) = &self.resource {
            slots.insert(SlotId::resource(), entity_uid(uid)?);
        }
        let template = PolicyId::new(format!("policy{}", self.template));
        policies
            .link(template, PolicyId::new(&self.id), slots)
            .map_err(|error| CaseError::Link(format!("{error:?}")))
    }

    fn json(&self, out: &mut String) {
        out.push_str("{\"template_id\": ");
        json_string(out, &format!("policy{}", self.template));
        out.push_str(", \"link_id\": ");
        json_string(out, &self.id);
        out.push_str(", \"args\": {");
        let slots = [
            ("?principal", &self.principal),
            ("?resource", &self.resource),
        ];
        let bound = slots
            .into_iter()
            .filter_map(|(slot, uid)| Some((slot, uid.as_ref()?)));
        for (position, (slot, uid)) in bound.enumerate() {
            out.push_str(if position > 0 { ", " } else { "" });
            json_string(out, slot);
            out.push_str(": ");
            json_string(out, &uid.to_string());
        }
        out.push_str("}}");
    }
}

fn entity_uid(uid: &UidText) -> Result<EntityUid, CaseError> {
    let type_name = EntityTypeName::from_str(&uid.type_name)
        .map_err(|error| CaseError::Uid(error.to_string()))?;
    Ok(EntityUid::from_type_name_and_id(
        type_name,
        EntityId::new(&uid.id),
    ))
}

fn missing() -> CaseError {
    CaseError::Uid("a request refers to no uid".to_owned())
}
