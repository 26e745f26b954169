//! Who is behind a credential: people and their names in Kubernetes, Git, the operating system
//! and the forge, with validity in time.
//!
//! A credential is not a person. Only what is written here makes one of the other; where nothing
//! is, answers say *credential*.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// A person and the credentials that were theirs for a time. One person may have several
/// entries, one for each time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonConfig {
    /// The person's name, as answers show it.
    pub name: String,
    /// User names of Kubernetes, as the API server's audit shows them.
    #[serde(default)]
    pub kubernetes: Vec<String>,
    /// Git authors and committers: `name@host` or `Name <name@host>`.
    #[serde(default)]
    pub git: Vec<String>,
    /// Keys that sign commits, by fingerprint.
    #[serde(default)]
    pub signers: Vec<String>,
    /// Users of this machine.
    #[serde(default)]
    pub os: Vec<String>,
    /// Accounts of the forge that receives pushes.
    #[serde(default)]
    pub forge: Vec<String>,
    /// Since when: RFC 3339, or a date, which begins at midnight UTC; always when empty.
    #[serde(default)]
    pub from: String,
    /// Until when: RFC 3339, or a date, to its end in UTC; for ever when empty.
    #[serde(default)]
    pub until: String,
}

/// What kind of name a credential has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialKind {
    /// A user of Kubernetes.
    Kubernetes,
    /// A Git author or committer.
    Git,
    /// A key that signs commits.
    Signer,
    /// A user of this machine.
    Os,
    /// An account of the forge.
    Forge,
}

impl CredentialKind {
    const ALL: [Self; 5] = [Self::Kubernetes, Self::Git, Self::Signer, Self::Os, Self::Forge];

    /// The key of the configuration that lists them.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Git => "git",
            Self::Signer => "signers",
            Self::Os => "os",
            Self::Forge => "forge",
        }
    }
}

impl PersonConfig {
    /// Their names of one kind.
    #[must_use]
    pub fn names(&self, kind: CredentialKind) -> &[String] {
        match kind {
            CredentialKind::Kubernetes => &self.kubernetes,
            CredentialKind::Git => &self.git,
            CredentialKind::Signer => &self.signers,
            CredentialKind::Os => &self.os,
            CredentialKind::Forge => &self.forge,
        }
    }

    /// The time for which the entry holds, both ends included; `None` when a bound cannot be read.
    fn validity(&self) -> Option<(Timestamp, Timestamp)> {
        let from = bound(&self.from, Timestamp(i64::MIN), Time::MIN)?;
        let until = bound(&self.until, Timestamp(i64::MAX), Time::MAX)?;
        Some((from, until))
    }

    fn holds_at(&self, at: Timestamp) -> bool {
        self.validity().is_some_and(|(from, until)| from <= at && at <= until)
    }

    fn has(&self, kind: CredentialKind, credential: &str) -> bool {
        self.names(kind).iter().any(|name| is_same(kind, name, credential))
    }
}

/// Reads one end of a validity.
fn bound(text: &str, absent: Timestamp, of_day: Time) -> Option<Timestamp> {
    if text.is_empty() {
        return Some(absent);
    }
    if let Some(instant) = Timestamp::parse_rfc3339(text) {
        return Some(instant);
    }
    let day: Date = text.parse().ok()?;
    let instant = day.to_datetime(of_day).to_zoned(TimeZone::UTC).ok()?.timestamp();
    i64::try_from(instant.as_nanosecond()).ok().map(Timestamp)
}

/// Whether a configured name means a credential. Git's `Name <mail>` is the same as its mail
/// address alone, whatever the case of its letters; everything else is compared exactly.
fn is_same(kind: CredentialKind, configured: &str, credential: &str) -> bool {
    if kind != CredentialKind::Git {
        return configured == credential;
    }
    configured == credential || mail(configured).eq_ignore_ascii_case(mail(credential))
}

/// The address in `Name <address>`, or the whole text.
fn mail(text: &str) -> &str {
    let inner = text.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>'));
    inner.unwrap_or(text).trim()
}

/// Whose credential it was at an instant; `None` when nobody's, as far as is written down.
#[must_use]
pub fn person_of<'a>(
    people: &'a [PersonConfig],
    kind: CredentialKind,
    credential: &str,
    at: Timestamp,
) -> Option<&'a str> {
    let mut people = people.iter().filter(|person| person.holds_at(at));
    people.find(|person| person.has(kind, credential)).map(|person| person.name.as_str())
}

/// The people of a recorded configuration, whatever else it says: other keys may be those of
/// another version of greffier. None when they cannot be read.
#[must_use]
pub fn people_of(toml: &str) -> Vec<PersonConfig> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Part {
        person: Vec<PersonConfig>,
    }
    toml::from_str::<Part>(toml).unwrap_or_default().person
}

/// What is wrong with the entries: a bound that cannot be read, an end before its beginning, a
/// name that means nothing, and one credential that is two people's at the same time.
pub(super) fn check(people: &[PersonConfig]) -> Result<(), String> {
    for (index, person) in people.iter().enumerate() {
        let name = &person.name;
        if name.trim().is_empty() {
            return Err(format!("entry {} has no name", index + 1));
        }
        let Some((from, until)) = person.validity() else {
            let allowed = "`from` and `until` are RFC 3339 times or dates such as 2026-11-20";
            return Err(format!("`{name}`: {allowed}"));
        };
        if until < from {
            return Err(format!("`{name}`: `until` is before `from`"));
        }
        for kind in CredentialKind::ALL {
            if person.names(kind).iter().any(|name| mail(name).is_empty()) {
                return Err(format!("`{name}`: an empty name in `{}`", kind.as_str()));
            }
        }
        for other in people[..index].iter().filter(|other| other.name != *name) {
            let overlaps = other.validity().is_some_and(|(a, b)| a <= until && from <= b);
            if let Some((kind, shared)) = shared(person, other).filter(|_| overlaps) {
                let (kind, both) = (kind.as_str(), format!("`{}` and `{name}`", other.name));
                return Err(format!(
                    "{kind} `{shared}` is that of {both} at the same time; a shared credential belongs to nobody here"
                ));
            }
        }
    }
    Ok(())
}

/// A credential that both have.
fn shared<'a>(a: &'a PersonConfig, b: &PersonConfig) -> Option<(CredentialKind, &'a str)> {
    CredentialKind::ALL.into_iter().find_map(|kind| {
        let mut names = a.names(kind).iter();
        names.find(|name| b.has(kind, name)).map(|name| (kind, name.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, kubernetes: &str) -> PersonConfig {
        let kubernetes = vec![kubernetes.to_owned()];
        PersonConfig { name: name.into(), kubernetes, ..PersonConfig::default() }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_credential_is_somebodys_for_a_time() {
        let first = PersonConfig { until: "2026-06-30".into(), ..person("Alice", "oncall") };
        let then = PersonConfig { from: "2026-07-01".into(), ..person("Bob", "oncall") };
        let people = [first, then];
        assert_eq!(check(&people), Ok(()));
        for (instant, expected) in [
            ("2020-01-01T00:00:00Z", Some("Alice")),
            ("2026-06-30T23:59:59.5Z", Some("Alice")),
            ("2026-07-01T00:00:00Z", Some("Bob")),
        ] {
            let found = person_of(&people, CredentialKind::Kubernetes, "oncall", at(instant));
            assert_eq!(found, expected, "{instant}");
        }
        let other = person_of(&people, CredentialKind::Os, "oncall", at("2026-07-01T00:00:00Z"));
        assert_eq!(other, None, "a name of another kind is another credential");
    }

    #[test]
    fn git_names_are_compared_by_their_address() {
        let git = vec!["alice@example.org".to_owned()];
        let people = [PersonConfig { name: "Alice".into(), git, ..PersonConfig::default() }];
        let now = Timestamp(0);
        for (credential, expected) in [
            ("Alice M. <Alice@Example.org>", Some("Alice")),
            ("alice@example.org", Some("Alice")),
            ("alice@example.org <mallory@example.net>", None),
            ("Alice", None),
        ] {
            let found = person_of(&people, CredentialKind::Git, credential, now);
            assert_eq!(found, expected, "{credential}");
        }
    }

    #[test]
    fn people_are_read_out_of_a_recorded_configuration_of_any_version() {
        let toml = "later = 1\n[[person]]\nname = \"Bob\"\nkubernetes = [\"oncall\"]\n";
        assert_eq!(people_of(toml), [person("Bob", "oncall")]);
        for unreadable in ["", "[[person]]\nnick = \"b\"", "not toml"] {
            assert_eq!(people_of(unreadable), [], "{unreadable}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let entry = |from: &str, until: &str| PersonConfig {
            from: from.into(),
            until: until.into(),
            ..person("Bob", "oncall")
        };
        for (people, expected) in [
            (vec![person("", "a")], "entry 1 has no name"),
            (vec![person("A", "")], "empty name in `kubernetes`"),
            (vec![entry("yesterday", "")], "RFC 3339"),
            (vec![entry("2026-02-01", "2026-01-01")], "before"),
            (vec![person("Alice", "oncall"), person("Bob", "oncall")], "`Alice` and `Bob`"),
            (
                vec![
                    PersonConfig { until: "2026-07-01".into(), ..person("Alice", "oncall") },
                    entry("2026-07-01", ""),
                ],
                "at the same time",
            ),
        ] {
            let error = check(&people).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(check(&[person("Bob", "oncall"), entry("2026-01-01", "")]), Ok(()));
    }
}
