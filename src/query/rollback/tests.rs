//! What a rollback is shown to do.

use serde_json::{Value, json};

use super::*;
use crate::ledger::Blob;
use crate::ledger::event::AppHoldEndedV1;
use crate::ledger::event::{HoldEnd, HoldEndedV1};
use crate::query::fixture::{Story, canonical};
use crate::replay::testing::{Given, auto, hold, name, object};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";
const WEB: &str = "Deployment.apps/prod/web";
const JOB: &str = "ConfigMap/prod/job";
const WIDGET: &str = "Widget.example.org/prod/w";

/// A manifest that names one image by a tag, one by a digest.
fn manifest() -> Value {
    let containers = json!([{"image": "shop:v1"}, {"image": "proxy@sha256:00"}]);
    json!({"spec": {"template": {"spec": {"containers": containers}}}})
}

/// `web` is at commit 2, and was once what `then` says.
fn shown(then: Vec<DesiredObject>) -> Shown {
    let mut given = Given::app("web", auto());
    given.renders("web", then);
    let then = given.world.clone();
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    given.syncs("web");
    let event = given.rollback("web", &then).into();
    let Given { world, compared, limits, .. } = given;
    let pending = gather(world, &compared, &limits, &name("web"), &event).unwrap();
    let mut story = Story::empty();
    story.blob(&manifest());
    story.blob(&json!({}));
    let shown = pending.read(&story.ledger, |addr| story.ledger.has_blob(addr)).unwrap();
    story.ledger.shutdown();
    shown
}

/// An object whose manifest is in the ledger.
fn there(text: &str, manifest: &Value) -> DesiredObject {
    DesiredObject { manifest: Blob::plain(canonical(manifest), None).addr, ..object(text, 1) }
}

#[test]
fn everything_that_would_be_done_is_shown() {
    let hooked = DesiredObject {
        holds: vec![hold("hook PreSync", true, true, true)],
        ..there(JOB, &json!({}))
    };
    let shown = shown(vec![there(WEB, &manifest()), there(B, &json!({})), hooked]);
    let plan = shown.plan;
    assert_eq!((plan.missing.len(), shown.missing.len(), plan.objects), (0, 0, 3), "{plan:#?}");
    assert_eq!(plan.summary(), "create 2, prune 1");
    let steps: Vec<_> = plan.steps.iter().map(|step| (&*step.verb, &*step.object)).collect();
    assert_eq!(steps, [("prune", A), ("create", B), ("create", WEB)]);
    assert_eq!(plan.hooks, [format!("{JOB}: hook PreSync")]);
    assert!(plan.not_done.iter().any(|left| left.object == JOB), "{plan:#?}");
    let images: Vec<_> = plan.images.iter().map(|image| (&*image.object, &*image.image)).collect();
    assert_eq!(images, [(WEB, "shop:v1")]);
    assert!(plan.images[0].text().unwrap().contains("unknown what it was"), "{plan:#?}");
    assert_eq!(plan.waits, crate::replay::testing::commit(2).to_string());
}

/// Goal: what is not listed yet is neither "nothing to write" nor "not done": it is written as
/// soon as it is listed.
#[test]
fn what_is_not_seen_yet_is_not_known_and_not_nothing() {
    let mut given = Given::app("web", auto());
    given.renders("web", vec![object(A, 1)]);
    given.syncs("web");
    let then = given.world.clone();
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 2)]);
    given.syncs("web");
    given.starts(false);
    let event = given.rollback("web", &then).into();
    let plan_of = |given: &Given| {
        let (world, compared) = (given.world.clone(), &given.compared);
        gather(world, compared, &given.limits, &name("web"), &event).unwrap().plan
    };
    let plan = plan_of(&given);
    assert_eq!(plan.summary(), "2 objects not known yet", "{plan:#?}");
    let of = |left: &[NotDone]| left.iter().map(|left| left.object.clone()).collect::<Vec<_>>();
    assert_eq!((of(&plan.unseen), of(&plan.not_done)), (vec![A.into(), B.into()], vec![]));
    given.lists_everything();
    let plan = plan_of(&given);
    assert_eq!((plan.summary().as_str(), plan.unseen.len()), ("prune 1, update 1", 0));
}

#[test]
fn what_cannot_be_restored_is_listed_one_by_one() {
    let lost = object(B, 1);
    let addr = lost.manifest;
    let shown = shown(vec![there(A, &json!({})), lost, there(WIDGET, &json!({}))]);
    let missing = [
        format!("{B}: its manifest {addr} is not in the ledger"),
        format!("{WIDGET}: the cluster does not serve Widget.example.org"),
    ];
    assert_eq!(shown.plan.missing, missing);
    assert_eq!(shown.missing.iter().map(ToString::to_string).collect::<Vec<_>>(), [B, WIDGET]);
}

#[test]
fn what_a_release_does_is_what_git_asks_for_then() {
    let mut given = Given::synced(vec![object(A, 1)]);
    let then = given.world.clone();
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    given.syncs("web");
    let held = given.rolls_back("web", &then);
    given.syncs("web");
    let (app, end, holds) = (name("web"), HoldEnd::Released, Vec::new());
    let event = AppHoldEndedV1 { app, hold: held, end, holds }.into();
    let Given { world, compared, limits, .. } = given;
    let pending = gather(world, &compared, &limits, &name("web"), &event).unwrap();
    let story = Story::empty();
    let plan = pending.read(&story.ledger, |_| false).unwrap().plan;
    story.ledger.shutdown();
    assert_eq!((plan.summary(), plan.to, plan.missing.len()), ("create 1, update 1".into(), 0, 0));
}

fn gathered(given: &Given, event: &Event) -> HoldPlan {
    let Given { world, compared, limits, .. } = given.clone();
    gather(world, &compared, &limits, &name("web"), event).unwrap().plan
}

/// Goal: a plan that is made while writes are under way counts them and says what follows from
/// each: what is made in that moment and was not there then is pruned, although nothing has it yet.
#[test]
fn writes_that_are_under_way_are_told_with_what_follows() {
    let mut given = Given::synced(vec![object(A, 1), object(B, 1)]);
    let then = given.world.clone();
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1), object(JOB, 1)]);
    let intent = given.intends("web");
    let event = given.rollback("web", &then).into();
    let plan = gathered(&given, &event);
    assert!(plan.steps.is_empty(), "{plan:#?}");
    assert_eq!(plan.summary(), "2 writes under way already");
    let told: Vec<_> = plan.under_way.iter().map(UnderWay::text).collect();
    let update = format!("update {A} (#{intent}): it is written again afterwards");
    let create = format!(
        "create {JOB} (#{intent}): it is not wanted then, and is pruned afterwards if greffier \
         made it"
    );
    assert_eq!(told, [update, create]);
    // And that is what follows.
    given.event(event);
    given.carries_out(intent);
    given.syncs("web");
    assert!(!given.world.owned.contains_key(&JOB.parse().unwrap()));
}

/// Goal: what is pruned in that moment and was there then is made again.
#[test]
fn a_prune_that_is_under_way_is_told_to_be_made_good() {
    let mut given = Given::synced(vec![object(A, 1), object(B, 1)]);
    let then = given.world.clone();
    given.push(2);
    given.renders("web", vec![object(A, 1)]);
    let intent = given.intends("web");
    let plan = gathered(&given, &given.rollback("web", &then).into());
    assert_eq!(plan.summary(), "1 write under way already");
    let told = format!("prune {B} (#{intent}): it is made again afterwards");
    assert_eq!(plan.under_way[0].text(), told);
}

/// Goal: a hold that takes the place of another never drops its end in silence.
#[test]
fn what_a_hold_takes_the_place_of_is_said_with_its_end() {
    let mut given = Given::synced(vec![object(A, 1)]);
    let then = given.world.clone();
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    given.syncs("web");
    let body = given.rollback("web", &then);
    let ends = [1_000, 2_000].map(|ms| Some(given.now().plus_ms(ms)));
    let told = |former, until| {
        let mut given = given.clone();
        given.event(AppHeldV1 { until: former, ..body.clone() });
        let plan = gathered(&given, &AppHeldV1 { until, ..body.clone() }.into());
        let [note] = plan.notes.as_slice() else { panic!("{plan:#?}") };
        assert!(note.contains(&format!("the place of hold #{}", given.seq())), "{note}");
        note.clone()
    };
    let [first, second] = ends;
    let text = |at: Option<Timestamp>| at.unwrap().to_string();
    let lost = told(first, None);
    assert!(lost.contains(&text(first)) && lost.contains("until it is released"), "{lost}");
    let moved = told(first, second);
    assert!(moved.contains(&text(first)) && moved.contains(&text(second)), "{moved}");
    let bounded = told(None, first);
    assert!(bounded.contains("no end") && bounded.contains(&text(first)), "{bounded}");
    assert!(!told(first, first).contains("end"));
}

/// Goal: what is shown names no number of a hold that nobody has begun, and nothing that is not
/// done for another reason.
#[test]
fn a_hold_that_is_not_begun_has_no_number_and_only_its_own_is_told() {
    let mut given = Given::synced(vec![object(A, 1), object(B, 1)]);
    given.event(HoldBegunV1 {
        app: name("web"),
        of: vec![HoldOf::Absence(B.parse().unwrap())],
        from: crate::ledger::event::BackTo::Instant(Seq(1)),
        until: None,
        reason: String::new(),
    });
    given.syncs("web");
    let event = HoldBegunV1 {
        app: name("web"),
        of: vec![HoldOf::Absence(A.parse().unwrap())],
        from: crate::ledger::event::BackTo::Instant(Seq(1)),
        until: None,
        reason: String::new(),
    };
    let plan = gathered(&given, &event.into());
    let texts = format!("{:?} {:?}", plan.steps, plan.not_done);
    assert!(texts.contains("this hold") && !texts.contains("hold #"), "{texts}");
    assert!(plan.not_done.iter().all(|left| left.object == A), "{texts}");
}

/// Goal: whoever releases an application is told of every hold of its objects that ends with it.
#[test]
fn a_release_names_the_holds_of_objects_that_end_with_it() {
    let mut given = Given::synced(vec![object(A, 1), object(B, 1)]);
    let then = given.world.clone();
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 2)]);
    given.syncs("web");
    let (saved, key) = (object(A, 1).manifest, A.parse().unwrap());
    let change = crate::ledger::event::FieldChange {
        path: ".data.k".into(),
        was: "\"1\"".into(),
        now: "\"value\"".into(),
    };
    let fields = HoldOf::Fields(crate::ledger::event::HeldFields {
        key,
        saved,
        of_manifest: true,
        places: vec![vec!["f:data".into(), "f:k".into()]],
        fields: vec![change],
    });
    let until = given.now().plus_ms(60_000);
    let holds: Vec<Seq> = [(fields, Some(until)), (HoldOf::Absence(B.parse().unwrap()), None)]
        .into_iter()
        .map(|(of, until)| {
            let (from, reason) = (crate::ledger::event::BackTo::Instant(Seq(1)), "sale".to_owned());
            given.event(HoldBegunV1 { app: name("web"), of: vec![of], from, until, reason });
            given.seq()
        })
        .collect();
    let hold = given.rolls_back("web", &then);
    let (app, end) = (name("web"), HoldEnd::Released);
    let event = AppHoldEndedV1 { app: app.clone(), hold, end, holds: holds.clone() }.into();
    let text = |ends: &HoldEnds| ends.text();
    let told = [
        format!("hold #{} of {A} (.data.k, until {}): sale", holds[0], until),
        format!("hold #{} of {B} (kept away): sale", holds[1]),
    ];
    let plan = gathered(&given, &event);
    assert_eq!(plan.ends.iter().map(text).collect::<Vec<_>>(), told);
    assert!(!serde_json::to_string(&plan).unwrap().contains("value"), "{plan:?}");
    let Given { world, compared, limits, .. } = given.clone();
    let tree = gather_tree(world, &compared, &limits, &[event]);
    assert_eq!(tree[0].1.plan.ends, plan.ends, "a release of a tree says the same");
    let ended = HoldEndedV1::of(app, [], HoldEnd::Released);
    let (objects, holds) = (vec![A.parse().unwrap()], vec![holds[0]]);
    let plan = gathered(&given, &HoldEndedV1 { objects, holds, ..ended }.into());
    assert_eq!(plan.ends.iter().map(text).collect::<Vec<_>>(), told[..1]);
    let begins = given.rollback("web", &then).into();
    assert!(gathered(&given, &begins).ends.is_empty());
}

/// Goal: where the ledger may be an old copy, that is said before anybody goes on.
#[test]
fn an_old_copy_is_told_of() {
    let mut given = Given::synced(vec![object(A, 1)]);
    let then = given.world.clone();
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    given.syncs("web");
    let event = given.rollback("web", &then).into();
    assert!(gathered(&given, &event).notes.is_empty());
    given.world.own_writes.sign = Some(crate::replay::Sign {
        key: A.parse().unwrap(),
        at: given.now(),
        seq: given.seq(),
        started: given.world.started,
    });
    let notes = gathered(&given, &event).notes;
    assert!(notes[0].contains("may be an old copy") && notes[0].contains(A), "{notes:?}");
}
