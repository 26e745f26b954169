//! What people say about removals is honoured on a real API server, as Argo CD honours it.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{kept, kept_with, live, namespace};

const OPTIONS: &str = "argocd.argoproj.io/sync-options";
const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";

/// A manifest with one annotation more.
fn annotated(manifest: &str, name: &str, value: &str) -> String {
    let annotation = format!("metadata:\n  annotations: {{{name:?}: {value:?}}}\n");
    manifest.replacen("metadata:\n", &annotation, 1)
}

/// An Application that takes its objects along when it goes.
fn cascading(manifest: &str, finalizer: &str) -> String {
    let finalizers = format!("metadata:\n  finalizers: [{finalizer}]\n");
    manifest.replacen("metadata:\n", &finalizers, 1)
}

fn uid(ns: &str, name: &str) -> String {
    live(ns, &format!("cm/{name}"), ".metadata.uid")
}

/// The state of an object of an application, once it is this.
fn wait_sync(greffier: &Greffier, app: &str, name: &str, sync: &str) -> Value {
    until(&format!("{name} of {app} is {sync}"), || {
        let list = greffier.json(&["get", "resources", "--app", app, "-o", "json"]);
        let of_name =
            |resource: &Value| resource["key"]["name"] == name || resource["name"] == name;
        let found = list.as_array().unwrap().iter().find(|r| of_name(r)).cloned();
        found.filter(|resource| resource["sync"] == sync)
    })
}

fn app_sync(greffier: &Greffier, app: &str) -> String {
    let apps = greffier.json(&["get", "apps", "-o", "json"]);
    let found = apps.as_array().unwrap().iter().find(|found| found["name"] == app);
    found.map_or_else(String::new, |found| found["sync"].as_str().unwrap().to_owned())
}

fn why(greffier: &Greffier, args: &[&str]) -> String {
    greffier.cli_ends(0, &[&["why"], args].concat()).0
}

/// Greffier with `root`, which defines what is in `apps/`.
fn with_root(name: &str, files: &[(&str, &str)]) -> (Greffier, String) {
    let greffier = Greffier::new();
    for (path, content) in files {
        greffier.repo.write(path, content);
    }
    let root = format!("{name}-root");
    greffier.repo.push("first");
    let manifest = application(&root, &greffier.repo.url(), "apps", &namespace(name), KEPT);
    (greffier.root(&manifest), root)
}

#[test]
fn prune_false_keeps_what_left_git_and_it_follows_git_when_it_is_back() {
    let guarded = |value: &str| annotated(&config_map("guarded", value), OPTIONS, "Prune=false");
    let (greffier, app, ns) = kept(
        "prunefalse",
        &[("web/guarded.yaml", &guarded("1")), ("web/b.yaml", &config_map("b", "1"))],
    );
    greffier.wait_synced(&app, &greffier.repo.head());
    let before = uid(&ns, "guarded");
    greffier.repo.remove("web/guarded.yaml");
    let commit = greffier.repo.push("remove what is kept");
    greffier.wait_synced(&app, &commit);
    wait_sync(&greffier, &app, "guarded", "Kept");
    assert_eq!(app_sync(&greffier, &app), "OutOfSync");
    let told = why(&greffier, &["ConfigMap/guarded", "-n", &ns]);
    assert!(told.contains("annotation sync-options Prune=false"), "{told}");
    assert!(told.contains(&format!("kubectl delete configmaps/guarded -n {ns}")), "{told}");
    let suspended = greffier.json(&["log", &app, "--kind", "plan.suspended", "-o", "json"]);
    assert!(!suspended.to_string().contains("guarded"), "{suspended}");
    greffier.repo.write("web/guarded.yaml", &guarded("2"));
    let commit = greffier.repo.push("back");
    greffier.wait_synced(&app, &commit);
    assert_eq!((live(&ns, "cm/guarded", ".data.key"), uid(&ns, "guarded")), ("2".into(), before));
    assert_eq!(app_sync(&greffier, &app), "Synced");
}

#[test]
fn the_annotation_of_the_live_object_counts_also_when_it_is_put_there_or_taken_off_by_hand() {
    let (greffier, app, ns) = kept(
        "byhand",
        &[("web/a.yaml", &config_map("a", "1")), ("web/b.yaml", &config_map("b", "1"))],
    );
    greffier.wait_synced(&app, &greffier.repo.head());
    let cluster = ControlPlane::shared();
    let annotate = |value: &str| {
        let annotation = format!("{OPTIONS}{value}");
        cluster.kubectl_ok("alice", &["annotate", "cm/a", "-n", &ns, &annotation]);
    };
    let before = greffier.seq();
    annotate("=Prune=false");
    greffier.wait_after(before, "the annotation", |event| {
        event["kind"] == "object.observed" && event["detail"]["key"]["name"] == "a"
    });
    greffier.repo.remove("web/a.yaml");
    let commit = greffier.repo.push("remove a");
    greffier.wait_synced(&app, &commit);
    wait_sync(&greffier, &app, "a", "Kept");
    annotate("-");
    until("a is gone", || uid(&ns, "a").is_empty().then_some(()));
}

#[test]
fn the_option_of_the_application_keeps_all_but_what_says_otherwise() {
    let policy = KEPT.replace("CreateNamespace=true\"", "CreateNamespace=true\", \"Prune=false\"");
    let goes = annotated(&config_map("goes", "1"), OPTIONS, "Prune=true");
    let extra = annotated(
        &config_map("extra", "1"),
        "argocd.argoproj.io/compare-options",
        "IgnoreExtraneous",
    );
    let (greffier, app, ns) = kept_with(
        "pruneoption",
        &policy,
        &[
            ("web/goes.yaml", &goes),
            ("web/extra.yaml", &extra),
            ("web/b.yaml", &config_map("b", "1")),
        ],
    );
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.remove("web/goes.yaml").remove("web/extra.yaml");
    let commit = greffier.repo.push("remove two");
    greffier.wait_synced(&app, &commit);
    until("the one that may go is gone", || uid(&ns, "goes").is_empty().then_some(()));
    let resource = wait_sync(&greffier, &app, "extra", "Kept");
    assert!(resource["why"].as_str().unwrap().contains("syncOption Prune=false"), "{resource}");
    // What is extraneous does not make the application differ.
    assert_eq!(app_sync(&greffier, &app), "Synced");
    greffier.cli_ends(0, &["diff", &app]);
}

#[test]
fn what_is_extraneous_goes_only_when_somebody_asks() {
    let extra = annotated(
        &config_map("extra", "1"),
        "argocd.argoproj.io/compare-options",
        "IgnoreExtraneous",
    );
    let files = [("web/extra.yaml", extra.as_str()), ("web/b.yaml", &config_map("b", "1"))];
    let (greffier, app, ns) = kept("extraneous", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.remove("web/extra.yaml");
    let commit = greffier.repo.push("remove");
    greffier.wait_synced(&app, &commit);
    assert_eq!(app_sync(&greffier, &app), "Synced");
    assert!(!uid(&ns, "extra").is_empty());
    greffier.cli_ends(0, &["sync", &app, "--prune"]);
    until("it is gone", || uid(&ns, "extra").is_empty().then_some(()));
}

#[test]
fn what_delete_false_and_helm_keep_stays_when_its_application_goes_and_can_be_adopted() {
    let (name, finalizer) = ("deletefalse", FINALIZER);
    let (greffier, root) = with_root(
        name,
        &[
            ("web/a.yaml", &annotated(&config_map("a", "1"), OPTIONS, "Delete=false")),
            ("web/b.yaml", &annotated(&config_map("b", "1"), "helm.sh/resource-policy", "keep")),
            ("web/c.yaml", &annotated(&config_map("c", "1"), OPTIONS, "Prune=false")),
            ("apps/none.yaml", "# nothing"),
        ],
    );
    let (ns, web) = (namespace(name), format!("{name}-web"));
    let manifest = cascading(&application(&web, &greffier.repo.url(), "web", &ns, KEPT), finalizer);
    greffier.repo.write("apps/web.yaml", &manifest);
    for n in 0..2 {
        let other =
            application(&format!("{name}-other{n}"), &greffier.repo.url(), "none", &ns, "{}");
        greffier.repo.write(&format!("apps/other{n}.yaml"), &other);
    }
    greffier.repo.write("none/.keep", "");
    let commit = greffier.repo.push("applications");
    greffier.start();
    greffier.wait_synced(&web, &commit);
    let (a, b) = (uid(&ns, "a"), uid(&ns, "b"));
    greffier.repo.remove("apps/web.yaml");
    let commit = greffier.repo.push("remove the application");
    let removed = greffier.wait("the end of the application", |event| {
        event["kind"] == "app.removed"
            && event["detail"]["app"] == web.as_str()
            && event["detail"]["cascade"] == false
    });
    until("what nothing keeps is gone", || uid(&ns, "c").is_empty().then_some(()));
    assert_eq!((uid(&ns, "a"), uid(&ns, "b")), (a.clone(), b.clone()));
    let orphans = removed["detail"]["orphans"].as_array().unwrap();
    let names: Vec<&str> = orphans.iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"], "{removed}");
    assert!(removed["summary"].as_str().unwrap().contains("LEFT and nobody's"), "{removed}");
    let of_object =
        greffier.json(&["log", &format!("ConfigMap/{ns}/a"), "--kind", "app", "-o", "json"]);
    assert!(of_object.to_string().contains("app.removed"), "found by the object: {of_object}");
    greffier.wait_synced(&root, &commit);
    // Another application renders them: it gets them as they are, without a question.
    let heir = format!("{name}-heir");
    let manifest = application(&heir, &greffier.repo.url(), "web", &ns, KEPT);
    greffier.repo.write("apps/heir.yaml", &manifest);
    let commit = greffier.repo.push("an heir");
    greffier.wait_synced(&heir, &commit);
    assert_eq!((uid(&ns, "a"), uid(&ns, "b")), (a, b));
    let mark = ".metadata.annotations.greffier\\.dev/application";
    assert_eq!(live(&ns, "cm/a", mark), heir);
    let gates = greffier.json(&["log", "--all", "--kind", "plan.gated", "-o", "json"]);
    assert!(!gates.to_string().contains(&heir), "{gates}");
}

#[test]
fn prune_confirm_waits_for_an_approval() {
    let asks = annotated(&config_map("a", "1"), OPTIONS, "Prune=confirm");
    let files = [("web/a.yaml", asks.as_str()), ("web/b.yaml", &config_map("b", "1"))];
    let (greffier, app, ns) = kept("confirm", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.remove("web/a.yaml");
    greffier.repo.push("remove a");
    let gated = greffier.wait_kind("plan.gated", &app);
    greffier.wait_kind("removal.awaited", &app);
    let reason = gated["detail"]["reasons"].to_string();
    assert!(reason.contains("annotation sync-options Prune=confirm"), "{gated}");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("Prune=confirm") && status.contains("greffier approve"), "{status}");
    let told = why(&greffier, &[&app]);
    assert!(told.contains("Prune=confirm") && told.contains("deletion-approved"), "{told}");
    assert!(!uid(&ns, "a").is_empty());
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    until("a is gone", || uid(&ns, "a").is_empty().then_some(()));
    assert!(!uid(&ns, "b").is_empty());
}

#[test]
fn prune_confirm_is_confirmed_by_a_later_annotation_on_the_application_and_no_earlier_one() {
    let name = "approved";
    let (ns, web) = (namespace(name), "approved-web");
    let asks = annotated(&config_map("a", "1"), OPTIONS, "Prune=confirm");
    let (greffier, _) = with_root(
        name,
        &[("web/a.yaml", &asks), ("web/b.yaml", &config_map("b", "1")), ("apps/x.yaml", "# none")],
    );
    let manifest = application(web, &greffier.repo.url(), "web", &ns, KEPT);
    let approved = |at: &str| annotated(&manifest, "argocd.argoproj.io/deletion-approved", at);
    greffier.repo.write("apps/web.yaml", &approved("2026-01-01T00:00:00Z"));
    let commit = greffier.repo.push("an old approval");
    greffier.start();
    greffier.wait_synced(web, &commit);
    greffier.repo.remove("web/a.yaml");
    greffier.repo.push("remove a");
    let awaited = greffier.wait_kind("removal.awaited", web);
    greffier.wait_kind("plan.gated", web);
    assert!(!uid(&ns, "a").is_empty());
    // The ledger says since when.
    let since = awaited["time"].as_str().or(awaited["recorded"].as_str()).unwrap();
    greffier.repo.write("apps/web.yaml", &approved(since));
    greffier.repo.push("approve");
    until("a is gone", || uid(&ns, "a").is_empty().then_some(()));
    greffier.wait_after(awaited["seq"].as_u64().unwrap(), "nothing is awaited", |event| {
        event["kind"] == "removal.awaited" && event["detail"]["objects"] == serde_json::json!([])
    });
}

#[test]
fn delete_confirm_holds_the_removal_of_an_application_until_it_is_approved() {
    let name = "deleteconfirm";
    let (ns, web) = (namespace(name), "deleteconfirm-web");
    let asks = annotated(&config_map("a", "1"), OPTIONS, "Delete=confirm");
    let (greffier, _) = with_root(
        name,
        &[("web/a.yaml", &asks), ("web/b.yaml", &config_map("b", "1")), ("apps/x.yaml", "# none")],
    );
    let manifest = application(web, &greffier.repo.url(), "web", &ns, KEPT);
    greffier.repo.write("apps/web.yaml", &cascading(&manifest, FINALIZER));
    for n in 0..5 {
        let other = application(&format!("{name}-o{n}"), &greffier.repo.url(), "none", &ns, "{}");
        greffier.repo.write(&format!("apps/o{n}.yaml"), &other);
    }
    greffier.repo.write("none/.keep", "");
    let commit = greffier.repo.push("applications");
    greffier.start();
    greffier.wait_synced(web, &commit);
    greffier.repo.remove("apps/web.yaml");
    greffier.repo.push("remove the application");
    let gated = greffier.wait_kind("plan.gated", web);
    assert!(gated["detail"]["reasons"].to_string().contains("Delete=confirm"), "{gated}");
    assert_eq!(gated["detail"]["writes"].as_array().unwrap().len(), 2, "everything waits");
    assert!(!uid(&ns, "a").is_empty() && !uid(&ns, "b").is_empty());
    greffier.cli_ends(0, &["approve", web, "--yes"]);
    until("both are gone", || (uid(&ns, "a") + &uid(&ns, "b")).is_empty().then_some(()));
    greffier.wait("the end of the application", |event| {
        event["kind"] == "app.removed"
            && event["detail"]["app"] == web
            && event["detail"]["cascade"] == false
    });
}

#[test]
fn a_skipped_application_is_left_alone_while_its_child_and_others_go_on() {
    let name = "skip";
    let (ns, parent, leaf) = (namespace(name), "skip-parent", "skip-leaf");
    let (greffier, _) = with_root(name, &[("web/a.yaml", &config_map("a", "1"))]);
    let url = greffier.repo.url();
    let manifest = application(parent, &url, "parent", &ns, KEPT);
    greffier.repo.write("apps/parent.yaml", &manifest);
    greffier.repo.write("parent/b.yaml", &config_map("b", "1"));
    greffier.repo.write("parent/leaf.yaml", &application(leaf, &url, "web", &ns, KEPT));
    let commit = greffier.repo.push("applications");
    greffier.start();
    greffier.wait_synced(leaf, &commit);
    greffier.wait_synced(parent, &commit);
    let skipped = annotated(&manifest, "argocd.argoproj.io/skip-reconcile", "true");
    greffier.repo.write("apps/parent.yaml", &skipped);
    greffier.repo.push("skip");
    until("it is skipped", || (app_sync(&greffier, parent) == "Skipped").then_some(()));
    // Git and the cluster move: neither is followed for it, both for its child.
    greffier.repo.write("parent/b.yaml", &config_map("b", "2"));
    greffier.repo.write("web/a.yaml", &config_map("a", "2"));
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok("alice", &["label", "cm/b", "-n", &ns, "greffier.dev/x=y"]);
    cluster.kubectl_ok("alice", &["delete", "cm/b", "-n", &ns]);
    let commit = greffier.repo.push("moves on");
    greffier.wait_synced(leaf, &commit);
    assert_eq!(live(&ns, "cm/a", ".data.key"), "2");
    assert_eq!(live(&ns, "cm/b", ".data.key"), "", "nobody puts it back");
    let told = why(&greffier, &[parent]);
    assert!(told.contains("skip-reconcile") && told.contains("Skipped"), "{told}");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("skip-reconcile"), "{status}");
    let renders = greffier.json(&["log", parent, "--all", "--kind", "render", "-o", "json"]);
    assert!(!renders.to_string().contains(&commit), "it is not rendered: {renders}");
    // Without the annotation it goes on where Git is.
    greffier.repo.write("apps/parent.yaml", &manifest);
    let commit = greffier.repo.push("go on");
    greffier.wait_synced(parent, &commit);
    assert_eq!(live(&ns, "cm/b", ".data.key"), "2");
}

/// What greffier asked of the API server when it deleted the object.
fn propagation(ns: &str, name: &str) -> String {
    let audit = std::fs::read_to_string(ControlPlane::shared().audit_log()).unwrap();
    let events = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut deletions = events.filter(|event| {
        event["verb"] == "delete"
            && event["objectRef"]["namespace"] == ns
            && event["objectRef"]["name"] == name
            && event["user"]["username"] == "greffier"
    });
    let deletion = deletions.next().unwrap_or_else(|| panic!("{ns}/{name} was never deleted"));
    deletion["requestObject"]["propagationPolicy"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn the_finalizer_says_how_dependents_go_and_whether_anything_goes() {
    let name = "finalizers";
    let ns = namespace(name);
    let (greffier, _) = with_root(name, &[("none/.keep", "")]);
    let url = greffier.repo.url();
    // The option is for what leaves Git only.
    let policy = KEPT.replace("\"]", "\", \"PrunePropagationPolicy=orphan\"]");
    let kinds = [
        ("plain", FINALIZER.to_owned(), "Foreground"),
        ("fore", format!("{FINALIZER}/foreground"), "Foreground"),
        ("back", format!("{FINALIZER}/background"), "Background"),
        ("left", String::new(), ""),
        ("hook", format!("{FINALIZER}, pre-delete-finalizer.argocd.argoproj.io"), ""),
    ];
    for (kind, finalizers, _) in &kinds {
        let manifest = application(&format!("{name}-{kind}"), &url, kind, &ns, &policy);
        greffier.repo.write(&format!("apps/{kind}.yaml"), &cascading(&manifest, finalizers));
        greffier.repo.write(&format!("{kind}/c.yaml"), &config_map(kind, "1"));
    }
    for n in 0..16 {
        let other = application(&format!("{name}-other{n}"), &url, "none", &ns, "{}");
        greffier.repo.write(&format!("apps/other{n}.yaml"), &other);
    }
    let commit = greffier.repo.push("applications");
    greffier.start();
    for (kind, ..) in &kinds {
        greffier.wait_synced(&format!("{name}-{kind}"), &commit);
    }
    for (kind, ..) in &kinds {
        greffier.repo.remove(&format!("apps/{kind}.yaml"));
    }
    greffier.repo.push("remove them");
    for (kind, _, expected) in kinds.iter().filter(|(_, _, expected)| !expected.is_empty()) {
        until(&format!("{kind} is gone"), || uid(&ns, kind).is_empty().then_some(()));
        assert_eq!(propagation(&ns, kind), *expected, "{kind}");
    }
    let gone = |kind: &str| {
        let app = format!("{name}-{kind}");
        move |event: &Value| {
            event["kind"] == "app.removed"
                && event["detail"]["app"] == app.as_str()
                && event["detail"]["cascade"] == false
        }
    };
    let left = greffier.wait("the one without a finalizer is gone", gone("left"));
    assert_eq!(left["detail"]["orphans"][0]["name"], "left", "{left}");
    let hook = format!("{name}-hook");
    let suspended = greffier.wait_kind("plan.suspended", &hook);
    assert!(suspended["detail"].to_string().contains("pre-delete-finalizer"), "{suspended}");
    let told = why(&greffier, &[&hook]);
    assert!(told.contains("pre-delete-finalizer.argocd.argoproj.io is not honoured"), "{told}");
    assert!(!uid(&ns, "left").is_empty() && !uid(&ns, "hook").is_empty());
    // Back in Git, it is as it was.
    let manifest = application(&hook, &url, "hook", &ns, KEPT);
    greffier.repo.write("apps/hook.yaml", &manifest);
    greffier.repo.write("hook/c.yaml", &config_map("hook", "2"));
    let commit = greffier.repo.push("keep it");
    greffier.wait_synced(&hook, &commit);
    assert_eq!(live(&ns, "cm/hook", ".data.key"), "2");
}

/// Two applications, `NAME-one` with `a` and `b`, `NAME-two` with `c`.
fn two(name: &str, policy_of_two: &str) -> (Greffier, [String; 2], String) {
    let ns = namespace(name);
    let greffier = Greffier::new();
    greffier.repo.write("one/a.yaml", &config_map("a", "1"));
    greffier.repo.write("one/b.yaml", &config_map("b", "1"));
    greffier.repo.write("two/c.yaml", &config_map("c", "1"));
    let commit = greffier.repo.push("first");
    let apps = [format!("{name}-one"), format!("{name}-two")];
    let url = greffier.repo.url();
    let greffier = greffier
        .root(&application(&apps[0], &url, "one", &ns, KEPT))
        .root(&application(&apps[1], &url, "two", &ns, policy_of_two));
    greffier.start();
    greffier.wait_synced(&apps[0], &commit);
    (greffier, apps, ns)
}

#[test]
fn an_object_that_moves_to_another_application_is_the_same_object_afterwards() {
    let (greffier, [one, two], ns) = two("moves", KEPT);
    greffier.wait_synced(&two, &greffier.repo.head());
    // There and back, so that the new owner is once before and once after the former by name.
    for (from, to, owner) in [("one", "two", &two), ("two", "one", &one)] {
        let before = uid(&ns, "a");
        greffier.repo.git(&["mv", &format!("{from}/a.yaml"), &format!("{to}/a.yaml")]);
        let commit = greffier.repo.push("move it");
        greffier.wait_synced(&one, &commit);
        greffier.wait_synced(&two, &commit);
        assert_eq!(uid(&ns, "a"), before, "never deleted");
        let mark = live(&ns, "cm/a", ".metadata.annotations.greffier\\.dev/application");
        assert_eq!(mark, *owner);
        let intent = greffier.wait("the transfer", |event| {
            event["kind"] == "apply.intent"
                && event["detail"]["app"] == owner.as_str()
                && event["detail"]["writes"].to_string().contains("it moved here from")
        });
        assert_eq!(intent["detail"]["commit"], commit.as_str());
    }
}

#[test]
fn an_object_that_moves_to_a_manual_application_waits_there_and_is_not_pruned() {
    let manual = r#"{"syncOptions": ["CreateNamespace=true"]}"#;
    let (greffier, [one, two], ns) = two("movesmanual", manual);
    let before = uid(&ns, "a");
    greffier.repo.git(&["mv", "one/a.yaml", "two/a.yaml"]);
    let commit = greffier.repo.push("move it");
    greffier.wait_synced(&one, &commit);
    // Nothing is to be removed when everybody has caught up.
    until("the manual one is compared", || {
        (app_sync(&greffier, &two) == "OutOfSync").then_some(())
    });
    assert_eq!(uid(&ns, "a"), before);
    greffier.cli_ends(0, &["sync", &two]);
    assert_eq!(uid(&ns, "a"), before);
    let mark = live(&ns, "cm/a", ".metadata.annotations.greffier\\.dev/application");
    assert_eq!(mark, two);
}

#[test]
fn an_object_of_two_applications_stays_with_the_first_until_that_gives_it_up() {
    let (greffier, [one, two], ns) = two("shared", KEPT);
    greffier.repo.write("two/a.yaml", &config_map("a", "of two"));
    greffier.repo.write("two/c.yaml", &config_map("c", "2"));
    let commit = greffier.repo.push("both want a");
    greffier.wait_synced(&two, &commit);
    let before = uid(&ns, "a");
    let resource = wait_sync(&greffier, &two, "a", "OwnedByOther");
    assert!(resource["why"].as_str().unwrap().contains(&one), "{resource}");
    assert_eq!(
        (live(&ns, "cm/a", ".data.key"), live(&ns, "cm/c", ".data.key")),
        ("1".into(), "2".into())
    );
    assert_eq!(app_sync(&greffier, &two), "OutOfSync");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("has it too, and had it first"), "{status}");
    greffier.repo.remove("one/a.yaml");
    let commit = greffier.repo.push("the first gives it up");
    greffier.wait_synced(&two, &commit);
    assert_eq!((live(&ns, "cm/a", ".data.key"), uid(&ns, "a")), ("of two".into(), before));
}

#[test]
fn fail_on_shared_resource_fails_the_sync_and_writes_nothing() {
    let policy = KEPT.replace("\"]", "\", \"FailOnSharedResource=true\"]");
    let (greffier, [_, two], ns) = two("failshared", &policy);
    greffier.wait_synced(&two, &greffier.repo.head());
    greffier.repo.write("two/a.yaml", &config_map("a", "of two"));
    greffier.repo.write("two/c.yaml", &config_map("c", "2"));
    let commit = greffier.repo.push("both want a");
    let failed = greffier.wait("the failure", |event| {
        event["kind"] == "sync.finished"
            && event["detail"]["app"] == two.as_str()
            && event["detail"]["commit"] == commit.as_str()
    });
    assert_eq!(failed["detail"]["succeeded"], false, "{failed}");
    assert!(failed["detail"]["message"].to_string().contains("FailOnSharedResource"), "{failed}");
    assert_eq!(
        (live(&ns, "cm/a", ".data.key"), live(&ns, "cm/c", ".data.key")),
        ("1".into(), "1".into())
    );
    greffier.repo.remove("one/a.yaml");
    let commit = greffier.repo.push("the first gives it up");
    greffier.wait_synced(&two, &commit);
    assert_eq!(live(&ns, "cm/c", ".data.key"), "2");
}

#[test]
fn a_child_application_that_moves_to_another_parent_keeps_its_objects() {
    let name = "childmoves";
    let ns = namespace(name);
    let greffier = Greffier::new();
    let url = greffier.repo.url();
    let leaf = "childmoves-leaf";
    let manifest = cascading(&application(leaf, &url, "leaf", &ns, KEPT), FINALIZER);
    greffier.repo.write("one/leaf.yaml", &manifest).write("two/c.yaml", &config_map("c", "1"));
    greffier.repo.write("one/d.yaml", &config_map("d", "1"));
    greffier.repo.write("leaf/a.yaml", &config_map("a", "1"));
    let commit = greffier.repo.push("first");
    let greffier = greffier
        .root(&application("childmoves-one", &url, "one", &ns, KEPT))
        .root(&application("childmoves-two", &url, "two", &ns, KEPT));
    greffier.start();
    greffier.wait_synced(leaf, &commit);
    for (from, to) in [("one", "two"), ("two", "one")] {
        let before = uid(&ns, "a");
        greffier.repo.git(&["mv", &format!("{from}/leaf.yaml"), &format!("{to}/leaf.yaml")]);
        let commit = greffier.repo.push("move the child");
        for app in ["childmoves-one", "childmoves-two"] {
            greffier.wait_synced(app, &commit);
        }
        until("the child is looked at", || (app_sync(&greffier, leaf) == "Synced").then_some(()));
        assert_eq!(uid(&ns, "a"), before);
        let declared =
            greffier.json(&["log", leaf, "--all", "--kind", "app.declared", "-o", "json"]);
        let declared = declared.as_array().unwrap();
        let seq = |event: &Value| event["seq"].as_u64().unwrap();
        let last = declared.iter().max_by_key(|event| seq(event)).unwrap();
        assert_eq!(last["detail"]["origin"]["Parent"], format!("childmoves-{to}"), "{last}");
    }
    let removed = greffier.json(&["log", leaf, "--all", "--kind", "app.removed", "-o", "json"]);
    assert_eq!(removed, serde_json::json!([]));
}

#[test]
fn a_definition_of_a_kind_that_left_git_waits_for_an_approval() {
    let crd = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gadgets.protect.example.org
spec:
  group: protect.example.org
  names: {kind: Gadget, plural: gadgets, singular: gadget}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
";
    let files = [("web/crd.yaml", crd), ("web/b.yaml", &config_map("b", "1"))];
    let (greffier, app, ns) = kept("crdgate", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.remove("web/crd.yaml");
    greffier.repo.push("remove the definition");
    let gated = greffier.wait_kind("plan.gated", &app);
    assert!(gated["detail"]["reasons"].to_string().contains("gadgets.protect"), "{gated}");
    let there = || live(&ns, "crd/gadgets.protect.example.org", ".metadata.name");
    assert_eq!(there(), "gadgets.protect.example.org");
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    until("the definition is gone", || there().is_empty().then_some(()));
}

#[test]
fn a_person_who_removes_an_application_with_a_finalizer_says_what_becomes_of_its_objects() {
    let name = "appremove";
    let (ns, web) = (namespace(name), "appremove-web");
    let kept = annotated(&config_map("b", "1"), OPTIONS, "Delete=false");
    let (greffier, _) = with_root(
        name,
        &[("web/a.yaml", &config_map("a", "1")), ("web/b.yaml", &kept), ("apps/x.yaml", "# none")],
    );
    let commit = greffier.repo.head();
    let manifest = cascading(&application(web, &greffier.repo.url(), "web", &ns, KEPT), FINALIZER);
    let file = greffier.path("web-app.yaml");
    std::fs::write(&file, &manifest).unwrap();
    greffier.start();
    let add = ["app", "add", "-f", file.to_str().unwrap()];
    greffier.cli_ends(0, &add);
    greffier.wait_synced(web, &commit);
    let (_, refused) = greffier.cli_ends(6, &["app", "remove", web]);
    assert!(
        refused.contains("delete 1 of its objects") && refused.contains("--orphan"),
        "{refused}"
    );
    let (_, refused) = greffier.cli_ends(6, &["app", "remove", web, "--cascade"]);
    assert!(refused.contains("nobody is there to be asked"), "{refused}");
    let (a, b) = (uid(&ns, "a"), uid(&ns, "b"));
    greffier.cli_ends(0, &["app", "remove", web, "--orphan"]);
    assert_eq!((uid(&ns, "a"), uid(&ns, "b")), (a.clone(), b.clone()));
    let removed = greffier.wait_kind("app.removed", web);
    assert_eq!(removed["detail"]["orphans"].as_array().unwrap().len(), 2, "{removed}");
    // Undone, it is defined again and gets them back; later it takes along what may go.
    let undo = format!("#{}", removed["seq"]);
    let (plan, _) = greffier.cli_ends(0, &["undo", &undo, "--plan"]);
    assert!(plan.contains("it is defined again") && plan.contains("ConfigMap/"), "{plan}");
    assert!(greffier.json(&["get", "apps", "-o", "json"]).to_string().find(web).is_none());
    greffier.cli_ends(0, &["undo", &undo, "--yes"]);
    let (_, refused) = greffier.cli_ends(6, &["undo", &undo, "--yes"]);
    assert!(refused.contains("the removal that #"), "{refused}");
    let after = removed["seq"].as_u64().unwrap();
    greffier.wait_after(after, "the second sync", |event| {
        event["kind"] == "sync.finished" && event["detail"]["app"] == web
    });
    assert_eq!((uid(&ns, "a"), uid(&ns, "b")), (a, b.clone()));
    greffier.cli_ends(0, &["app", "remove", web, "--cascade", "--yes"]);
    until("what may go is gone", || uid(&ns, "a").is_empty().then_some(()));
    greffier.wait_after(after, "the end of the application", |event| {
        event["kind"] == "app.removed"
            && event["detail"]["app"] == web
            && event["detail"]["cascade"] == false
    });
    assert_eq!(uid(&ns, "b"), b);
}
