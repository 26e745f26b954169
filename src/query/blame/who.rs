//! Who made a change, as far as it is known.
//!
//! greffier's own writes are known: what an answer shows is greffier's where greffier owns the
//! field or nobody does. Of everybody else the API server's audit tells the user, where it was
//! read and joined (`attribution.resolved`). Elsewhere the object has field managers, which clients
//! choose themselves: they are claims. Who removed a field that he did not apply himself leaves no
//! trace in an object, and is unknown without audit.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::describe::claimed;
use super::history::Seen;
use super::path;
use super::state::Manager;
use super::versions::{Attributed, Gone, Own};
use crate::cluster::field_set::FieldSet;
use crate::cluster::{self, FIELD_MANAGER};
use crate::ledger::event::{
    AttributionResolvedV1, FieldRemark, FieldSource, Method, Verb, Verdict,
};

/// It is certain.
pub const EXACT: &str = "exact";
/// One request is known that can have done it, and no other.
pub const UNIQUE: &str = "unique";
/// Several requests can have done it.
pub const AMBIGUOUS: &str = "ambiguous";
/// A client said so about itself.
pub const CLAIMED: &str = "claimed";
/// Nobody said anything.
pub const UNKNOWN: &str = "unknown";

/// Who made a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// In a few words.
    pub name: String,
    /// Whose name that was then, where the audit names a user and it is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// `exact`, `unique`, `ambiguous`, `claimed` or `unknown`.
    pub strength: String,
    /// The event that names whoever it was, where the API server's audit told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<u64>,
    /// The field managers that claim it, each with its operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<String>,
    /// greffier's write, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<OwnWrite>,
    /// What else is to be said about it; empty when nothing is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A write of greffier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnWrite {
    /// The application; empty where a person restored what none has.
    pub app: String,
    /// The intent's position.
    pub intent: u64,
    /// What was done.
    pub verb: String,
    /// Why.
    pub reason: String,
}

impl Who {
    pub(super) fn unknown(note: &str) -> Self {
        Self {
            name: UNKNOWN.to_owned(),
            strength: UNKNOWN.to_owned(),
            note: note.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn greffier(own: &Own) -> Self {
        Self {
            name: FIELD_MANAGER.to_owned(),
            strength: EXACT.to_owned(),
            write: Some(OwnWrite {
                app: own.app.clone(),
                intent: own.intent.0,
                verb: own.write.verb.as_str().to_owned(),
                reason: own.write.reason.clone(),
            }),
            ..Self::default()
        }
    }

    fn claimed(managers: Vec<&Manager>, note: &str) -> Self {
        if managers.is_empty() {
            return Self::unknown(note);
        }
        let managers: Vec<String> = managers.into_iter().map(manager_text).collect();
        Self {
            name: managers.join(", "),
            strength: CLAIMED.to_owned(),
            managers,
            note: note.to_owned(),
            ..Self::default()
        }
    }

    /// The same, with what the API server's audit says of the version or of its end.
    pub(super) fn attributed(mut self, attributed: Option<&Attributed>, place: &[String]) -> Self {
        let Some((seq, body)) = attributed else { return self };
        let strength = match body.verdict {
            Verdict::Exact => EXACT,
            Verdict::Unique => UNIQUE,
            Verdict::Ambiguous => AMBIGUOUS,
            // What the object says of a single field is more than what it says of the version.
            Verdict::FieldManager | Verdict::Unknown => return self,
        };
        let names: Vec<String> = body.claims.iter().map(claimed).collect();
        if names.is_empty() {
            return self;
        }
        let joint = if body.verdict == Verdict::Ambiguous { " or " } else { ", " };
        let mut notes = Vec::new();
        if body.more > 0 {
            notes.push(format!("or one of {} more", body.more));
        }
        notes.extend(admission(body, place));
        notes.extend(body.causes.first().map(|cause| format!("because of #{cause}")));
        (self.name, self.strength) = (names.join(joint), strength.to_owned());
        (self.attribution, self.note) = (Some(seq.0), notes.join("; "));
        self
    }
}

/// That the request does not name the field itself, where that is so.
fn admission(body: &AttributionResolvedV1, place: &[String]) -> Option<String> {
    let path = path::with_items(place);
    let about = |remark: &&FieldRemark| {
        path::is_below(&path, &remark.path) || path::is_below(&remark.path, &path)
    };
    let mut remarks = body.fields.iter().filter(about).peekable();
    remarks.peek()?;
    let mut webhooks = Vec::new();
    for remark in remarks {
        match &remark.source {
            FieldSource::Request => return None,
            FieldSource::Admission(names) => webhooks.extend(names.iter().cloned()),
        }
    }
    webhooks.dedup();
    Some(match webhooks.as_slice() {
        [] => "the request does not name it: defaulted, or set by admission".to_owned(),
        names => format!("the request does not name it: defaulted, or set by {}", names.join(", ")),
    })
}

/// A field manager as people read it; how it wrote where that is not the usual way.
pub(super) fn manager_text((manager, operation, subresource): &Manager) -> String {
    let name = if manager.is_empty() { "(no name)" } else { manager };
    match (operation.as_str(), subresource.as_str()) {
        ("Apply", "") => format!("{name} (apply)"),
        (_, "") => name.to_owned(),
        (_, subresource) => format!("{name} ({subresource})"),
    }
}

/// Whether a manager is greffier as it applies: others can call themselves so.
pub(super) fn is_own((manager, operation, subresource): &Manager) -> bool {
    cluster::is_own(manager, operation, subresource)
}

/// Whether the API server's audit tells surely who did it: then nothing else counts.
fn is_sure(attributed: Option<&Attributed>) -> bool {
    attributed.is_some_and(|(_, body)| {
        matches!(body.verdict, Verdict::Exact | Verdict::Unique) && !body.claims.is_empty()
    })
}

/// The write of greffier that made a version. That an answer shows it is no proof: an apply that
/// changes nothing is answered with whoever's version is there. The entry of what greffier applied
/// must be of another time than in the version before, or have more: others can only take from it.
/// A replacement is bound to the version before.
fn own_write<'s>(seen: &'s Seen<'_>, before: Option<&Seen<'_>>) -> Option<&'s Own> {
    let own = seen.version.own.as_ref()?;
    let Some(before) = before else { return Some(own) };
    let applied = seen.owners.iter().find(|(manager, _)| is_own(manager));
    let wrote = applied.is_some_and(|(manager, now)| {
        let more = |was: &Arc<FieldSet>| !now.without(was).leaves().is_empty();
        seen.times.get(manager) != before.times.get(manager)
            || before.owners.get(manager).is_none_or(more)
    });
    (wrote || replaces(own)).then_some(own)
}

/// Whether an object was created with this version, the first one that is known, or with one that
/// was not seen, rather than that it was there before.
pub(super) fn is_created(seen: &Seen<'_>) -> bool {
    seen.version.own.as_ref().map_or(seen.version.added, is_made)
}

/// Who created an object, of which this is the first version that is known.
pub(super) fn who_began(seen: &Seen<'_>) -> Who {
    if !is_created(seen) {
        return Who::unknown("it was there before it was seen first");
    }
    let attributed = seen.version.attributed.as_ref();
    match &seen.version.own {
        Some(own) if !is_sure(attributed) => Who::greffier(own),
        _ => Who::unknown("an object does not tell who created it").attributed(attributed, &[]),
    }
}

/// Who deleted an object.
pub(super) fn who_ended(gone: &Gone) -> Who {
    let attributed = gone.attributed.as_ref();
    match &gone.own {
        Some(own) if !is_sure(attributed) => Who::greffier(own),
        _ => Who::unknown("what is gone does not tell who deleted it").attributed(attributed, &[]),
    }
}

/// Who wrote the leaf at `place` in a version; `before` is the version before it.
pub(super) fn who_set(seen: &Seen<'_>, before: Option<&Seen<'_>>, place: &[String]) -> Who {
    let attributed = seen.version.attributed.as_ref();
    let claimants = claimants(seen, before, place);
    if is_sure(attributed) {
        return Who::claimed(claimants, "").attributed(attributed, place);
    }
    let owners = owners(seen, place);
    // Who applies again within the second leaves no other trace than the value; whoever else
    // changes what greffier alone owns comes to own it.
    let solely = !owners.is_empty() && owners.iter().all(|owner| is_own(owner));
    let answered = seen.version.own.as_ref().filter(|_| solely);
    if let Some(own) = own_write(seen, before).or(answered) {
        let nobodys = owners.is_empty() && (before.is_some() || is_made(own));
        if owners.iter().any(|owner| is_own(owner)) || nobodys || replaces(own) {
            return Who::greffier(own);
        }
        return Who::claimed(claimants, "seen first in the answer to a write of greffier");
    }
    let note = match before {
        None => "no field manager owns it: defaulted, or set by admission",
        Some(_) => "no field manager owns it: defaulted, set by admission, or reset",
    };
    Who::claimed(claimants, note).attributed(attributed, place)
}

/// The field managers that claim to have written the leaf at `place` in a version: those of its
/// owners that wrote since the version before.
pub(super) fn claimants<'s>(
    seen: &'s Seen<'_>,
    before: Option<&Seen<'_>>,
    place: &[String],
) -> Vec<&'s Manager> {
    let owners = owners(seen, place);
    let Some(before) = before else { return owners };
    let wrote = |manager: &&&Manager| {
        seen.times.get(**manager) != before.times.get(**manager)
            || seen.owners.get(**manager) != before.owners.get(**manager)
    };
    let recent: Vec<&Manager> = owners.iter().filter(wrote).copied().collect();
    // A manager that writes again within the second leaves no other trace than the value.
    if recent.is_empty() { owners } else { recent }
}

/// Who removed the leaf at `place` in a version.
pub(super) fn who_removed(seen: &Seen<'_>, before: Option<&Seen<'_>>, place: &[String]) -> Who {
    let attributed = seen.version.attributed.as_ref();
    if is_sure(attributed) {
        return Who::unknown("").attributed(attributed, place);
    }
    let owned = before.map(|before| owners(before, place)).unwrap_or_default();
    if let Some(own) = own_write(seen, before) {
        if owned.iter().any(|owner| is_own(owner)) || replaces(own) {
            return Who::greffier(own);
        }
        return Who::unknown("seen first in the answer to a write of greffier");
    }
    // Who applies less than before removes what he alone applied. Whoever removes another's field
    // leaves no trace.
    let applied_less = owned.into_iter().filter(|manager| {
        let wrote = before.is_some_and(|b| seen.times.get(*manager) != b.times.get(*manager));
        manager.1 == "Apply" && wrote && seen.owners.contains_key(*manager)
    });
    Who::claimed(applied_less.collect(), "an object does not tell who removed a field")
        .attributed(attributed, place)
}

fn is_made(own: &Own) -> bool {
    matches!(own.write.verb, Verb::Create | Verb::Recreate)
}

pub(super) fn replaces(own: &Own) -> bool {
    own.write.method == Method::Replace
}

/// The managers that own the leaf at `place`.
pub(super) fn owners<'s>(seen: &'s Seen<'_>, place: &[String]) -> Vec<&'s Manager> {
    let owning = seen.owners.iter().filter(|(_, set)| set.reaches(place));
    owning.map(|(manager, _)| manager).collect()
}
