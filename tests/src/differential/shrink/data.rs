//! Makes the data of a mismatch small: what entities and the context hold.

use super::Search;
use crate::generator::{Case, Pieces};
use serde_json::Value;

impl Search<'_> {
    /// Leaves out attributes, tags and parents of entities, one by one.
    pub(super) fn shrink_entities(&mut self) -> bool {
        self.shrink_each(|case, position| {
            let smaller = smaller_entities(case.entities.iter().nth(position)?);
            let with = smaller.into_iter();
            Some(
                with.map(|text| with_entity(case, position, &text))
                    .collect(),
            )
        })
    }

    /// Leaves out attributes of the contexts.
    pub(super) fn shrink_context(&mut self) -> bool {
        self.shrink_each(|case, position| {
            let context = case.contexts.get(position)?;
            let context = serde_json::from_str::<Value>(context).unwrap_or_default();
            let with = |context: Value| {
                let mut case = case.clone();
                if let Some(place) = case.contexts.get_mut(position) {
                    *place = context.to_string();
                }
                case
            };
            Some(without_one(&context, "").into_iter().map(with).collect())
        })
    }
}

fn with_entity(case: &Case, position: usize, text: &str) -> Case {
    let mut entities = Pieces::default();
    for (n, entity) in case.entities.iter().enumerate() {
        entities.push(if n == position { text } else { entity });
    }
    Case {
        entities,
        ..case.clone()
    }
}

fn smaller_entities(text: &str) -> Vec<String> {
    let Ok(entity) = serde_json::from_str::<Value>(text) else {
        return Vec::new();
    };
    let places = ["/attrs", "/tags", "/parents"];
    let smaller = places.iter().flat_map(|place| without_one(&entity, place));
    smaller.map(|entity| entity.to_string()).collect()
}

/// The document without each one of the members of the object or array at `place`.
fn without_one(document: &Value, place: &str) -> Vec<Value> {
    let without = |remove: &dyn Fn(&mut Value)| {
        let mut smaller = document.clone();
        if let Some(members) = smaller.pointer_mut(place) {
            remove(members);
        }
        smaller
    };
    match document.pointer(place) {
        Some(Value::Object(members)) => {
            let names = members.keys();
            let one = |name: &String| {
                without(&|members| {
                    if let Value::Object(members) = members {
                        members.remove(name);
                    }
                })
            };
            names.map(one).collect()
        }
        Some(Value::Array(members)) => {
            let one = |position: usize| {
                without(&|members| {
                    if let Value::Array(members) = members {
                        members.remove(position);
                    }
                })
            };
            (0..members.len()).map(one).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_lose_one_thing_at_a_time() {
        let entity = r#"{"uid": 1, "attrs": {"a": 1, "b": 2}, "parents": [3], "tags": {}}"#;
        let smaller = smaller_entities(entity);
        assert_eq!(smaller.len(), 3, "{smaller:?}");
        assert!(smaller.iter().all(|text| text.contains("uid")));
        assert!(smaller.iter().any(|text| text.contains("\"parents\":[]")));
        assert_eq!(without_one(&serde_json::json!({"x": 1}), "").len(), 1);
    }
}
