//! Reading a table of the configuration key by key, so that all mistakes are found at once.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::problem::{Origin, Problem, ProblemKind};

/// A table of the configuration that is being read.
///
/// Each key is taken once; [`finish`](Self::finish) complains of what nobody took.
pub struct Section<'a> {
    origin: Origin,
    path: String,
    table: Table,
    allowed: Vec<&'static str>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Section<'a> {
    pub(crate) fn root(origin: Origin, table: Table, problems: &'a mut Vec<Problem>) -> Self {
        Self {
            origin,
            path: String::new(),
            table,
            allowed: Vec::new(),
            problems,
        }
    }

    /// Where this table comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value of a key, `None` if it is not there or a complaint was made about it.
    pub fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        self.allowed.push(key);
        let value = self.table.remove(key)?;
        match value.try_into() {
            Ok(value) => Some(value),
            Err(error) => {
                let message = error.message().trim_end().to_owned();
                self.complain(key, ProblemKind::Type { message });
                None
            }
        }
    }

    /// The table of a key, which is empty if it is not there.
    pub fn section(&mut self, key: &'static str) -> Section<'_> {
        self.allowed.push(key);
        let table = match self.table.remove(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                let message = format!("expected a table, found {}", other.type_str());
                self.complain(key, ProblemKind::Type { message });
                Table::new()
            }
        };
        self.child(key.to_owned(), table)
    }

    /// Says that there may be this key.
    pub fn allow(&mut self, key: &'static str) {
        self.allowed.push(key);
    }

    /// The tables of a list, `[[key]]`.
    pub fn tables(&mut self, key: &'static str) -> Vec<Table> {
        self.take(key).unwrap_or_default()
    }

    /// All tables in this one, whatever their names; a complaint is made about what is none.
    pub fn child_tables(&mut self) -> Vec<(String, Table)> {
        let mut tables = Vec::new();
        for (key, value) in std::mem::take(&mut self.table) {
            match value {
                Value::Table(table) => tables.push((key, table)),
                other => {
                    let message = format!("expected a table, found {}", other.type_str());
                    self.complain(&key, ProblemKind::Type { message });
                }
            }
        }
        tables
    }

    /// A table that was taken from this one, under its name here.
    pub fn child(&mut self, key: String, table: Table) -> Section<'_> {
        Section {
            origin: self.origin.clone(),
            path: self.key(&key),
            table,
            allowed: Vec::new(),
            problems: self.problems,
        }
    }

    /// The key with the names of its tables; the table's own name, if the key is empty.
    pub fn key(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// Notes a mistake in what a key says.
    pub fn complain(&mut self, key: &str, kind: ProblemKind) {
        let problem = Problem::new(self.origin.clone(), self.key(key), kind);
        self.problems.push(problem);
    }

    /// Notes a mistake in what somebody else than this table says.
    pub(crate) fn complain_at(&mut self, origin: Origin, key: &str, kind: ProblemKind) {
        self.problems.push(Problem::new(origin, key, kind));
    }

    /// Notes that a key is missing, unless there is a complaint about it already.
    pub(crate) fn complain_if_absent(&mut self, key: &str, kind: ProblemKind) {
        let whole = self.key(key);
        if self.problems.iter().all(|problem| problem.key() != whole) {
            self.complain(key, kind);
        }
    }

    /// Complains of the keys that nobody took.
    pub fn finish(mut self) {
        let left: Vec<String> = self.table.keys().cloned().collect();
        for key in left {
            let allowed = self.allowed.clone();
            self.complain(&key, ProblemKind::Unknown { allowed });
        }
    }
}

/// What is made of a text, and the mistakes that are found in it.
#[cfg(test)]
pub(crate) fn read_text<T>(text: &str, read: impl FnOnce(Section<'_>) -> T) -> (T, Vec<String>) {
    let table = text.parse().expect("TOML");
    let mut problems: Vec<Problem> = Vec::new();
    let made = read(Section::root(Origin::Flag, table, &mut problems));
    let told = |problem: &Problem| format!("{}: {}", problem.key(), problem.kind());
    (made, problems.iter().map(told).collect())
}
