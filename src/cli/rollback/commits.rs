//! Commits that put a rollback into Git: what would be made, and what became of them.

use std::fmt::Write as _;

use super::super::error::{Error, Exit};
use super::super::output;
use super::super::read::short;
use crate::http::dto;
use crate::query::rollback::{CommitPlan, HoldPlan};
use crate::query::text::{clean, clean_lines, count};

/// How many files are shown to people.
const FILES_MAX: usize = 40;

/// A commit that would be made.
pub(super) fn text(commit: &CommitPlan) -> String {
    let mut out = String::new();
    let new = match (commit.creates, commit.proposes) {
        (true, _) => "the new branch ",
        (false, true) => "greffier's own branch ",
        (false, false) => "",
    };
    let (branch, repo) = (clean(&commit.branch), clean(&commit.repo));
    // Writing to a String cannot fail.
    let _ = writeln!(out, "commit to {new}{branch} of {repo}, on {}:", short(&commit.parent));
    let _ = writeln!(out, "  author: {}", clean(&commit.author));
    for line in clean_lines(commit.message.trim_end()).lines() {
        let _ = writeln!(out, "  | {line}");
    }
    for file in commit.files.iter().take(FILES_MAX) {
        let _ = writeln!(out, "  {}", clean(file));
    }
    let more = commit.files_total.saturating_sub(commit.files.len().min(FILES_MAX));
    if more > 0 {
        let _ = writeln!(out, "  and {}", count(more, "more file"));
    }
    out
}

/// Refuses what a commit does not put back, and what is others'.
pub(super) fn committable(shown: &HoldPlan, ask: &dto::RollbackBody) -> Result<(), Error> {
    if !shown.not_in_git.is_empty() && !ask.partial {
        let text = "a commit would not put all of it back";
        return Err(Error::new(Exit::Refused, text).each(shown.not_in_git.clone()).hint(
            "nothing was written; --partial commits what it can, and the hold stays; without --git \
             it is rolled back and held",
        ));
    }
    if !shown.shared.is_empty() && ask.branch.is_empty() {
        let text = "the commit would change other applications too";
        return Err(Error::new(Exit::Refused, text)
            .each(shown.shared.clone())
            .hint("nothing was written; --branch NAME proposes it for a merge request"));
    }
    Ok(())
}

/// That nothing can be committed now, and what becomes of the rollback.
pub(super) fn not_pushed(shown: &HoldPlan) -> Vec<String> {
    match shown.not_pushed.as_str() {
        "" => Vec::new(),
        why => vec![why.to_owned(), "the rollback does not wait for it: it is held".to_owned()],
    }
}

/// Says that a plan is one without the commit that was asked for.
pub(super) fn pushable(shown: &HoldPlan) -> Result<(), Error> {
    if shown.not_pushed.is_empty() {
        return Ok(());
    }
    let text = format!("no commit can be made now: {}", shown.not_pushed);
    Err(Error::new(Exit::Partial, text).hint(
        "the rollback does not wait for it: it is held, and the commit can be made for it later",
    ))
}

/// Says what became of each commit; an error where one is not pushed. `again` is the command that
/// makes it for the hold that there is: `@-` and `last-healthy` are another instant by then.
pub(super) fn told(app: &str, pushed: &[dto::Pushed], again: &str) -> Result<(), Error> {
    let mut failed = None;
    for one in pushed {
        let (branch, repo) = (clean(&one.branch), clean(&one.repo));
        let place = match repo.is_empty() {
            true => String::new(),
            false => format!(" to {branch} of {repo}"),
        };
        if one.result == "pushed" {
            let merge = match one.proposes {
                true => "; the hold ends when it is merged",
                false => "; the hold ends when it is rendered",
            };
            let commit = short(&one.commit);
            let text = format!("commit {commit} is in {branch} of {repo} (#{}){merge}", one.seq);
            output::say(&text);
            continue;
        }
        let said = if one.said.is_empty() { one.result.clone() } else { one.said.clone() };
        let text = match one.result.as_str() {
            "unknown" => format!("{app} is held; whether it is pushed{place} is not known: {said}"),
            _ => format!("{app} is held; NOT PUSHED{place}: {said}"),
        };
        let error = Error::new(Exit::Partial, text).hint(one.hint.clone());
        let later = match one.result.as_str() {
            // It may still arrive.
            "unknown" => String::new(),
            _ => format!("push it later with `{again}`"),
        };
        failed.get_or_insert(error.hint(later));
    }
    failed.map_or(Ok(()), Err)
}
