//! Who signed a commit, in words.
//!
//! Author, committer, signer and pusher are four answers. A signer is named only where the
//! signature was verified when the commit was recorded; what a signature says of itself is a claim.

use serde::{Deserialize, Serialize};

use crate::config::{CredentialKind, PersonConfig, person_of};
use crate::ledger::event::{CommitSignature, SignatureForm, SignatureVerdict};
use crate::model::Timestamp;

/// Who signed a commit, as far as it is known. It goes over the wire as it is; texts are as they
/// were recorded: whoever prints them makes them safe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// `valid`, `unknown-key` (the signature is that key's, and nobody is known to have it),
    /// `invalid`, `not-verified`, `unsigned`, or `unknown` where the commit is not in the ledger.
    pub verdict: String,
    /// `ssh`, `openpgp`, `x509` or `other`; empty without a signature.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub form: String,
    /// The key's fingerprint; a claim where the signature is `invalid` or `not-verified`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Whose key it is, by the allowed signers; empty unless it is `valid`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub principal: String,
    /// The person, where the key is written down as that person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Why it is not valid, or was not verified.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Signer {
    /// Of a commit that is not in the ledger.
    #[must_use]
    pub fn unknown() -> Self {
        Self { verdict: "unknown".to_owned(), ..Self::default() }
    }

    /// Of a commit that carries `signature`.
    #[must_use]
    pub fn of(signature: Option<&CommitSignature>) -> Self {
        let Some(signature) = signature else {
            return Self { verdict: "unsigned".to_owned(), ..Self::default() };
        };
        let form = match signature.form {
            SignatureForm::Ssh => "ssh",
            SignatureForm::OpenPgp => "openpgp",
            SignatureForm::X509 => "x509",
            SignatureForm::Other => "other",
        };
        let verdict = match signature.verdict {
            SignatureVerdict::Valid => "valid",
            SignatureVerdict::UnknownKey => "unknown-key",
            SignatureVerdict::Invalid => "invalid",
            SignatureVerdict::NotVerified => "not-verified",
        };
        Self {
            verdict: verdict.to_owned(),
            form: form.to_owned(),
            key: signature.key.clone(),
            principal: signature.principal.clone(),
            person: None,
            note: signature.note.clone(),
        }
    }

    /// Whether the signature was proven to be that of its key.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        matches!(self.verdict.as_str(), "valid" | "unknown-key")
    }

    /// Says whose the key was at an instant, where that is written down and the signature is proven.
    #[must_use]
    pub fn named(mut self, people: &[PersonConfig], at: Timestamp) -> Self {
        if self.is_proven() && !self.key.is_empty() {
            let person = person_of(people, CredentialKind::Signer, &self.key, at);
            self.person = person.map(str::to_owned);
        }
        self
    }

    /// What it was signed with: `SSH key SHA256:…`, or `OpenPGP signature`.
    #[must_use]
    pub fn with(&self) -> String {
        let form = match self.form.as_str() {
            "ssh" => "SSH",
            "openpgp" => "OpenPGP",
            "x509" => "X.509",
            _ => "unknown",
        };
        match self.key.as_str() {
            "" => format!("{form} signature"),
            key => format!("{form} key {key}"),
        }
    }

    /// In words: `alice@example.org (SSH key SHA256:…)`, `SSH key SHA256:… (claimed: …)`.
    #[must_use]
    pub fn text(&self) -> String {
        let with = self.with();
        match (self.verdict.as_str(), self.person.as_deref()) {
            ("unknown", _) => "unknown".to_owned(),
            ("unsigned", _) => "nobody: not signed".to_owned(),
            ("valid", Some(person)) => format!("{person} ({}, {with})", self.principal),
            ("valid", None) => format!("{} ({with})", self.principal),
            ("unknown-key", Some(person)) => format!("{person} ({with})"),
            ("unknown-key", None) => format!("{with}: {}", self.note),
            ("invalid", _) => format!("nobody: INVALID SIGNATURE, {}: {with} (claimed)", self.note),
            _ => format!("{with} (claimed, not verified: {})", self.note),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(verdict: SignatureVerdict, principal: &str) -> Signer {
        Signer::of(Some(&CommitSignature {
            form: SignatureForm::Ssh,
            verdict,
            key: "SHA256:abc".to_owned(),
            principal: principal.to_owned(),
            note: "why".to_owned(),
        }))
    }

    #[test]
    fn a_person_is_named_only_for_a_signature_that_was_proven() {
        let signers = vec!["SHA256:abc".to_owned()];
        let people = [PersonConfig { name: "Alice".into(), signers, ..PersonConfig::default() }];
        let named = |signer: Signer| signer.named(&people, Timestamp(0)).text();
        let (valid, unknown) = (SignatureVerdict::Valid, SignatureVerdict::UnknownKey);
        for (signer, without, with) in [
            (signer(valid, "a@x"), "a@x (SSH key SHA256:abc)", "Alice (a@x, SSH key SHA256:abc)"),
            (signer(unknown, ""), "SSH key SHA256:abc: why", "Alice (SSH key SHA256:abc)"),
        ] {
            assert_eq!(signer.text(), without);
            assert_eq!(named(signer), with);
        }
        for verdict in [SignatureVerdict::Invalid, SignatureVerdict::NotVerified] {
            let text = named(signer(verdict, ""));
            assert!(text.contains("claimed") && text.contains("why"), "{text}");
            assert!(!text.contains("Alice"), "{text}");
        }
        assert_eq!(named(Signer::of(None)), "nobody: not signed");
    }
}
