//! Questions about every resource of a type: one principal, one action, thousands of resources.

use crate::Error;
use crate::apps::{App, RequestText};

/// Which action on which resources to ask about in an application.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The world.
    pub world: &'static str,
    /// The action's uid.
    pub action: &'static str,
    /// The type of the resources.
    pub resources: &'static str,
}

/// One question for each application, with 10,000 resources.
pub const QUESTIONS: [Question; 3] = [
    Question {
        world: "tinytodo-10000",
        action: r#"Action::"GetList""#,
        resources: "List",
    },
    Question {
        world: "gdrive-10000",
        action: r#"Action::"read""#,
        resources: "Document",
    },
    Question {
        world: "github-10000",
        action: r#"Action::"read""#,
        resources: "Repository",
    },
];

impl Question {
    /// The first requests of the world that ask this about one resource each, of so many principals.
    ///
    /// # Errors
    /// When there is none.
    pub fn requests<'a>(&self, app: &'a App, most: usize) -> Result<Vec<&'a RequestText>, Error> {
        let asked = app.requests.iter().filter(|request| {
            request.action == self.action
                && request.principal.starts_with("User::")
                && request.resource.starts_with(self.resources)
        });
        let asked: Vec<_> = asked.take(most).collect();
        match asked.is_empty() {
            true => Err(format!("{}: nobody asks for {}", app.name, self.action).into()),
            false => Ok(asked),
        }
    }

    /// The uids of all resources.
    ///
    /// # Errors
    /// When the entities are not what Cedar's JSON format has.
    pub fn resources(&self, app: &App) -> Result<Vec<String>, Error> {
        let entities: Vec<serde_json::Value> = serde_json::from_str(&app.entities)?;
        let uids = entities.iter().filter_map(|entity| {
            let uid = entity.get("uid")?;
            let uid = uid.get("__entity").unwrap_or(uid);
            let (ty, id) = (uid.get("type")?.as_str()?, uid.get("id")?.as_str()?);
            (ty == self.resources).then(|| format!("{ty}::\"{id}\""))
        });
        let uids: Vec<String> = uids.collect();
        match uids.is_empty() {
            true => Err(format!("{}: there is no {}", app.name, self.resources).into()),
            false => Ok(uids),
        }
    }
}
