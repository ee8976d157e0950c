//! Many entities: a document store shared by many people, as large as asked.

use crate::random::Random;
use std::fmt::Write;

/// A schema and entities that fit it.
#[derive(Clone, Debug)]
pub struct Drive {
    /// In Cedar's JSON schema format.
    pub schema: String,
    /// In Cedar's JSON entity format, one entity a line, without the actions.
    pub entities: String,
}

/// As in the gdrive application of the Cedar paper, here with names of people.
const SCHEMA: &str = r#"{"": {
  "entityTypes": {
    "User": {"memberOfTypes": ["Group"], "shape": {"type": "Record", "attributes": {
      "name": {"type": "String"},
      "documentsAndFoldersWithViewAccess": {"type": "Entity", "name": "View"},
      "ownedDocuments": {"type": "Set", "element": {"type": "Entity", "name": "Document"}},
      "ownedFolders": {"type": "Set", "element": {"type": "Entity", "name": "Folder"}}
    }}},
    "Group": {},
    "Folder": {"memberOfTypes": ["Folder", "View"]},
    "Document": {"memberOfTypes": ["Folder", "View"], "shape": {"type": "Record", "attributes": {
      "isPublic": {"type": "Boolean"}
    }}},
    "View": {"memberOfTypes": ["View"]}
  },
  "actions": {
    "read": {"appliesTo": {"principalTypes": ["User"], "resourceTypes": ["Document"]}},
    "write": {"appliesTo": {"principalTypes": ["User"], "resourceTypes": ["Document"]}}
  }
}}"#;

/// How many kinds of entities there are, equally many of each.
const KINDS: usize = 6;

/// A drive of `count` entities: people, their groups, what each may view, documents and folders.
///
/// Users are in two or three groups; documents and folders in up to seven folders and views, folders
/// only in those with lower numbers. 290 bytes an entity.
pub fn drive(count: usize) -> Drive {
    let each = count.div_ceil(KINDS).max(1);
    let mut random = Random::new(count as u64 ^ 0xD41E);
    let mut entities = String::with_capacity(320 * count);
    for i in 0..count {
        entities.push_str(if i == 0 { "[\n" } else { ",\n" });
        entity(&mut entities, &mut random, each, i % KINDS, i / KINDS);
    }
    entities.push_str(if count == 0 { "[]\n" } else { "\n]\n" });
    Drive {
        schema: SCHEMA.to_owned(),
        entities,
    }
}

fn entity(text: &mut String, random: &mut Random, each: usize, kind: usize, i: usize) {
    let several = |random: &mut Random, most: usize, ty: &str, name: &str| {
        let n = random.below(most + 1);
        let uids = (0..n).map(|_| uid(ty, name, random.below(each)));
        uids.collect::<Vec<_>>().join(",")
    };
    let views = |random: &mut Random| {
        let user = uid("View", "user", random.below(each));
        let group = uid("View", "group", random.below(each));
        [user, group, several(random, 6, "View", "user")]
    };
    let (uid, attrs, parents) = match kind {
        0 => {
            let attrs = format!(
                r#""name":"User number {i}","documentsAndFoldersWithViewAccess":{},"ownedDocuments":[{}],"ownedFolders":[{}]"#,
                uid("View", "user", i),
                several(random, 5, "Document", "doc"),
                several(random, 5, "Folder", "folder"),
            );
            let groups = several(random, 5, "Group", "group");
            (uid("User", "user", i), attrs, vec![groups])
        }
        1 => (uid("View", "user", i), String::new(), Vec::new()),
        2 => {
            let above = several(random, 2, "View", "user");
            (uid("View", "group", i), String::new(), vec![above])
        }
        3 => (uid("Group", "group", i), String::new(), Vec::new()),
        4 => {
            let attrs = format!(r#""isPublic":{}"#, random.chance(10));
            let mut parents = views(random).to_vec();
            parents.push(several(random, 5, "Folder", "folder"));
            (uid("Document", "doc", i), attrs, parents)
        }
        _ => {
            let mut parents = views(random).to_vec();
            if i > 0 && random.chance(80) {
                parents.push(uid("Folder", "folder", random.below(i)));
            }
            (uid("Folder", "folder", i), String::new(), parents)
        }
    };
    let parents: Vec<_> = parents.into_iter().filter(|p| !p.is_empty()).collect();
    let parents = parents.join(",");
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        r#"{{"uid":{uid},"attrs":{{{attrs}}},"parents":[{parents}]}}"#
    );
}

fn uid(ty: &str, name: &str, i: usize) -> String {
    format!(r#"{{"__entity":{{"type":"{ty}","id":"{name}_{i}"}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy::{Entities, Schema};

    #[test]
    fn there_are_as_many_entities_as_asked_and_they_fit_the_schema() {
        for count in [0, 1, 1000] {
            let drive = drive(count);
            let schema = Schema::from_json_str(&drive.schema).unwrap();
            let entities = Entities::from_json_str(&drive.entities, Some(&schema)).unwrap();
            assert_eq!(entities.len(), count + 2);
        }
    }
}
