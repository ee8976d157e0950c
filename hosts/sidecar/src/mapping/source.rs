//! Where a mapping takes things from.

use std::borrow::Cow;
use std::fmt;

use super::path::{self, PathError, PathTemplate, TARGET_BYTES};
use super::problem::{MappingProblem, Refusal};

/// A place in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The method.
    Method,
    /// The whole path, decoded.
    WholePath,
    /// The host, without a port and in lower case.
    Host,
    /// A variable of the route's path.
    Path(String),
    /// A parameter of the query.
    Query(String),
    /// A header; its name is in lower case.
    Header(String),
    /// Something of the client's certificate.
    Peer(PeerPart),
    /// A claim of a token that the gateway verified; one in another is `a.b`.
    Claim(Vec<String>),
}

/// What a certificate says of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerPart {
    /// The first URI there is, or else DNS name, or else the subject.
    Identity,
    /// A URI, as that of SPIFFE.
    Uri,
    /// A DNS name.
    Dns,
    /// The subject.
    Subject,
}

impl PeerPart {
    fn name(self) -> &'static str {
        match self {
            Self::Identity => "peer",
            Self::Uri => "peer.uri",
            Self::Dns => "peer.dns",
            Self::Subject => "peer.subject",
        }
    }
}

impl Source {
    /// Reads a source's name, as `header.x-user`.
    ///
    /// # Errors
    /// When there is no such source.
    pub fn parse(name: &str) -> Result<Self, MappingProblem> {
        let plain = match name {
            "method" => Some(Self::Method),
            "path" => Some(Self::WholePath),
            "host" => Some(Self::Host),
            "peer" => Some(Self::Peer(PeerPart::Identity)),
            "peer.uri" => Some(Self::Peer(PeerPart::Uri)),
            "peer.dns" => Some(Self::Peer(PeerPart::Dns)),
            "peer.subject" => Some(Self::Peer(PeerPart::Subject)),
            _ => None,
        };
        let named = || {
            let (kind, rest) = name.split_once('.')?;
            match (kind, rest) {
                (_, "") => None,
                ("path", rest) => Some(Self::Path(rest.to_owned())),
                ("query", rest) => Some(Self::Query(rest.to_owned())),
                ("header", rest) if is_token(rest) => Some(Self::Header(rest.to_ascii_lowercase())),
                ("jwt", rest) if rest.split('.').all(|claim| !claim.is_empty()) => {
                    Some(Self::Claim(rest.split('.').map(str::to_owned).collect()))
                }
                _ => None,
            }
        };
        plain
            .or_else(named)
            .ok_or_else(|| MappingProblem::Source(name.to_owned()))
    }
}

/// Whether the text can be a header's name.
fn is_token(text: &str) -> bool {
    axum::http::HeaderName::from_bytes(text.as_bytes()).is_ok()
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("method"),
            Self::WholePath => f.write_str("path"),
            Self::Host => f.write_str("host"),
            Self::Path(name) => write!(f, "path.{name}"),
            Self::Query(name) => write!(f, "query.{name}"),
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Peer(part) => f.write_str(part.name()),
            Self::Claim(path) => write!(f, "jwt.{}", path.join(".")),
        }
    }
}

/// What was found in a place.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A number, of a claim.
    Number(f64),
    /// `true` or `false`, of a claim.
    Bool(bool),
    /// A list of strings, of a claim.
    Texts(Vec<String>),
    /// Something else, of a claim.
    Other,
}

/// What a gateway tells of a request.
pub trait Told {
    /// The values of a header, whose name is in lower case, one for each time that it is there.
    fn header(&self, name: &str) -> Vec<Cow<'_, str>>;

    /// A claim of a token that the gateway verified.
    fn claim(&self, path: &[String]) -> Option<Found<'_>>;

    /// What the certificate that the gateway verified says of the client.
    fn peer(&self, part: PeerPart) -> Option<Cow<'_, str>>;
}

/// A request that a gateway asks about.
#[derive(Clone, Copy)]
pub struct Check<'a> {
    /// The method, as the client sent it.
    pub method: &'a str,
    /// The path and query, as the client sent them.
    pub target: &'a str,
    /// The host that the client asked for, if it is known.
    pub host: Option<&'a str>,
    /// The rest.
    pub told: &'a dyn Told,
}

/// A request, read for a mapping.
pub struct Look<'a> {
    check: Check<'a>,
    segments: Vec<String>,
    query: Option<&'a str>,
    host: Option<String>,
    path: Option<&'a PathTemplate>,
}

impl<'a> Look<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// When its path could be read in more ways than one.
    pub fn new(check: Check<'a>) -> Result<Self, PathError> {
        if check.target.len() > TARGET_BYTES {
            return Err(PathError::TooLong);
        }
        let (path, query) = match check.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (check.target, None),
        };
        Ok(Self {
            segments: path::segments(path)?,
            query,
            host: check.host.map(host_name),
            path: None,
            check,
        })
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.check.method
    }

    /// The host, without a port and in lower case.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The segments of the path.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// Looks for variables of this template from now on; it must match the path.
    pub fn with_path(&mut self, path: &'a PathTemplate) {
        self.path = Some(path);
    }

    /// What there is in a place, `None` if nothing.
    ///
    /// # Errors
    /// When there is more than one thing, or the query has more readings than one.
    pub fn one(&self, source: &Source) -> Result<Option<Found<'_>>, Refusal> {
        let mut found = self.all(source)?;
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(Refusal::Ambiguous(source.clone())),
        }
    }

    /// All that there is in a place.
    ///
    /// # Errors
    /// When the query has more readings than one.
    pub fn all(&self, source: &Source) -> Result<Vec<Found<'_>>, Refusal> {
        let one = |text: Option<Cow<'_, str>>| -> Vec<Found<'_>> {
            let text = text.filter(|text| !text.is_empty());
            text.map(|text| Found::Text(Cow::Owned(text.into_owned())))
                .into_iter()
                .collect()
        };
        Ok(match source {
            Source::Method => one(Some(self.check.method.into())),
            Source::WholePath => one(Some(format!("/{}", self.segments.join("/")).into())),
            Source::Host => one(self.host().map(Into::into)),
            Source::Path(name) => {
                let path = self
                    .path
                    .and_then(|path| path.variable(&self.segments, name));
                one(path.map(Into::into))
            }
            Source::Query(name) => self.parameter(name).map_err(Refusal::Query)?,
            Source::Header(name) => {
                let values = self.check.told.header(name);
                match values.as_slice() {
                    [value] if value.is_empty() => Vec::new(),
                    _ => values.into_iter().map(Found::Text).collect(),
                }
            }
            Source::Peer(part) => one(self.check.told.peer(*part)),
            Source::Claim(path) => self.check.told.claim(path).into_iter().collect(),
        })
    }

    /// The values of a parameter of the query.
    fn parameter(&self, name: &str) -> Result<Vec<Found<'_>>, PathError> {
        let query = self.query.unwrap_or_default();
        if query.contains('#') {
            return Err(PathError::Fragment);
        }
        // Some servers end a parameter there.
        if query.contains(';') {
            return Err(PathError::Parameter);
        }
        let mut values = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |text: &str| path::decode(&text.replace('+', " "));
            let (key, value) = (plain(key)?, plain(value)?);
            if value.contains('\0') {
                return Err(PathError::Control);
            }
            if key == name {
                values.push(Found::Text(value.into()));
            }
        }
        Ok(values)
    }
}

/// A host without its port, without the dot that may end it, and in lower case.
pub(super) fn host_name(text: &str) -> String {
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => text,
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
