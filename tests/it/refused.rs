//! What is asked for and the API server refuses, on a real API server.

use crate::cluster::ControlPlane;
use crate::daemon::{config_map, until};
use crate::keep::{kept, live};

/// Goal: whoever brings back what the API server refuses learns that at once, and what it said; when
/// the way is free, it is brought back as it was asked for.
#[test]
fn what_the_api_server_refuses_to_bring_back_is_not_said_to_be_back() {
    let files = [
        ("web/a.yaml", &*config_map("a", "one")),
        ("web/b.yaml", &*config_map("b", "one")),
        ("web/c.yaml", &*config_map("c", "one")),
    ];
    let (greffier, app, ns) = kept("refused", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    let then = format!("#{}", greffier.seq());
    greffier.repo.remove("web/b.yaml");
    greffier.wait_synced(&app, &greffier.repo.push("second"));
    until("b is pruned", || live(&ns, "cm/b", ".data.key").is_empty().then_some(()));
    let plane = ControlPlane::shared();
    plane.kubectl_ok("admin", &["create", "quota", "few", "-n", &ns, "--hard=configmaps=2"]);
    // The controller that counts waits for half a minute and more whenever a kind comes or goes, as
    // kinds do in other tests; admission goes by what is written, whoever wrote it.
    let full = r#"{"status": {"hard": {"configmaps": "2"}, "used": {"configmaps": "2"}}}"#;
    let patch = ["patch", "quota", "few", "-n", &ns, "--subresource=status", "--type=merge"];
    plane.kubectl_ok("admin", &[&patch[..], &["-p", full]].concat());
    until("the quota is kept", || {
        let mut probe = plane.kubectl("admin");
        let probed = probe.args(["create", "configmap", "probe", "-n", &ns]).output().unwrap();
        String::from_utf8_lossy(&probed.stderr).contains("exceeded quota").then_some(())
    });

    let b = format!("ConfigMap/{ns}/b");
    let (_, said) = greffier.cli_ends(8, &["restore", &b, "--to", &then, "--yes"]);
    assert!(said.contains("not all of it is done") && said.contains("exceeded quota"), "{said}");
    assert_eq!(live(&ns, "cm/b", ".data.key"), "");
    // Held all the same: it comes as soon as it may.
    plane.kubectl_ok("admin", &["delete", "quota/few", "-n", &ns]);
    until("b is back", || (live(&ns, "cm/b", ".data.key") == "one").then_some(()));
    greffier.cli_ends(0, &["release", &b, "--yes"]);
    until("b is pruned", || live(&ns, "cm/b", ".data.key").is_empty().then_some(()));
    // What is not refused is there when the command ends.
    greffier.cli_ends(0, &["restore", &b, "--to", &then, "--yes"]);
    assert_eq!(live(&ns, "cm/b", ".data.key"), "one");
}
