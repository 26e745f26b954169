//! What an application got, and was there before.

use super::super::effects::{self, There};
use super::*;

/// Goal: what an application got by an event and was there before is not taken away: it goes back to
/// what the application had applied that had it, and what was nobody's is a conflict.
#[test]
fn what_was_there_before_is_not_taken_away() {
    let mut story = Story::told();
    let theirs = wanted(&mut story, json!({"k": "1"}));
    let ours = wanted(&mut story, json!({"k": "2"}));
    let effect = || Effect { key: key(MAP), before: None, after: Some(ours.clone()), found: None };
    pushed_by(&mut story, "shop", '1', &[&theirs]);
    let head = story.ledger.head();
    let there = |there: There| BTreeMap::from([(key(MAP), there)]);
    let found = |there: &BTreeMap<ObjectKey, There>| {
        effects::found(&story.ledger, vec![effect()], there, head).unwrap()
    };
    let (all, missing) = found(&there(There::Of(name("shop"), theirs.digest)));
    assert_eq!((all[0].before.as_ref(), missing.len()), (Some(&theirs), 0));
    let (all, missing) = found(&there(There::Of(name("shop"), Digest::of(b"other"))));
    assert_eq!((all.len(), missing.len()), (0, 1));
    let (nobodys, _) = found(&there(There::Nobodys("one".into())));
    for (uid, parts, conflicts) in [("one", 0, 1), ("another", 1, 0)] {
        let present = Present { uid: uid.into(), ..present(Some(&ours)) };
        let present = BTreeMap::from([(key(MAP), present)]);
        let judged =
            judge(&story.ledger, of(&name("web")), (Seq(1), head), &nobodys, &present).unwrap();
        assert_eq!((judged.parts.len(), judged.conflicts.len()), (parts, conflicts), "{judged:?}");
    }
    let (made, _) = found(&BTreeMap::new());
    assert_eq!(made, [effect()]);
    story.ledger.shutdown();
}
