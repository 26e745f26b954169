//! Who did what an event tells of: every claim with its strength.

use super::super::super::blame::{CLAIMED, EXACT, UNKNOWN};
use super::super::super::describe::claimed;
use super::super::super::signer::Signer;
use super::super::super::who;
use super::{Claim, Walk};
use crate::ledger::event::{ActorClaim, AuditReceivedV1, CommitRecordedV1, Event, Origin, Verdict};
use crate::ledger::{self, Recorded};
use crate::model::{Scheme, Seq};

/// Who did it, and what else is to be said.
#[derive(Debug, Default)]
pub(super) struct People {
    pub(super) claims: Vec<Claim>,
    /// How well it is known, where that is a matter of who it was.
    pub(super) certainty: Option<&'static str>,
    pub(super) note: String,
}

impl People {
    fn of(claims: Vec<Claim>) -> Self {
        Self { claims, ..Self::default() }
    }
}

impl Claim {
    pub(super) fn new(role: &str, name: &str, strength: &str) -> Self {
        let (role, name, strength) = (role.to_owned(), name.to_owned(), strength.to_owned());
        Self { role, name, strength, ..Self::default() }
    }

    pub(super) fn unknown(role: &str, note: &str) -> Self {
        Self { note: note.to_owned(), ..Self::new(role, UNKNOWN, UNKNOWN) }
    }

    pub(super) fn greffier() -> Self {
        Self::new("greffier", "greffier", EXACT)
    }

    fn at(self, evidence: impl IntoIterator<Item = Seq>) -> Self {
        Self { evidence: evidence.into_iter().map(|seq| seq.0).collect(), ..self }
    }
}

impl Walk<'_> {
    pub(super) fn people(&mut self, recorded: &Recorded) -> Result<People, ledger::Error> {
        let Some(event) = &recorded.event else { return Ok(People::default()) };
        Ok(match event {
            Event::ObjectObserved(_) | Event::ObjectGone(_) => {
                of_known(who::who(self.book, recorded.seq(), None)?)
            }
            Event::AttributionResolved(body) => People {
                certainty: Some(strength(body.verdict)),
                ..People::of(claims(body.verdict, &body.claims, Some(recorded.seq())))
            },
            Event::AuditReceived(body) => People::of(vec![requested(body, recorded.seq())]),
            Event::IntentRecorded(_)
            | Event::OutcomeRecorded(_)
            | Event::IntentSettled(_)
            | Event::RecoveryIntent(_)
            | Event::RecoveryOutcome(_) => People::of(vec![Claim::greffier()]),
            Event::CommitRecorded(body) => People::of(committed(body)),
            Event::AppDeclared(body) => People::of(defined(&body.origin, recorded)),
            Event::AppRemoved(body) => People::of(defined(&body.origin, recorded)),
            Event::AppRefused(body) => People::of(defined(&body.origin, recorded)),
            _ => People::of(asked(recorded)),
        })
    }
}

/// Who made a change that was observed.
fn of_known(known: Option<who::Who>) -> People {
    let Some(known) = known else { return People::default() };
    let mut people = People {
        certainty: Some(strength(known.verdict)),
        ..People::of(claims(known.verdict, &known.claims, known.attribution))
    };
    if let Some(own) = &known.own {
        people.claims = vec![Claim::greffier().at([own.outcome, own.intent])];
    }
    if people.claims.is_empty() {
        people.claims.push(Claim::unknown("user", &known.why));
    }
    if let Some(gap) = known.gap.filter(|_| known.attribution.is_none()) {
        people.note = format!("records of requests may be missing (#{})", gap.0);
    }
    people
}

fn strength(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::FieldManager => CLAIMED,
        other => other.as_str(),
    }
}

fn claims(verdict: Verdict, claims: &[ActorClaim], at: Option<Seq>) -> Vec<Claim> {
    let role = if verdict == Verdict::FieldManager { "field manager" } else { "user" };
    let told = claims.iter().map(|claim| {
        let how = [claim.verb.as_str(), claim.subresource.as_str(), claim.credential.as_str()];
        let how: Vec<&str> = how.into_iter().filter(|text| !text.is_empty()).collect();
        let evidence = at.into_iter().chain(claim.evidence.iter().copied());
        Claim {
            note: how.join(" "),
            ..Claim::new(role, &claimed(claim), strength(verdict)).at(evidence)
        }
    });
    told.collect()
}

/// Who sent a request, as the API server authenticated it.
fn requested(body: &AuditReceivedV1, seq: Seq) -> Claim {
    let name = match &body.impersonated {
        Some(other) => format!("{} acting as {}", body.user.name, other.name),
        None => body.user.name.clone(),
    };
    Claim::new("user", &name, EXACT).at([seq])
}

/// A commit names its author and its committer; who signed and who pushed it are other questions.
fn committed(body: &CommitRecordedV1) -> Vec<Claim> {
    let named = |role: &str, signature: &crate::ledger::event::Signature| {
        let name = format!("{} <{}>", signature.name, signature.email);
        Claim { note: "as the commit states".into(), ..Claim::new(role, &name, CLAIMED) }
    };
    vec![
        named("author", &body.author),
        named("committer", &body.committer),
        signed(&Signer::of(body.signature.as_ref())),
        Claim::unknown("pusher", "unknown until a forge tells"),
    ]
}

/// Who signed a commit: a name only where that was verified.
fn signed(signer: &Signer) -> Claim {
    let with = signer.with();
    match signer.verdict.as_str() {
        "unsigned" => Claim::unknown("signer", "the commit is not signed"),
        "valid" => {
            let note = format!("verified: {with}");
            Claim { note, ..Claim::new("signer", &signer.principal, EXACT) }
        }
        "unknown-key" => {
            let note = format!("verified; {}", signer.note);
            Claim { note, ..Claim::new("signer", &with, EXACT) }
        }
        "not-verified" if !signer.key.is_empty() => {
            let note = format!("not verified: {}", signer.note);
            Claim { note, ..Claim::new("signer", &with, CLAIMED) }
        }
        "not-verified" => {
            Claim::unknown("signer", &format!("{with}, not verified: {}", signer.note))
        }
        _ => Claim::unknown("signer", &format!("INVALID SIGNATURE: {}", signer.note)),
    }
}

/// Who defined or removed an application.
fn defined(origin: &Origin, recorded: &Recorded) -> Vec<Claim> {
    match origin {
        Origin::Config | Origin::Unconfigured => {
            vec![Claim::unknown("operator", "whoever may write the configuration file")]
        }
        Origin::Operator => asked(recorded),
        Origin::Parent(_) => vec![Claim::greffier()],
    }
}

/// Who asked, where a person did.
fn asked(recorded: &Recorded) -> Vec<Claim> {
    let people = recorded.actor.claims.iter().filter(|claim| claim.scheme != Scheme::Greffier);
    let told = people.map(|claim| {
        let role = match claim.scheme {
            Scheme::OsUser => "operator",
            Scheme::Kubernetes => "user",
            Scheme::FieldManager => "field manager",
            Scheme::GitAuthor => "author",
            Scheme::GitCommitter => "committer",
            Scheme::Greffier => "greffier",
        };
        // The kernel says who is at the other end of a socket, the API server who sent a request.
        let strength = if claim.strength == 5 { EXACT } else { CLAIMED };
        Claim::new(role, &claim.value, strength).at([recorded.seq()])
    });
    told.collect()
}
