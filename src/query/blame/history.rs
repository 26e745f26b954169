//! The versions of an object with what they say, folded into who set what.
//!
//! Objects are large and mostly the same from version to version, so a version is read only where
//! its digest is another one, and a field set once for all versions that have it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::super::book::{self, Book};
use super::Error;
use super::parts::{Known, Part, parts};
use super::schema::Schema;
use super::state::{Manager, Owners, State};
use super::stored::Stored;
use super::versions::{Life, Version};
use crate::cluster::field_set::FieldSet;
use crate::ledger;
use crate::ledger::event::Verb;
use crate::model::{BlobAddr, Digest, ObjectKey, Timestamp, canonical_json};

/// What is known of an object at the end of its last life.
pub(super) struct History<'l> {
    pub(super) schema: Schema,
    /// The versions of the last life, in order.
    pub(super) versions: Vec<Seen<'l>>,
    /// The last of them.
    pub(super) object: Value,
    pub(super) state: State,
}

/// A version with its field managers.
#[derive(Debug)]
pub(super) struct Seen<'l> {
    pub(super) version: &'l Version,
    /// When each manager wrote last, by the object's word.
    pub(super) times: BTreeMap<Manager, Option<Timestamp>>,
    pub(super) owners: Arc<Owners>,
}

/// Reads the versions of the last life and folds them.
///
/// # Errors
/// A blob that cannot be read.
pub(super) fn read<'l>(
    book: &dyn Book,
    key: &ObjectKey,
    lives: &'l [Life],
) -> Result<History<'l>, Error> {
    let mut reading = Reading {
        book,
        schema: Schema::of_group(key.group()),
        sets: BTreeMap::new(),
        last: Arc::default(),
    };
    let mut versions = Vec::new();
    // What is known of the kind's lists is known from earlier lives too.
    for life in lives {
        versions.clear();
        for version in &life.versions {
            versions.push(reading.seen(version)?);
        }
    }
    let schema = reading.schema;
    let (mut state, mut last) = (State::default(), None::<Last>);
    let mut known = Known::default();
    for (number, seen) in versions.iter().enumerate() {
        let before = number.checked_sub(1).and_then(|before| versions.get(before));
        let same = before.is_some_and(|before| before.version.digest == seen.version.digest);
        if !same {
            let now = Last::new(book, seen.version.object)?;
            match &last {
                Some(last) => {
                    let parts = last.differing(&schema, &mut known, &now)?;
                    state.go_on_in(&schema, number, &parts);
                }
                None => state.begin(&schema, number, &now.object()?),
            }
            last = Some(now);
        }
        // A takeover moves ownership and writes no field.
        let moved = seen.version.own.as_ref().is_some_and(|own| own.write.verb == Verb::TakeOver);
        if let Some(before) = before.filter(|_| !moved)
            && !Arc::ptr_eq(&before.owners, &seen.owners)
        {
            state.owned(number, &before.owners, &seen.owners);
        }
    }
    let object = last.as_ref().map(Last::object).transpose()?.unwrap_or_default();
    Ok(History { schema, versions, object, state })
}

struct Reading<'b> {
    book: &'b dyn Book,
    schema: Schema,
    /// Field sets by their digests.
    sets: BTreeMap<Digest, Arc<FieldSet>>,
    /// The owners in the version before.
    last: Arc<Owners>,
}

impl Reading<'_> {
    fn seen<'l>(&mut self, version: &'l Version) -> Result<Seen<'l>, Error> {
        let known = version.stamps.as_ref().filter(|stamps| {
            !self.schema.is_unsure() && stamps.iter().all(|s| self.sets.contains_key(&s.fields))
        });
        let mut entries = Vec::new();
        if let Some(stamps) = known {
            for stamp in stamps {
                let manager =
                    (stamp.manager.clone(), stamp.operation.clone(), stamp.subresource.clone());
                let set = self.sets.get(&stamp.fields).cloned().unwrap_or_default();
                entries.push((manager, stamp.time, set));
            }
        } else {
            let addr = version.object;
            let stored: WithFields = book::read(addr, &self.book.blob(addr)?)?;
            for entry in stored.fields {
                let manager = (entry.manager, entry.operation, entry.subresource);
                self.schema.learn(&stored.object, &entry.fields_v1);
                let digest = Digest::of(&canonical_json(&entry.fields_v1));
                let set = self.sets.entry(digest);
                let set = set.or_insert_with(|| Arc::new(FieldSet::parse(&entry.fields_v1)));
                let time = entry.time.map(Timestamp::from_seconds);
                entries.push((manager, time, Arc::clone(set)));
            }
        }
        let (mut times, mut owners) = (BTreeMap::new(), Owners::new());
        for (manager, time, set) in entries {
            // Who writes by several versions of the API has an entry for each.
            let last: &mut Option<Timestamp> = times.entry(manager.clone()).or_default();
            *last = (*last).max(time);
            let all = owners.entry(manager).or_insert_with(|| Arc::clone(&set));
            if *all != set {
                *all = Arc::new(all.union(&set));
            }
        }
        if *self.last != owners {
            self.last = Arc::new(owners);
        }
        Ok(Seen { version, times, owners: Arc::clone(&self.last) })
    }
}

/// A stored object: see `cluster::normalize`.
#[derive(Deserialize)]
struct WithFields {
    object: Value,
    fields: Vec<Fields>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    manager: String,
    operation: String,
    subresource: String,
    time: Option<i64>,
    fields_v1: Value,
}

/// The version before.
struct Last {
    addr: BlobAddr,
    bytes: Arc<[u8]>,
    /// `None` = it has to be read whole.
    stored: Option<Stored>,
}

impl Last {
    fn new(book: &dyn Book, addr: BlobAddr) -> Result<Self, Error> {
        let bytes = book.blob(addr)?;
        let stored = Stored::guess(Arc::clone(&bytes));
        Ok(Self { addr, bytes, stored })
    }

    fn read(&self) -> Result<Stored, Error> {
        let unreadable = |source| self.unreadable(source);
        Stored::read(Arc::clone(&self.bytes)).map_err(unreadable)
    }

    fn object(&self) -> Result<Value, Error> {
        let stored = self.read()?;
        Ok(book::read(self.addr, stored.bytes(stored.object()))?)
    }

    /// Where the next version differs.
    fn differing(
        &self,
        schema: &Schema,
        known: &mut Known,
        now: &Self,
    ) -> Result<Vec<Part>, Error> {
        let guessed = self.stored.as_ref().zip(now.stored.as_ref());
        match guessed.map(|(was, now)| parts(schema, known, was, now)) {
            Some(Ok(found)) => Ok(found),
            _ => {
                let found = parts(schema, known, &self.read()?, &now.read()?);
                found.map_err(|error| now.unreadable(error))
            }
        }
    }

    fn unreadable(&self, source: serde_json::Error) -> Error {
        ledger::Error::Unreadable { addr: self.addr, source: Arc::new(source) }.into()
    }
}
