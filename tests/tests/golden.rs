//! Golden files: policies, their HIR and their IR side by side.
//!
//! `tests/golden/*.cedar` are the sources; beside each stands a `.golden` file with what became of
//! it. To regenerate them after an intended change, and then read the difference:
//!
//! ```text
//! UPDATE_GOLDEN=1 cargo test -p cedarjit-tests --test golden
//! ```

use cedarjit_frontend::hir::Printed;
use cedarjit_frontend::load::{SchemaFormat, load_policy_set, load_schema};
use cedarjit_frontend::lower::lower;
use cedarjit_ir::interner::Interner;
use cedarjit_ir::text::parse;
use cedarjit_ir::verify::verify;
use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn sources() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut sources: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "cedar"))
        .collect();
    sources.sort();
    sources
}

/// The golden text of a source file: each policy, its HIR and its IR, with the types that the schema
/// beside it gives, if there is one.
fn golden(path: &Path) -> String {
    let source = &std::fs::read_to_string(path).unwrap();
    let facts = std::fs::read_to_string(path.with_extension("cedarschema"))
        .ok()
        .map(|text| {
            load_schema(&text, SchemaFormat::Cedar, "golden")
                .unwrap()
                .facts
        });
    let mut set = cedarjit_frontend::load::parse_policies(source, "golden").unwrap();
    link_templates(&mut set);
    let mut interner = Interner::new();
    let policies = load_policy_set(&set, &mut interner).unwrap();
    let mut text = String::new();
    let mut seen = HashSet::new();
    for bound in &policies {
        if !seen.insert(Arc::as_ptr(&bound.policy)) {
            continue;
        }
        let printed = Printed {
            policy: &bound.policy,
            interner: &interner,
        };
        let lowered = lower(&bound.policy, &interner, facts.as_ref());
        verify(&lowered.body).unwrap();
        let ir = lowered.body.to_string();
        assert_eq!(parse(&ir).unwrap(), lowered.body, "{ir}");
        let source = source_of(&set, &bound.policy.id);
        write!(text, "{source}\n---\n{printed}---\n{ir}\n").unwrap();
    }
    text
}

/// The text of a static policy or template.
fn source_of(set: &cedar_policy::PolicySet, id: &str) -> String {
    let id = cedar_policy::PolicyId::new(id);
    match set.template(&id) {
        Some(template) => template.to_cedar(),
        None => set.policy(&id).unwrap().to_cedar().unwrap(),
    }
}

/// Links each template once, so that it appears among the policies.
fn link_templates(set: &mut cedar_policy::PolicySet) {
    let templates: Vec<_> = set
        .templates()
        .map(|t| (t.id().clone(), t.slots().cloned().collect::<Vec<_>>()))
        .collect();
    for (id, slots) in templates {
        let values = slots
            .into_iter()
            .map(|slot| (slot, r#"Slot::"value""#.parse().unwrap()))
            .collect();
        let link = cedar_policy::PolicyId::new(format!("link of {id}"));
        set.link(id, link, values).unwrap();
    }
}

#[test]
fn sources_become_what_the_golden_files_say() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let sources = sources();
    assert!(!sources.is_empty());
    let mut stale = Vec::new();
    for source in sources {
        let text = golden(&source);
        let path = source.with_extension("golden");
        if update {
            std::fs::write(&path, text).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != text {
            stale.push(path);
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} differ from what becomes of their sources; if that is intended, regenerate \
         them with UPDATE_GOLDEN=1 and read the difference"
    );
}
