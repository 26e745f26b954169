//! Who made a change, in words.

use super::{Described, NAMED_MAX, Tone, clean_key, clip, drift};
use crate::ledger::event::{
    ActorClaim, AttributionResolvedV1, AuditGapSuspectedV1, Event, Verdict,
};
use crate::query::text::list;

/// Who a claim names: the user, or the field manager.
#[must_use]
pub fn who(claim: &ActorClaim) -> String {
    let name = clip(&claim.who, 200);
    match claim.acting_as.as_str() {
        "" => name,
        other => format!("{name} acting as {}", clip(other, 200)),
    }
}

/// The names of claims and what they rest on: `alice (audit, exact)`. `unnamed` = how many more
/// there are whom no claim names.
#[must_use]
pub fn by(verdict: Verdict, claims: &[ActorClaim], unnamed: u32) -> String {
    if claims.is_empty() {
        return "unknown".to_owned();
    }
    match verdict {
        Verdict::Exact | Verdict::Unique => {
            let names = list(claims.iter().map(who), NAMED_MAX);
            format!("{names} (audit, {})", verdict.as_str())
        }
        Verdict::Ambiguous => {
            let names: Vec<String> = claims.iter().take(NAMED_MAX).map(who).collect();
            let listed = u32::try_from(claims.len() - names.len()).unwrap_or(u32::MAX);
            let more = match listed.saturating_add(unnamed) {
                0 => String::new(),
                more => format!(" or {more} more"),
            };
            format!("{}{more} (audit, ambiguous)", names.join(" or "))
        }
        Verdict::FieldManager => {
            let names = list(claims.iter().map(who), NAMED_MAX);
            format!("{names} (field manager, claimed)")
        }
        Verdict::Unknown => "unknown".to_owned(),
    }
}

/// The words for a change, with who made it in the place of what the object says of itself.
#[must_use]
pub fn by_whom(described: Described, event: &Event, body: &AttributionResolvedV1) -> Described {
    let (verdict, claims) = (body.verdict, &body.claims);
    let by = by(verdict, claims, body.more);
    let summary = match event {
        Event::DriftDetected(body) => drift::found_by(body, &by).summary,
        _ => format!("{}, by {by}", described.summary),
    };
    let mut names: Vec<String> = claims.iter().map(who).collect();
    // What the object says stays what can be searched for.
    names.extend(
        described.by.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>(),
    );
    let known = Some((verdict, claims.clone()));
    Described { by: names, whom: by, summary, known, ..described }
}

/// Who made a change, or that nobody tells.
pub(super) fn told(event: &Event) -> Described {
    match event {
        Event::AttributionResolved(body) => resolved(body),
        Event::AuditGapSuspected(body) => gap(body),
        other => Described::new(other.name()),
    }
}

fn resolved(body: &AttributionResolvedV1) -> Described {
    let (key, by) = (clean_key(&body.key), by(body.verdict, &body.claims, body.more));
    let cause = match body.causes.first() {
        Some(cause) => format!(", because of #{cause}"),
        None => String::new(),
    };
    let again = match body.replaces {
        Some(earlier) => format!("; corrects #{earlier}"),
        None => String::new(),
    };
    let what = match body.drift {
        Some(drift) => format!("the last change of {key} before #{drift} was by {by}"),
        None => format!("#{} of {key} was by {by}", body.observation),
    };
    let text = format!("{what}{cause}{again}");
    let names = body.claims.iter().map(who).collect();
    let described = Described { by: names, ..Described::new(text) }.object(&body.key);
    if body.drift.is_some() { described } else { described.noise() }
}

fn gap(body: &AuditGapSuspectedV1) -> Described {
    let (key, why) = (clean_key(&body.key), clip(&body.why, 300));
    let text =
        format!("AUDIT GAP SUSPECTED: no record explains #{} of {key}: {why}", body.observation);
    Described::new(text).tone(Tone::Warn).object(&body.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_not_named_is_counted() {
        let claim = |name: &str| ActorClaim { who: name.into(), ..ActorClaim::default() };
        let two = [claim("alice"), claim("bob")];
        let told = |unnamed| by(Verdict::Ambiguous, &two, unnamed);
        assert_eq!(told(0), "alice or bob (audit, ambiguous)");
        assert_eq!(told(3), "alice or bob or 3 more (audit, ambiguous)");
        let many: Vec<_> = (0..NAMED_MAX + 2).map(|n| claim(&format!("user-{n}"))).collect();
        let text = by(Verdict::Ambiguous, &many, 3);
        assert!(text.ends_with(" or 5 more (audit, ambiguous)"), "{text}");
    }
}
