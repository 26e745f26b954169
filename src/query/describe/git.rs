//! Sentences about repositories.

use super::{Described, ERROR_CHARS_MAX, Tone};
use crate::ledger::event::{
    CommitRecordedV1, Event, HistoryRewrittenV1, RefMovedV1, SignatureVerdict,
};
use crate::query::text::{clip, count, first_line, repo_name};

pub(super) fn of_git(event: &Event) -> Described {
    match event {
        Event::CommitRecorded(body) => commit(body),
        Event::RefMoved(body) => ref_moved(body),
        Event::HistoryRewritten(body) => rewritten(body),
        Event::HistoryImported(body) => Described::new(format!(
            "{}: imported {} of {}",
            repo_name(&body.repo),
            count(usize::try_from(body.commits).unwrap_or(usize::MAX), "commit"),
            clip(&body.name, 100)
        )),
        Event::FetchFailed(body) => {
            let error = clip(&body.error, ERROR_CHARS_MAX);
            let text = format!("{}: FETCH FAILED: {error}", repo_name(&body.repo));
            Described::new(text).tone(Tone::Bad)
        }
        Event::FetchRecovered(body) => {
            Described::new(format!("{}: can be fetched again", repo_name(&body.repo)))
                .tone(Tone::Good)
        }
        Event::FetchUnchanged(body) => {
            let text = format!("{}: fetched after the start, unchanged", repo_name(&body.repo));
            Described { noise: true, ..Described::new(text) }
        }
        other => Described::new(other.name()),
    }
}

fn commit(body: &CommitRecordedV1) -> Described {
    let subject = first_line(&body.message, 100);
    let author = clip(&body.author.name, 60);
    let paths = count(usize::try_from(body.changed_total).unwrap_or(usize::MAX), "path");
    let text = format!(
        "{}: commit {} \"{subject}\" by {author} ({paths})",
        repo_name(&body.repo),
        body.commit.short()
    );
    let mut by = vec![
        format!("{} <{}>", body.author.name, body.author.email),
        format!("{} <{}>", body.committer.name, body.committer.email),
    ];
    let (text, tone) = match &body.signature {
        Some(signature) if signature.verdict == SignatureVerdict::Valid => {
            by.push(signature.principal.clone());
            (format!("{text}, signed by {}", clip(&signature.principal, 60)), Tone::Plain)
        }
        Some(signature) if signature.verdict == SignatureVerdict::Invalid => {
            (format!("{text}, INVALID SIGNATURE: {}", signature.note), Tone::Warn)
        }
        _ => (text, Tone::Plain),
    };
    Described { by, ..Described::new(text) }.tone(tone).commit(Some(&body.commit))
}

fn short_ref(name: &str) -> String {
    let short = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/"));
    clip(short.unwrap_or(name), 100)
}

fn ref_moved(body: &RefMovedV1) -> Described {
    let (repo, name) = (repo_name(&body.repo), short_ref(&body.name));
    let text = match (&body.old, &body.new) {
        (Some(old), Some(new)) => format!("{repo}: {name} {} → {}", old.short(), new.short()),
        (None, Some(new)) => format!("{repo}: {name} appeared at {}", new.short()),
        (Some(old), None) => format!("{repo}: {name} was deleted (was {})", old.short()),
        (None, None) => format!("{repo}: {name} does not exist"),
    };
    let tone = if body.new.is_none() { Tone::Warn } else { Tone::Plain };
    // HEAD moves with its branch, which is announced.
    let noise = body.name == "HEAD";
    Described { noise, ..Described::new(text) }.tone(tone).commit(body.new.as_ref())
}

fn rewritten(body: &HistoryRewrittenV1) -> Described {
    let tree = if body.same_tree { "the same tree" } else { "another tree" };
    let text = format!(
        "{}: HISTORY REWRITTEN {} {} → {} with {tree}; {} no longer reachable",
        repo_name(&body.repo),
        short_ref(&body.name),
        body.old.short(),
        body.new.short(),
        count(body.dropped.len(), "commit"),
    );
    let text = match (body.follow, body.same_tree) {
        (true, false) => format!("{text}; followed, as configured"),
        _ => text,
    };
    Described::new(text).tone(Tone::Warn).commit(Some(&body.new))
}
