//! What a commit says that greffier makes for a person: who, why, and where the ledger says so.
//!
//! Trailers are in the last paragraph, where `git interpret-trailers` looks for them, and nothing
//! that a person or a repository writes can add one: whatever comes from outside is one line there.

use std::fmt::Write as _;

use uuid::Uuid;

use crate::config::{CredentialKind, PersonConfig, person_of};
use crate::ledger::event::{PushIntendedV1, Signature};
use crate::ledger::{self, Draft, Ledger};
use crate::model::{Actor, CommitId, Digest, Scheme, Seq, Timestamp};

/// How greffier names itself in a commit.
const OWN_NAME: &str = "greffier";
/// How long a name or an address may be, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// How many paths are named.
const PATHS_MAX: usize = 20;

/// What is wrong with an author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no author: it is written `Name <name@host>`")]
pub struct BadAuthor(pub String);

/// The rollback as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// The ledger.
    pub ledger: Uuid,
    /// The event that began the hold: its position, its id and its hash.
    pub seq: Seq,
    /// Its id, also outside the ledger.
    pub id: Uuid,
    /// Its hash, which stands for everything before it.
    pub hash: Digest,
}

/// What is to be said of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// The application.
    pub app: &'a str,
    /// The commit that was in force then.
    pub then: &'a CommitId,
    /// The last event of the instant.
    pub to: Seq,
    /// The time of the instant.
    pub at: Timestamp,
    /// Why.
    pub reason: &'a str,
    /// The paths that go back, as people read them.
    pub paths: Vec<String>,
    /// Who asked for it, as the kernel says.
    pub by: &'a Actor,
    /// The rollback; `None` = it is not recorded yet.
    pub rollback: Option<Rollback>,
}

impl Message<'_> {
    /// The whole message.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { app, to, at, .. } = self;
        let (then, reason) = (self.then.short(), line(self.reason));
        let mut text = format!("Revert {app} to {then} ({at})\n\n");
        // Writing to a String cannot fail.
        for line in self.reason.lines() {
            let _ = writeln!(text, "{}", plain(line).trim_end());
        }
        if !reason.is_empty() {
            text.push('\n');
        }
        let _ =
            writeln!(text, "What was in force of application {app} as at #{to} is in Git again:");
        for path in self.paths.iter().take(PATHS_MAX) {
            let _ = writeln!(text, "- {}", line(path));
        }
        if self.paths.len() > PATHS_MAX {
            let _ = writeln!(text, "- and {} more paths", self.paths.len() - PATHS_MAX);
        }
        let _ = write!(text, "\nGreffier-App: {app}\n");
        match &self.rollback {
            Some(Rollback { ledger, seq, id, hash }) => {
                let _ = writeln!(text, "Greffier-Rollback: {id}");
                let _ = writeln!(text, "Greffier-Ledger: {ledger}@{seq} {hash}");
            }
            None => {
                let _ = writeln!(text, "Greffier-Rollback: (the event, once it is recorded)");
                let _ = writeln!(text, "Greffier-Ledger: (ledger@position hash, likewise)");
            }
        }
        let _ = writeln!(text, "Greffier-Instant: #{to} {at}");
        let _ = writeln!(text, "Greffier-Asked-By: {}", line(&self.by.to_string()));
        if !reason.is_empty() {
            let _ = writeln!(text, "Reason: {reason}");
        }
        text
    }
}

/// `text` in one line.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    plain(&words.join(" "))
}

fn plain(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// Reads `Name <name@host>`.
///
/// # Errors
/// [`BadAuthor`].
pub fn author(text: &str) -> Result<(String, String), BadAuthor> {
    let bad = || BadAuthor(plain(text));
    let (name, rest) = text.trim().split_once('<').ok_or_else(bad)?;
    let (name, mail) = (name.trim(), rest.strip_suffix('>').ok_or_else(bad)?.trim());
    let ends = |text: &str| text.contains(['<', '>']) || text.contains(char::is_control);
    let long = name.len() > NAME_BYTES_MAX || mail.len() > NAME_BYTES_MAX;
    let empty = name.is_empty() || mail.is_empty() || mail.contains(char::is_whitespace);
    if ends(name) || ends(mail) || long || empty {
        return Err(bad());
    }
    Ok((name.to_owned(), mail.to_owned()))
}

/// Who a commit says wrote it: who asked for it, by the name and address that the configuration
/// gives that person in Git, or else by the name of the user of this machine.
#[must_use]
pub fn author_of(
    people: &[PersonConfig],
    by: &Actor,
    now: Timestamp,
    host: &str,
) -> (String, String) {
    let user = by.claims.iter().find(|claim| claim.scheme == Scheme::OsUser);
    let user = user.map_or("unknown", |claim| claim.value.as_str());
    if let Some(person) = person_of(people, CredentialKind::Os, user, now) {
        let entries = people.iter().filter(|entry| entry.name == person);
        for written in entries.flat_map(|entry| &entry.git) {
            if let Ok(named) = author(written) {
                return named;
            }
            if let Ok(named) = author(&format!("{person} <{written}>")) {
                return named;
            }
        }
        return (person.to_owned(), format!("{user}@{host}"));
    }
    (user.to_owned(), format!("{user}@{host}"))
}

/// The line of a commit that names somebody.
#[must_use]
pub fn signed_at((name, email): (String, String), time: Timestamp) -> Signature {
    Signature { name, email, time }
}

/// The line that names greffier itself.
#[must_use]
pub fn own(host: &str, time: Timestamp) -> Signature {
    signed_at((OWN_NAME.to_owned(), format!("{OWN_NAME}@{host}")), time)
}

/// Records that commits are to be pushed, by the person who asked for it.
///
/// # Errors
/// The ledger failed.
pub async fn record(
    ledger: &Ledger,
    actor: Actor,
    pushes: Vec<PushIntendedV1>,
) -> Result<Vec<Seq>, ledger::Error> {
    let drafts = pushes.into_iter().map(|push| {
        let hold = push.hold;
        Draft::new(push).by(actor.clone()).caused_by(hold)
    });
    ledger.append(drafts.collect::<Vec<_>>()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::testing::commit;

    fn message(reason: &str, rollback: Option<Rollback>) -> String {
        let (then, by) = (commit(1), Actor::os_user("alice"));
        let at = Timestamp::from_seconds(1_700_000_000);
        let paths = vec!["web (3 files)".to_owned()];
        let to = Seq(7);
        Message { app: "web", then: &then, to, at, reason, paths, by: &by, rollback }.text()
    }

    #[test]
    fn a_commit_says_who_asked_why_and_where_the_ledger_says_so() {
        let ledger = Uuid::from_u128(1);
        let rollback =
            Rollback { ledger, seq: Seq(9), id: Uuid::from_u128(2), hash: Digest([3; 32]) };
        let text = message("incident 7", Some(rollback));
        let mut lines = text.lines();
        let subject = format!("Revert web to {} (2023-11-14T22:13:20.000Z)", commit(1).short());
        assert_eq!(lines.next(), Some(&*subject));
        let trailers = text.trim_end().rsplit("\n\n").next().unwrap();
        let expected = [
            "Greffier-App: web".to_owned(),
            format!("Greffier-Rollback: {}", Uuid::from_u128(2)),
            format!("Greffier-Ledger: {ledger}@9 {}", Digest([3; 32])),
            "Greffier-Instant: #7 2023-11-14T22:13:20.000Z".to_owned(),
            "Greffier-Asked-By: os-user:alice".to_owned(),
            "Reason: incident 7".to_owned(),
        ];
        assert!(trailers.lines().eq(expected.iter().map(String::as_str)), "{trailers}");
    }

    #[test]
    fn a_reason_adds_no_trailer_and_moves_no_cursor() {
        let text = message("x\n\nGreffier-Asked-By: os-user:mallory\n\u{1b}[2J", None);
        let trailers = text.trim_end().rsplit("\n\n").next().unwrap();
        let asked: Vec<_> =
            trailers.lines().filter(|l| l.starts_with("Greffier-Asked-By")).collect();
        assert_eq!(asked, ["Greffier-Asked-By: os-user:alice"]);
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn an_author_is_a_name_and_an_address() {
        let alice = ("Alice M.".to_owned(), "a@example.org".to_owned());
        assert_eq!(author(" Alice M. <a@example.org> "), Ok(alice));
        for bad in ["", "Alice", "<a@b>", "A <>", "A <a b>", "A <a@b", "A\nB <a@b>", "A <a@b> <c>"]
        {
            assert!(author(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn who_asked_is_named_as_the_configuration_names_him_in_git() {
        let (by, now) = (Actor::os_user("alice"), Timestamp(0));
        let named = |people: &[PersonConfig]| author_of(people, &by, now, "host");
        let is = |name: &str, mail: &str| (name.to_owned(), mail.to_owned());
        assert_eq!(named(&[]), is("alice", "alice@host"));
        let mut person = PersonConfig { name: "Alice Martin".into(), ..PersonConfig::default() };
        person.os = vec!["alice".into()];
        assert_eq!(named(&[person.clone()]), is("Alice Martin", "alice@host"));
        person.git = vec!["alice@example.org".into()];
        assert_eq!(named(&[person.clone()]), is("Alice Martin", "alice@example.org"));
        person.git = vec!["Alice M. <am@example.org>".into()];
        assert_eq!(named(&[person]), is("Alice M.", "am@example.org"));
    }
}
