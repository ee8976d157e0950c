//! Files to an engine.

use std::io;
use std::path::{Path, PathBuf};

use cedar_policy::{PolicyId, PolicySet, PolicySetError};
use cedarjit::{BuildError, Engine, EngineBuilder, SavedError, SelfCheck};
use cedarjit_frontend::load::{self, ParseError};

use crate::changes::{self, Refused};
use crate::config::{Files, SavedFile, Sources};
use crate::journal::{Journal, JournalError};

/// Why the files do not make an engine.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or folder cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// A folder of policies in which there are none.
    #[error("{}: the folder has no file that ends with `.cedar` or `.json`", path.display())]
    NoPolicies {
        /// The folder.
        path: PathBuf,
    },
    /// A file of policies or links is malformed.
    #[error(transparent)]
    Parse(Box<ParseError>),
    /// Two files have a policy of the same id.
    #[error("{}: {cause}; give one of the two another `@id`", path.display())]
    Merge {
        /// The later file.
        path: PathBuf,
        /// What collides.
        #[source]
        cause: Box<PolicySetError>,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What was changed by the admin API does not fit the files any more.
    #[error(
        "{}: a change does not fit the files any more: {cause}; put back what was in them, or move \
         that file away, which forgets all changes",
        path.display()
    )]
    Changes {
        /// The journal.
        path: PathBuf,
        /// What cannot be made.
        #[source]
        cause: Box<Refused>,
    },
    /// The engine cannot check itself.
    #[error("{cause}; say another `self_check.folder`")]
    SelfCheck {
        /// What the engine says.
        #[source]
        cause: Box<BuildError>,
    },
    /// A saved engine was refused.
    #[error("{}: {cause}; save it again, with `cedarjit save` of this version", path.display())]
    Saved {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: Box<SavedError>,
    },
    /// Schema, entities or links were refused.
    #[error("{files}: {cause}")]
    Build {
        /// What it may be about.
        files: String,
        /// What the engine says.
        #[source]
        cause: Box<BuildError>,
    },
}

impl From<ParseError> for LoadError {
    fn from(error: ParseError) -> Self {
        Self::Parse(Box::new(error))
    }
}

/// Reads the files and builds an engine from them, which checks itself if it is told how. Takes
/// milliseconds and more, and a processor.
///
/// # Errors
/// When a file cannot be read or is not what it should be.
pub fn engine(sources: &Sources, check: Option<SelfCheck>) -> Result<Engine, LoadError> {
    let builder = Engine::builder();
    let builder = match check {
        Some(check) => builder.self_check(check),
        None => builder,
    };
    match sources {
        Sources::Files(files) => built(files, builder),
        Sources::Saved(saved) => loaded(saved, builder),
    }
}

/// The engine that was saved.
fn loaded(saved: &SavedFile, builder: EngineBuilder) -> Result<Engine, LoadError> {
    let path = || saved.path.clone();
    let file = std::fs::read(&saved.path);
    let file = file.map_err(|cause| LoadError::Unreadable {
        path: path(),
        cause,
    })?;
    let engine = match saved.trusted {
        true => builder.load_trusted(&file),
        false => builder.load(&file),
    };
    engine.map_err(|cause| match cause {
        SavedError::Build(cause @ BuildError::SelfCheck(_)) => LoadError::SelfCheck {
            cause: Box::new(cause),
        },
        _ => LoadError::Saved {
            path: path(),
            cause: Box::new(cause),
        },
    })
}

/// The engine of these texts.
fn built(sources: &Files, builder: EngineBuilder) -> Result<Engine, LoadError> {
    let mut builder = builder.policies(&policies(sources)?);
    if let Some(path) = &sources.template_linked {
        builder = builder.links_json(read(path)?);
    }
    if let Some(path) = &sources.schema {
        let text = read(path)?;
        builder = match is_json(path) {
            true => builder.schema_json(text),
            false => builder.schema_str(text),
        };
    }
    if let Some(path) = &sources.entities {
        builder = builder.entities_json(read(path)?);
    }
    builder.build().map_err(|cause| match cause {
        BuildError::SelfCheck(_) => LoadError::SelfCheck {
            cause: Box::new(cause),
        },
        _ => LoadError::Build {
            files: concerned(sources, &cause),
            cause: Box::new(cause),
        },
    })
}

/// The engine of the files, with all changes in the journal made again.
///
/// # Errors
/// As [`engine`], and when the journal cannot be read or its changes do not fit the files.
pub fn changed_engine(
    sources: &Sources,
    check: Option<SelfCheck>,
    journal: Option<&Journal>,
) -> Result<Engine, LoadError> {
    let engine = engine(sources, check)?;
    if let Some(journal) = journal {
        let made = changes::apply(&engine, &journal.changes()?, || Ok(()));
        made.map_err(|cause| LoadError::Changes {
            path: journal.path().to_owned(),
            cause,
        })?;
    }
    Ok(engine)
}

/// The files that an error of the engine may be about.
fn concerned(sources: &Files, cause: &BuildError) -> String {
    let all = [&sources.template_linked, &sources.schema, &sources.entities];
    let about: &[&Option<PathBuf>] = match cause {
        BuildError::Entities(_) | BuildError::Store(_) => &[&sources.entities],
        _ => &all,
    };
    let names: Vec<String> = about
        .iter()
        .filter_map(|path| Some(path.as_ref()?.display().to_string()))
        .chain(match cause {
            BuildError::Load(_) => Some("policies".to_owned()),
            _ => None,
        })
        .collect();
    names.join(", ")
}

/// All policies and templates.
///
/// Those of one file are named as ever, by `@id` or else by position. If there are more files,
/// `policy0` of `teams.cedar` is named `teams/policy0`.
fn policies(sources: &Files) -> Result<PolicySet, LoadError> {
    let mut files = Vec::new();
    for path in &sources.policies {
        match path.is_dir() {
            true => files.extend(policy_files(path)?),
            false => files.push(path.clone()),
        }
    }
    let mut all = PolicySet::new();
    let several = files.len() > 1;
    for path in &files {
        let (text, origin) = (read(path)?, path.display().to_string());
        let set = match is_json(path) {
            true => load::parse_policies_json(&text, &origin)?,
            false => load::parse_policies(&text, &origin)?,
        };
        let merge = |cause| LoadError::Merge {
            path: path.clone(),
            cause,
        };
        let set = match several {
            true => named_by_file(&set, path).map_err(merge)?,
            false => set,
        };
        all.merge(&set, false)
            .map_err(|cause| merge(cause.into()))?;
    }
    Ok(all)
}

/// The files of policies in a folder, in the order of their names.
fn policy_files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let unreadable = |cause| LoadError::Unreadable {
        path: folder.to_owned(),
        cause,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let extension = path.extension().and_then(|e| e.to_str());
        if !hidden && matches!(extension, Some("cedar" | "json")) && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        let path = folder.to_owned();
        return Err(LoadError::NoPolicies { path });
    }
    files.sort();
    Ok(files)
}

/// The set with the file's name before each id that came about by position.
fn named_by_file(set: &PolicySet, path: &Path) -> Result<PolicySet, Box<PolicySetError>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let rename = |id: &str, named: bool| match named {
        true => PolicyId::new(id),
        false => PolicyId::new(format!("{stem}/{id}")),
    };
    let mut renamed = PolicySet::new();
    for template in set.templates() {
        let id = rename(template.id().as_ref(), template.annotation("id").is_some());
        renamed.add_template(template.new_id(id))?;
    }
    for policy in set.policies() {
        match policy.template_id() {
            // Only JSON has links among its policies, and it gives ids to all.
            Some(_) => return Ok(set.clone()),
            None => {
                let id = rename(policy.id().as_ref(), policy.annotation("id").is_some());
                renamed.add(policy.new_id(id))?;
            }
        }
    }
    Ok(renamed)
}

fn read(path: &Path) -> Result<String, LoadError> {
    std::fs::read_to_string(path).map_err(|cause| LoadError::Unreadable {
        path: path.to_owned(),
        cause,
    })
}

fn is_json(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "json")
}
