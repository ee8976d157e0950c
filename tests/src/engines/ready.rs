//! Engines of a world, in each way in which one can be built.

use super::updates::updated;
use super::{EngineError, SchemaText, TestRequest, World};
use ::cedarjit::{BoundRequest, CompileMode, Engine, EngineBuilder, JitMode, Snapshot};
use std::sync::Arc;

/// A builder with the world's schema, as text if there is one.
pub(super) fn with_schema(world: &World) -> EngineBuilder {
    match &world.texts.schema {
        Some(SchemaText::Cedar(text)) => Engine::builder().schema_str(text),
        Some(SchemaText::Json(text)) => Engine::builder().schema_json(text),
        None => with_schema_value(Engine::builder(), world),
    }
}

pub(super) fn with_schema_value(builder: EngineBuilder, world: &World) -> EngineBuilder {
    match &world.schema {
        Some(schema) => builder.schema(schema),
        None => builder,
    }
}

pub(super) fn from_texts(world: &World) -> EngineBuilder {
    let texts = &world.texts;
    let builder = with_schema(world)
        .policies_str(texts.policies.as_deref().unwrap_or_default())
        .entities_json(texts.entities.as_deref().unwrap_or_default());
    match &texts.links {
        Some(links) => builder.links_json(links),
        None => builder,
    }
}

/// An engine whose code is being generated; of some worlds one that came to its state by updates,
/// each of which takes over what there is of code.
pub(super) fn in_background(world: &World) -> Result<Ready, EngineError> {
    let builder = with_schema(world).compile(CompileMode::Background);
    if world.policies.num_of_policies().is_multiple_of(2) {
        return Ok(Ready::new(updated(world, builder)?.engine));
    }
    let builder = builder.policies(&world.policies);
    Ready::build(builder.entities(world.entities.clone()))
}

/// An engine whose code has no vectors.
pub(super) fn portable(world: &World) -> Result<Ready, EngineError> {
    let builder = with_schema(world).jit(JitMode::Portable);
    let builder = builder.policies(&world.policies);
    Ready::build(builder.entities(world.entities.clone()))
}

/// The engine that comes of saving one and loading it again.
pub(super) fn saved(original: &Engine) -> Result<Ready, EngineError> {
    let mut file = Vec::new();
    original.save(&mut file).map_err(EngineError::load)?;
    // One way in one world, the other in another.
    let engine = match file.len() % 2 {
        0 => Engine::load(&file),
        _ => Engine::load_trusted(&file),
    };
    Ok(Ready::new(engine.map_err(EngineError::load)?))
}

/// An engine and its state.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) engine: Engine,
    pub(super) snapshot: Arc<Snapshot>,
}

impl Ready {
    pub(super) fn build(builder: EngineBuilder) -> Result<Self, EngineError> {
        let engine = builder.build().map_err(EngineError::load)?;
        Ok(Self::new(engine))
    }

    pub(super) fn new(engine: Engine) -> Self {
        Self {
            snapshot: engine.snapshot(),
            engine,
        }
    }

    pub(super) fn bind(
        &self,
        request: &cedar_policy::Request,
    ) -> Result<BoundRequest, EngineError> {
        self.snapshot.bind(request).map_err(EngineError::request)
    }

    pub(super) fn bind_texts(&self, request: &TestRequest) -> Result<BoundRequest, EngineError> {
        let TestRequest {
            principal,
            action,
            resource,
            context,
            validate,
            ..
        } = request;
        self.snapshot
            .bind_json(principal, action, resource, &context.json, *validate)
            .map_err(EngineError::request)
    }
}
