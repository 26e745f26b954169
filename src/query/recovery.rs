//! What of the ledger may be replayed onto an empty cluster, and what may not.
//!
//! [`gather`] does no I/O; [`Pending::read`] reads the manifests. The plan is then
//! [`crate::recovery::plan`].
//!
//! Security: the manifests have the values of Secrets. They go to the API server and nowhere else;
//! what is shown of a plan has none.

mod kept;
mod left;
mod of_commit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::apps::UnknownApp;
use super::book::Book;
use super::text::{list, near_names};
use crate::cluster::{KindPattern, OWNER_ANNOTATION, Stored, lay_held, set_beside};
use crate::ledger;
use crate::ledger::event::{DesiredObject, Event, HeldFields, HoldOf, Preview};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::model::{AppName, BlobAddr, ObjectKey, Seq, Timestamp};
use crate::plan::CREATE_NAMESPACE;
use crate::recovery::candidate::Candidate;
use crate::recovery::lost::{Loss, LossKind};
use crate::recovery::plan::{Input, Skipped};
use crate::recovery::progress::{Progress, all_onto};
use crate::recovery::{Source, skips};
use crate::replay::{App, LiveObject, World};

use left::Left;

pub use kept::of_daemon;
pub use of_commit::{Stands, of_commit, unsettled};

/// How many objects of an application a note names.
const NAMED_MAX: usize = 10;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The applications; empty = all.
    pub apps: Vec<AppName>,
    /// Whether what was observed is replayed, rather than what was wanted.
    pub live: bool,
    /// Whether also what no application owns.
    pub unowned: bool,
}

/// An object whose manifests are still to be read.
#[derive(Debug, Clone)]
struct Entry {
    key: ObjectKey,
    version: String,
    app: Option<AppName>,
    wave: i32,
    wanted: Option<BlobAddr>,
    observed: Option<BlobAddr>,
    /// Fields that people hold, with the events that began the holds.
    held: Vec<(Seq, HeldFields)>,
    /// The render that wants it as it would be written.
    render: Option<Seq>,
    uid: String,
    validate: bool,
    /// Why it is there although it left Git; `None` = it did not, or greffier never had it.
    left: Option<String>,
    /// Whether it stays until something else is written, and is replayed for that.
    stays: bool,
}

/// What [`Pending::read`] reads.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    input: Input,
    wanted: Vec<Entry>,
    others: Vec<Entry>,
}

/// Gathers what may be replayed of a world. Does no I/O.
///
/// # Errors
/// When an application that is asked for is not there.
pub fn gather(world: &World, asked: &Asked) -> Result<Pending, UnknownApp> {
    for name in &asked.apps {
        if !world.apps.contains_key(name) {
            let near = near_names(name.as_str(), world.apps.keys().map(AppName::as_str));
            return Err(UnknownApp { name: name.to_string(), near });
        }
    }
    let mut gathering = Gathering { world, asked, pending: Pending::default() };
    gathering.pending.input = Input {
        to: world.seq,
        at: world.now,
        live: asked.live,
        apps: asked.apps.iter().map(ToString::to_string).collect(),
        unowned: asked.unowned,
        ..Input::default()
    };
    if asked.live || asked.unowned {
        gathering.pending.input.notes.extend(kept::observed(world));
    }
    let older = world.old_copy().map(|sign| {
        format!(
            "the ledger may be an OLD COPY: greffier wrote to {} at {}, later than it knows of; \
             what was pushed, and decided by people, since then is not in it",
            sign.key, sign.at
        )
    });
    gathering.pending.input.notes.extend(older);
    let mut taken = BTreeSet::new();
    for (name, app) in &world.apps {
        if asked.apps.is_empty() || asked.apps.contains(name) {
            gathering.app(name, app, &mut taken);
        }
    }
    gathering.prerequisites();
    gathering.live(&taken);
    if asked.apps.is_empty() {
        gathering.kinds();
    }
    Ok(gathering.pending)
}

struct Gathering<'w> {
    world: &'w World,
    asked: &'w Asked,
    pending: Pending,
}

impl Gathering<'_> {
    fn skip(&mut self, rule: &str, key: &ObjectKey) {
        self.pending.input.skipped.push(Skipped::new(rule, key));
    }

    fn lose(&mut self, kind: LossKind, subject: impl ToString, why: impl Into<String>) {
        self.pending.input.lost.push(Loss::new(kind, subject, why));
    }

    /// What an application's render in force wants.
    fn app(&mut self, name: &AppName, app: &App, taken: &mut BTreeSet<ObjectKey>) {
        let Some(desired) = &app.desired else {
            let why = match self.world.render_problem(app) {
                Some(problem) => format!("nothing of it is in force: {}", problem.error),
                None => "nothing of it was rendered by then".to_owned(),
            };
            self.lose(LossKind::NotRendered, format!("application {name}"), why);
            return;
        };
        let (mut behind, mut unapplied, mut unlike) = (Vec::new(), Vec::new(), Vec::new());
        for object in desired.objects.values() {
            let key = &object.key;
            taken.insert(key.clone());
            if key.is_application() {
                self.skip(skips::APPLICATION, key);
            } else if app.removing {
                self.skip(skips::REMOVING, key);
            } else if self.owner(key, name) != Some(name) {
                self.skip(skips::SHARED, key);
            } else if app.is_kept_away(key, self.world.now) {
                self.skip(skips::HELD_ABSENT, key);
            } else if let Some(held) = object.holds.iter().find(|hold| hold.create) {
                let (kind, why) = match held.what.strip_prefix("hook ") {
                    Some(phases) => (LossKind::Hook, format!("a hook of {phases}: it is not run")),
                    None => (LossKind::Restrained, format!("`{}` is not honoured", held.what)),
                };
                self.lose(kind, key, why);
            } else {
                match self.world.owned.get(key) {
                    _ if self.observed(key).is_some() => {}
                    _ if self.asked.live && self.is_otherwise(app, key) => {
                        unlike.push(key.to_string());
                    }
                    _ if self.is_as_wanted(app, object) => {}
                    None => unapplied.push(key.to_string()),
                    Some(_) => behind.push(key.to_string()),
                }
                if let Some(error) = left::refused(self.world, name, object) {
                    let why = format!("was refused when last tried: {error}; tried all the same");
                    self.lose(LossKind::WasRefused, key, why);
                }
                let entry = self.entry(name, app, (desired.seq, object));
                self.pending.wanted.push(entry);
            }
        }
        for (what, keys) in [
            ("wanted otherwise than applied last", behind),
            ("not applied yet", unapplied),
            ("gone, or changed in a Secret, when it was observed last", unlike),
        ] {
            if !keys.is_empty() {
                let text = format!("{name}: {what}, replayed as wanted: {}", list(keys, NAMED_MAX));
                self.pending.input.notes.push(text);
            }
        }
        if let Some(hold) = &app.hold {
            let text = format!("{name} is held as at #{}: replayed as held", hold.to.0);
            self.pending.input.notes.push(text);
        }
    }

    /// Whether an object is in the cluster as it is wanted: as it was applied, or as the API server
    /// said that applying it would change nothing.
    fn is_as_wanted(&self, app: &App, object: &DesiredObject) -> bool {
        let key = &object.key;
        let owned = self.world.owned.get(key);
        if owned.is_some_and(|owned| owned.applied == object.digest) {
            return true;
        }
        let Some(live) = self.world.live.get(key) else { return false };
        let previewed = app.previews.get(key).filter(|previewed| {
            let of = (previewed.digest, previewed.live, previewed.uid.as_str());
            of == (object.digest, live.digest, live.uid.as_str())
        });
        object.origin == CREATE_NAMESPACE
            || previewed.is_some_and(|previewed| previewed.result == Preview::Same)
    }

    /// The application that replays an object: its owner, or the first that wants it.
    fn owner<'a>(&'a self, key: &ObjectKey, name: &'a AppName) -> Option<&'a AppName> {
        let wanting = self.world.wanted_by.get(key);
        let asked = |app: &&AppName| self.asked.apps.is_empty() || self.asked.apps.contains(app);
        let wants = |app: &AppName| wanting.is_none_or(|apps| apps.contains(app));
        let owner = self.world.owned.get(key).map(|owned| &owned.app).filter(|app| wants(app));
        match owner.filter(asked) {
            Some(owner) => Some(owner),
            None => wanting.map_or(Some(name), |apps| apps.iter().find(asked)),
        }
    }

    fn entry(&self, name: &AppName, app: &App, (render, object): (Seq, &DesiredObject)) -> Entry {
        let key = &object.key;
        let held = app.holds_of(key, self.world.now).filter_map(|hold| match &hold.of {
            HoldOf::Fields(fields) => Some((hold.seq, fields.clone())),
            // An object that is held is what is wanted already.
            HoldOf::Absence(_) | HoldOf::Object(_) => None,
        });
        let (live, observed) = (self.world.live.get(key), self.observed(key));
        Entry {
            key: key.clone(),
            version: observed.map_or(&object.version, |live| &live.version).clone(),
            app: Some(name.clone()),
            wave: object.wave,
            wanted: Some(object.manifest),
            observed: observed.map(|live| live.object),
            held: held.collect(),
            render: observed.is_none().then_some(render),
            uid: self.uid(key, live),
            validate: object.options.validate.unwrap_or(app.spec.validate),
            left: None,
            stays: false,
        }
    }

    /// The object as it is replayed where that is how it was observed. Of a Secret only digests were.
    fn observed(&self, key: &ObjectKey) -> Option<&LiveObject> {
        let live = self.world.live.get(key);
        live.filter(|live| self.asked.live && !key.is_secret() && !live.deleting)
    }

    /// Whether an object that comes as it is wanted was otherwise when it was observed last.
    fn is_otherwise(&self, app: &App, key: &ObjectKey) -> bool {
        let gone = self.world.owned.contains_key(key) && !self.world.live.contains_key(key);
        gone && self.world.cluster.is_known(key) || key.is_secret() && app.drift.contains_key(key)
    }

    fn uid(&self, key: &ObjectKey, live: Option<&LiveObject>) -> String {
        let owned = self.world.owned.get(key).map(|owned| owned.uid.clone());
        live.map(|live| live.uid.clone()).or(owned).unwrap_or_default()
    }

    /// Namespaces and definitions that applications which are not asked for want: others may need
    /// them. Each is named once, as its owner's or that of the first that wants it, and not at all
    /// where it is replayed as that of an application which is asked for.
    fn prerequisites(&mut self) {
        let planned: BTreeSet<&ObjectKey> =
            self.pending.wanted.iter().map(|entry| &entry.key).collect();
        let mut needed: BTreeMap<&ObjectKey, Entry> = BTreeMap::new();
        for (name, app) in self.world.apps.iter().filter(|(name, app)| {
            !self.asked.apps.is_empty() && !self.asked.apps.contains(name) && !app.removing
        }) {
            let Some(desired) = &app.desired else { continue };
            let objects = desired.objects.values();
            for object in objects.filter(|object| is_prerequisite(&object.key)) {
                let key = &object.key;
                let owns = self.world.owned.get(key).is_some_and(|owned| owned.app == *name);
                if !planned.contains(key) && (owns || !needed.contains_key(key)) {
                    needed.insert(key, self.entry(name, app, (desired.seq, object)));
                }
            }
        }
        let needed: Vec<Entry> = needed.into_values().collect();
        self.pending.others.extend(needed);
    }

    /// What was observed and no application wants.
    fn live(&mut self, taken: &BTreeSet<ObjectKey>) {
        let known: BTreeSet<ObjectKey> =
            self.pending.others.iter().map(|entry| entry.key.clone()).collect();
        for (key, live) in &self.world.live {
            let left = self.left(key, live);
            let partly = !self.asked.apps.is_empty() && left.is_none() && !is_prerequisite(key);
            if taken.contains(key) || known.contains(key) || partly {
                continue;
            }
            let rule = if !live.controller.is_empty() {
                Some(skips::CONTROLLED)
            } else if live.deleting {
                Some(skips::DELETING)
            } else {
                skips::by_key(key)
            };
            match (rule, &left) {
                (None, _) => {}
                (Some(rule), Some(left))
                    if ![skips::CONTROLLED, skips::DELETING].contains(&rule) =>
                {
                    let why = format!("{}; not replayed ({rule})", left.why);
                    self.lose(LossKind::LeftGit, key, why);
                    continue;
                }
                (Some(rule), _) => {
                    self.skip(rule, key);
                    continue;
                }
            }
            let (why, of) = left.map_or((None, None), |left| (Some(left.why), left.of));
            self.pending.others.push(Entry {
                key: key.clone(),
                version: live.version.clone(),
                stays: of.is_some(),
                app: of,
                wave: 0,
                wanted: None,
                observed: Some(live.object),
                held: Vec::new(),
                render: None,
                uid: live.uid.clone(),
                validate: true,
                left: why,
            });
        }
    }

    /// Why an object of an application that is asked for is there, if it left Git.
    fn left(&self, key: &ObjectKey, live: &LiveObject) -> Option<Left> {
        let owner = &self.world.owned.get(key)?.app;
        let asked = self.asked.apps.is_empty() || self.asked.apps.contains(owner);
        asked.then(|| left::why(self.world, key, live)).flatten()
    }

    /// Kinds of which nothing is recorded.
    fn kinds(&mut self) {
        let cluster = &self.world.cluster;
        if cluster.kinds.is_empty() {
            let text = "no cluster was ever seen: what was observed is not known";
            self.pending.input.notes.push(text.to_owned());
        }
        for (kind, why) in &cluster.refused {
            let why = format!("the API server did not show it: {why}");
            self.lose(LossKind::NotRecorded, kind, why);
        }
        let defaults = KindPattern::defaults();
        let unwatched = cluster.kinds.values().filter(|served| !served.watched);
        let configured: Vec<_> = unwatched
            .filter(|served| !defaults.iter().any(|pattern| pattern.matches(&served.kind)))
            .map(|served| served.kind.clone())
            .collect();
        for kind in configured {
            let why = "excluded by the configuration (cluster.exclude): only what applications \
                       want of it is known";
            self.lose(LossKind::NotRecorded, kind, why);
        }
    }
}

/// Whether others need the object to be there at all.
fn is_prerequisite(key: &ObjectKey) -> bool {
    key.is("", "Namespace") || key.is("apiextensions.k8s.io", "CustomResourceDefinition")
}

impl Pending {
    /// Reads the manifests. What cannot be read is named among what is lost.
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    pub fn read(
        self,
        book: &dyn Book,
        has: impl Fn(BlobAddr) -> bool,
    ) -> Result<Input, ledger::Error> {
        let Self { mut input, wanted, others } = self;
        let mut reading = Reading { book, has: &has, lost: Vec::new() };
        input.candidates =
            wanted.into_iter().filter_map(|entry| reading.candidate(entry)).collect();
        let mut lost = std::mem::take(&mut reading.lost);
        input.others = others.into_iter().filter_map(|entry| reading.candidate(entry)).collect();
        // What nobody wants does not refuse a replay: it is told where it does not come back.
        for loss in reading.lost {
            let why = format!("observed only, and {}", loss.why);
            lost.push(Loss { kind: LossKind::NotRecorded, why, ..loss });
        }
        input.lost.extend(lost);
        Ok(input)
    }
}

struct Reading<'b, H> {
    book: &'b dyn Book,
    has: &'b H,
    lost: Vec<Loss>,
}

impl<H: Fn(BlobAddr) -> bool> Reading<'_, H> {
    fn candidate(&mut self, entry: Entry) -> Option<Candidate> {
        let wanted = match entry.wanted {
            Some(addr) => Some(self.wanted(&entry, addr)?),
            None => None,
        };
        let observed = match entry.observed {
            Some(addr) => {
                let bytes = self.bytes(&entry.key, addr, "its observed state")?;
                match Stored::from_stored(&bytes) {
                    Ok(stored) => {
                        let own = entry.app.is_some() && !entry.stays;
                        let beside = own.then(|| set_beside(&stored, wanted.as_ref())).flatten();
                        Some((stored.object, beside))
                    }
                    Err(error) => {
                        self.lose(LossKind::Unreadable, &entry.key, error.to_string());
                        return None;
                    }
                }
            }
            None => None,
        };
        let (source, (manifest, beside), wanted) = match (observed, wanted) {
            (Some(observed), wanted) => (Source::Observed, observed, wanted),
            (None, Some(wanted)) => (Source::Wanted, (wanted, None), None),
            (None, None) => return None,
        };
        Some(Candidate {
            key: entry.key,
            version: entry.version,
            app: entry.app.map(|app| app.to_string()).unwrap_or_default(),
            wave: entry.wave,
            source,
            manifest,
            wanted,
            beside,
            render: entry.render,
            uid: entry.uid,
            validate: entry.validate,
            left: entry.left,
            stays: entry.stays,
        })
    }

    /// What is wanted, with what people hold laid over it and the application's name on it: what
    /// the daemon would apply.
    fn wanted(&mut self, entry: &Entry, addr: BlobAddr) -> Option<Value> {
        let key = &entry.key;
        let bytes = self.bytes(key, addr, "its manifest")?;
        let Ok(mut manifest) = serde_json::from_slice::<Value>(&bytes) else {
            self.lose(LossKind::Unreadable, key, "its manifest cannot be read");
            return None;
        };
        for (seq, held) in &entry.held {
            let saved = self.bytes(key, held.saved, "what is held of it")?;
            if let Err(why) = lay_held(&mut manifest, held, &saved) {
                let why = format!("hold #{seq} cannot be laid over its manifest: {why}");
                self.lose(LossKind::Unlaid, key, why);
                return None;
            }
        }
        if let Some(app) = &entry.app {
            let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) else {
                self.lose(LossKind::Unreadable, key, "its manifest has no metadata");
                return None;
            };
            let annotations =
                metadata.entry("annotations").or_insert_with(|| serde_json::json!({}));
            if let Some(annotations) = annotations.as_object_mut() {
                annotations.insert(OWNER_ANNOTATION.to_owned(), Value::String(app.to_string()));
            }
        }
        Some(manifest)
    }

    fn bytes(&mut self, key: &ObjectKey, addr: BlobAddr, what: &str) -> Option<Arc<[u8]>> {
        if !(self.has)(addr) {
            let why = format!("{what} {addr} is not in the ledger");
            self.lose(LossKind::BlobMissing, key, why);
            return None;
        }
        match self.book.blob(addr) {
            Ok(bytes) => Some(bytes),
            Err(ledger::Error::Sealed(_)) => {
                let why = format!("{what} is sealed, and the ledger's key is not there");
                self.lose(LossKind::NoKey, key, why);
                None
            }
            Err(error) => {
                let why = format!("{what} cannot be read: {error}");
                self.lose(LossKind::Unreadable, key, why);
                None
            }
        }
    }

    fn lose(&mut self, kind: LossKind, key: &ObjectKey, why: impl Into<String>) {
        self.lost.push(Loss::new(kind, key, why));
    }
}

/// The last replay onto the cluster of this uid.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn last_replay(book: &dyn Book, uid: &str) -> Result<Option<Progress>, ledger::Error> {
    Ok(replays(book, uid)?.pop())
}

/// All replays onto the cluster of this uid, in their order.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn replays(book: &dyn Book, uid: &str) -> Result<Vec<Progress>, ledger::Error> {
    let found = book.find(SubjectKey::topic(&Topic::Recoveries), Seq::ZERO, usize::MAX);
    let read = found.into_iter().filter_map(|seq| book.get(seq).transpose());
    let read = read.collect::<Result<Vec<_>, _>>()?;
    let events =
        read.iter().filter_map(|recorded| Some((recorded.envelope.seq, recorded.event.as_ref()?)));
    Ok(all_onto(uid, events))
}

/// The uid of the cluster that the ledger keeps; empty while none was seen.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn own_cluster(book: &dyn Book) -> Result<String, ledger::Error> {
    let (topic, mut before) = (SubjectKey::topic(&Topic::Watching), book.head().next());
    loop {
        let found = book.find_before(topic, before, WATCHING_AT_ONCE);
        for seq in &found {
            let recorded = book.get(*seq)?;
            let event = recorded.as_ref().and_then(|recorded| recorded.event.as_ref());
            if let Some(Event::ClusterIdentified(body)) = event {
                return Ok(body.uid.clone());
            }
            before = *seq;
        }
        if found.len() < WATCHING_AT_ONCE {
            return Ok(String::new());
        }
    }
}

/// How many events about the watching are looked up at a time.
const WATCHING_AT_ONCE: usize = 64;

/// How old what was observed last is.
#[must_use]
pub fn last_observed(world: &World) -> Option<(Seq, Timestamp)> {
    let seen = world.observed().map(|(_, live)| (live.seq, live.seen));
    seen.max_by_key(|(seq, _)| *seq)
}

#[cfg(test)]
mod tests;
