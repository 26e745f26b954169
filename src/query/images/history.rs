//! What pods ran, as the ledger has it.
//!
//! Which pods count for a version of a workload is decided so that an old pod is not taken for one
//! of it: pods that began while it was applied, and those that were there before where none began
//! or where they are of the same template. What is found through owners is found as it was
//! recorded: pod, ReplicaSet or Job, and whatever owns that.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::named::Named;
use super::reference::Pulled;
use crate::cluster::Stored;
use crate::ledger::event::{Event, Verb};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::ledger::{self, Recorded};
use crate::model::{BlobAddr, Digest, GroupKind, ObjectKey, Seq, Timestamp};
use crate::query::book::{Book, as_intent};
use crate::query::coverage::{self, Moment, Scope};
use crate::query::instant::{backwards, forwards};
use crate::query::object_at::last_state;

/// Bound: how many observations of pods with an image are looked at, the newest first, for what
/// was then and for what is now.
const THEN_MAX: usize = 4_096;
const NOW_MAX: usize = 512;
/// How many positions are looked up at a time.
const CHUNK: usize = 256;
/// How far a pod may be below what made it: CronJob, Job, pod is two.
const OWNERS_MAX: usize = 4;
/// Bound: how many writes of a workload are looked at on each side of the instant.
const WRITES_MAX: usize = 1_024;
/// Where the template that a pod was made of is told, unless by the object that owns it.
const REVISION: &str = "/metadata/labels/controller-revision-hash";

/// A version of an object that has pods.
#[derive(Debug, Clone, Copy)]
pub struct Workload<'w> {
    /// The object.
    pub key: &'w ObjectKey,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The render that it is of.
    pub rendered: Seq,
}

type Controller = (GroupKind, String, String);

/// A container of a pod that ran an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) seq: Seq,
    pub(super) time: Timestamp,
    pub(super) pod: ObjectKey,
    pub(super) pulled: Pulled,
    uid: String,
    container: String,
    controller: Option<Controller>,
    object: BlobAddr,
}

/// What was seen of pods with an image, the newest first.
#[derive(Default)]
struct Sightings {
    all: Vec<Sighting>,
    /// The oldest event that was looked at; zero when all were.
    since: Seq,
}

/// A pod of a workload.
struct Pod {
    /// The event that showed it first.
    born: Seq,
    /// What it was made of; `None` = not known.
    template: Option<String>,
    /// The newest first.
    seen: Vec<Sighting>,
}

/// What an image stood for at the instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Then {
    /// Every pod that counts ran the same.
    One(Box<Sighting>),
    /// They did not.
    Several(Vec<Sighting>),
    /// It is not known, and why.
    Unknown(String),
}

/// Reads it about one instant.
pub(super) struct History<'b> {
    book: &'b dyn Book,
    to: Moment,
    blind: Option<Option<String>>,
    seen: BTreeMap<(String, Seq), Rc<Sightings>>,
    latest: BTreeMap<String, Option<Sighting>>,
    owners: BTreeMap<(ObjectKey, String), Option<Controller>>,
}

fn pods() -> Scope {
    Scope::Kinds(vec![GroupKind::new("", "Pod")])
}

/// The digest of the manifest that an intent means to write to an object; `None` = it does not
/// change what is wanted of it.
fn written(recorded: &Recorded, key: &ObjectKey) -> Option<Digest> {
    let mut writes = as_intent(recorded)?.writes.iter().filter(|write| write.key == *key);
    let write = writes.find(|write| !matches!(write.verb, Verb::TakeOver | Verb::Recreate))?;
    Some(write.digest)
}

impl<'b> History<'b> {
    pub(super) fn new(book: &'b dyn Book, to: Moment) -> Self {
        let (seen, latest, owners) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { book, to, blind: None, seen, latest, owners }
    }

    /// What pods of the workload ran of an image at the instant or, where none was there yet, once
    /// they were.
    pub(super) fn then(&mut self, of: &Workload<'_>, named: &Named) -> Result<Then, ledger::Error> {
        let (from, to) = self.span(of)?;
        let seen = self.sightings(&named.image, to)?;
        if seen.since > from {
            let more = format!("more than {THEN_MAX} observations of pods that run it since then");
            return Ok(Then::Unknown(more));
        }
        let mut own: BTreeMap<(&ObjectKey, &str), Vec<Sighting>> = BTreeMap::new();
        for sighting in &seen.all {
            let same = named.container.is_empty() || named.container == sighting.container;
            if same && self.belongs(sighting, of.key)? {
                let pod = (&sighting.pod, sighting.uid.as_str());
                own.entry(pod).or_default().push(sighting.clone());
            }
        }
        let pods = own.into_values().map(|seen| self.pod(seen)).collect::<Result<Vec<_>, _>>()?;
        let began = |pod: &&Pod| pod.born >= from;
        let templates: BTreeSet<_> = pods.iter().filter(began).map(|pod| &pod.template).collect();
        let counts = |pod: &&Pod| {
            pod.template.is_none()
                || templates.is_empty()
                || templates.contains(&None)
                || templates.contains(&pod.template)
        };
        let mut ran = Vec::new();
        for pod in pods.iter().filter(counts) {
            let last = pod.seen.iter().find(|seen| seen.seq <= self.to.seq);
            if let Some(last) = last
                && self.is_there(last)?
            {
                ran.push(last.clone());
            }
        }
        if ran.is_empty() {
            let began = pods.iter().filter(began).flat_map(|pod| &pod.seen);
            let told = one_of(named, began.filter(|seen| seen.seq >= from).cloned());
            return match told {
                Some(told) => Ok(told),
                None => Ok(Then::Unknown(self.why_none(from, to)?)),
            };
        }
        if let Some(blind) = self.blind()? {
            return Ok(Then::Unknown(format!("pods were not watched then: {blind}")));
        }
        Ok(one_of(named, ran.into_iter()).unwrap_or(Then::Unknown(String::new())))
    }

    /// What a pod, any one, has begun to run last under the name.
    pub(super) fn latest(&mut self, image: &str) -> Result<Option<Sighting>, ledger::Error> {
        if let Some(known) = self.latest.get(image) {
            return Ok(known.clone());
        }
        let seen = self.look(image, self.book.head(), NOW_MAX)?;
        // What an old pod tells again is as old as when it told it first.
        let mut first: BTreeMap<(&str, &str, &Pulled), &Sighting> = BTreeMap::new();
        for sighting in &seen.all {
            first.insert((&sighting.uid, &sighting.container, &sighting.pulled), sighting);
        }
        let last = first.into_values().max_by_key(|sighting| sighting.seq).cloned();
        self.latest.insert(image.to_owned(), last.clone());
        Ok(last)
    }

    /// From which event on, and to which, the workload was as it was wanted at the instant.
    fn span(&self, of: &Workload<'_>) -> Result<(Seq, Seq), ledger::Error> {
        let key = || SubjectKey::topic(&Topic::Written(of.key.clone()));
        let (mut first, mut looked) = (None, 0);
        backwards(self.book, key(), self.to.seq.next(), |recorded| {
            looked += 1;
            match written(recorded, of.key) {
                Some(digest) if digest == of.digest => first = Some(recorded.seq()),
                Some(_) => return Some(()),
                None => {}
            }
            (looked >= WRITES_MAX).then_some(())
        })?;
        if first.is_none() {
            first = self.next_write(of, self.to.seq, |digest| digest == of.digest)?;
        }
        let first = first.unwrap_or(of.rendered);
        let last = self.next_write(of, first.max(self.to.seq), |digest| digest != of.digest)?;
        Ok((first, last.unwrap_or(self.book.head())))
    }

    fn next_write(
        &self,
        of: &Workload<'_>,
        after: Seq,
        is_it: impl Fn(Digest) -> bool,
    ) -> Result<Option<Seq>, ledger::Error> {
        let (key, mut looked) = (SubjectKey::topic(&Topic::Written(of.key.clone())), 0);
        let found = forwards(self.book, key, after, |recorded| {
            looked += 1;
            let found = written(recorded, of.key).is_some_and(&is_it);
            (found || looked >= WRITES_MAX).then(|| found.then(|| recorded.seq()))
        })?;
        Ok(found.flatten())
    }

    fn sightings(&mut self, image: &str, last: Seq) -> Result<Rc<Sightings>, ledger::Error> {
        let place = (image.to_owned(), last);
        if let Some(known) = self.seen.get(&place) {
            return Ok(Rc::clone(known));
        }
        let found = Rc::new(self.look(image, last, THEN_MAX)?);
        self.seen.insert(place, Rc::clone(&found));
        Ok(found)
    }

    fn look(&self, image: &str, last: Seq, max: usize) -> Result<Sightings, ledger::Error> {
        let (mut before, mut looked, mut found) = (last.next(), 0, Sightings::default());
        let topic = Topic::Image(image.to_owned());
        while looked < max {
            let seqs = self.book.find_before(SubjectKey::topic(&topic), before, CHUNK);
            let Some(oldest) = seqs.last() else { return Ok(found) };
            (before, looked) = (*oldest, looked + seqs.len());
            for seq in seqs {
                if let Some(recorded) = self.book.get(seq)? {
                    found.all.extend(sighted(&recorded, image));
                }
            }
        }
        found.since = before;
        Ok(found)
    }

    /// Whether the pod is the workload, or was made by it or by something that it made.
    fn belongs(&mut self, seen: &Sighting, key: &ObjectKey) -> Result<bool, ledger::Error> {
        if seen.pod.namespace() != key.namespace() {
            return Ok(false);
        }
        let (mut of, mut owner) = (seen.pod.clone(), seen.controller.clone());
        for _ in 0..OWNERS_MAX {
            if of == *key {
                return Ok(true);
            }
            let Some((kind, name, uid)) = owner else { return Ok(false) };
            of = ObjectKey::new(kind.group, kind.kind, of.namespace(), name);
            owner = if of == *key { None } else { self.controller(&of, uid)? };
        }
        Ok(of == *key)
    }

    fn controller(
        &mut self,
        key: &ObjectKey,
        uid: String,
    ) -> Result<Option<Controller>, ledger::Error> {
        let place = (key.clone(), uid);
        if let Some(known) = self.owners.get(&place) {
            return Ok(known.clone());
        }
        let before = self.book.head().next();
        let found =
            backwards(self.book, SubjectKey::object(key), before, |recorded| {
                match &recorded.event {
                    Some(Event::ObjectObserved(body))
                        if body.key == *key && body.uid == place.1 =>
                    {
                        Some(body.controller.clone())
                    }
                    _ => None,
                }
            })?;
        let found = found.flatten();
        self.owners.insert(place, found.clone());
        Ok(found)
    }

    fn pod(&self, seen: Vec<Sighting>) -> Result<Pod, ledger::Error> {
        let Some(last) = seen.first() else {
            return Ok(Pod { born: Seq::ZERO, template: None, seen });
        };
        let (key, mut born) = (SubjectKey::object(&last.pod), last.seq);
        backwards(self.book, key, last.seq.next(), |recorded| match &recorded.event {
            Some(Event::ObjectObserved(body)) if body.key == last.pod => {
                if body.uid != last.uid {
                    return Some(());
                }
                born = recorded.seq();
                body.added.then_some(())
            }
            _ => None,
        })?;
        let template = self.template(last);
        Ok(Pod { born, template, seen })
    }

    /// What the pod was made of: a ReplicaSet is of one template, and other controllers say which.
    fn template(&self, seen: &Sighting) -> Option<String> {
        let (kind, _, uid) = seen.controller.as_ref()?;
        if kind.kind == "ReplicaSet" {
            return Some(uid.clone());
        }
        let bytes = self.book.blob(seen.object).ok()?;
        let object = Stored::from_stored(&bytes).ok()?.object;
        object.pointer(REVISION)?.as_str().map(str::to_owned)
    }

    /// Whether the pod was there at the instant.
    fn is_there(&self, seen: &Sighting) -> Result<bool, ledger::Error> {
        let state = last_state(self.book, &seen.pod, self.to.seq)?;
        Ok(state.is_some_and(|state| state.live.is_some() && state.uid == seen.uid))
    }

    /// Why what was seen of pods at the instant may not be what was; `None` = they were watched.
    fn blind(&mut self) -> Result<Option<String>, ledger::Error> {
        if let Some(known) = &self.blind {
            return Ok(known.clone());
        }
        let spans = coverage::read(self.book, &pods(), self.to, self.to)?;
        let blind = spans.into_iter().find(|span| span.lossy).map(|span| span.what());
        self.blind = Some(blind.clone());
        Ok(blind)
    }

    fn why_none(&self, from: Seq, to: Seq) -> Result<String, ledger::Error> {
        let none = "no pod of it that ran it was recorded while it was in force";
        let spans = coverage::read(self.book, &pods(), self.moment(from)?, self.moment(to)?)?;
        let blind: BTreeSet<String> =
            spans.iter().filter(|span| span.lossy).map(coverage::Unwatched::what).collect();
        if blind.is_empty() {
            return Ok(none.to_owned());
        }
        let blind = blind.into_iter().collect::<Vec<_>>().join("; ");
        Ok(format!("{none}, and pods were not watched all the time: {blind}"))
    }

    fn moment(&self, seq: Seq) -> Result<Moment, ledger::Error> {
        let time = self.book.get(seq)?.map(|recorded| recorded.envelope.recorded);
        Ok(Moment { seq, time: time.unwrap_or_default() })
    }
}

/// What an observation says of an image.
fn sighted(recorded: &Recorded, image: &str) -> Vec<Sighting> {
    let Some(Event::ObjectObserved(body)) = &recorded.event else { return Vec::new() };
    let pulled = body.images.iter().filter(|pulled| pulled.image == image);
    let sighting = pulled.map(|pulled| Sighting {
        seq: recorded.seq(),
        time: recorded.envelope.recorded,
        pod: body.key.clone(),
        pulled: Pulled::parse(&pulled.id),
        uid: body.uid.clone(),
        container: pulled.container.clone(),
        controller: body.controller.clone(),
        object: body.object,
    });
    sighting.collect()
}

/// What they say together; `None` where there are none. Of the same that was told in several ways,
/// the one counts by which it can be pulled.
fn one_of(named: &Named, seen: impl Iterator<Item = Sighting>) -> Option<Then> {
    let mut told: Vec<Sighting> = Vec::new();
    for sighting in seen {
        let same = |known: &&mut Sighting| known.pulled.is_same_as(&sighting.pulled) == Some(true);
        match told.iter_mut().find(same) {
            Some(known) => {
                let better = sighting.pulled.pin(&named.image).is_ok();
                if better && known.pulled.pin(&named.image).is_err() {
                    *known = sighting;
                }
            }
            None => told.push(sighting),
        }
    }
    match told.len() {
        0 => None,
        1 => told.pop().map(|one| Then::One(Box::new(one))),
        _ => Some(Then::Several(told)),
    }
}
