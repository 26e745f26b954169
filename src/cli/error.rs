//! Errors as people see them: what, why, what to do; and the exit code.

use std::fmt::Write as _;

use crate::http::{BindError, ClientError};
use crate::query::text::{clean, first};
use crate::{config, ledger};

/// How many of the things that an error is about are listed; `--plan -o json` has all.
const THINGS_MAX: usize = 20;

/// How a command ends. The numbers are for scripts and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something differs.
    Differs = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// The daemon cannot be reached, or cannot answer now.
    Unreachable = 3,
    /// This user may not.
    Forbidden = 4,
    /// It took too long.
    Timeout = 5,
    /// A guard refused.
    Refused = 6,
    /// The ledger is damaged.
    Ledger = 7,
    /// Part of it failed.
    Partial = 8,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The exit code.
    pub exit: Exit,
    /// What failed.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
}

impl Error {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hints: Vec::new() }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !hint.is_empty() {
            self.hints.push(hint);
        }
        self
    }

    /// Adds each thing that it is about as a line of its own, as far as a screen has room.
    pub(super) fn each(mut self, things: impl IntoIterator<Item = String>) -> Self {
        self.causes.extend(first(things, THINGS_MAX));
        self
    }

    /// Adds the causes of `error`, and with `whole` its own text.
    pub(super) fn because(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    fn of(exit: Exit, error: &dyn std::error::Error) -> Self {
        let made = Self::new(exit, error.to_string());
        match error.source() {
            Some(source) => made.because(source),
            None => made,
        }
    }

    /// The error as it is printed, with styles that a plain output strips.
    #[must_use]
    pub fn render(&self) -> String {
        use anstyle::{AnsiColor, Style};
        let bold = |color: AnsiColor| color.on_default().bold();
        let line = |style: Style, word: &str, text: &str| {
            let mut out = String::new();
            for (index, part) in text.lines().enumerate() {
                let head =
                    if index == 0 { format!("{style}{word}:{style:#} ") } else { "  ".into() };
                // Writing to a String cannot fail.
                let _ = writeln!(out, "{head}{}", clean(part));
            }
            out
        };
        let mut out = line(bold(AnsiColor::Red), "error", &self.message);
        for cause in &self.causes {
            out.push_str(&line(bold(AnsiColor::Red), "caused by", cause));
        }
        for hint in &self.hints {
            out.push_str(&line(bold(AnsiColor::Cyan), "hint", hint));
        }
        out
    }
}

impl From<config::Error> for Error {
    fn from(error: config::Error) -> Self {
        Self::of(Exit::Usage, &error)
            .hint("correct it there; docs/config.md says what every key means")
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unreachable { .. } => Self::of(Exit::Unreachable, &error)
                .hint("start the daemon with `greffier serve`, or name its socket with --socket"),
            ClientError::Denied { .. } => Self::of(Exit::Forbidden, &error)
                .hint("run this as root, as the daemon's user, or as a member of its group"),
            ClientError::Timeout(_) => {
                Self::of(Exit::Timeout, &error).hint("give it longer with --timeout")
            }
            ClientError::Broken(_) | ClientError::Unreadable(_) => {
                Self::of(Exit::Unreachable, &error).hint("is the daemon of the same version?")
            }
            ClientError::Api(error) => {
                let made = Self::new(exit_of(&error.code), error.message);
                let made = made.each(error.causes).hint(error.hint);
                match made.exit {
                    Exit::Unreachable => made.hint(format!("request {}", error.request_id)),
                    _ => made,
                }
            }
        }
    }
}

impl Error {
    /// What is said where the daemon gave no answer to something that it may have recorded; `log`
    /// is the command that shows it.
    pub(super) fn unanswered(error: ClientError, log: &str) -> Self {
        let unknown = matches!(
            error,
            ClientError::Broken(_) | ClientError::Unreadable(_) | ClientError::Timeout(_)
        );
        let made = Self::from(error);
        if !unknown {
            return made;
        }
        let message = format!("{}: whether it was recorded is not known", made.message);
        let hints = vec![
            format!("`{log}` says whether it was, also while no daemon runs"),
            "what is recorded is done by the daemon, also after a restart; what is not can be \
             asked for again"
                .to_owned(),
        ];
        Self { message, hints, ..made }
    }
}

/// The exit code for a code of the API.
fn exit_of(code: &str) -> Exit {
    match code {
        "nothing_gated" | "other_plan" | "plan_lapsed" | "plan_of_other_app" | "observing"
        | "not_paused" | "not_frozen" | "no_drift" | "not_kept" | "unsynced" | "changed_beside"
        | "no_doubt" | "other_doubt" | "not_seen" | "frozen" | "left_alone" | "being_removed"
        | "nothing_then" | "as_then" | "not_restorable" | "not_pinnable" | "never_healthy"
        | "left_git" | "nothing_held" | "not_restored" | "unrendered" | "held_otherwise"
        | "same_already" | "not_undone" | "conflicts" | "defined_elsewhere" | "say_which"
        | "replay_refused" | "not_in_git" | "push_open" => Exit::Refused,
        "restore_failed" => Exit::Partial,
        "ledger_corrupt" => Exit::Ledger,
        "git_unreachable" | "ledger_full" | "ledger" | "stopping" | "too_many_streams"
        | "internal" => Exit::Unreachable,
        "forbidden" => Exit::Forbidden,
        _ => Exit::Usage,
    }
}

impl From<ledger::Error> for Error {
    fn from(error: ledger::Error) -> Self {
        use ledger::Error as Ledger;
        let (exit, hint) = match &error {
            Ledger::Corrupt { .. } | Ledger::Decode { .. } | Ledger::Unreadable { .. } => (
                Exit::Ledger,
                "`greffier ledger verify` lists all damage; put a whole copy of the named files in \
                 their place, or without one: `greffier ledger salvage --plan` says what could be \
                 saved",
            ),
            Ledger::Locked { .. } => (
                Exit::Usage,
                "another daemon has it open: stop it, or give this one another data_dir",
            ),
            full if full.is_full() => (
                Exit::Usage,
                "make room on the file system of data_dir, or lower ledger.free_bytes_reserve",
            ),
            Ledger::Missing(_) => (
                Exit::Usage,
                "is data_dir right? `greffier config show` says where it is looked for",
            ),
            Ledger::KeyMissing(_) | Ledger::KeyFormat(_) | Ledger::KeyWrong { .. } => {
                (Exit::Usage, "put the backup of the ledger's key in its place (key_file)")
            }
            _ => (Exit::Usage, "is data_dir readable and writable for this user?"),
        };
        Self::of(exit, &error).hint(hint)
    }
}

impl From<anyhow::Error> for Error {
    /// What stopped the daemon.
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<ledger::Error>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        let hint = match error.downcast_ref::<BindError>() {
            Some(BindError::InUse(_)) => "stop the other daemon, or give this one another socket",
            Some(_) => "is the directory of the socket writable for this user?",
            None if error.chain().any(|cause| cause.is::<ledger::Error>()) => {
                "`greffier ledger info` says how the ledger is"
            }
            None => "`greffier config show --origin` shows the configuration in force",
        };
        let mut chain = error.chain().map(ToString::to_string);
        let mut made = Self::new(Exit::Usage, chain.next().unwrap_or_default()).hint(hint);
        made.causes.extend(chain);
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::dto;

    /// Goal: what a refusal is about is told one a line, as far as a screen has room, and between
    /// what was refused and what to do.
    #[test]
    fn each_thing_of_a_refusal_has_a_line_and_the_rest_is_counted() {
        let refused = |things: usize| {
            let causes = (0..things).map(|n| format!("ConfigMap/prod/{n}: why")).collect();
            let (code, message) = ("not_restorable".to_owned(), "not all of it".to_owned());
            let (hint, request_id) = ("nothing was written".to_owned(), String::new());
            let error = dto::Error { code, message, causes, hint, request_id };
            let error = Error::from(ClientError::Api(error));
            assert_eq!(error.exit, Exit::Refused);
            let text = anstream::adapter::strip_str(&error.render()).to_string();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let two = refused(2);
        assert_eq!(
            two,
            [
                "error: not all of it",
                "caused by: ConfigMap/prod/0: why",
                "caused by: ConfigMap/prod/1: why",
                "hint: nothing was written"
            ]
        );
        let many = refused(THINGS_MAX + 7);
        assert_eq!(many.len(), THINGS_MAX + 3);
        assert_eq!(many[THINGS_MAX + 1], "caused by: and 7 more");
    }
}
