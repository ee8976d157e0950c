//! Lists of what is allowed, page by page: the engine's own queries over what is stored.

use std::sync::Arc;

use cedarjit::{Binder, Decision, EntityHandle, RequestError, Scratch, Snapshot};

use crate::overlay::Overlay;
use crate::state::{DecideError, Loaded, Question, bind_overlaid};

/// What is searched for; the rest of the request is given. All uids are in Cedar's syntax.
#[derive(Clone, Copy, Debug)]
pub enum Sought<'a> {
    /// The stored principals of a type.
    Principals {
        /// Their type.
        ty: &'a str,
        /// The action.
        action: &'a str,
        /// The resource.
        resource: &'a str,
    },
    /// The stored resources of a type.
    Resources {
        /// Their type.
        ty: &'a str,
        /// The principal.
        principal: &'a str,
        /// The action.
        action: &'a str,
    },
    /// The actions.
    Actions {
        /// The principal.
        principal: &'a str,
        /// The resource.
        resource: &'a str,
    },
}

/// A search.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// What is searched for.
    pub sought: Sought<'a>,
    /// The context, in JSON.
    pub context: &'a str,
    /// Attributes that the request brings.
    pub overlay: Overlay<'a>,
    /// The uid behind which to begin.
    pub after: Option<&'a str>,
    /// The most that are listed.
    pub limit: usize,
    /// Whether requests must fit the schema.
    pub validate: bool,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The uids, in Cedar's syntax, in an order that stays the same for an engine.
    pub uids: Vec<String>,
    /// The uid behind which to go on; `None` if that was all.
    pub next: Option<String>,
}

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The engine does not take the request, or what it brings.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// The engine does not know the uid behind which to begin.
    #[error("there is nothing behind which to begin")]
    After,
}

impl From<RequestError> for SearchError {
    fn from(error: RequestError) -> Self {
        Self::Decide(error.into())
    }
}

/// How many entities a search with an overlay decides about before it ends its page: each takes
/// microseconds.
const OVERLAID: usize = 10_000;

impl Loaded {
    /// Searches. Takes nanoseconds for each entity of the type, until the page is full; with an
    /// overlay it takes microseconds for each, and a page may be less than full.
    ///
    /// # Errors
    /// When the request cannot be read, or does not fit the schema, or `after` is unknown.
    pub fn search(&self, search: Search<'_>) -> Result<Found, SearchError> {
        let snapshot = self.engine().snapshot();
        if !search.overlay.is_empty() {
            return overlaid(&snapshot, &search);
        }
        let Search {
            context, validate, ..
        } = search;
        let after = after(&snapshot, &search)?;
        let mut all = match search.sought {
            Sought::Principals {
                ty,
                action,
                resource,
            } => snapshot.allowed_principals(action, resource, context, validate, Some(ty))?,
            Sought::Resources {
                ty,
                principal,
                action,
            } => snapshot.allowed_resources(principal, action, context, validate, Some(ty))?,
            Sought::Actions {
                principal,
                resource,
            } => {
                let mut all = snapshot.allowed_actions(principal, resource, context, validate)?;
                after.map(|after| all.after(after)).transpose()?;
                return Ok(page(&snapshot, all, search.limit));
            }
        };
        after.map(|after| all.after(after)).transpose()?;
        Ok(page(&snapshot, all, search.limit))
    }
}

fn after(snapshot: &Snapshot, search: &Search<'_>) -> Result<Option<EntityHandle>, SearchError> {
    let resolved = search.after.map(|uid| snapshot.resolve(uid)).transpose()?;
    match resolved {
        None => Ok(None),
        Some(Some(handle)) => Ok(Some(handle)),
        Some(None) => Err(SearchError::After),
    }
}

fn page(snapshot: &Snapshot, mut all: impl Iterator<Item = EntityHandle>, limit: usize) -> Found {
    let uids = all.by_ref().take(limit);
    let uids: Vec<_> = uids
        .filter_map(|handle| snapshot.uid_text(handle))
        .collect();
    let next = all.next().and_then(|_| uids.last().cloned());
    Found { uids, next }
}

/// A search in which each candidate is decided about by itself.
fn overlaid(snapshot: &Arc<Snapshot>, search: &Search<'_>) -> Result<Found, SearchError> {
    let candidates: Vec<EntityHandle> = match search.sought {
        Sought::Principals { ty, .. } | Sought::Resources { ty, .. } => {
            snapshot.entities_of(ty).collect()
        }
        Sought::Actions { .. } => snapshot.actions().collect(),
    };
    let begin = match after(snapshot, search)? {
        None => 0,
        Some(after) => {
            let place = candidates.iter().position(|candidate| *candidate == after);
            place.ok_or(SearchError::After)? + 1
        }
    };
    let candidates = candidates.get(begin..).unwrap_or_default();
    let (mut binder, mut scratch) = (Binder::new(Arc::clone(snapshot)), Scratch::default());
    let (mut uids, mut refused, mut decided) = (Vec::new(), None, 0);
    let mut next = None;
    for (i, candidate) in candidates.iter().enumerate() {
        let Some(uid) = snapshot.uid_text(*candidate) else {
            continue;
        };
        let question = search.question(&uid);
        match bind_overlaid(&mut binder, question, search.overlay, search.validate) {
            Ok(request) => {
                decided += 1;
                if request.decide(&mut scratch) == Decision::Allow {
                    uids.push(uid.clone());
                }
            }
            // It is allowed for nobody of this kind; others may do.
            Err(error) => refused = refused.or(Some(error)),
        }
        let full = uids.len() == search.limit || i + 1 == OVERLAID;
        if full && i + 1 < candidates.len() {
            next = Some(uid);
            break;
        }
    }
    match refused {
        Some(error) if decided == 0 && next.is_none() => Err(error.into()),
        _ => Ok(Found { uids, next }),
    }
}

impl<'a> Search<'a> {
    /// The request with this uid in the place that is searched for.
    fn question(&self, sought: &'a str) -> Question<'a> {
        let (principal, action, resource) = match self.sought {
            Sought::Principals {
                action, resource, ..
            } => (sought, action, resource),
            Sought::Resources {
                principal, action, ..
            } => (principal, action, sought),
            Sought::Actions {
                principal,
                resource,
            } => (principal, sought, resource),
        };
        Question {
            principal,
            action,
            resource,
            context: self.context,
        }
    }
}
