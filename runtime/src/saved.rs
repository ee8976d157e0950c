//! Files of saved engines: what an engine holds, but its code.
//!
//! A file is a few sections, each with its length and a checksum. Tables are read again in
//! milliseconds where texts would take seconds; what is read is checked as if somebody had made it to
//! do harm, since compiled code relies on it. `docs/saved.md` says what is in the sections.

mod policies;

use crate::engine::BuildError;
use crate::snapshot::{EngineSchema, Snapshot};
use crate::store::{SavedCheck as Check, Store, StoreFile, StoreTables, THREADED};
use cedar_policy::{EntityTypeName, PolicySet};
use cedarjit_frontend::load::{LoadedPolicies, ParseError, SchemaFormat, load_schema};
use cedarjit_ir::hash_function;
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::{CapacityError, Interner};
use cedarjit_ir::saved::{Input, Invalid, Output};
use crc32fast::Hasher;
use std::io::{self, Write};
use std::thread;

/// What a file begins with.
const MAGIC: &[u8; 8] = b"cedarjit";

/// The version of the format that is written, and the only one that is read.
const VERSION: u32 = 3;

/// The parts of a file, in their order.
const PARTS: [&str; 12] = [
    "strings",
    "uids",
    "shapes",
    "values",
    "hierarchy",
    "ancestors",
    "parents",
    "entities",
    "tags",
    "policies",
    "schema",
    "index",
];

/// The numbers of the parts of which one says where their entries are found.
const INDEXED: [usize; 3] = [0, 1, 3];

/// Why an engine could not be saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The bytes could not be written.
    #[error("failed to write the saved engine")]
    Write(#[from] io::Error),
    /// The schema was given as a value, and cedar-policy does not write it.
    #[error(
        "an engine whose schema was given as a value cannot be saved: give the schema as text, with \
         `schema_str` or `schema_json`"
    )]
    SchemaValue,
    /// Neither as text nor as JSON does a policy read as what it is.
    #[error(
        "the policy `{id}` cannot be saved: neither its text nor its JSON form reads as the same"
    )]
    Policy {
        /// The id of the policy or template.
        id: String,
    },
    /// A table would outgrow its ids.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// A value nests so deep that it would not be read again.
    #[error("an attribute or tag cannot be saved: {0}")]
    Values(Invalid),
}

/// Why a saved engine could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavedError {
    /// The bytes are something else.
    #[error("this is not a saved engine")]
    NotSaved,
    /// The file was written by another version.
    #[error(
        "the saved engine has version {found} of the format, this program reads version {VERSION}: \
         save it again from its policies and entities"
    )]
    Version {
        /// The version of the file.
        found: u32,
    },
    /// The bytes end before the file does.
    #[error("the saved engine is cut off in its {part}")]
    CutOff {
        /// Where it ends.
        part: &'static str,
    },
    /// Something follows the file.
    #[error("{bytes} bytes follow the saved engine")]
    Trailing {
        /// How much.
        bytes: usize,
    },
    /// The bytes were changed.
    #[error("the saved engine is damaged in its {part}")]
    Damaged {
        /// Where.
        part: &'static str,
    },
    /// The bytes are as they were written, but by nothing that saves engines.
    #[error("the saved engine is not valid in its {part}: {problem}")]
    Invalid {
        /// Where.
        part: &'static str,
        /// What is wrong.
        problem: Invalid,
    },
    /// The builder has policies, links, entities or a schema of its own.
    #[error("a saved engine has its own policies, entities and schema, and takes no others")]
    Sources,
    /// A policy or the schema cannot be read.
    #[error(transparent)]
    Parse(#[from] Box<ParseError>),
    /// The engine could not be built of what was read.
    #[error(transparent)]
    Build(#[from] BuildError),
}

fn invalid(part: &'static str) -> impl Fn(Invalid) -> SavedError {
    move |problem| SavedError::Invalid { part, problem }
}

/// What a file was read to.
pub(crate) struct Saved {
    pub(crate) interner: Interner,
    pub(crate) store: Store,
    /// Templates and static policies.
    pub(crate) policies: PolicySet,
    pub(crate) loaded: LoadedPolicies,
    pub(crate) schema: Option<EngineSchema>,
}

/// The policies of an engine, to be [written](write) with the rest.
pub(crate) fn policies(set: &PolicySet, snapshot: &Snapshot) -> Result<Output, SaveError> {
    policies::save(set, &snapshot.loaded())
}

/// Writes an engine's state, whose policies are these.
pub(crate) fn write(
    snapshot: &Snapshot,
    policies: &Output,
    mut sink: impl Write,
) -> Result<(), SaveError> {
    let (interner, store) = (&snapshot.interner, &snapshot.store);
    let schema = schema_bytes(snapshot.schema.as_deref())?;
    (store.heap())
        .check(
            store.shapes(),
            interner.str_count(),
            interner.entity_count(),
        )
        .map_err(SaveError::Values)?;
    sink.write_all(MAGIC)?;
    sink.write_all(&VERSION.to_le_bytes())?;
    sink.write_all(&(PARTS.len() as u32).to_le_bytes())?;
    let (mut strings, mut uids) = (Output::default(), Output::default());
    interner.save(&mut strings, &mut uids);
    let mut tables = StoreTables::default();
    store.save(&mut tables)?;
    let mut index = Output::default();
    index.word(hash_function());
    let indexed = INDEXED.into_iter().zip([&strings, &uids, &tables.values]);
    for (number, part) in indexed {
        index.number(checksum(number as u32, part.as_bytes()));
    }
    interner.save_index(&mut index);
    store.heap().save_index(&mut index);
    let parts = [
        &strings,
        &uids,
        &tables.shapes,
        &tables.values,
        &tables.hierarchy,
        &tables.ancestors,
        &tables.parents,
        &tables.entities,
        &tables.tags,
        policies,
        &schema,
        &index,
    ];
    for (number, part) in (0_u32..).zip(parts) {
        let body = part.as_bytes();
        sink.write_all(&number.to_le_bytes())?;
        sink.write_all(&checksum(number, body).to_le_bytes())?;
        sink.write_all(&(body.len() as u64).to_le_bytes())?;
        sink.write_all(body)?;
    }
    Ok(sink.flush()?)
}

fn checksum(number: u32, body: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&(body.len() as u64).to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// A section, and its checksum.
#[derive(Clone, Copy)]
struct Section<'a>(Input<'a>, u32);

/// The sections of a file, whole and undamaged.
fn sections(file: &[u8]) -> Result<[Section<'_>; PARTS.len()], SavedError> {
    let mut input = Input::new(file);
    if input.bytes(MAGIC.len()) != Ok(MAGIC) {
        return Err(SavedError::NotSaved);
    }
    let cut = |part| move |_| SavedError::CutOff { part };
    let found = input.number().map_err(cut("head"))?;
    if found != VERSION {
        return Err(SavedError::Version { found });
    }
    if input.number().map_err(cut("head"))? != PARTS.len() as u32 {
        return Err(SavedError::Damaged { part: "head" });
    }
    let mut found = [Section(Input::new(&[]), 0); PARTS.len()];
    for ((number, part), place) in (0_u32..).zip(PARTS).zip(&mut found) {
        let told = input.number().map_err(cut(part))?;
        let sum = input.number().map_err(cut(part))?;
        let length = input.word().map_err(cut(part))?;
        let body = usize::try_from(length).map_err(|_| SavedError::CutOff { part })?;
        let body = input.bytes(body).map_err(cut(part))?;
        if told != number || sum != checksum(number, body) {
            return Err(SavedError::Damaged { part });
        }
        *place = Section(Input::new(body), sum);
    }
    match input.remaining() {
        0 => Ok(found),
        bytes => Err(SavedError::Trailing { bytes }),
    }
}

/// Where strings, uids and values are found, if a file says that of the ones that it has, and to a
/// program that hashes as the one that wrote it.
fn index<'a>(sections: &[Section<'a>; PARTS.len()]) -> Result<Option<Input<'a>>, Invalid> {
    let [.., Section(mut index, _)] = *sections;
    let mut fits = index.word()? == hash_function();
    for Section(_, sum) in INDEXED
        .into_iter()
        .filter_map(|number| sections.get(number))
    {
        fits &= index.number()? == *sum;
    }
    Ok(fits.then_some(index))
}

/// Reads a file.
pub(crate) fn read(file: &[u8], check: Check) -> Result<Saved, SavedError> {
    let sections = sections(file)?;
    let index = match check {
        Check::All => None,
        Check::Trusted => index(&sections).map_err(invalid("index"))?,
    };
    let [
        mut strings,
        mut uids,
        shapes,
        values,
        hierarchy,
        ancestors,
        parents,
        entities,
        tags,
        policies,
        schema,
        _,
    ] = sections.map(|Section(body, _)| body);
    let tables = StoreTables {
        shapes,
        values,
        hierarchy,
        ancestors,
        parents,
        entities,
        tags,
    };
    let file = StoreFile::read(tables).map_err(invalid("entities"))?;
    let (mut interner, store) = load(&mut strings, &mut uids, index, &file, check)?;
    strings.end().map_err(invalid("strings"))?;
    uids.end().map_err(invalid("uids"))?;
    let schema = read_schema(schema)?;
    let (policies, loaded) = policies::load(policies, &mut interner)?;
    Ok(Saved {
        interner,
        store,
        policies,
        loaded,
        schema,
    })
}

/// Loads the interner and the entities. If there are many, uids are indexed, and the hierarchy is read
/// and checked, by threads of their own.
fn load(
    strings: &mut Input<'_>,
    uids: &mut Input<'_>,
    mut index: Option<Input<'_>>,
    file: &StoreFile<'_>,
    check: Check,
) -> Result<(Interner, Store), SavedError> {
    let of_names = || invalid("strings or uids");
    let of_entities = || invalid("entities");
    let many = file.count() >= THREADED;
    thread::scope(|scope| {
        // There may be no thread to be had: then this one does its work.
        let hierarchy = || (file.tables(), file.check(check));
        let other = || thread::Builder::new().spawn_scoped(scope, hierarchy);
        let other = many.then(other).and_then(io::Result::ok);
        let unindexed = Interner::load(strings, uids, index.as_mut()).map_err(of_names())?;
        let names = unindexed.interner().clone();
        let copy = unindexed.clone();
        let uids = || thread::Builder::new().spawn_scoped(scope, move || copy.uids());
        let uids = many.then(uids).and_then(io::Result::ok);
        check_types(&names).map_err(invalid("uids"))?;
        let mut store = file.load(&names, index).map_err(of_entities())?;
        let strings = unindexed.strings().map_err(of_names())?;
        file.check(check).map_err(of_entities())?;
        let (tables, checked) = match other.map(thread::ScopedJoinHandle::join) {
            Some(Ok(done)) => done,
            Some(Err(_)) => return Err(of_entities()(Invalid("they could not be checked"))),
            None => hierarchy(),
        };
        checked.map_err(of_entities())?;
        tables.add_to(&mut store);
        let uids = match uids.map(thread::ScopedJoinHandle::join) {
            Some(Ok(uids)) => uids,
            _ => unindexed.uids(),
        };
        let uids = uids.map_err(of_names())?;
        Ok((unindexed.with(strings, uids), store))
    })
}

/// Checks that the types of all uids are names as cedar-policy writes them.
fn check_types(interner: &Interner) -> Result<(), Invalid> {
    let mut seen = vec![false; interner.str_count()];
    let ids = (0..interner.entity_count()).map(EntityId::from_index);
    for ty in ids.filter_map(|id| Some(interner.entity(id)?.0)) {
        let Some(seen) = seen.get_mut(ty.index()).filter(|seen| !**seen) else {
            continue;
        };
        *seen = true;
        let text = interner.str(ty.name());
        // What has other characters is none, whatever a parser would do with it.
        let usual = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b':';
        let name = || text.parse::<EntityTypeName>().ok();
        let name = text.bytes().all(usual).then(name).flatten();
        if name.is_none_or(|name| name.to_string() != text) {
            return Err(Invalid("the type of an entity is not a name"));
        }
    }
    Ok(())
}

fn schema_bytes(schema: Option<&EngineSchema>) -> Result<Output, SaveError> {
    let mut out = Output::default();
    if let Some(schema) = schema {
        let (text, format) = schema.source.as_ref().ok_or(SaveError::SchemaValue)?;
        out.number(match format {
            SchemaFormat::Cedar => 1,
            SchemaFormat::Json => 2,
        });
        out.text(text);
    } else {
        out.number(0);
    }
    Ok(out)
}

fn read_schema(mut input: Input<'_>) -> Result<Option<EngineSchema>, SavedError> {
    let part = "schema";
    let format = match input.number().map_err(invalid(part))? {
        0 => {
            input.end().map_err(invalid(part))?;
            return Ok(None);
        }
        1 => SchemaFormat::Cedar,
        2 => SchemaFormat::Json,
        _ => return Err(invalid(part)(Invalid("it is in no known form"))),
    };
    let text = input.text().map_err(invalid(part))?;
    input.end().map_err(invalid(part))?;
    let loaded = load_schema(text, format, part).map_err(Box::new)?;
    Ok(Some(EngineSchema {
        schema: loaded.schema,
        facts: Some(loaded.facts),
        source: Some((text.to_owned(), format)),
    }))
}
