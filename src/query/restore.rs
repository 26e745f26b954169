//! Bringing back one object, or one field of it: what it was, whose it is, and what is written.
//!
//! [`Then`] and [`Now`] are read from worlds; [`prepare`] reads the objects themselves and says
//! what comes back, or exactly why it cannot. What is wanted is what is rendered with the fields
//! that people hold laid over it, then as now.
//!
//! Security: an observed Secret has digests for values and is not restorable; one that was wanted
//! is read from its sealed manifest, and what is told of it passes through `plan::secret`.

mod beside;
mod doc;
mod known;

use serde_json::Value;

pub use beside::left_out;
use doc::{Doc, manifest, observed};
pub use known::{HeldParts, Now, Seen, Then};

use super::blame::Pattern;
use super::book::Book;
use super::instant::At;
use super::rollback::HoldPlan;
use super::why::{Found, Subject, SubjectError};
use super::{planned::Step, who};
use crate::cluster::sanitize::sanitize;
use crate::cluster::{lay_held, value_at};
use crate::command::Restored;
use crate::ledger::event::{
    DesiredObject, Event, FieldChange, HeldFields, ObjectOptions, RestoreIntendedV1, RestoreWrite,
    Verb,
};
use crate::ledger::{self, Blob};
use crate::model::{AppName, Digest, ObjectKey, Seq, canonical_json};
use crate::plan::diff::changes;
use crate::plan::secret::{hide, is_recorded};
use crate::replay::World;

/// How many changes since then are told.
const SINCE_MAX: usize = 10;
/// Bound: how many events about the object are looked at for that.
const LOOKED_AT_MAX: usize = 2_000;

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The object.
    pub key: ObjectKey,
    /// The instant.
    pub at: At,
    /// The field; `None` = all of it.
    pub field: Option<String>,
    /// Whether it is to be as it was seen, rather than as it was wanted.
    pub live: bool,
}

/// Why something cannot come back.
#[derive(Debug, thiserror::Error)]
pub enum NotRestorable {
    /// It names nothing that could be an object.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// It is an application or an event.
    #[error("{0} is no object")]
    NoObject(String),
    /// An application is more than its definition.
    #[error("{0} is an application")]
    Application(String),
    /// Nothing is known of it at the instant.
    #[error("{key} was neither wanted nor seen at #{seq}")]
    NotThere {
        /// The object.
        key: Box<ObjectKey>,
        /// The instant.
        seq: Seq,
    },
    /// It was to be away.
    #[error("{key} was kept away at #{seq}, by hold #{hold}: it is not what was wanted then")]
    KeptAway {
        /// The object.
        key: Box<ObjectKey>,
        /// The instant.
        seq: Seq,
        /// The hold.
        hold: Seq,
    },
    /// Nobody wanted it.
    #[error("no application wanted {key} at #{seq}; it was only seen in the cluster")]
    NotWanted {
        /// The object.
        key: Box<ObjectKey>,
        /// The instant.
        seq: Seq,
    },
    /// Nobody saw it.
    #[error("{key} was not seen in the cluster at #{seq}")]
    NotSeen {
        /// The object.
        key: Box<ObjectKey>,
        /// The instant.
        seq: Seq,
    },
    /// A Secret that was only observed.
    #[error(
        "{0} is not restorable: of a Secret that was only observed, the values are recorded nowhere"
    )]
    Secret(Box<ObjectKey>),
    /// What is needed is not in the ledger, or cannot be read.
    #[error("{key} is not restorable: {why}")]
    Blob {
        /// The object.
        key: Box<ObjectKey>,
        /// Which blob, and why.
        why: String,
    },
    /// What was held of it then does not go with its manifest.
    #[error("{key} is not restorable: {why}")]
    Held {
        /// The object.
        key: Box<ObjectKey>,
        /// Which hold, and why.
        why: String,
    },
    /// It is no path, or leads nowhere.
    #[error("`{path}` is no field of {key}, neither then nor now")]
    NoField {
        /// The object.
        key: Box<ObjectKey>,
        /// What was asked for.
        path: String,
    },
    /// It is so already.
    #[error("{what} of {key} is as it was at #{seq}")]
    Same {
        /// The object.
        key: Box<ObjectKey>,
        /// What of it.
        what: String,
        /// The instant.
        seq: Seq,
    },
    /// A field of what is not there.
    #[error("{0} is not there now: a field of it cannot come back by itself")]
    NotNow(Box<ObjectKey>),
    /// The value has no place now.
    #[error("{key} is not restorable: {why}")]
    Unlaid {
        /// The object.
        key: Box<ObjectKey>,
        /// Why.
        why: String,
    },
    /// It is not known whether it is there.
    #[error("it is not known whether {0} is in the cluster")]
    Unknown(Box<ObjectKey>),
    /// Its namespace is gone, or going.
    #[error("{} cannot come back: namespace `{}` is not there", .0, .0.namespace())]
    Homeless(Box<ObjectKey>),
    /// The cluster has no such kind.
    #[error("the cluster does not serve {}", .0.group_kind())]
    NotServed(Box<ObjectKey>),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

impl NotRestorable {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Subject(error) => error.hint(),
            Self::NoObject(_) => "name it as Kind[.group]/[namespace/]name".to_owned(),
            Self::Application(name) => format!("`greffier rollback {name} --to INSTANT` does that"),
            Self::NotThere { key, .. } | Self::NotSeen { key, .. } => {
                format!("`greffier log {key}` lists what is known of it")
            }
            Self::KeptAway { key, hold, .. } => format!(
                "`greffier log {key} --kind hold` names the event that ended #{hold}: `greffier undo` \
                 of it keeps {key} away again"
            ),
            Self::Held { key, .. } if key.is_secret() => "nothing was written".to_owned(),
            Self::Held { .. } | Self::NotWanted { .. } => {
                "--live brings it back as it was seen".to_owned()
            }
            Self::Secret(_) => "make it anew from where its values come from".to_owned(),
            Self::Blob { .. } => {
                "nothing was written; `greffier ledger verify` lists what is missing".to_owned()
            }
            Self::NoField { key, .. } => {
                format!("`greffier blame {key}` lists the fields of it")
            }
            Self::Same { .. } => "nothing was written".to_owned(),
            Self::NotNow(key) => format!("`greffier restore {key}` without --field brings it back"),
            Self::Unlaid { .. } => "restore the whole object, or commit it to Git".to_owned(),
            Self::Unknown(_) => {
                "wait until its kind is listed; `greffier status` says so".to_owned()
            }
            Self::Homeless(key) => {
                let namespace = key.namespace();
                format!(
                    "`greffier restore Namespace/{namespace} --to INSTANT` brings that back first"
                )
            }
            Self::NotServed(_) => "nothing was written".to_owned(),
            Self::Ledger(_) => String::new(),
        }
    }
}

/// What comes back, as far as it is found.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// What is recorded for it.
    pub restored: Restored,
    /// What that names and the ledger does not have.
    pub blobs: Vec<Blob>,
    /// What changes: `was` as it is now, `now` as it is to be.
    pub fields: Vec<FieldChange>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The object that a text names in `world`.
///
/// # Errors
/// [`NotRestorable`].
pub fn key_of(
    world: &World,
    text: &str,
    namespace: Option<&str>,
) -> Result<ObjectKey, NotRestorable> {
    match Subject::parse(text, namespace)? {
        Subject::App(name) => Err(NotRestorable::Application(name)),
        Subject::Event(seq) => Err(NotRestorable::NoObject(format!("#{}", seq.0))),
        subject @ Subject::Object(_) => match subject.find(world)? {
            Found::Object(key, _) if key.is_application() => {
                Err(NotRestorable::Application(key.name().to_owned()))
            }
            Found::Object(key, _) => Ok(key),
            Found::App(_) | Found::Event(_) => Err(NotRestorable::NoObject(text.to_owned())),
        },
    }
}

/// What comes back, and what is written for it.
///
/// # Errors
/// [`NotRestorable`], which names everything that is missing.
pub fn prepare(
    book: &dyn Book,
    wish: &Wish,
    then: &Then,
    now: &Now,
) -> Result<Prepared, NotRestorable> {
    let seq = wish.at.seq;
    if then.wanted.is_none() && then.seen.is_none() {
        return Err(NotRestorable::NotThere { key: wish.key.clone().into(), seq });
    }
    if let Some(hold) = then.away.filter(|_| !wish.live) {
        return Err(NotRestorable::KeptAway { key: wish.key.clone().into(), seq, hold });
    }
    match &now.app {
        Some(app) => of_app(book, wish, then, now, app),
        None => of_nobody(book, wish, then, now),
    }
}

/// The object as it was then: as it was wanted, unless it is asked for as it was seen.
fn as_then(book: &dyn Book, wish: &Wish, then: &Then) -> Result<Doc, NotRestorable> {
    let (key, seq) = (wish.key.clone(), wish.at.seq);
    let wanted = then.wanted.as_ref().map(|(_, object)| object);
    match (wanted.filter(|_| !wish.live), &then.seen) {
        (Some(wanted), _) => manifest(book, &key, wanted.manifest, &then.held),
        // Labels of a Secret are recorded as they are, its values are not.
        (None, Some(_)) if key.is_secret() && !is_open_field(wish) => {
            Err(NotRestorable::Secret(key.into()))
        }
        (None, Some(seen)) => observed(book, &key, seen.object),
        (None, None) => Err(NotRestorable::NotSeen { key: key.into(), seq }),
    }
}

fn is_open_field(wish: &Wish) -> bool {
    let field = wish.field.as_deref().and_then(Pattern::parse);
    field.and_then(|pattern| pattern.place(&[])).is_some_and(|place| is_recorded(&place))
}

/// What is wanted of it, and whether what is held of it could be laid over that: where it cannot,
/// what comes back may be the way out.
fn wanted_now(
    book: &dyn Book,
    key: &ObjectKey,
    now: &Now,
) -> Result<(Option<Doc>, bool), NotRestorable> {
    let Some(wanted) = &now.wanted else { return Ok((None, true)) };
    match manifest(book, key, wanted.manifest, &now.held) {
        Ok(doc) => Ok((Some(doc), true)),
        Err(_) => Ok((Some(manifest(book, key, wanted.manifest, &[])?), false)),
    }
}

/// What is wanted of it without the fields that are held.
fn git_now(
    book: &dyn Book,
    key: &ObjectKey,
    now: &Now,
    before: &Value,
) -> Result<Value, NotRestorable> {
    let Some(wanted) = &now.wanted else { return Ok(before.clone()) };
    Ok(manifest(book, key, wanted.manifest, &[])?.value)
}

fn of_app(
    book: &dyn Book,
    wish: &Wish,
    then: &Then,
    now: &Now,
    app: &AppName,
) -> Result<Prepared, NotRestorable> {
    let (key, seq) = (&wish.key, wish.at.seq);
    let wanted = then.wanted.as_ref().map(|(_, object)| object);
    if wanted.is_none() && !wish.live {
        return Err(NotRestorable::NotWanted { key: key.clone().into(), seq });
    }
    let doc = as_then(book, wish, then)?;
    let (present, laid) = wanted_now(book, key, now)?;
    let empty = Value::Null;
    let before = present.as_ref().map_or(&empty, |present| &present.value);
    if wish.field.is_some() {
        let Some(present) = &present else { return Err(NotRestorable::NotNow(key.clone().into())) };
        let what = "what is wanted in ";
        let held = match fields(wish, &doc, before, what) {
            // A hold has it so: it may be held anew, for how long for example.
            Err(NotRestorable::Same { .. }) if !now.held.is_empty() => {
                fields(wish, &doc, &git_now(book, key, now, before)?, what)?
            }
            found => found?,
        };
        let mut laid = present.value.clone();
        let unlaid = |why: String| NotRestorable::Unlaid { key: key.clone().into(), why };
        lay_held(&mut laid, &held, &doc.bytes).map_err(|why| unlaid(why.to_string()))?;
        let (fields, blobs, notes) = (held.fields.clone(), doc.into_blobs(), Vec::new());
        return Ok(Prepared {
            restored: Restored::fields(app.clone(), held),
            blobs,
            fields,
            notes,
        });
    }
    let is_so = present.as_ref().is_some_and(|present| present.value == doc.value);
    if is_so && laid && !now.held.is_empty() && !wish.live {
        let (key, what) = (key.clone().into(), "what is wanted".to_owned());
        return Err(NotRestorable::Same { key, what, seq });
    }
    let mut prepared = match wanted.filter(|_| !wish.live) {
        Some(object) => Prepared {
            restored: Restored::object(app.clone(), doc.object(object), false),
            fields: told(key, before, &doc.value),
            blobs: doc.into_blobs(),
            notes: Vec::new(),
        },
        None => as_seen(wish, then, app, doc, before),
    };
    // What is there keeps what others have set: an apply does not take it away.
    if let (Some(object), Some(seen), None) = (wanted.filter(|_| !wish.live), &then.seen, &now.seen)
    {
        let left = left_out(book, object, (seen.object, seq));
        prepared.notes.extend(left.map_err(NotRestorable::Ledger)?);
    }
    let over = |hold: &Seq| format!("hold #{hold} of it ends: this takes its place");
    prepared.notes.extend(now.holds.iter().map(over));
    if present.is_none() {
        prepared.fields.clear();
        prepared.notes.push("Git does not have it now: it is wanted until it is released".into());
    }
    Ok(prepared)
}

/// An object of an application as it was seen: it becomes its manifest.
fn as_seen(wish: &Wish, then: &Then, app: &AppName, doc: Doc, before: &Value) -> Prepared {
    let mut value = doc.value;
    let left_out = sanitize(&mut value);
    let bytes = canonical_json(&value);
    let (digest, blob) = (Digest::of(&bytes), Blob::plain(bytes, None));
    let wanted = then.wanted.as_ref().map(|(_, object)| object);
    let replicas = value.pointer("/spec/replicas").and_then(Value::as_u64);
    let object = DesiredObject {
        key: wish.key.clone(),
        version: then.seen.as_ref().map(|seen| seen.version.clone()).unwrap_or_default(),
        manifest: blob.addr,
        digest,
        wave: wanted.map_or(0, |object| object.wave),
        replicas: replicas.and_then(|replicas| u32::try_from(replicas).ok()),
        origin: format!("as seen at #{}", wish.at.seq.0),
        holds: wanted.map(|object| object.holds.clone()).unwrap_or_default(),
        options: wanted.map_or_else(ObjectOptions::default, |object| object.options),
        application: None,
    };
    Prepared {
        restored: Restored::object(app.clone(), object, true),
        blobs: vec![blob],
        fields: told(&wish.key, before, &value),
        notes: not_sent(&left_out),
    }
}

fn of_nobody(
    book: &dyn Book,
    wish: &Wish,
    then: &Then,
    now: &Now,
) -> Result<Prepared, NotRestorable> {
    let (key, seq) = (&wish.key, wish.at.seq);
    if !now.served {
        return Err(NotRestorable::NotServed(key.clone().into()));
    }
    if !now.known {
        return Err(NotRestorable::Unknown(key.clone().into()));
    }
    if now.homeless && now.seen.is_none() {
        return Err(NotRestorable::Homeless(key.clone().into()));
    }
    let wanted = then.wanted.as_ref().map(|(_, object)| object);
    let doc = as_then(book, wish, then)?;
    let version = match (wanted.filter(|_| doc.of_manifest), &then.seen) {
        (Some(wanted), _) => wanted.version.clone(),
        (None, seen) => seen.as_ref().map(|seen| seen.version.clone()).unwrap_or_default(),
    };
    let present = match &now.seen {
        Some(present) => Some(observed(book, key, present.object)?),
        None => None,
    };
    let mut write = RestoreWrite {
        key: key.clone(),
        version,
        verb: if present.is_some() { Verb::Update } else { Verb::Create },
        saved: Some(doc.addr),
        of_manifest: doc.of_manifest,
        places: Vec::new(),
        fields: Vec::new(),
        found: now.seen.as_ref().map(|seen| (seen.uid.clone(), seen.digest)),
        beside: None,
    };
    let mut notes = Vec::new();
    if wish.field.is_some() {
        let Some(present) = &present else { return Err(NotRestorable::NotNow(key.clone().into())) };
        let held = fields(wish, &doc, &present.value, "")?;
        (write.places, write.fields) = (held.places, held.fields);
    } else {
        let mut wanted = doc.value.clone();
        notes = not_sent(&sanitize(&mut wanted));
        if let Some(present) = present {
            let mut before = present.value;
            sanitize(&mut before);
            write.fields = told(key, &before, &wanted);
            if write.fields.is_empty() {
                let (key, what) = (key.clone().into(), "all".to_owned());
                return Err(NotRestorable::Same { key, what, seq });
            }
        }
    }
    let fields = write.fields.clone();
    let (restored, blobs) = (Restored::Written(vec![write]), doc.into_blobs());
    Ok(Prepared { restored, blobs, fields, notes })
}

/// The field that is asked for, as it was; `of` is what of it is compared, where it is so already.
fn fields(wish: &Wish, doc: &Doc, present: &Value, of: &str) -> Result<HeldFields, NotRestorable> {
    let (key, seq) = (&wish.key, wish.at.seq);
    let path = wish.field.clone().unwrap_or_default();
    let pattern = Pattern::parse(&path);
    let place = pattern.and_then(|pattern| pattern.place(&[&doc.value, present]));
    let place = place.filter(|place| !place.is_empty());
    let no_field = || NotRestorable::NoField { key: key.clone().into(), path: path.clone() };
    let place = place.ok_or_else(no_field)?;
    let (then, now) = (value_at(&doc.value, &place), value_at(present, &place));
    if then.is_none() && now.is_none() {
        return Err(no_field());
    }
    if then == now {
        return Err(NotRestorable::Same {
            key: key.clone().into(),
            what: format!("{of}`{path}`"),
            seq,
        });
    }
    let json = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
    let path = crate::cluster::compare::path(&place);
    let change = hide(key, FieldChange { path, was: json(now), now: json(then) });
    Ok(HeldFields {
        key: key.clone(),
        saved: doc.addr,
        of_manifest: doc.of_manifest,
        places: vec![place],
        fields: vec![change],
    })
}

/// What differs, as it may be told.
fn told(key: &ObjectKey, before: &Value, after: &Value) -> Vec<FieldChange> {
    changes(before, after).into_iter().map(|change| hide(key, change)).collect()
}

fn not_sent(rules: &[&str]) -> Vec<String> {
    if rules.is_empty() {
        return Vec::new();
    }
    vec![format!("not sent, for the cluster assigns it anew: {}", rules.join(", "))]
}

/// What became of the object after an event, the first changes first.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn since(book: &dyn Book, key: &ObjectKey, after: Seq) -> Result<Vec<String>, ledger::Error> {
    let mut told = Vec::new();
    for seq in book.of_object(key, after, LOOKED_AT_MAX) {
        let Some(recorded) = book.get(seq)? else { continue };
        let changes = match &recorded.event {
            Some(Event::ObjectObserved(body)) => body.key == *key,
            Some(Event::ObjectGone(body)) => body.key == *key,
            Some(Event::DriftDetected(_) | Event::HoldBegun(_) | Event::RestoreIntended(_)) => true,
            _ => false,
        };
        if !changes {
            continue;
        }
        if told.len() >= SINCE_MAX {
            told.push(format!("and more: `greffier log {key}` lists them"));
            break;
        }
        told.push(format!("#{}: {}", seq.0, who::described(book, &recorded).summary));
    }
    Ok(told)
}

/// What the writes of a restore are shown as.
#[must_use]
pub fn plan_of(body: &RestoreIntendedV1) -> HoldPlan {
    let mut plan = HoldPlan { objects: body.writes.len(), ..HoldPlan::default() };
    for write in &body.writes {
        let verb = match write.verb {
            Verb::Prune => "delete",
            verb => verb.as_str(),
        };
        *plan.counts.entry(verb.to_owned()).or_default() += 1;
        plan.steps.push(Step {
            verb: verb.to_owned(),
            object: write.key.to_string(),
            reason: match write.beside {
                Some(_) => "Git says nothing of these fields: they are written once".to_owned(),
                None => "no application has it: it is written once".to_owned(),
            },
        });
    }
    plan
}

#[cfg(test)]
mod tests;
