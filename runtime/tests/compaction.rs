//! Engines that change without end keep their size and their answers.

use cedar_policy::{Context, Entity, EntityUid, Request, RestrictedExpression};
use cedarjit::{Decision, Engine};

const POLICIES: &str = r#"
    permit (principal in Team::"even", action, resource) when { principal.tag like "*x" };
    forbid (principal, action, resource) when { ["banned", "gone"].contains(principal.name) };
"#;

fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

/// Memory that is in use, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[cfg(target_os = "linux")]
#[test]
fn churn_does_not_grow_an_engine() {
    let engine = Engine::builder().policies_str(POLICIES).build().unwrap();
    let request = |i: usize| {
        let principal = uid(&format!("User::\"{}\"", i % 50));
        let (action, resource) = (uid("Action::\"a\""), uid("Doc::\"d\""));
        Request::new(principal, action, resource, Context::empty(), None).unwrap()
    };
    let mut peaks = Vec::new();
    for round in 0..4 {
        let mut peak = 0;
        for i in 0..30_000 {
            let number = round * 30_000 + i;
            // A string that there never was, so that names become garbage as well.
            let tag = format!("{number:0200}{}", ["x", "y"][i / 2 % 2]);
            let name = if i % 7 == 0 {
                "banned".to_owned()
            } else {
                format!("n{number}")
            };
            let attrs = [
                ("tag".to_owned(), RestrictedExpression::new_string(tag)),
                ("name".to_owned(), RestrictedExpression::new_string(name)),
            ];
            let team = uid(["Team::\"even\"", "Team::\"odd\""][i % 2]);
            let user = uid(&format!("User::\"{}\"", i % 50));
            let entity = Entity::new(user, attrs.into(), [team].into()).unwrap();
            engine.update(|tx| tx.upsert_entity(entity)).unwrap();
            if i % 1000 == 0 {
                peak = peak.max(resident());
            }
            if i % 97 == 0 {
                let allowed = i % 2 == 0 && i / 2 % 2 == 0 && i % 7 != 0;
                let expected = if allowed {
                    Decision::Allow
                } else {
                    Decision::Deny
                };
                assert_eq!(
                    engine.is_authorized(&request(i)).decision(),
                    expected,
                    "{number}"
                );
            }
        }
        peaks.push(peak);
    }
    // Without compaction each round would add some 10 MB.
    let [_, second, _, last] = peaks[..] else {
        panic!("four rounds");
    };
    assert!(last < second + (8 << 20), "{peaks:?}");
}

/// Where most garbage is values, names are left behind no later for it.
#[test]
fn names_are_left_behind_among_many_values() {
    let engine = Engine::builder().policies_str(POLICIES).build().unwrap();
    let mut most = 0;
    for number in 0..40_000_i64 {
        let numbers = (0..100).map(|i| RestrictedExpression::new_long(1000 * number + i));
        let name = RestrictedExpression::new_string(format!("{number:0160}"));
        let attrs = [
            ("numbers".to_owned(), RestrictedExpression::new_set(numbers)),
            ("name".to_owned(), name),
        ];
        let entity = Entity::new(uid("User::\"ann\""), attrs.into(), [].into()).unwrap();
        engine.update(|tx| tx.upsert_entity(entity)).unwrap();
        if number % 1000 == 0 {
            most = most.max(engine.snapshot().memory().strings.used);
        }
    }
    // 40,000 names are 7 MB. Copying what is left pays when 4 MiB are garbage.
    assert!(most < 5 << 20, "{most}");
}
