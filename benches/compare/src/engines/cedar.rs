//! cedar-policy, asked as its documentation shows.

use cedar_policy::{
    Authorizer, Context, Entities, EntityUid, PolicyId, PolicySet, Request, Response, Schema,
    SlotId,
};
use cedarjit_bench::Error;
use cedarjit_bench::apps::{Answer, App, RequestText, SchemaText};
use serde::Deserialize;
use std::collections::HashMap;

/// Policies and entities, ready to be asked.
pub(crate) struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    /// With one, requests are read and validated by it.
    schema: Option<Schema>,
}

impl Cedar {
    /// An application: with its schema, or with its action entities instead.
    pub(crate) fn app(app: &App, with_schema: bool) -> Result<Self, Error> {
        let policies = policies(&app.policies, app.links.as_deref().unwrap_or("[]"))?;
        if !with_schema {
            let entities = Entities::from_json_str(&app.all_entities()?, None)?;
            return Ok(Self::new(policies, entities));
        }
        let schema = match &app.schema {
            SchemaText::Cedar(text) => Schema::from_cedarschema_str(text)?.0,
            SchemaText::Json(text) => Schema::from_json_str(text)?,
        };
        let entities = Entities::from_json_str(&app.entities, Some(&schema))?;
        Ok(Self {
            schema: Some(schema),
            ..Self::new(policies, entities)
        })
    }

    /// Policies and entities without a schema.
    pub(crate) fn new(policies: PolicySet, entities: Entities) -> Self {
        Self {
            authorizer: Authorizer::new(),
            policies,
            entities,
            schema: None,
        }
    }

    /// Reads a request; with a schema, `validate` says whether it must fit. The context is read by
    /// the schema only then: the schema declares none for an action that it does not know.
    pub(crate) fn request(&self, text: &RequestText, validate: bool) -> Result<Request, Error> {
        let schema = self.schema.as_ref().filter(|_| validate);
        let action: EntityUid = text.action.parse()?;
        let context = Context::from_json_str(&text.context, schema.map(|s| (s, &action)))?;
        Ok(Request::new(
            text.principal.parse()?,
            action,
            text.resource.parse()?,
            context,
            schema,
        )?)
    }

    /// Decides a request.
    pub(crate) fn evaluate(&self, request: &Request) -> Response {
        let Self {
            authorizer,
            policies,
            entities,
            ..
        } = self;
        authorizer.is_authorized(request, policies, entities)
    }

    /// Reads and decides a request.
    pub(crate) fn decide(&self, text: &RequestText, validate: bool) -> Result<Response, Error> {
        Ok(self.evaluate(&self.request(text, validate)?))
    }
}

/// A response as it is compared.
pub(crate) fn answer(response: &Response) -> Answer {
    let diagnostics = response.diagnostics();
    Answer {
        decision: response.decision(),
        reasons: diagnostics.reason().map(ToString::to_string).collect(),
        errors: diagnostics
            .errors()
            .map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(e) => {
                    e.policy_id().to_string()
                }
            })
            .collect(),
    }
}

/// A line of a file of template links.
#[derive(Deserialize)]
struct Link {
    template_id: String,
    link_id: String,
    args: HashMap<String, String>,
}

/// Parses policies and links templates, as cedar-policy's command line does.
pub(crate) fn policies(text: &str, links: &str) -> Result<PolicySet, Error> {
    let mut policies: PolicySet = text.parse()?;
    let links: Vec<Link> = serde_json::from_str(links)?;
    for link in links {
        let mut slots = HashMap::with_capacity(link.args.len());
        for (slot, uid) in &link.args {
            let slot = match slot.as_str() {
                "?principal" => SlotId::principal(),
                "?resource" => SlotId::resource(),
                other => return Err(format!("there is no slot {other}").into()),
            };
            slots.insert(slot, uid.parse()?);
        }
        let (template, id) = (PolicyId::new(link.template_id), PolicyId::new(link.link_id));
        policies.link(template, id, slots)?;
    }
    Ok(policies)
}
