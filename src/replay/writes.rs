//! How intents and their outcomes change the world.

use std::collections::BTreeMap;

use super::application::{App, Attempt, Desired};
use super::cluster::{LiveObject, Made, OpenIntent, OpenWrite, Owned, rv_older};
use super::observed::gates_others;
use super::world::{Touched, World};
use crate::ledger::event::{
    Applied, ApplyNotes, IntentRecordedV1, IntentSettledV1, OutcomeRecordedV1, Verb, Write,
    WriteResult,
};
use crate::model::{AppName, BEFORE_FIRST_APPLY, Digest, Seq, Timestamp};

/// Writes that failed are tried again after this long, doubling.
const RETRY_FIRST_MS: u64 = 1_000;
/// The longest wait between tries of a write that may succeed yet.
const RETRY_LONGEST_MS: u64 = 60_000;
/// Why a namespace is kept whose manifest was replaced while its write was being recorded.
const KEEP_UNKNOWN: &str = "whether it came with an option is not known";

impl World {
    pub(super) fn intent_recorded(
        &mut self,
        seq: Seq,
        recorded: Timestamp,
        body: &IntentRecordedV1,
    ) -> Touched {
        let app = self.apps.get(&body.app);
        let writes: BTreeMap<u32, OpenWrite> = (0..)
            .zip(&body.writes)
            .map(|(index, write)| (index, self.open_write(app, write)))
            .collect();
        // Whoever removed the application counted its objects then.
        let removing = app.is_some_and(|app| app.removing);
        let desired = app.and_then(|app| app.desired.as_ref()).filter(|_| !removing);
        let counted = desired.map(Desired::counted_for);
        if let Some(counted) = &counted {
            let deletions = writes.values().filter(|open| open.deletes).count();
            self.count_deletions(counted, deletions);
        }
        self.tries(&body.app, &body.writes);
        for write in &body.writes {
            self.in_flight.insert(write.key.clone(), seq);
        }
        let desired = self.apps.get_mut(&body.app).and_then(|app| app.desired.as_mut());
        if let Some(desired) = desired {
            let deletions = writes.values().filter(|open| open.deletes);
            desired.deleted.extend(deletions.map(|open| open.write.key.clone()));
        }
        let intent = OpenIntent {
            app: body.app.clone(),
            counted,
            writes,
            // By the clock that the requests are sent by: `now` stays ahead of it when it was
            // set back.
            deadline: recorded.plus_ms(body.timeout_ms.into()),
            orphaned: false,
        };
        self.intents.insert(seq, intent);
        Touched::nothing()
    }

    /// What has to be remembered of a write until its outcome: later renders replace the
    /// manifest that it applies.
    fn open_write(&self, app: Option<&App>, write: &Write) -> OpenWrite {
        let desired = app.and_then(|app| app.desired.as_ref());
        let desired = desired.and_then(|desired| desired.objects.get(&write.key));
        let desired = desired.filter(|object| object.digest == write.digest);
        let keep = match desired {
            Some(object) => {
                let holds = object.holds.iter().filter(|hold| hold.prune);
                holds.map(|hold| hold.what.clone()).collect()
            }
            // A newer render was recorded between the decision and the intent.
            None if write.verb != Verb::Prune && write.key.is("", "Namespace") => {
                vec![KEEP_UNKNOWN.to_owned()]
            }
            None => Vec::new(),
        };
        OpenWrite {
            write: write.clone(),
            unknown: None,
            deletes: app.is_some_and(|app| self.is_deletion(app, write)),
            replicas: desired.and_then(|object| object.replicas),
            keep,
            gone: String::new(),
            shown: None,
        }
    }

    pub(super) fn outcome_recorded(&mut self, seq: Seq, body: &OutcomeRecordedV1) -> Touched {
        self.outcomes(seq, &body.app, body.intent, &body.results, false)
    }

    pub(super) fn intent_settled(&mut self, seq: Seq, body: &IntentSettledV1) -> Touched {
        self.outcomes(seq, &body.app, body.intent, &body.results, true)
    }

    fn outcomes(
        &mut self,
        seq: Seq,
        app: &AppName,
        intent_seq: Seq,
        results: &[(u32, WriteResult)],
        settled: bool,
    ) -> Touched {
        let mut wakes_others = false;
        for (index, result) in results {
            let Some(intent) = self.intents.get_mut(&intent_seq) else { break };
            if let WriteResult::Unknown(error) = result {
                if let Some(open) = intent.writes.get_mut(index) {
                    open.unknown = Some(error.clone());
                }
                continue;
            }
            let Some(open) = intent.writes.remove(index) else { continue };
            let (counted, deadline) = (intent.counted.clone(), intent.deadline);
            if self.in_flight.get(&open.write.key) == Some(&intent_seq) {
                self.in_flight.remove(&open.write.key);
            }
            let undone = matches!(
                result,
                WriteResult::Refused(_)
                    | WriteResult::Failed(_)
                    | WriteResult::Unsupported(_)
                    | WriteResult::NotSent(_)
                    | WriteResult::Gone(_)
                    | WriteResult::Another(_)
            );
            if undone && open.deletes {
                self.uncount_deletion(counted.as_ref());
                self.undelete(app, &open.write);
            }
            if undone {
                let another = match result {
                    WriteResult::Another(at) => Some(*at),
                    _ => None,
                };
                wakes_others |= self.shows_another(app, &open, deadline, another);
            }
            // Its echo will say nothing new.
            wakes_others |= gates_others(&open.write.key);
            match result {
                WriteResult::NotSent(why) if settled => self.unseen(app, &open, deadline, why),
                WriteResult::Another(_) => self.unseen(app, &open, deadline, WriteResult::ANOTHER),
                _ if self.cluster.doubt().is_some() => self.may_be_made(&open, deadline),
                result => self.outcome((seq, intent_seq), app, &open, result),
            }
        }
        let open = self.intents.get(&intent_seq).is_some_and(|intent| !intent.writes.is_empty());
        if !open {
            self.intents.remove(&intent_seq);
        }
        if wakes_others {
            return Touched::all();
        }
        // While an intent goes as planned, there is nothing to plan anew.
        let as_planned =
            |result: &WriteResult| matches!(result, WriteResult::Applied(_) | WriteResult::Deleted);
        if open && results.iter().all(|(_, result)| as_planned(result)) {
            return Touched::nothing();
        }
        Touched::app(app)
    }

    /// A deletion that was begun did not happen.
    fn undelete(&mut self, app: &AppName, write: &Write) {
        if let Some(desired) = self.apps.get_mut(app).and_then(|app| app.desired.as_mut()) {
            desired.deleted.remove(&write.key);
        }
    }

    /// `at` = where the answer is recorded, and the intent.
    fn outcome(&mut self, at: (Seq, Seq), name: &AppName, open: &OpenWrite, result: &WriteResult) {
        match result {
            WriteResult::Applied(applied) if open.write.verb == Verb::TakeOver => {
                self.taken_over(at, name, open, applied);
            }
            WriteResult::Applied(applied) => self.applied(at, name, open, applied),
            WriteResult::Unsupported(_) => {
                self.cluster.no_apply.insert(open.write.key.group_kind());
            }
            WriteResult::Deleted => self.deleted(name, &open.write, false),
            WriteResult::AlreadyGone => self.deleted(name, &open.write, true),
            WriteResult::Refused(error) => self.failed(name, &open.write, error, true),
            WriteResult::Failed(error) => self.failed(name, &open.write, error, false),
            WriteResult::Gone(error) => self.vanished(name, &open.write, error),
            WriteResult::Unknown(_) | WriteResult::NotSent(_) | WriteResult::Another(_) => {}
        }
    }

    /// A write was sent, and the cluster does not show it: that is a failed try, which must not be
    /// repeated without end and without a word. What a daemon that died may never have sent is
    /// none.
    fn unseen(&mut self, name: &AppName, open: &OpenWrite, deadline: Timestamp, why: &str) {
        self.may_be_made(open, deadline);
        if let Some(error) = &open.unknown
            && self.cluster.doubt().is_none()
        {
            self.failed(name, &open.write, &format!("{error}; {why}"), false);
        }
    }

    /// It may have been made: and undone at once, or in another cluster than the one that answers
    /// now.
    fn may_be_made(&mut self, open: &OpenWrite, deadline: Timestamp) {
        self.may_have_written_to(&open.write.key, deadline);
        if let Some(owned) = self.owned.get_mut(&open.write.key) {
            owned.unseen = owned.unseen.max(Some(deadline));
        }
    }

    fn deleted(&mut self, name: &AppName, write: &Write, gone: bool) {
        let key = &write.key;
        let uid = write.precondition.as_ref().map(|(uid, _)| uid.as_str());
        // What the watch shows may already be another object of the same name.
        let same = self.live.get(key).is_some_and(|live| Some(live.uid.as_str()) == uid);
        if gone {
            if same {
                self.live.remove(key);
            }
            self.disown(key);
            let _ = self.out_of_the_way(key, Some(name));
        } else {
            if let Some(live) = self.live.get_mut(key).filter(|_| same) {
                live.deleting = true;
            }
            if let Some(owned) = self.owned.get_mut(key) {
                owned.applied = Digest::default();
            }
        }
        if let Some(app) = self.apps.get_mut(name) {
            app.attempts.remove(key);
            app.drift.remove(key);
            // What is made anew right away is no removal, and what was gone was not removed.
            if write.verb == Verb::Prune && !gone {
                app.counts.2 += 1;
            }
        }
    }

    /// What was to be written over is not there. A watch that has shown the object says so, too:
    /// that is waited for. What only the answer to a write of ours told of is forgotten, as no
    /// watch may ever mention it: the cluster may have been set back behind that write.
    fn vanished(&mut self, name: &AppName, write: &Write, error: &str) {
        if self.live.get(&write.key).is_some_and(|live| live.answered && !live.shown) {
            self.live.remove(&write.key);
        } else {
            self.failed(name, write, error, false);
        }
    }

    fn failed(&mut self, name: &AppName, write: &Write, error: &str, refused: bool) {
        let now = self.now;
        let Some(app) = self.apps.get_mut(name) else { return };
        let former = app.attempts.get(&write.key);
        let former = former.filter(|attempt| attempt.digest == write.digest);
        let (failures, refusals) =
            former.map_or((0, 0), |attempt| (attempt.failures, attempt.refusals));
        let failures = failures.saturating_add(1);
        let refusals = refusals.saturating_add(u32::from(refused));
        let next = if refused {
            // What the API server refuses is tried again as the application says.
            app.spec.retry.wait_ms(refusals).map(|wait| now.plus_ms(wait))
        } else {
            Some(retry_at(now, failures))
        };
        let (error, digest) = (error.to_owned(), write.digest);
        let attempt = Attempt { failures, refusals, next, error, digest, refused };
        app.attempts.insert(write.key.clone(), attempt);
    }

    fn applied(&mut self, at: (Seq, Seq), name: &AppName, open: &OpenWrite, applied: &Applied) {
        let (seq, write) = (at.0, &open.write);
        self.wrote_at(name, &write.key, (at.1, applied.notes.written));
        let revisions = &mut self.cluster.identity.revisions;
        revisions.note(&write.key.group_kind(), &applied.resource_version);
        if open.gone != applied.uid {
            self.seen_in_answer(at, write, applied);
        }
        let notes = self.notes_of(write, applied);
        // The objects of an application that was removed meanwhile are nobody's.
        let now = self.now;
        let former = self.owned.get(&write.key).filter(|owned| owned.app == *name);
        let enters = former.is_none();
        let again = former.is_some_and(|owned| owned.applied == write.digest);
        let made = self.made(seq, name, write, &applied.uid);
        let may_wait = self.extras.get(name).is_some_and(|extras| !extras.is_empty());
        let Some(app) = self.apps.get_mut(name) else { return };
        if enters && (may_wait || app.gate.is_some()) {
            app.entered.insert(write.key.clone());
        }
        app.attempts.remove(&write.key);
        app.put_back(&write.key, now);
        app.drift.remove(&write.key);
        app.previews.remove(&write.key);
        app.count_write(write.verb, applied.changed, again);
        let owned = Owned {
            app: name.clone(),
            version: write.version.clone(),
            applied: write.digest,
            holds: write.holds.clone(),
            baseline: applied.baseline,
            object: applied.object,
            uid: applied.uid.clone(),
            resource_version: applied.resource_version.clone(),
            made,
            replicas: open.replicas,
            keep: open.keep.clone(),
            respected: write.respect.clone(),
            unseen: None,
            notes,
            seq,
        };
        self.own(&write.key, owned);
        self.replayed.adopted(&write.key);
    }

    /// Since when greffier has what it wrote, and whether it made it. What it makes again, because
    /// somebody deleted it or it cannot be changed, is as old as it was; what somebody put in its
    /// place was found.
    fn made(&self, seq: Seq, name: &AppName, write: &Write, uid: &str) -> Made {
        let makes = matches!(write.verb, Verb::Create | Verb::Recreate);
        match self.owned.get(&write.key) {
            Some(former) if makes || former.uid == uid => former.made,
            _ if makes => Made::Here(seq),
            _ => self.replayed.made(name, &write.key, uid).unwrap_or(Made::Found(seq)),
        }
    }

    /// What remains to be known of an apply. Fields are taken over on adoption only: who wrote to
    /// the object later meant to. What the API server books on nobody, because somebody cleared
    /// the ownership, was ours and is taken back, or what leaves Git would stay for ever.
    fn notes_of(&self, write: &Write, applied: &Applied) -> ApplyNotes {
        let former = self.owned.get(&write.key).filter(|owned| owned.uid == applied.uid);
        let pending = former.map(|owned| &owned.notes.co_owners);
        let mut notes = ApplyNotes::clone(&applied.notes);
        if write.verb != Verb::Adopt {
            notes.co_owners.retain(|manager| {
                manager == BEFORE_FIRST_APPLY
                    || pending.is_some_and(|names| names.contains(manager))
            });
        }
        notes
    }

    /// Only who owns which fields changed. It is done once: what could not be taken over then
    /// cannot be later.
    fn taken_over(&mut self, at: (Seq, Seq), name: &AppName, open: &OpenWrite, applied: &Applied) {
        let (seq, key) = (at.0, &open.write.key);
        self.wrote_at(name, key, (at.1, applied.notes.written));
        if open.gone != applied.uid {
            self.seen_in_answer(at, &open.write, applied);
        }
        if let Some(app) = self.apps.get_mut(name) {
            app.attempts.remove(key);
        }
        let Some(owned) = self.owned.get_mut(key).filter(|owned| owned.uid == applied.uid) else {
            return;
        };
        owned.baseline = applied.baseline;
        owned.object = applied.object;
        owned.resource_version.clone_from(&applied.resource_version);
        owned.notes.co_owners.clear();
        owned.notes.by_hand.clear();
        owned.notes.surplus = applied.notes.surplus;
        owned.seq = seq;
    }

    /// The answer to an apply is an observation too, unless the watch was quicker.
    fn seen_in_answer(&mut self, (seq, intent): (Seq, Seq), write: &Write, applied: &Applied) {
        let former = self.live.get(&write.key);
        let since = self.cluster.ordered_since(&write.key.group_kind());
        // What was known when it was asked is never newer, and neither is an earlier answer,
        // whatever resource versions say: the cluster may have been restored, and no watch has
        // told of it yet.
        let ordered = |live: &&LiveObject| since.max(intent) < live.seq && !live.answered;
        if former.filter(ordered).is_some_and(|live| {
            let same = live.uid == applied.uid;
            let newer = rv_older(&applied.resource_version, &live.resource_version);
            newer || (same && !rv_older(&live.resource_version, &applied.resource_version))
        }) {
            return;
        }
        let former = former.filter(|live| live.uid == applied.uid);
        let controller = former.map(|live| live.controller.clone()).unwrap_or_default();
        let managed_by = former.map(|live| live.managed_by.clone()).unwrap_or_default();
        let scales = former.and_then(|live| live.scales.clone());
        let mut live = LiveObject {
            version: write.version.clone(),
            uid: applied.uid.clone(),
            resource_version: applied.resource_version.clone(),
            digest: applied.digest,
            answered: true,
            shown: former.is_some_and(|live| live.shown),
            owned: Some(applied.baseline),
            object: applied.object,
            status: former.and_then(|live| live.status),
            images: former.and_then(|live| live.images.clone()),
            managers: applied.managers,
            health: applied.health,
            health_message: applied.health_message.clone(),
            controller,
            protection: applied.protection,
            managed_by,
            scales,
            deleting: former.is_some_and(|live| live.deleting && since < live.seq),
            seq,
            seen: self.now,
        };
        // Where nothing changed that is worth an observation, none will come.
        let quiet = former.is_some_and(|former| !former.answered && former.says_the_same(&live));
        live.answered = !quiet;
        self.live.insert(write.key.clone(), live);
    }
}

/// When what failed and may pass is tried again. It is not the application's fault, so it is tried
/// for ever, whatever the application says about what is refused.
pub(super) fn retry_at(now: Timestamp, failures: u32) -> Timestamp {
    let doubled = RETRY_FIRST_MS.saturating_mul(1 << failures.saturating_sub(1).min(20));
    now.plus_ms(doubled.min(RETRY_LONGEST_MS))
}
