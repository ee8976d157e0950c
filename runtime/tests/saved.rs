//! Engines that are saved and loaded again, and bytes that no engine saved.

use cedar_policy::{EntityUid, Request};
use cedarjit::{CompileMode, Engine, EngineBuilder, JitMode, SaveError, SavedError};
use cedarjit_ir::abi::bloom_bit;
use cedarjit_ir::ids::EntityId;
use serde_json::{Value, json};

const SCHEMA: &str = r#"
entity Team in [Team];
entity User in [Team] {
    age: Long, langs: Set<String>, at: { ip: ipaddr, since: datetime }, boss?: User,
    rooms: Set<{ n: Long, doors: Set<Long> }>, share: decimal, on: Bool, pause: duration,
} tags Set<Team>;
entity Doc in [Team] { owner: User };
action view, edit appliesTo { principal: User, resource: Doc, context: { n: Long } };
"#;

const POLICIES: &str = r#"
@id("core")
permit (principal in Team::"core", action == Action::"view", resource)
    when { principal.age > 40 && principal.langs.contains("de") };
@id("room")
permit (principal, action, resource)
    when { principal.rooms.contains({n: 1, doors: [1, 2, 3, 4, 5, 6, 7, 8, 9]}) };
@id("own")
permit (principal, action, resource == Doc::"plan")
    when { principal has boss && resource.owner == principal.boss };
@id("far")
forbid (principal, action, resource)
    when { principal.at.ip.isInRange(ip("10.0.0.0/8")) && context.n > 5 };
@id("tag")
forbid (principal, action, resource)
    when { principal.hasTag("x") && Team::"core" in principal.getTag("x") };
@id("fails")
permit (principal, action, resource) when { principal.age * 9223372036854775807 > context.n };
@id("link")
permit (principal == ?principal, action, resource in ?resource);
"#;

const LINKS: &str = r#"[
{"template_id": "link", "link_id": "l1", "args": {"?principal": "User::\"bob\"", "?resource": "Team::\"core\""}},
{"template_id": "link", "link_id": "l0", "args": {"?principal": "User::\"ann\"", "?resource": "Doc::\"plan\""}}
]"#;

fn entities() -> String {
    let uid = |ty: &str, id: &str| json!({"type": ty, "id": id});
    let extension = |name: &str, arg: &str| json!({"__extn": {"fn": name, "arg": arg}});
    let user = |id: &str, age: i64, parents: &[&str], ip: &str| {
        let team = |id: &&str| uid("Team", id);
        json!({
            "uid": uid("User", id),
            "attrs": {
                "age": age, "langs": ["de", "en", id], "on": age > 40,
                "at": {"ip": extension("ip", ip), "since": extension("datetime", "2024-05-01")},
                "boss": {"__entity": uid("User", "ann")},
                "rooms": [{"n": age % 2, "doors": [1, 2, 3, 4, 5, 6, 7, 8, 9]}, {"n": 7, "doors": []}],
                "share": extension("decimal", "0.25"), "pause": extension("duration", "1h"),
            },
            "tags": {"x": [{"__entity": uid("Team", "all")}], "y z": []},
            "parents": parents.iter().map(team).collect::<Vec<_>>(),
        })
    };
    let mut all = vec![
        user("ann", 41, &["core", "it"], "10.1.2.3"),
        user("bob", 30, &["it"], "::1/64"),
        user("eve", 77, &["core", "it"], "192.168.0.1/24"),
        json!({"uid": uid("Doc", "plan"), "attrs": {"owner": {"__entity": uid("User", "ann")}},
            "parents": [uid("Team", "core")]}),
        json!({"uid": uid("Team", "core"), "attrs": {}, "parents": [uid("Team", "all")]}),
        json!({"uid": uid("Team", "it"), "attrs": {}, "parents": [uid("Team", "all")]}),
    ];
    // More ancestors than a bucket holds.
    for i in 0..12 {
        let parent = format!("t{}", i + 1);
        all.push(json!({"uid": uid("Team", &format!("t{i}")), "attrs": {},
            "parents": [uid("Team", &parent)]}));
    }
    json!(all).to_string()
}

fn builder() -> EngineBuilder {
    Engine::builder()
        .schema_str(SCHEMA)
        .policies_str(POLICIES)
        .links_json(LINKS)
        .entities_json(entities())
}

fn file(engine: &Engine) -> Vec<u8> {
    let mut file = Vec::new();
    engine.save(&mut file).unwrap();
    file
}

fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

/// What an engine says to a few requests.
fn answers(engine: &Engine) -> Vec<String> {
    let users = ["ann", "bob", "eve", "nobody", "é"];
    let mut answers = Vec::new();
    let snapshot = engine.snapshot();
    for user in users {
        for (action, doc) in [("view", "plan"), ("edit", "plan"), ("view", "none")] {
            for n in [0, 9] {
                let uids = [
                    format!("User::\"{user}\""),
                    format!("Action::\"{action}\""),
                    format!("Doc::\"{doc}\""),
                ];
                let bound =
                    snapshot.bind_json(&uids[0], &uids[1], &uids[2], &json!({ "n": n }), false);
                let Ok(bound) = bound else {
                    answers.push(format!("{bound:?}"));
                    continue;
                };
                let request = Request::new(
                    uid(&uids[0]),
                    uid(&uids[1]),
                    uid(&uids[2]),
                    cedar_policy::Context::from_json_value(json!({ "n": n }), None).unwrap(),
                    None,
                )
                .unwrap();
                let response = engine.is_authorized(&request);
                let response = cedar_policy::Response::from(&response);
                let mut reasons: Vec<_> = response.diagnostics().reason().collect();
                reasons.sort();
                let mut errors: Vec<_> =
                    (response.diagnostics().errors().map(ToString::to_string)).collect();
                errors.sort();
                let interpreted = bound
                    .interpret(&mut cedarjit::Scratch::default())
                    .decision();
                answers.push(format!(
                    "{:?} {reasons:?} {errors:?} {interpreted:?}",
                    response.decision()
                ));
            }
        }
    }
    answers
}

#[test]
fn a_loaded_engine_answers_and_is_saved_as_the_one_before() {
    let engine = builder().build().unwrap();
    let bytes = file(&engine);
    let loaded = Engine::load(&bytes).unwrap();
    assert_eq!(answers(&loaded), answers(&engine));
    assert_eq!(loaded.stats().entities, engine.stats().entities);
    let sections = |file: &[u8]| {
        let mut bodies = bodies(file);
        // Where things are found, which another seed says otherwise.
        bodies.truncate(INDEX);
        bodies
    };
    let same = |engine: &Engine| sections(&file(engine)) == sections(&bytes);
    assert!(same(&loaded), "the same state has the same bytes");
    assert!(same(&builder().build().unwrap()), "made anew too");
    let trusted = Engine::load_trusted(&bytes).unwrap();
    assert_eq!(answers(&trusted), answers(&engine));
    assert!(file(&trusted) == bytes, "of a seed that is the file's");
    let interpreted = Engine::builder().jit(JitMode::Off).load(&bytes).unwrap();
    assert_eq!(answers(&interpreted), answers(&engine));
}

/// Takes a team away that others are in, and adds one.
fn change(engine: &Engine) -> Result<(), cedarjit::UpdateError> {
    engine.update(|tx| {
        tx.remove_entity(&uid("Team::\"core\""))?;
        let above = [uid("Team::\"all\"")].into();
        tx.upsert_entity(cedar_policy::Entity::new_no_attrs(
            uid("Team::\"new\""),
            above,
        ))
    })
}

#[test]
fn a_loaded_engine_can_be_changed() {
    let engines = [builder().build().unwrap(), {
        let engine = builder().build().unwrap();
        Engine::load(&file(&engine)).unwrap()
    }];
    for engine in &engines {
        change(engine).unwrap();
        engine
            .remove_policy(cedar_policy::PolicyId::new("l1"))
            .unwrap();
        engine
            .add_policy(
                cedar_policy::Policy::parse(None, "forbid(principal, action, resource);").unwrap(),
            )
            .unwrap();
    }
    let [built, loaded] = engines;
    assert_eq!(answers(&built), answers(&loaded));
    let again = Engine::load(&file(&loaded)).unwrap();
    assert_eq!(answers(&again), answers(&built));
}

#[test]
fn what_was_not_built_of_text_is_saved_or_refused_clearly() {
    let schema: cedar_policy::Schema = SCHEMA.parse().unwrap();
    let engine = Engine::builder().schema(&schema).build().unwrap();
    let refused = engine.save(std::io::sink()).unwrap_err();
    assert!(matches!(refused, SaveError::SchemaValue));
    assert!(refused.to_string().contains("schema_str"));
    let empty = file(&Engine::builder().build().unwrap());
    assert_eq!(Engine::load(&empty).unwrap().stats().entities, 0);
    let refused = builder().load(&empty).unwrap_err();
    assert!(matches!(refused, SavedError::Sources));
    // A policy that only its JSON form says: its annotations and id are kept as well.
    let json = json!({"staticPolicies": {"a\u{0}b": {
        "effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"},
        "resource": {"op": "All"}, "annotations": {"x": "y"},
        "conditions": [{"kind": "when", "body": {"ip": [{"Value": "1"}, {"Value": "2"}]}}],
    }}, "templates": {}, "templateLinks": []});
    if let Ok(engine) = Engine::builder().policies_json(json.to_string()).build() {
        let loaded = Engine::load(&file(&engine)).unwrap();
        assert_eq!(answers(&loaded), answers(&engine));
    }
}

#[test]
fn damaged_files_are_refused() {
    let bytes = file(&builder().build().unwrap());
    let load = |bytes: &[u8]| Engine::builder().jit(JitMode::Off).load(bytes);
    for len in 0..bytes.len() {
        assert!(load(&bytes[..len]).is_err(), "cut to {len}");
    }
    let mut changed = bytes.clone();
    for (at, byte) in bytes.iter().enumerate() {
        changed[at] ^= 1 << (at % 8);
        assert!(load(&changed).is_err(), "byte {at}");
        changed[at] = *byte;
    }
    changed.push(0);
    let trailing = load(&changed).unwrap_err();
    assert!(matches!(trailing, SavedError::Trailing { bytes: 1 }));
    changed.pop();
    changed[8] = 1;
    let version = load(&changed).unwrap_err();
    assert!(matches!(version, SavedError::Version { found: 1 }));
    assert!(matches!(load(b"[]"), Err(SavedError::NotSaved)));
    assert!(matches!(load(b""), Err(SavedError::NotSaved)));
    let cut = load(&bytes[..bytes.len() - 1]).unwrap_err();
    assert!(matches!(cut, SavedError::CutOff { part: "index" }));
}

/// A small generator of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((u128::from(self.0 >> 11) * n as u128) >> 53) as usize
    }
}

/// The bodies of a file's sections.
fn bodies(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &file[16..];
    let mut bodies = Vec::new();
    while let Some((head, more)) = rest.split_at_checked(16) {
        let len = u64::from_le_bytes(head[8..].try_into().unwrap()) as usize;
        bodies.push(more[..len].to_vec());
        rest = &more[len..];
    }
    bodies
}

/// The file that has these sections, with checksums that are right.
fn joined(head: &[u8], bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut file = head[..16].to_vec();
    for (number, body) in (0_u32..).zip(bodies) {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&number.to_le_bytes());
        hasher.update(&(body.len() as u64).to_le_bytes());
        hasher.update(body);
        file.extend(number.to_le_bytes());
        file.extend(hasher.finalize().to_le_bytes());
        file.extend((body.len() as u64).to_le_bytes());
        file.extend(body);
    }
    file
}

/// The number of the section that says where things are found.
const INDEX: usize = 11;

/// Changes a section as somebody would who wants to do harm.
fn spoil(body: &mut Vec<u8>, numbers: &mut Numbers) {
    if body.is_empty() {
        body.push(numbers.below(256) as u8);
        return;
    }
    let at = numbers.below(body.len());
    let word = (at & !3).min(body.len().saturating_sub(4));
    let mut set = |value: u32| {
        for (byte, new) in body.iter_mut().skip(word).zip(value.to_le_bytes()) {
            *byte = new;
        }
    };
    match numbers.below(8) {
        0 => body[at] ^= 1 << numbers.below(8),
        1 => body[at] = numbers.below(256) as u8,
        2 => set(numbers.below(64) as u32),
        3 => set(u32::MAX - numbers.below(3) as u32),
        4 => set(1 << numbers.below(32)),
        5 => body.truncate(at),
        6 => {
            let to = (word + 4 * (1 + numbers.below(4))).min(body.len());
            body.drain(word..to);
        }
        _ => {
            let from = 4 * numbers.below(body.len().div_ceil(4));
            let part: Vec<u8> = body.iter().skip(from).take(4).copied().collect();
            for (byte, new) in body.iter_mut().skip(word).zip(part) {
                *byte = new;
            }
        }
    }
}

/// Whatever a file says, loading and asking neither panic nor read what is not there.
#[test]
fn hostile_files_do_no_harm() {
    let original = file(&builder().build().unwrap());
    let sections = bodies(&original);
    assert_eq!(joined(&original, &sections), original);
    let most = if cfg!(debug_assertions) { 2_000 } else { 6_000 };
    let rounds = std::env::var("CEDARJIT_HOSTILE").map_or(most, |n| n.parse().unwrap());
    let mut numbers = Numbers(7);
    let (mut loaded, mut trusting, mut refused) = (0, [0; 2], vec![0; sections.len()]);
    for round in 0..rounds {
        let mut spoiled = sections.clone();
        let section = round % sections.len();
        for _ in 0..1 + numbers.below(2) {
            spoil(&mut spoiled[section], &mut numbers);
        }
        let bytes = joined(&original, &spoiled);
        let builder = || Engine::builder().jit(JitMode::Off);
        let trusted = builder().load_trusted(&bytes);
        let checked = builder().load(&bytes);
        refused[section] += usize::from(checked.is_err() || trusted.is_err());
        let engine = match (checked, &trusted) {
            (Ok(engine), _) if section != INDEX => engine,
            // Where ancestors may be anything, and names lead anywhere.
            (_, Ok(trusted)) => {
                trusting[usize::from(section == INDEX)] += 1;
                answers(trusted);
                // Whether what results can be, does not matter.
                let _ = change(trusted);
                answers(trusted);
                continue;
            }
            _ => continue,
        };
        loaded += 1;
        assert_eq!(answers(&engine), answers(&trusted.unwrap()));
        // Code takes milliseconds.
        if loaded % 4 == 0 {
            let compiled = Engine::builder().compile(CompileMode::Wait).load(&bytes);
            let compiled = compiled.unwrap();
            assert_eq!(answers(&compiled), answers(&engine), "round {round}");
            assert!(!file(&compiled).is_empty());
        }
    }
    println!("{loaded} of {rounds} were loaded, refused by section: {refused:?}");
    println!("loaded where ancestors or the index are trusted: {trusting:?}");
    assert!(loaded > rounds / 100, "{loaded}");
    assert!(trusting.iter().all(|n| *n > rounds / 100), "{trusting:?}");
    assert!(refused.iter().all(|n| *n > 0), "{refused:?}");
}

/// A program that hashes otherwise cannot use the tables of a file, and makes its own.
#[test]
fn tables_that_hash_otherwise_are_made_anew() {
    let engine = builder().build().unwrap();
    let original = file(&engine);
    let mut sections = bodies(&original);
    sections[INDEX].truncate(8 + 3 * 4);
    let refused = Engine::load_trusted(&joined(&original, &sections)).unwrap_err();
    assert!(matches!(
        refused,
        SavedError::Invalid {
            part: "strings or uids",
            ..
        }
    ));
    // The function, and the checksums of three sections.
    for at in [0, 8, 12, 16] {
        let mut sections = sections.clone();
        sections[INDEX][at] ^= 1;
        let loaded = Engine::load_trusted(&joined(&original, &sections)).unwrap();
        assert_eq!(answers(&loaded), answers(&engine));
    }
}

/// Documents in groups that are in one more group, the last one in two of the former.
fn grouped(documents: usize) -> Engine {
    let uid = |ty: &str, id: &str| json!({"type": ty, "id": id});
    let entity = |uid: &Value, parents: &[Value]| -> Value {
        json!({"uid": uid, "attrs": {}, "parents": parents})
    };
    let (all, group) = (uid("Team", "all"), |n: usize| uid("Team", &n.to_string()));
    let mut entities = vec![entity(&all, &[])];
    entities.extend((0..7).map(|n| entity(&group(n), std::slice::from_ref(&all))));
    entities.extend((0..documents).map(|n| {
        let parents = [group(n % 7), group(1)];
        let parents = &parents[..if n + 1 == documents { 2 } else { 1 }];
        entity(&uid("Doc", &n.to_string()), parents)
    }));
    let builder = Engine::builder().jit(JitMode::Off);
    let entities = serde_json::to_string(&entities).unwrap();
    builder.entities_json(entities).build().unwrap()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The ids in a bucket of a file; the first belongs to no row, and each other here to the row before.
fn bucket(buckets: &[u8], row: usize) -> Vec<u32> {
    let ids = (0..8).map(|i| number(buckets, 32 * (row + 1) + 4 * i));
    ids.filter(|id| *id != u32::MAX).collect()
}

/// What a file says of who is in whom is checked, by another thread if it says much.
#[test]
fn hierarchies_that_are_not_closed_are_refused() {
    const ROWS: usize = 4;
    const BUCKETS: usize = 5;
    const LISTS: usize = 6;
    const ENTITIES: usize = 7;
    for documents in [10, 20_000] {
        let original = file(&grouped(documents));
        let sections = bodies(&original);
        // What loading it, and loading it as trusted, says.
        let both = |changes: &[(usize, &[u8])]| {
            let mut sections = sections.clone();
            for (section, changed) in changes {
                sections[*section] = changed.to_vec();
            }
            let file = joined(&original, &sections);
            [Engine::load(&file), Engine::load_trusted(&file)]
                .map(|engine| engine.map_or_else(|error| error.to_string(), |_| String::new()))
        };
        let load = |changes: &[(usize, &[u8])]| both(changes)[0].clone();
        let known = (documents + 8) as u32;
        let rows = 0..sections[ROWS].len() / 20;
        assert_eq!(sections[BUCKETS].len(), 32 * (rows.len() + 1));
        let of = |row: usize| bucket(&sections[BUCKETS], row);
        let [group, document] =
            [1, 2].map(|count| rows.clone().find(|row| of(*row).len() == count).unwrap());
        let all = of(group)[0];
        let parent = number(&sections[ROWS], 20 * document + 8) & !(1 << 31);
        assert!(of(document).contains(&all) && of(document).contains(&parent));

        // The document in these, with the Bloom word that belongs to them.
        let open = "ancestors are not the parents and what these are in";
        let within = |ids: &[u32]| {
            let (mut rows, mut buckets) = (sections[ROWS].clone(), sections[BUCKETS].clone());
            let bits = ids.iter().fold(0, |all, id| all | bloom_bit(EntityId(*id)));
            rows[20 * document + 12..][..8].copy_from_slice(&bits.to_le_bytes());
            let places = ids.iter().copied().chain([u32::MAX; 8]).take(8);
            let places: Vec<u8> = places.flat_map(u32::to_le_bytes).collect();
            buckets[32 * (document + 1)..][..32].copy_from_slice(&places);
            both(&[(ROWS, &rows), (BUCKETS, &buckets)])
        };
        assert_eq!(within(&[parent, all]), ["", ""]);
        for wrong in [
            &[parent, known - 1][..],
            &[parent, all, known - 1],
            &[parent, all, all],
            &[parent],
            &[],
        ] {
            let [load, trusting] = within(wrong);
            assert!(load.contains(open), "{wrong:?}");
            assert_eq!(trusting, "", "{wrong:?}");
        }
        assert!(within(&[parent, all, known]).map(|error| error.contains(open)) == [true; 2]);
        let mut bloom = sections[ROWS].clone();
        bloom[20 * document + 12..][..8].fill(u8::MAX);
        assert!(load(&[(ROWS, &bloom)]).contains(open));

        // The group that the groups are in gets the row of one of them.
        let mut changed = sections[ENTITIES].clone();
        let row = 8 + 12 * all as usize + 4;
        assert_eq!(number(&changed, row), 0);
        changed[row] = group as u8 + 1;
        assert!(load(&[(ENTITIES, &changed)]).contains("an entity is in itself"));

        // In a row its first bucket, how ancestors are found there, and the key of its parents.
        let change = |at: usize, number: u32| {
            let mut rows = sections[ROWS].clone();
            rows[20 * document + at..][..4].copy_from_slice(&number.to_le_bytes());
            load(&[(ROWS, &rows)])
        };
        let apart = "do not follow one another";
        assert!(change(8, 1 << 31 | known).contains("not ascending"));
        for (at, number) in [
            (0, 0),
            (0, 1 << 30),
            (4, 5),
            (4, 33),
            (4, 31),
            (8, 0),
            (8, 1),
            (8, 7),
        ] {
            assert!(change(at, number).contains(apart), "{number} at {at}");
        }
        // The only list: one word for none, and of the last document how many, and its two parents.
        let lists = &sections[LISTS];
        assert_eq!((lists.len(), number(lists, 8)), (24, 2));
        let mut changed = lists.clone();
        changed[12..20].rotate_left(4);
        assert!(load(&[(LISTS, &changed)]).contains("not ascending"));
        let mut changed = lists.clone();
        changed[8] = 4;
        assert!(load(&[(LISTS, &changed)]).contains(apart));
        let changed = [lists.as_slice(), &[0; 8]].concat();
        assert!(load(&[(LISTS, &changed)]).contains(apart));
        let changed = [sections[BUCKETS].as_slice(), &[u8::MAX; 32]].concat();
        assert!(load(&[(BUCKETS, &changed)]).contains(apart));
    }
}
