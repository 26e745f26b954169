//! `blame`: who set each field of an object, since when it has been what it is, which commit it
//! comes from, and who removed what is no longer there.
//!
//! The versions of the object are read from the ledger ([`versions`]), told apart field by field
//! ([`schema`], [`fields`]) and folded ([`state`]). What the ledger does not know is said: what a
//! list showed after a gap lies between two events, a field manager is a claim, and where the
//! object's managed fields name somebody else than the ledger both are told.
//!
//! [`gather`] works under the world's lock and does no I/O; [`Pending::read`] reads the ledger
//! afterwards. Texts are returned as they are: whoever prints them makes them safe.
//!
//! Security: of a Secret the names of its keys are told, never a value or a digest of one.

mod commits;
mod fields;
mod git;
mod history;
mod mirrored;
mod owned;
mod parts;
mod path;
mod schema;
mod state;
mod stored;
mod versions;
mod who;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::anew::{self, Anew};
use super::book::Book;
use super::text::near_names;
use super::why::{Found, Subject, SubjectError, is_excluded, near};
use crate::ledger;
use crate::ledger::event::Learned;
use crate::model::{ObjectKey, Seq};
use crate::plan::secret::{SECRET, is_open};
use crate::replay::World;

pub(super) use self::commits::{Made, brought};
pub(super) use self::owned::Owned;

use self::fields::Place;
use self::git::Desired;
use self::history::{History, Seen};
pub(in crate::query) use self::path::Pattern;
use self::state::Manager;
use self::versions::Life;

pub use self::git::FromGit;
pub use self::mirrored::Mirrored;
pub use self::who::{AMBIGUOUS, CLAIMED, EXACT, OwnWrite, UNIQUE, UNKNOWN, Who};

/// The answer. It goes over the wire as it is: fields are added, never renamed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Blame {
    /// The object's key.
    pub subject: String,
    /// The last event that the answer knows of.
    pub seq: u64,
    /// The object's uid.
    pub uid: String,
    /// How it began: created, or first seen.
    pub begun: Deed,
    /// How it ended, where it did; the fields are those that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<Deed>,
    /// Where it was seen only in the former cluster, or in this one before it was set back: since
    /// when it is another, in words. What `gone` tells then is that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub former: String,
    /// How many versions are known of it.
    pub versions: usize,
    /// How many objects had the name before it; nothing of theirs counts.
    pub before: usize,
    /// The fields, in the order of the object.
    pub fields: Vec<Field>,
    /// What it had and has no longer, in order of the paths.
    pub removed: Vec<Removed>,
}

/// One field.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Its path, e.g. `.spec.template.spec.containers[name=web].image`.
    pub path: String,
    /// The edges of a field set that lead to it.
    pub place: Vec<String>,
    /// Its value; of a Secret `(secret)`.
    pub value: Value,
    /// Its value before, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Value>,
    /// Who wrote it last.
    pub set: Deed,
    /// Since when it has had this value, and who gave it that.
    pub introduced: Deed,
    /// The field managers that own it in the object as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// What the object says otherwise than the ledger; empty when they agree.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub conflict: String,
    /// Whether an item on the path is told by its position only, because it is not known what
    /// tells the items of the list apart: when one is added or removed, those behind it change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_position: bool,
}

/// A field that is no longer there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    /// Its path.
    pub path: String,
    /// The edges of a field set that led to it.
    pub place: Vec<String>,
    /// Its last value; of a Secret `(secret)`.
    pub was: Value,
    /// Who removed it.
    pub removed: Deed,
    /// Who had written it last.
    pub set: Deed,
}

/// When something happened, and who did it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Deed {
    /// The event that told of it.
    pub seq: u64,
    /// When that was recorded.
    pub time: String,
    /// Where it was not seen as it happened: the last event before which it had not happened, or
    /// 0 where nothing is known before. It happened between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Who did it.
    pub who: Who,
    /// The commit that the value comes from, where greffier applied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<FromGit>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The question names nothing, or several things.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// It names an application or an event.
    #[error("`{0}` is no object: only objects have fields")]
    NotAnObject(String),
    /// What was asked for is no path.
    #[error("`{0}` is no path of a field")]
    NotAPath(String),
    /// The object has, and had, no such field.
    #[error("{object} has no field {path}")]
    NoField {
        /// The object.
        object: String,
        /// What was asked for.
        path: String,
        /// Paths that look like it.
        near: Vec<String>,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Subject(error) => error.hint(),
            Self::NotAnObject(event) if event.starts_with('#') => {
                format!("`greffier show '{event}'` shows the event")
            }
            Self::NotAnObject(app) => {
                format!(
                    "`greffier tree {app}` lists its objects, e.g. `greffier blame deploy/web -n prod`"
                )
            }
            Self::NotAPath(_) => {
                "e.g. `.spec.replicas`, or `.spec.template.spec.containers[name=web].image`"
                    .to_owned()
            }
            Self::NoField { near, .. } if near.is_empty() => {
                "without --field all are listed".to_owned()
            }
            Self::NoField { near, .. } => format!("did you mean {}?", near.join(", ")),
            Self::Ledger(_) => "run `greffier ledger verify`".to_owned(),
        }
    }
}

/// A question whose subject is known.
#[derive(Debug, Clone)]
pub struct Pending {
    key: ObjectKey,
    until: Seq,
    field: Option<(String, Pattern)>,
    near: Vec<String>,
    excluded: bool,
}

/// Finds the object that is asked about; `field` is the path of a field. Does no I/O.
///
/// # Errors
/// When the question names no object, several, or no path.
pub fn gather(world: &World, subject: &Subject, field: Option<&str>) -> Result<Pending, Error> {
    let key = match subject.find(world)? {
        Found::App(name) => return Err(Error::NotAnObject(name.to_string())),
        Found::Event(seq) => return Err(Error::NotAnObject(format!("#{seq}"))),
        Found::Object(key, _) => key,
    };
    let field = field.map(|path| {
        let pattern = Pattern::parse(path).ok_or_else(|| Error::NotAPath(path.to_owned()))?;
        Ok::<_, Error>((path.to_owned(), pattern))
    });
    let known = world.live.contains_key(&key);
    let near = if known { Vec::new() } else { near(world, &key) };
    let excluded = is_excluded(world, &key);
    Ok(Pending { key, until: world.seq, field: field.transpose()?, near, excluded })
}

/// What is told of an object, or of one of its fields, as of `until`; no file is looked up. `None` =
/// nothing is.
pub(super) fn of(
    book: &dyn Book,
    key: &ObjectKey,
    field: Option<(&str, Pattern)>,
    until: Seq,
) -> Result<Option<Blame>, ledger::Error> {
    let field = field.map(|(path, pattern)| (path.to_owned(), pattern));
    let (near, excluded) = (Vec::new(), false);
    let pending = Pending { key: key.clone(), until, field, near, excluded };
    match pending.read(book, &mirrored::Nothing) {
        Ok(blame) => Ok(Some(blame)),
        Err(Error::Ledger(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// The event that gave the field at `path` the value that it has as of `until`, or that removed
/// it, where somebody else than greffier did; `None` = blame does not tell.
pub(super) fn introduced(
    book: &dyn Book,
    key: &ObjectKey,
    path: &str,
    until: Seq,
) -> Result<Option<Seq>, ledger::Error> {
    let Some(pattern) = Pattern::parse(path) else { return Ok(None) };
    let Some(blame) = of(book, key, Some((path, pattern)), until)? else { return Ok(None) };
    let set = blame.fields.iter().map(|field| &field.introduced);
    let deeds = set.chain(blame.removed.iter().map(|removed| &removed.removed));
    let by_others = deeds.filter(|deed| deed.who.write.is_none() && deed.seq > 0);
    Ok(by_others.map(|deed| Seq(deed.seq)).max())
}

impl Blame {
    /// The commit that the value at `path` comes from, where greffier wrote it last; `None` = it did
    /// not, or parts of it come from several.
    pub(super) fn origin(&self, path: &str) -> Option<&FromGit> {
        let pattern = Pattern::parse(path)?;
        let fields = self.fields.iter().filter(|field| pattern.covers(&field.place));
        let mut found = fields.map(|field| field.set.git.as_ref());
        let first = found.next()??;
        found.all(|git| git.is_some_and(|git| git.commit == first.commit)).then_some(first)
    }
}

impl Pending {
    /// Reads the object's versions and says who set what; files are looked up in `mirrored`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read(self, book: &dyn Book, mirrored: &dyn Mirrored) -> Result<Blame, Error> {
        let lives = versions::read(book, &self.key, self.until)?;
        let Some(life) = lives.last() else {
            let wanted = self.key.to_string();
            let (near, excluded) = (self.near, self.excluded);
            return Err(SubjectError::Unknown { wanted, near, excluded }.into());
        };
        // What was seen of another cluster is not there, whether anybody saw it go or not.
        let anew = anew::told(book, self.until)?.filter(|anew| life.last() < anew.seq);
        let anew = anew.filter(|_| life.gone.is_none());
        let history = history::read(book, &self.key, &lives)?;
        let desired = Desired::read(book, &self.key, &history.schema, &lives, mirrored)?;
        let mut telling = Telling { key: &self.key, history: &history, desired };
        let wanted = |place: &Place| match &self.field {
            Some((_, pattern)) => pattern.covers(place),
            None => true,
        };
        let mut blame = Blame {
            subject: self.key.to_string(),
            seq: self.until.0,
            uid: life.uid().to_owned(),
            begun: telling.begun(&lives),
            gone: match &anew {
                Some(anew) => Some(of_former(anew, life.last())),
                None => life.gone.as_ref().map(|gone| telling.gone(gone)),
            },
            former: anew.map(|anew| anew.text).unwrap_or_default(),
            versions: history.versions.len(),
            before: lives.len() - 1,
            ..Blame::default()
        };
        let leaves = fields::leaves(&history.schema, &history.object);
        for leaf in leaves.iter().filter(|leaf| wanted(&leaf.place)) {
            blame.fields.extend(telling.field(leaf)?);
        }
        for (place, tombstone) in history.state.removed.iter().filter(|(place, _)| wanted(place)) {
            blame.removed.push(telling.removed(place, tombstone));
        }
        match self.field {
            Some((path, _)) if blame.fields.is_empty() && blame.removed.is_empty() => {
                let known: Vec<String> =
                    leaves.iter().map(|leaf| path::text(&leaf.place)).collect();
                let near = near_names(&path, known.iter().map(String::as_str));
                Err(Error::NoField { object: blame.subject, path, near })
            }
            _ => Ok(blame),
        }
    }
}

/// That an object is of a former cluster.
fn of_former(anew: &Anew, last: Seq) -> Deed {
    Deed {
        seq: anew.seq.0,
        time: anew.time.to_string(),
        after: Some(last.0),
        who: Who::unknown(&anew.text),
        git: None,
    }
}

/// What turns numbers of versions into words.
struct Telling<'h> {
    key: &'h ObjectKey,
    history: &'h History<'h>,
    desired: Desired<'h>,
}

impl<'h> Telling<'h> {
    fn version(&self, number: usize) -> Option<(&Seen<'h>, Option<&Seen<'h>>)> {
        let before = number.checked_sub(1).and_then(|before| self.history.versions.get(before));
        Some((self.history.versions.get(number)?, before))
    }

    /// When a version was told of, and between what it came about where a list told of it.
    fn when((seen, before): (&Seen<'_>, Option<&Seen<'_>>)) -> Deed {
        let version = seen.version;
        let last = before.and_then(|before| before.version.told_by.iter().max());
        let listed = version.learned == Learned::Listed;
        Deed {
            seq: version.seq.0,
            time: version.time.to_string(),
            after: listed.then(|| last.map_or(0, |seq| seq.0)),
            ..Deed::default()
        }
    }

    /// Who wrote the leaf with a version. The one place where a name comes from.
    fn set(&mut self, number: usize, place: &[String], value: &Value) -> Result<Deed, Error> {
        let Some(version) = self.version(number) else { return Ok(Deed::default()) };
        let mut deed = Self::when(version);
        deed.who = who::who_set(version.0, version.1, place);
        let own = version.0.version.own.clone();
        if let Some(own) = own.filter(|own| deed.who.write.is_some() && !own.app.is_empty()) {
            deed.git = Some(self.desired.origin(&own, place, value)?);
        }
        Ok(deed)
    }

    fn field(&mut self, leaf: &fields::Leaf<'_>) -> Result<Option<Field>, Error> {
        let Some(entry) = self.history.state.entries.get(&leaf.place) else { return Ok(None) };
        let set = self.set(entry.set, &leaf.place, leaf.value)?;
        let introduced = match entry.since == entry.set {
            true => set.clone(),
            false => self.set(entry.since, &leaf.place, leaf.value)?,
        };
        let last = self.history.versions.last();
        let owners = last.map(|last| who::owners(last, &leaf.place)).unwrap_or_default();
        let own = set.who.write.is_some();
        let claimants = self.version(entry.set).filter(|_| !own);
        let claimants = claimants
            .map(|(seen, before)| who::claimants(seen, before, &leaf.place))
            .filter(|_| !set.who.managers.is_empty())
            .unwrap_or_default();
        Ok(Some(Field {
            path: path::text(&leaf.place),
            value: self.shown(&leaf.place, leaf.value),
            was: entry.previous.as_ref().map(|was| self.shown(&leaf.place, was)),
            conflict: conflict((own, &claimants), &owners, self.history, entry.set),
            by_position: leaf.by_position,
            place: leaf.place.clone(),
            set,
            introduced,
            owners: owners.into_iter().map(who::manager_text).collect(),
        }))
    }

    fn removed(&mut self, place: &Place, tombstone: &state::Tombstone) -> Removed {
        let mut removed = Removed {
            path: path::text(place),
            place: place.clone(),
            was: self.shown(place, &tombstone.last),
            ..Removed::default()
        };
        if let Some(version) = self.version(tombstone.removed) {
            removed.removed = Self::when(version);
            removed.removed.who = who::who_removed(version.0, version.1, place);
        }
        if let Some(version) = self.version(tombstone.set) {
            removed.set = Self::when(version);
            removed.set.who = who::who_set(version.0, version.1, place);
        }
        removed
    }

    fn begun(&self, lives: &[Life]) -> Deed {
        let Some(version) = self.version(0) else { return Deed::default() };
        let mut deed = Self::when(version);
        if !who::is_created(version.0) {
            deed.after.get_or_insert(0);
        }
        if let (Some(_), [.., former, _]) = (deed.after, lives) {
            let gone = former.gone.as_ref().map(|gone| gone.seq.0);
            let last = former.versions.last().map(|version| version.seq.0);
            deed.after = gone.or(last);
        }
        deed.who = who::who_began(version.0);
        deed
    }

    fn gone(&self, gone: &versions::Gone) -> Deed {
        let last = self.history.versions.last();
        let last = last.and_then(|last| last.version.told_by.iter().max());
        Deed {
            seq: gone.seq.0,
            time: gone.time.to_string(),
            after: (gone.learned == Learned::Listed).then(|| last.map_or(0, |seq| seq.0)),
            who: who::who_ended(gone),
            git: None,
        }
    }

    /// A value as it may be shown.
    fn shown(&self, place: &[String], value: &Value) -> Value {
        let mut names = place.iter().map(|edge| edge.strip_prefix("f:").unwrap_or_default());
        let (field, below) = (names.next().unwrap_or_default(), names.next());
        if self.key.is_secret() && !is_open(field, below) {
            return Value::from(SECRET);
        }
        value.clone()
    }
}

/// Where the owners that the object names do not have the ledger's last writer among them:
/// greffier, or those who claim to be it.
fn conflict(
    (own, claimants): (bool, &[&Manager]),
    owners: &[&Manager],
    history: &History<'_>,
    number: usize,
) -> String {
    let mut writes = history.versions.iter().filter_map(|seen| seen.version.own.as_ref());
    // Who replaces an object does not apply, and is told by the name alone.
    let replaced = writes.any(who::replaces);
    let greffiers = |owner: &&Manager| {
        who::is_own(owner) || (replaced && owner.0 == crate::cluster::FIELD_MANAGER)
    };
    let among = |owner: &&Manager| if own { greffiers(owner) } else { claimants.contains(owner) };
    // Where nobody owned it when it was written, nothing contradicts that somebody does now.
    let silent = !own && claimants.is_empty();
    if owners.is_empty() || owners.iter().any(among) || silent {
        return String::new();
    }
    // Ownership that greffier took over since is no contradiction.
    let later = history.versions.iter().skip(number + 1);
    let taken = later.filter_map(|seen| seen.version.own.as_ref());
    if owners.iter().all(greffiers) && taken.count() > 0 {
        return String::new();
    }
    let named: Vec<String> = owners.iter().map(|owner| who::manager_text(owner)).collect();
    format!("the object names {} as its owner", named.join(", "))
}
