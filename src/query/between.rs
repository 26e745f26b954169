//! What changed between two instants, grouped by what brought it about.
//!
//! Told is the net difference: a field that was changed and changed back is none. Who changed a
//! field is who changed it last, as is known now: the API server's audit knows best, greffier's own
//! writes are known by their outcomes, and what is left is what the object says of itself, a claim.
//! What the answer to a write of greffier shows first may be somebody else's: a field is greffier's
//! where greffier owns it or nobody does.
//!
//! Security: of a Secret only which values changed is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::anew::{self, Anew};
use super::blame::{self, Blame, FromGit, Owned};
use super::book::{Book, as_intent, read};
use super::describe::{attributed_by, claimed};
use super::instant::forwards;
use super::object_at::{State, last_state};
use super::patch::{Field, Patch, between, concerns};
use super::people::{self, Party};
use crate::cluster::FIELD_MANAGER;
use crate::config::PersonConfig;
use crate::ledger::event::{
    ActorClaim, AttributionResolvedV1, Event, Method, Verb, Verdict, WriteResult,
};
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Ends, Recorded};
use crate::model::{AppName, BlobAddr, CommitId, ObjectKey, Scheme, Seq, Timestamp};
use crate::replay::World;

/// Bound: how many events between the instants are looked at for one object: the last ones.
const STEPS_MAX: usize = 500;
/// Bound: how many events about an object between the instants are read: the last ones.
const WITHIN_MAX: usize = 4_096;
/// Bound: how many events of an object after the later instant are looked at for who made what
/// was seen before.
const LATER_MAX: usize = 4_096;
/// How many events of an object before the earlier instant are looked at for writes of greffier
/// whose answers came after it.
const BACK_EVENTS: usize = 32;

/// Why it is not known who it was.
const UNTOLD: &str = "no event that was looked at tells";
const TOO_MANY: &str = "only the last of the many events in between are looked at";

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// What an application wants or has.
    App(AppName),
    /// One object.
    Object(ObjectKey),
    /// Everything in a namespace.
    Namespace(String),
}

/// What became of an object between two instants. It goes over the wire as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectBetween {
    /// The object.
    pub object: String,
    /// `appeared`, `gone`, `changed` or `made anew`.
    pub change: String,
    /// Who and what brought it about, in order; the first may be without a cause.
    pub groups: Vec<Group>,
    /// Whether there may be more fields than are told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// Changes with one cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// What it was, in words.
    pub cause: String,
    /// Who did it, as far as it is known.
    pub by: Vec<String>,
    /// How well that is known: `exact`, `unique`, `ambiguous`, `field-manager` or `unknown`.
    pub strength: String,
    /// The commit that was applied; empty when none was.
    pub commit: String,
    /// The events that tell of it, the first and the last.
    pub events: Vec<u64>,
    /// The fields.
    pub fields: Vec<Field>,
}

/// The objects that something has, and what is known of each: for comparing two worlds.
pub type Inventory = BTreeMap<ObjectKey, (BlobAddr, String)>;

/// What there was of it in a world. Does no I/O.
#[must_use]
pub fn inventory(world: &World, of: &Of) -> Inventory {
    let keys: Vec<&ObjectKey> = match of {
        Of::Object(key) => vec![key],
        Of::Namespace(namespace) => {
            world.live.keys().filter(|key| key.namespace() == *namespace).collect()
        }
        Of::App(name) => {
            let wanted = world.apps.get(name).and_then(|app| app.desired.as_ref());
            let wanted = wanted.into_iter().flat_map(|desired| desired.objects.keys());
            wanted.chain(world.owned_by(name).map(|(key, _)| key)).collect()
        }
    };
    let live = keys.into_iter().filter_map(|key| {
        let live = world.live.get(key)?;
        Some((key.clone(), (live.object, live.uid.clone())))
    });
    live.collect()
}

/// Compares what there was at two positions. `book` is all there is: who made a change may have
/// been found out later.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn compare(
    (book, people): (&dyn Book, &[PersonConfig]),
    (before, after): (&Inventory, &Inventory),
    (from, to): (Seq, Seq),
) -> Result<Vec<ObjectBetween>, ledger::Error> {
    let mut keys: Vec<&ObjectKey> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let mut found = Vec::new();
    for key in keys.into_iter().filter(|key| before.get(*key) != after.get(*key)) {
        found.extend(object((book, people), key, (from, to))?);
    }
    Ok(found)
}

/// What became of one object between two positions; `None` when it is the same.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn object(
    (book, people): (&dyn Book, &[PersonConfig]),
    key: &ObjectKey,
    (from, to): (Seq, Seq),
) -> Result<Option<ObjectBetween>, ledger::Error> {
    let (first, last) = (last_state(book, key, from)?, last_state(book, key, to)?);
    let Some(net) = between(book, key, first.as_ref(), last.as_ref())? else { return Ok(None) };
    let told = Told::read(book, people, key, (from, to))?;
    let anew = anew::told(book, to)?.filter(|anew| anew.seq > from);
    let steps = steps(book, key, &told, (first, last), anew.as_ref())?;
    let mut groups: Vec<Group> = Vec::new();
    if net.fields.is_empty() {
        // Its coming or going, and whatever changed it since.
        let whole = steps.iter().rposition(|step| step.whole);
        let since = steps.iter().position(|step| step.anew).or(whole).unwrap_or_default();
        for step in steps.iter().skip(since) {
            join(&mut groups, step.cause.clone(), None);
        }
    }
    let mut blame = None;
    for field in net.fields {
        let step = steps.iter().rev().find(|step| step.cut || step.changed(&field.path));
        let cause = match step.and_then(|step| step.own_of(&field.path)) {
            Some((own, seq)) => {
                if blame.is_none() {
                    blame = Some(blame::of(book, key, None, to)?);
                }
                let blame: Option<&Blame> = blame.as_ref().and_then(Option::as_ref);
                applied(own, seq, blame.and_then(|blame| blame.origin(&field.path)))
            }
            None => step.map_or_else(|| told.untold(), |step| step.cause_of(&field.path)),
        };
        join(&mut groups, cause, Some(field));
    }
    for group in &mut groups {
        group.events.sort_unstable();
        group.events.dedup();
        if let [first, .., last] = group.events[..] {
            group.events = vec![first, last];
        }
    }
    groups.sort_by_key(|group| group.events.first().copied());
    Ok(Some(ObjectBetween { object: net.object, change: net.change, groups, cut: net.cut }))
}

/// Adds a change to those with the same cause.
fn join(groups: &mut Vec<Group>, cause: Group, field: Option<Field>) {
    let same = |group: &&mut Group| {
        (&group.cause, &group.by, &group.commit) == (&cause.cause, &cause.by, &cause.commit)
    };
    match groups.iter_mut().find(same) {
        Some(group) => {
            group.fields.extend(field);
            group.events.extend(cause.events);
        }
        None => groups.push(Group { fields: field.into_iter().collect(), ..cause }),
    }
}

/// A change on the way.
struct Step {
    cause: Group,
    /// greffier's write where it is one, and the event that tells of it.
    own: Option<(Own, Seq)>,
    /// Whether another cluster answers since: nothing of the former one is there.
    anew: bool,
    paths: Vec<String>,
    /// Fields that somebody else changed, though greffier's write shows them first.
    apart: Vec<(String, Group)>,
    /// Whether the object came, went or was made anew: then everything changed.
    whole: bool,
    /// Whether it may have changed more than is compared.
    cut: bool,
}

impl Step {
    fn anew(anew: &Anew) -> Self {
        let (cause, events) = (anew.text.clone(), vec![anew.seq.0]);
        let strength = Verdict::Exact.as_str().to_owned();
        let cause = Group { cause, strength, events, ..Group::default() };
        Self {
            cause,
            own: None,
            anew: true,
            paths: Vec::new(),
            apart: Vec::new(),
            whole: true,
            cut: false,
        }
    }

    /// greffier's write, where it made the field what it is.
    fn own_of(&self, path: &str) -> Option<(&Own, Seq)> {
        let apart = self.apart.iter().any(|(changed, _)| concerns(changed, path));
        let (own, seq) = self.own.as_ref().filter(|_| self.changed(path) && !apart)?;
        Some((own, *seq))
    }

    fn changed(&self, path: &str) -> bool {
        self.whole || self.paths.iter().any(|changed| concerns(changed, path))
    }

    fn cause_of(&self, path: &str) -> Group {
        if !self.changed(path) {
            // It may have changed it, or who came before it did.
            let (of, events) = (self.cause.events.iter().max(), self.cause.events.clone());
            let many = of.map_or_else(|| "a change".to_owned(), |seq| format!("#{seq}"));
            let why = format!("{many} changed more fields than are compared");
            return Group { events, ..Group::unknown(&why) };
        }
        let apart = self.apart.iter().find(|(changed, _)| concerns(changed, path));
        apart.map_or(&self.cause, |(_, cause)| cause).clone()
    }
}

fn steps(
    book: &dyn Book,
    key: &ObjectKey,
    told: &Told<'_>,
    (first, last): (Option<State>, Option<State>),
    mut anew: Option<&Anew>,
) -> Result<Vec<Step>, ledger::Error> {
    let skipped = told.events.len().saturating_sub(STEPS_MAX);
    let mut state = first;
    if let Some(event) = told.events.get(skipped)
        && told.is_cut()
    {
        state = last_state(book, key, Seq(event.seq().0 - 1))?;
    }
    let mut steps = Vec::new();
    let there = |state: &Option<State>| state.as_ref().is_some_and(|state| state.live.is_some());
    for event in told.events.iter().skip(skipped) {
        if let Some(anew) = anew.take_if(|anew| event.seq() > anew.seq) {
            steps.extend(there(&state).then(|| Step::anew(anew)));
            state = None;
        }
        let next = last_state(book, key, event.seq())?;
        let same = next.as_ref().map(|next| next.seq) == state.as_ref().map(|state| state.seq);
        if same {
            continue;
        }
        if let Some(patch) = between(book, key, state.as_ref(), next.as_ref())? {
            let cause = told.cause(key, next.as_ref(), event);
            let whole = patch.change != "changed";
            let apart = match (&cause.own, whole) {
                (Some(own), false) => apart(book, own, (&state, &next), &patch, event)?,
                _ => Vec::new(),
            };
            let (cut, fields) = (patch.cut, patch.fields);
            let paths = fields.into_iter().map(|field| field.path).collect();
            let own = cause.own.map(|own| (own, event.seq()));
            steps.push(Step { cause: cause.group, own, anew: false, paths, apart, whole, cut });
        }
        state = next;
    }
    if let Some(anew) = anew {
        steps.extend(there(&state).then(|| Step::anew(anew)));
        state = None;
    }
    // That a list does not show it is told by no event about it.
    if let Some(patch) = between(book, key, state.as_ref(), last.as_ref())? {
        steps.push(Step {
            cause: Group::unknown(UNTOLD),
            own: None,
            anew: false,
            whole: patch.change != "changed",
            cut: patch.cut,
            paths: patch.fields.into_iter().map(|field| field.path).collect(),
            apart: Vec::new(),
        });
    }
    Ok(steps)
}

/// What the answer to a write of greffier shows that is somebody else's: what greffier does not
/// own and another does.
fn apart(
    book: &dyn Book,
    own: &Own,
    (before, after): (&Option<State>, &Option<State>),
    patch: &Patch,
    event: &Recorded,
) -> Result<Vec<(String, Group)>, ledger::Error> {
    if own.replaces {
        return Ok(Vec::new());
    }
    let owned = |state: &Option<State>| {
        let Some(live) = state.as_ref().and_then(|state| state.live.as_ref()) else {
            return Ok(Owned::default());
        };
        let stored = read(live.object, &book.blob(live.object)?)?;
        Ok::<_, ledger::Error>(Owned::of(&stored))
    };
    let (before, after) = (owned(before)?, owned(after)?);
    let mut found = Vec::new();
    for field in &patch.fields {
        let removed = field.now.is_empty();
        let owned = if removed { &before } else { &after };
        let managers = owned.managers(&field.path);
        if owned.is_own(&field.path) || (managers.is_empty() && !removed) {
            continue;
        }
        // Who removes what another owns leaves no trace in the object.
        let named = managers.into_iter().filter(|_| !removed);
        let claims: Vec<ActorClaim> =
            named.map(|who| ActorClaim { who: who.to_owned(), ..ActorClaim::default() }).collect();
        let mut cause = Group::by("changed", Verdict::FieldManager, (&claims, 0), event.seq());
        cause.cause.push_str("; first seen in the answer to a write of greffier");
        found.push((field.path.clone(), cause));
    }
    Ok(found)
}

impl Group {
    fn unknown(why: &str) -> Self {
        let cause = format!("by whom is not known: {why}");
        Self { cause, strength: Verdict::Unknown.as_str().to_owned(), ..Self::default() }
    }

    fn by(verb: &str, verdict: Verdict, (claims, more): (&[ActorClaim], u32), seq: Seq) -> Self {
        let verdict = if claims.is_empty() { Verdict::Unknown } else { verdict };
        let cause = match verdict {
            Verdict::Unknown => format!("{verb}, by whom is not known"),
            _ => format!("{verb} by {}", attributed_by(verdict, claims, more)),
        };
        let named = if verdict == Verdict::Unknown { &[] } else { claims };
        Self {
            cause,
            by: named.iter().map(claimed).collect(),
            strength: verdict.as_str().to_owned(),
            events: vec![seq.0],
            ..Self::default()
        }
    }
}

/// A write of greffier.
#[derive(Clone)]
struct Own {
    intent: Arc<Recorded>,
    /// What was done to the object.
    verb: Verb,
    /// Whether everything was replaced, so that everything is greffier's.
    replaces: bool,
}

/// A cause, and greffier's write where it is one.
struct Cause {
    group: Group,
    own: Option<Own>,
}

/// A version of an object: its uid and resource version; without one its end.
type Version = (String, String);

/// What is told of an object's versions between two positions.
#[derive(Default)]
struct Told<'p> {
    people: &'p [PersonConfig],
    /// What may have changed it, in order.
    events: Vec<Arc<Recorded>>,
    /// The versions that greffier made.
    written: BTreeMap<Version, Own>,
    /// Its removals: the events that say that they succeeded.
    removed: BTreeMap<Seq, Own>,
    /// The observations of each version.
    shown: BTreeMap<Version, Vec<Seq>>,
    /// Who made what an observation shows, as is known now.
    resolved: BTreeMap<Seq, AttributionResolvedV1>,
    /// Whether what lies further back is not read.
    cut: bool,
}

impl<'p> Told<'p> {
    fn read(
        book: &dyn Book,
        people: &'p [PersonConfig],
        key: &ObjectKey,
        (from, to): (Seq, Seq),
    ) -> Result<Self, ledger::Error> {
        let mut told = Self { people, ..Self::default() };
        let (mut intents, mut later) = (Vec::new(), 0);
        let subject = SubjectKey::object(key);
        let last = book.find_before(subject, to.next(), WITHIN_MAX.saturating_add(1));
        let beyond = last.get(WITHIN_MAX).filter(|seq| **seq > from);
        told.cut = beyond.is_some();
        let from = beyond.copied().unwrap_or(from);
        // The answer to what was sent before may come after.
        for seq in book.find_before(subject, from.next(), BACK_EVENTS) {
            intents.extend(book.get(seq)?.filter(|recorded| as_intent(recorded).is_some()));
        }
        forwards(book, subject, from, |recorded| {
            let within = recorded.seq() <= to;
            later += usize::from(!within);
            if later > LATER_MAX {
                return Some(());
            }
            match &recorded.event {
                Some(Event::ObjectObserved(body)) if body.key == *key => {
                    let version = (body.uid.clone(), body.resource_version.clone());
                    told.shown.entry(version).or_default().push(recorded.seq());
                    told.events.extend(within.then(|| Arc::new(recorded.clone())));
                }
                Some(Event::ObjectGone(body)) if body.key == *key => {
                    told.events.extend(within.then(|| Arc::new(recorded.clone())));
                }
                Some(Event::AttributionResolved(body)) if body.key == *key => {
                    // A later one corrects an earlier one.
                    told.resolved.insert(body.observation, body.clone());
                }
                Some(Event::IntentRecorded(_)) if within => {
                    intents.push(Arc::new(recorded.clone()));
                }
                _ => {}
            }
            None
        })?;
        for intent in intents {
            told.answers(book, key, &intent, (from, to))?;
        }
        told.events.sort_by_key(|event| event.seq());
        told.events.dedup_by_key(|event| event.seq());
        Ok(told)
    }

    /// How the writes of an intent ended.
    fn answers(
        &mut self,
        book: &dyn Book,
        key: &ObjectKey,
        intent: &Arc<Recorded>,
        (from, to): (Seq, Seq),
    ) -> Result<(), ledger::Error> {
        let Some(body) = as_intent(intent) else { return Ok(()) };
        for outcome in book.ends_of(intent.seq())?.iter().filter(|ended| ended.seq() <= to) {
            let Some(ends) = Ends::in_event(outcome) else { continue };
            for (write, result) in ends.about(body, key) {
                let replaces = write.method == Method::Replace;
                let own = Own { intent: Arc::clone(intent), verb: write.verb, replaces };
                match result {
                    // What changed nothing made no version.
                    WriteResult::Applied(applied) if applied.changed => {
                        let version = (applied.uid.clone(), applied.resource_version.clone());
                        self.written.insert(version, own);
                    }
                    // That it is being deleted, seen later, does not tell who asked for it.
                    WriteResult::Deleted if ends.answered => {
                        self.removed.insert(outcome.seq(), own.clone());
                        if let Some((uid, _)) = &write.precondition {
                            self.written.insert((uid.clone(), String::new()), own);
                        }
                    }
                    _ => {}
                }
            }
            if outcome.seq() > from {
                self.events.push(Arc::clone(outcome));
            }
        }
        Ok(())
    }

    /// Whether not all of it is looked at.
    fn is_cut(&self) -> bool {
        self.cut || self.events.len() > STEPS_MAX
    }

    /// Of what nothing that was looked at tells.
    fn untold(&self) -> Group {
        Group::unknown(if self.is_cut() { TOO_MANY } else { UNTOLD })
    }

    /// What brought a state about: what the audit says surely, greffier's own write, what the
    /// audit says otherwise, what the object says of itself.
    fn cause(&self, key: &ObjectKey, state: Option<&State>, event: &Recorded) -> Cause {
        let gone = state.is_none_or(|state| state.live.is_none());
        let version = state.map(|state| (state.uid.clone(), state.resource_version.clone()));
        let shown = version.as_ref().filter(|_| !gone).and_then(|version| self.shown.get(version));
        let told_by = [event.seq()].into_iter().chain(shown.into_iter().flatten().copied());
        let mut resolved = told_by.filter_map(|seq| self.resolved.get(&seq));
        let resolved = resolved.find(|body| !body.claims.is_empty());
        let verb = if gone { "removed" } else { "changed" };
        let attributed = |body: &AttributionResolvedV1| {
            let claims = named(self.people, body, event.envelope.recorded);
            let mut group = Group::by(verb, body.verdict, (&claims, body.more), event.seq());
            if !group.by.is_empty() {
                group.by = body.claims.iter().map(claimed).collect();
            }
            Cause { group, own: None }
        };
        let sure = resolved.filter(|body| matches!(body.verdict, Verdict::Exact | Verdict::Unique));
        let removed = self.removed.get(&event.seq()).filter(|_| gone);
        let own = version.and_then(|version| self.written.get(&version)).or(removed);
        match (sure, own, resolved) {
            (Some(sure), ..) => attributed(sure),
            (None, Some(own), _) => {
                let group = applied(own, event.seq(), None);
                Cause { group, own: Some(own.clone()) }
            }
            (None, None, Some(body)) => attributed(body),
            (None, None, None) => {
                let claims = match &event.event {
                    Some(Event::ObjectObserved(body)) if body.key == *key => managers(event),
                    _ => Vec::new(),
                };
                let group = Group::by(verb, Verdict::FieldManager, (&claims, 0), event.seq());
                Cause { group, own: None }
            }
        }
    }
}

/// That greffier wrote it, and from which commit it is, by `git` where that tells. What is put back
/// is mostly older than the commit that was in force.
fn applied(own: &Own, event: Seq, git: Option<&FromGit>) -> Group {
    let Some(intent) = as_intent(&own.intent) else { return Group::unknown(UNTOLD) };
    let heals = matches!(own.verb, Verb::Heal | Verb::Reclaim);
    let told = git.filter(|git| !git.commit.is_empty());
    let told = told.and_then(|git| git.commit.parse::<CommitId>().ok());
    let in_force = intent.commit.clone().filter(|_| !heals);
    let note = git.map(|git| git.note.as_str()).filter(|note| told.is_none() && !note.is_empty());
    let note = note.filter(|_| heals).map_or_else(String::new, |note| format!("; {note}"));
    let commit = told.or(in_force);
    let of = commit.as_ref().map_or_else(String::new, |c| format!("commit {} ", c.short()));
    let done = if heals { "put back" } else { "applied" };
    Group {
        cause: format!("{of}{done} by greffier for {} (#{}){note}", intent.app, own.intent.seq()),
        by: vec![FIELD_MANAGER.to_owned()],
        strength: Verdict::Exact.as_str().to_owned(),
        commit: commit.map(|commit| commit.to_string()).unwrap_or_default(),
        events: vec![event.0],
        ..Group::default()
    }
}

/// The users that the audit names, each with whose it was then, where that is written down. A
/// field manager is never a person.
fn named(people: &[PersonConfig], body: &AttributionResolvedV1, at: Timestamp) -> Vec<ActorClaim> {
    let parties = people::of_change(people, body.verdict, &body.claims, at);
    let with_person = |(claim, party): (&ActorClaim, Party)| {
        let person = party.person.filter(|_| !party.claimed);
        let who = person.map_or_else(|| claim.who.clone(), |p| format!("{p} ({})", claim.who));
        ActorClaim { who, ..claim.clone() }
    };
    body.claims.iter().zip(parties).map(with_person).collect()
}

/// The field managers that changed what an observation shows, as they claim.
fn managers(event: &Recorded) -> Vec<ActorClaim> {
    let claims = event.actor.claims.iter().filter(|claim| claim.scheme == Scheme::FieldManager);
    claims.map(|claim| ActorClaim { who: claim.value.clone(), ..ActorClaim::default() }).collect()
}

#[cfg(test)]
mod tests;
