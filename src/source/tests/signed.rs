//! Signatures of commits, made by the real git and ssh-keygen.

use std::path::PathBuf;
use std::process::Command;

use super::{Fixture, Known, commits, fetch, git};
use crate::ledger::event::{CommitSignature, SignatureForm, SignatureVerdict};
use crate::source::{Mirror, Options};

/// A repository, keys, and the allowed signers.
struct Signing {
    fixture: Fixture,
}

impl Signing {
    fn new() -> Self {
        let signing = Self { fixture: Fixture::new() };
        for name in ["alice", "mallory"] {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]);
            assert!(command.arg(signing.path(name)).status().unwrap().success());
        }
        signing
    }

    fn path(&self, name: &str) -> PathBuf {
        self.fixture.root.path().join(name)
    }

    /// The fingerprint of a key, as ssh-keygen says.
    fn fingerprint(&self, name: &str) -> String {
        let mut command = Command::new("ssh-keygen");
        let output = command.arg("-lf").arg(self.path(name)).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        said.split(' ').nth(1).unwrap().to_owned()
    }

    /// Allows Alice's key, under conditions.
    fn allow(&self, conditions: &str) -> PathBuf {
        let key = std::fs::read_to_string(self.path("alice.pub")).unwrap();
        let file = self.path("allowed");
        std::fs::write(&file, format!("alice@example.org {conditions} {key}")).unwrap();
        file
    }

    /// Commits with a signature by `name`.
    fn commit(&self, name: &str) {
        let key = format!("user.signingKey={}", self.path(name).display());
        let work = self.fixture.work();
        let sign = ["-c", "gpg.format=ssh", "-c", &key, "commit", "-q", "-S", "--allow-empty"];
        git(&work, sign.into_iter().chain(["-m", "signed\n\nfor a reason"]));
    }

    /// The same, as it was committed at that time.
    fn commit_at(&self, name: &str, seconds: u64) {
        let mut command = Command::new("git");
        command.current_dir(self.fixture.work()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Alice");
            command.env(format!("GIT_{role}_EMAIL"), "alice@example.org");
            command.env(format!("GIT_{role}_DATE"), format!("{seconds} +0000"));
        }
        let key = format!("user.signingKey={}", self.path(name).display());
        command.args(["-c", "gpg.format=ssh", "-c", &key, "commit", "-q", "-S", "--allow-empty"]);
        assert!(command.args(["-m", "signed"]).status().unwrap().success());
    }

    /// Replaces the commit by one that is the same but for its text.
    fn alter(&self, alter: impl Fn(&str) -> String) {
        let raw = self.fixture.git(["cat-file", "commit", "HEAD"]);
        self.fixture.write("../altered", format!("{}\n", alter(&raw)));
        let id = self.fixture.git(["hash-object", "-t", "commit", "-w", "../altered"]);
        self.fixture.git(["reset", "-q", "--hard", &id]);
    }

    /// What is recorded of the last commit.
    fn recorded(&self, allowed: Option<PathBuf>) -> Option<CommitSignature> {
        self.fixture.push(["--force", "main"]);
        let dir = tempfile::tempdir_in(self.fixture.root.path()).unwrap();
        let options = Options { allowed_signers: allowed, ..Options::new(dir.path()) };
        let mirror = Mirror::open(&options, &self.fixture.url()).unwrap();
        let fetched = fetch(&mirror, &Known::new());
        let left = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> =
            left.filter(|name| name.to_string_lossy().contains("signature")).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        commits(&fetched).last().unwrap().signature.clone()
    }

    /// The verdict with the principal.
    fn verdict(&self, allowed: Option<PathBuf>) -> (SignatureVerdict, String) {
        let found = self.recorded(allowed).unwrap();
        (found.verdict, found.principal)
    }
}

#[test]
fn an_allowed_signer_is_named_with_the_key() {
    let signing = Signing::new();
    signing.commit("alice");
    let expected = CommitSignature {
        form: SignatureForm::Ssh,
        verdict: SignatureVerdict::Valid,
        key: signing.fingerprint("alice"),
        principal: "alice@example.org".to_owned(),
        note: String::new(),
    };
    let allowed = signing.allow("namespaces=\"git\"");
    assert_eq!(signing.recorded(Some(allowed)), Some(expected));
}

#[test]
fn a_name_is_told_only_of_who_was_allowed_to_sign_commits_then() {
    let signing = Signing::new();
    signing.commit("mallory");
    let unknown = (SignatureVerdict::UnknownKey, String::new());
    assert_eq!(signing.verdict(Some(signing.allow(""))), unknown, "another key");
    assert_eq!(signing.recorded(None).unwrap().key, signing.fingerprint("mallory"));
    signing.commit("alice");
    for conditions in
        ["namespaces=\"file\"", "valid-before=\"20200101\"", "valid-after=\"29990101\""]
    {
        assert_eq!(signing.verdict(Some(signing.allow(conditions))), unknown, "{conditions}");
    }
    let valid = (SignatureVerdict::Valid, "alice@example.org".to_owned());
    let conditions = "valid-after=\"20200101\",valid-before=\"29990101\"";
    assert_eq!(signing.verdict(Some(signing.allow(conditions))), valid);
}

#[test]
fn who_was_allowed_is_asked_for_the_minute_in_which_it_was_committed() {
    let signing = Signing::new();
    // 2020-06-01T12:00:00Z
    signing.commit_at("alice", 1_591_012_800);
    let allowed = |after: &str, before: &str| {
        let file = signing.allow(&format!("valid-after=\"{after}Z\",valid-before=\"{before}Z\""));
        signing.verdict(Some(file)).0
    };
    assert_eq!(allowed("20200601115900", "20200601120100"), SignatureVerdict::Valid);
    assert_eq!(allowed("20200601120100", "20200601120200"), SignatureVerdict::UnknownKey);
    assert_eq!(allowed("20200601115800", "20200601115900"), SignatureVerdict::UnknownKey);
}

#[test]
fn a_certificate_names_its_signer_and_no_key() {
    let signing = Signing::new();
    let keygen = |args: &[&str]| {
        let mut command = Command::new("ssh-keygen");
        command.current_dir(signing.fixture.root.path()).arg("-q").args(args);
        assert!(command.status().unwrap().success(), "{args:?}");
    };
    keygen(&["-t", "ed25519", "-N", "", "-C", "authority", "-f", "authority"]);
    keygen(&["-s", "authority", "-I", "id", "-n", "alice@example.org", "alice.pub"]);
    let authority = std::fs::read_to_string(signing.path("authority.pub")).unwrap();
    let allowed = signing.path("authorities");
    std::fs::write(&allowed, format!("alice@example.org cert-authority {authority}")).unwrap();
    signing.commit("alice-cert.pub");
    let found = signing.recorded(Some(allowed)).unwrap();
    let valid = (SignatureVerdict::Valid, "alice@example.org", "");
    assert_eq!((found.verdict, &*found.principal, &*found.key), valid);
}

#[test]
fn a_signature_without_measure_is_not_read() {
    let signing = Signing::new();
    signing.commit("alice");
    let allowed = signing.allow("");
    let padded = |spaces: usize| format!("{}\n -----END SSH", " ".repeat(spaces));
    signing.alter(|raw| raw.replace("\n -----END SSH", &padded(10)));
    assert_eq!(signing.verdict(Some(allowed.clone())).0, SignatureVerdict::Valid);
    signing.alter(|raw| raw.replace("\n -----END SSH", &padded(70_000)));
    let found = signing.recorded(Some(allowed)).unwrap();
    assert_eq!((found.verdict, &*found.note), (SignatureVerdict::Invalid, "it cannot be read"));
}

#[test]
fn a_commit_that_is_not_what_was_signed_has_no_signer() {
    let signing = Signing::new();
    signing.commit("alice");
    let allowed = signing.allow("");
    signing.alter(|raw| raw.replace("for a reason", "for another"));
    let found = signing.recorded(Some(allowed.clone())).unwrap();
    assert_eq!((found.verdict, found.principal.as_str()), (SignatureVerdict::Invalid, ""));
    assert_eq!(found.note, "it is not the signature of this commit");
    // A signature for something else than commits.
    let (file, key) = (signing.path("file"), signing.path("alice"));
    std::fs::write(&file, "x").unwrap();
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-n", "file", "-f"]).arg(key).arg(&file);
    assert!(command.status().unwrap().success());
    let other = std::fs::read_to_string(file.with_extension("sig")).unwrap();
    let header = format!("gpgsig {}", other.trim().replace('\n', "\n "));
    signing.fixture.commit("a", "b", "unsigned");
    signing.alter(|raw| raw.replacen("\n\n", &format!("\n{header}\n\n"), 1));
    let found = signing.recorded(Some(allowed)).unwrap();
    assert_eq!(found.verdict, SignatureVerdict::Invalid);
    assert_eq!(found.note, "it was made for another purpose");
}

#[test]
fn what_cannot_be_verified_is_a_claim_with_the_reason() {
    let signing = Signing::new();
    signing.commit("alice");
    let found = signing.recorded(None).unwrap();
    assert_eq!((found.verdict, found.principal.as_str()), (SignatureVerdict::NotVerified, ""));
    assert_eq!(found.key, signing.fingerprint("alice"));
    assert!(found.note.contains("git.allowed_signers"), "{}", found.note);
    let found = signing.recorded(Some("/nowhere/allowed".into())).unwrap();
    assert_eq!(found.verdict, SignatureVerdict::NotVerified);
    assert!(found.note.starts_with("/nowhere/allowed: "), "{}", found.note);
    // No keyring, no SSH signature, no signature at all.
    let allowed = signing.allow("");
    for (header, form, verdict) in [
        ("-----BEGIN PGP SIGNATURE-----", SignatureForm::OpenPgp, SignatureVerdict::NotVerified),
        ("-----BEGIN SIGNED MESSAGE-----", SignatureForm::X509, SignatureVerdict::NotVerified),
        ("signed, trust me", SignatureForm::Other, SignatureVerdict::NotVerified),
        ("-----BEGIN SSH SIGNATURE-----\n x", SignatureForm::Ssh, SignatureVerdict::Invalid),
    ] {
        signing.fixture.commit("a", header, "next");
        signing.alter(|raw| raw.replacen("\n\n", &format!("\ngpgsig {header}\n x\n\n"), 1));
        let found = signing.recorded(Some(allowed.clone())).unwrap();
        assert_eq!((found.form, found.verdict), (form, verdict), "{header}");
        assert_eq!((found.key.as_str(), found.principal.as_str()), ("", ""), "{header}");
    }
    signing.fixture.commit("a", "plain", "unsigned");
    assert_eq!(signing.recorded(Some(allowed)), None);
}
