//! Objects whose values are as applied: what is left to be done, and what is to be said.

use super::{Judge, Need, Status};
use crate::ledger::event::{ApplyNotes, DesiredObject, FieldChange, Method, Verb};
use crate::model::{ObjectKey, Seq, is_by_hand};
use crate::replay::{Drift, Owned};

/// How many fields are named in a sentence.
const FIELDS_NAMED_MAX: usize = 3;

impl Judge<'_> {
    /// What an object needs that is as it was applied: on adoption, the fields of whoever wrote
    /// it before are taken over, and what of them Git does not have goes with one more apply.
    pub(super) fn need_of_settled(
        &self,
        object: &DesiredObject,
        owned: &Owned,
        why: String,
    ) -> Need {
        let notes = &owned.notes;
        if notes.surplus {
            let reason = "fields that earlier appliers left and Git does not have are removed";
            let (verb, status) = (Verb::Update, Status::Changed);
            return Need::Write { verb, status, reason: reason.into() };
        }
        if !notes.co_owners.is_empty() {
            let from = notes.co_owners.join(", ");
            let reason = format!("fields that {from} wrote before become greffier's own");
            return Need::Write { verb: Verb::TakeOver, status: Status::Synced, reason };
        }
        if self.app.spec.strict && !notes.by_hand.is_empty() {
            return self.strip(named(notes.by_hand.iter().map(by_whom)));
        }
        let mut said = vec![why];
        said.extend(self::said(notes));
        said.extend(self.replicas_said(object));
        said.retain(|sentence| !sentence.is_empty());
        Need::Nothing(Status::Synced, said.join("; "))
    }
}

impl Judge<'_> {
    /// The event of the last write of the object for this application, if that left nothing to be
    /// done: what is adopted takes several.
    pub(super) fn written(&self, key: &ObjectKey) -> Option<Seq> {
        let owned = self.world.owned.get(key).filter(|owned| owned.app == *self.name)?;
        let ApplyNotes { surplus, co_owners, by_hand, .. } = &owned.notes;
        let strips = self.app.spec.strict && !by_hand.is_empty();
        (!surplus && co_owners.is_empty() && !strips).then_some(owned.seq)
    }

    /// What people added goes: its ownership is taken over, and the next apply leaves it out.
    fn strip(&self, what: String) -> Need {
        let reason = format!("ADDED BY HAND: {what}; the application is strict");
        Need::Write { verb: Verb::TakeOver, status: Status::Drifted, reason }
    }

    /// What an object needs to which others added fields.
    pub(super) fn need_of_added(&self, object: &DesiredObject, drift: &Drift) -> Need {
        let fields = named(drift.fields.iter().map(|field| field.path.clone()));
        let by =
            if drift.managers.is_empty() { "unknown".into() } else { drift.managers.join(", ") };
        let what = format!("{fields} by {by}");
        if !self.app.spec.strict || !drift.managers.iter().any(|manager| is_by_hand(manager)) {
            return Need::Nothing(Status::Synced, format!("ADDED BY HAND: {what}; left as it is"));
        }
        if self.method(object) == Method::Replace {
            let reason = format!("ADDED BY HAND: {what}; the application is strict");
            return Need::Write { verb: Verb::Heal, status: Status::Drifted, reason };
        }
        self.strip(what)
    }
}

fn by_whom((path, who): &(String, Vec<String>)) -> String {
    format!("{path} by {}", who.join(", "))
}

/// What people should know of an apply that went well.
fn said(notes: &ApplyNotes) -> Vec<String> {
    let mut said = Vec::new();
    if !notes.admitted.is_empty() {
        let fields = notes.admitted.iter().map(admitted);
        said.push(format!("admitted differently: {}", named(fields)));
    }
    if !notes.left.is_empty() {
        let fields = notes.left.iter();
        let fields = fields.map(|(path, who)| format!("{path} (also of {})", who.join(", ")));
        said.push(format!("left Git and stays, because others own it too: {}", named(fields)));
    }
    said
}

fn admitted(field: &FieldChange) -> String {
    let now = if field.now.is_empty() { "left out" } else { &field.now };
    format!("{} sent {}, admitted {now}", field.path, field.was)
}

fn named(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = match all.len().saturating_sub(FIELDS_NAMED_MAX) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let named: Vec<_> = all.take(FIELDS_NAMED_MAX).collect();
    format!("{}{more}", named.join(", "))
}
