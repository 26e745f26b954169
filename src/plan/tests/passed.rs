//! What a person holds of an object that passes from one application to another.

use serde_json::{Value, json};

use super::super::Status;
use super::protected::tree;
use crate::command::{Command, Decision, decide, keeper};
use crate::ledger::event::{
    BackTo, DesiredObject, DriftDetectedV1, DriftKind, Event, FieldChange, HeldFields, HeldObject,
    HoldBegunV1, HoldEnd, HoldEndedV1, HoldOf, Origin,
};
use crate::model::{BlobAddr, Digest, Seq};
use crate::replay::App;
use crate::replay::testing::{
    Given, application, auto, cascading, child, key, name, object, objects, said, writes,
};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";
const E: &str = "ConfigMap/prod/e";
const WEB: &str = "Application.argoproj.io/web";

fn app<'g>(given: &'g Given, app: &str) -> &'g App {
    &given.world.apps[&name(app)]
}

fn fields() -> HoldOf {
    let field = FieldChange { path: ".data.k".into(), was: "1".into(), now: "9".into() };
    HoldOf::Fields(HeldFields {
        key: key(A),
        saved: BlobAddr([9; 32]),
        of_manifest: false,
        places: vec![vec!["f:data".into(), "f:k".into()]],
        fields: vec![field],
    })
}

fn whole(content: u64) -> HoldOf {
    HoldOf::Object(Box::new(HeldObject { object: object(A, content), seen: false }))
}

fn holds(given: &mut Given, app: &str, from: u64, of: HoldOf) -> Seq {
    let (app, reason) = (name(app), "incident".to_owned());
    let from = BackTo::Drift(Seq(from));
    given.event(HoldBegunV1 { app, of: vec![of], from, until: None, reason });
    given.seq()
}

/// Who has the holds, and which.
fn held(given: &Given) -> Vec<(String, Seq)> {
    let apps = given.world.apps.iter();
    let held = apps.flat_map(|(name, app)| app.holds.iter().map(|h| (name.to_string(), h.seq)));
    held.collect()
}

fn adrift(given: &Given) -> Vec<Seq> {
    given.world.adrift.iter().map(|adrift| adrift.hold.seq).collect()
}

/// Which application writes A now, if any does, and with which holds.
fn writing(given: &Given) -> Vec<(String, Vec<Seq>)> {
    let apps = given.world.apps.keys();
    let all = apps.flat_map(|app| {
        let writes = given.plan(app.as_str()).writes.into_iter();
        writes.map(|write| (app.to_string(), write))
    });
    all.filter(|(_, w)| w.key == key(A)).map(|(app, write)| (app, write.holds)).collect()
}

/// A person releases it, by whatever names it.
fn releases(given: &mut Given, subject: &str) {
    let command = Command::Release { subject: subject.into(), namespace: None };
    match decide(&given.world, given.now(), &command).unwrap() {
        Decision::Record(event) => drop(given.event(*event)),
        other => panic!("{other:?}"),
    }
}

/// A moves from `web` to `api` with the next commit.
fn moves(given: &mut Given, first: &str, number: u64, a: &DesiredObject) {
    given.push(number);
    given.advances("root");
    let api = vec![a.clone(), object(E, 1)];
    let mut renders = [("web", objects(&[B])), ("api", api)];
    renders.sort_by_key(|(app, _)| *app != first);
    for (app, objects) in renders {
        given.renders(app, objects);
        let with = writing(given).into_iter().filter(|(_, holds)| holds.is_empty());
        assert_eq!(with.count(), 0, "nothing is written over what is held: {first} is first");
    }
}

/// A push renames `web` to `shop`, which has A as that is there.
fn renames(given: &mut Given, number: u64, manifest: fn(&str, Value) -> Value, a: u64) {
    given.push(number);
    let children = ["api", "shop"].map(|app| child(&manifest(app, auto())));
    given.renders("root", children.to_vec());
    given.follows("root");
    given.advances("api");
    given.advances("web");
    given.renders("shop", vec![object(A, a), object(B, 1)]);
}

/// Everybody does what is to be done, and nobody writes A without this hold.
fn settles(given: &mut Given, hold: Option<Seq>) {
    for _ in 0..20 {
        let before = given.seq();
        for app in given.world.apps.keys().cloned().collect::<Vec<_>>() {
            for (app, holds) in writing(given) {
                assert_eq!(holds.first().copied(), hold, "{app}");
            }
            if given.world.apps.contains_key(&app) {
                given.follows(app.as_str());
            }
        }
        if given.seq() == before {
            return;
        }
    }
    panic!("it never comes to rest");
}

/// Goal: a field that a person keeps stays so under every name that its object has in Git, and goes
/// back to Git by the person's word alone.
#[test]
fn what_is_kept_of_a_field_goes_on_with_its_object() {
    for first in ["web", "api"] {
        let mut given = tree(application);
        let seq = holds(&mut given, "web", 1, fields());
        given.syncs("web");
        moves(&mut given, first, 2, &object(A, 2));
        assert_eq!((held(&given), adrift(&given)), (vec![("api".into(), seq)], Vec::new()));
        assert_eq!(writing(&given), [("api".to_owned(), vec![seq])], "{first}");
        given.syncs("web");
        given.syncs("api");
        let plan = given.plan("api");
        assert_eq!((said(&plan, A).status, writes(&plan).len()), (Status::OnHold, 0));
        // And back again.
        let mut back = given.clone();
        back.push(3);
        back.advances("root");
        back.renders("api", objects(&[E]));
        assert_eq!(adrift(&back), [seq]);
        back.renders("web", vec![object(A, 3), object(B, 1)]);
        assert_eq!(writing(&back), [("web".to_owned(), vec![seq])]);

        releases(&mut given, if first == "web" { A } else { "api" });
        assert_eq!((held(&given), writing(&given)), (Vec::new(), vec![("api".into(), Vec::new())]));
    }
}

#[test]
fn what_is_kept_deleted_stays_away_under_another_name() {
    for first in ["web", "api"] {
        let mut given = tree(application);
        given.loses(A);
        let seq = holds(&mut given, "web", 1, HoldOf::Absence(key(A)));
        moves(&mut given, first, 2, &object(A, 1));
        assert_eq!((held(&given), writing(&given)), (vec![("api".into(), seq)], Vec::new()));
        settles(&mut given, Some(seq));
        let plan = given.plan("api");
        assert_eq!(said(&plan, A).status, Status::OnHold, "{first}: {plan:#?}");
        releases(&mut given, &seq.to_string());
        assert_eq!(given.writes("api"), [format!("create {A}")]);
    }
}

/// Goal: a rename takes no hold of any kind away, with a finalizer or without.
#[test]
fn a_rename_goes_on_with_what_people_hold() {
    let away = || HoldOf::Absence(key(A));
    for manifest in [application as fn(&str, Value) -> Value, cascading] {
        for of in [fields(), whole(7), away()] {
            let mut given = tree(manifest);
            if of == away() {
                given.loses(A);
            }
            let seq = holds(&mut given, "web", 1, of.clone());
            given.syncs("web");
            renames(&mut given, 2, manifest, 2);
            settles(&mut given, Some(seq));
            assert!(!given.world.apps.contains_key(&name("web")), "{of:?}");
            assert_eq!((held(&given), adrift(&given)), (vec![("shop".into(), seq)], Vec::new()));
            let plan = given.plan("shop");
            assert_eq!((said(&plan, A).status, writes(&plan).len()), (Status::OnHold, 0), "{of:?}");
            if of == whole(7) {
                let owned = &given.world.owned[&key(A)];
                assert_eq!((&owned.app, owned.applied), (&name("shop"), object(A, 7).digest));
                let git = app(&given, "shop").unheld().unwrap().objects[&key(A)].digest;
                assert_eq!(git, object(A, 2).digest, "what Git says waits in the hold");
            }
            releases(&mut given, A);
            settles(&mut given, None);
            let owned = &given.world.owned[&key(A)];
            assert_eq!((&owned.app, owned.applied), (&name("shop"), object(A, 2).digest), "{of:?}");
        }
    }
}

/// Goal: what a person brought back, and nobody else has in Git, is not removed by a rename.
#[test]
fn what_is_held_as_it_was_and_is_of_no_other_application_keeps_its_own() {
    for manifest in [application as fn(&str, Value) -> Value, cascading] {
        let mut given = tree(manifest);
        given.limits.app_percent_max = 100;
        given.push(2);
        given.advances("root");
        given.advances("api");
        given.renders("web", objects(&[B]));
        given.syncs("web");
        let seq = holds(&mut given, "web", 1, whole(1));
        given.syncs("web");
        given.push(3);
        given.advances("api");
        given.advances("web");
        given.renders("root", vec![child(&manifest("api", auto()))]);
        settles(&mut given, Some(seq));
        let plan = given.plan("root");
        let why = format!("waits for the release of hold #{seq}, which keeps {A}");
        assert_eq!((plan.remove.len(), &said(&plan, WEB).why), (0, &why));
        releases(&mut given, &seq.to_string());
        settles(&mut given, None);
        assert!(!given.world.apps.contains_key(&name("web")));
    }
}

/// Goal: a hold ends with its object, told by an event, and not before it is known that nobody has it.
#[test]
fn the_hold_of_what_left_git_for_good_ends_with_an_event() {
    let over = |given: &Given| given.world.left_for_good().map(|a| a.hold.seq).collect::<Vec<_>>();
    let mut given = tree(application);
    let seq = holds(&mut given, "web", 1, fields());
    given.syncs("web");
    given.push(2);
    given.advances("root");
    given.renders("web", objects(&[B]));
    assert_eq!((adrift(&given), over(&given)), (vec![seq], Vec::new()), "api may have it");
    let mut fails = given.clone();
    fails.fails_to_render("api");
    assert_eq!((over(&fails), fails.writes("web").len()), (Vec::new(), 0));
    let mut comes = given.clone();
    given.advances("api");
    assert_eq!(over(&given), [seq]);
    let adrift = given.world.adrift[0].clone();
    let ended = HoldEndedV1::of(adrift.app, [&adrift.hold], HoldEnd::NewerInGit);
    given.event(ended.clone());
    assert_eq!((given.world.adrift.len(), held(&given).len()), (0, 0));
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
    // Somebody had it in Git when that was recorded.
    comes.renders("api", vec![object(A, 2), object(E, 1)]);
    comes.event(ended);
    assert_eq!(held(&comes), [("api".into(), seq)]);
    // And a person may end it whoever has it.
    let mut released = tree(application);
    let seq = holds(&mut released, "web", 1, fields());
    released.syncs("web");
    released.removes("web", false, Origin::Operator);
    assert_eq!(released.world.adrift[0].hold.seq, seq);
    assert_eq!(over(&released), [], "nothing says what dropped it, and the root still has web");
    releases(&mut released, &format!("#{seq}"));
    assert_eq!(released.world.adrift, []);
}

/// Goal: whoever said what last of an object is obeyed, wherever that was said.
#[test]
fn what_both_hold_is_as_was_said_last() {
    let mut given = tree(application);
    given.push(2);
    given.advances("root");
    given.renders("api", vec![object(A, 2), object(E, 1)]);
    let earlier = holds(&mut given, "api", 1, fields());
    let later = holds(&mut given, "web", 2, fields());
    given.renders("web", objects(&[B]));
    assert_eq!(held(&given), [("api".into(), earlier), ("api".into(), later)]);
    let absence = holds(&mut given, "api", 3, HoldOf::Absence(key(A)));
    assert_eq!(held(&given), [("api".into(), absence)]);
    // A hold that was begun when the object had just passed goes where it is.
    let late = holds(&mut given, "web", 4, fields());
    assert_eq!(held(&given), [("api".into(), late)]);
    // And one that was decided to end ends.
    given.event(HoldEndedV1 {
        app: name("web"),
        objects: vec![key(A)],
        holds: vec![late],
        end: HoldEnd::Expired,
    });
    assert_eq!(held(&given), []);
}

#[test]
fn a_hold_that_passes_writes_nothing_for_an_application_that_is_synced_by_hand() {
    let mut given = tree(application);
    given.declares(&application("api", json!({})), Origin::Config);
    given.renders("api", objects(&[E]));
    let seq = holds(&mut given, "web", 1, whole(7));
    given.syncs("web");
    given.push(2);
    given.advances("root");
    given.renders("api", vec![object(A, 2), object(E, 1)]);
    given.renders("web", objects(&[B]));
    assert_eq!(held(&given), [("web".into(), seq)], "it has the object wanted as it was");
    given.removes("web", true, Origin::Operator);
    assert_eq!((held(&given), writing(&given)), (vec![("api".into(), seq)], Vec::new()));
    given.requests("api", false, &[]);
    assert_eq!(writing(&given), [("api".to_owned(), vec![seq])]);
}

/// Goal: who has the object now keeps what was found when another had it.
#[test]
fn a_drift_is_kept_by_whoever_has_the_object() {
    let mut given = tree(application);
    let drift = DriftDetectedV1 {
        app: name("web"),
        key: key(A),
        kind: DriftKind::Deleted,
        fields: Vec::new(),
        places: Vec::new(),
        managers: Vec::new(),
        observation: given.seq(),
        mask: Digest::default(),
        saved: None,
        later: None,
    };
    assert_eq!(keeper(&given.world, &drift), &name("web"));
    given.push(2);
    given.advances("root");
    given.renders("web", objects(&[B]));
    given.renders("api", vec![object(A, 2), object(E, 1)]);
    let keep = Command::Keep {
        event: Seq(9),
        drift: Some(Box::new(drift)),
        until: None,
        reason: String::new(),
    };
    match decide(&given.world, given.now(), &keep).unwrap() {
        Decision::Record(event) => {
            assert!(matches!(&*event, Event::HoldBegun(body) if body.app == name("api")));
        }
        other => panic!("{other:?}"),
    }
}

/// Goal: what a person brought back is not taken over by another that has it in Git and came first,
/// while nobody has applied it yet.
#[test]
fn what_is_held_as_it_was_is_of_whoever_holds_it() {
    let mut given = tree(application);
    let own = "ConfigMap/prod/own";
    given.sees(own);
    let HoldOf::Object(mut of) = whole(7) else { panic!("it is none") };
    of.object = object(own, 7);
    let seq = holds(&mut given, "web", 1, HoldOf::Object(of));
    given.push(2);
    given.advances("root");
    given.advances("web");
    given.renders("api", vec![object(E, 1), object(own, 2)]);
    assert!(given.declared("api") < given.declared("web"));
    let why = "application web has it too, and had it first";
    assert_eq!(said(&given.plan("api"), own).why, why);
    releases(&mut given, &seq.to_string());
    assert_ne!(said(&given.plan("api"), own).status, Status::Foreign);
}
