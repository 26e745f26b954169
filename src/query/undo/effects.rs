//! What an event made of the objects of one application, and what of that can be taken back.
//!
//! Each field goes back to the value before, if its present value is still what the event made of
//! it; what else came since is a conflict and is named with who brought it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::book::{Book, as_intent};
use super::super::describe::field_change;
use super::super::instant::backwards;
use super::came::{self, Came, Whose};
use super::places::places;
use super::since;
use crate::cluster::compare::path;
use crate::cluster::value_at;
use crate::ledger::event::{
    DesiredObject, Event, FieldChange, HeldFields, HeldObject, HoldOf, WriteResult,
};
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Ends};
use crate::model::{AppName, Digest, ObjectKey, Seq};
use crate::plan::CREATE_NAMESPACE;
use crate::plan::secret::hide;
use crate::replay::World;

/// Bound: how many events of the application are looked at for a manifest.
const LOOKED_AT_MAX: usize = 20_000;
/// How many characters of a value are quoted.
const VALUE_CHARS_MAX: usize = 60;

/// What an application had applied, or wanted, at an instant: the digest of each manifest, and
/// what else is known of it.
pub type State = BTreeMap<ObjectKey, (Digest, Option<DesiredObject>)>;

/// What was applied of `keys` for an application.
#[must_use]
pub fn applied(world: &World, app: &AppName, keys: &BTreeSet<ObjectKey>) -> State {
    let desired = world.apps.get(app).and_then(|app| app.desired.as_ref());
    let of = |key: &ObjectKey| {
        let owned = world.owned.get(key).filter(|owned| owned.app == *app)?;
        // What greffier deletes is as good as gone.
        if owned.applied.is_zero() {
            return None;
        }
        let object = desired.and_then(|desired| desired.objects.get(key));
        let object = object.filter(|object| object.digest == owned.applied).cloned();
        Some((key.clone(), (owned.applied, object)))
    };
    keys.iter().filter_map(of).collect()
}

/// What Git wanted of an application.
#[must_use]
pub fn wanted(world: &World, app: &AppName) -> State {
    let desired = world.apps.get(app).and_then(|app| app.unheld());
    let objects = desired.iter().flat_map(|desired| desired.objects.values());
    objects.map(|object| (object.key.clone(), (object.digest, Some(object.clone())))).collect()
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The object.
    pub key: ObjectKey,
    /// What was wanted of it; `None` = nothing.
    pub before: Option<DesiredObject>,
    /// What was wanted of it afterwards.
    pub after: Option<DesiredObject>,
    /// The uid that it had before, where it was there and greffier had never applied it.
    pub found: Option<String>,
}

/// What an object was of, before an application had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum There {
    /// An application had applied a manifest with this digest.
    Of(AppName, Digest),
    /// An application that was removed had left it to its heir: the ledger says what it had
    /// applied, if it had. The uid.
    Left(String),
    /// Nobody had applied it; its uid.
    Nobodys(String),
}

/// Which of `keys` were there, and whose.
#[must_use]
pub fn there(world: &World, keys: &[ObjectKey]) -> BTreeMap<ObjectKey, There> {
    let of = |key: &ObjectKey| {
        let live = world.live.get(key)?;
        let owned = world.owned.get(key).filter(|owned| owned.uid == live.uid);
        let there = match owned {
            Some(owned) if !owned.applied.is_zero() => There::Of(owned.app.clone(), owned.applied),
            Some(_) if !live.deleting => There::Left(live.uid.clone()),
            _ => There::Nobodys(live.uid.clone()),
        };
        Some((key.clone(), there))
    };
    keys.iter().filter_map(of).collect()
}

/// Says of effects that made something for an application what it was before, where it was there:
/// it goes back to that, and nothing takes it away. What cannot be found is named.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn found(
    book: &dyn Book,
    effects: Vec<Effect>,
    there: &BTreeMap<ObjectKey, There>,
    at: Seq,
) -> Result<(Vec<Effect>, Vec<String>), ledger::Error> {
    let (mut all, mut missing) = (Vec::new(), Vec::new());
    for mut effect in effects {
        let there = there.get(&effect.key).filter(|_| effect.before.is_none());
        let had = match there {
            Some(There::Of(app, digest)) => Some((app.clone(), *digest)),
            Some(There::Left(_)) => last_applied(book, &effect.key, at)?,
            _ => None,
        };
        match (had, there) {
            (Some((app, digest)), _) => {
                effect.before = rendered(book, &app, &effect.key, digest, at)?;
                if effect.before.is_none() {
                    missing.push(format!(
                        "{}: what application {app} had applied is not among the recorded renders",
                        effect.key
                    ));
                    continue;
                }
            }
            (None, Some(There::Left(uid) | There::Nobodys(uid))) => {
                effect.found = Some(uid.clone());
            }
            _ => {}
        }
        all.push(effect);
    }
    Ok((all, missing))
}

/// What was applied to an object last up to event `at`, and for which application; `None`, where
/// nothing was, or it was deleted after it.
fn last_applied(
    book: &dyn Book,
    key: &ObjectKey,
    at: Seq,
) -> Result<Option<(AppName, Digest)>, ledger::Error> {
    let (mut looked, mut failed) = (0, None);
    let found = backwards(book, SubjectKey::object(key), at.next(), |recorded| {
        looked += 1;
        let Some(body) = as_intent(recorded) else {
            return (looked >= LOOKED_AT_MAX).then_some(None);
        };
        let ends = match book.ends_of(recorded.seq()) {
            Ok(ends) => ends,
            Err(error) => {
                failed = Some(error);
                return Some(None);
            }
        };
        let until = ends.iter().filter(|ended| ended.seq() <= at);
        let mut results = until.filter_map(|ended| Ends::in_event(ended)).flat_map(|e| e.results);
        results.find_map(|(index, result)| {
            let write = body.writes.get(usize::try_from(*index).ok()?)?;
            match result {
                _ if write.key != *key => None,
                WriteResult::Applied(_) if !write.digest.is_zero() => {
                    Some(Some((body.app.clone(), write.digest)))
                }
                WriteResult::Deleted | WriteResult::AlreadyGone => Some(None),
                _ => None,
            }
        })
    })?;
    failed.map_or_else(|| Ok(found.flatten()), Err)
}

/// What differs between two states. What cannot be found any more is named in the second list.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn between(
    book: &dyn Book,
    app: &AppName,
    (before, after): (&State, &State),
    at: Seq,
) -> Result<(Vec<Effect>, Vec<String>), ledger::Error> {
    let (mut effects, mut missing) = (Vec::new(), Vec::new());
    let keys: BTreeSet<&ObjectKey> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let (was, is) = (before.get(key), after.get(key));
        if was.map(|(digest, _)| digest) == is.map(|(digest, _)| digest) {
            continue;
        }
        let mut full = |side: Option<&(Digest, Option<DesiredObject>)>| {
            let Some((digest, known)) = side else { return Ok(Some(None)) };
            let found = match known {
                Some(known) => Some(known.clone()),
                None => rendered(book, app, key, *digest, at)?,
            };
            if found.is_none() {
                missing.push(format!("{key}: what was applied is not among the recorded renders"));
            }
            Ok::<_, ledger::Error>(found.map(Some))
        };
        if let (Some(before), Some(after)) = (full(was)?, full(is)?) {
            effects.push(Effect { key: key.clone(), before, after, found: None });
        }
    }
    Ok((effects, missing))
}

/// The object as a render before `at` has it whose manifest has the digest.
fn rendered(
    book: &dyn Book,
    app: &AppName,
    key: &ObjectKey,
    digest: Digest,
    at: Seq,
) -> Result<Option<DesiredObject>, ledger::Error> {
    let mut looked = 0;
    let found = backwards(book, SubjectKey::app(app.as_str()), at.next(), |recorded| {
        looked += 1;
        let objects = match &recorded.event {
            Some(Event::RenderSucceeded(body)) if body.app == *app => &body.objects,
            Some(Event::AppHeld(body)) if body.app == *app => &body.desired.objects,
            _ => return (looked >= LOOKED_AT_MAX).then_some(None),
        };
        let found = objects.iter().find(|object| object.key == *key && object.digest == digest);
        found.map(|found| Some(found.clone()))
    })?;
    Ok(found.flatten())
}

/// What is of an object of an application now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Present {
    /// What is wanted of it.
    pub wanted: Option<DesiredObject>,
    /// Whether it is in the cluster.
    pub live: bool,
    /// Its uid there.
    pub uid: String,
    /// Another application that has it.
    pub other: Option<AppName>,
    /// Whether this one applied it.
    pub owned: bool,
    /// What people hold of it.
    pub holds: Vec<Seq>,
    /// What somebody changed by hand and is not put back: the event and the fields.
    pub drift: Option<(Seq, Vec<String>)>,
    /// Where it defines an application: whether that is there.
    pub defined: bool,
}

impl Present {
    /// What `world` says of it.
    #[must_use]
    pub fn of(world: &World, name: &AppName, key: &ObjectKey) -> Self {
        let Some(app) = world.apps.get(name) else { return Self::default() };
        let owned = world.owned.get(key);
        let mut wants = world.wanted_by.get(key).into_iter().flatten();
        // What it wants is about to be its own, whoever applied it before.
        let owner = owned.map(|owned| &owned.app).filter(|_| !app.wants(key));
        let other = wants.find(|app| *app != name).or(owner.filter(|app| *app != name));
        let drift = app.drift.get(key).map(|drift| {
            let fields = drift.fields.iter().map(|field| field.path.clone());
            (drift.seq, fields.collect())
        });
        Self {
            wanted: app.desired.as_ref().and_then(|d| d.objects.get(key)).cloned(),
            live: world.live.contains_key(key),
            uid: world.live.get(key).map(|live| live.uid.clone()).unwrap_or_default(),
            other: other.cloned(),
            owned: owned.is_some_and(|owned| owned.app == *name),
            holds: app.held(key, world.now),
            drift,
            defined: world.apps.keys().any(|app| app.as_str() == key.name()),
        }
    }
}

/// What of some effects can be taken back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// What is held for it.
    pub parts: Vec<HoldOf>,
    /// What changes: `was` as it is now, `now` as it is to be.
    pub fields: Vec<String>,
    /// What came since, by object or field.
    pub conflicts: Vec<String>,
    /// What cannot be read.
    pub missing: Vec<String>,
    /// What needs nothing.
    pub notes: Vec<String>,
}

/// Judges the effects of what came after event `before` and ended with `seq`, on objects of the
/// application that has them now.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn judge(
    book: &dyn Book,
    whose: Whose<'_>,
    (before, seq): (Seq, Seq),
    effects: &[Effect],
    present: &BTreeMap<ObjectKey, Present>,
) -> Result<Judged, ledger::Error> {
    let left = effects
        .iter()
        .map(|effect| (effect.key.clone(), effect.after.as_ref().map(|after| after.digest)));
    let came = came::of_git(book, whose, seq, &left.collect())?;
    let mut judge = Judge { book, app: whose.now, before, came, judged: Judged::default() };
    let nothing = Present::default();
    for effect in effects {
        judge.effect(effect, present.get(&effect.key).unwrap_or(&nothing))?;
    }
    Ok(judge.judged)
}

struct Judge<'a> {
    book: &'a dyn Book,
    app: &'a AppName,
    /// The last event before what is undone.
    before: Seq,
    /// What Git said of each object since.
    came: BTreeMap<ObjectKey, Came>,
    judged: Judged,
}

impl Judge<'_> {
    fn effect(&mut self, effect: &Effect, present: &Present) -> Result<(), ledger::Error> {
        let key = &effect.key;
        if let Some(why) = self.taken(key, present)? {
            self.judged.conflicts.push(format!("{key}: {why}"));
            return Ok(());
        }
        match (&effect.before, &effect.after, &present.wanted) {
            (Some(before), Some(after), Some(now)) => {
                self.changed(key, before, after, now, present)
            }
            (Some(_), Some(_), None) => {
                let why = self.since(key)?;
                self.conflict(key, &format!("application {} has it no more{why}", self.app));
                Ok(())
            }
            (Some(_), None, None) if present.live && !present.owned => {
                self.conflict(key, "somebody made it anew");
                Ok(())
            }
            (Some(before), None, None) => {
                if self.turned(key)? {
                    return Ok(());
                }
                if self.read(before)?.is_some() {
                    self.judged.fields.push(format!("{key} comes back"));
                    let (object, seen) = (before.clone(), false);
                    let held = HeldObject { object, seen };
                    self.judged.parts.push(HoldOf::Object(Box::new(held)));
                }
                Ok(())
            }
            (Some(before), None, Some(now)) => {
                self.back_again(key, before, now)?;
                Ok(())
            }
            // Where another of its name was there, this one was made.
            (None, Some(_), Some(_)) if effect.found.as_ref() == Some(&present.uid) => {
                let before = self.before;
                self.conflict(
                    key,
                    &format!(
                        "it was there before, and nobody's: greffier deletes nothing that it did \
                         not make. `greffier restore {key} --to '#{before}' --live --plan` shows \
                         what it was"
                    ),
                );
                Ok(())
            }
            (None, Some(after), Some(now)) => self.created(key, after, now, present),
            (None, _, None) => {
                let live = present.live && present.owned;
                let what = if live { "a sync removes it anyway" } else { "it is gone already" };
                self.judged.notes.push(format!("{key}: {what}"));
                Ok(())
            }
            (None, None, Some(_)) => Ok(()),
        }
    }

    fn conflict(&mut self, key: &ObjectKey, why: &str) {
        self.judged.conflicts.push(format!("{key}: {why}"));
    }

    /// Why nothing is done about the object at all.
    fn taken(&self, key: &ObjectKey, present: &Present) -> Result<Option<String>, ledger::Error> {
        if key.is_application() {
            let (name, root) = (key.name(), self.app);
            let how = match present.defined {
                true => format!("`greffier rollback {name}` goes back with its objects"),
                false => format!(
                    "which is gone: `greffier rollback {root} --tree --to '#{}' --plan` shows how it \
                     comes back, with everything below {root}",
                    self.before.0
                ),
            };
            return Ok(Some(format!("it defines application {name}: {how}")));
        }
        if let Some(other) = &present.other {
            return Ok(Some(format!("application {other} has it now")));
        }
        if let Some(hold) = present.holds.first() {
            let by = self.told(*hold)?;
            return Ok(Some(format!("hold #{hold} keeps something of it already: {by}")));
        }
        Ok(None)
    }

    /// The object was removed and is wanted again.
    fn back_again(
        &mut self,
        key: &ObjectKey,
        before: &DesiredObject,
        now: &DesiredObject,
    ) -> Result<(), ledger::Error> {
        if now.digest == before.digest {
            self.judged.notes.push(format!("{key}: Git has it again"));
            return Ok(());
        }
        let why = self.since(key)?;
        self.conflict(key, &format!("Git has it again, and otherwise{why}"));
        Ok(())
    }

    /// The object was made, and is to be absent again.
    fn created(
        &mut self,
        key: &ObjectKey,
        after: &DesiredObject,
        now: &DesiredObject,
        present: &Present,
    ) -> Result<(), ledger::Error> {
        if now.origin == CREATE_NAMESPACE {
            self.judged.notes.push(format!("{key}: the namespace of the application stays"));
            return Ok(());
        }
        if now.digest != after.digest {
            let why = self.since(key)?;
            self.conflict(key, &format!("Git has changed it since{why}"));
        } else if self.turned(key)? {
            // It is as the event left it, and somebody decided about it since.
        } else if let Some((drift, _)) = &present.drift {
            let by = self.told(*drift)?;
            self.conflict(key, &format!("it was changed by hand since, #{drift}: {by}"));
        } else {
            self.judged.fields.push(format!("{key} goes"));
            self.judged.parts.push(HoldOf::Absence(key.clone()));
        }
        Ok(())
    }

    /// The object was changed: its fields go back.
    fn changed(
        &mut self,
        key: &ObjectKey,
        before: &DesiredObject,
        after: &DesiredObject,
        now: &DesiredObject,
        present: &Present,
    ) -> Result<(), ledger::Error> {
        if self.turned(key)? {
            return Ok(());
        }
        let docs = (self.read(before)?, self.read(after)?, self.read(now)?);
        let (Some(was), Some(made), Some(is)) = docs else { return Ok(()) };
        let (mut good, mut fields) = (Vec::new(), Vec::new());
        for place in places(&was, &made) {
            let at = path(&place);
            let (to, left, value) =
                (value_at(&was, &place), value_at(&made, &place), value_at(&is, &place));
            if value == to {
                self.judged.notes.push(format!("{key} {at}: it is as before already"));
                continue;
            }
            if value != left {
                let change = hidden(key, &at, left, value);
                let why = self.since(key)?;
                let what = format!("{} is now, and the event made it {}", change.1, change.0);
                self.conflict(key, &format!("{at} {what}{why}"));
                continue;
            }
            if let Some((drift, _)) = drifted(present, &at) {
                let by = self.told(drift)?;
                self.conflict(key, &format!("{at} was changed by hand since, #{drift}: {by}"));
                continue;
            }
            let json = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
            let change = FieldChange { path: at, was: json(value), now: json(to) };
            let change = hide(key, change);
            self.judged.fields.push(format!("{key} {}", field_change(&change)));
            fields.push(change);
            good.push(place);
        }
        if !good.is_empty() {
            let (key, saved, of_manifest) = (key.clone(), before.manifest, true);
            let held = HeldFields { key, saved, of_manifest, places: good, fields };
            self.judged.parts.push(HoldOf::Fields(held));
        }
        Ok(())
    }

    /// The manifest; what cannot be read is noted.
    fn read(&mut self, object: &DesiredObject) -> Result<Option<Value>, ledger::Error> {
        let key = &object.key;
        let read = self.book.blob(object.manifest);
        let found = match read {
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(error) => {
                self.judged
                    .missing
                    .push(format!("{key}: its manifest {}: {error}", object.manifest));
                return Ok(None);
            }
        };
        if found.is_none() {
            self.judged.missing.push(format!("{key}: its manifest cannot be read"));
        }
        Ok(found)
    }

    fn told(&self, seq: Seq) -> Result<String, ledger::Error> {
        since::told(self.book, seq)
    }

    /// What made the object otherwise than the event left it.
    fn since(&self, key: &ObjectKey) -> Result<String, ledger::Error> {
        self.came.get(key).map_or_else(|| Ok(String::new()), |came| came.otherwise(self.book))
    }

    /// Whether Git dropped the object since or brought it in: a conflict, whatever is now.
    fn turned(&mut self, key: &ObjectKey) -> Result<bool, ledger::Error> {
        let Some(came) = self.came.get(key) else { return Ok(false) };
        let Some(why) = came.turned(self.book)? else { return Ok(false) };
        self.conflict(key, &why);
        Ok(true)
    }
}

/// The drift that is about a field.
fn drifted(present: &Present, path: &str) -> Option<(Seq, String)> {
    let (seq, fields) = present.drift.as_ref()?;
    let about = |a: &str, b: &str| {
        a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let field = fields.iter().find(|field| about(field, path) || about(path, field))?;
    Some((*seq, field.clone()))
}

/// Two values of a field as they may be told.
fn hidden(
    key: &ObjectKey,
    path: &str,
    one: Option<&Value>,
    two: Option<&Value>,
) -> (String, String) {
    let json = |value: Option<&Value>| match value {
        Some(value) => super::super::text::clip(&value.to_string(), VALUE_CHARS_MAX),
        None => String::new(),
    };
    let change = FieldChange { path: path.to_owned(), was: json(one), now: json(two) };
    let change = hide(key, change);
    let or_absent = |text: String| if text.is_empty() { "(absent)".to_owned() } else { text };
    (or_absent(change.was), or_absent(change.now))
}
