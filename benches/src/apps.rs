//! Applications to measure: the shipped example, and the benchmark worlds where they are.
//!
//! A world is one of the applications of the Cedar paper with a number of entities and 2,000
//! requests, each with the answer that cedar-policy gave. `CEDARJIT_WORLDS` names the archive that
//! they are in, by default `../shared/bench-worlds.tar.xz` beside the repository.

use crate::Error;
use cedar_policy::Decision;
use cedarjit::{Engine, EngineBuilder};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, read_to_string};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// The worlds that most suites measure: three applications, 50 entities a kind.
pub const WORLDS: [&str; 3] = ["tinytodo-50", "gdrive-50", "github-50"];

/// A request as it comes from outside: texts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RequestText {
    /// The principal's uid in Cedar's syntax.
    pub principal: String,
    /// The action's uid in Cedar's syntax.
    pub action: String,
    /// The resource's uid in Cedar's syntax.
    pub resource: String,
    /// The context, in JSON.
    pub context: String,
}

impl RequestText {
    /// Principal, action, resource and context.
    #[inline]
    pub fn parts(&self) -> [&str; 4] {
        [&self.principal, &self.action, &self.resource, &self.context]
    }
}

/// The answer that cedar-policy gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The decision.
    pub decision: Decision,
    /// The ids of the determining policies.
    pub reasons: BTreeSet<String>,
    /// The ids of the policies that failed.
    pub errors: BTreeSet<String>,
}

/// A schema as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SchemaText {
    /// In Cedar's schema syntax.
    Cedar(String),
    /// In JSON.
    Json(String),
}

/// An application: what an engine loads, and what it is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct App {
    /// Its name, for reports.
    pub name: String,
    /// Policies and templates in Cedar's syntax.
    pub policies: String,
    /// Template links, in JSON.
    pub links: Option<String>,
    /// The schema.
    pub schema: SchemaText,
    /// The entities without the actions, in JSON.
    pub entities: String,
    /// The action entities, in JSON, for loading without the schema.
    pub actions: Option<String>,
    /// The requests.
    pub requests: Vec<RequestText>,
    /// What each request is answered; not passed on to other processes, which only measure.
    #[serde(skip)]
    pub answers: Vec<Answer>,
}

/// A line of `requests.jsonl`; the example has its answers in another file.
#[derive(Deserialize)]
struct RequestLine {
    principal: String,
    action: String,
    resource: String,
    context: serde_json::Value,
    #[serde(flatten)]
    answer: Option<AnswerLine>,
}

#[derive(Deserialize)]
struct AnswerLine {
    decision: String,
    reason: BTreeSet<String>,
    errors: Vec<ErrorLine>,
}

#[derive(Deserialize)]
struct ErrorLine {
    policy: String,
}

impl From<AnswerLine> for Answer {
    fn from(line: AnswerLine) -> Self {
        Self {
            decision: match line.decision.as_str() {
                "allow" => Decision::Allow,
                _ => Decision::Deny,
            },
            reasons: line.reason,
            errors: line.errors.into_iter().map(|e| e.policy).collect(),
        }
    }
}

impl App {
    /// The shipped example, and the worlds that most suites measure; says on stderr when the worlds
    /// are skipped because they are not there.
    ///
    /// # Errors
    /// When a file is missing or malformed.
    pub fn all() -> Result<Vec<Self>, Error> {
        let mut apps = vec![Self::example()?];
        match worlds(&WORLDS)? {
            Some(worlds) => apps.extend(worlds),
            None => eprintln!("SKIPPED: {}: {}", WORLDS.join(", "), absent()),
        }
        Ok(apps)
    }

    /// The shipped example, `examples/tinytodo`.
    ///
    /// # Errors
    /// When a file is missing or malformed.
    pub fn example() -> Result<Self, Error> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tinytodo");
        let read = |name: &str| read_to_string(folder.join(name));
        let (requests, _) = read_requests(&read("requests.jsonl")?)?;
        let answers: Result<Vec<AnswerLine>, _> = read("expected.jsonl")?
            .lines()
            .map(serde_json::from_str)
            .collect();
        Ok(Self {
            name: "example".into(),
            policies: read("policies.cedar")?,
            links: Some(read("links.json")?),
            schema: SchemaText::Cedar(read("tinytodo.cedarschema")?),
            entities: read("entities.json")?,
            actions: None,
            requests,
            answers: answers?.into_iter().map(Answer::from).collect(),
        })
    }

    /// Starts an engine of this application: with the schema, given as text so that it types the
    /// code, or with the action entities instead.
    ///
    /// # Errors
    /// When the entities cannot be read, or there are no action entities to load without a schema.
    pub fn builder(&self, with_schema: bool) -> Result<EngineBuilder, Error> {
        let mut builder = Engine::builder().policies_str(&self.policies);
        if let Some(links) = &self.links {
            builder = builder.links_json(links);
        }
        if with_schema {
            let builder = match &self.schema {
                SchemaText::Cedar(text) => builder.schema_str(text),
                SchemaText::Json(text) => builder.schema_json(text),
            };
            return Ok(builder.entities_json(&self.entities));
        }
        Ok(builder.entities_json(self.all_entities()?))
    }

    /// The entities and the actions, in one JSON array.
    ///
    /// # Errors
    /// When there are no action entities, or one of the two is not a JSON array.
    pub fn all_entities(&self) -> Result<String, Error> {
        let actions = self.actions.as_ref();
        let actions = actions.ok_or_else(|| format!("{}: no action entities", self.name))?;
        let mut all: Vec<serde_json::Value> = serde_json::from_str(&self.entities)?;
        all.extend(serde_json::from_str::<Vec<serde_json::Value>>(actions)?);
        Ok(serde_json::to_string(&all)?)
    }
}

fn read_requests(lines: &str) -> Result<(Vec<RequestText>, Vec<Answer>), Error> {
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    for line in lines.lines() {
        let line: RequestLine = serde_json::from_str(line)?;
        requests.push(RequestText {
            principal: line.principal,
            action: line.action,
            resource: line.resource,
            context: serde_json::to_string(&line.context)?,
        });
        answers.extend(line.answer.map(Answer::from));
    }
    Ok((requests, answers))
}

/// Where the archive of worlds should be.
pub fn archive() -> PathBuf {
    match std::env::var_os("CEDARJIT_WORLDS") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/bench-worlds.tar.xz"),
    }
}

/// The worlds of these names, in this order; `None` if there is no archive.
///
/// # Errors
/// When the archive cannot be read, or lacks one of them.
pub fn worlds(names: &[&str]) -> Result<Option<Vec<App>>, Error> {
    let archive = archive();
    if !archive.is_file() {
        return Ok(None);
    }
    let mut files = unpack(&archive, names)?;
    let apps = names.iter().map(|name| {
        let mut files = files
            .remove(*name)
            .ok_or_else(|| format!("no world {name} in the archive"))?;
        world(name, &mut files)
    });
    apps.collect::<Result<Vec<App>, Error>>().map(Some)
}

/// What to say when there is no archive.
pub fn absent() -> &'static str {
    "the archive of benchmark worlds is not there; CEDARJIT_WORLDS says where it is"
}

type Files = BTreeMap<String, String>;

fn unpack(archive: &Path, names: &[&str]) -> Result<BTreeMap<String, Files>, Error> {
    let file = BufReader::new(File::open(archive)?);
    let mut worlds: BTreeMap<String, Files> = BTreeMap::new();
    let mut unpacked = tar::Archive::new(lzma_rust2::XzReader::new(file, true));
    for entry in unpacked.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let (Some(world), Some(name)) = (path.parent().and_then(Path::file_name), path.file_name())
        else {
            continue;
        };
        let (world, name) = (world.to_string_lossy(), name.to_string_lossy());
        if names.contains(&&*world) && entry.header().entry_type().is_file() {
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            let files = worlds.entry(world.into_owned()).or_default();
            files.insert(name.into_owned(), text);
        }
    }
    Ok(worlds)
}

fn world(name: &str, files: &mut Files) -> Result<App, Error> {
    let mut take = |file: &str| {
        files
            .remove(file)
            .ok_or_else(|| Error::from(format!("no {file} in world {name}")))
    };
    let (requests, answers) = read_requests(&take("requests.jsonl")?)?;
    if requests.is_empty() || requests.len() != answers.len() {
        return Err(format!("world {name}: not every request has an answer").into());
    }
    Ok(App {
        name: name.into(),
        policies: take("policies.cedar")?,
        links: take("links.json").ok(),
        schema: SchemaText::Json(take("cedarschema.json")?),
        entities: take("entities.json")?,
        actions: Some(take("actions.json")?),
        requests,
        answers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    #[test]
    fn the_example_gives_its_expected_answers() {
        let app = App::example().unwrap();
        let engine = app.builder(true).unwrap().build().unwrap();
        let mut client = Client::new(&engine, true);
        assert!(!app.requests.is_empty());
        assert_eq!(app.requests.len(), app.answers.len());
        for (request, answer) in app.requests.iter().zip(&app.answers) {
            assert_eq!(client.answer(request).unwrap(), *answer, "{request:?}");
        }
    }
}
