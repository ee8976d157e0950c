//! Where tests come from: a folder, one file, or an archive read in memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::de::IgnoredAny;

/// Tests of one origin, and the files that they refer to.
#[derive(Debug)]
pub struct Suite {
    origin: PathBuf,
    files: Files,
    tests: Vec<String>,
}

#[derive(Debug)]
enum Files {
    /// An archive: contents by path inside it.
    Archive(HashMap<String, Vec<u8>>),
    /// A folder; test names are relative to it.
    Folder(PathBuf),
}

/// Why tests could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// A file or folder could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file, or `archive: member`.
        path: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A `.json` file is not JSON.
    #[error("{path} is not JSON")]
    NotJson {
        /// The file, or `archive: member`.
        path: String,
        /// What is wrong with it, and where.
        #[source]
        cause: serde_json::Error,
    },
    /// A referenced file does not exist under the root of the suite.
    #[error("no file {path} for the test {test} under {origin}")]
    Missing {
        /// The path as the test gives it.
        path: String,
        /// The test that refers to it.
        test: String,
        /// The suite.
        origin: String,
    },
    /// A file is not UTF-8.
    #[error("{path} is not UTF-8 (byte {at})")]
    NotUtf8 {
        /// The file, as the test gives it.
        path: String,
        /// Offset of the first offending byte.
        at: usize,
    },
    /// There is no test in the folder or archive.
    #[error("no tests in {origin}")]
    Empty {
        /// The suite.
        origin: String,
    },
}

impl Suite {
    /// Opens a folder, a test file or a `.tar.gz` archive, and finds its tests.
    ///
    /// A test is a `.json` file that holds an object with the keys `policies` and `requests`. Their
    /// order is that of their names. An archive is unpacked into memory.
    pub fn open(path: &Path) -> Result<Self, SuiteError> {
        let mut suite = if path.is_dir() {
            Self::folder(path)?
        } else if is_archive(path) {
            Self::archive(path)?
        } else {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let folder = path.parent().unwrap_or(Path::new(""));
            Self {
                origin: path.to_owned(),
                files: Files::Folder(folder.to_owned()),
                tests: vec![name.into_owned()],
            }
        };
        suite.keep_tests_only()?;
        Ok(suite)
    }

    /// The path that the suite was opened with.
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// Names of the tests: their paths inside the archive or the folder.
    pub fn tests(&self) -> &[String] {
        &self.tests
    }

    /// Contents of a test file.
    pub(super) fn test(&self, name: &str) -> Result<Cow<'_, [u8]>, SuiteError> {
        match &self.files {
            Files::Archive(files) => match files.get(name) {
                Some(bytes) => Ok(Cow::Borrowed(bytes)),
                None => Err(self.missing(name, name)),
            },
            Files::Folder(folder) => read(&folder.join(name)).map(Cow::Owned),
        }
    }

    /// Text of a file that `test` refers to as `path`.
    ///
    /// In a folder the root of the suite is the nearest folder above the test where `path` exists:
    /// so a part of a suite can be run by itself.
    pub(super) fn referenced(&self, test: &str, path: &str) -> Result<Cow<'_, str>, SuiteError> {
        let not_utf8 = |at| SuiteError::NotUtf8 {
            path: path.to_owned(),
            at,
        };
        match &self.files {
            Files::Archive(files) => {
                let bytes = files.get(path).ok_or_else(|| self.missing(path, test))?;
                let text = std::str::from_utf8(bytes).map_err(|e| not_utf8(e.valid_up_to()))?;
                Ok(Cow::Borrowed(text))
            }
            Files::Folder(folder) => {
                let file =
                    fs::canonicalize(folder.join(test)).unwrap_or_else(|_| folder.join(test));
                let found = file
                    .ancestors()
                    .map(|root| root.join(path))
                    .find(|p| p.is_file());
                let bytes = read(&found.ok_or_else(|| self.missing(path, test))?)?;
                let text = String::from_utf8(bytes);
                text.map(Cow::Owned)
                    .map_err(|e| not_utf8(e.utf8_error().valid_up_to()))
            }
        }
    }

    fn missing(&self, path: &str, test: &str) -> SuiteError {
        SuiteError::Missing {
            path: path.to_owned(),
            test: test.to_owned(),
            origin: self.origin.display().to_string(),
        }
    }

    fn folder(path: &Path) -> Result<Self, SuiteError> {
        let mut tests = Vec::new();
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).map_err(|cause| read_error(&folder, cause))?;
            for entry in entries {
                let entry = entry.map_err(|cause| read_error(&folder, cause))?.path();
                if entry.is_dir() {
                    folders.push(entry);
                } else if let Some(name) = entry.strip_prefix(path).ok().and_then(Path::to_str) {
                    tests.push(name.to_owned());
                }
            }
        }
        Ok(Self {
            origin: path.to_owned(),
            files: Files::Folder(path.to_owned()),
            tests,
        })
    }

    fn archive(path: &Path) -> Result<Self, SuiteError> {
        let failed = |cause| read_error(path, cause);
        let file = File::open(path).map_err(failed)?;
        let mut archive = tar::Archive::new(GzDecoder::new(io::BufReader::new(file)));
        let mut files = HashMap::new();
        for entry in archive.entries().map_err(failed)? {
            let mut entry = entry.map_err(failed)?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = entry.path().map_err(failed)?;
            let name = name
                .strip_prefix("./")
                .unwrap_or(&name)
                .display()
                .to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(failed)?;
            files.insert(name, bytes);
        }
        Ok(Self {
            origin: path.to_owned(),
            tests: files.keys().cloned().collect(),
            files: Files::Archive(files),
        })
    }

    /// Drops the names of files that are not tests, and sorts the rest.
    fn keep_tests_only(&mut self) -> Result<(), SuiteError> {
        let mut tests = std::mem::take(&mut self.tests);
        tests.retain(|name| may_be_test(name));
        tests.sort_unstable();
        for name in tests {
            let probed = serde_json::from_slice::<HashMap<String, IgnoredAny>>(&self.test(&name)?);
            match probed {
                Ok(keys) if keys.contains_key("policies") && keys.contains_key("requests") => {
                    self.tests.push(name);
                }
                Err(cause) if !cause.is_data() => {
                    let path = format!("{}: {name}", self.origin.display());
                    return Err(SuiteError::NotJson { path, cause });
                }
                _ => {}
            }
        }
        if self.tests.is_empty() {
            let origin = self.origin.display().to_string();
            return Err(SuiteError::Empty { origin });
        }
        Ok(())
    }
}

/// Entity files make up most of a suite and need not be opened to be told apart; nor do the
/// shadow files that some archivers add.
fn may_be_test(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    base.ends_with(".json") && !base.ends_with(".entities.json") && !base.starts_with("._")
}

fn is_archive(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".tar.gz") || name.ends_with(".tgz")
}

fn read(path: &Path) -> Result<Vec<u8>, SuiteError> {
    fs::read(path).map_err(|cause| read_error(path, cause))
}

fn read_error(path: &Path, cause: io::Error) -> SuiteError {
    SuiteError::Read {
        path: path.display().to_string(),
        cause,
    }
}
