//! The journal: the changes that the admin API has made, in a database, so that they are there again
//! when the sidecar starts.
//!
//! Changes are kept in their order and made again as one transaction. What a later change makes void is
//! taken out: an entity has at most its last removal and what was put after that, a policy likewise, and
//! one that came by the journal alone leaves nothing when it goes.

use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition};

use crate::changes::Change;

/// The changes in JSON, by their numbers, from 1.
const CHANGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changes");

/// The numbers of the last removal and of what was put since, by what they are about; 0 for none.
const PLACES: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("places");

/// The journal.
#[derive(Debug)]
pub struct Journal {
    database: Database,
    path: PathBuf,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {kind}", path.display())]
pub struct JournalError {
    /// Its file.
    pub path: PathBuf,
    /// What is wrong.
    #[source]
    pub kind: JournalErrorKind,
}

/// What is wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalErrorKind {
    /// The database cannot be opened, read or written.
    #[error("the database of changes fails: {0}")]
    Database(#[source] Box<redb::Error>),
    /// A change in it cannot be read.
    #[error("change {number} cannot be read: {cause}")]
    Change {
        /// Its number.
        number: u64,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
}

impl<E: Into<redb::Error>> From<E> for JournalErrorKind {
    fn from(error: E) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

type Result<T> = std::result::Result<T, JournalErrorKind>;

impl Journal {
    /// Opens a journal, or makes a new one. No other process may have it open.
    ///
    /// # Errors
    /// When the file is no journal, or cannot be opened or made.
    pub fn open(path: &Path) -> std::result::Result<Self, JournalError> {
        let open = || -> Result<Database> {
            let database = Database::create(path)?;
            // Tables come into being when they are written first.
            let transaction = database.begin_write()?;
            transaction.open_table(CHANGES)?;
            transaction.open_table(PLACES)?;
            transaction.commit()?;
            Ok(database)
        };
        let path = path.to_owned();
        match open() {
            Ok(database) => Ok(Self { database, path }),
            Err(kind) => Err(JournalError { path, kind }),
        }
    }

    fn error(&self, kind: JournalErrorKind) -> JournalError {
        let path = self.path.clone();
        JournalError { path, kind }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All changes that are kept, in the order in which they are to be made.
    ///
    /// # Errors
    /// When the database fails.
    pub fn changes(&self) -> std::result::Result<Vec<Change>, JournalError> {
        self.read().map_err(|kind| self.error(kind))
    }

    fn read(&self) -> Result<Vec<Change>> {
        let table = self.database.begin_read()?.open_table(CHANGES)?;
        let rows = table.iter()?.map(|row| {
            let (number, change) = row?;
            serde_json::from_slice(change.value()).map_err(|cause| JournalErrorKind::Change {
                number: number.value(),
                cause,
            })
        });
        rows.collect()
    }

    /// Keeps more changes: they are on the disk when this returns.
    ///
    /// # Errors
    /// When the database fails; then none is kept.
    pub fn keep(&self, changes: &[Change]) -> std::result::Result<(), JournalError> {
        self.write(changes).map_err(|kind| self.error(kind))
    }

    fn write(&self, changes: &[Change]) -> Result<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut rows = transaction.open_table(CHANGES)?;
            let mut places = transaction.open_table(PLACES)?;
            for change in changes {
                add(&mut rows, &mut places, change)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

/// Adds a change, and takes out what it makes void.
fn add(
    rows: &mut Table<'_, u64, &'static [u8]>,
    places: &mut Table<'_, &'static str, (u64, u64)>,
    change: &Change,
) -> Result<()> {
    let key = change.key();
    let place = places.get(key.as_str())?.map(|place| place.value());
    let (removed, put) = place.unwrap_or_default();
    if put != 0 {
        rows.remove(put)?;
    }
    let last = rows.last()?.map_or(0, |(number, _)| number.value());
    // Numbers are never given out again while a larger one is there.
    let number = last.max(put) + 1;
    let is_removal = change.is_removal();
    let own_alone = put != 0 && removed == 0;
    if is_removal && !change.is_of_entity() && put != 0 {
        // It came by the journal: what was there before it is gone already, or never was.
        match own_alone {
            true => places.remove(key.as_str())?,
            false => places.insert(key.as_str(), (removed, 0))?,
        };
        return Ok(());
    }
    if is_removal && removed != 0 {
        rows.remove(removed)?;
    }
    // What is read is what is written: text for keys, and numbers that JSON has.
    let text =
        serde_json::to_vec(change).map_err(|cause| JournalErrorKind::Change { number, cause })?;
    rows.insert(number, text.as_slice())?;
    let place = match is_removal {
        true => (number, 0),
        false => (removed, number),
    };
    places.insert(key.as_str(), place)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Uid;
    use serde_json::json;

    fn put(id: &str, n: i32) -> Change {
        let uid = json!({"type": "User", "id": id});
        Change::UpsertEntity(json!({"uid": uid, "attrs": {"n": n}, "parents": []}))
    }

    fn remove(id: &str) -> Change {
        Change::RemoveEntity(Uid::Text(format!("User::\"{id}\"")))
    }

    fn policy(id: &str) -> Change {
        Change::AddPolicy {
            id: id.to_owned(),
            policy: "permit (principal, action, resource);".to_owned(),
        }
    }

    fn remove_policy(id: &str) -> Change {
        Change::RemovePolicy(id.to_owned())
    }

    fn journal(name: &str) -> (Journal, PathBuf) {
        let file = format!("cedarjit-journal-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(file);
        let _ = std::fs::remove_file(&path);
        (Journal::open(&path).expect("a journal"), path)
    }

    /// What is kept of these changes, made one by one, and again once the file was closed.
    fn kept(name: &str, changes: &[Change]) -> Vec<Change> {
        let (journal, path) = journal(name);
        for change in changes {
            journal.keep(std::slice::from_ref(change)).expect("kept");
        }
        let kept = journal.changes().expect("changes");
        drop(journal);
        let again = Journal::open(&path).expect("a journal");
        assert_eq!(again.changes().expect("changes"), kept);
        std::fs::remove_file(path).expect("removed");
        kept
    }

    #[test]
    fn changes_stay_in_their_order() {
        let changes = [put("a", 1), policy("p"), put("b", 2), remove("c")];
        assert_eq!(kept("order", &changes), changes);
    }

    #[test]
    fn what_is_void_is_taken_out() {
        let changes = [put("a", 1), put("b", 1), put("a", 2), put("a", 3)];
        assert_eq!(kept("put", &changes), [put("b", 1), put("a", 3)]);
        // A removal takes an entity out of what was put before, so it stays.
        let changes = [
            put("a", 1),
            remove("a"),
            put("b", 1),
            remove("a"),
            put("a", 2),
        ];
        let expected = [put("b", 1), remove("a"), put("a", 2)];
        assert_eq!(kept("removed", &changes), expected);
    }

    #[test]
    fn policies_of_the_journal_alone_leave_nothing() {
        let changes = [policy("p"), remove_policy("p"), policy("q")];
        assert_eq!(kept("own", &changes), [policy("q")]);
        // One of the files goes, and is another since.
        let changes = [
            remove_policy("p"),
            policy("p"),
            remove_policy("p"),
            policy("p"),
        ];
        assert_eq!(kept("other", &changes), [remove_policy("p"), policy("p")]);
    }

    #[test]
    fn what_is_no_journal_is_refused_by_name() {
        let path = std::env::temp_dir().join(format!("cedarjit-no-journal-{}", std::process::id()));
        std::fs::write(&path, "something else, and more of it").expect("a file");
        let error = Journal::open(&path).expect_err("no journal").to_string();
        assert!(error.contains("cedarjit-no-journal"), "{error}");
        std::fs::remove_file(path).expect("removed");
        let (_open, path) = journal("twice");
        let error = Journal::open(&path).expect_err("open already").to_string();
        assert!(error.contains("twice"), "{error}");
        std::fs::remove_file(path).expect("removed");
    }
}
