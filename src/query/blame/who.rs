//! Who made a change, as far as it is known.
//!
//! greffier's own writes are known: what an answer shows is greffier's where greffier owns the
//! field or nobody does. Of everybody else the API server's audit tells the user, where it was
//! read and joined (`attribution.resolved`). Elsewhere the object has field managers, which clients
//! choose themselves: they are claims. Who removed a field that he did not apply himself leaves no
//! trace in an object, and is unknown without audit.

use serde::{Deserialize, Serialize};

use super::super::describe::claimed;
use super::history::Seen;
use super::path;
use super::state::Manager;
use super::versions::Attributed;
use crate::cluster::FIELD_MANAGER;
use crate::ledger::event::{AttributionResolvedV1, FieldRemark, FieldSource, Method, Verdict};

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
    /// The application.
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

    pub(super) fn greffier(own: &super::versions::Own) -> Self {
        Self {
            name: FIELD_MANAGER.to_owned(),
            strength: EXACT.to_owned(),
            write: Some(OwnWrite {
                app: own.app.to_string(),
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

/// Who wrote the leaf at `place` in a version; `before` is the version before it.
pub(super) fn who_set(seen: &Seen, before: Option<&Seen>, place: &[String]) -> Who {
    let owners = owners(seen, place);
    if let Some(own) = &seen.version.own {
        let theirs = owners.iter().any(|(name, ..)| name == FIELD_MANAGER);
        if theirs || owners.is_empty() || own.write.method == Method::Replace {
            return Who::greffier(own);
        }
        return Who::claimed(owners, "seen first in the answer to a write of greffier");
    }
    let attributed = seen.version.attributed.as_ref();
    let Some(before) = before else {
        let note = "no field manager owns it: defaulted, or set by admission";
        return Who::claimed(owners, note).attributed(attributed, place);
    };
    let wrote = |manager: &&&Manager| {
        seen.times.get(**manager) != before.times.get(**manager)
            || seen.owners.get(**manager) != before.owners.get(**manager)
    };
    let recent: Vec<&Manager> = owners.iter().filter(wrote).copied().collect();
    // A manager that writes again within the second leaves no other trace than the value.
    let managers = if recent.is_empty() { owners } else { recent };
    let note = "no field manager owns it: defaulted, set by admission, or reset";
    Who::claimed(managers, note).attributed(attributed, place)
}

/// Who removed the leaf at `place` in a version.
pub(super) fn who_removed(seen: &Seen, before: Option<&Seen>, place: &[String]) -> Who {
    let owned = before.map(|before| owners(before, place)).unwrap_or_default();
    if let Some(own) = &seen.version.own {
        let theirs = owned.iter().any(|(name, ..)| name == FIELD_MANAGER);
        if theirs || own.write.method == Method::Replace {
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
        .attributed(seen.version.attributed.as_ref(), place)
}

/// The managers that own the leaf at `place`.
pub(super) fn owners<'s>(seen: &'s Seen, place: &[String]) -> Vec<&'s Manager> {
    let owning = seen.owners.iter().filter(|(_, set)| set.reaches(place));
    owning.map(|(manager, _)| manager).collect()
}
