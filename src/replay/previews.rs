//! How the answers of dry runs change the world.

use super::application::Previewed;
use super::world::{Touched, World};
use super::writes::retry_at;
use crate::ledger::event::{ObjectPreviewedV1, Preview};
use crate::model::Seq;

impl World {
    pub(super) fn object_previewed(&mut self, seq: Seq, body: &ObjectPreviewedV1) -> Touched {
        let now = self.now;
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        let former = app.previews.get(&body.key).filter(|former| {
            former.digest == body.digest
                && former.uid == body.uid
                && former.live == body.live
                && former.mask == body.mask
        });
        let failed = matches!(body.result, Preview::Failed(_));
        let before = former.map_or(0, |former| former.failures);
        let failures = if failed { before.saturating_add(1) } else { 0 };
        let previewed = Previewed {
            seq,
            digest: body.digest,
            uid: body.uid.clone(),
            live: body.live,
            mask: body.mask,
            result: body.result.clone(),
            failures,
            next: failed.then(|| retry_at(now, failures)),
        };
        app.ignore_failures.remove(&body.key);
        app.previews.insert(body.key.clone(), previewed);
        if self.shows_later(&body.key) {
            return Touched::all();
        }
        Touched::app(&body.app)
    }
}
