//! greffier's own writes: known by the answers that name them.
//!
//! An answer may be recorded after what a watch tells of the write, its intent never is.

use std::sync::Arc;

use super::super::book::{Book, as_intent, kept};
use super::super::brought::{self, Version};
use super::super::instant::backwards;
use super::super::search::Filter;
use super::super::signer::Signer;
use super::OwnWrite;
use crate::attribution::{Change, Prior};
use crate::ledger::event::{
    ActorClaim, Applied, Event, IntentRecordedV1, Learned, ObjectObservedV1, Verb, WriteResult,
};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::ledger::{self, Ends, Recorded};
use crate::model::{ObjectKey, Seq, Timestamp};
use crate::replay::rv_older;

/// For how long before what was seen last an intent is looked for that may still have been open
/// then, in milliseconds: longer than any request is carried out.
const OPEN_MS_MAX: u64 = 3_600_000;
/// Bound: how many intents before an observation are looked at.
const INTENTS_MAX: usize = 16;
/// Bound: how many events about an object are looked at for what was seen of it before. Only while
/// its deletion is requested are there more; then the last intents are looked at all the same.
const LOOKED_AT_MAX: usize = 1_000;

/// The object whose change is asked about.
pub(super) struct Subject<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) uid: &'a str,
    /// The observation that shows the change.
    pub(super) observation: Seq,
    /// What is known by this event counts.
    pub(super) as_of: Seq,
}

/// What was recorded of an object before an observation.
#[derive(Default)]
struct Before {
    /// The version before.
    prior: Option<Arc<Recorded>>,
    /// The intents under which the change can have been made, the last one first.
    intents: Vec<Arc<Recorded>>,
}

impl Before {
    fn prior(&self) -> Option<(Timestamp, &ObjectObservedV1)> {
        let recorded = self.prior.as_ref()?;
        match &recorded.event {
            Some(Event::ObjectObserved(body)) => Some((recorded.envelope.recorded, body)),
            _ => None,
        }
    }
}

impl Subject<'_> {
    /// Looks back until what was seen cannot have been changed by an earlier intent. Where the
    /// deletion was requested before, that is as long as it was not.
    fn before(&self, book: &dyn Book) -> Result<Before, ledger::Error> {
        let mut before = Before::default();
        let (mut since, mut looked_at) = (None::<Timestamp>, 0);
        backwards(book, SubjectKey::object(self.key), self.observation, |recorded| {
            looked_at += 1;
            match &recorded.event {
                Some(Event::ObjectObserved(body)) if body.uid == self.uid => {
                    before.prior.get_or_insert_with(|| Arc::new(recorded.clone()));
                    if !body.deleting {
                        since = Some(recorded.envelope.recorded);
                    }
                }
                Some(Event::ObjectObserved(_) | Event::ObjectGone(_)) => {
                    since = Some(recorded.envelope.recorded);
                }
                _ => {}
            }
            (since.is_some() || looked_at >= LOOKED_AT_MAX).then_some(())
        })?;
        let written = SubjectKey::topic(&Topic::Written(self.key.clone()));
        for seq in book.find_before(written, self.observation, INTENTS_MAX) {
            let Some(recorded) = book.get(seq)? else { continue };
            let at = recorded.envelope.recorded;
            if since.is_some_and(|since| since.ms_since(at) > OPEN_MS_MAX) {
                break;
            }
            before.intents.push(recorded);
        }
        Ok(before)
    }

    /// How the writes of an intent to the object were answered: when, which, and what came of it.
    fn answers(
        &self,
        book: &dyn Book,
        intent: &Recorded,
        mut hear: impl FnMut(&Recorded, u32, &WriteResult),
    ) -> Result<(), ledger::Error> {
        let Some(body) = as_intent(intent) else { return Ok(()) };
        for event in book.ends_of(intent.seq())? {
            // What was settled by looking at the cluster tells nothing about who did it.
            let answer = Ends::in_event(&event).filter(|ends| ends.answered);
            let Some(ended) = answer.filter(|_| event.seq() <= self.as_of) else { continue };
            for (index, result) in ended.results {
                let at = usize::try_from(*index).unwrap_or(usize::MAX);
                if body.writes.get(at).is_some_and(|write| write.key == *self.key) {
                    hear(&event, *index, result);
                }
            }
        }
        Ok(())
    }

    /// The write that made the version, by the outcome that names it. That an answer shows a
    /// version is not enough: the object must show that greffier wrote.
    pub(super) fn version(
        &self,
        book: &dyn Book,
        body: &ObjectObservedV1,
    ) -> Result<Option<OwnWrite>, ledger::Error> {
        let before = self.before(book)?;
        let prior = before.prior();
        if body.deleting && prior.is_some_and(|(_, prior)| !prior.deleting) {
            return self.deleted(book, &before);
        }
        let mut made = None;
        let mut answered: Option<Applied> = None;
        for intent in &before.intents {
            self.answers(book, intent, |outcome, index, result| {
                let WriteResult::Applied(applied) = result else { return };
                if !applied.changed || applied.uid != self.uid {
                    return;
                }
                let version = applied.resource_version.as_str();
                let later = |known: &str| rv_older(known, version);
                if version == body.resource_version {
                    made = Some((outcome.seq(), Arc::clone(intent), index));
                } else if rv_older(version, &body.resource_version)
                    && prior.is_none_or(|(_, prior)| later(&prior.resource_version))
                    && answered.as_ref().is_none_or(|known| later(&known.resource_version))
                {
                    answered = Some(applied.clone());
                }
            })?;
        }
        let Some((outcome, intent, index)) = made else {
            return self.brought(book, body, prior.is_none(), None);
        };
        let Some(intended) = as_intent(&intent) else { return Ok(None) };
        let verb = written(intended, index).map(|write| write.verb);
        if !wrote(book, body, prior, answered.as_ref(), verb)? {
            return Ok(None);
        }
        own_write(book, outcome, &intent, index)
    }

    /// The write of a replay or of a restore that made the version, where the records which name
    /// somebody are of that very write.
    pub(super) fn told_by(
        &self,
        book: &dyn Book,
        body: &ObjectObservedV1,
        claims: &[ActorClaim],
    ) -> Result<Option<OwnWrite>, ledger::Error> {
        // Nearly everything was never replayed or restored, which the index tells at once.
        if !brought::is_any(book, self.uid) {
            return Ok(None);
        }
        let is_first = self.before(book)?.prior.is_none();
        self.brought(book, body, is_first, Some(claims))
    }

    /// The write of a replay or of a restore that made the version; where `claims` are given, only
    /// if they rest on records of it.
    fn brought(
        &self,
        book: &dyn Book,
        body: &ObjectObservedV1,
        is_first: bool,
        claims: Option<&[ActorClaim]>,
    ) -> Result<Option<OwnWrite>, ledger::Error> {
        let version = Version {
            key: self.key,
            uid: self.uid,
            resource_version: &body.resource_version,
            managers: &body.managers,
            is_first,
            as_of: self.as_of,
        };
        made(book, &version, claims)
    }

    /// The write that deleted it, by the answer to it: one that was bound to its uid.
    pub(super) fn deletion(&self, book: &dyn Book) -> Result<Option<OwnWrite>, ledger::Error> {
        let before = self.before(book)?;
        if let Some(own) = self.deleted(book, &before)? {
            return Ok(Some(own));
        }
        // What a restore removed has no version any more.
        let (resource_version, managers, is_first) = ("", &[][..], false);
        let (key, uid, as_of) = (self.key, self.uid, self.as_of);
        made(book, &Version { key, uid, resource_version, managers, is_first, as_of }, None)
    }

    fn deleted(&self, book: &dyn Book, before: &Before) -> Result<Option<OwnWrite>, ledger::Error> {
        for intent in &before.intents {
            let Some(intended) = as_intent(intent) else { continue };
            let bound = |index: u32| {
                let precondition = written(intended, index)?.precondition.as_ref();
                precondition.filter(|(uid, _)| uid == self.uid)
            };
            let mut found = None;
            self.answers(book, intent, |outcome, index, result| {
                if *result == WriteResult::Deleted && bound(index).is_some() {
                    found.get_or_insert((outcome.seq(), index));
                }
            })?;
            if let Some((outcome, index)) = found {
                return own_write(book, outcome, intent, index);
            }
        }
        Ok(None)
    }
}

/// The write of a replay or of a restore that made a version; where `claims` are given, only if they
/// rest on records of it.
fn made(
    book: &dyn Book,
    version: &Version<'_>,
    claims: Option<&[ActorClaim]>,
) -> Result<Option<OwnWrite>, ledger::Error> {
    let Some(brought) = version.brought(book)? else { return Ok(None) };
    if let Some(claims) = claims
        && !brought.is_told_by(book, claims)?
    {
        return Ok(None);
    }
    let mut own = OwnWrite {
        app: brought.app,
        intent: brought.intent,
        outcome: brought.outcome,
        reason: brought.reason,
        commit: brought.commit,
        author: String::new(),
        committer: String::new(),
        signer: Signer::unknown(),
    };
    own.name_people(book)?;
    Ok(Some(own))
}

fn written(intent: &IntentRecordedV1, index: u32) -> Option<&crate::ledger::event::Write> {
    intent.writes.get(usize::try_from(index).ok()?)
}

/// Whether a version shows that greffier wrote after what was known before: `answered`, of a write
/// that was not observed, or `prior`.
fn wrote(
    book: &dyn Book,
    body: &ObjectObservedV1,
    prior: Option<(Timestamp, &ObjectObservedV1)>,
    answered: Option<&Applied>,
    verb: Option<Verb>,
) -> Result<bool, ledger::Error> {
    let (object, digest, own_differs) = match (answered, prior) {
        (Some(applied), _) => (applied.object, applied.digest, false),
        (None, Some((at, prior))) => {
            (prior.object, prior.digest, Prior::of_observed(at, prior).own_differs(body))
        }
        // What was there before is not known, unless nothing was.
        (None, None) => return Ok(body.added),
    };
    if digest == body.digest {
        return Ok(own_differs || verb == Some(Verb::TakeOver));
    }
    // A version that a list shows may fold changes of others.
    if own_differs && body.learned == Learned::Watched {
        return Ok(true);
    }
    let (Some(was), Some(is)) = (kept(book, object)?, kept(book, body.object)?) else {
        return Ok(false);
    };
    let change = Change::between(Some(&was), &is);
    Ok(change.own && !change.is_empty())
}

/// The write, with the people whom its commit names.
fn own_write(
    book: &dyn Book,
    outcome: Seq,
    intent: &Recorded,
    index: u32,
) -> Result<Option<OwnWrite>, ledger::Error> {
    let Some(intended) = as_intent(intent) else { return Ok(None) };
    let mut own = OwnWrite {
        app: Some(intended.app.clone()),
        intent: intent.seq(),
        outcome,
        reason: written(intended, index).map_or_else(String::new, |write| write.reason.clone()),
        commit: intended.commit.clone(),
        author: String::new(),
        committer: String::new(),
        signer: Signer::unknown(),
    };
    own.name_people(book)?;
    Ok(Some(own))
}

impl OwnWrite {
    /// Adds the people whom the commit names.
    fn name_people(&mut self, book: &dyn Book) -> Result<(), ledger::Error> {
        let Some(commit) = self.commit.clone() else { return Ok(()) };
        let filter = Filter { commit: Some(commit.to_string()), ..Filter::default() };
        for seq in book.candidates(&filter).unwrap_or_default() {
            let recorded = book.get(seq)?;
            let Some(Event::CommitRecorded(body)) =
                recorded.as_ref().and_then(|r| r.event.as_ref())
            else {
                continue;
            };
            if body.commit == commit {
                self.author = format!("{} <{}>", body.author.name, body.author.email);
                self.committer = format!("{} <{}>", body.committer.name, body.committer.email);
                self.signer = Signer::of(body.signature.as_ref());
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::*;
    use crate::ledger::event::{
        Applied, DaemonStartedV1, Health, IntentRecordedV1, IntentSettledV1, Learned, ManagerStamp,
        ObjectGoneV1, ObjectObservedV1, OutcomeRecordedV1, Verb, Write, WriteResult,
    };
    use crate::ledger::samples::sample_events;
    use crate::ledger::{Batch, Blob, Draft};
    use crate::model::{Actor, Digest, Protection, Timestamp, canonical_json};
    use crate::query::fixture::{Story, key, name};

    const WEB: &str = "ConfigMap/prod/web";

    fn blob(value: &str) -> Blob {
        let own = json!({"f:data": {"f:key": {}}});
        let fields = json!([{"manager": "greffier", "operation": "Apply", "fieldsV1": own}]);
        let object = json!({"data": {"key": value, "other": value}});
        Blob::plain(canonical_json(&json!({"object": object, "fields": fields})), None)
    }

    /// A version of `web`, after greffier wrote at `own`.
    fn version(version: u64, own: i64) -> ObjectObservedV1 {
        let stamp = ManagerStamp {
            manager: "greffier".into(),
            operation: "Apply".into(),
            subresource: String::new(),
            time: Some(Timestamp::from_seconds(own)),
            fields: Digest::default(),
        };
        ObjectObservedV1 {
            digest: Digest::of(&version.to_be_bytes()),
            object: blob(&version.to_string()).addr,
            managers: vec![stamp],
            ..ObjectObservedV1::plain(key(WEB), "u", &version.to_string())
        }
    }

    /// A story with the contents of some versions.
    fn begin() -> Story {
        let mut story = Story::empty();
        let blobs = (9..13).map(|version: u64| blob(&version.to_string())).collect();
        story.add(Batch { blobs, drafts: vec![Draft::new(sample())] });
        story
    }

    /// Something else.
    fn sample() -> Event {
        DaemonStartedV1 { version: "1".into(), observe: false, pid: 1 }.into()
    }

    fn intends(story: &mut Story, verb: Verb) -> Seq {
        let precondition = Some(("u".to_owned(), "10".to_owned()));
        let write = Write { precondition, ..Write::plain(verb, key(WEB), "v1", "because") };
        let (app, writes) = (name("web"), vec![write]);
        story.event(IntentRecordedV1 { app, writes, commit: None, timeout_ms: 1_000 })
    }

    /// greffier is answered that it made this version.
    fn answered(story: &mut Story, intent: Seq, version: u64) -> Seq {
        let applied = Applied {
            uid: "u".into(),
            resource_version: version.to_string(),
            baseline: Digest::default(),
            object: blob(&version.to_string()).addr,
            changed: true,
            digest: Digest::of(&version.to_be_bytes()),
            managers: Digest::default(),
            health: Health::Healthy,
            health_message: String::new(),
            protection: Protection::default(),
            notes: Box::default(),
        };
        let results = vec![(0, WriteResult::Applied(applied))];
        story.event(OutcomeRecordedV1 { app: name("web"), intent, results })
    }

    fn asked(story: &Story, seq: Seq, as_of: Option<Seq>) -> Who {
        who(&story.ledger, seq, as_of).unwrap().unwrap()
    }

    fn own(story: &Story, seq: Seq) -> Option<Seq> {
        asked(story, seq, None).own.map(|own| own.outcome)
    }

    /// Goal: that an answer shows a version does not say that greffier made it, however long ago
    /// the version before was recorded.
    #[test]
    fn the_object_must_show_the_write_however_long_nothing_was_seen_of_it() {
        for (stamp, is_own) in [(2, true), (1, false)] {
            let mut story = begin();
            story.event(version(10, 1));
            let others = (0..10_100).map(|_| Draft::new(sample())).collect::<Vec<_>>();
            story.add(others);
            let intent = intends(&mut story, Verb::Update);
            let seen = story.event(version(11, stamp));
            assert_eq!(own(&story, seen), None, "not answered yet");
            let outcome = answered(&mut story, intent, 11);
            assert_eq!(own(&story, seen), is_own.then_some(outcome), "{stamp}");
            assert_eq!(asked(&story, seen, Some(seen)).own, None, "it was not known then");
        }
    }

    /// Goal: a version before that only an answer told of is the one before all the same.
    #[test]
    fn a_write_that_was_not_observed_is_not_taken_for_the_next_one() {
        let mut story = begin();
        story.event(version(10, 1));
        let first = intends(&mut story, Verb::Update);
        answered(&mut story, first, 11);
        let second = intends(&mut story, Verb::Update);
        let seen = story.event(version(12, 2));
        answered(&mut story, second, 12);
        assert_eq!(own(&story, seen), None, "what greffier does not own changed last");
    }

    /// Goal: where nothing is known of the object before, what was there when greffier wrote may
    /// be somebody else's.
    #[test]
    fn what_was_not_seen_before_is_greffiers_only_if_it_is_new() {
        for added in [true, false] {
            let mut story = begin();
            let intent = intends(&mut story, Verb::Create);
            let outcome = answered(&mut story, intent, 11);
            let seen = story.event(ObjectObservedV1 { added, ..version(11, 1) });
            assert_eq!(own(&story, seen), added.then_some(outcome));
        }
    }

    /// Goal: a deletion is greffier's where its own was answered, of this very object.
    #[test]
    fn a_deletion_is_known_by_its_answer() {
        for (uid, settled, deleting) in
            [("u", false, false), ("u", false, true), ("u", true, false), ("v", false, false)]
        {
            let mut story = begin();
            story.event(ObjectObservedV1 { uid: uid.into(), ..version(10, 1) });
            let intent = intends(&mut story, Verb::Prune);
            let learned = Learned::Watched;
            let gone = if deleting {
                story.event(ObjectObservedV1 { deleting, ..version(11, 1) })
            } else {
                story.event(ObjectGoneV1 { key: key(WEB), uid: uid.into(), learned })
            };
            let (app, results) = (name("web"), vec![(0, WriteResult::Deleted)]);
            let outcome = if settled {
                story.event(IntentSettledV1 { app, intent, results })
            } else {
                story.event(OutcomeRecordedV1 { app, intent, results })
            };
            let expected = (uid == "u" && !settled).then_some(outcome);
            assert_eq!(own(&story, gone), expected, "{uid} {settled} {deleting}");
            assert_eq!(asked(&story, gone, Some(gone)).own, None, "it was not known then");
        }
    }

    /// Goal: that no record told says nothing against what else does, and stays an answer.
    #[test]
    fn what_the_audit_could_not_tell_others_may() {
        for is_own in [true, false] {
            let mut story = begin();
            story.event(version(10, 1));
            let intent = intends(&mut story, Verb::Update);
            let actor = Actor::one(Scheme::FieldManager, "kubectl", 2);
            let seen = story.add(Draft::new(version(11, if is_own { 2 } else { 1 })).by(actor));
            answered(&mut story, intent, 11);
            let Some(Event::AttributionResolved(body)) =
                sample_events().into_iter().find(|event| event.name() == "attribution.resolved")
            else {
                panic!()
            };
            let unknown = AttributionResolvedV1 {
                key: key(WEB),
                observation: seen,
                verdict: Verdict::Unknown,
                claims: Vec::new(),
                why: "too many waited".into(),
                ..body
            };
            let said = story.event(unknown);
            let found = asked(&story, seen, None);
            assert_eq!((found.attribution, found.own.is_some()), (Some(said), is_own));
            let names: Vec<_> = found.claims.iter().map(|claim| claim.who.as_str()).collect();
            if is_own {
                assert_eq!((found.verdict, names), (Verdict::Exact, vec!["greffier"]));
            } else {
                assert_eq!((found.verdict, names), (Verdict::FieldManager, vec!["kubectl"]));
                assert!(found.why.starts_with("too many waited"), "{}", found.why);
            }
        }
    }
}
