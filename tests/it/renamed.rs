//! Applications that are renamed in Git, on a real API server.

use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{live, namespace};

/// An application that takes its objects along when it goes, of a branch.
pub(crate) fn app(greffier: &Greffier, (name, branch): (&str, &str), ns: &str) -> String {
    let manifest = application(name, &greffier.repo.url(), "web", ns, KEPT);
    let finalizer = "  finalizers: [resources-finalizer.argocd.argoproj.io]\n  namespace: argocd\n";
    let manifest = manifest.replacen("  namespace: argocd\n", finalizer, 1);
    manifest.replacen("targetRevision: main", &format!("targetRevision: {branch}"), 1)
}

/// Waits until an object of one of the applications waits, and says so with `text`.
fn waits(greffier: &Greffier, apps: &[&str], text: &str) {
    greffier.while_busy(text, || {
        let mut objects = apps.iter().flat_map(|app| {
            let why = greffier.json(&["why", app, "-o", "json"]);
            why["objects"].as_array().expect("a list").clone()
        });
        let waits = objects.any(|object| object["why"].as_str().is_some_and(|w| w.contains(text)));
        waits.then_some(())
    });
}

/// Goal: an application that is renamed before the branch of its new definition is pushed loses
/// nothing, whatever is pushed meanwhile; the objects pass to the new one once the branch is there.
/// A name that is none removes nothing.
#[test]
fn a_renamed_application_keeps_its_objects_until_the_new_one_is_rendered() {
    let greffier = Greffier::new();
    let (ns, prefix) = (namespace("renamed"), format!("renamed-{}", std::process::id()));
    let named = |name: &str| format!("{prefix}-{name}");
    let (root, old, new) = (named("root"), named("old"), named("new"));
    greffier.repo.write("root/web.yaml", &app(&greffier, (&old, "main"), &ns));
    greffier.repo.write("root/own.yaml", &config_map("own", "one"));
    greffier.repo.write("web/c.yaml", &config_map("web", "one"));
    let first = greffier.repo.push("one");
    let manifest = application(&root, &greffier.repo.url(), "root", &ns, KEPT);
    let greffier = greffier.root(&manifest);
    greffier.start().wait_synced(&old, &first);
    let uid = || live(&ns, "cm/web", ".metadata.uid");
    let before = uid();
    assert!(!before.is_empty());

    // A name that Kubernetes knows for none.
    greffier.repo.write("root/web.yaml", &app(&greffier, (&named("webY"), "main"), &ns));
    greffier.repo.push("a name that is none");
    let undefined = format!("Application/{prefix}-webY of {root} cannot be defined");
    waits(&greffier, &[&root], &undefined);

    // The branch is not there yet.
    greffier.repo.write("root/web.yaml", &app(&greffier, (&new, "release"), &ns));
    greffier.repo.push("another name, and a branch");
    let unrendered = format!("application {new} was never rendered since the commit that dropped");
    // The removal of the application waits, or those of its objects, whatever came first.
    waits(&greffier, &[&root, &old], &unrendered);
    // Another commit of the root.
    greffier.repo.write("root/own.yaml", &config_map("own", "two"));
    let third = greffier.repo.push("something else");
    greffier.wait("the render", |event| {
        event["kind"] == "render.succeeded"
            && event["detail"]["app"] == *root
            && event["detail"]["revision"]["commit"] == *third
    });
    greffier
        .while_busy("it is applied", || (live(&ns, "cm/own", ".data.key") == "two").then_some(()));
    waits(&greffier, &[&root, &old], &unrendered);
    assert_eq!(uid(), before);

    greffier.repo.git(&["push", "-q", "origin", "main:release"]);
    greffier.wait_synced(&new, &third);
    greffier.wait_kind("app.removed", &old);
    greffier.while_busy("the former application is gone", || {
        let apps = greffier.json(&["get", "apps", "-o", "json"]).to_string();
        (apps.contains(&*new) && !apps.contains(&*old)).then_some(())
    });
    assert_eq!(uid(), before);
    let owner = greffier.json(&["why", &format!("ConfigMap/{ns}/web"), "-o", "json"]);
    assert_eq!(owner["app"], *new, "{owner:#}");
}

/// Goal: a root that the configuration names otherwise stays, with everything below it, until a
/// person lets go of it; then the new one has its children, and nothing was deleted or made anew.
#[test]
fn a_root_that_the_configuration_no_longer_names_is_let_go_of_by_a_person() {
    let greffier = Greffier::new();
    let (ns, prefix) = (namespace("rootless"), format!("rootless-{}", std::process::id()));
    let named = |name: &str| format!("{prefix}-{name}");
    let (old, new, web) = (named("old"), named("new"), named("web"));
    greffier.repo.write("root/web.yaml", &app(&greffier, (&web, "main"), &ns));
    greffier.repo.write("web/c.yaml", &config_map("web", "one"));
    let first = greffier.repo.push("one");
    let manifest = application(&old, &greffier.repo.url(), "root", &ns, KEPT);
    let greffier = greffier.root(&manifest);
    greffier.start().wait_synced(&web, &first);
    let before = live(&ns, "cm/web", ".metadata.uid");
    let (_, refused) = greffier.cli_ends(6, &["app", "remove", &old, "--orphan"]);
    assert!(refused.contains("is defined by the configuration file"), "{refused}");

    greffier.stop();
    let manifest = application(&new, &greffier.repo.url(), "root", &ns, KEPT);
    std::fs::write(greffier.path("root-0.yaml"), manifest).unwrap();
    greffier.start().wait_synced(&new, &first);
    let origin = |app: &str| {
        let apps = greffier.json(&["get", "apps", "-o", "json"]);
        let mut apps = apps.as_array().expect("a list").iter();
        let found = apps.find(|shown| shown["name"] == app).expect("it is there");
        found["origin"].as_str().unwrap().to_owned()
    };
    assert_eq!(origin(&old), "unconfigured");
    assert_eq!(origin(&web), format!("app/{old}"));
    greffier.cli_ends(0, &["app", "remove", &old, "--orphan"]);
    until("the new root has its child", || (origin(&web) == format!("app/{new}")).then_some(()));
    greffier.repo.write("web/c.yaml", &config_map("web", "two"));
    let second = greffier.repo.push("two");
    greffier.wait_synced(&web, &second);
    let of = |field: &str| live(&ns, "cm/web", field);
    assert_eq!((of(".metadata.uid"), of(".data.key")), (before, "two".to_owned()));
}
