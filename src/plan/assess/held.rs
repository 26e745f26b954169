//! Objects of which a person holds something, against Git.

use super::{Judge, Need, Status};
use crate::ledger::event::{DesiredObject, Verb};
use crate::model::{Ruling, Seq};
use crate::replay::{Hold, LiveObject, Owned};

/// How many fields are named in a sentence.
const FIELDS_NAMED_MAX: usize = 3;
/// How long a value may be in a sentence, in characters.
const VALUE_CHARS_MAX: usize = 60;

impl Judge<'_> {
    /// The holds that are laid over the manifest when it is written.
    pub(super) fn held(&self, object: &DesiredObject) -> Vec<Seq> {
        self.app.held(&object.key, self.world.now)
    }

    /// Whether the object was written with the holds that are in force.
    pub(super) fn is_as_held(&self, object: &DesiredObject, owned: &Owned) -> bool {
        let mut holds = self.app.holds_of(&object.key, self.world.now).map(|hold| hold.seq);
        owned.holds.iter().all(|seq| holds.next() == Some(*seq)) && holds.next().is_none()
    }

    /// Whether a person decided to hold something of it, and it was not written since.
    pub(super) fn is_hold_due(&self, object: &DesiredObject) -> bool {
        let written = self.world.owned.get(&object.key).map(|owned| owned.seq);
        let mut holds = self.app.holds_of(&object.key, self.world.now);
        self.permission.hold && holds.any(|hold| Some(hold.seq) > written)
    }

    /// Why the manifest is written again although Git did not change.
    pub(super) fn held_reason(&self, object: &DesiredObject) -> String {
        match said(self.app.holds_of(&object.key, self.world.now)) {
            Some(held) => held,
            None => "what was held is released: back to Git".to_owned(),
        }
    }

    /// What an object needs that a person keeps away.
    pub(super) fn need_of_absent(
        &self,
        object: &DesiredObject,
        owned: Option<&Owned>,
        live: Option<&LiveObject>,
    ) -> Need {
        let why = self.held_reason(object);
        let Some(live) = live else { return Need::Nothing(Status::OnHold, why) };
        if live.deleting {
            return super::being_deleted();
        }
        // What somebody made anew is theirs to delete.
        let ours = owned.is_some_and(|owned| owned.app == *self.name && owned.uid == live.uid);
        if let Ruling::Stays(what) | Ruling::Asks(what) = self.app.ruling(&live.protection) {
            return Need::Nothing(Status::OnHold, format!("{why}; left as it is: {what}"));
        }
        if ours {
            return Need::Write { verb: Verb::Prune, status: Status::OnHold, reason: why };
        }
        Need::Nothing(Status::OnHold, format!("{why}; somebody made it anew: it is left as it is"))
    }

    /// The same need of an object of which fields are held: it is not as Git says.
    pub(super) fn kept(&self, object: &DesiredObject, need: Need) -> Need {
        let held = said(self.app.holds_of(&object.key, self.world.now));
        match (need, held) {
            (Need::Nothing(Status::Synced, why), Some(held)) => {
                let why = if why.is_empty() { held } else { format!("{held}; {why}") };
                Need::Nothing(Status::OnHold, why)
            }
            (need, _) => need,
        }
    }
}

/// What is held, until when, why, and how it ends, in words; `None` when nothing is.
fn said<'a>(holds: impl Iterator<Item = &'a Hold>) -> Option<String> {
    let said: Vec<String> = holds.map(sentence).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

fn sentence(hold: &Hold) -> String {
    let mut named: Vec<String> = hold
        .fields()
        .iter()
        .take(FIELDS_NAMED_MAX)
        .map(|field| {
            let now = if field.now.is_empty() { "(absent)" } else { &field.now };
            let now: String = now.chars().take(VALUE_CHARS_MAX).collect();
            format!("{} {now}", field.path)
        })
        .collect();
    if let more @ 1.. = hold.fields().len().saturating_sub(named.len()) {
        named.push(format!("and {more} more"));
    }
    let what = if hold.is_of_absence() { "its absence".to_owned() } else { named.join(", ") };
    let until = hold.until.map_or_else(String::new, |until| format!(" until {until}"));
    let why = if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
    format!("KEPT by hold #{}{until}: {what}{why}", hold.seq.0)
}
