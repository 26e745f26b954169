//! Sentences about commits that greffier makes.

use super::{Described, Tone};
use crate::ledger::event::{Event, PushEndedV1, PushIntendedV1, PushResult};
use crate::model::Seq;
use crate::query::text::{clip, count, repo_name};

/// How much of what a repository says is told, in characters.
const SAID_CHARS_MAX: usize = 500;

pub(super) fn of_push(event: &Event, by: &str) -> Described {
    match event {
        Event::PushIntended(body) => intended(body, by),
        Event::PushEnded(body) => ended(body),
        other => Described::new(other.name()),
    }
}

fn place(branch: &str, repo: &str) -> String {
    let branch = clip(branch.strip_prefix("refs/heads/").unwrap_or(branch), 100);
    format!("{branch} of {}", repo_name(repo))
}

fn intended(body: &PushIntendedV1, by: &str) -> Described {
    let (commit, parent) = (body.commit.short(), body.parent.short());
    let files = count(usize::try_from(body.files).unwrap_or(usize::MAX), "file");
    let place = place(&body.branch, &body.repo);
    let new = if body.creates { "new branch " } else { "" };
    let again = match body.attempt {
        0 | 1 => String::new(),
        attempt => format!(", try {attempt}"),
    };
    let text = format!(
        "BACK INTO GIT: commit {commit} on {parent} ({files}) is pushed to {new}{place}, for rollback #{}, by \
         {by}{again}",
        body.hold.0
    );
    Described::of_app(&body.app, text).commit(Some(&body.commit))
}

fn ended(body: &PushEndedV1) -> Described {
    let (commit, place) = (body.commit.short(), place(&body.branch, &body.repo));
    let found = if body.settled { ", as the repository shows" } else { "" };
    let (text, tone) = match &body.result {
        PushResult::Pushed => (format!("commit {commit} is in {place}{found}"), Tone::Good),
        PushResult::Overtaken(said) => {
            let said = clip(said, SAID_CHARS_MAX);
            (format!("commit {commit} NOT PUSHED, {place} was moved meanwhile: {said}"), Tone::Warn)
        }
        PushResult::Refused(said) => {
            let said = clip(said, SAID_CHARS_MAX);
            (format!("commit {commit} REFUSED by {place}: {said}"), Tone::Bad)
        }
        PushResult::NotPushed(said) => {
            let said = clip(said, SAID_CHARS_MAX);
            (format!("commit {commit} NOT PUSHED to {place}{found}: {said}"), Tone::Bad)
        }
        PushResult::Unknown(said) => {
            let said = clip(said, SAID_CHARS_MAX);
            let text = format!("whether commit {commit} is in {place} is looked for: {said}");
            (text, Tone::Warn)
        }
    };
    Described::of_app(&body.app, text).tone(tone).commit(Some(&body.commit))
}

/// A commit that became known and that greffier made for somebody.
pub(super) fn made_for(described: Described, event: &Event, causes: &[Seq]) -> Described {
    match (event, causes.first()) {
        (Event::CommitRecorded(_), Some(push)) => {
            let summary =
                format!("{}, made by greffier for a rollback (#{push})", described.summary);
            Described { summary, ..described }
        }
        _ => described,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::samples::sample_events;

    #[test]
    fn what_a_repository_says_moves_no_cursor() {
        let sample = sample_events().into_iter().find_map(|event| match event {
            Event::PushEnded(body) => Some(body),
            _ => None,
        });
        let result = PushResult::Refused("\u{1b}[2Jprotected".into());
        let told = ended(&PushEndedV1 { result, ..sample.unwrap() });
        assert!(told.summary.contains("REFUSED by main of infra"), "{}", told.summary);
        assert!(!told.summary.contains('\u{1b}'), "{}", told.summary);
    }
}
