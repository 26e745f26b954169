//! Rows about what no sync wrote: what was replayed onto another cluster, and what a person
//! brought back that no application has.

use std::collections::BTreeSet;

use super::super::instant::forwards;
use super::super::people::{self, Party};
use super::super::text::clip;
use super::gather::Teller;
use super::objects::VALUE_CHARS_MAX;
use super::{Change, Class, Field};
use crate::ledger::event::{
    Event, FieldChange, RecoveryIntentV1, RecoveryOutcomeV1, RecoveryResult, RestoreEndedV1,
    RestoreResult, RestoreWrite, Verb, Verdict,
};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::ledger::{self, Recorded};
use crate::model::{ObjectKey, Seq};
use crate::plan::secret::hide;

/// How many events after an end are looked at for the settlement of what it left open.
const LATER_MAX: usize = 256;

/// What writes to another cluster came to.
pub(super) fn replayed(
    teller: &Teller<'_>,
    recorded: &Recorded,
    body: &RecoveryOutcomeV1,
) -> Result<Vec<Change>, ledger::Error> {
    let Some(intended) = teller.asked.book.get(body.intent)? else { return Ok(Vec::new()) };
    let Some(Event::RecoveryIntent(intent)) = &intended.event else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    for (index, result) in &body.results {
        let (verb, outcome, failed) = match result {
            RecoveryResult::Written(written) if written.found => (
                "written to another cluster",
                "done: it was found there as it was sent".into(),
                false,
            ),
            RecoveryResult::Written(_) => ("written to another cluster", "done".to_owned(), false),
            RecoveryResult::Refused(why) => ("not written", format!("refused: {why}"), true),
            RecoveryResult::Failed(why, _) => ("not written", format!("failed: {why}"), true),
            RecoveryResult::Left(why) => ("not written", format!("left alone: {why}"), true),
        };
        let mut row = to_another(teller, recorded, (body.recovery, intent, *index), verb)?;
        row.evidence.extend([body.intent.0, body.recovery.0]);
        (row.outcome, row.failed) = (outcome, failed);
        rows.push(row);
    }
    Ok(rows)
}

/// The writes to another cluster of which it is not recorded what they came to.
pub(super) fn open(
    teller: &Teller<'_>,
    recorded: &Recorded,
    body: &RecoveryIntentV1,
) -> Result<Vec<Change>, ledger::Error> {
    let seq = recorded.seq();
    let mut ended: BTreeSet<u32> = BTreeSet::new();
    let key = SubjectKey::topic(&Topic::Recoveries);
    forwards(teller.asked.book, key, seq, |later| {
        if later.seq() > teller.last {
            return Some(());
        }
        if let Some(Event::RecoveryOutcome(end)) = &later.event
            && end.intent == seq
        {
            ended.extend(end.results.iter().map(|(index, _)| *index));
        }
        (ended.len() >= body.writes.len()).then_some(())
    })?;
    let mut rows = Vec::new();
    for index in (0..).take(body.writes.len()).filter(|index| !ended.contains(index)) {
        let about = (body.recovery, body, index);
        let mut row = to_another(teller, recorded, about, "to be written to another cluster")?;
        row.evidence.push(body.recovery.0);
        row.outcome = "what it came to is not recorded".to_owned();
        row.failed = true;
        rows.push(row);
    }
    Ok(rows)
}

/// A row about one write to another cluster.
fn to_another(
    teller: &Teller<'_>,
    recorded: &Recorded,
    (recovery, intent, index): (Seq, &RecoveryIntentV1, u32),
    verb: &str,
) -> Result<Change, ledger::Error> {
    let mut row = Teller::begun(recorded, Class::Replay, verb);
    let write = usize::try_from(index).ok().and_then(|index| intent.writes.get(index));
    if let Some(write) = write {
        row.object = write.key.to_string();
        row.app.clone_from(&write.app);
    }
    row.who = vec![Party::greffier()];
    row.strength = Verdict::Exact.as_str().to_owned();
    if let Some(began) = teller.asked.book.get(recovery)? {
        if let Some(Event::RecoveryBegun(begun)) = &began.event {
            row.text = format!("onto {} (cluster {})", begun.server, begun.uid);
            row.why = format!("replay #{recovery} of what was at #{}", begun.to);
        }
        let at = began.envelope.recorded;
        row.asked_by = people::of_actor(teller.asked.people, &began.actor, at);
    }
    Ok(row)
}

/// What writes of a restore came to.
pub(super) fn restored(
    teller: &mut Teller<'_>,
    recorded: &Recorded,
    body: &RestoreEndedV1,
) -> Result<Vec<Change>, ledger::Error> {
    let Some(intended) = teller.asked.book.get(body.restore)? else { return Ok(Vec::new()) };
    let Some(Event::RestoreIntended(intent)) = &intended.event else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    for (key, (index, result)) in body.objects.iter().zip(&body.results) {
        let write = usize::try_from(*index).ok().and_then(|index| intent.writes.get(index));
        let Some(write) = write else { continue };
        let (outcome, failed) = match result {
            RestoreResult::Made { .. } => ("done".to_owned(), false),
            RestoreResult::NotSent(why) => (format!("not sent: {why}"), true),
            RestoreResult::Refused(why) => (format!("refused: {why}"), true),
            RestoreResult::Unknown(_) if is_settled(teller, recorded, body, key)? => continue,
            RestoreResult::Unknown(why) => (format!("its fate was not known then: {why}"), true),
        };
        let mut row = Teller::begun(recorded, Class::Change, done(write, failed));
        row.object = key.to_string();
        row.app = teller.app_of(key, recorded.seq(), false)?;
        row.who = vec![Party::greffier()];
        row.strength = Verdict::Exact.as_str().to_owned();
        row.evidence.push(body.restore.0);
        row.why.clone_from(&intent.reason);
        let at = intended.envelope.recorded;
        row.asked_by = people::of_actor(teller.asked.people, &intended.actor, at);
        (row.outcome, row.failed) = (outcome, failed);
        if !failed {
            row.fields = fields(write);
        }
        rows.push(row);
    }
    Ok(rows)
}

fn done(write: &RestoreWrite, failed: bool) -> &'static str {
    match (failed, write.verb) {
        (true, _) => "not restored",
        (false, Verb::Prune) => "deleted again",
        (false, _) => "restored",
    }
}

/// What went back.
fn fields(write: &RestoreWrite) -> Vec<Field> {
    let field = |change: &FieldChange| {
        let shown = hide(&write.key, change.clone());
        let value = |text: &str| clip(text, VALUE_CHARS_MAX);
        Field { path: shown.path.clone(), was: value(&shown.was), now: value(&shown.now) }
    };
    write.fields.iter().map(field).collect()
}

/// Whether the report tells later what a write came to whose fate was not known.
fn is_settled(
    teller: &Teller<'_>,
    recorded: &Recorded,
    body: &RestoreEndedV1,
    key: &ObjectKey,
) -> Result<bool, ledger::Error> {
    let book = teller.asked.book;
    for seq in book.find(SubjectKey::object(key), recorded.seq(), LATER_MAX) {
        if seq > teller.last {
            break;
        }
        if let Some(later) = book.get(seq)?
            && let Some(Event::RestoreEnded(end)) = &later.event
            && end.restore == body.restore
            && end.objects.contains(key)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
