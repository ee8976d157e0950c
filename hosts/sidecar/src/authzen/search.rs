//! Searches: which subjects, which resources, which actions.
//!
//! A request that the engine refuses, because its types are unknown or it does not fit the schema, is
//! allowed for nobody, so it finds nothing.

use serde_json::{Value, json};

use super::evaluate::{Refusal, context, refused};
use super::mapping::{Mapping, id_of};
use super::page::{Page, stale};
use super::request::{Action, Object, Parts};
use crate::api::ApiError;
use crate::overlay::Overlay;
use crate::search::{Found, Search, SearchError, Sought};
use crate::state::{Loaded, State};
use crate::uid::BadType;

/// `search/subject`: the subjects of a type that may act so on this resource.
pub(super) fn subjects(state: &State, request: &Object) -> Result<Value, ApiError> {
    entities(state, request, Side::Subject)
}

/// `search/resource`: the resources of a type that this subject may act on so.
pub(super) fn resources(state: &State, request: &Object) -> Result<Value, ApiError> {
    entities(state, request, Side::Resource)
}

/// What is searched for, of the two that have a type.
#[derive(Clone, Copy)]
enum Side {
    Subject,
    Resource,
}

fn entities(state: &State, request: &Object, side: Side) -> Result<Value, ApiError> {
    let parts = Parts::read(request)?;
    let (subject, action, resource) = (parts.subject()?, parts.action()?, parts.resource()?);
    let (ty, fixed_type, fixed_id) = match side {
        Side::Subject => (
            subject.ty("subject")?,
            resource.ty("resource")?,
            resource.id("resource")?,
        ),
        Side::Resource => (
            resource.ty("resource")?,
            subject.ty("subject")?,
            subject.id("subject")?,
        ),
    };
    let name = action.name()?;
    let searcher = Searcher::new(state, request)?;
    let mapping = searcher.mapping();
    let found = || {
        let context = context(parts.context, action)?;
        let (ty, action) = (&mapping.type_name(ty)?, &mapping.action(name)?);
        let fixed = &mapping.entity(fixed_type, fixed_id)?;
        let mut overlay = Overlay::default();
        let sought = match side {
            Side::Subject => {
                overlay.resource = resource.properties;
                Sought::Principals {
                    ty,
                    action,
                    resource: fixed,
                }
            }
            Side::Resource => {
                overlay.principal = subject.properties;
                Sought::Resources {
                    ty,
                    principal: fixed,
                    action,
                }
            }
        };
        searcher.search(sought, &context, overlay)
    };
    let ours = mapping.type_name(ty).unwrap_or_default();
    searcher.answer(found(), |uid| entity(ty, &ours, uid))
}

/// `search/action`: the actions that this subject may do on this resource.
pub(super) fn actions(state: &State, request: &Object) -> Result<Value, ApiError> {
    let parts = Parts::read(request)?;
    let (subject, resource) = (parts.subject()?, parts.resource()?);
    let (subject_type, subject_id) = (subject.ty("subject")?, subject.id("subject")?);
    let (resource_type, resource_id) = (resource.ty("resource")?, resource.id("resource")?);
    let searcher = Searcher::new(state, request)?;
    let found = || {
        let mapping = searcher.mapping();
        let context = context(parts.context, Action::default())?;
        searcher.search(
            Sought::Actions {
                principal: &mapping.entity(subject_type, subject_id)?,
                resource: &mapping.entity(resource_type, resource_id)?,
            },
            &context,
            Overlay {
                principal: subject.properties,
                resource: resource.properties,
            },
        )
    };
    searcher.answer(found(), |uid| {
        let name = searcher.mapping().action_name(uid)?;
        Some(json!({ "name": name }))
    })
}

/// An entity as AuthZEN has it; `theirs` and `ours` are its type there and here.
fn entity(theirs: &str, ours: &str, uid: &str) -> Option<Value> {
    Some(json!({ "type": theirs, "id": id_of(ours, uid)? }))
}

/// What the searches have in common.
struct Searcher<'a> {
    state: &'a State,
    loaded: std::sync::Arc<Loaded>,
    page: Page,
}

impl<'a> Searcher<'a> {
    fn new(state: &'a State, request: &Object) -> Result<Self, ApiError> {
        let loaded = state.current();
        let most = state.config().limits.page;
        let page = Page::read(request, loaded.generation(), most)?;
        Ok(Self {
            state,
            loaded,
            page,
        })
    }

    fn mapping(&self) -> &Mapping {
        &self.state.config().authzen.mapping
    }

    fn search(
        &self,
        sought: Sought<'_>,
        context: &str,
        overlay: Overlay<'_>,
    ) -> Result<Found, Failure> {
        let found = self.loaded.search(Search {
            sought,
            context,
            overlay,
            after: self.page.after.as_deref(),
            limit: self.page.limit,
            validate: self.state.config().request_validation,
        });
        Ok(found?)
    }

    fn answer(
        &self,
        found: Result<Found, Failure>,
        result: impl Fn(&str) -> Option<Value>,
    ) -> Result<Value, ApiError> {
        match found {
            Ok(found) => {
                let results = found.uids.iter().filter_map(|uid| result(uid)).collect();
                Ok(self.page.answer(results, found.next.as_deref()))
            }
            Err(Failure::Page) => Err(stale()),
            Err(Failure::Refused(refusal)) => {
                let mut answer = self.page.answer(Vec::new(), None);
                if let Value::Object(answer) = &mut answer {
                    answer.insert("context".to_owned(), refused(&refusal));
                }
                Ok(answer)
            }
        }
    }
}

/// Why nothing was searched.
enum Failure {
    /// The request is allowed for nobody.
    Refused(Refusal),
    /// The token leads nowhere.
    Page,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<BadType> for Failure {
    fn from(error: BadType) -> Self {
        Self::Refused(error.into())
    }
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::After => Self::Page,
            SearchError::Decide(error) => Self::Refused(error.into()),
        }
    }
}
