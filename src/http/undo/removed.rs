//! Undoing what an application did that is gone.

use axum::response::Response;

use super::super::error::Error;
use super::{Judged, Looked, Undo};
use crate::command::Restored;
use crate::model::ObjectKey;
use crate::query::restore::{NotRestorable, Seen, Then};
use crate::query::undo::effects::{self, Effect};
use crate::query::undo::{Span, since};
use crate::replay::World;

impl Undo {
    /// What an application had that is gone: nobody has its objects, and they come back as it had
    /// applied them before, or else as they were seen.
    pub(super) async fn of_removed(self, span: Span) -> Result<Response, Error> {
        let (app, keys) = (span.app.clone(), span.keys.clone().unwrap_or_default());
        let of = move |world: &World| effects::applied(world, &app, &keys);
        let (before, after) = (self.as_of(span.from, of.clone()), self.as_of(span.to, of));
        let (before, after) = (before.await?, after.await?);
        let (changed, missing) = self.between(&span, before, after).await?;
        let (mut writes, mut judged) = (Vec::new(), Judged { missing, ..Judged::default() });
        for Effect { key, before, .. } in changed {
            let mut looked = self.look(&key, span.from).await?;
            // What was wanted may not have been written yet.
            looked.then.wanted = before.map(|object| (span.app.clone(), object));
            if looked.then.seen.is_none() {
                let why = "it was not there before, and greffier deletes nothing that nobody has";
                judged.notes.push(format!("{key}: {why}"));
                continue;
            }
            if let Some(why) = self.came_back(&key, &span, &looked).await? {
                judged.conflicts.push(format!("{key}: {why}"));
                continue;
            }
            match self.prepared(&key, span.from, looked).await {
                Ok(prepared) => match prepared.restored {
                    Restored::Written(more) => {
                        judged.fields.push(format!("{key} comes back"));
                        writes.extend(more);
                        judged.blobs.extend(prepared.blobs);
                    }
                    Restored::Held(app, _) => {
                        judged.conflicts.push(format!("{key}: application {app} has it now"));
                    }
                },
                Err(NotRestorable::Same { .. }) => {
                    judged.notes.push(format!("{key}: it is as before already"));
                }
                Err(error) => judged.missing.push(error.to_string()),
            }
        }
        let subject = format!("application {}, which is gone", span.app);
        self.finish_new(Restored::Written(writes), judged, subject).await
    }

    /// Why an object of an application that is gone is not what was had of it any more: it is
    /// another of its name, or one that went again.
    async fn came_back(
        &self,
        key: &ObjectKey,
        span: &Span,
        looked: &Looked,
    ) -> Result<Option<String>, Error> {
        let Some(was) = looked.then.seen.clone() else { return Ok(None) };
        let (ledger, key, from) = (self.state.ledger.clone(), key.clone(), span.from);
        let to = span.to;
        let now = looked.now.seen.as_ref().map(|now| now.uid.clone());
        let changed = self.is_changed(&key, span, looked).await?;
        let came = move || match now {
            Some(uid) if uid == was.uid && changed => since::changed(&ledger, &key, to).map(Some),
            Some(uid) if uid == was.uid => Ok(None),
            Some(_) => since::anew(&ledger, &key, from).map(Some),
            None => since::went_again(&ledger, &key, from, &was.uid),
        };
        Ok(self.state.blocking(came).await??)
    }

    /// Whether an object is otherwise than the event left it.
    async fn is_changed(
        &self,
        key: &ObjectKey,
        span: &Span,
        looked: &Looked,
    ) -> Result<bool, Error> {
        let of = key.clone();
        let left = self.as_of(span.to, move |world| Then::of(world, &of).seen).await?;
        let digest = |seen: &Option<Seen>| seen.as_ref().map(|seen| seen.digest);
        Ok(digest(&left).zip(digest(&looked.now.seen)).is_some_and(|(left, now)| left != now))
    }
}
