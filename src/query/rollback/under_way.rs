//! Writes of the application that are under way while something is planned: what they end with is
//! known afterwards only, and what follows from it is said beforehand.

use serde::{Deserialize, Serialize};

use crate::ledger::event::{Verb, Write};
use crate::model::AppName;
use crate::replay::{App, World};

/// A write that is intended and has no outcome yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// What is done to the object.
    pub verb: String,
    /// The object.
    pub object: String,
    /// The event that intended it.
    pub intent: u64,
    /// What follows once it is done, in words; empty where nothing does.
    pub then: String,
}

impl UnderWay {
    /// The line that people read.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { verb, object, intent, then } = self;
        let then = if then.is_empty() { String::new() } else { format!(": {then}") };
        format!("{verb} {object} (#{intent}){then}")
    }
}

/// The writes of `name` that are under way in `world`, by object; `app` is the application as it
/// is wanted then.
pub(super) fn under_way(world: &World, name: &AppName, app: &App) -> Vec<UnderWay> {
    let intents = world.intents.iter().filter(|(_, intent)| intent.app == *name);
    let writes = intents.flat_map(|(seq, intent)| intent.writes.values().map(|open| (*seq, open)));
    let mut all: Vec<UnderWay> = writes
        .map(|(seq, open)| UnderWay {
            verb: open.write.verb.as_str().to_owned(),
            object: open.write.key.to_string(),
            intent: seq.0,
            then: then(app, &open.write).to_owned(),
        })
        .collect();
    all.sort_by(|one, other| (&one.object, one.intent).cmp(&(&other.object, other.intent)));
    all
}

/// What follows from a write once it is done.
fn then(app: &App, write: &Write) -> &'static str {
    let wanted = app.desired.as_ref().and_then(|desired| desired.objects.get(&write.key));
    match (write.verb == Verb::Prune, wanted) {
        (true, Some(_)) => "it is made again afterwards",
        (false, None) => "it is not wanted then, and is pruned afterwards if greffier made it",
        (false, Some(object)) if object.digest != write.digest => "it is written again afterwards",
        _ => "",
    }
}
