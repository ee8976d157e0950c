//! The JSON form of a schema to facts.
//!
//! A name without a namespace means the one in the namespace at hand, else the one in the empty
//! namespace; in each, a common type comes before an entity type. The names of primitive and
//! extension types are common types of the namespace `__cedar`, and of the empty one unless it
//! declares them anew.

use super::{ActionFacts, AttrFacts, Attrs, EntityTypeFacts, SchemaFacts, SchemaType};
use crate::limits::{
    LimitError, MAX_SCHEMA_HIERARCHY, MAX_SCHEMA_NESTING, MAX_TYPE_SIZE, check_hierarchy,
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

type Result<T> = std::result::Result<T, LimitError>;

/// The types that need no declaration, by the name that Cedar gives them.
const BUILTINS: [(&str, SchemaType); 7] = [
    ("Bool", SchemaType::Bool),
    ("Long", SchemaType::Long),
    ("String", SchemaType::String),
    ("decimal", SchemaType::Decimal),
    ("ipaddr", SchemaType::Ip),
    ("datetime", SchemaType::Datetime),
    ("duration", SchemaType::Duration),
];

/// A resolved type with what it takes: how deep it is, and of how many types it consists.
#[derive(Clone)]
struct Sized {
    ty: SchemaType,
    depth: usize,
    size: u64,
}

impl Sized {
    fn leaf(ty: SchemaType) -> Self {
        Self {
            ty,
            depth: 1,
            size: 1,
        }
    }
}

/// A common type while common types are being resolved.
enum Common {
    /// Not resolved yet.
    Declared,
    /// Being resolved: a reference to it is a cycle.
    Pending,
    Resolved(Sized),
}

/// What a name can refer to.
enum Referent {
    Common(String),
    Entity(String),
}

/// Which kinds of types a reference may mean.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Common,
    Entity,
    Either,
}

struct Resolver<'a> {
    /// Common types by qualified name, with their namespace and definition.
    definitions: HashMap<String, (&'a str, &'a Value)>,
    common: HashMap<String, Common>,
    entity_types: HashSet<String>,
}

pub(super) fn facts(fragment: &Value) -> Result<SchemaFacts> {
    let mut facts = SchemaFacts::default();
    let Some(namespaces) = fragment.as_object() else {
        return Ok(facts);
    };
    let mut resolver = Resolver::new(namespaces);
    resolver.check_hierarchies(namespaces)?;
    // Unused common types count too: cedar-policy resolves all of them.
    let names: Vec<_> = resolver.definitions.keys().cloned().collect();
    for name in names {
        resolver.common(&name, 1)?;
    }
    for (namespace, definition) in namespaces {
        for (name, declared) in members(definition, "entityTypes") {
            if let Some(ty) = resolver.entity_type(namespace, declared)? {
                let name = qualify(namespace, name).into();
                facts.entity_types.insert(name, ty);
            }
        }
        for (id, declared) in members(definition, "actions") {
            if let Some(action) = resolver.action(namespace, declared)? {
                let uid = (qualify(namespace, "Action").into(), id.as_str().into());
                facts.actions.insert(uid, action);
            }
        }
    }
    Ok(facts)
}

/// The entries of an object's member that is itself an object.
fn members<'a>(
    object: &'a Value,
    name: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    object
        .get(name)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

/// The elements of an object's member that is an array.
fn elements<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    object
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn qualify(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}::{name}")
    }
}

/// The qualified names that a name can mean in a namespace, the first that exists taking
/// precedence.
fn meanings(namespace: &str, name: &str) -> impl Iterator<Item = String> {
    let here = (!namespace.is_empty() && !name.contains("::")).then(|| qualify(namespace, name));
    here.into_iter().chain([name.to_owned()])
}

fn is_external(declared: &Value) -> bool {
    declared
        .get("external")
        .is_some_and(|e| e != &Value::Bool(false))
}

fn builtin(name: &str) -> Option<SchemaType> {
    let found = BUILTINS.iter().find(|(builtin, _)| *builtin == name);
    found.map(|(_, ty)| ty.clone())
}

impl<'a> Resolver<'a> {
    fn new(namespaces: &'a Map<String, Value>) -> Self {
        let mut resolver = Self {
            definitions: HashMap::new(),
            common: HashMap::new(),
            entity_types: HashSet::new(),
        };
        for (namespace, definition) in namespaces {
            for (name, ty) in members(definition, "commonTypes") {
                let name = qualify(namespace, name);
                resolver.definitions.insert(name, (namespace, ty));
            }
            for (name, _) in members(definition, "entityTypes") {
                resolver.entity_types.insert(qualify(namespace, name));
            }
            if members(definition, "actions").next().is_some() {
                resolver.entity_types.insert(qualify(namespace, "Action"));
            }
        }
        let declared = resolver.definitions.keys();
        resolver.common = declared
            .map(|name| (name.clone(), Common::Declared))
            .collect();
        for (name, ty) in BUILTINS {
            let reserved = format!("__cedar::{name}");
            let builtin = Common::Resolved(Sized::leaf(ty.clone()));
            resolver.common.insert(reserved, builtin);
            if !resolver.definitions.contains_key(name) && !resolver.entity_types.contains(name) {
                let builtin = Common::Resolved(Sized::leaf(ty));
                resolver.common.insert(name.to_owned(), builtin);
            }
        }
        resolver
    }

    /// What `name` refers to in `namespace`.
    fn refer(&self, namespace: &str, name: &str, kind: Kind) -> Option<Referent> {
        meanings(namespace, name).find_map(|name| {
            if kind != Kind::Entity && self.common.contains_key(&name) {
                Some(Referent::Common(name))
            } else if kind != Kind::Common && self.entity_types.contains(&name) {
                Some(Referent::Entity(name))
            } else {
                None
            }
        })
    }

    fn reference(
        &mut self,
        namespace: &str,
        name: Option<&Value>,
        kind: Kind,
        depth: usize,
    ) -> Result<Sized> {
        let name = name.and_then(Value::as_str);
        match name.and_then(|name| self.refer(namespace, name, kind)) {
            Some(Referent::Common(name)) => self.common(&name, depth),
            Some(Referent::Entity(name)) => Ok(Sized::leaf(SchemaType::Entity(name.into()))),
            None => Ok(Sized::leaf(SchemaType::Unknown)),
        }
    }

    /// The common type with this qualified name, used `depth` levels deep.
    fn common(&mut self, name: &str, depth: usize) -> Result<Sized> {
        check_depth(depth)?;
        let Some(state) = self.common.get_mut(name) else {
            return Ok(Sized::leaf(SchemaType::Unknown));
        };
        match state {
            Common::Resolved(known) => {
                check_depth(depth + known.depth)?;
                return Ok(known.clone());
            }
            Common::Pending => return Ok(Sized::leaf(SchemaType::Unknown)),
            Common::Declared => *state = Common::Pending,
        }
        let Some(&(namespace, definition)) = self.definitions.get(name) else {
            return Ok(Sized::leaf(SchemaType::Unknown));
        };
        let mut resolved = self.resolve(namespace, definition, depth + 1)?;
        resolved.depth += 1;
        let state = Common::Resolved(resolved.clone());
        self.common.insert(name.to_owned(), state);
        Ok(resolved)
    }

    /// The type that `ty` describes, used `depth` levels deep.
    fn resolve(&mut self, namespace: &str, ty: &Value, depth: usize) -> Result<Sized> {
        check_depth(depth)?;
        let name = ty.get("name");
        let Some(tag) = ty.get("type").and_then(Value::as_str) else {
            return Ok(Sized::leaf(SchemaType::Unknown));
        };
        Ok(match tag {
            "String" => Sized::leaf(SchemaType::String),
            "Long" => Sized::leaf(SchemaType::Long),
            "Boolean" => Sized::leaf(SchemaType::Bool),
            "Set" => {
                let Some(element) = ty.get("element") else {
                    return Ok(Sized::leaf(SchemaType::Unknown));
                };
                let mut set = self.resolve(namespace, element, depth + 1)?;
                set.ty = SchemaType::Set(Arc::new(set.ty));
                grow(&mut set, 1)?;
                set.depth += 1;
                set
            }
            "Record" => self.record(namespace, ty, depth)?,
            "Entity" => self.reference(namespace, name, Kind::Entity, depth)?,
            "EntityOrCommon" => self.reference(namespace, name, Kind::Either, depth)?,
            "Extension" => {
                let known = name.and_then(Value::as_str).and_then(builtin);
                let extension = known.filter(|ty| {
                    !matches!(ty, SchemaType::Bool | SchemaType::Long | SchemaType::String)
                });
                Sized::leaf(extension.unwrap_or(SchemaType::Unknown))
            }
            _ => self.reference(namespace, ty.get("type"), Kind::Common, depth)?,
        })
    }

    fn record(&mut self, namespace: &str, ty: &Value, depth: usize) -> Result<Sized> {
        let mut record = Sized::leaf(SchemaType::Unknown);
        let Some(declared) = ty.get("attributes").and_then(Value::as_object) else {
            return Ok(record);
        };
        let mut attrs = BTreeMap::new();
        for (name, declared) in declared {
            let attr = self.resolve(namespace, declared, depth + 1)?;
            record.depth = record.depth.max(attr.depth + 1);
            grow(&mut record, attr.size)?;
            let ty = attr.ty;
            let required = declared
                .get("required")
                .is_none_or(|r| r == &Value::Bool(true));
            attrs.insert(name.clone(), AttrFacts { ty, required });
        }
        let open = ty.get("additionalAttributes");
        if open.is_none_or(|open| open == &Value::Bool(false)) {
            record.ty = SchemaType::Record(Arc::new(attrs));
        }
        Ok(record)
    }

    /// The attributes of the record type `ty`; no attributes if there is no such type.
    fn attrs(&mut self, namespace: &str, ty: Option<&Value>) -> Result<Option<Arc<Attrs>>> {
        let Some(ty) = ty else {
            return Ok(Some(Arc::default()));
        };
        Ok(match self.resolve(namespace, ty, 1)?.ty {
            SchemaType::Record(attrs) => Some(attrs),
            _ => None,
        })
    }

    fn entity_type(
        &mut self,
        namespace: &str,
        declared: &Value,
    ) -> Result<Option<EntityTypeFacts>> {
        if is_external(declared) {
            return Ok(None);
        }
        let tags = match declared.get("tags") {
            Some(ty) => Some(self.resolve(namespace, ty, 1)?.ty),
            None => None,
        };
        let attrs = self.attrs(namespace, declared.get("shape"))?;
        let choices = declared.get("enum").map(|_| {
            let ids = elements(declared, "enum").filter_map(Value::as_str);
            ids.map(str::to_owned).collect()
        });
        Ok(attrs.map(|attrs| EntityTypeFacts {
            attrs,
            tags,
            choices,
        }))
    }

    fn action(&mut self, namespace: &str, declared: &Value) -> Result<Option<ActionFacts>> {
        if is_external(declared) {
            return Ok(None);
        }
        let Some(applies) = declared.get("appliesTo").filter(|a| !a.is_null()) else {
            return Ok(Some(ActionFacts {
                principals: Vec::new(),
                resources: Vec::new(),
                context: Some(Arc::default()),
            }));
        };
        let context = self.attrs(namespace, applies.get("context"))?;
        let types = |member| {
            let names = elements(applies, member).map(|name| {
                let found = self.refer(namespace, name.as_str()?, Kind::Entity)?;
                match found {
                    Referent::Entity(name) => Some(Arc::from(name)),
                    Referent::Common(_) => None,
                }
            });
            names.collect::<Option<Vec<_>>>()
        };
        let (principals, resources) = (types("principalTypes"), types("resourceTypes"));
        Ok(principals
            .zip(resources)
            .map(|(principals, resources)| ActionFacts {
                principals,
                resources,
                context,
            }))
    }

    /// Bounds the chains of entity types and of actions that are in one another.
    fn check_hierarchies(&self, namespaces: &Map<String, Value>) -> Result<()> {
        let mut entity_types = HashMap::new();
        let mut actions = HashMap::new();
        for (namespace, definition) in namespaces {
            for (name, declared) in members(definition, "entityTypes") {
                let parents = elements(declared, "memberOfTypes").filter_map(|parent| {
                    match self.refer(namespace, parent.as_str()?, Kind::Entity)? {
                        Referent::Entity(name) => Some(name),
                        Referent::Common(_) => None,
                    }
                });
                entity_types.insert(qualify(namespace, name), parents.collect());
            }
            for (id, declared) in members(definition, "actions") {
                // A parent may be in either namespace; taking both only adds to the chain.
                let parents = elements(declared, "memberOf").flat_map(|parent| {
                    let ty = parent.get("type").and_then(Value::as_str);
                    let id = parent.get("id").and_then(Value::as_str).unwrap_or("");
                    meanings(namespace, ty.unwrap_or("Action")).map(|ty| (ty, id.to_owned()))
                });
                let uid = (qualify(namespace, "Action"), id.clone());
                actions.insert(uid, parents.collect());
            }
        }
        check_hierarchy(&entity_types, MAX_SCHEMA_HIERARCHY)?;
        check_hierarchy(&actions, MAX_SCHEMA_HIERARCHY)
    }
}

fn check_depth(depth: usize) -> Result<()> {
    if depth > MAX_SCHEMA_NESTING {
        let limit = MAX_SCHEMA_NESTING;
        return Err(LimitError::Nesting { limit });
    }
    Ok(())
}

fn grow(ty: &mut Sized, by: u64) -> Result<()> {
    ty.size = ty.size.saturating_add(by);
    if ty.size > MAX_TYPE_SIZE {
        let limit = MAX_TYPE_SIZE;
        return Err(LimitError::TypeSize { limit });
    }
    Ok(())
}
