//! Deletions by hand: when they are over, and what is in the way of undoing them.

use super::super::since::{Gone, gone};
use super::*;

fn went(story: &mut Story, uid: &str) -> (Seq, ObjectGoneV1) {
    let body = ObjectGoneV1 { key: key(MAP), uid: uid.into(), learned: Learned::Watched };
    (story.event(body.clone()), body)
}

fn in_the_way(gone: &Gone) -> &str {
    let Gone::InTheWay(why) = gone else { panic!("{gone:?}") };
    why
}

/// Goal: of a deletion by hand that was healed nothing is left, and no commit that came since is
/// written over: neither one that changed the object nor one that dropped it.
#[test]
fn a_deletion_is_over_when_it_was_healed_and_what_git_said_since_is_in_the_way() {
    let mut story = Story::told();
    let one = wanted(&mut story, json!({"k": "1"}));
    let two = wanted(&mut story, json!({"k": "2"}));
    pushed(&mut story, 'c', &[&one]);
    let (_, live) = seen(&mut story, &map(json!({"k": "1"})));
    let (seq, body) = went(&mut story, "u");
    let recorded = story.ledger.get(seq).unwrap().unwrap();
    assert_eq!(what(&story.ledger, &recorded).unwrap(), What::Undelete(body.clone(), seq));
    let then = Then {
        wanted: Some((name("web"), one.clone())),
        seen: Some(live.clone()),
        ..Then::default()
    };
    let stands =
        |story: &Story, now: &Now| gone(&story.ledger, (seq, &body), &then, now, &[]).unwrap();
    assert_eq!(stands(&story, &of_web(Some(&one), None)), Gone::Lasts);
    assert_eq!(stands(&story, &of_web(Some(&one), Some(&live))), Gone::Over);
    // Healed, and deleted again.
    let (second, _) = went(&mut story, "v");
    let again = stands(&story, &of_web(Some(&one), None));
    assert!(in_the_way(&again).contains(&format!("went again, #{second}")), "{again:?}");

    let changed = pushed(&mut story, 'd', &[&two]);
    for seen in [None, Some(&live)] {
        let now = stands(&story, &of_web(Some(&two), seen));
        assert!(names(&[in_the_way(&now).to_owned()], changed, 'd'), "{now:?}");
    }
    let dropped = pushed(&mut story, 'e', &[]);
    let now = stands(&story, &of_web(None, None));
    assert!(names(&[in_the_way(&now).to_owned()], dropped, 'e'), "{now:?}");
    let back = pushed(&mut story, 'f', &[&one]);
    let now = stands(&story, &of_web(Some(&one), None));
    assert!(names(&[in_the_way(&now).to_owned()], back, 'f'), "{now:?}");
    // Another has it, or the application went.
    let other = Now { app: Some(name("shop")), ..of_web(Some(&one), Some(&live)) };
    assert!(in_the_way(&stands(&story, &other)).contains("shop has it now"));
    let (app, origin, declared) = (name("web"), Origin::Config, None);
    let removed = AppRemovedV1 { app, cascade: false, origin, declared, orphans: vec![] };
    let removed = story.event(removed);
    let now = Now { app: None, ..of_web(None, None) };
    let now = stands(&story, &now);
    assert!(in_the_way(&now).contains(&format!("was removed since, #{removed}")), "{now:?}");
    story.ledger.shutdown();
}

#[test]
fn a_deletion_of_what_nobody_has_lasts_until_it_is_made_anew_or_went_again() {
    let mut story = Story::told();
    let (_, first) = seen(&mut story, &map(json!({"k": "1"})));
    let (seq, body) = went(&mut story, "u");
    let then = Then { seen: Some(first.clone()), ..Then::default() };
    let stands = |story: &Story, seen: Option<Seen>| {
        let now = Now { seen, known: true, served: true, ..Now::default() };
        gone(&story.ledger, (seq, &body), &then, &now, &[]).unwrap()
    };
    let edit = edit::Edit { key: key(MAP), before: Some(first.clone()), after: None };
    let judged = |story: &Story| {
        let now = Now { seen: None, known: true, served: true, ..Now::default() };
        edit::judge(&story.ledger, seq, std::slice::from_ref(&edit), &[now]).unwrap()
    };
    assert_eq!(stands(&story, None), Gone::Lasts);
    assert_eq!(judged(&story).writes.len(), 1);
    assert_eq!(stands(&story, Some(first)), Gone::Over);
    let (made, _) = seen(&mut story, &map(json!({"k": "2"})));
    let other = Seen { digest: Digest::of(b"other"), ..edit.before.clone().unwrap() };
    let anew = stands(&story, Some(other));
    assert!(in_the_way(&anew).contains("made it anew"), "{anew:?}");
    assert!(in_the_way(&anew).contains(&format!("#{made}")), "{anew:?}");
    let (second, _) = went(&mut story, "v");
    let again = stands(&story, None);
    assert!(in_the_way(&again).contains(&format!("went again, #{second}")), "{again:?}");
    let again = judged(&story);
    assert!(again.writes.is_empty() && again.conflicts[0].contains("went again"), "{again:?}");
    // An application has it since.
    let one = wanted(&mut story, json!({"k": "1"}));
    let pushed = pushed(&mut story, 'c', &[&one]);
    let now = gone(&story.ledger, (seq, &body), &then, &of_web(Some(&one), None), &[]).unwrap();
    assert!(names(&[in_the_way(&now).to_owned()], pushed, 'c'), "{now:?}");
    story.ledger.shutdown();
}
