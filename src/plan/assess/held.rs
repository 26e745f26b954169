//! Objects of which a person holds something, against Git.

use super::{Judge, Need, Status};
use crate::ledger::event::{BackTo, DesiredObject, DriftKind, HoldOf, Verb};
use crate::model::{ObjectKey, Ruling, Seq};
use crate::replay::{Drift, Hold, LiveObject, Owned};

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

    /// Whether a person decided to hold something of it, and it was not written since. What Git
    /// changed meanwhile is not written because of that.
    pub(super) fn is_hold_due(&self, object: &DesiredObject) -> bool {
        let known = self.world.owned.get(&object.key);
        let owned = known.filter(|owned| owned.app == *self.name);
        let mut holds = self.app.holds_of(&object.key, self.world.now);
        let due = |hold: &Hold| match owned {
            // Whoever had the object before may have written it with the hold already.
            None => hold.is_of_object() && known.is_none_or(|o| !o.holds.contains(&hold.seq)),
            Some(owned) => {
                let followed = owned.applied == object.digest;
                hold.seq > owned.seq && (followed || !matches!(hold.of, HoldOf::Fields(_)))
            }
        };
        self.permission.hold && holds.any(due)
    }

    /// Whether the hold that is due permits the write by itself.
    pub(super) fn permits_hold(&self, object: &DesiredObject, verb: Verb) -> bool {
        let as_it_was = self.app.is_held_as_it_was(&object.key);
        (as_it_was || matches!(verb, Verb::Update | Verb::Prune)) && self.is_hold_due(object)
    }

    /// What an object needs that was written with other holds than those in force: to be written
    /// anew, where that puts nothing else back than what may be put back.
    pub(super) fn need_of_held(
        &self,
        object: &DesiredObject,
        owned: &Owned,
        live: &LiveObject,
    ) -> Option<Need> {
        let heals = self.policy_permits(object, Verb::Heal, Status::Drifted);
        if self.is_as_held(object, owned) || !(heals || self.differs_as_held(object, owned, live)) {
            return None;
        }
        let reason = self.held_reason(object);
        Some(self.need_of_unapplied(object, live, Verb::Update, &reason))
    }

    /// Whether the object is known to be as it was applied, apart from what is held.
    fn differs_as_held(&self, object: &DesiredObject, owned: &Owned, live: &LiveObject) -> bool {
        if live.uid != owned.uid {
            return false;
        }
        match self.known_drift(object, live) {
            _ if live.object == owned.object => true,
            None => false,
            Some(None) => true,
            Some(Some(drift)) => {
                drift.kind != DriftKind::Drift || self.changed_beside(object, drift).is_empty()
            }
        }
    }

    /// The fields that somebody changed and that are not held.
    fn changed_beside<'d>(&self, object: &DesiredObject, drift: &'d Drift) -> Vec<&'d str> {
        let holds: Vec<&Hold> = self.app.holds_of(&object.key, self.world.now).collect();
        let held =
            |path: &str| holds.iter().any(|hold| hold.fields().iter().any(|f| f.path == path));
        drift.fields.iter().map(|field| field.path.as_str()).filter(|path| !held(path)).collect()
    }

    /// Why the manifest is written again although Git did not change.
    pub(super) fn held_reason(&self, object: &DesiredObject) -> String {
        match said(self.app.holds_of(&object.key, self.world.now)) {
            Some(held) => held,
            None => "what was held is released: back to Git".to_owned(),
        }
    }

    /// Why an object is written: what a person holds it as, or else `plain`.
    pub(super) fn because(&self, object: &DesiredObject, plain: &str) -> String {
        match self.app.is_held_as_it_was(&object.key) {
            true => self.held_reason(object),
            false => plain.to_owned(),
        }
    }

    /// Why an object is made that is not in the cluster.
    pub(super) fn missing(&self) -> &'static str {
        match self.app.is_held() {
            true => "it was there then, and is not in the cluster",
            false => "it is in Git and not in the cluster",
        }
    }

    /// What is going on with an object, after what a person holds of it: a hold is told in every
    /// view, also in the moments in which nothing else can be said.
    pub(super) fn beside_holds(&self, key: &ObjectKey, what: &str) -> String {
        match said(self.app.holds_of(key, self.world.now)) {
            Some(held) => format!("{held}; {what}"),
            None => what.to_owned(),
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
    pub(super) fn kept(&self, object: &DesiredObject, owned: &Owned, need: Need) -> Need {
        let holds = self.app.holds_of(&object.key, self.world.now);
        if !self.is_as_held(object, owned) {
            return self.not_kept_yet(object, holds, need);
        }
        match (need, said(holds)) {
            (Need::Nothing(Status::Synced, why), Some(held)) => {
                let why = if why.is_empty() { held } else { format!("{held}; {why}") };
                Need::Nothing(Status::OnHold, why)
            }
            (need, _) => need,
        }
    }

    /// The same need of an object that was not written with its holds, where it is not now either.
    fn not_kept_yet<'a>(
        &self,
        object: &DesiredObject,
        holds: impl Iterator<Item = &'a Hold>,
        need: Need,
    ) -> Need {
        let not_yet: Vec<_> =
            holds.map(|hold| format!("{} is not laid over it yet", what(hold))).collect();
        if not_yet.is_empty() {
            return need;
        }
        let drift = self.app.drift.get(&object.key).filter(|drift| drift.kind == DriftKind::Drift);
        let beside = drift.map(|drift| self.changed_beside(object, drift)).unwrap_or_default();
        let more = match beside.len().saturating_sub(FIELDS_NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named: Vec<&str> = beside.into_iter().take(FIELDS_NAMED_MAX).collect();
        let cause = match need {
            Need::Write { status: Status::Drifted, .. } if !named.is_empty() => {
                format!(", for that would put back {}{more} as well", named.join(", "))
            }
            _ => String::new(),
        };
        let said = |why: String| {
            let why = Some(why).filter(|why| !why.is_empty()).into_iter();
            format!("{}{cause}", why.chain(not_yet).collect::<Vec<_>>().join("; "))
        };
        match need {
            Need::Nothing(Status::Synced, why) => Need::Nothing(Status::OnHold, said(why)),
            Need::Write { verb, status, reason } if !self.permits(object, verb, status) => {
                Need::Write { verb, status, reason: said(reason) }
            }
            need => need,
        }
    }
}

/// What is held, until when, why, and how it ends, in words; `None` when nothing is.
fn said<'a>(holds: impl Iterator<Item = &'a Hold>) -> Option<String> {
    let said: Vec<String> = holds.map(sentence).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

fn sentence(hold: &Hold) -> String {
    format!("KEPT by {}", what(hold))
}

/// The hold, in words.
fn what(hold: &Hold) -> String {
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
    let from = match hold.from {
        BackTo::Drift(_) => String::new(),
        BackTo::Instant(seq) => format!(" as at #{seq}"),
        BackTo::Undone(seq) => format!(" as before #{seq}"),
    };
    if let more @ 1.. = hold.fields().len().saturating_sub(named.len()) {
        named.push(format!("and {more} more"));
    }
    let what = match hold.of {
        HoldOf::Absence(_) => "its absence".to_owned(),
        HoldOf::Fields(_) => named.join(", "),
        HoldOf::Object(_) => "the object".to_owned(),
    };
    let until = hold.until.map_or_else(String::new, |until| format!(" until {until}"));
    let why = if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
    format!("hold #{}{until}: {what}{from}{why}", hold.seq.0)
}
