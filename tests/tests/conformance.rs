//! The conformance runner on a small suite of our own: it passes where the files are right, and
//! reports each thing that a file gets wrong.

use std::fs;
use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use cedarjit_tests::conformance::{MismatchKind, Plan, Report, Selection, Suite, SuiteError, run};
use cedarjit_tests::engines::engines;
use flate2::Compression;
use flate2::write::GzEncoder;

const POLICIES: &str = r#"
    permit (principal == User::"ann", action, resource);
    forbid (principal, action, resource) when { resource.locked };
    permit (principal, action, resource) when { resource.score > context.limit };
"#;
const SCHEMA: &str = r#"
    entity User;
    entity Doc { locked: Bool, score?: Long };
    action view appliesTo { principal: User, resource: Doc, context: { limit: Long } };
"#;
const ENTITIES: &str = r#"[
    {"uid": {"type": "Doc", "id": "plan"}, "attrs": {"locked": false, "score": 7}, "parents": []},
    {"uid": {"type": "Doc", "id": "vault"}, "attrs": {"locked": true}, "parents": []}
]"#;

/// A test file with one request: who asks for what, and the expected answer.
fn test_file(who: &str, what: &str, decision: &str, reason: &str, errors: &str) -> String {
    format!(
        r#"{{"policies": "data/p.cedar", "entities": "data/e.json", "schema": "data/s.cedarschema",
            "shouldValidate": false, "requests": [{{
                "description": "{who} views {what}",
                "principal": {{"type": "User", "id": "{who}"}},
                "action": {{"type": "Action", "id": "view"}},
                "resource": {{"type": "Doc", "id": "{what}"}},
                "context": {{"limit": 5}},
                "decision": "{decision}", "reason": [{reason}], "errors": [{errors}]
            }}]}}"#
    )
}

/// The files of a suite of which every test passes.
fn good_files() -> Vec<(&'static str, String)> {
    vec![
        ("data/p.cedar", POLICIES.to_owned()),
        ("data/s.cedarschema", SCHEMA.to_owned()),
        ("data/e.json", ENTITIES.to_owned()),
        (
            "tests/ann.json",
            test_file("ann", "plan", "allow", r#""policy0", "policy2""#, ""),
        ),
        (
            "tests/bob.json",
            test_file("bob", "vault", "deny", r#""policy1""#, r#""policy2""#),
        ),
    ]
}

fn write_archive(name: &str, files: &[(&str, String)]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let encoder = GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast());
    let mut archive = tar::Builder::new(encoder);
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, format!("./{name}"), text.as_bytes())
            .unwrap();
    }
    archive
        .into_inner()
        .unwrap()
        .finish()
        .unwrap()
        .flush()
        .unwrap();
    path
}

fn write_folder(name: &str, files: &[(&str, String)]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for (name, text) in files {
        let file = path.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    path
}

/// How many answers each request gets. Queries list what is stored, which here is nothing that is
/// asked about.
fn modes() -> usize {
    let modes = engines().into_iter().flat_map(|engine| engine.modes());
    modes.filter(|mode| *mode != "queries").count()
}

fn run_all(suite: Suite, selection: &Selection) -> Report {
    let suites = [suite];
    let threads = NonZero::new(2).unwrap();
    run(&Plan::new(&suites, selection), &engines(), threads, &())
}

#[test]
fn an_archive_passes() {
    let suite = Suite::open(&write_archive("good.tar.gz", &good_files())).unwrap();
    assert_eq!(suite.tests(), ["tests/ann.json", "tests/bob.json"]);
    let report = run_all(suite, &Selection::default());
    assert!(report.passed(), "{:?}", report.mismatches);
    assert_eq!((report.tests, report.requests), (2, 2));
    assert_eq!(report.answers, 2 * modes());
}

#[test]
fn a_folder_passes_whole_and_in_parts() {
    let folder = write_folder("good", &good_files());
    for (part, tests) in [("", 2), ("tests", 2), ("tests/bob.json", 1)] {
        let report = run_all(
            Suite::open(&folder.join(part)).unwrap(),
            &Selection::default(),
        );
        assert!(report.passed(), "{:?}", report.mismatches);
        assert_eq!(report.tests, tests, "{part}");
    }
}

#[test]
fn selections() {
    let open = || Suite::open(&write_folder("selected", &good_files())).unwrap();
    let one = Selection {
        test: Some("tests/bob.json".to_owned()),
        ..Selection::default()
    };
    assert_eq!(run_all(open(), &one).tests, 1);
    let none = Selection {
        request: Some(9),
        ..Selection::default()
    };
    assert_eq!(run_all(open(), &none).requests, 0);
    let sample = Selection {
        sample: Some(1),
        ..Selection::default()
    };
    assert_eq!(run_all(open(), &sample).tests, 1);
}

#[test]
fn wrong_answers_are_reported() {
    let mut files = good_files();
    files.truncate(3);
    files.extend([
        (
            "a.json",
            test_file("ann", "plan", "deny", r#""policy0", "policy2""#, ""),
        ),
        (
            "b.json",
            test_file("ann", "plan", "allow", r#""policy0""#, ""),
        ),
        (
            "c.json",
            test_file("bob", "vault", "deny", r#""policy1""#, ""),
        ),
    ]);
    let report = run_all(
        Suite::open(&write_archive("wrong.tar.gz", &files)).unwrap(),
        &Selection::default(),
    );
    // Of two only the reasons or the failing policies are wrong, which a decision alone does not tell:
    // the modes `decide` and `batch`.
    assert_eq!(report.mismatches.len(), 3 * modes() - 2 * 2);
    for mismatch in &report.mismatches {
        assert!(
            matches!(mismatch.kind, MismatchKind::Answer { .. }),
            "{mismatch}"
        );
        let shown = mismatch.to_string();
        assert!(shown.contains("wrong.tar.gz --test"), "{shown}");
        assert!(shown.contains("--request 0"), "{shown}");
    }
}

#[test]
fn wrong_validation_is_reported() {
    let mut files = good_files();
    let wrong = files[3]
        .1
        .replace(r#""shouldValidate": false"#, r#""shouldValidate": true"#);
    files[3].1 = wrong;
    let report = run_all(
        Suite::open(&write_archive("validation.tar.gz", &files)).unwrap(),
        &Selection::default(),
    );
    let [mismatch] = report.mismatches.as_slice() else {
        panic!("{:?}", report.mismatches);
    };
    assert_eq!(mismatch.engine, "validator");
    assert!(mismatch.to_string().contains("strict validation passes"));
}

#[test]
fn a_policy_without_an_action_may_count_as_invalid() {
    let mut files = good_files();
    files[0].1 = r#"permit (principal is Doc, action, resource);"#.to_owned();
    files[3].1 = test_file("ann", "plan", "deny", "", "");
    files.truncate(4);
    let open = |name, files: &[_]| Suite::open(&write_archive(name, files)).unwrap();
    let report = run_all(open("no_action.tar.gz", &files), &Selection::default());
    assert!(report.passed(), "{:?}", report.mismatches);
    assert_eq!(report.older_validation, 1);
    files[3].1 = files[3].1.replace("false", "true");
    let report = run_all(open("no_action_2.tar.gz", &files), &Selection::default());
    assert!(report.passed(), "{:?}", report.mismatches);
    assert_eq!(report.older_validation, 0);
}

#[test]
fn a_request_outside_the_schema_is_refused_by_every_engine() {
    let mut files = good_files();
    files[3].1 = files[3].1.replace(r#""limit": 5"#, r#""limit": "five""#);
    let report = run_all(
        Suite::open(&write_archive("refused.tar.gz", &files)).unwrap(),
        &Selection::default(),
    );
    assert_eq!(report.mismatches.len(), modes());
    for mismatch in &report.mismatches {
        assert!(
            matches!(mismatch.kind, MismatchKind::Refused(_)),
            "{mismatch}"
        );
    }
}

#[test]
fn broken_tests_are_reported_and_the_rest_runs() {
    let mut files = good_files();
    files.push((
        "tests/c.json",
        r#"{"policies": "x", "requests": 1}"#.to_owned(),
    ));
    files.push((
        "tests/d.json",
        test_file("ann", "plan", "allow", "", "").replace("data/e.json", "data/none.json"),
    ));
    files.push(("data/broken.cedar", "permit (".to_owned()));
    files.push((
        "tests/e.json",
        test_file("ann", "plan", "allow", "", "").replace("data/p.cedar", "data/broken.cedar"),
    ));
    let report = run_all(
        Suite::open(&write_archive("broken.tar.gz", &files)).unwrap(),
        &Selection::default(),
    );
    assert_eq!(report.tests, 5);
    let shown: Vec<_> = report.mismatches.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    for (shown, what) in shown
        .iter()
        .zip(["format", "data/none.json", "data/broken.cedar"])
    {
        assert!(shown.contains(what), "{shown}");
    }
}

#[test]
fn what_is_no_suite_is_an_error() {
    let open = |name: &str| Suite::open(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    assert!(matches!(
        open("nothing here.json"),
        Err(SuiteError::Read { .. })
    ));
    assert!(matches!(
        open("nothing.tar.gz"),
        Err(SuiteError::Read { .. })
    ));
    fs::write(
        write_folder("not_an_archive", &[]).with_extension("tgz"),
        "text",
    )
    .unwrap();
    assert!(matches!(
        open("not_an_archive.tgz"),
        Err(SuiteError::Read { .. })
    ));
    write_folder("no_json", &[("a.json", "{".to_owned())]);
    assert!(matches!(open("no_json"), Err(SuiteError::NotJson { .. })));
    write_folder("no_test", &[("a.json", "[]".to_owned())]);
    assert!(matches!(open("no_test"), Err(SuiteError::Empty { .. })));
}
