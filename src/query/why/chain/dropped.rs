//! The commit that dropped an object: the first render without it, and what lies between.

use super::super::super::blame::{Made, brought};
use super::Walk;
use super::causes::{Cause, FromCommit};
use crate::ledger;
use crate::ledger::event::{Event, RenderSucceededV1, RevisionRef};
use crate::ledger::store::SubjectKey;
use crate::model::{AppName, ObjectKey, Seq};

/// What a render was made from.
struct Source {
    seq: Seq,
    revisions: Vec<RevisionRef>,
    declared: Seq,
}

impl Source {
    fn of(seq: Seq, body: &RenderSucceededV1) -> Self {
        Self { seq, revisions: body.revisions.clone(), declared: body.declared }
    }

    fn made(&self) -> Made<'_> {
        Made { revisions: &self.revisions, declared: self.declared }
    }
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
        let (mut first, mut known, mut latest) = (None, Vec::new(), None);
        let former = self.last(SubjectKey::app(app.as_str()), render.next(), |recorded| {
            match &recorded.event {
                Some(Event::RenderSucceeded(body)) if body.app == *app => {
                    let object = body.objects.iter().find(|object| object.key == *key);
                    let from = Source::of(recorded.seq(), body);
                    known.extend(body.revisions.iter().map(|revision| revision.commit.clone()));
                    let Some(object) = object else {
                        first = Some(from);
                        known.clear();
                        latest = None;
                        return None;
                    };
                    let file = object.origin.split(" (").next().unwrap_or_default();
                    let file = match file.rsplit_once(':') {
                        Some((file, line)) if line.parse::<u64>().is_ok() => file,
                        _ => file,
                    };
                    Some((file.to_owned(), latest.take().unwrap_or(from)))
                }
                // It rendered to the same, with the object in it.
                Some(Event::RevisionAdvanced(body)) if body.app == *app => {
                    known.extend(body.revisions.iter().map(|revision| revision.commit.clone()));
                    let (seq, declared) = (recorded.seq(), body.declared);
                    latest.get_or_insert(Source {
                        seq,
                        revisions: body.revisions.clone(),
                        declared,
                    });
                    None
                }
                _ => None,
            }
        })?;
        let (Some(first), Some((file, former))) = (first, former) else { return Ok(None) };
        let made = (former.made(), first.made());
        let found = brought(self.book, made, &known, &file)?;
        let (commit, note) = (found.commit, found.notes.join("; "));
        Ok(Some((first.seq, FromCommit { commit, note })))
    }
}
