//! Bytes of saved engines, as somebody would change them who wants to do harm.
//!
//! An input is a list of edits of a file that an engine has saved; the checksums are then put right, so
//! that what follows is reached.

use super::fixed::{ENTITIES, POLICIES, SCHEMA, requests};
use crate::engines::TestRequest;
use cedarjit::{CompileMode, Engine, EngineBuilder, JitMode, Scratch};
use crc32fast::Hasher;
use std::sync::LazyLock;

/// The bytes of a file before its first section, and of a section before its body.
const HEAD: usize = 16;

/// The number of the section that says where things are found.
const INDEX: usize = 11;

/// Where in that section the checksums of the sections are that it belongs to, and of which.
const SUMS: [(usize, usize); 3] = [(8, 0), (12, 1), (16, 3)];

/// The bytes of an edit: a section, what to do there, where, and a number to do it with.
const EDIT: usize = 8;

const TEMPLATE: &str =
    r#"@id("t") permit (principal == ?principal, action, resource in ?resource);"#;

const LINKS: &str = r#"[{"template_id": "t", "link_id": "l",
    "args": {"?principal": "User::\"a\"", "?resource": "Doc::\"d\""}}]"#;

/// A file in its sections.
#[derive(Clone)]
struct File {
    head: Vec<u8>,
    sections: Vec<Vec<u8>>,
}

/// Files of an empty engine, of one without and one with a schema, and of one with a link.
static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let empty = || Engine::builder().jit(JitMode::Off);
    let full = || empty().policies_str(POLICIES).entities_json(ENTITIES);
    let linked = || empty().policies_str(TEMPLATE).links_json(LINKS);
    let engines = [
        empty(),
        full(),
        full().schema_str(SCHEMA),
        linked().entities_json(ENTITIES),
    ];
    engines.into_iter().map(saved).collect()
});

fn saved(builder: EngineBuilder) -> File {
    let mut file = Vec::new();
    let engine = builder.build();
    let engine = engine.unwrap_or_else(|error| panic!("what is fixed must load: {error}"));
    if let Err(error) = engine.save(&mut file) {
        panic!("what is fixed must be saved: {error}");
    }
    let (head, mut rest) = file.split_at(HEAD);
    let mut sections = Vec::new();
    while let Some((head, more)) = rest.split_first_chunk::<HEAD>() {
        let [.., length] = *head.as_chunks::<8>().0 else {
            break;
        };
        let (body, more) = more.split_at(u64::from_le_bytes(length) as usize);
        sections.push(body.to_vec());
        rest = more;
    }
    assert_eq!(sections.len(), INDEX + 1);
    File {
        head: head.to_vec(),
        sections,
    }
}

fn checksum(number: usize, body: &[u8]) -> [u8; 4] {
    let mut hasher = Hasher::new();
    hasher.update(&(number as u32).to_le_bytes());
    hasher.update(&(body.len() as u64).to_le_bytes());
    hasher.update(body);
    hasher.finalize().to_le_bytes()
}

impl File {
    /// Changes a section. What is beyond its end is taken from its beginning.
    fn edit(&mut self, &[section, what, low, high, value @ ..]: &[u8; EDIT]) {
        let section = usize::from(section) % self.sections.len();
        let Some(body) = self.sections.get_mut(section) else {
            return;
        };
        let at = usize::from(u16::from_le_bytes([low, high])) % (body.len() + 1);
        let number = u32::from_le_bytes(value) as usize;
        let word = at & !3;
        match what % 6 {
            0 => {
                for (byte, new) in body.iter_mut().skip(word).zip(value) {
                    *byte = new;
                }
            }
            1 => {
                if let Some(byte) = body.get_mut(at) {
                    *byte ^= value[0];
                }
            }
            2 => body.truncate(at),
            3 => drop(body.splice(word..word, value)),
            4 => drop(body.drain(word..body.len().min(word + number % 64))),
            _ => {
                let from = (number % (body.len() + 1)) & !3;
                let copied: Vec<u8> = body.iter().skip(from).take(4).copied().collect();
                for (byte, new) in body.iter_mut().skip(word).zip(copied) {
                    *byte = new;
                }
            }
        }
    }

    /// Has the index belong to the sections as they are now.
    fn fit_index(&mut self) {
        let sums = SUMS.map(|(place, section)| {
            let body = self.sections.get(section);
            (place, checksum(section, body.map_or(&[], |body| body)))
        });
        for (place, sum) in sums {
            let index = self.sections.get_mut(INDEX).into_iter().flatten();
            for (byte, new) in index.skip(place).zip(sum) {
                *byte = new;
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut file = self.head.clone();
        for (number, body) in self.sections.iter().enumerate() {
            file.extend((number as u32).to_le_bytes());
            file.extend(checksum(number, body));
            file.extend((body.len() as u64).to_le_bytes());
            file.extend(body);
        }
        file
    }
}

/// What an engine says to the fixed requests.
fn answers(engine: &Engine, asked: &[TestRequest]) -> Vec<String> {
    let (snapshot, mut scratch) = (engine.snapshot(), Scratch::default());
    let answer = |request: &TestRequest| {
        let TestRequest {
            principal,
            action,
            resource,
            context,
            ..
        } = request;
        match snapshot.bind_json(principal, action, resource, &context.json, false) {
            Ok(bound) => {
                let answer = bound.evaluate_unfused(&mut scratch);
                let decision = answer.decision();
                let mut reasons: Vec<_> = answer.reasons().map(str::to_owned).collect();
                let errors = answer.errors();
                let mut errors: Vec<_> =
                    (errors.map(|(id, error)| format!("{id}: {error}"))).collect();
                reasons.sort();
                errors.sort();
                format!("{decision:?} {reasons:?} {errors:?}")
            }
            Err(error) => error.to_string(),
        }
    };
    asked.iter().map(answer).collect()
}

/// Changes what is in what, so that the hierarchy and the index are gone through and added to.
fn change(engine: &Engine) {
    let uid = |text: &str| text.parse().ok();
    let Some((team, new)) = uid("Team::\"t\"").zip(uid("Team::\"new\"")) else {
        return;
    };
    // Whether what results can be, does not matter.
    let _ = engine.update(|tx| {
        tx.remove_entity(&team)?;
        let new = cedar_policy::Entity::new_no_attrs(new, [team.clone()].into());
        tx.upsert_entity(new)
    });
}

pub(super) fn run(data: &[u8]) {
    let Some((&[mode, base], edits)) = data.split_first_chunk() else {
        return;
    };
    let builder = || Engine::builder().jit(JitMode::Off);
    if mode & 1 != 0 {
        // Any bytes, without anything put right.
        let _ = (builder().load(edits), builder().load_trusted(edits));
        return;
    }
    let Some(mut file) = FILES.get(usize::from(base) % FILES.len()).cloned() else {
        return;
    };
    let (edits, _) = edits.as_chunks::<EDIT>();
    edits.iter().take(64).for_each(|edit| file.edit(edit));
    let of_index = |edit: &[u8; EDIT]| usize::from(edit[0]) % file.sections.len() == INDEX;
    // Where it is not, a trusted file is as good as any other that is right.
    let believed = mode & 2 != 0 || edits.iter().any(of_index);
    if mode & 2 != 0 {
        file.fit_index();
    }
    let (bytes, asked) = (file.bytes(), requests(None));
    let trusted = builder().load_trusted(&bytes);
    if let Ok(engine) = builder().load(&bytes) {
        let told = answers(&engine, &asked);
        if !believed {
            let trusted = trusted.as_ref();
            let trusted = trusted.unwrap_or_else(|error| panic!("not loaded if trusted: {error}"));
            assert_eq!(answers(trusted, &asked), told);
        }
        if mode & 4 != 0 {
            let native = Engine::builder().compile(CompileMode::Wait).load(&bytes);
            let native = native.unwrap_or_else(|error| panic!("not loaded twice: {error}"));
            assert_eq!(answers(&native, &asked), told);
        }
        change(&engine);
        answers(&engine, &asked);
    }
    if let Ok(trusted) = trusted {
        answers(&trusted, &asked);
        change(&trusted);
        answers(&trusted, &asked);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..FILES.len() as u8).map(|base| vec![4, base]).collect();
    let edits = (0..=INDEX as u8).map(|section| {
        let (mode, what) = (2 * (section % 4), section % 6);
        vec![mode, 1 + section % 3, section, what, 24, 0, 1, 0, 0, 0]
    });
    seeds.extend(edits);
    let whole = FILES.iter().map(|file| [&[1, 0], &*file.bytes()].concat());
    seeds.extend(whole);
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fuzzer would start nowhere, else.
    #[test]
    fn files_are_loaded_as_they_were_saved() {
        for (file, policies) in FILES.iter().zip([0, 15, 15, 1]) {
            let engine = Engine::load_trusted(&file.bytes()).expect("a saved engine");
            assert_eq!(engine.stats().policies, policies);
        }
    }

    /// Nor would it, if every edit was refused.
    #[test]
    fn edits_are_seen_by_who_loads_the_file() {
        let mut file = FILES[1].clone();
        let before = file.bytes();
        // The last letter of the last string.
        let at = (file.sections[0].len() - 1) as u16;
        let [low, high] = at.to_le_bytes();
        file.edit(&[0, 1, low, high, 1, 0, 0, 0]);
        assert_ne!(file.bytes(), before);
        file.fit_index();
        assert!(Engine::load_trusted(&file.bytes()).is_ok());
    }
}
