//! Renders that nobody asked for wait: rewritten histories that drop what is applied, and other
//! versions of what renders.

use super::super::{Plan, Sync};
use crate::ledger::event::{
    BackTo, ClusterIdentifiedV1, DesiredObject, DriftKind, FieldChange, HeldFields,
    HistoryRewrittenV1, HoldBegunV1, HoldOf, Origin, ProgramsFoundV1, Verb,
};
use crate::model::{BlobAddr, Restraint, Seq};
use crate::replay::testing::{
    Given, REPO, application, auto, cascading, child, commit, key, map, maps, name, object,
    objects, writes,
};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

fn rewrite(old: u64, new: u64) -> HistoryRewrittenV1 {
    HistoryRewrittenV1 {
        repo: REPO.into(),
        name: "refs/heads/main".into(),
        old: commit(old),
        new: commit(new),
        dropped: vec![commit(old)],
        same_tree: false,
        follow: false,
    }
}

/// `web` is synced to commit 1; a force-push replaces it by commit 2, which says `objects`.
fn rewritten(objects: Vec<DesiredObject>) -> Given {
    let mut given = Given::synced(self::objects(&[A, B]));
    given.event(rewrite(1, 2));
    given.push(2);
    given.renders("web", objects);
    given
}

fn reasons(plan: &Plan) -> Vec<&str> {
    let gate = plan.gate.as_ref();
    gate.into_iter().flat_map(|gate| &gate.reasons).map(|reason| reason.what.as_str()).collect()
}

fn waits(plan: &Plan) -> Vec<String> {
    let writes = plan.gate.iter().flat_map(|gate| &gate.writes);
    writes.map(|write| format!("{} {}", write.verb.as_str(), write.key)).collect()
}

#[test]
fn a_rewrite_that_drops_what_is_applied_waits_and_the_former_render_stays_in_force() {
    let mut given = rewritten(vec![object(A, 2), object("ConfigMap/prod/c", 1)]);
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [""; 0]);
    assert_eq!((plan.sync, plan.removed), (Sync::OutOfSync, false));
    let what = "would change 2 objects (ConfigMap/prod/a, ConfigMap/prod/c) and remove \
        ConfigMap/prod/b: the history of main in /srv/infra.git was rewritten and dropped commit 0000000000, which \
        is applied";
    assert_eq!(reasons(&plan), [what]);
    assert_eq!(
        waits(&plan),
        [format!("update {A}"), "create ConfigMap/prod/c".into(), format!("prune {B}")]
    );
    // It is no reason to render again, nor for others to wait.
    assert!(!given.world.render_pending(&given.world.apps[&name("web")]));
    assert_eq!(given.world.behind(), None);
    // What is in force is kept, and what it asked for is what it says.
    given.sees(B);
    given.finds("web", B, DriftKind::Drift);
    assert_eq!(given.writes("web"), [format!("heal {B}")]);
}

#[test]
fn an_approval_puts_it_in_force_with_everything_that_was_named() {
    let mut given = rewritten(Vec::new());
    assert_eq!(reasons(&given.plan("web")).len(), 2, "it would empty the application, too");
    given.approves("web");
    let plan = given.plan("web");
    assert_eq!((plan.gate, writes(&given.plan("web")).len()), (None, 2));
    given.syncs("web");
    assert!(given.finishes("web"));
    // The next commit has somebody behind it.
    given.push(3);
    given.renders("web", objects(&[A]));
    assert_eq!(given.plan("web").gate, None);
}

#[test]
fn what_was_applied_and_not_dropped_and_what_changes_nothing_follows_at_once() {
    // Another object of the same repository was dropped, or one that was never applied.
    let mut given = Given::synced(objects(&[A]));
    given.event(HistoryRewrittenV1 { dropped: vec![commit(7)], ..rewrite(1, 2) });
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    assert_eq!(given.writes("web"), [format!("update {A}")]);
    // The same tree, a source that says so, the same objects.
    type Change = fn(&mut HistoryRewrittenV1);
    let follows: [Change; 2] =
        [|rewrite| rewrite.same_tree = true, |rewrite| rewrite.follow = true];
    for change in follows {
        let mut given = Given::synced(objects(&[A]));
        let mut event = rewrite(1, 2);
        change(&mut event);
        given.event(event);
        given.push(2);
        given.renders("web", vec![object(A, 2)]);
        assert_eq!(given.writes("web"), [format!("update {A}")]);
    }
    let given = rewritten(objects(&[A, B]));
    assert_eq!((given.plan("web").gate, given.plan("web").sync), (None, Sync::Synced));
    // Nothing was ever applied.
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    given.event(rewrite(1, 2));
    given.push(2);
    given.renders("web", objects(&[B]));
    assert_eq!(given.writes("web"), [format!("create {B}")]);
}

#[test]
fn a_push_that_brings_the_dropped_commit_back_releases_it() {
    // The branch is put back.
    let mut given = rewritten(vec![object(A, 2)]);
    given.gates("web");
    given.push(1);
    let plan = given.plan("web");
    assert_eq!((plan.gate, plan.sync), (None, Sync::Synced));
    // And what follows it has nothing to do with the rewrite.
    given.push(3);
    given.renders("web", vec![object(A, 3), object(B, 1)]);
    assert_eq!(given.writes("web"), [format!("update {A}")]);
    // A later commit contains it.
    let mut given = rewritten(vec![object(A, 2)]);
    given.push(3);
    given.restores = vec![commit(1)];
    given.renders("web", vec![object(A, 3), object(B, 1)]);
    assert_eq!(given.writes("web"), [format!("update {A}")]);
    // A later one that does not waits as well, and is another question.
    let mut given = rewritten(vec![object(A, 2), object(B, 1)]);
    given.approves("web");
    let mut given = rewritten(vec![object(A, 2), object(B, 1)]);
    let first = given.gates("web").plan;
    given.push(3);
    given.renders("web", vec![object(A, 3), object(B, 1)]);
    assert_ne!(given.plan("web").gate.unwrap().hash, first);
    // The commit leaves the application as it was: nothing waits any more.
    given.push(4);
    given.advances("web");
    assert_eq!(given.plan("web").gate, None);
}

#[test]
fn another_rewrite_of_the_same_branch_still_waits() {
    let mut given = rewritten(vec![object(A, 2), object(B, 1)]);
    given.event(rewrite(2, 3));
    given.push(3);
    given.renders("web", vec![object(A, 3), object(B, 1)]);
    assert_eq!(waits(&given.plan("web")), [format!("update {A}")]);
}

#[test]
fn a_move_of_another_ref_does_not_forget_the_rewrite() {
    use crate::ledger::event::RefMovedV1;
    let mut given = Given::synced(objects(&[A]));
    given.event(rewrite(1, 2));
    let (repo, ref_name) = (REPO.to_owned(), "refs/heads/aaa".to_owned());
    given.event(RefMovedV1 { repo, name: ref_name, old: None, new: Some(commit(9)) });
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    assert_eq!(waits(&given.plan("web")), [format!("update {A}")]);
}

#[test]
fn an_approval_of_a_render_lapses_when_what_it_would_delete_changes() {
    let mut given = Given::synced(maps(6));
    given.event(rewrite(1, 2));
    given.push(2);
    given.renders("web", maps(1));
    let plan = given.gates("web").plan;
    // What it would only update may change: the render says what comes of it.
    given.sees(&map(0));
    assert_eq!(given.plan("web").gate.unwrap().hash, plan);
    given.sees(&map(5));
    assert_ne!(given.plan("web").gate.unwrap().hash, plan);
}

#[test]
fn scaling_to_zero_in_a_render_that_waits_is_approved_with_it() {
    let deployment = |n: usize, replicas: u32| DesiredObject {
        replicas: Some(replicas),
        ..object(&format!("Deployment.apps/prod/d{n}"), u64::from(replicas))
    };
    let mut given = Given::synced((0..4).map(|n| deployment(n, 2)).collect());
    given.event(rewrite(1, 2));
    given.push(2);
    given.renders("web", (0..4).map(|n| deployment(n, 0)).collect());
    assert_eq!(reasons(&given.plan("web")).len(), 2);
    given.approves("web");
    assert_eq!((given.plan("web").gate, given.writes("web").len()), (None, 4));
}

#[test]
fn children_that_a_rewrite_would_remove_are_named_and_go_with_the_approval() {
    let mut given = Given::app("root", auto());
    let children = ["a", "b"].map(|name| child(&cascading(name, auto())));
    given.renders("root", children.to_vec());
    given.syncs("root");
    for app in ["a", "b"] {
        given.renders(app, objects(&[&format!("ConfigMap/prod/{app}")]));
        given.syncs(app);
    }
    given.event(rewrite(1, 2));
    given.push(2);
    given.advances("a");
    given.advances("b");
    given.renders("root", vec![child(&cascading("a", auto()))]);
    let plan = given.plan("root");
    assert_eq!((plan.remove.len(), plan.gate.unwrap().apps), (0, vec![name("b")]));
    given.approves("root");
    assert_eq!(given.plan("root").remove, [(name("b"), true)]);
}

#[test]
fn what_a_render_that_waits_has_is_not_pruned_elsewhere() {
    let mut given = Given::synced(objects(&[A, B]));
    given.declares(&application("api", auto()), Origin::Config);
    given.renders("api", objects(&["Secret/prod/s"]));
    given.syncs("api");
    // The same push moves B from web to api; api waits, because its commit was dropped.
    given.event(rewrite(1, 2));
    given.push(2);
    given.world.apps.get_mut(&name("web")).unwrap().rewritten = None;
    given.renders("web", objects(&[A]));
    given.renders("api", objects(&["Secret/prod/s", B]));
    assert_eq!(given.writes("web"), [""; 0]);
    given.approves("api");
    assert_eq!(given.writes("web"), [""; 0]);
    assert_eq!(given.writes("api"), [format!("update {B}")]);
    assert!(
        given.world.apps[&name("web")].spec.restraints.iter().all(|r: &Restraint| !r.holds_all())
    );
}

// --- no commit behind it

const HELM: &str = "helm";

fn with(versions: &[(&str, &str)]) -> Vec<(String, String)> {
    versions.iter().map(|(what, version)| ((*what).to_owned(), (*version).to_owned())).collect()
}

/// `web` was made with helm 4.0.1 for Kubernetes 1.35.
fn charted() -> Given {
    let mut given = Given::app("web", auto());
    kubernetes(&mut given, "v1.35");
    given.made_with = with(&[(HELM, "v4.0.1"), ("kubernetes", "v1.35")]);
    given.renders("web", objects(&[A, B]));
    given.syncs("web");
    assert!(given.finishes("web"));
    given
}

fn kubernetes(given: &mut Given, version: &str) {
    let (uid, server) = ("u".to_owned(), "s".to_owned());
    given.event(ClusterIdentifiedV1 { uid, version: version.into(), server });
}

fn pending(given: &Given) -> bool {
    given.world.render_pending(&given.world.apps[&name("web")])
}

#[test]
fn another_version_of_a_program_or_of_kubernetes_is_a_reason_to_render_again() {
    let mut given = charted();
    assert!(!pending(&given));
    given.event(ProgramsFoundV1 { versions: with(&[(HELM, "v4.1.0")]) });
    assert!(pending(&given));
    let mut given = charted();
    kubernetes(&mut given, "v1.36");
    assert!(pending(&given));
    // What the render does not depend on is none.
    let mut given = charted();
    given.event(ProgramsFoundV1 { versions: with(&[("kustomize", "v6"), (HELM, "v4.0.1")]) });
    assert!(!pending(&given));
}

#[test]
fn an_upgrade_that_would_change_objects_waits_and_names_what_changed() {
    let mut given = charted();
    given.event(ProgramsFoundV1 { versions: with(&[(HELM, "v4.1.0")]) });
    given.made_with = with(&[(HELM, "v4.1.0"), ("kubernetes", "v1.35")]);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    let plan = given.plan("web");
    let what = "would change ConfigMap/prod/a with no commit behind it: helm v4.0.1 -> v4.1.0";
    assert_eq!((reasons(&plan), writes(&plan).len()), (vec![what], 0));
    assert!(!pending(&given), "it is not rendered again and again");
    given.approves("web");
    assert_eq!(given.writes("web"), [format!("update {A}")]);
}

#[test]
fn an_upgrade_that_changes_nothing_goes_through_silently() {
    let mut given = charted();
    kubernetes(&mut given, "v1.36");
    given.made_with = with(&[(HELM, "v4.0.1"), ("kubernetes", "v1.36")]);
    given.renders("web", objects(&[A, B]));
    let plan = given.plan("web");
    assert_eq!((plan.gate, plan.writes.len(), plan.sync), (None, 0, Sync::Synced));
    assert!(!pending(&given));
}

#[test]
fn a_commit_or_a_definition_behind_it_is_enough() {
    let mut given = charted();
    given.event(ProgramsFoundV1 { versions: with(&[(HELM, "v4.1.0")]) });
    given.made_with = with(&[(HELM, "v4.1.0"), ("kubernetes", "v1.35")]);
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    assert_eq!(given.writes("web"), [format!("update {A}")]);
    // Also when the upgrade was rendered before the commit came.
    let mut given = charted();
    given.made_with = with(&[(HELM, "v4.1.0"), ("kubernetes", "v1.35")]);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    assert!(given.plan("web").gate.is_some());
    given.push(2);
    given.renders("web", vec![object(A, 3), object(B, 1)]);
    let plan = given.plan("web");
    assert_eq!((plan.gate, plan.writes[0].verb), (None, Verb::Update));
}

#[test]
fn what_only_the_served_kinds_brought_is_no_upgrade() {
    let mut given = charted();
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    assert_eq!(given.writes("web"), [format!("update {A}")]);
}

#[test]
fn the_version_that_a_render_met_last_is_what_there_is() {
    // The program was replaced while the daemon ran: others are rendered again, this one is not.
    let mut given = charted();
    given.made_with = with(&[(HELM, "v4.1.0"), ("kubernetes", "v1.35")]);
    given.renders("web", objects(&[A, B]));
    assert!(!pending(&given));
    assert_eq!(given.world.programs[HELM], "v4.1.0");
}

#[test]
fn a_render_that_meets_another_version_has_every_application_looked_at() {
    let mut given = charted();
    given.made_with = with(&[(HELM, "v4.1.0"), ("kubernetes", "v1.35")]);
    assert!(given.renders("web", objects(&[A, B])).all);
    // Once is enough.
    assert!(!given.renders("web", vec![object(A, 2), object(B, 1)]).all);
    given.made_with = with(&[(HELM, "v4.2.0"), ("kubernetes", "v1.35")]);
    assert!(given.advances("web").all);
}

#[test]
fn a_commit_that_changes_nothing_the_render_reads_is_not_behind_an_upgrade() {
    let mut given = charted();
    given.sources = given.world.apps[&name("web")].desired.as_ref().map(|d| d.sources);
    given.push(2);
    given.made_with = with(&[(HELM, "v4.1.0"), ("kubernetes", "v1.35")]);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    let plan = given.plan("web");
    let what = "would change ConfigMap/prod/a with no commit behind it: helm v4.0.1 -> v4.1.0";
    assert_eq!((reasons(&plan), writes(&plan).len()), (vec![what], 0));
}

#[test]
fn what_left_git_before_does_not_wait_with_a_render_that_waits() {
    // It was never pruned: the policy does not prune.
    let policy = serde_json::json!({ "automated": { "selfHeal": true } });
    let mut given = Given::app("web", policy);
    given.made_with = with(&[(HELM, "v4.0.1")]);
    given.renders("web", objects(&[A, B]));
    given.syncs("web");
    given.push(2);
    given.renders("web", objects(&[A]));
    assert!(given.finishes("web"));
    given.sources = given.world.apps[&name("web")].desired.as_ref().map(|d| d.sources);
    given.made_with = with(&[(HELM, "v4.1.0")]);
    given.renders("web", vec![object(A, 2)]);
    given.requests("web", true, &[]);
    let plan = given.plan("web");
    assert_eq!(crate::plan::check(&given.world, &plan), []);
    assert_eq!(writes(&plan), [format!("prune {B}")]);
    let waits: Vec<_> = plan.gate.iter().flat_map(|gate| &gate.writes).collect();
    assert_eq!(waits.len(), 1, "{waits:?}");
}

#[test]
fn a_commit_that_was_compared_with_the_former_render_is_rendered_again() {
    let mut given = charted();
    given.event(ProgramsFoundV1 { versions: with(&[(HELM, "v4.1.0")]) });
    given.made_with = with(&[(HELM, "v4.1.0"), ("kubernetes", "v1.35")]);
    // It stands for the render in force when it is compared…
    let revision = given.world.apps[&name("web")].desired.as_ref().unwrap().clone();
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    let mut other = given.world.apps[&name("web")].proposed.clone().unwrap();
    other.desired.inputs = crate::model::Digest::of(b"those of the proposal");
    given.world.apps.get_mut(&name("web")).unwrap().proposed = Some(other);
    given.approves("web");
    given.push(3);
    // …and is recorded when another is in force.
    given.event(crate::ledger::event::RevisionAdvancedV1 {
        app: name("web"),
        declared: given.declared("web"),
        revision: given.revision(),
        revisions: vec![given.revision()],
        inputs: revision.inputs,
        made_with: given.made_with.clone(),
    });
    assert!(pending(&given), "the commit would never be rendered");
}

#[test]
fn what_a_person_keeps_outlasts_a_render_that_waits_and_is_part_of_what_is_approved() {
    let mut given = rewritten(vec![object(A, 2), object(B, 1)]);
    let before = given.gates("web").plan;
    let field = FieldChange { path: ".data.k".into(), was: "1".into(), now: "9".into() };
    let of = vec![HoldOf::Fields(HeldFields {
        key: key(A),
        saved: BlobAddr([9; 32]),
        of_manifest: false,
        places: vec![vec!["f:data".into(), "f:k".into()]],
        fields: vec![field],
    })];
    let (app, reason) = (name("web"), String::new());
    given.event(HoldBegunV1 { app, of, from: BackTo::Drift(Seq(1)), until: None, reason });
    let seq = given.seq();
    // It is written at once, over the render that is in force.
    let plan = given.plan("web");
    let [write] = plan.writes.as_slice() else { panic!("{plan:#?}") };
    assert_eq!(
        (write.verb, &write.holds, write.digest),
        (Verb::Update, &vec![seq], object(A, 1).digest)
    );
    given.syncs("web");
    // The approval names it, and what it puts in force is written with it.
    let gate = given.plan("web").gate.unwrap();
    assert_eq!(gate.writes[0].holds, [seq]);
    assert_ne!(gate.hash, before, "what was shown without it is not what is approved");
    given.approves("web");
    let [write] = given.plan("web").writes.try_into().unwrap();
    assert_eq!((write.holds, write.digest), (vec![seq], object(A, 2).digest));
    given.syncs("web");
    assert!(given.finishes("web"));
}

/// Goal: what a rewrite would take away is named before it was compared on a cluster that is accepted:
/// it was told as a change of applications that are none.
#[test]
fn what_a_rewrite_would_remove_on_an_accepted_cluster_is_named() {
    let mut given = rewritten(vec![object(A, 1)]);
    given.identified("one");
    let doubt = given.replaced("two");
    given.lists_everything();
    for there in ["Namespace/prod", A, B] {
        given.sees(there);
    }
    given.accepts(doubt);
    let plan = given.plan("web");
    assert!(
        reasons(&plan)[0].starts_with("would remove ConfigMap/prod/b: the history"),
        "{plan:#?}"
    );
}
