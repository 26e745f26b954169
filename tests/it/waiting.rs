//! Whoever asked for something and waits: what is said meanwhile, and when it is over.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{kept, live, namespace};
use crate::proxy::{Fault, Proxy};

/// A verb that goes on while the test does something else.
fn begun(greffier: &Greffier, args: &[&str]) -> Child {
    let mut command = greffier.command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Its exit code, and everything that it said since.
fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Goal: whoever's hold is replaced, or released, before it was done learns so at once, and by whom.
/// Method: the proxy holds the first write back until the other command was recorded.
#[test]
fn a_rollback_that_another_replaces_waits_no_longer() {
    let proxy = Proxy::start(&ControlPlane::shared().kubeconfig("greffier"));
    let (app, ns) = ("waiting-web".to_owned(), namespace("waiting"));
    let greffier = Greffier::new().connecting_as(proxy.kubeconfig());
    let mut instants = Vec::new();
    greffier.repo.write("web/a.yaml", &config_map("a", "0"));
    let first = greffier.repo.push("first");
    let root = application(&app, &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(&app, &first);
    for value in ["1", "2"] {
        instants.push(format!("#{}", greffier.seq()));
        greffier.repo.write("web/a.yaml", &config_map("a", value));
        greffier.wait_synced(&app, &greffier.repo.push(value));
    }
    let mut met = 0;
    let mut held_back = |to: &str| {
        proxy.rule("PATCH", "/configmaps/a?", 1, Fault::Held);
        let waits = begun(&greffier, &["rollback", &app, "--to", to, "--yes", "--timeout", "50s"]);
        met += 1;
        until("its write is held back", || (proxy.met().len() == met).then_some(()));
        waits
    };
    let waits = held_back(&instants[0]);
    greffier.cli_ends(0, &["rollback", &app, "--to", &instants[1], "--yes", "--no-wait"]);
    let (code, said) = ended(waits);
    assert_eq!(code, Some(8), "{said}");
    assert!(
        said.contains("was replaced by a rollback, #") && said.contains(" by os-user:"),
        "{said}"
    );
    proxy.release();
    until("the second is in force", || (live(&ns, "cm/a", ".data.key") == "1").then_some(()));

    let waits = held_back(&instants[0]);
    greffier.cli_ends(0, &["release", &app, "--yes"]);
    let (code, said) = ended(waits);
    assert_eq!(code, Some(8), "{said}");
    assert!(said.contains("was released by os-user:"), "{said}");
    proxy.release();
    until("Git is followed", || (live(&ns, "cm/a", ".data.key") == "2").then_some(()));
}

/// Goal: a sync that nothing comes of for now says at once why and what ends that, and ends when it
/// was lifted and all is done.
#[test]
fn a_sync_says_that_it_waits_for_the_end_of_a_freeze_or_a_pause() {
    let (greffier, app, _) = kept("waitfrozen", &[("web/a.yaml", &config_map("a", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let resume = format!("`greffier resume {app}`");
    for (stop, go, lift) in [
        (vec!["freeze", "--reason", "upgrade"], vec!["unfreeze"], "`greffier unfreeze`"),
        (vec!["pause", &app, "--reason", "upgrade"], vec!["resume", &app], &resume),
    ] {
        greffier.cli_ends(0, &stop);
        let mut waits = begun(&greffier, &["sync", &app]);
        let mut lines = BufReader::new(waits.stderr.take().unwrap()).lines().map(Result::unwrap);
        let told = lines.find(|line| line.contains("waits, up to")).unwrap();
        assert!(told.contains("nothing is written") && told.contains("upgrade"), "{told}");
        assert!(told.contains(lift), "{told}");
        greffier.cli_ends(0, &go);
        let (code, _) = ended(waits);
        assert_eq!(code, Some(0), "{}", lines.collect::<Vec<_>>().join("\n"));
    }
}
