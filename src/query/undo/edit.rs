//! What somebody changed of an object by hand, and how it goes back: all of it where no application
//! has the object, what Git says nothing of where one has.

use serde_json::Value;

use super::super::book::Book;
use super::super::describe::field_change;
use super::super::instant::{backwards, forwards};
use super::super::restore::{Now, Seen, since};
use super::super::who;
use super::NotUndone;
use super::places::{leaves, places};
use super::since::went_again;
use crate::cluster::compare::path;
use crate::cluster::sanitize::sanitize;
use crate::cluster::{Stored, has_digest, value_at};
use crate::ledger;
use crate::ledger::event::{
    DriftDetectedV1, Event, FieldChange, ObjectObservedV1, RestoreIntendedV1, RestoreResult,
    RestoreWrite, Verb,
};
use crate::ledger::store::SubjectKey;
use crate::model::{AppName, BlobAddr, Digest, ObjectKey, Seq};
use crate::plan::secret::{RECORDED_NOWHERE, hide};

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The object.
    pub key: ObjectKey,
    /// What it was; `None` = it was not there.
    pub before: Option<Seen>,
    /// What the event made of it; `None` = it was deleted.
    pub after: Option<Seen>,
}

/// What of edits can be taken back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// The writes.
    pub writes: Vec<RestoreWrite>,
    /// What changes: `was` as it is now, `now` as it is to be.
    pub fields: Vec<String>,
    /// What came since.
    pub conflicts: Vec<String>,
    /// What cannot be read, or was recorded nowhere.
    pub missing: Vec<String>,
    /// What needs nothing.
    pub notes: Vec<String>,
}

fn seen(body: &ObjectObservedV1) -> Seen {
    Seen {
        object: body.object,
        version: body.version.clone(),
        uid: body.uid.clone(),
        digest: body.digest,
    }
}

/// What was seen of an object last before an event.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn before(book: &dyn Book, key: &ObjectKey, seq: Seq) -> Result<Option<Seen>, ledger::Error> {
    let found = backwards(book, SubjectKey::object(key), seq, |recorded| match &recorded.event {
        Some(Event::ObjectObserved(body)) if body.key == *key => Some(Some(seen(body))),
        Some(Event::ObjectGone(body)) if body.key == *key => Some(None),
        _ => None,
    })?;
    Ok(found.flatten())
}

/// What somebody made of an object with the version that an observation shows.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn of_observation(
    book: &dyn Book,
    seq: Seq,
    body: &ObjectObservedV1,
) -> Result<Edit, ledger::Error> {
    let former = before(book, &body.key, seq)?;
    Ok(Edit { key: body.key.clone(), before: former, after: Some(seen(body)) })
}

/// What somebody made of an object whose difference a drift tells: all of that change, also what is
/// no drift because Git says nothing of it. `None` = no single change is known to be it.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn of_drift(book: &dyn Book, body: &DriftDetectedV1) -> Result<Option<Edit>, ledger::Error> {
    let Some(changed) = who::changed_in(book, body)? else { return Ok(None) };
    let recorded = book.get(changed)?;
    match recorded.as_ref().and_then(|recorded| recorded.event.as_ref()) {
        Some(Event::ObjectObserved(seen)) => of_observation(book, changed, seen).map(Some),
        _ => Ok(None),
    }
}

/// What a restore made of its objects: as far as it was made and seen.
///
/// # Errors
/// [`NotUndone`], where nothing of it was made, or it was not seen yet.
pub fn of_restore(
    book: &dyn Book,
    seq: Seq,
    body: &RestoreIntendedV1,
) -> Result<Vec<Edit>, NotUndone> {
    let mut edits = Vec::new();
    for (index, write) in (0..).zip(&body.writes) {
        let Some((uid, version)) = made(book, seq, index, write)? else { continue };
        let key = write.key.clone();
        let former = before(book, &key, seq)?;
        if write.verb == Verb::Prune {
            edits.push(Edit { key, before: former, after: None });
            continue;
        }
        let shown =
            forwards(book, SubjectKey::object(&key), seq, |recorded| match &recorded.event {
                Some(Event::ObjectObserved(body)) if body.key == key && body.uid == uid => {
                    (body.resource_version == version).then(|| seen(body))
                }
                _ => None,
            })?;
        let after = Some(shown.ok_or_else(|| NotUndone::NotSeen(key.clone()))?);
        edits.push(Edit { key, before: former.filter(|_| write.verb == Verb::Update), after });
    }
    if edits.is_empty() { Err(NotUndone::Nothing(seq)) } else { Ok(edits) }
}

/// The uid and the resource version that the write of a restore made.
fn made(
    book: &dyn Book,
    restore: Seq,
    index: u32,
    write: &RestoreWrite,
) -> Result<Option<(String, String)>, ledger::Error> {
    forwards(book, SubjectKey::object(&write.key), restore, |recorded| {
        let Some(Event::RestoreEnded(body)) = &recorded.event else { return None };
        let results = body.results.iter().filter(|_| body.restore == restore);
        let mut ended = results.filter(|(known, _)| *known == index);
        ended.find_map(|(_, result)| match result {
            RestoreResult::Made { uid, resource_version } => {
                Some((uid.clone(), resource_version.clone()))
            }
            _ => None,
        })
    })
}

/// Judges edits by event `seq`; `now` is what is of each of them now, in order.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn judge(
    book: &dyn Book,
    seq: Seq,
    edits: &[Edit],
    now: &[Now],
) -> Result<Judged, ledger::Error> {
    let mut judge = Judge { book, seq, judged: Judged::default() };
    for (edit, now) in edits.iter().zip(now) {
        judge.edit(edit, now)?;
    }
    Ok(judge.judged)
}

struct Judge<'a> {
    book: &'a dyn Book,
    seq: Seq,
    judged: Judged,
}

/// What an application wants of an object.
struct Wanted<'a> {
    app: &'a AppName,
    manifest: Value,
    digest: Digest,
}

impl Wanted<'_> {
    /// Whether the manifest says something of a place.
    fn says(&self, key: &ObjectKey, place: &[String]) -> bool {
        let said = |place: &[String]| value_at(&self.manifest, place).is_some();
        // What a manifest says as text, the API server has encoded.
        let text = || {
            let below = place.iter().skip(1).cloned();
            std::iter::once("f:stringData".to_owned()).chain(below).collect::<Vec<_>>()
        };
        let data = key.is_secret() && place.first().is_some_and(|edge| edge == "f:data");
        said(place) || (data && said(&text()))
    }
}

impl Judge<'_> {
    fn edit(&mut self, edit: &Edit, now: &Now) -> Result<(), ledger::Error> {
        let key = &edit.key;
        if let Some(app) = &now.app {
            return self.of_app(app, edit, now);
        }
        match (&edit.before, &edit.after, &now.seen) {
            (Some(before), Some(after), Some(now)) => self.changed(key, (before, after, now), None),
            (Some(before), None, None) => {
                match went_again(self.book, key, self.seq, &before.uid)? {
                    Some(why) => self.judged.conflicts.push(format!("{key}: {why}")),
                    None => self.create(key, before),
                }
                Ok(())
            }
            (None, Some(after), Some(now)) => self.delete(key, after, now),
            (Some(_), None, Some(_)) => self.conflict(key, "somebody made it anew"),
            (_, Some(_), None) if edit.before.is_some() => self.conflict(key, "it is gone"),
            (_, _, None) => {
                self.judged.notes.push(format!("{key}: it is gone already"));
                Ok(())
            }
            (None, None, Some(_)) => Ok(()),
        }
    }

    /// What somebody changed of an object that an application has: what Git says of it is Git's
    /// to put back, and the rest goes back as it came.
    fn of_app(&mut self, app: &AppName, edit: &Edit, now: &Now) -> Result<(), ledger::Error> {
        let key = &edit.key;
        let ((Some(before), Some(after)), (Some(seen), Some(object))) =
            ((&edit.before, &edit.after), (&now.seen, &now.wanted))
        else {
            self.judged.conflicts.push(format!("{key}: application {app} has it now"));
            return Ok(());
        };
        if let Some(hold) = now.holds.first() {
            let how = format!("`greffier release '#{hold}'` ends that");
            let why = format!("{key}: hold #{hold} keeps something of it: {how}");
            self.judged.conflicts.push(why);
            return Ok(());
        }
        let read = self.book.blob(object.manifest).map_err(|error| error.to_string());
        let manifest = read.and_then(|bytes| {
            serde_json::from_slice(&bytes).map_err(|_| "it cannot be read".to_owned())
        });
        match manifest {
            Ok(manifest) => {
                let wanted = Wanted { app, manifest, digest: object.digest };
                self.changed(key, (before, after, seen), Some(&wanted))
            }
            Err(why) => {
                self.judged.missing.push(format!("{key}: its manifest {}: {why}", object.manifest));
                Ok(())
            }
        }
    }

    /// Something else came, as it was seen since.
    fn conflict(&mut self, key: &ObjectKey, why: &str) -> Result<(), ledger::Error> {
        let since = since(self.book, key, self.seq)?;
        let since = since.into_iter().map(|what| format!("; {what}")).collect::<String>();
        self.judged.conflicts.push(format!("{key}: {why}{since}"));
        Ok(())
    }

    fn read(&mut self, key: &ObjectKey, addr: BlobAddr) -> Option<Value> {
        let read = self.book.blob(addr).map_err(|error| error.to_string());
        let stored = read.and_then(|bytes| {
            Stored::from_stored(&bytes).map_err(|_| "it cannot be read".to_owned())
        });
        match stored {
            Ok(stored) => Some(stored.object),
            Err(why) => {
                self.judged.missing.push(format!("{key}: what was seen, {addr}: {why}"));
                None
            }
        }
    }

    fn write(
        &mut self,
        key: &ObjectKey,
        verb: Verb,
        saved: Option<&Seen>,
        found: Option<&Seen>,
    ) -> RestoreWrite {
        let version = saved.or(found).map(|seen| seen.version.clone()).unwrap_or_default();
        RestoreWrite {
            key: key.clone(),
            version,
            verb,
            saved: saved.map(|seen| seen.object),
            of_manifest: false,
            places: Vec::new(),
            fields: Vec::new(),
            found: found.map(|seen| (seen.uid.clone(), seen.digest)),
            beside: None,
        }
    }

    fn create(&mut self, key: &ObjectKey, before: &Seen) {
        if key.is_secret() {
            self.judged.missing.push(secret(key));
            return;
        }
        if self.read(key, before.object).is_none() {
            return;
        }
        let write = self.write(key, Verb::Create, Some(before), None);
        self.judged.fields.push(format!("{key} comes back"));
        self.judged.writes.push(write);
    }

    /// What a restore created goes again, as long as it is what was created.
    fn delete(&mut self, key: &ObjectKey, after: &Seen, now: &Seen) -> Result<(), ledger::Error> {
        if (now.uid.as_str(), now.digest) != (after.uid.as_str(), after.digest) {
            return self.conflict(key, "it is not what was made any more");
        }
        let write = self.write(key, Verb::Prune, None, Some(now));
        self.judged.fields.push(format!("{key} goes"));
        self.judged.writes.push(write);
        Ok(())
    }

    fn changed(
        &mut self,
        key: &ObjectKey,
        (before, after, now): (&Seen, &Seen, &Seen),
        wanted: Option<&Wanted<'_>>,
    ) -> Result<(), ledger::Error> {
        if before.uid != after.uid {
            return self.conflict(key, "the event shows another object of its name");
        }
        if now.uid != after.uid {
            return self.conflict(key, "it is another object of its name now");
        }
        if before.version != after.version || now.version != after.version {
            return self.conflict(key, "it was seen in several versions of its API");
        }
        let docs = (
            self.read(key, before.object),
            self.read(key, after.object),
            self.read(key, now.object),
        );
        let (Some(mut was), Some(mut made), Some(is)) = docs else { return Ok(()) };
        // What the cluster assigns is nobody's edit.
        sanitize(&mut was);
        sanitize(&mut made);
        let mut write = self.write(key, Verb::Update, Some(before), Some(now));
        write.version.clone_from(&now.version);
        write.beside = wanted.map(|wanted| wanted.digest);
        let mut fields = Vec::new();
        let places = places(&was, &made);
        // What was added as a whole may have come to hold what others say since.
        let places = match wanted {
            Some(_) => places.into_iter().flat_map(|place| leaves(&made, &was, place)).collect(),
            None => places,
        };
        for place in places {
            if let Some(change) = self.field(key, &place, [&was, &made, &is], wanted)? {
                fields.push(format!("{key} {}", field_change(&change)));
                write.fields.push(change);
                write.places.push(place);
            }
        }
        if !write.places.is_empty() {
            self.judged.fields.append(&mut fields);
            self.judged.writes.push(write);
        }
        Ok(())
    }

    /// What goes back of one place; `None` = nothing: that is told, or in the way.
    fn field(
        &mut self,
        key: &ObjectKey,
        place: &[String],
        versions: [&Value; 3],
        wanted: Option<&Wanted<'_>>,
    ) -> Result<Option<FieldChange>, ledger::Error> {
        let at = path(place);
        let [to, left, value] = versions.map(|version| value_at(version, place));
        let json = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
        let change =
            |one, two| hide(key, FieldChange { path: at.clone(), was: json(one), now: json(two) });
        match wanted.filter(|wanted| wanted.says(key, place)) {
            _ if value == to => {
                let how = if wanted.is_some() { "it was put back" } else { "it is as before" };
                self.judged.notes.push(format!("{key} {at}: {how} already"));
            }
            Some(_) if value != left => {
                self.judged.notes.push(format!("{key} {at}: Git says what it is now"));
            }
            Some(wanted) => self.judged.conflicts.push(git_says(key, &at, wanted.app)),
            None if value != left => {
                let other = field_change(&change(left, value));
                self.conflict(key, &format!("{other} (the event made it the former)"))?;
            }
            None if key.is_secret() && to.is_some_and(has_digest) => {
                self.judged.missing.push(format!("{at} of {}", secret(key)));
            }
            None => return Ok(Some(change(value, to))),
        }
        Ok(None)
    }
}

/// A field of Git's that is as the event made it.
fn git_says(key: &ObjectKey, at: &str, app: &AppName) -> String {
    format!(
        "{key} {at}: Git says it, and it is as the event made it: `greffier why {key}` says why \
         application {app} leaves it"
    )
}

fn secret(key: &ObjectKey) -> String {
    format!("{key}: {RECORDED_NOWHERE}")
}
