//! regorus, with the applications' policies written in Rego.
//!
//! Rego gives the decision only, not which policies determined it. The entities are its data, by
//! uid: attributes, and ancestors as an object, so that a look-up finds one.

use super::json::{entity_ref, uid_text};
use cedar_policy::{Decision, Entities};
use cedarjit_bench::Error;
use cedarjit_bench::apps::{App, RequestText};
use regorus::{Engine, Value};
use serde_json::{Map, json};

/// The Rego of an application, by the first part of its name.
fn policy(app: &str) -> Option<&'static str> {
    Some(match app.split('-').next()? {
        "tinytodo" => include_str!("rego/tinytodo.rego"),
        "gdrive" => include_str!("rego/gdrive.rego"),
        "github" => include_str!("rego/github.rego"),
        _ => return None,
    })
}

/// An application in regorus.
pub(crate) struct Rego {
    engine: Engine,
}

impl Rego {
    /// Loads policies and data, and prepares evaluation.
    pub(crate) fn new(app: &App) -> Result<Self, Error> {
        let text = policy(&app.name).ok_or_else(|| format!("no Rego for {}", app.name))?;
        let mut engine = Engine::new();
        engine.add_policy("policy.rego".into(), text.into())?;
        let data = json!({ "entities": data(app)? });
        engine.add_data(Value::from_json_str(&data.to_string())?)?;
        Ok(Self { engine })
    }

    /// The input document of a request. No policy reads the context.
    pub(crate) fn input(text: &RequestText) -> Result<Value, Error> {
        let mut input = Value::new_object();
        let fields = input.as_object_mut()?;
        for (name, uid) in [
            ("principal", &text.principal),
            ("action", &text.action),
            ("resource", &text.resource),
        ] {
            fields.insert(Value::from(name), Value::from(uid.as_str()));
        }
        Ok(input)
    }

    /// Decides a request.
    pub(crate) fn evaluate(&mut self, input: Value) -> Result<Decision, Error> {
        self.engine.set_input(input);
        let allow = self.engine.eval_rule("data.app.allow".into())?;
        Ok(match allow {
            Value::Bool(true) => Decision::Allow,
            _ => Decision::Deny,
        })
    }
}

/// The entities as Rego wants them, actions included.
fn data(app: &App) -> Result<serde_json::Value, Error> {
    let entities = Entities::from_json_str(&app.all_entities()?, None)?;
    let mut data = Map::new();
    for entity in entities.iter() {
        let uid = entity.uid();
        let ancestors = entities.ancestors(&uid).into_iter().flatten();
        let ancestors: Map<String, serde_json::Value> = ancestors
            .map(|ancestor| (ancestor.to_string(), json!(true)))
            .collect();
        let json = entity.to_json_value()?;
        let attrs = plain(json.get("attrs").unwrap_or(&serde_json::Value::Null))?;
        data.insert(
            uid.to_string(),
            json!({ "attrs": attrs, "ancestors": ancestors }),
        );
    }
    Ok(data.into())
}

/// A value with entity references as the uids' texts.
fn plain(value: &serde_json::Value) -> Result<serde_json::Value, Error> {
    use serde_json::Value::{Array, Object, String};
    if let Some((ty, id)) = entity_ref(value) {
        return Ok(String(uid_text(ty, id)?));
    }
    match value {
        Array(values) => values.iter().map(plain).collect(),
        Object(fields) => {
            let fields = fields.iter().map(|(name, v)| Ok((name.clone(), plain(v)?)));
            Ok(Object(fields.collect::<Result<_, Error>>()?))
        }
        other => Ok(other.clone()),
    }
}
