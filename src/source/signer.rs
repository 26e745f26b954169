//! Who signed a commit: what its signature is, and what verifying it found.
//!
//! SSH signatures are verified as git verifies them, by `ssh-keygen` with an allowed-signers file;
//! where none is configured the key is read from the signature and stays a claim. OpenPGP and X.509
//! signatures are told to be there, because there is no keyring.
//!
//! Security: commits and signatures are anybody's text. A signature is bounded, its key is named
//! only by its digest, and `ssh-keygen` gets it as a file and the commit on its standard input.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use gix::objs::CommitRefIter;
use sha2::{Digest as _, Sha256};

use crate::ledger::event::{CommitSignature, SignatureForm, SignatureVerdict};
use crate::model::Timestamp;

/// How long a signature may be, in bytes: those of SSH take some hundred, of certificates some
/// thousand.
const SIGNATURE_BYTES_MAX: usize = 64 << 10;
/// How much is kept of what a program or the allowed-signers file says.
const TEXT_CHARS_MAX: usize = 200;
/// What git signs with SSH is signed for this purpose, and for no other.
const NAMESPACE: &str = "git";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";

/// What verifies signatures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signers<'a> {
    /// The allowed-signers file; `None` = nothing is verified.
    pub(super) allowed: Option<&'a Path>,
    /// Where a signature is put while it is verified.
    pub(super) dir: &'a Path,
}

impl Signers<'_> {
    /// What the signature of a commit is worth; `None` = it has none. `data` is the commit as it is
    /// stored, `committed` when it says that it was committed.
    pub(super) fn of(self, data: &[u8], committed: Timestamp) -> Option<CommitSignature> {
        // What cannot be taken apart is no commit, and whoever reads it as one says so.
        let found = CommitRefIter::signature(data, gix::hash::Kind::Sha1).ok()?;
        let (signature, payload) = found?;
        let text = String::from_utf8_lossy(&signature);
        let form = form(text.trim_start());
        let found = |verdict, note: &str| CommitSignature {
            form,
            verdict,
            key: String::new(),
            principal: String::new(),
            note: note.to_owned(),
        };
        if form != SignatureForm::Ssh {
            return Some(found(
                SignatureVerdict::NotVerified,
                "there is no keyring to verify with",
            ));
        }
        let Some(parsed) = SshSignature::parse(&text) else {
            return Some(found(SignatureVerdict::Invalid, "it cannot be read"));
        };
        let found = |verdict, note: &str| CommitSignature {
            key: parsed.fingerprint.clone(),
            ..found(verdict, note)
        };
        if parsed.namespace != NAMESPACE {
            return Some(found(SignatureVerdict::Invalid, "it was made for another purpose"));
        }
        let Some(allowed) = self.allowed else {
            let note = "no allowed signers are configured (git.allowed_signers)";
            return Some(found(SignatureVerdict::NotVerified, note));
        };
        let payload = payload.to_bstring();
        let verified = Verifying::begin(self.dir, &text, committed)
            .and_then(|verifying| verifying.verify(allowed, &payload));
        Some(match verified {
            Ok(Verified::Valid(principal)) => {
                CommitSignature { principal, ..found(SignatureVerdict::Valid, "") }
            }
            Ok(Verified::UnknownKey) => {
                let note = "no allowed signer had the key when it was committed";
                found(SignatureVerdict::UnknownKey, note)
            }
            Ok(Verified::Invalid) => {
                found(SignatureVerdict::Invalid, "it is not the signature of this commit")
            }
            Err(error) => found(SignatureVerdict::NotVerified, &bounded(&error.to_string())),
        })
    }
}

fn form(text: &str) -> SignatureForm {
    let begins = |marker: &str| text.starts_with(marker);
    if begins(BEGIN) {
        SignatureForm::Ssh
    } else if begins("-----BEGIN PGP SIGNATURE-----") || begins("-----BEGIN PGP MESSAGE-----") {
        SignatureForm::OpenPgp
    } else if begins("-----BEGIN SIGNED MESSAGE-----") {
        SignatureForm::X509
    } else {
        SignatureForm::Other
    }
}

/// What an SSH signature says of itself (openssh-portable, PROTOCOL.sshsig).
struct SshSignature {
    /// The key as `ssh-keygen -l` names it; empty for a certificate, whose key is within.
    fingerprint: String,
    namespace: String,
}

impl SshSignature {
    fn parse(armored: &str) -> Option<Self> {
        if armored.len() > SIGNATURE_BYTES_MAX {
            return None;
        }
        let inner = armored.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
        let base64: String = inner.split_ascii_whitespace().collect();
        let bytes = STANDARD.decode(base64).ok()?;
        let mut rest = bytes.strip_prefix(b"SSHSIG\0\0\0\x01")?;
        let key = take_string(&mut rest)?;
        let namespace = String::from_utf8(take_string(&mut rest)?.to_vec()).ok()?;
        let kind = take_string(&mut &*key)?;
        let certificate = kind.windows(6).any(|part| part == b"-cert-");
        let digest = STANDARD_NO_PAD.encode(Sha256::digest(key));
        let fingerprint = if certificate { String::new() } else { format!("SHA256:{digest}") };
        Some(Self { fingerprint, namespace })
    }
}

fn take_string<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (string, rest) =
        rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *bytes = rest;
    Some(string)
}

enum Verified {
    /// By whom, as the allowed-signers file says.
    Valid(String),
    UnknownKey,
    Invalid,
}

/// A signature that is being verified: a file as long as it takes.
struct Verifying {
    path: PathBuf,
    /// The time for which the allowed signers are asked, as `ssh-keygen` reads it.
    time: String,
}

impl Drop for Verifying {
    fn drop(&mut self) {
        // What stays behind is a signature, which is public.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Verifying {
    fn begin(dir: &Path, signature: &str, committed: Timestamp) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!(".signature-{}-{number}", std::process::id()));
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let digits = committed.to_string();
        let time: String = digits.chars().filter(char::is_ascii_digit).take(14).collect();
        let verifying = Self { path, time };
        file.write_all(signature.trim().as_bytes())?;
        file.write_all(b"\n")?;
        Ok(verifying)
    }

    fn verify(&self, allowed: &Path, payload: &[u8]) -> io::Result<Verified> {
        // To ssh-keygen a file that cannot be read is one that names nobody.
        std::fs::File::open(allowed)
            .map_err(|error| io::Error::other(format!("{}: {error}", allowed.display())))?;
        let good = ["check-novalidate", "-n", NAMESPACE];
        if self.run(&good, None, payload)?.is_none() {
            return Ok(Verified::Invalid);
        }
        let Some(principals) = self.run(&["find-principals"], Some(allowed), b"")? else {
            return Ok(Verified::UnknownKey);
        };
        for principal in principals.lines().filter(|line| !line.is_empty()) {
            let arguments = ["verify", "-n", NAMESPACE, "-I", principal];
            if self.run(&arguments, Some(allowed), payload)?.is_some() {
                return Ok(Verified::Valid(bounded(principal)));
            }
        }
        Ok(Verified::UnknownKey)
    }

    /// Runs `ssh-keygen -Y`; what it printed where it agreed.
    fn run(
        &self,
        arguments: &[&str],
        allowed: Option<&Path>,
        input: &[u8],
    ) -> io::Result<Option<String>> {
        let failed =
            |error: io::Error| io::Error::new(error.kind(), format!("ssh-keygen: {error}"));
        let mut command = Command::new("ssh-keygen");
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").arg("-Y").args(arguments);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some(allowed) = allowed {
            command.arg("-f").arg(allowed).arg(format!("-Overify-time={}", self.time));
        }
        command.arg("-s").arg(&self.path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // It may end without reading; how it ends is what counts.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(failed)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(output.status.success().then_some(said))
    }
}

fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}
