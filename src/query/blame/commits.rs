//! Which commit brought what a render has and the render before it had not.
//!
//! Only what the ledger says counts: a commit that was merged is new where the commits that were
//! rendered before do not have it in their history, and what is in their history is read as far
//! as it is recorded. Where it can have been several commits that is said, and where nothing
//! tells which one it was none is named.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::book::Book;
use super::super::search::Filter;
use crate::ledger::event::{CommitRecordedV1, Event, RenderSucceededV1, RevisionRef};
use crate::ledger::{self, Recorded};
use crate::model::{CommitId, Seq};

/// Bound: how many commits between two renders are looked at.
const BETWEEN_MAX: usize = 200;
/// Bound: how many commits of the history before are looked at, where branches were merged.
const BEFORE_MAX: usize = 5_000;

const OLDER: &str = "the history before it is not in the ledger";
const MANY: &str = "one of many commits since the render before";

/// What a render was made from.
#[derive(Debug, Clone, Copy)]
pub(in crate::query) struct Made<'r> {
    /// Every source in its order.
    pub(in crate::query) revisions: &'r [RevisionRef],
    /// The Application's definition.
    pub(in crate::query) declared: Seq,
}

impl<'r> Made<'r> {
    pub(in crate::query) fn of(body: &'r RenderSucceededV1) -> Self {
        Self { revisions: &body.revisions, declared: body.declared }
    }
}

/// The commit that brought something, as far as the ledger tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::query) struct Brought {
    /// The repository; empty where no commit is named.
    pub(in crate::query) repo: String,
    /// The commit; `None` = no commit did it, or nothing tells which.
    pub(in crate::query) commit: Option<CommitId>,
    /// What is not known about it, or else to be said.
    pub(in crate::query) notes: Vec<String>,
}

impl Brought {
    fn by(source: &RevisionRef, commit: &CommitId, note: Option<&str>) -> Self {
        Self {
            repo: source.repo.clone(),
            commit: Some(commit.clone()),
            notes: note.map(str::to_owned).into_iter().collect(),
        }
    }

    fn unknown(note: &str) -> Self {
        Self { notes: vec![note.to_owned()], ..Self::default() }
    }
}

/// What brought what `now` has of `file` and `former` had not; `known` are other commits that
/// rendered to the same as `former`.
pub(in crate::query) fn brought(
    book: &dyn Book,
    (former, now): (Made<'_>, Made<'_>),
    known: &[CommitId],
    file: &str,
) -> Result<Brought, ledger::Error> {
    let redeclared = former.declared != now.declared;
    let declared = now.declared;
    if commits(former) == commits(now) {
        return Ok(Brought::unknown(&match redeclared {
            true => format!("no commit: the Application changed (#{declared})"),
            false => "no commit: rendered by other versions of programs".to_owned(),
        }));
    }
    let mut moved: Vec<(&RevisionRef, &RevisionRef)> = Vec::new();
    for (was, is) in former.revisions.iter().zip(now.revisions) {
        let same = |(before, after): &&(&RevisionRef, &RevisionRef)| {
            (&before.commit, &after.commit) == (&was.commit, &is.commit)
        };
        if was.commit != is.commit && moved.iter().find(same).is_none() {
            moved.push((was, is));
        }
    }
    let same_sources = former.revisions.len() == now.revisions.len();
    let mut found = match moved.as_slice() {
        [(was, is)] if same_sources => {
            let known = known.iter().chain([&was.commit]).cloned().collect();
            // Every source may be a repository of its own, and what is rendered does not say
            // which one a file is in.
            let file = if now.revisions.len() == 1 { file } else { "" };
            between(book, is, known, file)?
        }
        _ => Brought::unknown("which commit is not known: several sources changed"),
    };
    if redeclared {
        found.notes.push(format!("or the Application's change (#{declared})"));
    }
    Ok(found)
}

fn commits(made: Made<'_>) -> Vec<&CommitId> {
    made.revisions.iter().map(|revision| &revision.commit).collect()
}

/// Which of the commits up to a source's that are not in the history of `known` it can have been,
/// by the file that it changed.
fn between(
    book: &dyn Book,
    source: &RevisionRef,
    mut known: BTreeSet<CommitId>,
    file: &str,
) -> Result<Brought, ledger::Error> {
    let tip = &source.commit;
    let mut new = Down::walk(book, BTreeSet::from([tip.clone()]), &known, BETWEEN_MAX)?;
    if !new.is_closed() {
        // A branch that began earlier was merged, or an earlier commit was put back.
        let before = Down::walk(book, known.clone(), &BTreeSet::new(), BEFORE_MAX)?;
        if before.is_cut {
            return Ok(Brought::by(source, tip, Some(MANY)));
        }
        known.extend(before.found.into_iter().map(|(commit, _)| commit));
        new = Down::walk(book, BTreeSet::from([tip.clone()]), &known, BETWEEN_MAX)?;
        if new.is_cut {
            return Ok(Brought::by(source, tip, Some(MANY)));
        }
        if new.is_missing || (new.has_root && before.is_missing) {
            return Ok(Brought::by(source, tip, Some(OLDER)));
        }
    }
    let touching: Vec<&CommitId> = new
        .found
        .iter()
        .filter(|(_, recorded)| body(recorded).is_some_and(|body| touches(body, file)))
        .map(|(commit, _)| commit)
        .collect();
    Ok(match (touching.as_slice(), new.found.len()) {
        (_, 0) => Brought::unknown(
            "which commit is not known: one that had been rendered before, or that is older than \
             that, was put back",
        ),
        (_, 1) => Brought::by(source, tip, None),
        // Values, a base, a library chart: the file itself does not tell.
        ([], count) => {
            Brought::by(source, tip, Some(&format!("or one of the {count} commits up to it")))
        }
        ([commit], _) => Brought::by(source, commit, None),
        ([first, ..], _) => {
            let count = touching.len();
            let note = format!("or one of the {count} commits up to it that change the file");
            Brought::by(source, first, Some(&note))
        }
    })
}

/// Commits with those before them.
#[derive(Default)]
struct Down {
    found: Vec<(CommitId, Arc<Recorded>)>,
    /// Whether a commit is not in the ledger.
    is_missing: bool,
    /// Whether there are more than are looked at.
    is_cut: bool,
    /// Whether a commit without a parent is among them.
    has_root: bool,
}

impl Down {
    /// The commits that `from` have in their history, themselves included, at most `max`; not
    /// through `stop`.
    fn walk(
        book: &dyn Book,
        from: BTreeSet<CommitId>,
        stop: &BTreeSet<CommitId>,
        max: usize,
    ) -> Result<Self, ledger::Error> {
        let (mut down, mut seen) = (Self::default(), BTreeSet::new());
        let mut open: VecDeque<CommitId> = from.into_iter().collect();
        while let Some(commit) = open.pop_front() {
            if stop.contains(&commit) || !seen.insert(commit.clone()) {
                continue;
            }
            if down.found.len() >= max {
                down.is_cut = true;
                break;
            }
            let Some(recorded) = committed(book, &commit)? else {
                down.is_missing = true;
                continue;
            };
            let parents = body(&recorded).map_or(&[][..], |body| &body.parents);
            down.has_root |= parents.is_empty();
            open.extend(parents.iter().cloned());
            down.found.push((commit, recorded));
        }
        Ok(down)
    }

    /// Whether every way down ends where the walk was to stop.
    fn is_closed(&self) -> bool {
        !self.is_missing && !self.is_cut && !self.has_root
    }
}

/// The event that tells of a commit.
pub(super) fn committed(
    book: &dyn Book,
    commit: &CommitId,
) -> Result<Option<Arc<Recorded>>, ledger::Error> {
    let filter = Filter { commit: Some(commit.to_string()), ..Filter::default() };
    for seq in book.candidates(&filter).unwrap_or_default() {
        let recorded = book.get(seq)?;
        let is = |recorded: &Arc<Recorded>| body(recorded).is_some_and(|b| b.commit == *commit);
        if let Some(recorded) = recorded.filter(is) {
            return Ok(Some(recorded));
        }
    }
    Ok(None)
}

fn body(recorded: &Recorded) -> Option<&CommitRecordedV1> {
    match &recorded.event {
        Some(Event::CommitRecorded(body)) => Some(body),
        _ => None,
    }
}

fn touches(body: &CommitRecordedV1, file: &str) -> bool {
    // Not every path is listed of a commit that changes many.
    let listed = body.changed.len() as u64 == body.changed_total;
    !file.is_empty() && (!listed || body.changed.iter().any(|path| path == file))
}
