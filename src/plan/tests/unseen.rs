//! Objects of kinds that are not watched, or cannot be.

use crate::ledger::event::{KindListedV1, KindsServedV1, Origin, WatchGapV1};
use crate::model::GroupKind;
use crate::plan::{Status, Sync};
use crate::replay::testing::{
    Given, application, auto, cascading, key, name, object, objects, said, writes,
};

const LEASE: &str = "Lease.coordination.k8s.io/prod/lock";
const OTHER: &str = "Lease.coordination.k8s.io/prod/other";

fn lease() -> GroupKind {
    GroupKind::new("coordination.k8s.io", "Lease")
}

/// A cluster that serves Leases, which are not watched unasked.
fn excluded(watchable: bool) -> Given {
    let mut given = Given::cluster();
    given.serves(&[lease()]);
    let mut kinds: Vec<_> = given.world.cluster.kinds.values().cloned().collect();
    for served in kinds.iter_mut().filter(|served| served.kind == lease()) {
        (served.watched, served.watchable) = (false, watchable);
    }
    given.event(KindsServedV1 { kinds, broken_groups: Vec::new() });
    given.declares(&application("web", auto()), Origin::Config);
    given
}

fn looked_for(given: &mut Given, texts: &[&str]) {
    let named = texts.iter().map(|text| key(text)).collect();
    let resource_version = String::new();
    given.event(KindListedV1 { kind: lease(), objects: 0, resource_version, named });
}

#[test]
fn what_is_wanted_of_an_excluded_kind_is_named_and_known_once_it_was_looked_for() {
    let mut given = excluded(true);
    assert!(given.world.to_be_named().is_empty());
    given.renders("web", objects(&[LEASE, "ConfigMap/prod/a"]));
    assert_eq!(given.world.to_be_named(), [key(LEASE)].into());
    let plan = given.plan("web");
    assert_eq!((said(&plan, LEASE).status, plan.suspended.len()), (Status::Unknown, 0));
    looked_for(&mut given, &[OTHER]);
    assert_eq!(said(&given.plan("web"), LEASE).status, Status::Unknown, "another one was");
    looked_for(&mut given, &[LEASE, OTHER]);
    given.syncs("web");
    assert!(given.finishes("web"));
    // What left Git is looked after until it is gone.
    given.push(2);
    given.renders("web", objects(&["ConfigMap/prod/a"]));
    assert_eq!(given.world.to_be_named(), [key(LEASE)].into());
    assert_eq!(given.writes("web"), [format!("prune {LEASE}")]);
    given.syncs("web");
    assert!(given.world.to_be_named().is_empty());
}

#[test]
fn a_restart_and_another_cluster_look_again() {
    let mut given = excluded(true);
    given.renders("web", objects(&[LEASE]));
    looked_for(&mut given, &[LEASE]);
    given.syncs("web");
    given.starts(false);
    assert_eq!(said(&given.plan("web"), LEASE).status, Status::Unknown);
}

#[test]
fn what_cannot_be_watched_is_said_by_name_and_ends_the_sync() {
    for refused in [false, true] {
        let mut given = excluded(refused);
        if refused {
            let reason = "leases is forbidden".into();
            given.event(WatchGapV1 { kind: lease(), reason, refused });
        }
        let mut later = object("ConfigMap/prod/later", 1);
        later.wave = 1;
        given.renders("web", vec![object(LEASE, 1), object("ConfigMap/prod/a", 1), later]);
        given.requests("web", false, &[]);
        given.syncs("web");
        let plan = given.plan("web");
        let why = match refused {
            true => "Lease.coordination.k8s.io objects cannot be seen: leases is forbidden",
            false => "the API server lets nobody watch Lease.coordination.k8s.io objects",
        };
        assert_eq!(said(&plan, LEASE).why, why);
        assert_eq!(plan.suspended, [format!("{LEASE}: {why}")]);
        assert_eq!((writes(&plan).len(), plan.sync), (0, Sync::Unknown));
        assert!(!given.finishes("web"), "nobody waits for it for ever");
        // It is looked for again, and found out in the end.
        given.serves(&[lease()]);
        given.lists(lease());
        assert_eq!(given.writes("web"), [format!("create {LEASE}")]);
    }
}

#[test]
fn a_removal_waits_by_name_for_what_cannot_be_seen() {
    let mut given = excluded(true);
    given.declares(&cascading("web", auto()), Origin::Operator);
    given.renders("web", objects(&[LEASE]));
    looked_for(&mut given, &[LEASE]);
    given.syncs("web");
    given.removes("web", true, Origin::Operator);
    given.starts(false);
    given.event(WatchGapV1 { kind: lease(), reason: "forbidden".into(), refused: true });
    let plan = given.plan("web");
    assert!(!plan.removed && given.world.apps.contains_key(&name("web")));
    let why = "Lease.coordination.k8s.io objects cannot be seen: forbidden";
    assert_eq!(plan.suspended, [format!("prune {LEASE}: {why}")]);
    given.lists_everything();
    looked_for(&mut given, &[LEASE]);
    assert_eq!(given.writes("web"), [format!("prune {LEASE}")]);
}
