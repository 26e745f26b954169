//! Who signed what is in the cluster: from a commit's signature to the answers, with a daemon and
//! without.

use std::process::Command;

use serde_json::Value;

use crate::daemon::{Greffier, KEPT, application, config_map};
use crate::keep::namespace;

/// Pushes a commit that is signed with the key `name`.
fn push_signed(greffier: &Greffier, name: &str, value: &str) -> String {
    greffier.repo.write("web/c.yaml", &config_map("one", value)).git(&["add", "-A"]);
    let key = format!("user.signingKey={}", greffier.path(name).display());
    greffier.repo.git(&["-c", "gpg.format=ssh", "-c", &key, "commit", "-q", "-S", "-m", value]);
    greffier.repo.git(&["push", "-q", "origin", "HEAD:main"]);
    greffier.repo.head()
}

/// Makes a key; returns its fingerprint.
fn key(greffier: &Greffier, name: &str) -> String {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]);
    assert!(command.arg(greffier.path(name)).status().unwrap().success());
    let output = Command::new("ssh-keygen").arg("-lf").arg(greffier.path(name)).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
}

/// The signer of the last commit in the chain of causes of the ConfigMap's value.
fn signer_in_chain(greffier: &Greffier, ns: &str) -> Value {
    let why = greffier.json(&["why", "cm/one", "-n", ns, "--field", ".data.key", "-o", "json"]);
    let link = why["chain"].as_array().unwrap().iter().find(|link| link["kind"] == "git.commit");
    let who = link.unwrap_or_else(|| panic!("no commit in {why:#}"))["who"].as_array().unwrap();
    who.iter().find(|claim| claim["role"] == "signer").unwrap().clone()
}

#[test]
fn the_signer_of_a_commit_is_named_where_the_signature_was_verified() {
    let (app, ns) = ("signed", namespace("signed"));
    let greffier = Greffier::new();
    let (alice, mallory) = (key(&greffier, "alice"), key(&greffier, "mallory"));
    let public = std::fs::read_to_string(greffier.path("alice.pub")).unwrap();
    let allowed = greffier.path("allowed");
    std::fs::write(&allowed, format!("alice@example.org {public}")).unwrap();
    let root = application(app, &greffier.repo.url(), "web", &ns, KEPT);
    let config = format!(
        "[git]\nallowed_signers = \"{}\"\n[[person]]\nname = \"Alice Martin\"\nsigners = [\"{alice}\"]",
        allowed.display()
    );
    let first = push_signed(&greffier, "alice", "1");
    let greffier = greffier.configure(&config).root(&root);
    greffier.start();
    greffier.wait_synced(app, &first);
    let seen = |value: &str| {
        let observed = greffier.wait("the object", |event| {
            let detail = &event["detail"];
            event["kind"] == "object.observed"
                && detail["key"]["name"] == "one"
                && detail["key"]["namespace"] == ns.as_str()
                && detail["managers"].to_string().contains(value)
        });
        format!("#{}", observed["seq"])
    };
    let observed = seen("greffier");
    let shown = |greffier: &Greffier| {
        let event = greffier.json(&["show", &observed, "-o", "json"]);
        event["who"]["own"]["signature"].clone()
    };
    let signature = shown(&greffier);
    assert_eq!(signature["verdict"], "valid", "{signature:#}");
    assert_eq!(signature["principal"], "alice@example.org");
    assert_eq!(signature["key"], alice.as_str());
    assert_eq!(signature["person"], "Alice Martin");
    let (text, _) = greffier.cli_ends(0, &["show", &observed]);
    let expected = format!("Alice Martin (alice@example.org, SSH key {alice})");
    assert!(text.contains(&expected), "{text}");
    let claim = signer_in_chain(&greffier, &ns);
    assert_eq!(
        (&claim["name"], &claim["strength"]),
        (&"alice@example.org".into(), &"exact".into())
    );

    let second = push_signed(&greffier, "mallory", "2");
    greffier.wait_synced(app, &second);
    let claim = signer_in_chain(&greffier, &ns);
    assert_eq!(claim["name"], format!("SSH key {mallory}"), "{claim:#}");
    let log = greffier.json(&["log", "--all", "--kind", "git.commit", "-o", "json"]);
    let rows = log.as_array().unwrap();
    let signed_by = rows.iter().filter(|row| row["summary"].to_string().contains("signed by"));
    assert_eq!(signed_by.count(), 1, "nobody is named for another key: {log:#}");
    greffier.stop();
    assert_eq!(shown(&greffier), signature, "without a daemon");
    assert_eq!(signer_in_chain(&greffier, &ns), claim, "without a daemon");
}
