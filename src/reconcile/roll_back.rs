//! What a rollback by itself goes back to must be in the ledger: else it is not made, and why is
//! recorded.

use crate::ledger::event::{AppHeldV1, AutoRollbackRefusedV1, Event, HeldImage};
use crate::ledger::{Draft, Ledger};
use crate::model::Seq;
use crate::query::book::Book;
use crate::query::coverage::Moment;
use crate::query::images::{Images, Workload, held};

/// How many objects are named.
const NAMED_MAX: usize = 20;

/// The draft, or the one that says what cannot be restored. Blocking: it reads every manifest.
pub(super) fn checked(ledger: &Ledger, draft: Draft) -> Draft {
    let Event::AppHeld(body) = &draft.event else { return draft };
    let Some(from) = &body.automatic else { return draft };
    let objects = body.desired.objects.iter().filter(|object| !object.key.is_application());
    let missing = objects.filter_map(|object| {
        let error = ledger.blob(object.manifest).err()?;
        Some(format!("{} cannot be restored: {error}", object.key))
    });
    let reasons: Vec<String> = missing.take(NAMED_MAX).collect();
    if reasons.is_empty() {
        let images = images(ledger, body, from.render);
        return with_images(draft, images);
    }
    let (app, from) = (body.app.clone(), (**from).clone());
    let refused = AutoRollbackRefusedV1 { app, from, reasons };
    Draft { event: refused.into(), ..draft }
}

/// What the tags of images that come back stood for. It is told and decides nothing: what cannot be
/// read is left out.
fn images(ledger: &Ledger, body: &AppHeldV1, bad: Seq) -> Vec<HeldImage> {
    let book: &dyn Book = ledger;
    let bad = book.get(bad).ok().flatten();
    let now = match bad.as_ref().and_then(|recorded| recorded.event.as_ref()) {
        Some(Event::RenderSucceeded(bad)) => bad.objects.as_slice(),
        _ => &[],
    };
    let mut images = Images::new(book, Moment { seq: body.to, time: body.at });
    let changed = body.desired.objects.iter().filter(|object| {
        let now = now.iter().find(|now| now.key == object.key);
        now.is_none_or(|now| now.digest != object.digest) && !object.key.is_secret()
    });
    let found = changed.filter_map(|object| {
        let manifest = serde_json::from_slice(&book.blob(object.manifest).ok()?).ok()?;
        let (key, digest, rendered) = (&object.key, object.digest, body.desired.seq);
        images.of(&Workload { key, digest, rendered }, &manifest).ok()
    });
    let found: Vec<_> = found.flatten().collect();
    held(&found, &body.left)
}

fn with_images(mut draft: Draft, images: Vec<HeldImage>) -> Draft {
    if let Event::AppHeld(body) = &mut draft.event {
        body.images = images;
    }
    draft
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{AutoRollback, RollbackCause};
    use crate::ledger::{Batch, Blob};
    use crate::model::{BlobAddr, Digest, canonical_json};
    use crate::replay::testing::{Given, commit, object};

    #[test]
    fn what_is_not_in_the_ledger_is_not_gone_back_to() {
        let ledger = Ledger::in_memory();
        let given = Given::synced(vec![object("ConfigMap/prod/a", 1)]);
        let from = AutoRollback {
            why: RollbackCause::Degraded,
            render: given.seq(),
            commit: commit(2),
            asked: Digest::default(),
            health: None,
            message: String::new(),
            after_ms: 0,
        };
        let mut body = given.rollback("web", &given.world);
        body.automatic = Some(Box::new(from));
        let there = Blob::plain(b"{}".to_vec(), None);
        body.desired.objects[0].manifest = there.addr;
        ledger.append_blocking(Batch { blobs: vec![there], drafts: Vec::new() }).unwrap();
        let all_there = checked(&ledger, Draft::new(body.clone()));
        assert_eq!(all_there.event, Event::from(body.clone()));
        // What tags stood for is told with it, and stops nothing.
        let containers = serde_json::json!([{"name": "main", "image": "shop:v1"}]);
        let pod = serde_json::json!({"spec": {"containers": containers}});
        let tagged = Blob::plain(canonical_json(&pod), None);
        let mut with_pod = body.clone();
        with_pod.desired.objects.push(object("Pod/prod/p", 1));
        with_pod.desired.objects[1].manifest = tagged.addr;
        ledger.append_blocking(Batch { blobs: vec![tagged], drafts: Vec::new() }).unwrap();
        let told = checked(&ledger, Draft::new(with_pod));
        let Event::AppHeld(told) = told.event else { panic!("{told:?}") };
        let images: Vec<_> =
            told.images.iter().map(|held| (&*held.image, held.was.len())).collect();
        assert_eq!(images, [("shop:v1", 0)], "unknown");
        body.desired.objects.push(object("ConfigMap/prod/b", 1));
        body.desired.objects[1].manifest = BlobAddr([7; 32]);
        let refused = checked(&ledger, Draft::new(body).caused_by(given.seq()));
        assert_eq!(refused.causes, [given.seq()]);
        let Event::AutoRollbackRefused(refused) = refused.event else { panic!("{refused:?}") };
        assert_eq!(refused.reasons.len(), 1);
        assert!(refused.reasons[0].starts_with("ConfigMap/prod/b cannot be restored"));
        ledger.shutdown();
    }
}
