//! The commit that dropped an object: the first render without it, and what lies between.

use super::super::super::blame::between;
use super::Walk;
use super::causes::{Cause, FromCommit};
use crate::ledger;
use crate::ledger::event::{Event, RenderSucceededV1};
use crate::ledger::store::SubjectKey;
use crate::model::{AppName, CommitId, ObjectKey, Seq};

/// What a render without the object says.
#[derive(Debug)]
struct Without {
    seq: Seq,
    tip: CommitId,
    commits: Vec<CommitId>,
    declared: Seq,
}

impl Without {
    fn of(seq: Seq, body: &RenderSucceededV1) -> Self {
        let commits = body.revisions.iter().map(|revision| revision.commit.clone()).collect();
        Self { seq, tip: body.revision.commit.clone(), commits, declared: body.declared }
    }
}

/// What the last render with the object says.
struct With {
    file: String,
    commits: Vec<CommitId>,
    declared: Seq,
}

impl Walk<'_> {
    /// Tells of an object that left Git and is still there.
    pub(in crate::query::why) fn left(
        &mut self,
        what: &str,
        app: &AppName,
        key: &ObjectKey,
        render: Seq,
    ) -> Result<(), ledger::Error> {
        let dropped = self.dropped(app, key, render)?;
        let (render, commit) = dropped.map_or((render, None), |(at, from)| (at, Some(from)));
        self.head(what, render);
        self.causes_of(Cause::from_commit(render, key, commit), 1)
    }

    /// The first render without the object, at or before `render`, and the commit of it that
    /// dropped the object, as far as the ledger tells. `None` = no render with it was found.
    pub(super) fn dropped(
        &mut self,
        app: &AppName,
        key: &ObjectKey,
        render: Seq,
    ) -> Result<Option<(Seq, FromCommit)>, ledger::Error> {
        let (mut first, mut known) = (None, Vec::new());
        let former = self.last(SubjectKey::app(app.as_str()), render.next(), |recorded| {
            match &recorded.event {
                Some(Event::RenderSucceeded(body)) if body.app == *app => {
                    let object = body.objects.iter().find(|object| object.key == *key);
                    let without = Without::of(recorded.seq(), body);
                    let Some(object) = object else {
                        first = Some(without);
                        known.clear();
                        return None;
                    };
                    let file = object.origin.split(" (").next().unwrap_or_default();
                    let file = match file.rsplit_once(':') {
                        Some((file, line)) if line.parse::<u64>().is_ok() => file,
                        _ => file,
                    };
                    let (commits, declared) = (without.commits, without.declared);
                    Some(With { file: file.to_owned(), commits, declared })
                }
                // It rendered to the same, with the object in it.
                Some(Event::RevisionAdvanced(body)) if body.app == *app => {
                    known.extend(body.revisions.iter().map(|revision| revision.commit.clone()));
                    None
                }
                _ => None,
            }
        })?;
        let (Some(first), Some(former)) = (first, former) else { return Ok(None) };
        let redeclared = first.declared != former.declared;
        let declared = first.declared;
        if first.commits == former.commits {
            let note = match redeclared {
                true => format!("no commit: the Application changed (#{declared})"),
                false => "no commit: rendered by other versions of programs".to_owned(),
            };
            return Ok(Some((first.seq, FromCommit { commit: None, note })));
        }
        let known = known.iter().chain(&former.commits).collect();
        let found = between(self.book, &first.tip, &known, &former.file)?;
        let mut notes: Vec<String> = found.note.into_iter().collect();
        if redeclared {
            notes.push(format!("or the Application's change (#{declared})"));
        }
        let commit = Some(found.commit.unwrap_or(first.tip));
        Ok(Some((first.seq, FromCommit { commit, note: notes.join("; ") })))
    }
}
