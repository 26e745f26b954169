//! Pages of rows.

use std::collections::BTreeMap;

use super::super::book::as_intent;
use super::super::people::Party;
use super::super::search::Filter;
use super::super::signer::Signer;
use super::objects::{BACK_CHUNK, BACK_MAX};
use super::{Asked, Change, Class, Commit, Page, brought, objects, others};
use crate::config::CredentialKind;
use crate::ledger::event::{Event, Signature};
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Recorded};
use crate::model::{AppName, CommitId, ObjectKey, Seq};

/// What is kept of a commit.
struct Signatures {
    author: Signature,
    committer: Signature,
    signer: Signer,
}

/// How many events are read at a time.
const CHUNK_EVENTS: u64 = 512;
/// Bound: how many events a page reads, so that each answers soon.
const PAGE_EVENTS_MAX: u64 = 20_000;
/// Bound: how many commits are remembered while a page is read.
const COMMITS_MAX: usize = 1_000;
/// Bound: how many objects' applications are remembered while a page is read.
const APPS_MAX: usize = 10_000;

/// The rows after the event `after` up to `last`: at most about `rows_max`, for the rows of one
/// event stay together.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn page(
    asked: &Asked<'_>,
    after: Seq,
    last: Seq,
    rows_max: usize,
) -> Result<Page, ledger::Error> {
    let last = last.min(asked.book.head());
    let until = Seq(after.0.saturating_add(PAGE_EVENTS_MAX).min(last.0));
    let mut page = Page::default();
    let mut teller =
        Teller { asked: *asked, last, commits: BTreeMap::new(), apps: BTreeMap::new() };
    let mut cursor = after;
    'page: while cursor < until {
        let to = Seq((cursor.0 + CHUNK_EVENTS).min(until.0));
        for recorded in asked.book.range(cursor.next(), to)? {
            page.audit.hear(asked, &recorded);
            let rows = teller.rows(&recorded)?;
            page.changes.extend(rows.into_iter().filter(|row| wanted(asked, row)));
            if page.changes.len() >= rows_max {
                cursor = recorded.seq();
                break 'page;
            }
        }
        cursor = to;
    }
    page.next = (cursor < last).then_some(cursor.0);
    Ok(page)
}

/// The rows of one event.
#[cfg(test)]
pub(super) fn rows_of(asked: &Asked<'_>, recorded: &Recorded) -> Vec<Change> {
    let (last, commits, apps) = (asked.book.head(), BTreeMap::new(), BTreeMap::new());
    Teller { asked: *asked, last, commits, apps }.rows(recorded).unwrap()
}

fn wanted(asked: &Asked<'_>, row: &Change) -> bool {
    let of_app = asked.app.is_none_or(|app| row.app == app.as_str());
    let is_in =
        |wanted: &str| row.object.parse::<ObjectKey>().is_ok_and(|key| key.namespace() == wanted);
    of_app && asked.namespace.is_none_or(is_in)
}

/// Tells rows, and remembers what several of them need.
pub(super) struct Teller<'a> {
    pub(super) asked: Asked<'a>,
    /// The last event of the report.
    pub(super) last: Seq,
    commits: BTreeMap<CommitId, Option<Signatures>>,
    /// Which application wrote to an object last before an event.
    apps: BTreeMap<ObjectKey, (Seq, Option<AppName>)>,
}

impl Teller<'_> {
    /// What an event adds to the report.
    pub(super) fn rows(&mut self, recorded: &Recorded) -> Result<Vec<Change>, ledger::Error> {
        match &recorded.event {
            Some(Event::ObjectObserved(body)) => {
                Ok(objects::observed(self, recorded, body)?.into_iter().collect())
            }
            Some(Event::ObjectGone(body)) => {
                Ok(objects::gone(self, recorded, body)?.into_iter().collect())
            }
            Some(Event::OutcomeRecorded(body)) => {
                objects::written(self, recorded, body.intent, &body.results)
            }
            Some(Event::IntentSettled(body)) => {
                objects::written(self, recorded, body.intent, &body.results)
            }
            Some(Event::RecoveryIntent(body)) => brought::open(self, recorded, body),
            Some(Event::RecoveryOutcome(body)) => brought::replayed(self, recorded, body),
            Some(Event::RestoreEnded(body)) => brought::restored(self, recorded, body),
            Some(event) => Ok(others::row(self, recorded, event)?.into_iter().collect()),
            None => Ok(Vec::new()),
        }
    }

    /// A row with what every row has.
    pub(super) fn begun(recorded: &Recorded, class: Class, verb: &str) -> Change {
        Change {
            seq: recorded.seq().0,
            time: recorded.envelope.recorded.to_string(),
            kind: recorded.event.as_ref().map_or("unknown", Event::name).to_owned(),
            class,
            verb: verb.to_owned(),
            evidence: vec![recorded.seq().0],
            ..Change::default()
        }
    }

    /// A commit with its author and committer, as it states them.
    pub(super) fn commit(&mut self, id: &CommitId) -> Result<Commit, ledger::Error> {
        if !self.commits.contains_key(id) {
            if self.commits.len() >= COMMITS_MAX {
                self.commits.clear();
            }
            let found = self.signatures(id)?;
            self.commits.insert(id.clone(), found);
        }
        let people = self.asked.people;
        let party = |signature: &Signature| {
            let name = format!("{} <{}>", signature.name, signature.email);
            Party::claimed(people, CredentialKind::Git, &name, signature.time)
        };
        let known = self.commits.get(id).and_then(Option::as_ref);
        let signature = known.map_or_else(Signer::unknown, |known| {
            known.signer.clone().named(people, known.committer.time)
        });
        Ok(Commit {
            id: id.to_string(),
            author: known.map(|known| party(&known.author)),
            committer: known.map(|known| party(&known.committer)),
            signer: signature.text(),
            signature,
            pusher: "unknown".to_owned(),
        })
    }

    /// The application that wrote to an object last before `seq`; empty = none. Where the object
    /// is `managed` by greffier there is one, however long ago that was. What is asked for one
    /// event after another is looked for once.
    pub(super) fn app_of(
        &mut self,
        key: &ObjectKey,
        seq: Seq,
        managed: bool,
    ) -> Result<String, ledger::Error> {
        let known = self.apps.get(key).filter(|(at, _)| *at <= seq);
        let (looked, known) = known.cloned().unwrap_or_default();
        let book = self.asked.book;
        let of = SubjectKey::object(key);
        let (mut cursor, mut left, mut found) = (seq, BACK_MAX, None);
        while found.is_none() && (managed || left > 0) {
            let seqs = book.find_before(of, cursor, BACK_CHUNK);
            for seq in seqs.iter().take_while(|seq| **seq >= looked) {
                let recorded = book.get(*seq)?;
                if let Some(body) = recorded.as_deref().and_then(as_intent) {
                    found = Some(body.app.clone());
                    break;
                }
            }
            match seqs.last() {
                Some(last) if *last > looked => cursor = *last,
                _ => break,
            }
            left = left.saturating_sub(BACK_CHUNK);
        }
        let app = found.or(known);
        let name = app.as_ref().map(ToString::to_string).unwrap_or_default();
        if self.apps.len() >= APPS_MAX {
            self.apps.clear();
        }
        self.apps.insert(key.clone(), (seq, app));
        Ok(name)
    }

    fn signatures(&self, id: &CommitId) -> Result<Option<Signatures>, ledger::Error> {
        let book = self.asked.book;
        let filter = Filter { commit: Some(id.to_string()), ..Filter::default() };
        for seq in book.candidates(&filter).unwrap_or_default() {
            if let Some(recorded) = book.get(seq)?
                && let Some(Event::CommitRecorded(body)) = &recorded.event
                && body.commit == *id
            {
                return Ok(Some(Signatures {
                    author: body.author.clone(),
                    committer: body.committer.clone(),
                    signer: Signer::of(body.signature.as_ref()),
                }));
            }
        }
        Ok(None)
    }
}
