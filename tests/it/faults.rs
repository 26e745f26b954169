//! Faults: processes killed, the API server away, the ledger locked or full, a broken
//! configuration. Nothing acknowledged is lost, nothing is written without an intent, and the
//! cluster ends up exactly as Git says.

use std::fs;

use crate::audit::checked;
use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{kept, live, namespace};

#[test]
fn a_second_daemon_on_the_same_ledger_is_refused_and_told_who_has_it() {
    let (greffier, _, _) = kept("locked", &[("web/c.yaml", &config_map("one", "1"))]);
    let (_, stderr) = greffier.cli_ends(2, &["serve"]);
    assert!(stderr.contains(&greffier.pid().to_string()), "{stderr}");
}

#[test]
fn a_corrupt_configuration_is_named_with_file_and_line() {
    let greffier = Greffier::new().configure("poll = 3");
    let (_, stderr) = greffier.cli_ends(2, &["serve"]);
    assert!(stderr.contains("greffier.toml") && stderr.contains("poll"), "{stderr}");
}

#[test]
fn a_kubeconfig_that_is_not_there_is_named() {
    let greffier = Greffier::new().connecting_as("/nowhere/kubeconfig".into());
    let (_, stderr) = greffier.cli_ends(2, &["serve"]);
    assert!(stderr.contains("/nowhere/kubeconfig"), "{stderr}");
}

#[test]
fn the_api_server_may_go_away_and_come_back() {
    let cluster = ControlPlane::start();
    let ns = namespace("away");
    let greffier = Greffier::on(&cluster);
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    greffier.repo.push("first");
    let root = application("away-web", &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced("away-web", &greffier.repo.head());
    // The control plane's own controllers must be up: they end when they start without a server.
    cluster.kubectl_ok("admin", &["create", "deployment", "up", "--image=up", "-n", "default"]);
    let wait = ["wait", "--for=condition=Available", "deploy/up", "-n", "default", "--timeout=60s"];
    cluster.kubectl_ok("admin", &wait);
    cluster.stop_apiserver();
    let lost = greffier.wait("the loss", |event| event["kind"] == "cluster.lost");
    greffier.repo.write("web/c.yaml", &config_map("one", "2"));
    let commit = greffier.repo.push("while away");
    cluster.start_apiserver();
    greffier.wait_after(lost["seq"].as_u64().unwrap(), "the return", |event| {
        event["kind"] == "cluster.found"
    });
    greffier.wait_synced("away-web", &commit);
    let value =
        cluster.kubectl_ok("admin", &["get", "cm/one", "-n", &ns, "-o", "jsonpath={.data.key}"]);
    assert_eq!(value, "2");
}

#[test]
fn a_daemon_that_is_killed_again_and_again_converges_and_writes_nothing_without_an_intent() {
    const KILLS: u64 = 12;
    let (app, ns) = ("kill-web".to_owned(), namespace("kill"));
    // A write of a killed daemon may still arrive until its deadline has passed.
    let greffier = Greffier::new().configure("[cluster]\nrequest_timeout = \"1s\"");
    greffier.repo.write("web/c0.yaml", &config_map("c0", "0"));
    greffier.repo.push("first");
    let root = application(&app, &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    for round in 1..=KILLS {
        let name = format!("c{}", round % 4);
        greffier.repo.write(&format!("web/{name}.yaml"), &config_map(&name, &round.to_string()));
        let commit = greffier.repo.push(&format!("round {round}"));
        // A moment that wanders through the whole of fetch, render, intent, write and outcome:
        // the kill follows the first event of the commit by a growing number of events.
        let first =
            greffier.wait("the commit", |event| event["detail"]["commit"] == commit.as_str());
        let after = first["seq"].as_u64().unwrap() + round % 6;
        if round % 6 > 0 {
            greffier.wait_after(after - 1, "some more events", |_| true);
        }
        greffier.kill();
        greffier.start();
    }
    let head = greffier.repo.head();
    until("everything is as Git says", || {
        let all = (0..4).all(|n| {
            let last = (1..=KILLS).rev().find(|round| round % 4 == n).unwrap();
            live(&ns, &format!("cm/c{n}"), ".data.key") == last.to_string()
        });
        all.then_some(())
    });
    greffier.wait_synced(&app, &head);
    assert!(checked(&greffier, &ns).writes > 0);
}

#[test]
fn the_index_may_be_deleted_and_is_rebuilt() {
    let (greffier, app, _) = kept("index", &[("web/c.yaml", &config_map("one", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(greffier.stop(), Some(0));
    let before = greffier.json(&["log", "--all", "-n", "100000", "-o", "json"]);
    fs::remove_dir_all(greffier.path("data/ledger/sled")).unwrap();
    greffier.start();
    let after = greffier.json(&["log", "--all", "-n", "100000", "-o", "json"]).to_string();
    for event in before.as_array().unwrap() {
        assert!(after.contains(event["id"].as_str().unwrap()), "{event} is lost");
    }
}

#[test]
fn a_full_disk_stops_writes_to_the_cluster_and_is_said() {
    // The reserve is what greffier sees as "full": more than any disk has.
    let greffier = Greffier::new();
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    greffier.repo.push("first");
    let greffier = greffier.configure("[ledger]\nfree_bytes_reserve = 9000000000000000000");
    let (_, stderr) = greffier.cli_ends(2, &["serve"]);
    assert!(stderr.contains("error:") && stderr.contains("hint:"), "{stderr}");
}

#[test]
fn the_daemon_keeps_one_arena_unless_somebody_says_otherwise() {
    let (greffier, _, _) = kept("arena", &[("web/c.yaml", &config_map("one", "1"))]);
    let of = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        let mut variables = environment.split(|byte| *byte == 0);
        let found = variables.find_map(|variable| variable.strip_prefix(b"MALLOC_ARENA_MAX="));
        found.map(|value| String::from_utf8(value.to_vec()).unwrap())
    };
    assert_eq!(of(greffier.pid()).as_deref(), Some("1"), "the same process, executed again");
    assert_eq!(greffier.stop(), Some(0));
    greffier.environment.borrow_mut().push(("MALLOC_ARENA_MAX".into(), "3".into()));
    greffier.start();
    assert_eq!(of(greffier.pid()).as_deref(), Some("3"));
}
