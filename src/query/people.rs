//! Who is behind a name, in words.
//!
//! A credential is not a person: only what the configuration says makes one of the other, for the
//! time that it says. What a client says of itself (who wrote a commit, a field manager) is
//! *claimed*, whoever it names: anybody can say so.

use serde::{Deserialize, Serialize};

use super::describe::claimed as claimed_name;
use crate::config::{CredentialKind, PersonConfig, person_of};
use crate::ledger::Recorded;
use crate::ledger::event::{ActorClaim, Event, Verdict};
use crate::model::{Actor, Claim, Scheme, Timestamp};

/// Somebody, as far as it is known who. It goes over the wire as it is; texts are as they were
/// recorded: whoever prints them makes them safe.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Party {
    /// The name in its scheme: a user, a Git author, a field manager.
    pub name: String,
    /// What kind of name it is: `kubernetes`, `os`, `git`, `field-manager` or `greffier`.
    pub scheme: String,
    /// Whose it was then, where that is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Whether a client said so of itself, so that anybody can have.
    pub claimed: bool,
    /// The user as whom they acted; empty when as themselves.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub acting_as: String,
    /// Which credential it was, where the audit tells: a token's or a certificate's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub credential: String,
}

impl Party {
    /// greffier itself.
    #[must_use]
    pub fn greffier() -> Self {
        Self { name: "greffier".into(), scheme: "greffier".into(), ..Self::default() }
    }

    /// A name that somebody else vouches for: the API server or the kernel.
    #[must_use]
    pub fn known(people: &[PersonConfig], kind: CredentialKind, name: &str, at: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            scheme: kind.as_str().to_owned(),
            person: person_of(people, kind, name, at).map(str::to_owned),
            ..Self::default()
        }
    }

    /// A name that a client gives itself.
    #[must_use]
    pub fn claimed(
        people: &[PersonConfig],
        kind: CredentialKind,
        name: &str,
        at: Timestamp,
    ) -> Self {
        Self { claimed: true, ..Self::known(people, kind, name, at) }
    }

    /// A field manager: free text, and never a person.
    #[must_use]
    pub fn manager(name: &str) -> Self {
        let scheme = Scheme::FieldManager.as_str().to_owned();
        Self { name: name.to_owned(), scheme, claimed: true, ..Self::default() }
    }

    /// Says whose the name was at an instant, where that is written down.
    pub fn name(&mut self, people: &[PersonConfig], at: Timestamp) {
        let kind = [CredentialKind::Kubernetes, CredentialKind::Os, CredentialKind::Git]
            .into_iter()
            .find(|kind| kind.as_str() == self.scheme);
        let person = kind.and_then(|kind| person_of(people, kind, &self.name, at));
        self.person = person.map(str::to_owned);
    }

    /// In words: `Alice Martin (alice)`, `credential alice`, `Alice <a@b.c> (claimed)`.
    #[must_use]
    pub fn text(&self) -> String {
        let name = if self.name.is_empty() { "(no name)" } else { &self.name };
        let text = match (&self.person, self.scheme.as_str()) {
            (None, "greffier") => name.to_owned(),
            (Some(person), _) if self.claimed => format!("{person} ({name}, claimed)"),
            (Some(person), _) => format!("{person} ({name})"),
            (None, "field-manager") => format!("{name} (field manager, claimed)"),
            (None, _) if self.claimed => format!("{name} (claimed)"),
            (None, _) => format!("credential {name}"),
        };
        match self.acting_as.as_str() {
            "" => text,
            other => format!("{text} acting as {other}"),
        }
    }
}

/// Who recorded an event, or is behind it.
#[must_use]
pub fn of_actor(people: &[PersonConfig], actor: &Actor, at: Timestamp) -> Vec<Party> {
    actor.claims.iter().map(|claim| of_claim(people, claim, at)).collect()
}

fn of_claim(people: &[PersonConfig], claim: &Claim, at: Timestamp) -> Party {
    let name = claim.value.as_str();
    match claim.scheme {
        Scheme::Greffier => Party::greffier(),
        Scheme::OsUser => Party::known(people, CredentialKind::Os, name, at),
        Scheme::Kubernetes => Party::known(people, CredentialKind::Kubernetes, name, at),
        Scheme::GitAuthor | Scheme::GitCommitter => {
            Party::claimed(people, CredentialKind::Git, name, at)
        }
        Scheme::FieldManager => Party::manager(name),
    }
}

/// Who made a change of an object.
#[must_use]
pub fn of_change(
    people: &[PersonConfig],
    verdict: Verdict,
    claims: &[ActorClaim],
    at: Timestamp,
) -> Vec<Party> {
    let party = |claim: &ActorClaim| match verdict {
        Verdict::Exact | Verdict::Unique | Verdict::Ambiguous => Party {
            acting_as: claim.acting_as.clone(),
            credential: claim.credential.clone(),
            ..Party::known(people, CredentialKind::Kubernetes, &claim.who, at)
        },
        Verdict::FieldManager | Verdict::Unknown => Party::manager(&claimed_name(claim)),
    };
    claims.iter().map(party).collect()
}

/// Who did what an event tells of, as far as the event itself and what is known of it say; whose
/// the names are is for [`Party::name`] to say.
#[must_use]
pub fn of_event(recorded: &Recorded, known: Option<&(Verdict, Vec<ActorClaim>)>) -> Vec<Party> {
    let at = recorded.envelope.recorded;
    match (known, &recorded.event) {
        (Some((verdict, claims)), _) => of_change(&[], *verdict, claims, at),
        (None, Some(Event::AttributionResolved(body))) => {
            of_change(&[], body.verdict, &body.claims, at)
        }
        (None, Some(Event::DriftDetected(body))) => {
            body.managers.iter().map(|stamp| Party::manager(&stamp.manager)).collect()
        }
        // Who recorded these is greffier, which read what others did.
        (None, Some(Event::AuditReceived(body))) => {
            let claim = ActorClaim {
                who: body.user.name.clone(),
                acting_as: body.impersonated.as_ref().map_or_else(String::new, |u| u.name.clone()),
                credential: body.user.credential.clone(),
                ..ActorClaim::default()
            };
            of_change(&[], Verdict::Exact, &[claim], at)
        }
        (None, _) => of_actor(&[], &recorded.actor, at),
    }
}

/// A person as they are listed: what they are called, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The name.
    pub name: String,
    /// Since when; empty = always.
    pub from: String,
    /// Until when; empty = for ever.
    pub until: String,
    /// Users of Kubernetes.
    pub kubernetes: Vec<String>,
    /// Git authors and committers.
    pub git: Vec<String>,
    /// Keys that sign commits.
    pub signers: Vec<String>,
    /// Users of the machine.
    pub os: Vec<String>,
    /// Accounts of the forge.
    pub forge: Vec<String>,
}

impl From<&Person> for PersonConfig {
    fn from(person: &Person) -> Self {
        let Person { name, from, until, kubernetes, git, signers, os, forge } = person.clone();
        Self { name, kubernetes, git, signers, os, forge, from, until }
    }
}

/// Everybody who is written down.
#[must_use]
pub fn listed(people: &[PersonConfig]) -> Vec<Person> {
    let person = |entry: &PersonConfig| Person {
        name: entry.name.clone(),
        from: entry.from.clone(),
        until: entry.until.clone(),
        kubernetes: entry.kubernetes.clone(),
        git: entry.git.clone(),
        signers: entry.signers.clone(),
        os: entry.os.clone(),
        forge: entry.forge.clone(),
    };
    people.iter().map(person).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> Vec<PersonConfig> {
        vec![PersonConfig {
            name: "Alice Martin".into(),
            kubernetes: vec!["alice".into()],
            git: vec!["alice@example.org".into()],
            os: vec!["amartin".into()],
            from: "2026-01-01".into(),
            ..PersonConfig::default()
        }]
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    /// Goal: no name is given to a credential that was not that person's then, and none without
    /// `claimed` to what a client says of itself.
    #[test]
    fn a_person_is_named_for_their_time_and_claims_are_labelled() {
        let (people, now) = (people(), at("2026-06-01T00:00:00Z"));
        let user = |who: &str| ActorClaim { who: who.into(), ..ActorClaim::default() };
        let told = |verdict, who: &str, at| of_change(&people, verdict, &[user(who)], at)[0].text();
        assert_eq!(told(Verdict::Exact, "alice", now), "Alice Martin (alice)");
        assert_eq!(told(Verdict::Exact, "bob", now), "credential bob");
        let before = at("2025-12-31T23:59:59Z");
        assert_eq!(told(Verdict::Unique, "alice", before), "credential alice");
        // A field manager is nobody's name, also where it is spelt like one.
        let claimed = "alice (field manager, claimed)";
        assert_eq!(told(Verdict::FieldManager, "alice", now), claimed);
        let author = |name: &str| Party::claimed(&people, CredentialKind::Git, name, now).text();
        let mail = "A <alice@example.org>";
        assert_eq!(author(mail), format!("Alice Martin ({mail}, claimed)"));
        assert_eq!(author("M <m@example.net>"), "M <m@example.net> (claimed)");
        let os = of_actor(&people, &Actor::os_user("amartin"), now);
        assert_eq!(os[0].text(), "Alice Martin (amartin)");
        assert_eq!(of_actor(&people, &Actor::greffier(), now)[0].text(), "greffier");
        let acting = ActorClaim { acting_as: "admin".into(), ..user("alice") };
        let acting = of_change(&people, Verdict::Exact, &[acting], now);
        assert_eq!(acting[0].text(), "Alice Martin (alice) acting as admin");
    }
}
