//! What the sidecar is told: a TOML file, flags and environment variables.
//!
//! Flags go before the file. All mistakes are found at once, each with the file, the key and the way
//! out. `docs/sidecar.md` lists the keys.

mod problem;
mod section;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::authzen::AuthZen;
use crate::decision_log::LogConfig;
use crate::gateway::{Gateway, gateway};
use crate::self_check::SelfCheckConfig;
use crate::tls::Tls;
use crate::tokens::TokenFiles;
use crate::traces::TraceConfig;

pub use problem::{ConfigError, Origin, Problem, ProblemKind};
pub use section::Section;
#[cfg(test)]
pub(crate) use section::read_text;

/// The flags of `cedarjit serve`.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// The configuration file, in TOML
    #[arg(short, long, value_name = "FILE", env = "CEDARJIT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where to listen: `ADDRESS:PORT`, or `unix:PATH`; may be given several times
    #[arg(
        short,
        long,
        value_name = "WHERE",
        env = "CEDARJIT_LISTEN",
        value_delimiter = ','
    )]
    pub listen: Vec<String>,
    /// A file of policies and templates, or a folder of such files
    #[arg(short, long, value_name = "PATH", env = "CEDARJIT_POLICIES")]
    pub policies: Option<PathBuf>,
    /// A file of template links
    #[arg(
        short = 'k',
        long,
        value_name = "FILE",
        env = "CEDARJIT_TEMPLATE_LINKED"
    )]
    pub template_linked: Option<PathBuf>,
    /// The schema; in JSON if the name ends with `.json`
    #[arg(short, long, value_name = "FILE", env = "CEDARJIT_SCHEMA")]
    pub schema: Option<PathBuf>,
    /// The entities, in Cedar's JSON format
    #[arg(long, value_name = "FILE", env = "CEDARJIT_ENTITIES")]
    pub entities: Option<PathBuf>,
    /// A file that `cedarjit save` wrote, in place of policies, links, schema and entities
    #[arg(long, value_name = "FILE", env = "CEDARJIT_SAVED")]
    pub saved: Option<PathBuf>,
    /// Believe what takes most of the time to check in that file
    #[arg(long, env = "CEDARJIT_TRUST_SAVED")]
    pub trust_saved: bool,
    /// Allow addresses beyond this machine
    #[arg(long, env = "CEDARJIT_ALLOW_REMOTE")]
    pub allow_remote: bool,
    /// Check configuration, policies, schema and entities, and end
    #[arg(long)]
    pub check: bool,
}

/// What the sidecar does.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it comes from.
    pub file: Option<PathBuf>,
    /// Where requests are answered.
    pub listen: Vec<Address>,
    /// What is decided by.
    pub sources: Sources,
    /// Whether requests must fit the schema, if there is one.
    pub request_validation: bool,
    /// What clients may ask for.
    pub limits: Limits,
    /// The AuthZEN API.
    pub authzen: AuthZen,
    /// What gateways are answered, if they are.
    pub gateway: Option<Gateway>,
    /// Whether the files are watched, and loaded when they change.
    pub watch: bool,
    /// TLS, on all TCP addresses.
    pub tls: Option<Tls>,
    /// The files of bearer tokens.
    pub tokens: TokenFiles,
    /// The decision log, if there is one.
    pub decision_log: Option<LogConfig>,
    /// The journal of changes, if the admin API may make any.
    pub changes: Option<PathBuf>,
    /// Checks of decisions, if there are any.
    pub self_check: Option<SelfCheckConfig>,
    /// Where traces are sent, if they are.
    pub traces: Option<TraceConfig>,
}

/// What an engine is made of.
#[derive(Clone, Debug)]
pub enum Sources {
    /// Texts.
    Files(Files),
    /// A saved engine.
    Saved(SavedFile),
}

/// A file that `cedarjit save`, or [`Engine::save`](cedarjit::Engine::save), wrote.
#[derive(Clone, Debug)]
pub struct SavedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is loaded as a file of one's own:
    /// [`load_trusted`](cedarjit::EngineBuilder::load_trusted).
    pub trusted: bool,
}

/// The texts that an engine is made of.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Files of policies and templates, or folders of them.
    pub policies: Vec<PathBuf>,
    /// Template links.
    pub template_linked: Option<PathBuf>,
    /// The schema.
    pub schema: Option<PathBuf>,
    /// The entities.
    pub entities: Option<PathBuf>,
}

impl Files {
    /// All that are given, with the keys that name them.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let policies = self.policies.iter().map(|path| ("policies", path));
        let others = [
            ("template_linked", &self.template_linked),
            ("schema", &self.schema),
            ("entities", &self.entities),
        ];
        let others = others.into_iter();
        policies.chain(others.filter_map(|(key, path)| Some((key, path.as_ref()?))))
    }
}

/// What clients may ask for; each has its answer when it is exceeded.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body; more are answered by 413.
    pub body_bytes: usize,
    /// Requests that are in work at a time; more are answered by 503.
    pub concurrency: usize,
    /// Open connections; more wait to be accepted.
    pub connections: usize,
    /// How long a client may take to send a request's headers, or to be idle between requests; then
    /// the connection ends.
    pub header_time: Duration,
    /// How long a client may take to send a request's body; then it is answered by 408.
    pub body_time: Duration,
    /// How long requests in work are waited for when the sidecar is told to end.
    pub drain_time: Duration,
    /// Decisions that one message may ask for; more are answered by 400.
    pub batch: usize,
    /// Results of one page of a search.
    pub page: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            concurrency: 1024,
            connections: 4096,
            header_time: Duration::from_secs(30),
            body_time: Duration::from_secs(10),
            drain_time: Duration::from_secs(10),
            batch: 1000,
            page: 1000,
        }
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Address {
    /// Reads `ADDRESS:PORT`, `localhost:PORT` or `unix:PATH`; a relative path is in `folder`.
    fn parse(text: &str, folder: &Path) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty()).then(|| Self::Unix(folder.join(path)));
        }
        match text.strip_prefix("localhost:") {
            Some(port) => Some(Self::Tcp(
                (IpAddr::from([127, 0, 0, 1]), port.parse().ok()?).into(),
            )),
            None => text.parse().ok().map(Self::Tcp),
        }
    }

    /// Whether other machines could reach it.
    fn is_remote(&self) -> bool {
        match self {
            Self::Tcp(address) => !address.ip().is_loopback(),
            Self::Unix(_) => false,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where the sidecar listens if nothing says where.
const DEFAULT_LISTEN: &str = "127.0.0.1:8180";

/// One thing, or a list of such.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// All mistakes that are in it.
    pub fn load(args: &ServeArgs) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let (origin, table) = match &args.config {
            Some(path) => (
                Origin::File(path.clone()),
                read(path).unwrap_or_else(|problem| {
                    problems.push(problem);
                    toml::Table::new()
                }),
            ),
            None => (Origin::Flag, toml::Table::new()),
        };
        // A file that cannot be read has no further mistakes worth telling.
        if !problems.is_empty() {
            return Err(ConfigError::new(problems));
        }
        let mut root = Section::root(origin, table, &mut problems);
        let config = Self {
            file: args.config.clone(),
            listen: listen(&mut root, args),
            sources: sources(&mut root, args),
            request_validation: root.take("request_validation").unwrap_or(true),
            limits: limits(root.section("limits")),
            authzen: AuthZen::read(root.section("authzen")),
            gateway: match root.has("gateway") {
                true => Some(gateway(root.section("gateway"))),
                false => None,
            },
            watch: root.take("watch").unwrap_or(false),
            tls: Tls::read(root.section("tls")),
            tokens: TokenFiles::read(root.section("tokens")),
            decision_log: LogConfig::read(root.section("decision_log")),
            changes: changes(&mut root),
            self_check: SelfCheckConfig::read(root.section("self_check")),
            traces: TraceConfig::read(root.section("traces")),
        };
        root.finish();
        match problems.is_empty() {
            true => Ok(config),
            false => Err(ConfigError::new(problems)),
        }
    }
}

fn read(path: &Path) -> Result<toml::Table, Problem> {
    let origin = Origin::File(path.to_owned());
    let problem = |kind| Problem::new(origin.clone(), "the file", kind);
    let text = std::fs::read_to_string(path).map_err(|e| problem(ProblemKind::Unreadable(e)))?;
    text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        problem(ProblemKind::Syntax {
            line: before.matches('\n').count() + 1,
            message: error.message().trim_end().to_owned(),
        })
    })
}

fn listen(root: &mut Section<'_>, args: &ServeArgs) -> Vec<Address> {
    let in_file = root.take::<OneOrMore<String>>("listen");
    let in_file = in_file.map(OneOrMore::into_vec).unwrap_or_default();
    let remote = root.take("allow_remote").unwrap_or(false) || args.allow_remote;
    let (texts, origin, key) = match (args.listen.as_slice(), in_file.as_slice()) {
        ([], []) => {
            return Address::parse(DEFAULT_LISTEN, Path::new(""))
                .into_iter()
                .collect();
        }
        ([], texts) => (texts, root.origin().clone(), "listen"),
        (texts, _) => (texts, Origin::Flag, "--listen"),
    };
    let mut addresses = Vec::new();
    for text in texts {
        let mut complain = |what, help| {
            let value = text.clone();
            let kind = ProblemKind::Invalid { value, what, help };
            root.complain_at(origin.clone(), key, kind);
        };
        match Address::parse(text, origin.folder()) {
            None => complain(
                "is no address",
                "write `127.0.0.1:8180`, `[::1]:8180` or `unix:/run/cedarjit.sock`",
            ),
            Some(address) if address.is_remote() && !remote => complain(
                "can be reached from other machines",
                "listen on a loopback address, or say `allow_remote = true`",
            ),
            Some(address) => addresses.push(address),
        }
    }
    addresses
}

fn sources(root: &mut Section<'_>, args: &ServeArgs) -> Sources {
    let folder = root.origin().folder().to_owned();
    let in_file = root.take::<OneOrMore<PathBuf>>("policies");
    let has_policies = args.policies.is_some() || in_file.is_some();
    let in_file = in_file.map(OneOrMore::into_vec).unwrap_or_default();
    let policies = match &args.policies {
        Some(path) => vec![path.clone()],
        None => in_file.iter().map(|path| folder.join(path)).collect(),
    };
    let mut path = |key, flag: &Option<PathBuf>| {
        let in_file = root.take::<PathBuf>(key).map(|path| folder.join(path));
        flag.clone().or(in_file)
    };
    let files = Files {
        policies,
        template_linked: path("template_linked", &args.template_linked),
        schema: path("schema", &args.schema),
        entities: path("entities", &args.entities),
    };
    let saved = path("saved", &args.saved);
    let trusted = root.take("trust_saved").unwrap_or(false) || args.trust_saved;
    let Some(path) = saved else {
        if trusted {
            let (value, what) = ("true".to_owned(), "is said of no file");
            let help = "say `saved = \"FILE\"`, or `--saved`, or leave it out";
            root.complain("trust_saved", ProblemKind::Invalid { value, what, help });
        }
        if !has_policies {
            let help = "say `policies = \"FILE or FOLDER\"`, or `--policies`";
            root.complain_if_absent("policies", ProblemKind::Missing { help });
        }
        return Sources::Files(files);
    };
    for (key, path) in files.named() {
        let (value, what) = (path.display().to_string(), "is in the saved engine already");
        let help = "leave it out, or leave out `saved`";
        root.complain(key, ProblemKind::Invalid { value, what, help });
    }
    Sources::Saved(SavedFile { path, trusted })
}

fn changes(root: &mut Section<'_>) -> Option<PathBuf> {
    let folder = root.origin().folder().to_owned();
    root.take::<PathBuf>("changes")
        .map(|path| folder.join(path))
}

fn limits(mut section: Section<'_>) -> Limits {
    let default = Limits::default();
    let limits = Limits {
        body_bytes: number(&mut section, "body_bytes", default.body_bytes),
        concurrency: number(&mut section, "concurrency", default.concurrency),
        connections: number(&mut section, "connections", default.connections),
        header_time: seconds(&mut section, "header_seconds", default.header_time),
        body_time: seconds(&mut section, "body_seconds", default.body_time),
        drain_time: seconds(&mut section, "drain_seconds", default.drain_time),
        batch: number(&mut section, "batch", default.batch),
        page: number(&mut section, "page", default.page),
    };
    section.finish();
    limits
}

/// A number above 0.
fn number(section: &mut Section<'_>, key: &'static str, default: usize) -> usize {
    match section.take::<i64>(key) {
        None => default,
        Some(n) => match usize::try_from(n).ok().filter(|n| *n > 0) {
            Some(n) => n.min(tokio::sync::Semaphore::MAX_PERMITS),
            None => {
                let (value, what) = (n.to_string(), "is not above 0");
                let help = "write a number above 0, or leave it out";
                section.complain(key, ProblemKind::Invalid { value, what, help });
                default
            }
        },
    }
}

/// A time of more than 0 seconds and at most a day.
fn seconds(section: &mut Section<'_>, key: &'static str, default: Duration) -> Duration {
    let Some(seconds) = section.take::<Seconds>(key) else {
        return default;
    };
    let time = Duration::try_from_secs_f64(seconds.0).ok();
    match time.filter(|time| !time.is_zero() && *time <= Duration::from_secs(86_400)) {
        Some(time) => time,
        None => {
            let (value, what) = (seconds.0.to_string(), "is no time that makes sense here");
            let help = "write seconds, above 0 and at most 86400";
            section.complain(key, ProblemKind::Invalid { value, what, help });
            default
        }
    }
}

/// Seconds, whole or not.
struct Seconds(f64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected seconds, as 10 or 0.5")]
        enum Number {
            Whole(i32),
            Broken(f64),
        }
        Ok(Self(match Number::deserialize(deserializer)? {
            Number::Whole(n) => n.into(),
            Number::Broken(x) => x,
        }))
    }
}
