//! Bad days between greffier and the API server, made by the proxy of `support/proxy.rs`.
//!
//! In each: nothing is written without an intent, nothing is received twice, every write has one
//! end, and the cluster ends exactly as Git says.

use crate::audit::{Audit, checked};
use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, deployment, until};
use crate::keep::{live, namespace};
use crate::proxy::{Fault, Proxy};

/// A greffier behind a proxy, with one application synced.
struct Behind {
    // Before the proxy: what asks ends before what answers.
    greffier: Greffier,
    proxy: Proxy,
    app: String,
    ns: String,
}

impl Behind {
    fn synced(name: &str, objects: usize) -> Self {
        let proxy = Proxy::start(&ControlPlane::shared().kubeconfig("greffier"));
        let (app, ns) = (format!("{name}-web"), namespace(name));
        let greffier = Greffier::new()
            .connecting_as(proxy.kubeconfig())
            .configure("[cluster]\nrequest_timeout = \"2s\"\nwrite_timeout = \"1s\"");
        for n in 0..objects {
            greffier.repo.write(&file(n), &config_map(&format!("c{n}"), "0"));
        }
        greffier.repo.push("first");
        let root = application(&app, &greffier.repo.url(), "web", &ns, KEPT);
        let greffier = greffier.root(&root);
        greffier.start();
        greffier.wait_synced(&app, &greffier.repo.head());
        Self { greffier, proxy, app, ns }
    }

    /// Pushes a value for one object.
    fn push(&self, n: usize, value: &str) -> String {
        self.greffier.repo.write(&file(n), &config_map(&format!("c{n}"), value));
        self.greffier.repo.push(value)
    }

    fn value(&self, n: usize) -> String {
        live(&self.ns, &format!("cm/c{n}"), ".data.key")
    }

    fn version(&self, n: usize) -> String {
        live(&self.ns, &format!("cm/c{n}"), ".metadata.resourceVersion")
    }

    fn kubectl(&self, args: &[&str]) {
        let mut all = vec!["-n", &self.ns];
        all.extend(args);
        ControlPlane::shared().kubectl_ok("alice", &all);
    }

    /// One fault for the next write of `c0`, which has to be overcome; returns what was found.
    fn overcomes(&self, fault: Fault, value: &str) -> Audit {
        let met = self.proxy.met().len();
        self.proxy.rule("PATCH", "/configmaps/c0?", 1, fault.clone());
        let commit = self.push(0, value);
        self.greffier.wait_synced(&self.app, &commit);
        assert_eq!(self.value(0), value, "{fault:?}");
        assert_eq!(self.proxy.met().len(), met + 1, "{fault:?}");
        checked(&self.greffier, &self.ns)
    }
}

fn file(n: usize) -> String {
    format!("web/c{n}.yaml")
}

#[test]
fn a_freeze_and_a_revert_stop_what_an_intent_has_not_sent_yet() {
    let proxy = Proxy::start(&ControlPlane::shared().kubeconfig("greffier"));
    let (app, ns) = ("halfway-web", namespace("halfway"));
    let greffier = Greffier::new()
        .connecting_as(proxy.kubeconfig())
        .configure("[cluster]\nrequest_timeout = \"60s\"\nwrite_timeout = \"60s\"");
    let write = |greffier: &Greffier, value: u32| {
        greffier.repo.write(&file(0), &config_map("c0", &value.to_string()));
        greffier.repo.write("web/d.yaml", &deployment("d", "image", value));
    };
    write(&greffier, 1);
    greffier.repo.write(&file(1), &config_map("c1", "0"));
    greffier.repo.push("first");
    let root = application(app, &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(app, &greffier.repo.head());
    let not_sent = |event: &serde_json::Value, why: &str| {
        event["kind"] == "apply.outcome"
            && event["detail"]["app"] == app
            && event["detail"]["results"].to_string().contains(why)
    };
    // The ConfigMap is under way; the Deployment and the prune come after it.
    proxy.rule("PATCH", "/configmaps/c0?", 2, Fault::Held);
    let held = |n: usize| until("it is held", || (proxy.met().len() == n).then_some(()));
    write(&greffier, 2);
    let broken = greffier.repo.remove(&file(1)).push("second");
    held(1);
    greffier.cli_ends(0, &["freeze", "--reason", "stop"]);
    proxy.release();
    greffier.wait("what was not sent", |event| not_sent(event, "greffier was frozen"));
    let replicas = || live(&ns, "deploy/d", ".spec.replicas");
    assert_eq!((replicas(), live(&ns, "cm/c1", ".data.key")), ("1".into(), "0".into()));
    greffier.cli_ends(0, &["unfreeze"]);
    greffier.wait_synced(app, &broken);
    assert_eq!((replicas(), live(&ns, "cm/c1", ".data.key")), ("2".into(), String::new()));
    // The same with a revert: what the newer render wants again is not pruned by the older.
    greffier.repo.write(&file(1), &config_map("c1", "1"));
    let third = greffier.repo.push("third");
    greffier.wait_synced(app, &third);
    write(&greffier, 3);
    greffier.repo.remove(&file(1)).push("fourth");
    held(2);
    let uid = live(&ns, "cm/c1", ".metadata.uid");
    greffier.repo.git(&["revert", "--no-edit", "HEAD"]);
    let reverted = greffier.repo.push("revert");
    greffier.wait("the render of the revert", |event| {
        event["kind"] == "render.succeeded" && event.to_string().contains(&reverted)
    });
    proxy.release();
    greffier.wait_synced(app, &reverted);
    assert_eq!(live(&ns, "cm/c1", ".metadata.uid"), uid, "it was deleted and made anew");
    checked(&greffier, &ns);
}

#[test]
fn a_refusal_that_passes_is_overcome() {
    let behind = Behind::synced("overcome", 1);
    for (n, fault) in [
        Fault::Refuse(409, None),
        Fault::Refuse(429, Some(1)),
        Fault::Refuse(500, None),
        Fault::Refuse(503, None),
        Fault::CutBefore,
    ]
    .into_iter()
    .enumerate()
    {
        let audit = behind.overcomes(fault, &format!("v{n}"));
        // What was refused by the proxy never arrived.
        assert_eq!(audit.intended, audit.writes + n + 1, "{audit:?}");
    }
}

#[test]
fn what_the_api_server_calls_invalid_ends_the_sync_and_is_tried_again() {
    let behind = Behind::synced("invalid", 1);
    behind.proxy.rule("PATCH", "/configmaps/c0?", 1, Fault::Refuse(422, None));
    let commit = behind.push(0, "v1");
    let failed = behind.greffier.wait("the refusal", |event| {
        event["kind"] == "sync.finished" && event["detail"]["succeeded"] == false
    });
    assert!(failed["detail"]["message"].as_str().unwrap().contains("422"), "{failed}");
    behind.greffier.wait_synced(&behind.app, &commit);
    assert_eq!(behind.value(0), "v1");
}

#[test]
fn a_write_whose_answer_is_lost_is_settled_by_looking_and_not_made_again() {
    let behind = Behind::synced("lost", 1);
    for (n, fault) in [Fault::CutAfter, Fault::SilentAfter].into_iter().enumerate() {
        let audit = behind.overcomes(fault, &format!("v{n}"));
        // It arrived once, and the cluster shows it as made.
        assert_eq!(audit.intended, audit.writes, "{audit:?}");
        behind.greffier.wait("the settlement", |event| event["kind"] == "apply.settled");
    }
    let version = behind.version(0);
    behind.greffier.kill();
    behind.greffier.start();
    behind.greffier.wait_after(behind.greffier.seq() - 1, "anything", |_| true);
    assert_eq!(behind.version(0), version);
}

#[test]
fn a_write_that_never_arrived_is_made_once_it_cannot_arrive_any_more() {
    let behind = Behind::synced("silent", 1);
    let audit = behind.overcomes(Fault::SilentBefore, "v1");
    assert_eq!(audit.intended, audit.writes + 1, "{audit:?}");
    let events = behind.greffier.json(&["log", "--all", "-n", "100000", "-o", "json"]);
    let events = events.as_array().unwrap();
    let intents = events.iter().filter(|event| event["kind"] == "apply.intent");
    let mut seqs: Vec<u64> = intents.map(|event| event["seq"].as_u64().unwrap()).collect();
    seqs.sort_unstable();
    let [.., lost, made] = seqs[..] else { panic!("{seqs:?}") };
    let settled = events
        .iter()
        .find(|event| event["detail"]["intent"] == lost && event["kind"] == "apply.settled");
    let settled = settled.expect("the lost write is settled");
    assert!(settled["seq"].as_u64().unwrap() < made, "made again before it was settled");
}

#[test]
fn a_deletion_that_no_watch_showed_is_found_by_the_next_list() {
    let behind = Behind::synced("missed", 2);
    behind.proxy.hide_deletions(true);
    behind.kubectl(&["delete", "cm", "c0"]);
    // Greffier cannot know; something else shows that the watch goes on.
    let commit = behind.push(1, "v1");
    behind.greffier.wait_synced(&behind.app, &commit);
    assert_eq!(behind.value(0), "");
    behind.proxy.expire_watches();
    until("it is put back", || (behind.value(0) == "0").then_some(()));
    let gone = behind.greffier.wait("the discovery", |event| {
        event["kind"] == "object.gone" && event["detail"]["key"]["name"] == "c0"
    });
    assert_eq!(gone["detail"]["learned"], "Listed", "{gone}");
    checked(&behind.greffier, &behind.ns);
}

#[test]
fn what_happens_while_watches_expire_or_break_is_not_lost() {
    // Each round has its own objects: the fourth time on the same one would make a contest.
    let behind = Behind::synced("expire", 13);
    for round in 0..6 {
        let (edited, deleted) = (1 + round, 7 + round);
        let break_them = if round % 2 == 0 { Proxy::expire_watches } else { Proxy::cut_watches };
        break_them(&behind.proxy);
        let patch = r#"{"data":{"key":"hand"}}"#;
        behind.kubectl(&["patch", "cm", &format!("c{edited}"), "--type=merge", "-p", patch]);
        behind.kubectl(&["delete", "cm", &format!("c{deleted}")]);
        let commit = behind.push(0, &format!("v{round}"));
        behind.greffier.wait_synced(&behind.app, &commit);
        until("everything is as Git says", || {
            let values = [behind.value(0), behind.value(edited), behind.value(deleted)];
            (values == [format!("v{round}"), "0".into(), "0".into()]).then_some(())
        });
    }
    checked(&behind.greffier, &behind.ns);
}

#[test]
fn an_api_server_that_takes_connections_and_never_answers_is_outlasted() {
    let behind = Behind::synced("halfopen", 1);
    behind.proxy.fall_silent(true);
    behind.proxy.cut_watches();
    let commit = behind.push(0, "v1");
    behind.greffier.wait("the loss", |event| event["kind"] == "cluster.lost");
    behind.proxy.fall_silent(false);
    behind.greffier.wait_synced(&behind.app, &commit);
    assert_eq!(behind.value(0), "v1");
    checked(&behind.greffier, &behind.ns);
}

#[test]
fn many_faults_at_once_end_as_git_says() {
    let behind = Behind::synced("storm", 8);
    let faults = [
        Fault::Refuse(409, None),
        Fault::CutAfter,
        Fault::Refuse(429, Some(1)),
        Fault::SilentAfter,
        Fault::Refuse(500, None),
        Fault::CutBefore,
        Fault::Refuse(410, None),
        Fault::Refuse(504, None),
    ];
    for round in 0..4 {
        for (n, fault) in faults.iter().enumerate() {
            let path = format!("/configmaps/c{}?", (n + round) % 8);
            behind.proxy.rule("PATCH", &path, 1, fault.clone());
            let content = config_map(&format!("c{n}"), &format!("v{round}"));
            behind.greffier.repo.write(&file(n), &content);
        }
        behind.proxy.rule("GET", "/configmaps", 2, Fault::Refuse(500, None));
        let commit = behind.greffier.repo.push(&format!("round {round}"));
        if round % 2 == 1 {
            behind.greffier.kill();
            behind.greffier.start();
        }
        behind.greffier.wait_synced(&behind.app, &commit);
    }
    until("everything is as Git says", || (0..8).all(|n| behind.value(n) == "v3").then_some(()));
    assert!(behind.proxy.met().len() >= 24, "{:?}", behind.proxy.met());
    checked(&behind.greffier, &behind.ns);
}
