//! Which object a key names that may be written in short: its kind by any name that kubectl knows
//! of it, without group or namespace where it is the only one. What is gone is found by what the
//! ledger recorded of it.

use super::super::book::Book;
use super::super::text::near_names;
use super::subject::{CANDIDATES_MAX, SubjectError, Wanted, is_excluded, near};
use crate::ledger::store::SubjectKey;
use crate::model::{ObjectKey, Seq};
use crate::replay::World;

/// What the world knows of a name; the ledger is read afterwards.
#[derive(Debug)]
pub struct Naming {
    given: ObjectKey,
    /// Objects that are there, wanted or applied, and have the name.
    found: Vec<ObjectKey>,
    /// What the object would be called, of every kind that may be meant.
    keys: Vec<ObjectKey>,
    near: Vec<String>,
    /// Kinds that are called like it, where none is called so.
    kinds: Vec<String>,
    excluded: bool,
}

/// Looks for what a key names.
#[must_use]
pub fn naming(world: &World, given: &ObjectKey) -> Naming {
    let wanted = Wanted::of(given);
    let mut found: Vec<ObjectKey> = wanted.all(world).into_iter().cloned().collect();
    if found.contains(given) {
        found.retain(|key| key == given);
    }
    let keys = wanted.keys(world);
    let served = || world.cluster.kinds.values();
    let names = served().flat_map(|kind| [kind.kind.kind.as_str(), kind.plural.as_str()]);
    let kinds = if keys.is_empty() { near_names(&given.kind, names) } else { Vec::new() };
    let whole = keys.first().unwrap_or(given);
    let (near, excluded) = (near(world, whole), is_excluded(world, whole));
    Naming { given: given.clone(), found, keys, near, kinds, excluded }
}

impl Naming {
    /// The one object that is meant.
    ///
    /// # Errors
    /// [`SubjectError::Unknown`], [`SubjectError::UnknownKind`], [`SubjectError::Ambiguous`].
    pub fn read(self, book: &dyn Book) -> Result<ObjectKey, SubjectError> {
        let Self { given, mut found, keys, near, kinds, excluded } = self;
        let recorded =
            |key: &ObjectKey| !book.find(SubjectKey::object(key), Seq::ZERO, 1).is_empty();
        if recorded(&given) {
            return Ok(given);
        }
        if found.is_empty() {
            found = keys.iter().filter(|key| recorded(key)).cloned().collect();
        }
        match found.as_slice() {
            [key] => return Ok(key.clone()),
            [] => {}
            several => {
                let candidates = several.iter().take(CANDIDATES_MAX).map(ToString::to_string);
                let (wanted, candidates) = (given.to_string(), candidates.collect());
                return Err(SubjectError::Ambiguous { wanted, candidates });
            }
        }
        match keys.first() {
            Some(key) => Err(SubjectError::Unknown { wanted: key.to_string(), near, excluded }),
            None => {
                let (wanted, kind) = (given.to_string(), given.kind);
                Err(SubjectError::UnknownKind { wanted, kind, near: kinds })
            }
        }
    }
}
