//! `save`, and `replay --saved`.

mod common;

use std::fs;

use common::{file, on_tinytodo, run, scratch, tinytodo};

#[test]
fn a_saved_engine_gives_the_recorded_answers() {
    let path = scratch("tinytodo.saved").display().to_string();
    let saved = run(&on_tinytodo("save", &["--output", &path]));
    assert_eq!(saved.code, Some(0), "{saved:?}");
    let (requests, expected) = (tinytodo("requests.jsonl"), tinytodo("expected.jsonl"));
    let expected = fs::read_to_string(expected).unwrap();
    for engine in ["native", "interpreter"] {
        for more in [&[][..], &["--trust-saved"]] {
            let mut args = vec!["replay", "--saved", &path, "--engine", engine];
            args.extend(["--requests", &requests]);
            args.extend(more);
            let run = run(&args);
            assert_eq!(run.code, Some(0), "{args:?}: {run:?}");
            assert_eq!(run.stdout, expected, "{args:?}");
        }
    }
    let args = [
        "replay",
        "--saved",
        &path,
        "--engine",
        "cedar",
        "--requests",
        &requests,
    ];
    run(&args).assert_fails_saying(&["cannot load saved engines"]);
}

#[test]
fn what_is_wrong_names_the_file() {
    let requests = tinytodo("requests.jsonl");
    let replay = |path: &str| run(&["replay", "--saved", path, "--requests", &requests]);
    replay("no-such-file").assert_fails_saying(&["no-such-file"]);
    let path = file("not.saved", "{}");
    replay(&path).assert_fails_saying(&["not.saved", "not a saved engine"]);
    let args = on_tinytodo("save", &["-o", "/no/such/folder/x"]);
    run(&args).assert_fails_saying(&["/no/such/folder/x"]);
}
