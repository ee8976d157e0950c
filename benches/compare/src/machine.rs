//! What the figures were measured on.

use serde::Serialize;
use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

/// The machine, the versions and the commit.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's name, as the system gives it.
    pub(crate) processor: String,
    /// How many threads it can run at once.
    pub(crate) threads: usize,
    /// Memory in GiB.
    pub(crate) memory_gib: Option<f64>,
    /// The operating system and the architecture.
    pub(crate) system: String,
    /// How busy the machine was in the minute before, and when it was done.
    pub(crate) load: [Option<f64>; 2],
    /// The compiler's version.
    pub(crate) rustc: String,
    /// The versions of cedar-policy, regorus and Cranelift.
    pub(crate) versions: Vec<(String, String)>,
    /// The commit of the repository, if there is one.
    pub(crate) commit: Option<String>,
    /// Whether files differed from that commit; what the comparison writes does not count.
    pub(crate) modified: bool,
}

const COMPARED: [&str; 3] = ["cedar-policy", "regorus", "cranelift-codegen"];

impl Machine {
    /// Looks.
    pub(crate) fn look() -> Self {
        let cpuinfo = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = field(&memory, "MemTotal");
        let kibibytes = memory.and_then(|m| m.trim_end_matches("kB").trim().parse::<f64>().ok());
        let status = git(&[
            "status",
            "--porcelain",
            "--",
            ".",
            ":!docs/benchmarks",
            ":!README.md",
        ]);
        Self {
            processor: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown".into()),
            threads: std::thread::available_parallelism().map_or(0, Into::into),
            memory_gib: kibibytes.map(|k| (k / f64::from(1 << 20) * 10.0).round() / 10.0),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            load: [load(), None],
            rustc: env!("COMPARE_RUSTC").into(),
            versions: COMPARED.map(|name| (name.into(), locked(name))).into(),
            commit: git(&["rev-parse", "HEAD"]),
            modified: status.is_some_and(|status| !status.is_empty()),
        }
    }

    /// To be called when everything is measured.
    pub(crate) fn done(&mut self) {
        self.load[1] = load();
    }
}

/// How many threads wanted to run in the last minute, on average.
fn load() -> Option<f64> {
    let text = read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// What git says, if there is one.
fn git(args: &[&str]) -> Option<String> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(args)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The version in the lock file that this program was built with.
fn locked(name: &str) -> String {
    version(include_str!("../Cargo.lock"), name).unwrap_or_else(|| "unknown".into())
}

/// The version of a package in a lock file.
fn version(lock: &str, name: &str) -> Option<String> {
    let name = format!("name = \"{name}\"");
    let mut lines = lock.lines().skip_while(|line| **line != *name);
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    Some(version.trim_end_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cedar_policy_is_the_version_that_the_engine_is_built_with() {
        let root = version(include_str!("../../../Cargo.lock"), "cedar-policy");
        assert!(root.is_some());
        assert_eq!(root, version(include_str!("../Cargo.lock"), "cedar-policy"));
    }
}
