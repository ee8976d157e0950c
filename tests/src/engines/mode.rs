//! The ways in which cedarjit can be asked.

macro_rules! modes {
    ($($(#[doc = $doc:literal])+ $mode:ident = $name:literal,)+) => {
        /// A way in which cedarjit decides.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mode {
            $($(#[doc = $doc])+ $mode,)+
        }

        impl Mode {
            /// Every mode.
            pub const ALL: &'static [Self] = &[$(Self::$mode),+];

            /// The mode's name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$mode => $name,)+
                }
            }
        }
    };
}

modes! {
    /// Code typed by the schema, each policy by itself, behind the scope index.
    Native = "native",
    /// Code of all policies of a bucket of requests, fused.
    Fused = "fused",
    /// The decision alone, from fused code or each policy's own.
    Decide = "decide",
    /// The same code on every policy of the action.
    IndexOff = "index-off",
    /// The interpreter.
    Interpreter = "interpreter",
    /// Typed code, on requests that the engine reads itself from uid texts and JSON.
    Strings = "strings",
    /// Typed code, on requests that a binder reads from text, one after the other.
    Binder = "binder",
    /// Typed code, on requests bound from handles, with principal and resource exchanged.
    Handles = "handles",
    /// Code that knows no schema's types; also on requests that do not fit the schema.
    Untyped = "untyped",
    /// `Engine::is_authorized`, its response converted into cedar-policy's.
    Facade = "facade",
    /// Code while it is counted which builtins it calls.
    Observed = "observed",
    /// The interpreter while it is counted what it executes.
    ObservedInterpreter = "observed-interpreter",
    /// An engine that came to the world by updates.
    Updated = "updated",
    /// An engine that answers while its code is being generated, and after.
    Background = "background",
    /// The decision from a batch, about the request's resource or principal among others.
    Batch = "batch",
    /// The decision from what a query lists: resources, principals or actions.
    Queries = "queries",
    /// An engine that read policies, links, entities and schema from text itself.
    Texts = "texts",
    /// An engine that was saved and loaded again.
    Saved = "saved",
    /// An engine that lacks some entities, which each request brings.
    Overlay = "overlay",
    /// An engine that makes every decision again by the interpreter, and must find no difference.
    Checked = "checked",
    /// Typed code without vector instructions, fused for every second request.
    Portable = "portable",
}

impl Mode {
    /// The mode of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mode| mode.name() == name)
    }
}
