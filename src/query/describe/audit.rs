//! What the API server's audit tells, in words.

use super::{Described, ERROR_CHARS_MAX, Tone, clean_key, clip, count};
use crate::ledger::event::{
    AuditReadV1, AuditReceivedV1, AuditTrouble, AuditTroubledV1, AuditUser,
};

/// A user's name as it is shown, with the one as whom it acted.
fn who(user: &AuditUser, impersonated: Option<&AuditUser>) -> String {
    let name = clip(&user.name, 200);
    match impersonated {
        Some(other) => format!("{name} acting as {}", clip(&other.name, 200)),
        None => name,
    }
}

pub(super) fn received(body: &AuditReceivedV1) -> Described {
    let who = who(&body.user, body.impersonated.as_deref());
    let what = match body.subresource.as_str() {
        "" => clip(&body.verb, 40),
        subresource => format!("{} of {}", clip(&body.verb, 40), clip(subresource, 40)),
    };
    let text = format!("audit: {what} {} by {who}", clean_key(&body.key));
    Described { by: vec![who], ..Described::new(text) }.object(&body.key).noise()
}

pub(super) fn read(body: &AuditReadV1) -> Described {
    let records = count(usize::try_from(body.records).unwrap_or(usize::MAX), "audit record");
    let source = clip(&body.source, 200);
    Described::new(format!("read {records} of {source}, {} of writes", body.recorded)).noise()
}

pub(super) fn troubled(body: &AuditTroubledV1) -> Described {
    let (text, tone) = trouble(body);
    Described::new(text).tone(tone)
}

/// What is wrong with audit records, in words.
#[must_use]
pub fn trouble_text(body: &AuditTroubledV1) -> String {
    trouble(body).0
}

fn trouble(body: &AuditTroubledV1) -> (String, Tone) {
    let source = clip(&body.source, 200);
    let what = clip(&body.what, ERROR_CHARS_MAX);
    match body.trouble {
        AuditTrouble::Over => (format!("audit records of {source} are read again"), Tone::Good),
        AuditTrouble::Unreadable => (format!("AUDIT NOT READ: {source}: {what}"), Tone::Bad),
        AuditTrouble::Truncated | AuditTrouble::Lost => {
            (format!("AUDIT RECORDS MAY BE LOST: {source}: {what}"), Tone::Bad)
        }
        AuditTrouble::Malformed => {
            let lines = count(usize::try_from(body.count).unwrap_or(usize::MAX), "record");
            (format!("{lines} of {source} not understood: {what}"), Tone::Warn)
        }
        AuditTrouble::Refused => (format!("refused at {source}: {what}"), Tone::Warn),
    }
}
