//! What a rollback took the place of.

use super::*;
use crate::ledger::event::{
    AppHeldV1, AppHoldEndedV1, AutoRollback, HeldRender, HoldEnd, RollbackCause,
};

fn held(story: &Story, reason: &str, automatic: bool) -> AppHeldV1 {
    let desired = story.world.apps[&name("web")].desired.as_ref().unwrap();
    let automatic = automatic.then(|| AutoRollback {
        why: RollbackCause::Degraded,
        render: desired.seq,
        commit: desired.revision.commit.clone(),
        asked: crate::model::Digest::default(),
        health: None,
        message: String::new(),
        after_ms: 1,
    });
    AppHeldV1 {
        app: name("web"),
        to: Seq(9),
        at: crate::model::Timestamp(9),
        said: "@-".into(),
        desired: HeldRender::from(desired),
        left: vec![],
        until: None,
        reason: reason.into(),
        tree: None,
        automatic: automatic.map(Box::new),
        approves: None,
        images: vec![],
    }
}

/// Goal: an undo of a rollback goes back to the hold that was in force, and not to one that had ended,
/// or that a rule began beside one.
#[test]
fn a_rollback_is_known_with_the_hold_that_it_took_the_place_of() {
    let mut story = Story::told();
    let before = |story: &Story, hold: Seq| {
        let app = &story.world.apps[&name("web")];
        assert_eq!(app.hold.as_ref().map(|held| held.seq), Some(hold));
        let found = replaced(&story.ledger, &name("web"), (app.lent.unwrap(), hold)).unwrap();
        found.map(|(seq, body)| (seq, body.reason))
    };
    let first = story.event(held(&story, "first", false));
    assert_eq!(before(&story, first), None);
    let rule = story.event(held(&story, "by rule", true));
    let second = story.event(held(&story, "second", false));
    assert!(rule < second);
    assert_eq!(before(&story, second), Some((first, "first".to_owned())));
    let third = story.event(held(&story, "third", false));
    assert_eq!(before(&story, third), Some((second, "second".to_owned())));
    let (app, holds) = (name("web"), Vec::new());
    story.event(AppHoldEndedV1 { app, hold: third, end: HoldEnd::Released, holds });
    let again = story.event(held(&story, "again", false));
    let whole = replaced(&story.ledger, &name("web"), (first, again)).unwrap();
    assert_eq!((before(&story, again), whole.map(|(seq, _)| seq)), (None, None));
    // What a rule began, a person may take the place of.
    let mut story = Story::told();
    let rule = story.event(held(&story, "by rule", true));
    let own = story.event(held(&story, "own", false));
    assert_eq!(before(&story, own), Some((rule, "by rule".to_owned())));
}
