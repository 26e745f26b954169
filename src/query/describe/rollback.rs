//! Sentences about rollbacks that nobody asked for.

use super::{Described, Tone};
use crate::ledger::event::{AppHeldV1, AutoRollbackRefusedV1, RollbackCause};
use crate::query::text::{clip, count};

/// How long a reason may be, in characters.
const REASON_CHARS_MAX: usize = 500;

/// A rule rolled an application back.
pub(super) fn automatic(body: &AppHeldV1) -> Described {
    let (to, at, commit) = (body.to.0, body.at, body.desired.revision.commit.short());
    let objects = count(body.desired.objects.len(), "object");
    let text = format!(
        "ROLLED BACK BY ITSELF to #{to} ({at}): {objects} of commit {commit}; {}; it is held there until \
         Git says something else, or `greffier release {}`",
        clip(&body.reason, REASON_CHARS_MAX),
        body.app
    );
    Described::of_app(&body.app, text).tone(Tone::Bad)
}

/// A rule would have.
pub(super) fn refused(body: &AutoRollbackRefusedV1) -> Described {
    let (commit, message) = (body.from.commit.short(), &body.from.message);
    let what = match body.from.why {
        RollbackCause::Degraded => "it turned Degraded",
        RollbackCause::NotHealthy => "it did not become Healthy",
    };
    let reasons = clip(&body.reasons.join("; "), REASON_CHARS_MAX);
    let message = clip(message, REASON_CHARS_MAX);
    let text =
        format!("NOT ROLLED BACK from commit {commit} although {what} ({message}): {reasons}");
    Described::of_app(&body.app, text).tone(Tone::Bad).commit(Some(&body.from.commit))
}
