//! A tree of applications back to an earlier instant, on a real API server and without Git.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map};
use crate::keep::namespace;

const COMMITS: usize = 200;
const COMMITS_A_PUSH: usize = 25;
/// Leaves below the root, and below `mid`.
const LEAVES: usize = 9;

fn leaves() -> Vec<String> {
    let below = |letter: char| (0..LEAVES).map(move |n| format!("{letter}{n}"));
    below('a').chain(below('b')).collect()
}

/// The ConfigMaps of the tree with their values.
fn values(ns: &str) -> BTreeMap<String, String> {
    let found = ControlPlane::shared().kubectl_ok("admin", &["get", "cm", "-n", ns, "-o", "json"]);
    let found: Value = serde_json::from_str(&found).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let maps = found["items"].as_array().unwrap().iter();
    let maps = maps.filter(|map| map["metadata"]["name"] != "kube-root-ca.crt");
    maps.map(|map| (text(&map["metadata"]["name"]), text(&map["data"]["key"]))).collect()
}

/// An application that takes its objects along when it goes.
fn app(greffier: &Greffier, name: &str, path: &str, ns: &str) -> String {
    let manifest = application(name, &greffier.repo.url(), path, ns, KEPT);
    let finalizer = "  finalizers: [resources-finalizer.argocd.argoproj.io]\n  namespace: argocd\n";
    manifest.replacen("  namespace: argocd\n", finalizer, 1)
}

/// Commits `from` to `to`, each of which gives one leaf another value, in pushes.
fn history(greffier: &Greffier, ns: &str, (from, to): (usize, usize), gone: &[&str]) {
    let leaves: Vec<String> =
        leaves().into_iter().filter(|leaf| !gone.contains(&leaf.as_str())).collect();
    let mut pushed = BTreeMap::new();
    for number in from..to {
        let leaf = &leaves[number % leaves.len()];
        let value = format!("commit-{number}");
        greffier.repo.write(&format!("{leaf}/c.yaml"), &config_map(leaf, &value));
        greffier.repo.commit(&value);
        pushed.insert(leaf.clone(), value);
        if (number + 1) % COMMITS_A_PUSH == 0 {
            greffier.repo.push("the last of a push");
            // Each leaf of it: they are written in no order.
            greffier.while_busy("the push is applied", || {
                let now = values(ns);
                pushed.iter().all(|(leaf, value)| now.get(leaf) == Some(value)).then_some(())
            });
        }
    }
}

#[test]
fn twenty_applications_go_back_to_the_middle_of_two_hundred_commits_without_git() {
    let greffier = Greffier::new();
    let (ns, prefix) = (namespace("tree20"), format!("tree20-{}", std::process::id()));
    let named = |name: &str| format!("{prefix}-{name}");
    let file = |name: &str| {
        let folder = if name.starts_with('b') { "mid" } else { "root" };
        format!("{folder}/{name}.yaml")
    };
    for leaf in leaves() {
        greffier.repo.write(&file(&leaf), &app(&greffier, &named(&leaf), &leaf, &ns));
        greffier.repo.write(&format!("{leaf}/c.yaml"), &config_map(&leaf, "first"));
    }
    greffier.repo.write("root/mid.yaml", &app(&greffier, &named("mid"), "mid", &ns));
    greffier.repo.push("the tree");
    let root = named("root");
    let manifest = app(&greffier, &root, "root", &ns);
    let greffier = greffier.root(&manifest);
    greffier.start();
    greffier.while_busy("all of it is there", || (values(&ns).len() == 2 * LEAVES).then_some(()));
    history(&greffier, &ns, (0, COMMITS / 2), &[]);
    let (then, seq) = (values(&ns), greffier.seq());
    let to = format!("#{seq}");
    assert_eq!(then.len(), 2 * LEAVES);

    // Two leaves are gone afterwards, and one is new.
    greffier.repo.remove(&file("a8")).remove("a8").remove(&file("b8")).remove("b8");
    greffier.repo.write("root/new.yaml", &app(&greffier, &named("new"), "new", &ns));
    greffier.repo.write("new/c.yaml", &config_map("new", "new"));
    greffier.repo.push("another tree");
    greffier.while_busy("the tree is another", || {
        let now = values(&ns);
        (now.contains_key("new") && !now.contains_key("a8") && !now.contains_key("b8"))
            .then_some(())
    });
    history(&greffier, &ns, (COMMITS / 2, COMMITS), &["a8", "b8"]);
    let later = values(&ns);
    assert_eq!(later.len(), 2 * LEAVES - 1);

    let (bare, away) = (greffier.repo.bare.clone(), greffier.repo.bare.with_extension("away"));
    fs::rename(&bare, &away).unwrap();
    let args = ["rollback", &root, "--tree", "--to", &to, "--plan", "-o", "json"];
    let plan = greffier.json(&args);
    assert_eq!(plan["tree"].as_array().map(Vec::len), Some(2 * LEAVES + 1), "{plan}");
    // It goes once what may have its objects is rendered.
    let goes = format!("{}{}", plan["remove"], plan["not_done"]);
    assert!(goes.contains(&named("new")), "{plan}");
    let again = plan["tree"].as_array().unwrap().iter().find(|app| app["app"] == *named("a8"));
    assert_eq!(again.unwrap()["notes"], serde_json::json!([]), "{plan}");
    assert_eq!(values(&ns), later, "nothing is done");
    greffier
        .cli_ends(0, &["rollback", &root, "--tree", "--to", &to, "--yes", "--reason", "incident"]);
    greffier.while_busy("all of it is as it was", || (values(&ns) == then).then_some(()));
    let status = greffier.json(&["status", "-o", "json"]);
    let held = status["held"].as_array().unwrap();
    assert_eq!(held.len(), 2 * LEAVES + 2, "{status}");
    assert!(held.iter().all(|hold| hold["tree"] == *root && hold["to"] == seq), "{status}");
    fs::rename(&away, &bare).unwrap();

    // A restart, a push to all of it, and a sync of the parent change nothing.
    greffier.kill().start();
    for leaf in leaves().iter().filter(|leaf| !leaf.ends_with('8')) {
        greffier.repo.write(&format!("{leaf}/c.yaml"), &config_map(leaf, "newest"));
    }
    let newest = greffier.repo.push("newest");
    for leaf in ["a0", "b0"] {
        let app = named(leaf);
        greffier.wait("the render", |event| {
            event["kind"] == "render.succeeded"
                && event["detail"]["app"] == *app
                && event["detail"]["revision"]["commit"] == *newest
        });
    }
    greffier.cli_ends(0, &["sync", &root]);
    assert_eq!(values(&ns), then);
    ControlPlane::shared().kubectl_ok("alice", &["delete", "cm/a8", "-n", &ns]);
    greffier.while_busy("what is held is healed", || (values(&ns) == then).then_some(()));

    released(&greffier, &ns, &root, &later);
}

/// The release goes to what Git says: everything that is `there` is at the newest push.
fn released(greffier: &Greffier, ns: &str, root: &str, there: &BTreeMap<String, String>) {
    let plan = greffier.json(&["release", root, "--tree", "--plan", "-o", "json"]);
    assert_eq!(plan["tree"].as_array().map(Vec::len), Some(2 * LEAVES + 1), "{plan}");
    greffier.cli_ends(0, &["release", root, "--tree", "--yes"]);
    let mut newest: BTreeMap<String, String> =
        there.keys().map(|name| (name.clone(), "newest".to_owned())).collect();
    newest.insert("new".to_owned(), "new".to_owned());
    greffier.while_busy("Git is followed", || (values(ns) == newest).then_some(()));
    let status = greffier.json(&["status", "-o", "json"]);
    assert_eq!(status["held"].as_array().map(Vec::len), Some(0), "{status}");
    let (_, refused) = greffier.cli_ends(6, &["release", root, "--tree", "--yes"]);
    assert!(refused.contains("nothing of"), "{refused}");
}

/// Goal: what Git dropped while a tree was held goes with the release, which says so before; what is
/// left of it is told afterwards, and the way back that is told leads back.
#[test]
fn what_git_dropped_meanwhile_is_told_before_and_after_a_release_and_comes_back() {
    let greffier = Greffier::new();
    let (ns, prefix) = (namespace("treeleft"), format!("treeleft-{}", std::process::id()));
    let named = |name: &str| format!("{prefix}-{name}");
    for leaf in ["web", "api"] {
        // Nothing says that its objects go with it.
        let manifest = application(&named(leaf), &greffier.repo.url(), leaf, &ns, KEPT);
        greffier.repo.write(&format!("root/{leaf}.yaml"), &manifest);
        greffier.repo.write(&format!("{leaf}/c.yaml"), &config_map(leaf, "one"));
    }
    greffier.repo.push("one");
    let root = named("root");
    let greffier = {
        let manifest = application(&root, &greffier.repo.url(), "root", &ns, KEPT);
        greffier.root(&manifest)
    };
    greffier.start();
    let is = |web: &str, api: &str| {
        let wanted = [("web", web), ("api", api)];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let wanted = BTreeMap::from(wanted);
        greffier.while_busy("the tree is so", || (values(&ns) == wanted).then_some(()));
    };
    is("one", "one");
    let (web, to) = (named("web"), format!("#{}", greffier.seq()));
    greffier.repo.write("web/c.yaml", &config_map("web", "two"));
    greffier.repo.push("two");
    is("two", "one");
    greffier.cli_ends(0, &["rollback", &root, "--tree", "--to", &to, "--yes"]);
    is("one", "one");
    greffier.repo.remove("root/web.yaml").remove("web");
    greffier.repo.write("api/c.yaml", &config_map("api", "three"));
    let third = greffier.repo.push("three");
    for app in [&root, &named("api")] {
        greffier.wait("the render", |event| {
            event["kind"] == "render.succeeded"
                && event["detail"]["app"] == **app
                && event["detail"]["revision"]["commit"] == *third
        });
    }
    let back = format!("greffier rollback {root} --tree --to '{to}'");
    let (plan, _) = greffier.cli_ends(0, &["release", &root, "--tree", "--plan"]);
    let left = format!("{web}: 1 object of it LEFT BEHIND");
    for words in [&left, &back, "Git does not have"] {
        assert!(plan.contains(words), "{words}: {plan}");
    }
    greffier.cli_ends(0, &["release", &root, "--tree", "--yes"]);
    greffier.wait_kind("app.removed", &web);
    is("one", "three");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("LEFT BEHIND") && status.contains(&format!("greffier why {web}")));
    let why = greffier.json(&["why", &web, "-o", "json"]);
    assert!(why["headline"].as_str().unwrap().contains("LEFT BEHIND"), "{why:#}");
    let told: Vec<&str> =
        why["can_do"].as_array().unwrap().iter().filter_map(|a| a["command"].as_str()).collect();
    assert_eq!(told[0], format!("{back} --plan"), "{why:#}");
    greffier.cli_ends(0, &["rollback", &root, "--tree", "--to", &to, "--yes"]);
    is("one", "one");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(!status.contains("LEFT BEHIND"), "{status}");
    let held = greffier.json(&["status", "-o", "json"]);
    assert_eq!(held["held"].as_array().map(Vec::len), Some(3), "{held}");
    own_release_says_that_it_goes(&greffier, &root, &web, &left);
}

/// Released one by one, the release of what Git dropped says that it goes, though it is the root that
/// removes it.
fn own_release_says_that_it_goes(greffier: &Greffier, root: &str, web: &str, left: &str) {
    greffier.cli_ends(0, &["release", root, "--yes"]);
    let (plan, _) = greffier.cli_ends(0, &["release", web, "--plan"]);
    for words in [left, "applications removed", &format!("greffier why {web}")] {
        assert!(plan.contains(words), "{words}: {plan}");
    }
    let why = greffier.cli_ends(0, &["why", web]).0;
    assert!(why.contains("does not define it any more"), "{why}");
    let (done, _) = greffier.cli_ends(0, &["release", web, "--yes", "-o", "json"]);
    let done: Value = serde_json::from_str(&done).unwrap();
    greffier.wait("it is removed again", |event| {
        event["kind"] == "app.removed" && event["seq"].as_u64() > done["seq"].as_u64()
    });
    let event = format!("#{}", done["seq"]);
    let (_, refused) = greffier.cli_ends(6, &["undo", &event, "--yes"]);
    assert!(refused.contains("is gone since"), "{refused}");
}

/// Goal: a commit of the root's repository stands for what it asked for of each application,
/// although the root has it before its children do; a part that cannot go back refuses all of it.
#[test]
fn a_tree_goes_back_to_what_a_commit_asked_for() {
    let greffier = Greffier::new();
    let (ns, prefix) = (namespace("treecommit"), format!("treecommit-{}", std::process::id()));
    let named = |name: &str| format!("{prefix}-{name}");
    for leaf in ["web", "api", "alone"] {
        let mut manifest = app(&greffier, &named(leaf), leaf, &ns);
        if leaf == "alone" {
            let skip = "  annotations: {argocd.argoproj.io/skip-reconcile: \"true\"}\n";
            manifest = manifest.replacen("metadata:\n", &format!("metadata:\n{skip}"), 1);
        }
        greffier.repo.write(&format!("root/{leaf}.yaml"), &manifest);
        greffier.repo.write(&format!("{leaf}/c.yaml"), &config_map(leaf, "one"));
    }
    greffier.repo.push("one");
    let root = named("root");
    let manifest = app(&greffier, &root, "root", &ns);
    let greffier = greffier.root(&manifest);
    greffier.start();
    let is = |web: &str, api: &str| {
        let wanted =
            [("web", web), ("api", api)].into_iter().filter(|(_, value)| !value.is_empty());
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        greffier.while_busy("the tree is so", || (values(&ns) == wanted).then_some(()));
    };
    is("one", "one");
    greffier.repo.write("web/c.yaml", &config_map("web", "two"));
    let second = greffier.repo.push("two");
    is("two", "one");
    greffier.repo.write("web/c.yaml", &config_map("web", "three")).remove("root/api.yaml");
    greffier.repo.push("three");
    is("three", "");

    let to = format!("git:{second}");
    let rollback = |code: i32, more: &[&str]| {
        let args = [&["rollback", &root, "--tree", "--to", &to], more].concat();
        greffier.cli_ends(code, &args)
    };
    let (said, error) = rollback(6, &["--plan"]);
    let alone = format!("{}: it is left alone", named("alone"));
    assert!(said.contains(&alone) && error.contains("--partial"), "{said} {error}");
    rollback(6, &["--yes"]);
    is("three", "");
    let (said, _) = rollback(0, &["--partial", "--plan", "-o", "json"]);
    let plan: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(plan["commit"], *second, "{plan}");
    assert_eq!(plan["define"], serde_json::json!([named("api")]), "{plan}");
    assert!(plan["left"].to_string().contains(&alone), "{plan}");
    let (said, error) = rollback(0, &["--partial", "--yes"]);
    let told = format!("{said}{error}");
    assert!(told.contains("define 1 application"), "{told}");
    is("two", "one");
}

/// The uids of the ConfigMaps of the tree.
fn uids(ns: &str) -> BTreeMap<String, String> {
    let found = ControlPlane::shared().kubectl_ok("admin", &["get", "cm", "-n", ns, "-o", "json"]);
    let found: Value = serde_json::from_str(&found).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let maps = found["items"].as_array().unwrap().iter();
    let maps = maps.filter(|map| map["metadata"]["name"] != "kube-root-ca.crt");
    maps.map(|map| (text(&map["metadata"]["name"]), text(&map["metadata"]["uid"]))).collect()
}

/// Goal: a tree whose middle application was renamed goes back, and is released, with what is below
/// that one passing from the one to the other and back; nothing of it is deleted.
#[test]
fn a_tree_goes_back_over_a_middle_application_that_was_renamed() {
    let greffier = Greffier::new();
    let (ns, prefix) = (namespace("treemid"), format!("treemid-{}", std::process::id()));
    let named = |name: &str| format!("{prefix}-{name}");
    for own in 0..8 {
        let own = format!("own{own}");
        greffier.repo.write(&format!("root/{own}.yaml"), &config_map(&own, "own"));
    }
    greffier.repo.write("root/mid.yaml", &app(&greffier, &named("mid"), "mid", &ns));
    greffier.repo.write("mid/leaf.yaml", &app(&greffier, &named("leaf"), "leaf", &ns));
    greffier.repo.write("leaf/a.yaml", &config_map("a", "one"));
    greffier.repo.write("leaf/b.yaml", &config_map("b", "one"));
    let first = greffier.repo.push("one");
    let root = named("root");
    let manifest = app(&greffier, &root, "root", &ns);
    let greffier = greffier.root(&manifest);
    greffier.start();
    greffier.while_busy("all of it is there", || (values(&ns).len() == 10).then_some(()));
    let (was, other) = (uids(&ns), app(&greffier, &named("mid2"), "mid", &ns));
    greffier.repo.write("root/mid.yaml", &other);
    let passes = |after: u64, middle: &str, gone: &str| {
        greffier.wait_after(after, "the leaf is of the other", |event| {
            let origin = event["detail"]["origin"].to_string();
            event["kind"] == "app.declared"
                && event["detail"]["app"] == *named("leaf")
                && origin.contains(&format!("\"{}\"", named(middle)))
        });
        greffier.wait_after(after, "the former is gone", |event| {
            let last = event["kind"] == "app.removed" && event["detail"]["cascade"] == false;
            last && event["detail"]["app"] == *named(gone)
        });
        assert_eq!(uids(&ns), was, "nothing is deleted or made anew");
    };
    let seq = greffier.seq();
    greffier.repo.push("the middle has another name");
    passes(seq, "mid2", "mid");

    let to = format!("git:{first}");
    let (plan, _) =
        greffier.cli_ends(0, &["rollback", &root, "--tree", "--to", &to, "--plan", "-o", "json"]);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let deletes = plan["gone"].as_array().into_iter().flatten();
    let mut deletes = deletes.flat_map(|gone| gone["deletes"].as_array().unwrap());
    assert_eq!(deletes.next(), None, "{plan:#}");
    let seq = greffier.seq();
    greffier.cli_ends(0, &["rollback", &root, "--tree", "--to", &to, "--yes"]);
    passes(seq, "mid", "mid2");
    let status = greffier.json(&["status", "-o", "json"]);
    assert_eq!(status["held"].as_array().map(Vec::len), Some(3), "{status}");
    let seq = greffier.seq();
    greffier.cli_ends(0, &["release", &root, "--tree", "--yes"]);
    passes(seq, "mid2", "mid");
}
