//! Objects of an application that is held at an earlier instant.

use super::*;
use crate::ledger::Draft;
use crate::ledger::event::{AppHeldV1, HeldRender};
use crate::model::{Actor, Seq};
use crate::query::fixture::Story;
use crate::replay::testing::cascading;

/// Goal: of an object of an application that is held `why` says by which hold, until when, and
/// what Git says of that very object, and never that Git is followed at once.
#[test]
fn an_object_of_a_held_application_is_as_the_hold_has_it() {
    const C: &str = "ConfigMap/prod/c";
    let mut given = Given::synced(vec![object(A, 1), object(B, 1)]);
    let then = given.world.clone();
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1), object(C, 1)]);
    given.syncs("web");
    let hold = given.rolls_back("web", &then);
    given.syncs("web");
    let commits = [1, 2].map(|number| commit(number).short().to_string());
    for (subject, says) in [
        (A, format!("Git says otherwise at {}, which waits", commits[1])),
        (B, format!("Git says the same of it at {}", commits[1])),
    ] {
        let why = asks(&given, subject);
        let held = why.reasons.iter().find(|reason| reason.code == "held_at").unwrap();
        assert_eq!(held.seq, Some(hold.0));
        let text = &held.text;
        assert!(text.starts_with("application web is held as at #"), "{text}");
        assert!(text.contains(&says) && text.contains(&commits[0]), "{text}");
        assert_eq!(why.objects[0].doing, "as_held", "{why:#?}");
        assert_eq!(why.git.as_ref().unwrap().commit, commit(2).to_string());
        let next = &why.next[0].what;
        assert!(next.contains("until it is released") && !next.contains("at once"), "{next}");
        assert!(why.reasons.iter().all(|reason| reason.code != "as_git_says"), "{why:#?}");
    }
    given.lets_go("web", hold);
    given.syncs("web");
    let why = asks(&given, A);
    assert_eq!((why.objects[0].doing.as_str(), why.reasons.len()), ("as_git_says", 1));
}

/// Goal: with the ledger it is told who holds it, and field by field what Git says instead; of a
/// Secret without its values.
#[test]
fn who_holds_it_and_what_git_says_instead_is_told() {
    let mut story = Story::told();
    let newest = story.world.apps[&name("web")].desired.clone().unwrap();
    let mut then = newest.clone();
    let other = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "web", "namespace": "prod"}, "data": {"a": "0"}});
    let bytes = crate::query::fixture::canonical(&other);
    story.blob(&other);
    let map = then.objects.get_mut(&key("ConfigMap/prod/web")).unwrap();
    map.manifest = crate::ledger::Blob::plain(bytes.clone(), None).addr;
    map.digest = Digest::of(&bytes);
    let secret = then.objects.get_mut(&key("Secret/prod/web")).unwrap();
    let old = serde_json::json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "web", "namespace": "prod"}, "data": {"password": "Y2FuYXJ5"}});
    let bytes = crate::query::fixture::canonical(&old);
    story.blob(&old);
    secret.manifest = crate::ledger::Blob::plain(bytes.clone(), None).addr;
    secret.digest = Digest::of(&bytes);
    let held = AppHeldV1 {
        app: name("web"),
        to: Seq(9),
        at: crate::model::Timestamp(9),
        said: "@-".into(),
        desired: HeldRender::from(&then),
        left: vec![],
        until: None,
        reason: "incident 7".into(),
        tree: None,
        automatic: None,
        approves: None,
        images: vec![],
    };
    story.add(Draft::new(held).by(Actor::os_user("alice")));
    let told = |of: &str| {
        let subject = Subject::parse(of, None).unwrap();
        let pending = gather(&story.world, &story.compared, &story.limits, &subject).unwrap();
        let why = pending.read(&story.ledger, &NoFiles).unwrap();
        why.reasons.into_iter().find(|reason| reason.code == "held_at").unwrap().text
    };
    let text = told("ConfigMap/prod/web");
    assert!(text.contains(".data.a") && text.contains('0') && text.contains('1'), "{text}");
    assert!(text.contains("incident 7") && text.contains("held by os-user:alice"), "{text}");
    let text = told("Secret/prod/web");
    assert!(text.contains(".data.password") && !text.contains("Y2FuYXJ5"), "{text}");
    assert!(!text.contains("dHdv"), "{text}");
}

/// Goal: that only the hold keeps an application which Git has dropped is said while it is held.
#[test]
fn a_held_application_that_git_dropped_says_what_its_release_does() {
    for (manifest, says) in [
        (cascading("along", auto()), "it goes with its objects"),
        (application("along", auto()), "it goes and its objects stay"),
    ] {
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&manifest)]);
        while given.follows("root") {}
        given.renders("along", vec![object(A, 1)]);
        given.syncs("along");
        let then = given.world.clone();
        given.rolls_back("along", &then);
        let held = |given: &Given| {
            let why = asks(given, "along");
            why.reasons.into_iter().find(|reason| reason.code == "held_at").unwrap().text
        };
        assert!(!held(&given).contains("does not define"), "{}", held(&given));
        given.push(2);
        given.renders("root", vec![object(B, 1)]);
        let dropped = "application root does not define it any more: once it is released";
        let text = held(&given);
        assert!(text.contains(dropped) && text.contains(says), "{text}");
    }
}

/// Goal: an application that nothing defines any more and that is there still is not said to be as
/// Git says: it says since what commit, and where to see what its removal waits for.
#[test]
fn an_application_that_git_dropped_says_so_while_its_removal_waits() {
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&cascading("web", auto()))]);
    while given.follows("root") {}
    given.renders("web", objects(&[A]));
    given.syncs("web");
    given.push(2);
    given.renders("root", Vec::new());
    let why = asks(&given, "web");
    let dropped = why.reasons.iter().find(|reason| reason.code == "dropped").unwrap();
    let since = format!(
        "application root does not define it any more since {}: it goes with its objects",
        commit(2).short()
    );
    assert!(dropped.text.starts_with(&since), "{}", dropped.text);
    assert!(why.reasons.iter().all(|reason| reason.code != "as_git_says"), "{why:#?}");
    assert!(why.can_do.iter().any(|advice| advice.command == "greffier why root"), "{why:#?}");
}
