//! Which object a key names that may be written in short: its kind by any name that kubectl knows
//! of it, without group or namespace where it is the only one. What is gone is found by what the
//! ledger recorded of it.

use super::super::book::Book;
use super::super::text::near_names;
use super::subject::{CANDIDATES_MAX, SubjectError, Wanted, is_excluded, near};
use crate::ledger::store::SubjectKey;
use crate::model::{AppName, ObjectKey, Seq};
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
    let kinds = if keys.is_empty() { near_kinds(world, given.kind()) } else { Vec::new() };
    let whole = keys.first().unwrap_or(given);
    let (near, excluded) = (near(world, whole), is_excluded(world, whole));
    Naming { given: given.clone(), found, keys, near, kinds, excluded }
}

/// The kind that a name means: the kind itself, its plural or kubectl's short name of it, with or
/// without its group, as it is served or as objects of it are known.
///
/// # Errors
/// [`SubjectError::UnknownKind`]: objects of it may still be recorded from earlier.
pub fn kind_named(world: &World, text: &str) -> Result<String, SubjectError> {
    let (kind, group) = text.split_once('.').unwrap_or((text, ""));
    let wanted = Wanted::of(&ObjectKey::new(group, kind, "", ""));
    let found = wanted.keys(world).into_iter().next().or_else(|| {
        let keys = world.live.keys().chain(world.wanted_by.keys()).chain(world.owned.keys());
        wanted.of_kind(world, keys).cloned()
    });
    match found {
        Some(key) if group.is_empty() => Ok(key.kind().to_owned()),
        Some(key) => Ok(key.group_kind().to_string()),
        None => {
            let (wanted, kind) = (format!("objects of kind {text}"), text.to_owned());
            Err(SubjectError::UnknownKind { wanted, kind, near: near_kinds(world, text) })
        }
    }
}

/// The object of an application that a key names that may be written in short: only what the
/// application wants or owns is meant. What names none of that is left to whoever refuses it.
///
/// # Errors
/// [`SubjectError::Ambiguous`].
pub fn named_of(world: &World, app: &str, given: &ObjectKey) -> Result<ObjectKey, SubjectError> {
    let app = app.parse::<AppName>().ok();
    let Some((name, app)) = app.and_then(|app| world.apps.get_key_value(&app)) else {
        return Ok(given.clone());
    };
    let is_of = |key: &ObjectKey| {
        app.wants(key) || world.owned.get(key).is_some_and(|owned| owned.app == *name)
    };
    if is_of(given) {
        return Ok(given.clone());
    }
    let wanted = Wanted::of(given);
    match wanted.all(world).into_iter().filter(|key| is_of(key)).collect::<Vec<_>>().as_slice() {
        [] => Ok(wanted.key(world)),
        [key] => Ok((*key).clone()),
        several => {
            let candidates = several.iter().take(CANDIDATES_MAX).map(ToString::to_string);
            let (wanted, candidates) = (given.to_string(), candidates.collect());
            Err(SubjectError::Ambiguous { wanted, candidates })
        }
    }
}

/// Kinds that are called like it.
fn near_kinds(world: &World, kind: &str) -> Vec<String> {
    let served = world.cluster.kinds.values();
    near_names(kind, served.flat_map(|kind| [kind.kind.kind.as_str(), kind.plural.as_str()]))
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
                let (wanted, kind) = (given.to_string(), given.kind().to_owned());
                Err(SubjectError::UnknownKind { wanted, kind, near: kinds })
            }
        }
    }
}
