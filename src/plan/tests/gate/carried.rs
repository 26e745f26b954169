//! What waits in an application waits on when that is renamed, or becomes part of another.

use super::*;
use crate::ledger::event::{Learned, ObjectGoneV1};

/// `root` has `a` and `c`, defined like this, with six objects each; commit 2 keeps the first `keeps`
/// of those of `a`.
fn dropping(manifest: impl Fn(&str) -> serde_json::Value, keeps: usize) -> Given {
    let mut given = Given::app("root", auto());
    given.renders("root", ["a", "c"].map(|name| child(&manifest(name))).to_vec());
    given.syncs("root");
    given.renders("a", maps(6));
    given.syncs("a");
    given.renders("c", (0..6).map(|n| object(&format!("ConfigMap/prod/c-{n}"), 1)).collect());
    given.syncs("c");
    given.push(2);
    given.advances("root");
    given.advances("c");
    given.renders("a", maps(keeps));
    given
}

/// Four of the six objects of `a` wait.
fn waiting() -> Given {
    dropping(|name| cascading(name, auto()), 2)
}

/// Commit 3 has `others` in the place of `a`, the first of which wants what `a` wants.
fn takes_the_place(given: &mut Given, others: &[&str]) {
    given.push(3);
    given.advances("a");
    given.advances("c");
    let all = others.iter().map(|other| child(&cascading(other, auto())));
    given.renders("root", all.collect());
    given.follows("root");
    given.renders(others[0], maps(2));
}

const WAITS: &str = "would remove application a, where it waits: would delete 4 of 6 objects of a \
                     (limit 50 %)";

#[test]
fn what_waits_for_a_person_is_not_done_by_another_name() {
    let mut given = waiting();
    given.gates("a");
    takes_the_place(&mut given, &["b", "c"]);
    let plan = given.plan("root");
    assert_eq!((reasons(&plan), plan.remove.len()), (vec![WAITS], 0));
    // Also where it waits no more for a moment, or never did.
    given.event(GateLapsedV1 {
        app: name("a"),
        plan: given.world.apps[&name("a")].gate.clone().unwrap().plan,
    });
    assert_eq!(reasons(&given.plan("root")), [WAITS]);

    // Whoever approves that says that they go.
    let mut approved = given.clone();
    approved.approves("root");
    assert_eq!(approved.plan("root").remove.len(), 1);

    // The root looks again when something of it goes by hand: two of them are no reason.
    given.gates("root");
    let mut gone = |text: &str| {
        let (key, learned) = (key(text), Learned::Watched);
        let uid = given.world.live[&key].uid.clone();
        given.event(ObjectGoneV1 { key, uid, learned })
    };
    let touched = [gone(&map(2)), gone(&map(3))];
    assert!(touched.iter().all(|touched| touched.all || touched.apps.contains(&name("root"))));
    let plan = given.plan("root");
    assert_eq!((plan.gate, plan.remove.len()), (None, 1));
}

#[test]
fn what_was_approved_goes_with_the_application() {
    let mut given = waiting();
    given.approves("a");
    takes_the_place(&mut given, &["b", "c"]);
    let going = &given.world.apps[&name("a")];
    assert!(going.removing && going.gate.is_none());
    assert_eq!(given.plan("root").gate, None);
}

#[test]
fn what_waits_for_a_person_is_not_done_by_becoming_part_of_another() {
    let mut given = waiting();
    given.push(3);
    given.advances("a");
    given.renders("root", vec![child(&cascading("c", auto()))]);
    let own = (0..6).map(|n| object(&format!("ConfigMap/prod/c-{n}"), 1));
    given.renders("c", own.chain(maps(2)).collect());
    let plan = given.plan("root");
    assert_eq!((reasons(&plan), plan.remove.len()), (vec![WAITS], 0));
}

#[test]
fn what_asks_for_a_confirmation_asks_on() {
    let mut given = Given::app("root", auto());
    let mut manifest = cascading("a", auto());
    manifest["spec"]["syncPolicy"]["syncOptions"] = json!(["Prune=confirm"]);
    given.renders("root", vec![child(&manifest), child(&cascading("c", auto()))]);
    given.syncs("root");
    given.renders("a", maps(6));
    given.syncs("a");
    given.renders("c", Vec::new());
    given.push(2);
    given.renders("a", maps(5));
    takes_the_place(&mut given, &["b", "c"]);
    given.renders("b", maps(5));
    let what = format!(
        "would remove application a, where it waits: would delete {}: the application's \
         syncOption Prune=confirm",
        map(5)
    );
    assert_eq!(reasons(&given.plan("root")), [what]);
}

#[test]
fn applications_below_one_that_goes_wait_as_well() {
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&cascading("middle", auto()))]);
    given.syncs("root");
    given.renders("middle", vec![child(&cascading("a", auto()))]);
    given.syncs("middle");
    given.renders("a", maps(6));
    given.syncs("a");
    given.push(2);
    given.advances("root");
    given.advances("middle");
    given.renders("a", maps(2));
    given.push(3);
    given.advances("a");
    given.advances("middle");
    given.renders("root", (0..9).map(|n| object(&format!("Secret/prod/{n}"), 1)).collect());
    let plan = given.plan("root");
    assert!(reasons(&plan).contains(&WAITS), "{:?}", reasons(&plan));
}

#[test]
fn what_does_not_go_with_the_application_is_not_asked_about() {
    // Two of six are no reason to wait, and of a name without a finalizer nothing goes.
    for (keeps, cascade) in [(4, true), (2, false)] {
        let manifest = |name: &str| match cascade {
            true => cascading(name, auto()),
            false => application(name, auto()),
        };
        let mut given = dropping(manifest, keeps);
        given.renders("root", vec![child(&manifest("c"))]);
        let plan = given.plan("root");
        assert_eq!((reasons(&plan), plan.remove.len()), (vec![], 1), "{keeps}, {cascade}");
    }
}

#[test]
fn applications_whose_removal_waits_wait_on() {
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&cascading("middle", auto()))]);
    given.syncs("root");
    let leaves = ["w", "x", "y", "z"];
    let children = |names: &[&str]| names.iter().map(|n| child(&cascading(n, auto()))).collect();
    given.renders("middle", children(&leaves));
    given.syncs("middle");
    for leaf in leaves {
        given.renders(leaf, (0..3).map(|n| object(&format!("Secret/prod/{leaf}{n}"), 1)).collect());
        given.syncs(leaf);
    }
    given.push(2);
    for app in ["root", "w", "x", "y", "z"] {
        given.advances(app);
    }
    given.renders("middle", children(&leaves[..1]));
    let waits = "would delete 12 of 16 objects of middle (limit 50 %)";
    assert_eq!(reasons(&given.plan("middle")), [waits]);
    given.push(3);
    for app in ["middle", "w", "x", "y", "z"] {
        given.advances(app);
    }
    let more = (0..99).map(|n| object(&format!("Secret/prod/{n}"), 1));
    given.renders("root", more.chain([child(&cascading("other", auto()))]).collect());
    given.follows("root");
    given.renders("other", children(&leaves[..1]));
    let what = format!("would remove application middle, where it waits: {waits}");
    assert!(reasons(&given.plan("root")).contains(&what.as_str()), "{:?}", given.plan("root").gate);
}

/// Goal: what stays on purpose although it left Git does not go by another name.
#[test]
fn what_stays_stays_until_somebody_says_that_it_goes() {
    let policies = [
        (json!({"automated": {"prune": false}}), "the automated policy does not include it"),
        (
            json!({"automated": {"prune": true}, "syncOptions": ["Prune=false"]}),
            "the application's syncOption Prune=false",
        ),
    ];
    for (policy, why) in policies {
        let mut given = Given::app("root", auto());
        let all = ["a", "c"].map(|name| child(&cascading(name, policy.clone())));
        given.renders("root", all.to_vec());
        given.syncs("root");
        given.renders("a", maps(3));
        given.syncs("a");
        given.renders("c", Vec::new());
        given.push(2);
        given.renders("a", maps(2));
        assert!(given.plan("a").gate.is_none() && given.writes("a").is_empty());
        takes_the_place(&mut given, &["b", "c"]);
        given.renders("c", Vec::new());
        let what = format!(
            "would remove application a, where it waits: would delete {}, which left Git and \
             stays: {why}",
            map(2)
        );
        assert_eq!(reasons(&given.plan("root")), [what]);
    }
}
