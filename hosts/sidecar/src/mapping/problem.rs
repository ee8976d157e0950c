//! What can be wrong with a mapping as it is written, and with a request that it is asked about.

use super::path::PathError;
use super::source::Source;
use super::value::ValueType;

/// A mistake in the text of a mapping, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingProblem {
    /// A path template that is no path.
    #[error("a path is written as `/todos/{{id}}`, but {0}")]
    Path(PathError),
    /// A variable that is not a whole segment.
    #[error("`{0}` is a segment with a variable in it; a variable is a whole segment, `/{{id}}/`")]
    PartOfSegment(String),
    /// A name that is none.
    #[error("`{0}` is not a variable's name; write letters, digits, `_` and `-`")]
    VariableName(String),
    /// Two variables of one name in a path.
    #[error("the variable `{0}` is there twice; give one of the two another name")]
    TwiceInPath(String),
    /// A variable for the rest of the path that something follows.
    #[error("a variable for the rest of the path, `{{rest...}}`, must be the last segment")]
    RestNotLast,
    /// A brace that opens or closes nothing.
    #[error(
        "a brace opens a variable and closes it, `{{path.id}}`; write it twice if it is meant as such"
    )]
    Brace,
    /// A source of that name there is not.
    #[error(
        "there is no `{{{0}}}`; there are method, path, host, path.NAME, query.NAME, header.NAME, \
         peer, peer.uri, peer.dns, peer.subject, jwt.CLAIM"
    )]
    Source(String),
    /// A path variable that the route's path does not have.
    #[error("the path `{path}` has no variable `{{{name}}}`")]
    NotInPath {
        /// The variable.
        name: String,
        /// The path.
        path: String,
    },
    /// Two variables with nothing between them.
    #[error(
        "two variables stand side by side, so that it would not be clear where one ends; write something between them"
    )]
    SideBySide,
    /// A value that is not text where it must be one source.
    #[error("a {0} comes from one source and nothing else, as `{{query.count}}`")]
    OneSource(ValueType),
    /// A type that is not a name.
    #[error("`{0}` is not the name of an entity type")]
    Type(String),
    /// No attribute's type is said, or more than one.
    #[error("say one of `string`, `long`, `bool` and `set`")]
    OneType,
    /// A constant of another type.
    #[error(
        "a {0} is written as such, or as the name of its source in a string, `\"{{jwt.sub}}\"`"
    )]
    Constant(ValueType),
    /// Claims that nobody tells of.
    #[error("of claims Envoy alone tells, so `{{{0}}}` needs `[gateway.envoy]`")]
    NoClaims(Source),
    /// A peer that nobody tells of.
    #[error(
        "of the client's certificate tells Envoy or a header, so `{{{0}}}` needs `[gateway.envoy]`, or \
         `peer = \"x-forwarded-client-cert\"`"
    )]
    NoPeer(Source),
    /// A path with a query.
    #[error("a path has no query; take parameters as `{{query.name}}`")]
    QueryInPath,
    /// Something of the peer's certificate that Envoy does not tell.
    #[error(
        "`{{{0}}}` is in the header x-forwarded-client-cert only; say `peer = \"x-forwarded-client-cert\"`"
    )]
    PeerPart(Source),
    /// A separator where nothing is divided.
    #[error("`separator` belongs to a `set` from a source")]
    Separator,
}

/// Why a request gets no decision of the policies, and so is denied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The path could be read in more ways than one.
    #[error("the path is refused: {0}")]
    Path(#[from] PathError),
    /// The query could be read in more ways than one.
    #[error("the query is refused: {0}")]
    Query(PathError),
    /// No route matches.
    #[error("no route matches")]
    NoRoute,
    /// The request does not have what the principal is made of.
    #[error("there is no principal: the request has no {{{0}}}")]
    Unauthenticated(Source),
    /// The request does not have what something else is made of.
    #[error("`{part}` cannot be told: the request has no {{{source_name}}}")]
    Missing {
        /// What is made of it.
        part: String,
        /// Where it would come from.
        source_name: Source,
    },
    /// The request has it more than once.
    #[error("the request has more than one {{{0}}}")]
    Ambiguous(Source),
    /// The request has something else there.
    #[error("{{{source_name}}} is no {expected}")]
    Mistyped {
        /// Where it comes from.
        source_name: Source,
        /// What it should be.
        expected: ValueType,
    },
    /// What comes from the request has the text in it that is to follow.
    #[error(
        "{{{0}}} contains what is written after it, so that it would not be clear where it ends"
    )]
    Unclear(Source),
    /// The gateway did not say what it asks about.
    #[error("the gateway does not say {0}")]
    Untold(&'static str),
}
