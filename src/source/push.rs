//! Pushing a commit, by the program `git`: gix cannot.
//!
//! It runs with an environment of our own and reads nothing of the host's Git configuration, like
//! every fetch; the credentials are those that fetches have. A branch is only ever moved forwards
//! or made: nothing is forced.
//!
//! What the other side says goes to people and into the ledger: as plain text, bounded.
//!
//! Bound: a watchdog ends the process at the deadline or on cancellation.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;

use super::error::Error;
use super::location::Location;
use super::mirror::Mirror;
use super::refs::{Head, Refs};
use super::transport::{self, Ended};
use crate::model::CommitId;

/// How much of the program's report is read: a line for the one ref, and two more.
const REPORT_BYTES_MAX: u64 = 16 << 10;
/// How much of what the other side said is kept, in bytes.
const SAID_BYTES_MAX: usize = 2 << 10;
/// How the program reaches a host, as fetches do.
const SSH: &str = "ssh -o BatchMode=yes -o ConnectTimeout=15";

/// What a revision names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// A branch, by its full name.
    Branch(String),
    /// A tag, by its full name.
    Tag(String),
    /// A commit, or nothing that there is.
    Commit,
}

/// How a push ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// The branch is at the commit.
    Done,
    /// The branch is not where it was any more, or there is one where there was none: nothing was
    /// written. What the other side said.
    Overtaken(String),
    /// The other side refused: its words.
    Refused(String),
    /// It was never sent, as the branches of the other side could not be read: what was said.
    NotSent(String),
    /// Nobody said how it ended: what was said.
    Unknown(String),
}

/// What git says when it ends before the other side has told its branches, and so before anything is
/// sent: the host cannot be reached, a key is refused or may only read, there is no such repository.
const NO_CONTACT: &str = "fatal: Could not read from remote repository.";

/// The full name of a branch; `None` when no branch can have that name.
#[must_use]
pub fn branch_name(name: &str) -> Option<String> {
    let name = name.strip_prefix("refs/heads/").unwrap_or(name);
    let full = format!("refs/heads/{name}");
    let plain = !name.starts_with('-') && !name.starts_with("refs/") && name != "HEAD";
    let valid = gix::refs::FullName::try_from(full.as_str()).is_ok();
    (plain && valid && name.len() <= 200).then_some(full)
}

impl Mirror {
    /// What `revision` names, as [`Mirror::resolve`] finds it.
    ///
    /// # Errors
    /// [`Error::MirrorDamaged`].
    pub fn followed(&self, revision: &str) -> Result<Followed, Error> {
        let mirror = self.repository()?;
        let refs = Refs::of_repository(&mirror).map_err(|source| self.damaged("refs", source))?;
        let name = if revision.is_empty() { "HEAD" } else { revision };
        if name == "HEAD" {
            return Ok(match refs.head {
                Some(Head::Branch(branch)) if refs.targets.contains_key(&branch) => {
                    Followed::Branch(branch)
                }
                _ => Followed::Commit,
            });
        }
        let candidates =
            [name.to_owned(), format!("refs/heads/{name}"), format!("refs/tags/{name}")];
        let found = candidates.into_iter().find(|name| refs.targets.contains_key(name));
        Ok(match found {
            Some(name) if name.starts_with("refs/heads/") => Followed::Branch(name),
            Some(name) => Followed::Tag(name),
            None => Followed::Commit,
        })
    }

    /// Pushes `commit`, which is in the mirror, to the branch of that full name; with `creates`
    /// only where there is no such branch yet. Never forced.
    ///
    /// # Errors
    /// [`Error::Program`] when git cannot be started. How the other side took it is no error.
    pub fn push(
        &self,
        commit: &CommitId,
        branch: &str,
        creates: bool,
        cancel: &AtomicBool,
    ) -> Result<Pushed, Error> {
        let failed =
            |source| Error::Program { repo: self.repo().to_owned(), program: "git push", source };
        let mut child = self.command(commit, branch, creates).spawn().map_err(failed)?;
        let said = child.stderr.take().map(transport::capture);
        let (stdout, timeout) = (child.stdout.take(), self.options().fetch_timeout);
        let (report, ended) = std::thread::scope(|scope| {
            let (done, watched) = channel::<()>();
            let child = &child;
            let watchdog = scope.spawn(move || {
                let ended = transport::watch(&watched, timeout, cancel);
                if ended != Ended::ByItself {
                    transport::kill_group(child);
                }
                ended
            });
            let mut report = String::new();
            if let Some(stdout) = stdout {
                // What cannot be read is no report.
                stdout.take(REPORT_BYTES_MAX).read_to_string(&mut report).ok();
            }
            drop(done);
            (report, watchdog.join().unwrap_or(Ended::ByItself))
        });
        transport::kill_group(&child);
        let waited = child.wait();
        tracing::trace!(repo = self.repo(), ?waited, "push ended");
        let said = said.map(transport::collect_lines).unwrap_or_default();
        Ok(match (told(&report, &said), ended) {
            (Some(pushed), _) => pushed,
            (None, Ended::ByItself) => unreported(&said),
            (None, Ended::TimedOut) => Pushed::Unknown(format!(
                "not ended after {} s; {}",
                timeout.as_secs(),
                words(&said)
            )),
            (None, Ended::Cancelled) => Pushed::Unknown("the daemon stopped".to_owned()),
        })
    }

    fn command(&self, commit: &CommitId, branch: &str, creates: bool) -> Command {
        let mut command = Command::new("git");
        command.env_clear().arg("--git-dir").arg(self.dir());
        // Only the mirror itself is meant: what runs in another's repository asks its owner.
        command.args(["-c", "safe.directory=*", "-c", "core.hooksPath=/dev/null"]);
        command.args(["push", "--porcelain", "--no-verify", "--no-follow-tags"]);
        if creates {
            command.arg(format!("--force-with-lease={branch}:"));
        }
        command.arg("--");
        match self.location() {
            Location::Local(path) => command.arg(path),
            Location::Ssh { .. } => command.arg(self.url()),
        };
        command.arg(format!("{commit}:{branch}"));
        transport::pass_environment(&mut command);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_SSH_COMMAND", SSH).env("GIT_SSH_VARIANT", "ssh");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        command
    }
}

/// What the report of `git push --porcelain` says of the one ref; `None` when nothing.
fn told(report: &str, said: &[String]) -> Option<Pushed> {
    let mut lines = report.lines();
    let line = lines.find(|line| line.contains(":refs/heads/") && line.contains('\t'))?;
    let flag = line.chars().next()?;
    let summary = line.rsplit('\t').next().unwrap_or_default();
    Some(match flag {
        ' ' | '*' | '=' => Pushed::Done,
        '!' => {
            let reason = summary.rsplit_once(" (").map_or(summary, |(_, reason)| reason);
            let reason = reason.trim_end_matches(')');
            let text = with_words(reason, said);
            match summary.starts_with("[rejected]") || lost_there(reason) {
                true => Pushed::Overtaken(text),
                false => Pushed::Refused(text),
            }
        }
        // Nothing that was asked for.
        _ => Pushed::Unknown(words(said)),
    })
}

/// How a push ended of which git reported nothing.
fn unreported(said: &[String]) -> Pushed {
    let Some(end) = said.iter().position(|line| line.trim() == NO_CONTACT) else {
        return Pushed::Unknown(words(said));
    };
    // What follows is git's guess at the cause.
    match words(&said[..end]) {
        words if words.is_empty() => Pushed::NotSent(transport::plain(NO_CONTACT)),
        words => Pushed::NotSent(words),
    }
}

/// Whether the other side says that somebody else moved the branch meanwhile.
fn lost_there(reason: &str) -> bool {
    ["failed to update ref", "cannot lock ref", "failed to lock", "incorrect old value"]
        .iter()
        .any(|told| reason.contains(told))
}

/// What the other side itself said: its lines, where it marked any; else everything.
fn words(said: &[String]) -> String {
    let theirs = said.iter().filter_map(|line| line.strip_prefix("remote:")).map(str::trim);
    let theirs: Vec<&str> = theirs.filter(|line| !line.is_empty()).collect();
    let all = || said.iter().map(String::as_str).collect();
    let lines: Vec<&str> = if theirs.is_empty() { all() } else { theirs };
    let mut text = lines.join("; ");
    text.truncate(text.floor_char_boundary(SAID_BYTES_MAX));
    text
}

fn with_words(reason: &str, said: &[String]) -> String {
    let theirs = said.iter().any(|line| line.starts_with("remote:"));
    let reason = transport::plain(reason);
    if theirs { format!("{reason}: {}", words(said)) } else { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REF: &str = "1111111111111111111111111111111111111111:refs/heads/main";

    fn told_of(flag: char, summary: &str, said: &[&str]) -> Option<Pushed> {
        let report = format!("To /srv/infra.git\n{flag}\t{REF}\t{summary}\nDone\n");
        let said: Vec<String> = said.iter().map(|line| (*line).to_owned()).collect();
        told(&report, &said)
    }

    #[test]
    fn how_a_push_ended_is_read_from_the_report() {
        assert_eq!(told_of(' ', "1234567..89abcde", &[]), Some(Pushed::Done));
        assert_eq!(told_of('*', "[new branch]", &[]), Some(Pushed::Done));
        assert_eq!(told_of('=', "[up to date]", &[]), Some(Pushed::Done));
        for race in ["[rejected] (fetch first)", "[rejected] (non-fast-forward)"] {
            assert!(matches!(told_of('!', race, &[]), Some(Pushed::Overtaken(_))), "{race}");
        }
        let lost = told_of('!', "[remote rejected] (cannot lock ref 'refs/heads/main')", &[]);
        assert!(matches!(lost, Some(Pushed::Overtaken(_))), "{lost:?}");
        let said =
            ["remote: main is protected        ", "remote: ", "error: failed to push some refs"];
        let refused = told_of('!', "[remote rejected] (pre-receive hook declined)", &said);
        let words = "pre-receive hook declined: main is protected".to_owned();
        assert_eq!(refused, Some(Pushed::Refused(words)));
        assert_eq!(told("", &["fatal: no".to_owned()]), None, "nobody said how it ended");
    }

    #[test]
    fn what_had_no_contact_was_not_sent() {
        let of = |said: &[&str]| {
            unreported(&said.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
        };
        let key = "ERROR: The key you are authenticating with has been marked as read only.";
        let guess = "Please make sure you have the correct access rights";
        assert_eq!(of(&[key, NO_CONTACT, guess]), Pushed::NotSent(key.to_owned()));
        assert_eq!(of(&[NO_CONTACT]), Pushed::NotSent(NO_CONTACT.to_owned()));
        let cut = "fatal: the remote end hung up unexpectedly";
        assert_eq!(of(&[cut]), Pushed::Unknown(cut.to_owned()));
    }

    #[test]
    fn a_branch_has_a_name_that_git_takes_and_that_is_no_option() {
        assert_eq!(branch_name("back/web"), Some("refs/heads/back/web".into()));
        assert_eq!(branch_name("refs/heads/x"), Some("refs/heads/x".into()));
        for bad in ["", "-f", "a b", "a..b", "HEAD", "x.lock", "refs/tags/v1", "a:b", "a\nb"] {
            assert_eq!(branch_name(bad), None, "{bad:?}");
        }
    }
}
