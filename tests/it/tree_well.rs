//! A tree goes back to where it was well, and the rollback of a tree is undone as a whole, on a real
//! API server.

use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{live, namespace};

/// The values of the two leaves.
fn values(ns: &str) -> (String, String) {
    (live(ns, "cm/a", ".data.key"), live(ns, "cm/b", ".data.key"))
}

fn are(ns: &str, value: &str) {
    until(&format!("both are {value}"), || {
        (values(ns) == (value.to_owned(), value.to_owned())).then_some(())
    });
}

/// The hold of an application, and its instant; `None` = nobody holds it.
fn hold(greffier: &Greffier, app: &str) -> Option<(u64, u64)> {
    let found = greffier.json(&["get", "apps", app, "-o", "json"]);
    let found = found.as_array().map_or(&found, |all| &all[0]).clone();
    Some((found["held"]["seq"].as_u64()?, found["held"]["to"].as_u64()?))
}

const LEAVES: [&str; 2] = ["a", "b"];

/// Git says another value of both leaves, and that is written.
fn says(greffier: &Greffier, root: &str, value: &str) {
    for leaf in LEAVES {
        greffier.repo.write(&format!("{leaf}/c.yaml"), &config_map(leaf, value));
    }
    let commit = greffier.repo.push(value);
    LEAVES.iter().for_each(|leaf| drop(greffier.wait_synced(&root.replace("root", leaf), &commit)));
}

/// A root with two leaves, which say "1"; with its namespace and its name.
fn planted(prefix: &str) -> (Greffier, String, String) {
    let (greffier, ns) = (Greffier::new(), namespace(prefix));
    let named = |name: &str| format!("{prefix}-{}-{name}", std::process::id());
    for leaf in LEAVES {
        let app = application(&named(leaf), &greffier.repo.url(), leaf, &ns, KEPT);
        greffier.repo.write(&format!("root/{leaf}.yaml"), &app);
        greffier.repo.write(&format!("{leaf}/c.yaml"), &config_map(leaf, "1"));
    }
    greffier.repo.push("first");
    let manifest = application(&named("root"), &greffier.repo.url(), "root", &ns, KEPT);
    let greffier = greffier.root(&manifest);
    greffier.start();
    are(&ns, "1");
    (greffier, ns, named("root"))
}

/// Goal: in an incident that a commit in the folder of one leaf made, the whole tree goes back to where
/// it was well last, although the root asks for the same applications all the time. What the root
/// itself asked for otherwise long before is not that.
#[test]
fn a_tree_goes_back_to_where_it_was_well_also_where_its_root_has_not_changed() {
    let (greffier, ns, root) = planted("treewell");
    let (_, never) = greffier.cli_ends(6, &["rollback", &root, "--tree", "--to", "last-healthy"]);
    assert!(never.contains("was never Healthy and Synced"), "{never}");
    // The root asks for something else from here on.
    let again = application(&root.replace("root", "a"), &greffier.repo.url(), "a", &ns, KEPT);
    let again = again.replacen("metadata:\n", "metadata:\n  labels: {tier: one}\n", 1);
    greffier.repo.write("root/a.yaml", &again);
    says(&greffier, &root, "2");
    until("all of it is well", || {
        let apps = greffier.json(&["get", "apps", "-o", "json"]);
        let mut apps = apps.as_array().unwrap().iter();
        apps.all(|app| app["health"] == "Healthy" && app["sync"] == "Synced").then_some(())
    });
    // Nobody gives it an address: it is on its way for ever.
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n";
    greffier.repo.write("b/s.yaml", service);
    says(&greffier, &root, "3");
    are(&ns, "3");
    until("the root is unwell", || {
        let app = greffier.json(&["get", "apps", &root, "-o", "json"]);
        let app = app.as_array().map_or(&app, |all| &all[0]);
        (app["health"] == "Progressing").then_some(())
    });
    greffier.cli_ends(0, &["rollback", &root, "--tree", "--to", "last-healthy", "--yes"]);
    are(&ns, "2");
    assert_eq!(live(&ns, "svc/s", ".metadata.name"), "");
}

/// Goal: whoever undoes the event that a rollback of a tree is said to be recorded as has the tree
/// back: as it was held before, where it took the place of that, or else as Git says.
#[test]
fn the_rollback_of_a_tree_is_undone_for_all_that_it_holds() {
    let (greffier, ns, root) = planted("undonetree");
    let named = |name: &str| root.replace("root", name);
    let mut instants = vec![greffier.seq()];
    for value in ["2", "3"] {
        says(&greffier, &root, value);
        are(&ns, value);
        instants.push(greffier.seq());
    }
    let back = |to: u64, more: &[&str]| {
        let to = format!("#{to}");
        let args = ["rollback", &root, "--tree", "--to", &to, "--yes"];
        greffier.cli_ends(0, &[args.as_slice(), more].concat());
        format!("#{}", hold(&greffier, &root).unwrap().0)
    };

    back(instants[1], &["--for", "1h", "--reason", "first"]);
    are(&ns, "2");
    let second = back(instants[0], &[]);
    are(&ns, "1");
    let plan = greffier.json(&["undo", &second, "--plan", "-o", "json"]);
    assert_eq!(plan["tree"].as_array().map(Vec::len), Some(2), "{plan}");
    greffier.cli_ends(0, &["undo", &second, "--yes"]);
    are(&ns, "2");
    for app in [root.clone(), named("a"), named("b")] {
        assert_eq!(hold(&greffier, &app).map(|(_, to)| to), Some(instants[1]), "{app}");
    }
    // It is a tree's again. What a person holds by itself meanwhile is not what that did.
    let to = format!("#{}", instants[0]);
    greffier.cli_ends(0, &["rollback", &named("b"), "--to", &to, "--yes"]);
    until("b is back alone", || (values(&ns) == ("2".into(), "1".into())).then_some(()));
    let own = hold(&greffier, &named("b"));
    let undone = format!("#{}", hold(&greffier, &root).unwrap().0);
    greffier.cli_ends(0, &["undo", &undone, "--yes"]);
    are(&ns, "1");
    assert_eq!(hold(&greffier, &named("b")), own);
    greffier.cli_ends(0, &["release", &root, "--tree", "--yes"]);
    are(&ns, "3");

    // Nothing was held before this one: Git is followed again.
    let only = back(instants[0], &[]);
    are(&ns, "1");
    greffier.cli_ends(0, &["undo", &only, "--yes"]);
    are(&ns, "3");
    for app in [root.clone(), named("a"), named("b")] {
        assert_eq!(hold(&greffier, &app), None, "{app}");
    }
    let (_, over) = greffier.cli_ends(6, &["undo", &only, "--yes"]);
    assert!(over.contains("over"), "{over}");
}
