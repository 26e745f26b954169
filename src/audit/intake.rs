//! Records what audit records say, once, from wherever they come.
//!
//! The log file and the webhook may both tell of a request, and after a crash a part of what was
//! recorded is read again. A request is known again by everything that the API server says of it
//! together, not by its audit id alone: a client chooses that, and could pass off a write as the
//! repetition of another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Mutex;

use super::kinds::Kinds;
use super::record::{About, Malformed, Record};
use crate::ledger::event::{
    AuditReadV1, AuditReceivedV1, AuditTrouble, AuditTroubledV1, AuditUser,
};
use crate::ledger::{self, Draft, Ledger};
use crate::model::{Actor, Basis, Claim, Scheme, Timestamp, ValidTime};
use crate::replay::AuditState;

/// Bound: how many events are appended at once.
const APPEND_MAX: usize = 512;

/// Where a source was read up to; all zero for the webhook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The file: device and inode.
    pub file: (u64, u64),
    /// The offset in it, in bytes.
    pub offset: u64,
    /// When that was its end, if it was.
    pub end: Option<Timestamp>,
}

/// What came out of records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many records there were.
    pub records: u64,
    /// How many were recorded.
    pub recorded: u64,
    /// How many writes were known already.
    pub duplicates: u64,
    /// How many wrote to a status.
    pub status: u64,
    /// How many wrote to something of an unknown kind.
    pub unknown: u64,
    /// How many were none, and why the first was not.
    pub malformed: Option<(u64, Malformed)>,
    /// The end of the newest request.
    pub newest: Option<Timestamp>,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.recorded += other.recorded;
        self.duplicates += other.duplicates;
        self.status += other.status;
        self.unknown += other.unknown;
        self.newest = self.newest.max(other.newest);
    }
}

/// The one place through which audit records become events. Clones are the same.
#[derive(Clone)]
pub struct Intake {
    ledger: Ledger,
    kinds: Arc<dyn Fn() -> Kinds + Send + Sync>,
    state: Arc<Mutex<State>>,
}

struct State {
    /// What was recorded lately.
    audit: AuditState,
    /// What was read of each source since that was last recorded.
    owed: BTreeMap<String, Tally>,
}

impl Intake {
    /// `kinds` tells which kinds there are now; `audit` is what the ledger says at its head.
    pub fn new(
        ledger: Ledger,
        kinds: impl Fn() -> Kinds + Send + Sync + 'static,
        audit: AuditState,
    ) -> Self {
        let state = State { audit, owed: BTreeMap::new() };
        Self { ledger, kinds: Arc::new(kinds), state: Arc::new(Mutex::new(state)) }
    }

    /// Which kinds there are now.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        (self.kinds)()
    }

    /// Records what `records` of `source` say. When it returns, that is durable.
    ///
    /// With `position`, how far the source was read is recorded as well, in the same append
    /// behind what it covers, if anything was recorded or it is `due`. Without one it is always.
    ///
    /// # Errors
    /// The ledger failed. What was not appended yet is forgotten here, too.
    pub async fn take(
        &self,
        source: &str,
        records: Vec<Result<Record, Malformed>>,
        position: Position,
        due: bool,
    ) -> Result<Tally, ledger::Error> {
        let mut state = self.state.lock().await;
        let (tally, mut drafts) = sorted(source, records, &state.audit);
        let owed = state.owed.entry(source.to_owned()).or_default();
        owed.add(&tally);
        if drafts.is_empty() && !due {
            return Ok(tally);
        }
        let newest = state.audit.sources.get(source).and_then(|known| known.newest);
        let owed = state.owed.remove(source).unwrap_or_default();
        let Position { file, offset, end } = position;
        let read = AuditReadV1 {
            source: source.to_owned(),
            file,
            offset,
            records: owed.records,
            recorded: owed.recorded,
            duplicates: owed.duplicates,
            status: owed.status,
            unknown: owed.unknown,
            newest: owed.newest.max(newest),
            end,
        };
        drafts.push(Draft::new(read));
        // The position comes last: what is in front of it and not behind is known again.
        while !drafts.is_empty() {
            let rest = drafts.split_off(drafts.len().min(APPEND_MAX));
            let events: Vec<_> = drafts.iter().map(|draft| draft.event.clone()).collect();
            self.ledger.append(drafts).await?;
            events.iter().for_each(|event| state.audit.note(event));
            drafts = rest;
        }
        Ok(tally)
    }

    /// Records that something is wrong with a source, or is right again.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn trouble(
        &self,
        source: &str,
        trouble: AuditTrouble,
        what: impl Into<String>,
        count: u64,
    ) -> Result<(), ledger::Error> {
        let event =
            AuditTroubledV1 { source: source.to_owned(), trouble, what: what.into(), count };
        let mut state = self.state.lock().await;
        self.ledger.append(Draft::new(event.clone())).await?;
        state.audit.note(&event.into());
        Ok(())
    }
}

/// Counts records, and makes drafts of those that say something new.
fn sorted(
    source: &str,
    records: Vec<Result<Record, Malformed>>,
    known: &AuditState,
) -> (Tally, Vec<Draft>) {
    let mut tally = Tally { records: records.len() as u64, ..Tally::default() };
    let (mut drafts, mut fresh) = (Vec::new(), BTreeSet::new());
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(why) => {
                let (count, first) = tally.malformed.take().unwrap_or((0, why));
                tally.malformed = Some((count + 1, first));
                continue;
            }
        };
        tally.newest = tally.newest.max(Some(record.at));
        match record.about {
            About::Nothing => {}
            About::Status => tally.status += 1,
            About::UnknownKind => tally.unknown += 1,
            About::Write(events) => {
                let told = !events.is_empty();
                let again = |event: &AuditReceivedV1| {
                    known.has(&AuditState::mark(event)) || fresh.contains(&AuditState::mark(event))
                };
                let new: Vec<_> = events.into_iter().filter(|event| !again(event)).collect();
                if new.is_empty() && told {
                    tally.duplicates += 1;
                } else if told {
                    tally.recorded += 1;
                }
                for event in new {
                    fresh.insert(AuditState::mark(&event));
                    drafts.push(draft(event));
                }
            }
        }
    }
    if let Some((count, first)) = &tally.malformed {
        let (what, count) = (format!("the first is {first}"), *count);
        let trouble = AuditTrouble::Malformed;
        let event = AuditTroubledV1 { source: source.to_owned(), trouble, what, count };
        drafts.push(Draft::new(event));
    }
    (tally, drafts)
}

/// A request is the act of who was authenticated; the one as whom it acted is named as well.
fn draft(event: AuditReceivedV1) -> Draft {
    let claim = |user: &AuditUser| Claim {
        scheme: Scheme::Kubernetes,
        value: user.name.clone(),
        strength: 5,
    };
    let claims = [Some(&*event.user), event.impersonated.as_deref()];
    let actor = Actor { claims: claims.into_iter().flatten().map(claim).collect() };
    let (lo, hi) = (event.received.min(event.completed), event.completed);
    Draft::new(event).by(actor).valid(ValidTime { lo, hi, basis: Basis::Audit })
}

#[cfg(test)]
mod tests;
