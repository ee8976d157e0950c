//! Changes of entities and policies, as the admin API takes them and the journal keeps them.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use cedar_policy::entities_errors::EntitiesError;
use cedar_policy::{Entity, EntityUid, Policy, PolicyId, Schema, SlotId, Template};
use cedarjit::{Engine, Transaction, UpdateError};
use cedarjit_frontend::load::{ParseError, parse_policies};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Adds an entity, or replaces the one with its uid. In Cedar's JSON format.
    UpsertEntity(Value),
    /// Removes an entity, also from the parents of others. There need not be one.
    RemoveEntity(Uid),
    /// Adds a static policy or a template.
    AddPolicy {
        /// Its id.
        id: String,
        /// It, in Cedar's syntax.
        policy: String,
    },
    /// Links a template.
    Link {
        /// The template's id.
        template: String,
        /// The link's id.
        id: String,
        /// What the slots stand for: `?principal`, `?resource`.
        slots: BTreeMap<String, Uid>,
    },
    /// Removes a static policy or a link, by id.
    RemovePolicy(String),
    /// Removes a template that has no links, by id.
    RemoveTemplate(String),
}

/// A uid, as text in Cedar's syntax or as `{"type", "id"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a uid as text, or an object with `type` and `id`"
)]
pub enum Uid {
    /// As text.
    Text(String),
    /// In parts.
    Parts {
        /// The type.
        #[serde(rename = "type")]
        ty: String,
        /// The id.
        id: String,
    },
}

/// Why a change cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// An entity is not one, or does not fit the schema.
    #[error("the entity cannot be read: {0}")]
    Entity(#[source] Box<EntitiesError>),
    /// A uid is not one.
    #[error("`{0}` is not an entity uid")]
    Uid(String),
    /// A policy is not one.
    #[error("the policy cannot be read: {0}")]
    Policy(#[source] Box<ParseError>),
    /// A text has no policy, or more than one.
    #[error("the text must be one policy or template")]
    NotOne,
    /// A slot is none.
    #[error("`{0}` is not a slot; there are `?principal` and `?resource`")]
    Slot(String),
    /// The engine does not admit it.
    #[error(transparent)]
    Update(#[from] UpdateError),
}

/// A change that cannot be made, among others.
#[derive(Debug, thiserror::Error)]
#[error("change {number} ({key}): {cause}")]
pub struct Refused {
    /// Its number, from 1.
    pub number: usize,
    /// What it is about, as far as that is known.
    pub key: String,
    /// Why.
    #[source]
    pub cause: ChangeError,
}

impl Refused {
    /// Whether the change makes sense by itself, and the state does not admit it.
    pub fn is_conflict(&self) -> bool {
        matches!(self.cause, ChangeError::Update(_))
    }

    /// Whether the change could not be kept, which is no fault of whoever asked for it.
    pub fn is_unkept(&self) -> bool {
        matches!(self.cause, ChangeError::Update(UpdateError::Keep(_)))
    }
}

impl Uid {
    fn parse(&self) -> Result<EntityUid, ChangeError> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Parts { ty, id } => format!("{ty}::\"{}\"", id.escape_debug()),
        };
        EntityUid::from_str(&text).map_err(|_| ChangeError::Uid(text))
    }
}

/// A change that has been read.
enum Read {
    Upsert(Entity),
    Remove(EntityUid),
    AddPolicy(Policy),
    AddTemplate(Template),
    Link(PolicyId, PolicyId, HashMap<SlotId, EntityUid>),
    RemovePolicy(PolicyId),
    RemoveTemplate(PolicyId),
}

impl Change {
    /// What a change is about: a later one with the same key may make it void.
    pub fn key(&self) -> String {
        match self {
            Self::UpsertEntity(entity) => {
                // As cedar-policy reads it when it reads the entity.
                let uid = entity.get("uid").cloned().unwrap_or_default();
                let uid = EntityUid::from_json(uid).ok();
                format!(
                    "entity {}",
                    uid.map_or("?".to_owned(), |uid| uid.to_string())
                )
            }
            Self::RemoveEntity(uid) => match uid.parse() {
                Ok(uid) => format!("entity {uid}"),
                Err(_) => "entity ?".to_owned(),
            },
            Self::AddPolicy { id, .. }
            | Self::Link { id, .. }
            | Self::RemovePolicy(id)
            | Self::RemoveTemplate(id) => format!("policy {id}"),
        }
    }

    /// Whether it takes something away.
    pub fn is_removal(&self) -> bool {
        matches!(
            self,
            Self::RemoveEntity(_) | Self::RemovePolicy(_) | Self::RemoveTemplate(_)
        )
    }

    /// Whether it is about an entity.
    pub fn is_of_entity(&self) -> bool {
        matches!(self, Self::RemoveEntity(_) | Self::UpsertEntity(_))
    }

    fn read(&self, schema: Option<&Schema>) -> Result<Read, ChangeError> {
        Ok(match self {
            Self::UpsertEntity(entity) => {
                let entity = Entity::from_json_value(entity.clone(), schema);
                Read::Upsert(entity.map_err(|error| ChangeError::Entity(Box::new(error)))?)
            }
            Self::RemoveEntity(uid) => Read::Remove(uid.parse()?),
            Self::AddPolicy { id, policy } => read_policy(id, policy)?,
            Self::Link {
                template,
                id,
                slots,
            } => {
                let slots = slots.iter().map(|(slot, uid)| {
                    let slot = match slot.as_str() {
                        "?principal" => SlotId::principal(),
                        "?resource" => SlotId::resource(),
                        _ => return Err(ChangeError::Slot(slot.clone())),
                    };
                    Ok((slot, uid.parse()?))
                });
                let slots = slots.collect::<Result<_, _>>()?;
                Read::Link(PolicyId::new(template), PolicyId::new(id), slots)
            }
            Self::RemovePolicy(id) => Read::RemovePolicy(PolicyId::new(id)),
            Self::RemoveTemplate(id) => Read::RemoveTemplate(PolicyId::new(id)),
        })
    }
}

/// The one policy or template of a text, under this id.
fn read_policy(id: &str, text: &str) -> Result<Read, ChangeError> {
    let set = parse_policies(text, id).map_err(|error| ChangeError::Policy(Box::new(error)))?;
    let id = PolicyId::new(id);
    let (mut policies, mut templates) = (set.policies(), set.templates());
    let found = (
        policies.next(),
        policies.next(),
        templates.next(),
        templates.next(),
    );
    match found {
        (Some(policy), None, None, None) => Ok(Read::AddPolicy(policy.new_id(id))),
        (None, None, Some(template), None) => Ok(Read::AddTemplate(template.new_id(id))),
        _ => Err(ChangeError::NotOne),
    }
}

impl Read {
    fn apply(self, tx: &mut Transaction<'_>) -> Result<(), UpdateError> {
        match self {
            Self::Upsert(entity) => tx.upsert_entity(entity),
            Self::Remove(uid) => tx.remove_entity(&uid).map(drop),
            Self::AddPolicy(policy) => tx.add_policy(policy),
            Self::AddTemplate(template) => tx.add_template(template),
            Self::Link(template, id, slots) => tx.link(template, id, slots),
            Self::RemovePolicy(id) => tx.remove_policy(id),
            Self::RemoveTemplate(id) => tx.remove_template(id),
        }
    }
}

/// Makes all changes, or none. `keep` is called once it is certain that they can take effect.
///
/// # Errors
/// The first change that cannot be made; the last one, if all of them together cannot.
pub fn apply(
    engine: &Engine,
    changes: &[Change],
    keep: impl FnOnce() -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
) -> Result<(), Box<Refused>> {
    let refused = |index: usize, cause: ChangeError| {
        Box::new(Refused {
            number: index + 1,
            key: changes.get(index).map_or_else(String::new, Change::key),
            cause,
        })
    };
    let snapshot = engine.snapshot();
    let read = changes.iter().enumerate().map(|(index, change)| {
        let read = change.read(snapshot.schema());
        read.map_err(|cause| refused(index, cause))
    });
    let read: Vec<Read> = read.collect::<Result<_, _>>()?;
    let at = Cell::new(0);
    let change = |tx: &mut Transaction<'_>| {
        read.into_iter().enumerate().try_for_each(|(index, read)| {
            at.set(index);
            read.apply(tx)
        })
    };
    let done = engine.update_kept(change, keep);
    done.map_err(|cause| refused(at.get(), cause.into()))
}
