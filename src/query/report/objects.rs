//! Rows about objects of the cluster: what others changed, and what greffier wrote.

use serde_json::Value;

use super::super::book::{Book, as_intent, kept};
use super::super::coverage::{self, Cause, Moment, Scope, Unwatched};
use super::super::people::{self, Party};
use super::super::text::clip;
use super::super::who::{self, Who};
use super::gather::Teller;
use super::{Change, Class, Field, set_back};
use crate::cluster::FIELD_MANAGER;
use crate::ledger::event::{
    Applied, Event, IntentRecordedV1, Learned, ObjectGoneV1, ObjectObservedV1, Verb, Verdict,
    Write, WriteResult,
};
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Ends, Recorded};
use crate::model::{Basis, BlobAddr, ObjectKey, Seq, Timestamp};
use crate::plan::diff::{CHANGES_MAX, changes};
use crate::plan::secret::hide;
use crate::replay::rv_older;

/// How many events of an object are looked at for its version before.
pub(super) const BACK_MAX: usize = 256;
/// How many of them at a time.
pub(super) const BACK_CHUNK: usize = 32;
/// How long a value may be in a row, in characters.
pub(super) const VALUE_CHARS_MAX: usize = 1_000;

/// What an observation shows, unless greffier did it or nothing but the status changed.
pub(super) fn observed(
    teller: &mut Teller<'_>,
    recorded: &Recorded,
    body: &ObjectObservedV1,
) -> Result<Option<Change>, ledger::Error> {
    let book = teller.asked.book;
    let seq = recorded.seq();
    if let Some(known) = set_back::known(book, recorded, body)? {
        return set_back::row(teller, recorded, body, &known);
    }
    let version = Version { key: &body.key, uid: &body.uid, rv: &body.resource_version };
    let before = version.before(book, seq)?;
    let blind = match body.learned {
        Learned::Listed => blind(book, recorded, &body.key)?,
        Learned::Watched | Learned::Answered => None,
    };
    let (fields, more) = match before.object {
        Some(object) => fields(book, &body.key, object, body.object)?,
        None => (Vec::new(), false),
    };
    let leaving = body.deleting && !before.deleting;
    let verb = match (before.object, &blind) {
        // What was there before anybody watched is no change.
        (None, Some(span)) if span.cause == Cause::Begins => return Ok(None),
        _ if leaving => "deletion requested",
        (None, None) if body.added => "created",
        (None, _) if body.added => "created, or first seen",
        (None, _) => "first seen",
        (Some(_), _) if fields.is_empty() => return Ok(None),
        (Some(_), _) => "changed",
    };
    let Some(who) = who::who(book, seq, None)?.filter(|who| who.own.is_none()) else {
        return Ok(None);
    };
    let mut row = attributed(teller, recorded, verb, &who);
    row.app = teller.app_of(&body.key, seq, is_managed(body))?;
    row.object = body.key.to_string();
    (row.fields, row.more_fields) = (fields, more);
    // Before the ledger begins there is no time that it could name.
    let known = blind.filter(|span| span.from != Moment::default());
    row.not_before = known.map(|span| span.from.time.to_string()).unwrap_or_default();
    Ok(Some(row))
}

/// The end of an object, unless greffier removed it.
pub(super) fn gone(
    teller: &mut Teller<'_>,
    recorded: &Recorded,
    body: &ObjectGoneV1,
) -> Result<Option<Change>, ledger::Error> {
    let book = teller.asked.book;
    let seq = recorded.seq();
    let Some(who) = who::who(book, seq, None)?.filter(|who| who.own.is_none()) else {
        return Ok(None);
    };
    let version = Version { key: &body.key, uid: &body.uid, rv: "" };
    let mut row = attributed(teller, recorded, "deleted", &who);
    let managed = version.before(book, seq)?.managed;
    row.app = teller.app_of(&body.key, seq, managed)?;
    row.object = body.key.to_string();
    let valid = recorded.envelope.valid;
    if valid.basis == Basis::RelistGap {
        row.not_before = valid.lo.to_string();
    }
    if let Some(reverted) = set_back::anew(book, &body.key, seq)?.and_then(|anew| anew.reverted)
        && row.who.is_empty()
    {
        row.doubt = format!("the cluster was set back (#{reverted}): it may be from after that");
        row.evidence.push(reverted.0);
    }
    Ok(Some(row))
}

fn attributed(teller: &Teller<'_>, recorded: &Recorded, verb: &str, who: &Who) -> Change {
    let at = recorded.envelope.recorded;
    let mut row = Teller::begun(recorded, Class::Change, verb);
    row.who = people::of_change(teller.asked.people, who.verdict, &who.claims, at);
    row.strength = who.verdict.as_str().to_owned();
    row.doubt.clone_from(&who.why);
    let claims = who.claims.iter().flat_map(|claim| &claim.evidence);
    row.evidence.extend(who.attribution.iter().chain(claims).chain(&who.gap).map(|seq| seq.0));
    row.evidence.dedup();
    if !who.causes.is_empty() {
        let causes: Vec<String> = who.causes.iter().map(|seq| format!("#{seq}")).collect();
        row.why = format!("because of {}", causes.join(", "));
    }
    row.outcome = "done".to_owned();
    row
}

/// What writes of greffier came to.
pub(super) fn written(
    teller: &mut Teller<'_>,
    recorded: &Recorded,
    intent: Seq,
    results: &[(u32, WriteResult)],
) -> Result<Vec<Change>, ledger::Error> {
    let book = teller.asked.book;
    let Some(intended) = book.get(intent)? else { return Ok(Vec::new()) };
    let Some(body) = as_intent(&intended) else { return Ok(Vec::new()) };
    let (asked_by, reason) = asked(teller, &intended)?;
    let mut rows = Vec::new();
    for (index, result) in results {
        let write = usize::try_from(*index).ok().and_then(|index| body.writes.get(index));
        let Some(write) = write else { continue };
        let Some((outcome, failed)) = outcome(write, result) else { continue };
        if matches!(result, WriteResult::Unknown(_))
            && is_settled(teller, recorded.seq(), intent, (*index, write))?
        {
            continue;
        }
        let verb = if failed { write.verb.as_str() } else { done(write.verb) };
        let mut row = Teller::begun(recorded, Class::Change, verb);
        row.app = body.app.to_string();
        row.object = write.key.to_string();
        (row.outcome, row.failed) = (outcome, failed);
        row.who = vec![Party::greffier()];
        row.strength = Verdict::Exact.as_str().to_owned();
        row.evidence = vec![recorded.seq().0, intent.0];
        row.why = [write.reason.as_str(), &reason].map(str::trim).join("; ");
        row.why = row.why.trim_end_matches("; ").to_owned();
        row.asked_by.clone_from(&asked_by);
        row.commit = body.commit.as_ref().map(|commit| teller.commit(commit)).transpose()?;
        if let WriteResult::Applied(applied) = result {
            changed(teller.asked.book, recorded, write, applied, &mut row)?;
        }
        rows.push(row);
    }
    Ok(rows)
}

/// How a write ended, and whether it failed; `None` = nothing came of it that is new.
fn outcome(write: &Write, result: &WriteResult) -> Option<(String, bool)> {
    let (word, error) = match result {
        WriteResult::Applied(applied) => return applied.changed.then(|| ("done".into(), false)),
        WriteResult::Deleted => return Some(("done".into(), false)),
        // That another method is needed is no failure; what it comes to is told by its outcome.
        WriteResult::AlreadyGone | WriteResult::Unsupported(_) => return None,
        WriteResult::Refused(error) => ("refused", error.as_str()),
        WriteResult::Failed(error) | WriteResult::Gone(error) => ("failed", error.as_str()),
        WriteResult::Unknown(error) => ("its fate was not known then", error.as_str()),
        WriteResult::NotSent(error) => ("not sent", error.as_str()),
        WriteResult::Another(_) => ("not sent", WriteResult::ANOTHER),
    };
    // What ended like the try before it was told then.
    let new = write.failed_before != error || error.is_empty();
    new.then(|| (format!("{word}: {error}"), true))
}

/// Whether the report tells by a later settlement what a write of an intent came to, whose fate
/// was not known after `after`.
fn is_settled(
    teller: &Teller<'_>,
    after: Seq,
    intent: Seq,
    (index, write): (u32, &Write),
) -> Result<bool, ledger::Error> {
    let ends = teller.asked.book.ends_of(intent)?;
    let later = ends.iter().filter(|end| end.seq() > after && end.seq() <= teller.last);
    let settled = later.filter_map(|end| Ends::in_event(end)).filter(|ends| !ends.answered);
    let tells =
        |(of, result): &(u32, WriteResult)| *of == index && outcome(write, result).is_some();
    Ok(settled.flat_map(|ends| ends.results).any(tells))
}

/// What an apply changed. Where the watch shows the same version as somebody else's change, the
/// apply came on top of that and nothing is said to be greffier's.
fn changed(
    book: &dyn Book,
    recorded: &Recorded,
    write: &Write,
    applied: &Applied,
    row: &mut Change,
) -> Result<(), ledger::Error> {
    let version = Version { key: &write.key, uid: &applied.uid, rv: &applied.resource_version };
    if let Some(seq) = version.observation(book, Seq(row.evidence[1]))?
        && let Some(who) = who::who(book, seq, None)?
        && who.own.is_none()
        && matches!(who.verdict, Verdict::Exact | Verdict::Unique)
        && who.claims.iter().all(|claim| claim.who != "greffier")
    {
        row.outcome = format!("done; what the object shows then is told at #{seq}");
        row.evidence.push(seq.0);
        return Ok(());
    }
    if write.verb != Verb::Create
        && let Some(object) = version.before(book, recorded.seq())?.object
    {
        (row.fields, row.more_fields) = fields(book, &write.key, object, applied.object)?;
    }
    Ok(())
}

/// Which people an intent follows from, and why they said that they wanted it.
fn asked(teller: &Teller<'_>, intended: &Recorded) -> Result<(Vec<Party>, String), ledger::Error> {
    let (mut parties, mut reasons) = (Vec::new(), Vec::new());
    // What is put back while it is held, nobody asked for.
    let heals = |write: &Write| matches!(write.verb, Verb::Heal | Verb::Reclaim);
    let by_hold = as_intent(intended).is_some_and(|body| !body.writes.iter().any(heals));
    for cause in &intended.envelope.causes {
        let Some(recorded) = teller.asked.book.get(*cause)? else { continue };
        let reason = match &recorded.event {
            Some(Event::SyncRequested(body)) => &body.reason,
            Some(Event::PlanApproved(body)) => &body.reason,
            Some(Event::AppHeld(body)) if by_hold => &body.reason,
            _ => continue,
        };
        let at = recorded.envelope.recorded;
        parties.extend(people::of_actor(teller.asked.people, &recorded.actor, at));
        let said = if reason.is_empty() { "asked for by" } else { reason.as_str() };
        reasons.push(format!("{said} (#{cause})"));
    }
    Ok((parties, reasons.join("; ")))
}

fn done(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "created",
        Verb::Update => "updated",
        Verb::Heal => "put back",
        Verb::Reclaim => "reclaimed",
        Verb::Adopt => "adopted",
        Verb::TakeOver => "took over",
        Verb::Recreate => "deleted to create anew",
        Verb::Prune => "pruned",
    }
}

/// The span in which the object's kind was not watched, at whose end a list showed it.
fn blind(
    book: &dyn Book,
    recorded: &Recorded,
    key: &ObjectKey,
) -> Result<Option<Unwatched>, ledger::Error> {
    let (seq, time) = (Seq(recorded.seq().0.saturating_sub(1)), recorded.envelope.recorded);
    let moment = Moment { seq, time: Timestamp(time.0 - 1) };
    let spans = coverage::read(book, &Scope::Kinds(vec![key.group_kind()]), moment, moment)?;
    Ok(spans.into_iter().find(|span| span.lossy))
}

/// Whether an object names greffier as a field manager.
pub(super) fn is_managed(body: &ObjectObservedV1) -> bool {
    body.managers.iter().any(|stamp| stamp.manager == FIELD_MANAGER)
}

/// What was known of an object before a version of it.
#[derive(Default)]
struct Before {
    object: Option<BlobAddr>,
    /// The resource version of `object`.
    rv: String,
    /// Whether its deletion had been requested.
    deleting: bool,
    /// Whether it named greffier as a field manager when it was last seen.
    managed: bool,
}

/// A version of an object.
struct Version<'a> {
    key: &'a ObjectKey,
    uid: &'a str,
    /// Empty = the end of the object.
    rv: &'a str,
}

impl Version<'_> {
    /// The version before it, as the newest of those that observations and answers tell of.
    fn before(&self, book: &dyn Book, seq: Seq) -> Result<Before, ledger::Error> {
        let key = SubjectKey::object(self.key);
        let (mut cursor, mut left, mut found) = (seq, BACK_MAX, Before::default());
        let mut seen = false;
        while left > 0 {
            let seqs = book.find_before(key, cursor, BACK_CHUNK);
            for seq in &seqs {
                let managed = self.hear(book, *seq, &mut found)?;
                if let Some(managed) = managed.filter(|_| !seen) {
                    (found.managed, seen) = (managed, true);
                }
            }
            match seqs.last() {
                Some(last) if found.object.is_none() || !seen => cursor = *last,
                _ => break,
            }
            left = left.saturating_sub(BACK_CHUNK);
        }
        Ok(found)
    }

    /// Takes what an event tells; of an observation, whether the object is managed.
    fn hear(
        &self,
        book: &dyn Book,
        seq: Seq,
        found: &mut Before,
    ) -> Result<Option<bool>, ledger::Error> {
        let Some(recorded) = book.get(seq)? else { return Ok(None) };
        match &recorded.event {
            Some(Event::ObjectObserved(body)) if body.uid == self.uid => {
                self.take(found, &body.resource_version, body.object, body.deleting);
                return Ok(Some(is_managed(body)));
            }
            Some(Event::IntentRecorded(body)) => self.answers(book, seq, body, found)?,
            _ => {}
        }
        Ok(None)
    }

    /// The versions that the answers to an intent show.
    fn answers(
        &self,
        book: &dyn Book,
        intent: Seq,
        body: &IntentRecordedV1,
        found: &mut Before,
    ) -> Result<(), ledger::Error> {
        for recorded in book.ends_of(intent)? {
            let ends = Ends::in_event(&recorded).into_iter();
            for (_, result) in ends.flat_map(|ends| ends.about(body, self.key)) {
                if let WriteResult::Applied(applied) = result
                    && applied.uid == self.uid
                {
                    self.take(found, &applied.resource_version, applied.object, false);
                }
            }
        }
        Ok(())
    }

    fn take(&self, found: &mut Before, rv: &str, object: BlobAddr, deleting: bool) {
        let earlier = rv != self.rv && (self.rv.is_empty() || !rv_older(self.rv, rv));
        if earlier && (found.object.is_none() || rv_older(&found.rv, rv)) {
            (found.object, found.rv, found.deleting) = (Some(object), rv.to_owned(), deleting);
        }
    }

    /// The observation of this very version, near the write that is said to have made it.
    fn observation(&self, book: &dyn Book, intent: Seq) -> Result<Option<Seq>, ledger::Error> {
        let key = SubjectKey::object(self.key);
        for seq in book.find(key, Seq(intent.0.saturating_sub(1)), BACK_CHUNK) {
            if let Some(recorded) = book.get(seq)?
                && let Some(Event::ObjectObserved(body)) = &recorded.event
                && (body.uid.as_str(), body.resource_version.as_str()) == (self.uid, self.rv)
            {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }
}

/// Where two versions differ, without their status.
pub(super) fn fields(
    book: &dyn Book,
    key: &ObjectKey,
    before: BlobAddr,
    after: BlobAddr,
) -> Result<(Vec<Field>, bool), ledger::Error> {
    if before == after {
        return Ok((Vec::new(), false));
    }
    let (Some(before), Some(after)) = (object(book, before)?, object(book, after)?) else {
        let text = "(cannot be read)".to_owned();
        let field = Field { path: ".".into(), was: text.clone(), now: text };
        return Ok((vec![field], true));
    };
    let found = changes(&before, &after);
    let more = found.len() >= CHANGES_MAX;
    let field = |change| {
        let shown = hide(key, change);
        let value = |text: &str| clip(text, VALUE_CHARS_MAX);
        Field { path: shown.path.clone(), was: value(&shown.was), now: value(&shown.now) }
    };
    Ok((found.into_iter().map(field).collect(), more))
}

/// An object as the ledger keeps it, without its status.
fn object(book: &dyn Book, addr: BlobAddr) -> Result<Option<Value>, ledger::Error> {
    let Some(bytes) = kept(book, addr)? else { return Ok(None) };
    let stored = serde_json::from_slice::<Value>(&bytes).ok();
    Ok(stored.and_then(|mut stored| {
        let mut object = stored.get_mut("object").map(Value::take)?;
        object.as_object_mut()?.remove("status");
        Some(object)
    }))
}
