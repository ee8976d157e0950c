//! Random histories of many clones of an interner, against plain maps, and what clones copy.

use super::strings::same_bytes;
use super::{Interner, LocalInterner};
use crate::arena::tests::Random;
use crate::ids::{EntityId, StrId};
use std::collections::HashMap;
use std::sync::Arc;

/// An interner, and what it should hold.
#[derive(Clone, Default)]
struct Checked {
    interner: Interner,
    strings: Vec<String>,
    uids: Vec<(String, String)>,
}

impl Checked {
    fn add_str(&mut self, s: &str) -> StrId {
        let id = self.interner.intern_str(s).unwrap();
        match self.strings.iter().position(|known| known == s) {
            Some(known) => assert_eq!(id.index(), known),
            None => {
                assert_eq!(id.index(), self.strings.len());
                self.strings.push(s.to_owned());
            }
        }
        id
    }

    fn add_entity(&mut self, ty: &str, eid: &str) {
        let uid = (ty.to_owned(), eid.to_owned());
        let id = self.interner.intern_entity(ty, eid).unwrap();
        match self.uids.iter().position(|known| *known == uid) {
            Some(known) => assert_eq!(id.index(), known),
            None => {
                assert_eq!(id.index(), self.uids.len());
                self.uids.push(uid);
                self.add_str(ty);
                self.add_str(eid);
            }
        }
    }

    /// Everything that it should hold is there, and nothing else of what could be.
    fn check(&self, world: &World) {
        let interner = &self.interner;
        assert_eq!(interner.str_count(), self.strings.len());
        assert_eq!(interner.entity_count(), self.uids.len());
        for (i, s) in self.strings.iter().enumerate() {
            assert_eq!(interner.str(StrId::from_index(i)), s);
        }
        let known: HashMap<&str, usize> =
            self.strings.iter().map(String::as_str).zip(0..).collect();
        for s in world.types.iter().chain(&world.eids) {
            let found = interner.find_str(s).map(StrId::index);
            assert_eq!(found, known.get(s.as_str()).copied(), "{s:?}");
        }
        let uids: HashMap<_, _> = self.uids.iter().cloned().zip(0..).collect();
        for ty in &world.types {
            for eid in &world.eids {
                let id = uids.get(&(ty.clone(), eid.clone())).copied();
                let id = id.map(EntityId::from_index);
                assert_eq!(interner.find_entity(ty, eid), id);
                let plain = !eid.contains(['"', '\n', 'é']);
                let text = format!("{ty}::\"{eid}\"");
                let by_text = interner.find_uid_text(&text).map(|(id, _)| id);
                assert_eq!(by_text, id.filter(|_| plain), "{text}");
                if let Some(id) = id {
                    let (ty_id, eid_id) = interner.entity(id).unwrap();
                    assert_eq!(interner.str(ty_id.name()), ty);
                    assert_eq!(interner.str(eid_id), eid);
                }
            }
        }
    }
}

/// What may be interned.
struct World {
    types: Vec<String>,
    eids: Vec<String>,
}

impl World {
    fn new() -> Self {
        let eid = |i: usize| match i % 10 {
            0 => format!("\"{i}\n"),
            1 => "é".repeat(i),
            2 => "x".repeat(i * 500),
            _ => i.to_string(),
        };
        Self {
            types: ["T", "N::U", "", "V"].map(String::from).to_vec(),
            eids: (0..150).map(eid).collect(),
        }
    }
}

#[test]
fn every_clone_knows_its_own_names_and_no_others() {
    let world = World::new();
    for seed in 0..10 {
        let mut random = Random::new(seed);
        let mut clones = vec![Checked::default()];
        for _ in 0..120 {
            let at = random.below(clones.len());
            match random.below(6) {
                0 | 1 if clones.len() < 8 => clones.push(clones[at].clone()),
                2 if clones.len() > 1 => drop(clones.swap_remove(at)),
                _ => {
                    for _ in 0..random.below(12) {
                        let ty = &world.types[random.below(world.types.len())];
                        let eid = &world.eids[random.below(world.eids.len())];
                        if random.below(3) == 0 {
                            clones[at].add_str(eid);
                        } else {
                            clones[at].add_entity(ty, eid);
                        }
                    }
                }
            }
        }
        clones.iter().for_each(|clone| clone.check(&world));
    }
}

/// Interns the `n`-th of many entities, and says how many bytes of text that copied.
fn add(interner: &mut Interner, n: usize) -> usize {
    let before = Arc::as_ptr(&interner.strings.last);
    let length = interner.strings.last.len();
    let chunks = interner.strings.chunks.len();
    interner
        .intern_entity("User", &format!("user{n:08}"))
        .unwrap();
    let same = before == Arc::as_ptr(&interner.strings.last);
    if same || interner.strings.chunks.len() != chunks {
        0
    } else {
        length
    }
}

#[test]
fn much_text_is_in_few_chunks() {
    let mut interner = Interner::new();
    for n in 0..200_000 {
        assert_eq!(add(&mut interner, n), 0);
    }
    assert_eq!(interner.strings.chunks.len(), 2);
    let memory = interner.memory();
    let text = 200_000 * 12 + 4;
    let entries = 8 * (2 * 200_001 + 2 * 200_000);
    assert!(memory.used >= text + entries, "{memory:?}");
    assert!(memory.used < text + entries + 200, "{memory:?}");
    assert!(memory.reserved > memory.used);
    assert!(memory.reserved < 3 * memory.used, "{memory:?}");
}

#[test]
fn small_changes_copy_little_and_leave_few_chunks() {
    let mut interner = Interner::new();
    for n in 0..100_000 {
        add(&mut interner, n);
    }
    let chunks = interner.strings.chunks.len();
    let mut most = 0;
    for n in 100_000..110_000 {
        let mut next = interner.clone();
        most = most.max(add(&mut next, n));
        interner = next;
    }
    assert!(most > 0 && most <= 16 << 10, "{most}");
    let added = interner.strings.chunks.len() - chunks;
    assert!(added <= 1 + 10_000 * 12 / (15 << 10), "{added}");
    assert_eq!(interner.str(StrId::from_index(100_000)), "user00099999");
    assert_eq!(interner.str(StrId::from_index(110_000)), "user00109999");
}

#[test]
fn text_longer_than_a_place_can_say_is_kept() {
    let mut checked = Checked::default();
    let texts: Vec<String> = [1 << 20, (1 << 22) - 2, (1 << 22) - 1, 5 << 20]
        .map(|length| "y".repeat(length))
        .to_vec();
    for text in &texts {
        checked.add_str("before");
        checked.add_str(text);
        checked.add_str(&format!("after {}", text.len()));
    }
    for (i, s) in checked.strings.iter().enumerate() {
        assert!(checked.interner.str(StrId::from_index(i)) == s);
        assert_eq!(checked.interner.find_str(s), Some(StrId::from_index(i)));
    }
}

#[test]
fn local_names_start_beyond_those_of_the_clone_that_a_request_has() {
    let mut interner = Interner::new();
    interner.intern_entity("T", "known").unwrap();
    let mut later = interner.clone();
    later.intern_entity("T", "late").unwrap();
    assert_eq!(interner.find_uid("T", "late"), None);
    let mut local = LocalInterner::default();
    let (id, ty) = local.add_entity(&interner, "T", "late").unwrap();
    assert!(id.is_local());
    assert_eq!(interner.str(ty.name()), "T");
    assert!(later.find_uid("T", "late").is_some());
}

#[test]
fn bytes_are_the_same_if_each_one_is() {
    let text: Vec<u8> = (0..80).collect();
    for len in 0..=40 {
        let (a, mut b) = (&text[..len], text[..len].to_vec());
        assert!(same_bytes(a, &b));
        assert!(!same_bytes(a, &text[..len + 1]));
        for place in 0..len {
            b[place] ^= 1;
            assert!(!same_bytes(a, &b), "{len}: {place}");
            b[place] ^= 1;
        }
    }
}
