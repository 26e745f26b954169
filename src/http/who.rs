//! One event, with who made the change that it shows.

use super::convert::row;
use super::dto;
use crate::ledger::event::FieldSource;
use crate::ledger::{self, Recorded};
use crate::model::Seq;
use crate::query::describe::claimed;
use crate::query::{Book, who};

/// One event with all that is known of it, as known at `as_of`.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn one(
    book: &dyn Book,
    recorded: &Recorded,
    as_of: Option<Seq>,
) -> Result<dto::Event, ledger::Error> {
    let who = who::who(book, recorded.seq(), as_of)?.map(whom);
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
    dto::Who {
        observation: found.observation.0,
        verdict: found.verdict.as_str().to_owned(),
        attribution: found.attribution.map(|seq| seq.0),
        causes: found.causes.iter().map(|seq| seq.0).collect(),
        why: found.why,
        gap: found.gap.map(|seq| seq.0),
        admitted: admitted.collect(),
        claims: found
            .claims
            .into_iter()
            .map(|claim| dto::Claim {
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
            app: own.app.to_string(),
            intent: own.intent.0,
            outcome: own.outcome.0,
            reason: own.reason,
            commit: own.commit.map(|commit| commit.to_string()).unwrap_or_default(),
            author: own.author,
            committer: own.committer,
            signer: unknown(),
            pusher: unknown(),
        }),
    }
}
