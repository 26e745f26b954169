//! One event, with who made the change that it shows.

use super::convert::row;
use super::dto;
use crate::config::CredentialKind;
use crate::ledger::event::{ActorClaim, FieldSource, Verdict};
use crate::ledger::{self, Recorded};
use crate::model::{Seq, Timestamp};
use crate::query::describe::claimed;
use crate::query::people::{self, Party};
use crate::query::{AsOf, Book, who};

/// One event with all that is known of it, as known at `as_of`.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn one(
    book: &dyn Book,
    recorded: &Recorded,
    as_of: Option<Seq>,
) -> Result<dto::Event, ledger::Error> {
    match as_of {
        Some(as_of) => told(&AsOf::new(book, as_of), recorded),
        None => told(book, recorded),
    }
}

/// Why nothing is told of the event `seq` as known at `as_of`, before it.
#[must_use]
pub fn not_yet(seq: Seq, as_of: Seq) -> String {
    format!("event #{seq} was not recorded by then: it comes after #{as_of}")
}

fn told(book: &dyn Book, recorded: &Recorded) -> Result<dto::Event, ledger::Error> {
    let who = who::who(book, recorded.seq(), None)?.map(whom);
    let hash = recorded.envelope.hash.to_string();
    Ok(dto::Event { who, hash, ..row(recorded, who::described(book, recorded), true) })
}

fn whom(found: who::Who) -> dto::Who {
    let unknown = || "unknown".to_owned();
    let admitted = found.fields.into_iter().filter_map(|field| match field.source {
        FieldSource::Request => None,
        FieldSource::Admission(webhooks) if webhooks.is_empty() => Some(field.path),
        FieldSource::Admission(webhooks) => {
            Some(format!("{} ({})", field.path, webhooks.join(", ")))
        }
    });
    let (verdict, own_write) = (found.verdict, found.own.is_some());
    dto::Who {
        observation: found.observation.0,
        verdict: found.verdict.as_str().to_owned(),
        more: found.more,
        attribution: found.attribution.map(|seq| seq.0),
        causes: found.causes.iter().map(|seq| seq.0).collect(),
        why: found.why,
        gap: found.gap.map(|seq| seq.0),
        admitted: admitted.collect(),
        claims: found
            .claims
            .into_iter()
            .map(|claim| dto::Claim {
                party: party(verdict, &claim, own_write),
                who: claimed(&claim),
                credential: claim.credential,
                pod: claim.pod,
                verb: claim.verb,
                subresource: claim.subresource,
                evidence: claim.evidence.iter().map(|seq| seq.0).collect(),
                strength: claim.strength,
            })
            .collect(),
        own: found.own.map(|own| dto::OwnWrite {
            app: own.app.map(|app| app.to_string()).unwrap_or_default(),
            intent: own.intent.0,
            outcome: own.outcome.0,
            reason: own.reason,
            commit: own.commit.map(|commit| commit.to_string()).unwrap_or_default(),
            author_party: git(&own.author),
            committer_party: git(&own.committer),
            author: own.author,
            committer: own.committer,
            signer: own.signer.text(),
            signature: own.signer,
            pusher: unknown(),
        }),
    }
}

fn party(verdict: Verdict, claim: &ActorClaim, own: bool) -> Party {
    if own {
        return Party::greffier();
    }
    let claim = std::slice::from_ref(claim);
    people::of_change(&[], verdict, claim, Timestamp::default()).pop().unwrap_or_default()
}

/// A signature of a commit, where there is one.
fn git(name: &str) -> Option<Party> {
    let claimed = || Party::claimed(&[], CredentialKind::Git, name, Timestamp::default());
    (!name.is_empty()).then(claimed)
}
