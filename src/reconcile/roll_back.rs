//! What a rollback by itself goes back to must be in the ledger: else it is not made, and why is
//! recorded.

use crate::ledger::event::{AutoRollbackRefusedV1, Event};
use crate::ledger::{Draft, Ledger};

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
        return draft;
    }
    let (app, from) = (body.app.clone(), (**from).clone());
    let refused = AutoRollbackRefusedV1 { app, from, reasons };
    Draft { event: refused.into(), ..draft }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{AutoRollback, RollbackCause};
    use crate::ledger::{Batch, Blob};
    use crate::model::{BlobAddr, Digest};
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
