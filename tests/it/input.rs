//! Bad input: each gives a clear message for that application alone, and the last good desired
//! state stays in force, self-heal included.

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, deployment, until};
use crate::keep::{kept, live, namespace};

/// Pushes `files` over a good state and expects a render failure that says all of `words`; then
/// that drift from the last good state is still healed.
fn bad_render(name: &str, files: &[(&str, &str)], words: &[&str]) {
    let (greffier, app, ns) = kept(name, &[("web/good.yaml", &config_map("good", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    for (path, content) in files {
        greffier.repo.write(path, content);
    }
    greffier.repo.write("web/good.yaml", &config_map("good", "2"));
    greffier.repo.push("bad");
    let failed = greffier.wait_kind("render.failed", &app);
    let error = failed["detail"]["error"].as_str().unwrap();
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
    ControlPlane::shared().kubectl_ok("alice", &["delete", "cm/good", "-n", &ns]);
    until("the last good state is healed", || {
        (live(&ns, "cm/good", ".data.key") == "1").then_some(())
    });
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains(words[0]), "{status}");
}

#[test]
fn invalid_yaml_is_named_with_file_and_line() {
    bad_render(
        "yaml",
        &[("web/bad.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n")],
        &["bad.yaml"],
    );
}

#[test]
fn duplicate_keys_are_named_with_file_and_line() {
    let text =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  a: \"1\"\n  a: \"2\"\n";
    bad_render("dupkey", &[("web/bad.yaml", text)], &["bad.yaml:7"]);
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n",
    );
    for n in 1..10 {
        let line: Vec<String> = (0..10).map(|_| format!("*a{}", n - 1)).collect();
        text.push_str(&format!("a{n}: &a{n} [{}]\n", line.join(", ")));
    }
    bad_render("bomb", &[("web/bad.yaml", &text)], &["bad.yaml"]);
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let text = format!("# {}\n", "x".repeat(100 << 20));
    bad_render("huge", &[("web/bad.yaml", &text)], &["bad.yaml"]);
}

#[test]
fn a_missing_chart_file_and_a_missing_dependency_are_named() {
    bad_render(
        "nochart",
        &[(
            "web/Chart.yaml",
            "apiVersion: v2\nname: web\nversion: 0.1.0\ndependencies:\n  - name: redis\n    version: 1.0.0\n    repository: https://charts.example.org\n",
        )],
        &["redis"],
    );
}

#[test]
fn an_object_that_is_defined_twice_is_named_with_both_places() {
    bad_render("twice", &[("web/x.yaml", &config_map("good", "3"))], &["good", "x.yaml"]);
}

#[test]
fn a_symlink_out_of_the_repository_is_refused() {
    let (greffier, app, ns) = kept("link", &[("web/good.yaml", &config_map("good", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    std::os::unix::fs::symlink("/etc/passwd", greffier.repo.work.join("web/bad.yaml")).unwrap();
    greffier.repo.push("link");
    let failed = greffier.wait_kind("render.failed", &app);
    assert!(failed["detail"]["error"].as_str().unwrap().contains("bad.yaml"), "{failed}");
    assert!(!failed.to_string().contains("root:"), "{failed}");
    assert_eq!(live(&ns, "cm/good", ".data.key"), "1");
}

#[test]
fn tabs_after_scalars_are_valid() {
    let text = "apiVersion: v1\t\nkind: ConfigMap\t# a comment\nmetadata:\n  name: tabs\t\ndata:\n  key: \"1\"\t\n";
    let (greffier, app, ns) = kept("tabs", &[("web/c.yaml", text)]);
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(live(&ns, "cm/tabs", ".data.key"), "1");
}

#[test]
fn an_unreachable_repository_is_said_once_and_recovers() {
    let ns = namespace("unreach");
    let greffier = Greffier::new().configure("[git]\npoll_interval = \"1s\"");
    let away = greffier.path("away.git");
    std::fs::rename(&greffier.repo.bare, &away).unwrap();
    let root = application("unreach-web", &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    let failed = greffier.wait("the failure", |event| event["kind"] == "git.fetch-failed");
    assert!(failed["detail"]["error"].as_str().unwrap().contains("infra.git"), "{failed}");
    std::fs::rename(&away, &greffier.repo.bare).unwrap();
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    let commit = greffier.repo.push("first");
    greffier.wait_synced("unreach-web", &commit);
}

#[test]
fn an_empty_repository_and_an_unknown_revision_are_said_and_mend_themselves() {
    let ns = namespace("unknown");
    let greffier = Greffier::new();
    let root = application("unknown-web", &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    let failed = greffier.wait_kind("render.failed", "unknown-web");
    assert!(failed["detail"]["error"].as_str().unwrap().contains("main"), "{failed}");
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    let commit = greffier.repo.push("first");
    greffier.wait_synced("unknown-web", &commit);
    // The branch is deleted: the last good state stays.
    greffier.repo.git(&["push", "-q", "origin", "main:other"]);
    crate::daemon::run(crate::daemon::git(&greffier.repo.bare).args([
        "symbolic-ref",
        "HEAD",
        "refs/heads/other",
    ]));
    greffier.repo.git(&["push", "-q", "origin", ":main"]);
    greffier.wait_after(failed["seq"].as_u64().unwrap(), "the second failure", |event| {
        event["kind"] == "render.failed" && event["detail"]["app"] == "unknown-web"
    });
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1");
}

#[test]
fn a_force_push_is_recorded_as_rewritten_history_and_followed_when_somebody_says_so() {
    let (greffier, app, ns) = kept("force", &[("web/c.yaml", &config_map("one", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let old = greffier.repo.head();
    greffier.repo.write("web/c.yaml", &config_map("one", "2"));
    greffier.repo.git(&["add", "-A"]);
    greffier.repo.git(&["commit", "-q", "--amend", "-m", "rewritten"]);
    greffier.repo.git(&["push", "-q", "--force", "origin", "main"]);
    let event = greffier.wait("the rewrite", |event| event["kind"] == "git.history-rewritten");
    assert_eq!(event["detail"]["old"], old.as_str());
    greffier.wait("the gate", |event| event["kind"] == "plan.gated");
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1", "the commit that was applied is dropped");
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(live(&ns, "cm/one", ".data.key"), "2");
}

#[test]
fn a_kind_that_is_not_served_waits_by_name_while_its_siblings_are_applied() {
    let widget = "apiVersion: nowhere.example.org/v1\nkind: Gadget\nmetadata:\n  name: g\n";
    let (greffier, app, ns) =
        kept("nokind", &[("web/g.yaml", widget), ("web/c.yaml", &config_map("one", "1"))]);
    let event = greffier.wait_kind("plan.suspended", &app);
    assert!(event["detail"]["reasons"].to_string().contains("Gadget"), "{event}");
    until("the sibling is applied", || (live(&ns, "cm/one", ".data.key") == "1").then_some(()));
}

#[test]
fn what_the_api_server_refuses_is_reported_and_its_siblings_are_applied() {
    let bad = "apiVersion: v1\nkind: Service\nmetadata:\n  name: bad\nspec:\n  ports:\n    - port: 123456\n";
    let (greffier, app, ns) =
        kept("refused", &[("web/bad.yaml", bad), ("web/c.yaml", &config_map("one", "1"))]);
    let event = greffier.wait("the refusal", |event| {
        event["kind"] == "apply.outcome" && event["detail"].to_string().contains("Refused")
    });
    assert!(event["detail"].to_string().contains("123456"), "{event}");
    until("the sibling is applied", || (live(&ns, "cm/one", ".data.key") == "1").then_some(()));
    let finished = greffier.wait("the end of the sync", |event| {
        event["kind"] == "sync.finished" && event["detail"]["app"] == app.as_str()
    });
    assert_eq!(finished["detail"]["succeeded"], false, "{finished}");
    // Corrected, it goes through at once.
    greffier.repo.write("web/bad.yaml", &bad.replace("123456", "80"));
    let commit = greffier.repo.push("correct");
    greffier.wait_synced(&app, &commit);
}

#[test]
fn an_immutable_field_is_refused_and_said() {
    let (greffier, app, ns) = kept("immutable", &[("web/d.yaml", &deployment("web", "app:v1", 1))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let changed = deployment("web", "app:v2", 1).replace("app: web}", "app: other}");
    greffier.repo.write("web/d.yaml", &changed);
    greffier.repo.push("another selector");
    let event = greffier.wait("the refusal", |event| {
        event["kind"] == "apply.outcome" && event["detail"].to_string().contains("Refused")
    });
    assert!(event["detail"].to_string().contains("immutable"), "{event}");
    assert_eq!(live(&ns, "deploy/web", ".spec.template.spec.containers[0].image"), "app:v1");
}

#[test]
fn restraints_that_are_not_honoured_suspend_exactly_their_writes() {
    let hook = "apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations: {argocd.argoproj.io/hook: PreSync}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: m, image: m}]}
";
    let keep = config_map("kept", "1").replace(
        "metadata:\n",
        "metadata:\n  annotations: {argocd.argoproj.io/sync-options: Prune=false}\n",
    );
    let (greffier, app, ns) = kept(
        "holds",
        &[
            ("web/hook.yaml", hook),
            ("web/kept.yaml", &keep),
            ("web/c.yaml", &config_map("one", "1")),
            ("web/d.yaml", &config_map("two", "1")),
        ],
    );
    let event = greffier.wait_kind("plan.suspended", &app);
    assert!(event["detail"]["reasons"].to_string().contains("hook PreSync"), "{event}");
    until("the others are applied", || (live(&ns, "cm/kept", ".data.key") == "1").then_some(()));
    assert_eq!(live(&ns, "job/migrate", ".metadata.name"), "");
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.remove("web/kept.yaml");
    let commit = greffier.repo.push("remove what must be kept");
    greffier.wait_synced(&app, &commit);
    assert_eq!(live(&ns, "cm/kept", ".data.key"), "1");
}

#[test]
fn a_forbidden_write_is_reported_by_name() {
    let cluster = ControlPlane::shared();
    let ns = namespace("rbac");
    let greffier = Greffier::new().connecting_as(cluster.kubeconfig("limited"));
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    greffier.repo.push("first");
    let root = application("rbac-web", &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    let event = greffier
        .wait("the refusal", |event| event["summary"].as_str().unwrap().contains("forbidden"));
    assert!(event["summary"].as_str().unwrap().contains("limited"), "{event}");
    assert_eq!(live(&ns, "cm/one", ".data.key"), "");
}
