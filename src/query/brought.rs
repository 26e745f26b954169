//! Writes of greffier that no sync made: what was replayed onto a cluster before it was accepted,
//! and what a person restored.
//!
//! The answer to a replay's write may be older than what was observed first: controllers write in
//! between. What greffier applied shows by its own entry among the object's field managers, with
//! its time and the digest of its fields; whoever changes such a field takes it out of that entry.

use super::book::Book;
use super::text::clip;
use crate::ledger::event::{
    ActorClaim, Event, ManagerStamp, Recovered, RecoveryOutcomeV1, RecoveryResult, RestoreEndedV1,
    RestoreResult, Verb,
};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::ledger::{self, Recorded};
use crate::model::{AppName, BlobAddr, CommitId, ObjectKey, Seq};

/// Bound: how many outcomes that name a uid are looked at, the last ones first.
const OUTCOMES_MAX: usize = 64;

/// A version of an object, and until when what is known of it counts.
pub(super) struct Version<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) uid: &'a str,
    pub(super) resource_version: &'a str,
    pub(super) managers: &'a [ManagerStamp],
    /// Whether it is the first that was seen with its uid.
    pub(super) is_first: bool,
    pub(super) as_of: Seq,
}

/// The write that made a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Brought {
    pub(super) intent: Seq,
    /// The position of the write in the intent.
    pub(super) index: u32,
    /// The object as the answer names it: its uid and its resource version.
    pub(super) answered: (String, String),
    pub(super) outcome: Seq,
    pub(super) verb: Verb,
    /// The application; `None` = nobody's.
    pub(super) app: Option<AppName>,
    /// The version of the group that was written.
    pub(super) version: String,
    /// The render that wanted it so.
    pub(super) render: Option<Seq>,
    /// What that render wanted, and of which commit.
    pub(super) manifest: Option<BlobAddr>,
    pub(super) commit: Option<CommitId>,
    /// Why, and who asked for it.
    pub(super) reason: String,
}

/// Whether any replay or restore wrote the object with this uid.
pub(super) fn is_any(book: &dyn Book, uid: &str) -> bool {
    !book.find(SubjectKey::topic(&Topic::Brought(uid.to_owned())), Seq::ZERO, 1).is_empty()
}

impl Version<'_> {
    /// The write of a replay or of a restore that made it; `None` = none is known to have.
    pub(super) fn brought(&self, book: &dyn Book) -> Result<Option<Brought>, ledger::Error> {
        let topic = SubjectKey::topic(&Topic::Brought(self.uid.to_owned()));
        for seq in book.find_before(topic, self.as_of.next(), OUTCOMES_MAX) {
            let Some(recorded) = book.get(seq)? else { continue };
            let found = match &recorded.event {
                Some(Event::RecoveryOutcome(body)) => self.replayed(book, seq, body)?,
                Some(Event::RestoreEnded(body)) => self.restored(book, seq, body)?,
                _ => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn replayed(
        &self,
        book: &dyn Book,
        outcome: Seq,
        body: &RecoveryOutcomeV1,
    ) -> Result<Option<Brought>, ledger::Error> {
        let written = body.results.iter().find_map(|(index, result)| match result {
            RecoveryResult::Written(written) if self.shows(written) => Some((*index, written)),
            _ => None,
        });
        let Some(written) = written else { return Ok(None) };
        let (Some(intent), Some(began)) = (book.get(body.intent)?, book.get(body.recovery)?) else {
            return Ok(None);
        };
        self.of_replay(book, (outcome, written), &intent, &began)
    }

    /// What was found as it was to be written, after a crash, proves nothing about who wrote it.
    fn shows(&self, written: &Recovered) -> bool {
        if written.found || written.uid != self.uid {
            return false;
        }
        let own = self.managers.iter().find(|stamp| stamp.is_own());
        let own = own.and_then(|stamp| Some((stamp.time?, stamp.fields)));
        let untouched = self.is_first && own.is_some() && own == written.applied;
        untouched || written.resource_version == self.resource_version
    }

    fn of_replay(
        &self,
        book: &dyn Book,
        (outcome, (index, written)): (Seq, (u32, &Recovered)),
        intent: &Recorded,
        began: &Recorded,
    ) -> Result<Option<Brought>, ledger::Error> {
        let (Some(Event::RecoveryIntent(body)), Some(Event::RecoveryBegun(begun))) =
            (&intent.event, &began.event)
        else {
            return Ok(None);
        };
        let write = usize::try_from(index).ok().and_then(|index| body.writes.get(index));
        let Some(write) = write.filter(|write| write.key == *self.key) else { return Ok(None) };
        let mut brought = Brought {
            intent: intent.seq(),
            index,
            answered: (written.uid.clone(), written.resource_version.clone()),
            outcome,
            verb: Verb::Create,
            app: write.app.parse().ok(),
            version: write.version.clone(),
            render: write.render,
            manifest: None,
            commit: None,
            reason: format!("replayed as at #{}: {}", begun.to, asked(began)),
        };
        let render = write.render.map(|render| book.get(render)).transpose()?.flatten();
        if let Some(Event::RenderSucceeded(render)) = render.as_ref().and_then(|r| r.event.as_ref())
        {
            let wanted = render.objects.iter().find(|object| object.key == *self.key);
            brought.manifest = wanted.map(|object| object.manifest);
            brought.commit = Some(render.revision.commit.clone());
        }
        Ok(Some(brought))
    }

    /// A restore is watched as it happens: the answer names the version.
    fn restored(
        &self,
        book: &dyn Book,
        outcome: Seq,
        body: &RestoreEndedV1,
    ) -> Result<Option<Brought>, ledger::Error> {
        let made = body.results.iter().find_map(|(index, result)| match result {
            RestoreResult::Made { uid, resource_version }
                if uid == self.uid && resource_version == self.resource_version =>
            {
                Some(*index)
            }
            _ => None,
        });
        // What was settled by looking at the cluster tells nothing about who did it.
        let Some(index) = made.filter(|_| !body.settled) else { return Ok(None) };
        let Some(intended) = book.get(body.restore)? else { return Ok(None) };
        let Some(Event::RestoreIntended(restore)) = &intended.event else { return Ok(None) };
        let write = usize::try_from(index).ok().and_then(|index| restore.writes.get(index));
        let write = write.filter(|write| write.key == *self.key);
        Ok(write.map(|write| Brought {
            intent: intended.seq(),
            index,
            answered: (self.uid.to_owned(), self.resource_version.to_owned()),
            outcome,
            verb: write.verb,
            app: None,
            version: write.version.clone(),
            render: None,
            manifest: None,
            commit: None,
            reason: format!("restored as at #{}: {}", restore.from.seq(), asked(&intended)),
        }))
    }
}

impl Brought {
    /// Whether the records that somebody's name rests on are of this write: then whoever they name is
    /// greffier. A client may choose its audit id, so they must also show the very version that the
    /// answer named, which no other request that changed something can; a record without one proves
    /// nothing.
    pub(super) fn is_told_by(
        &self,
        book: &dyn Book,
        claims: &[ActorClaim],
    ) -> Result<bool, ledger::Error> {
        let id = format!("-{}-{}", self.intent, self.index);
        let (uid, version) = (&self.answered.0, &self.answered.1);
        if claims.is_empty() || claims.iter().any(|claim| claim.evidence.is_empty()) {
            return Ok(false);
        }
        for seq in claims.iter().flat_map(|claim| &claim.evidence) {
            let record = book.get(*seq)?;
            match record.as_ref().and_then(|record| record.event.as_ref()) {
                Some(Event::AuditReceived(record))
                    if record.audit_id.ends_with(&id)
                        && (&record.uid, &record.resource_version) == (uid, version)
                        && !version.is_empty() => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// Who asked for it.
fn asked(began: &Recorded) -> String {
    format!("{} asked for it (#{})", clip(&began.actor.to_string(), 120), began.seq())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{AuditReceivedV1, RecoveryBegunV1, RecoveryIntentV1, RecoveryWrite};
    use crate::ledger::samples::sample_events;
    use crate::model::{Digest, Timestamp};
    use crate::query::fixture::{Story, key};

    const WEB: &str = "ConfigMap/prod/web";

    fn sample(name: &str) -> Event {
        sample_events().into_iter().find(|event| event.name() == name).unwrap()
    }

    /// What greffier applied at `second`.
    fn stamp(second: i64, fields: u8) -> ManagerStamp {
        ManagerStamp {
            manager: "greffier".into(),
            operation: "Apply".into(),
            subresource: String::new(),
            time: Some(Timestamp::from_seconds(second)),
            fields: Digest([fields; 32]),
        }
    }

    /// The object `web` is replayed, and has version 7 and greffier's entry of second 10 then.
    fn replayed(story: &mut Story, found: bool) -> Seq {
        let Event::RecoveryBegun(begun) = sample("recovery.begun") else { panic!() };
        let recovery = story.event(RecoveryBegunV1 { to: Seq(1), ..begun });
        let write = RecoveryWrite {
            key: key(WEB),
            version: "v1".into(),
            app: "web".into(),
            digest: Digest::default(),
            render: None,
            former: "old".into(),
            again: String::new(),
        };
        let intent = story.event(RecoveryIntentV1 { recovery, writes: vec![write] });
        let applied = Some((Timestamp::from_seconds(10), Digest([1; 32])));
        let written = Recovered {
            uid: "new".into(),
            resource_version: "7".into(),
            applied,
            found,
            tries: 1,
            admitted: Vec::new(),
        };
        let results = vec![(0, RecoveryResult::Written(written))];
        story.event(RecoveryOutcomeV1 { recovery, intent, results })
    }

    /// The outcome of the write that made a version.
    fn made_by(story: &Story, (uid, version): (&str, &str), own: ManagerStamp, first: bool) -> Seq {
        let web = key(WEB);
        let version = Version {
            key: &web,
            uid,
            resource_version: version,
            managers: &[own],
            is_first: first,
            as_of: Seq(99),
        };
        version.brought(&story.ledger).unwrap().map_or(Seq::ZERO, |brought| brought.outcome)
    }

    /// Goal: what a replay wrote is greffier's, also where controllers have written since; what
    /// somebody else may have made of it is not.
    #[test]
    fn what_was_replayed_is_known_by_its_answer_and_by_what_greffier_applied() {
        let mut story = Story::empty();
        story.event(sample("daemon.started"));
        let outcome = replayed(&mut story, false);
        let made = |of, own, first| made_by(&story, of, own, first);
        assert_eq!(made(("new", "7"), stamp(10, 1), true), outcome);
        assert_eq!(made(("new", "9"), stamp(10, 1), true), outcome, "a status was written since");
        assert_eq!(made(("new", "9"), stamp(10, 1), false), Seq::ZERO, "somebody's change");
        assert_eq!(made(("new", "9"), stamp(11, 1), true), Seq::ZERO, "applied again");
        assert_eq!(made(("new", "9"), stamp(10, 2), true), Seq::ZERO, "other fields");
        assert_eq!(made(("other", "7"), stamp(10, 1), true), Seq::ZERO, "another object");

        let mut story = Story::empty();
        story.event(sample("daemon.started"));
        replayed(&mut story, true);
        let found = made_by(&story, ("new", "7"), stamp(10, 1), true);
        assert_eq!(found, Seq::ZERO, "found after a crash: no answer names it");
    }

    /// Goal: a record of the very write names greffier and no more; one of another request stands.
    #[test]
    fn a_record_of_the_write_itself_tells_nothing_else() {
        let mut story = Story::empty();
        story.event(sample("daemon.started"));
        let outcome = replayed(&mut story, false);
        let Event::AuditReceived(record) = sample("audit.received") else { panic!() };
        let mut record_of = |audit_id: String, version: &str| {
            let (uid, resource_version) = ("new".into(), version.into());
            let record = AuditReceivedV1 { audit_id, uid, resource_version, ..record.clone() };
            let seq = story.event(record);
            ActorClaim { who: "sa".into(), evidence: vec![seq], ..ActorClaim::default() }
        };
        let intent = Seq(outcome.0 - 1);
        let own = record_of(format!("ledger-{intent}-0"), "7");
        let others = [
            record_of(format!("ledger-{intent}-1"), "7"),
            record_of("alices".into(), "7"),
            // Somebody chose the id of this write for another one, or it is not known which.
            record_of(format!("ledger-{intent}-0"), "8"),
            record_of(format!("ledger-{intent}-0"), ""),
            ActorClaim { who: "sa".into(), ..ActorClaim::default() },
        ];
        let web = key(WEB);
        let version = Version {
            key: &web,
            uid: "new",
            resource_version: "7",
            managers: &[],
            is_first: true,
            as_of: Seq(99),
        };
        let brought = version.brought(&story.ledger).unwrap().unwrap();
        let told = |claims: &[ActorClaim]| brought.is_told_by(&story.ledger, claims).unwrap();
        assert!(told(std::slice::from_ref(&own)));
        assert!(!told(&[]));
        for other in others {
            assert!(!told(&[own.clone(), other.clone()]) && !told(&[other]));
        }
    }

    #[test]
    fn what_was_restored_is_known_by_its_answer_and_says_who_asked() {
        let mut story = Story::empty();
        story.event(sample("daemon.started"));
        let Event::RestoreIntended(mut intended) = sample("restore.intended") else { panic!() };
        intended.writes[0].key = key(WEB);
        let restore = story.event(intended);
        let Event::RestoreEnded(ended) = sample("restore.ended") else { panic!() };
        let ended = RestoreEndedV1 { restore, objects: vec![key(WEB)], ..ended };
        story.event(RestoreEndedV1 { settled: true, ..ended.clone() });
        let made = |story: &Story, version| made_by(story, ("uid-1", version), stamp(1, 1), false);
        assert_eq!(made(&story, "77"), Seq::ZERO, "looked up, not answered");
        let outcome = story.event(ended);
        assert_eq!((made(&story, "77"), made(&story, "78")), (outcome, Seq::ZERO));
    }
}
