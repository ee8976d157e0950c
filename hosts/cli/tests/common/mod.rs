//! What the tests of the command line share.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// The shipped example.
pub(crate) fn tinytodo(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tinytodo");
    root.join(file).display().to_string()
}

/// A file for one test, with this content. It is never seen half written: tests run side by side, and
/// those that write the same file may read it meanwhile.
pub(crate) fn file(name: &str, content: impl AsRef<[u8]>) -> String {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let path = scratch(name);
    let half = scratch(&format!(
        "{name}.{}-{}",
        std::process::id(),
        WRITTEN.fetch_add(1, Ordering::Relaxed)
    ));
    fs::write(&half, content).unwrap();
    fs::rename(&half, &path).unwrap();
    path.display().to_string()
}

/// A path that tests may write to.
pub(crate) fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Run {
    /// Checks that it failed with exit code 1 and said all of this, on stdout or stderr, without a
    /// panic.
    #[track_caller]
    pub(crate) fn assert_fails_saying(&self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        // Reports are wrapped to the width of a terminal, with a margin.
        let without_space = |text: &str| {
            text.replace(['│', '·'], "")
                .replace(char::is_whitespace, "")
        };
        let said = without_space(&self.stdout) + &without_space(&self.stderr);
        for word in words {
            assert!(
                said.contains(&without_space(word)),
                "no {word:?} in {self:?}"
            );
        }
    }
}

/// The binary, ready to be given arguments.
pub(crate) fn cedarjit() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cedarjit"));
    command
        .env_remove("CEDAR_ERROR_FORMAT")
        .env("NO_COLOR", "1");
    command
}

/// Runs the binary.
pub(crate) fn run<S: AsRef<str>>(args: &[S]) -> Run {
    run_with_stdin(args, b"")
}

/// Runs the binary with something on stdin.
pub(crate) fn run_with_stdin<S: AsRef<str>>(args: &[S], stdin: &[u8]) -> Run {
    let mut child = cedarjit()
        .args(args.iter().map(AsRef::as_ref))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It need not read all of it.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap().into()
}

/// Flags for the whole example but requests.
pub(crate) fn tinytodo_world() -> Vec<String> {
    let policies = ["--policies", &tinytodo("policies.cedar")].map(str::to_owned);
    let links = ["--template-linked", &tinytodo("links.json")].map(str::to_owned);
    let schema = ["--schema", &tinytodo("tinytodo.cedarschema")].map(str::to_owned);
    let entities = ["--entities", &tinytodo("entities.json")].map(str::to_owned);
    [policies, links, schema, entities].concat()
}

/// A verb with flags for the whole example and some more arguments.
pub(crate) fn on_tinytodo(verb: &str, more: &[&str]) -> Vec<String> {
    let mut args = vec![verb.to_owned()];
    args.extend(tinytodo_world());
    args.extend(more.iter().map(|&arg| arg.to_owned()));
    args
}
