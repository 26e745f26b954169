//! The rollback of a tree is undone as a whole, on a real API server.

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

/// Goal: whoever undoes the event that a rollback of a tree is said to be recorded as has the tree
/// back: as it was held before, where it took the place of that, or else as Git says.
#[test]
fn the_rollback_of_a_tree_is_undone_for_all_that_it_holds() {
    let greffier = Greffier::new();
    let ns = namespace("undonetree");
    let named = |name: &str| format!("undonetree-{}-{name}", std::process::id());
    let (root, leaves) = (named("root"), ["a", "b"]);
    let write = |value: &str| {
        for leaf in leaves {
            greffier.repo.write(&format!("{leaf}/c.yaml"), &config_map(leaf, value));
        }
    };
    for leaf in leaves {
        let app = application(&named(leaf), &greffier.repo.url(), leaf, &ns, KEPT);
        greffier.repo.write(&format!("root/{leaf}.yaml"), &app);
    }
    write("1");
    greffier.repo.push("first");
    let manifest = application(&root, &greffier.repo.url(), "root", &ns, KEPT);
    let greffier = greffier.root(&manifest);
    greffier.start();
    are(&ns, "1");
    let mut instants = vec![greffier.seq()];
    for value in ["2", "3"] {
        for leaf in leaves {
            greffier.repo.write(&format!("{leaf}/c.yaml"), &config_map(leaf, value));
        }
        let commit = greffier.repo.push(value);
        leaves.iter().for_each(|leaf| drop(greffier.wait_synced(&named(leaf), &commit)));
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
