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
    let new = if commit.creates { "the new branch " } else { "" };
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
        let what = shown.not_in_git.join("; ");
        let text = format!("a commit would not put all of it back: {what}");
        return Err(Error::new(Exit::Refused, text).hint(
            "nothing was written; --partial commits what it can, and the hold stays; without --git \
             it is rolled back and held",
        ));
    }
    if !shown.shared.is_empty() && ask.branch.is_empty() {
        let what = shown.shared.join("; ");
        let text = format!("the commit would change other applications too: {what}");
        return Err(Error::new(Exit::Refused, text)
            .hint("nothing was written; --branch NAME proposes it for a merge request"));
    }
    Ok(())
}

/// Says what became of each commit; an error where one is not pushed. `again` is the command that
/// makes it for the hold that there is: `@-` and `last-healthy` are another instant by then.
pub(super) fn told(pushed: &[dto::Pushed], again: &str) -> Result<(), Error> {
    let mut failed = None;
    for one in pushed {
        let (branch, repo) = (clean(&one.branch), clean(&one.repo));
        let place = format!("{branch} of {repo}");
        if one.result == "pushed" {
            let merge = match one.creates {
                true => "; the hold ends when it is merged",
                false => "; the hold ends when it is rendered",
            };
            let text = format!("commit {} is in {place} (#{}){merge}", short(&one.commit), one.seq);
            output::say(&text);
            continue;
        }
        let said = if one.said.is_empty() { one.result.clone() } else { one.said.clone() };
        let text = match one.result.as_str() {
            "unknown" => format!("whether the commit is in {place} is not known yet: {said}"),
            _ => format!("the commit is not in {place}: {said}"),
        };
        let error = Error::new(Exit::Partial, text).hint(one.hint.clone());
        let held =
            format!("the rollback itself is held all the same; `{again}` makes the commit anew");
        failed.get_or_insert(error.hint(held));
    }
    failed.map_or(Ok(()), Err)
}
