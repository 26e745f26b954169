//! Whole numbers beyond 2⁵³, which are no doubles, on a real API server.

use crate::cluster::ControlPlane;
use crate::daemon::until;
use crate::keep::kept;

const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: chats.numbers.example.org
spec:
  group: numbers.example.org
  names: {kind: Chat, plural: chats, singular: chat}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
";

fn chat(id: &str) -> String {
    format!(
        "apiVersion: numbers.example.org/v1\nkind: Chat\nmetadata: {{name: c}}\nspec: {{id: {id}}}\n"
    )
}

/// Goal: a 64-bit number arrives with every digit, and a difference in the last one is drift and a
/// change. kubectl's own output has doubles, so the API server's bytes are looked at.
#[test]
fn whole_numbers_keep_every_digit_on_their_way_to_the_cluster() {
    let files = [("web/0.yaml", DEFINITION), ("web/1.yaml", &*chat("1234567890123456789"))];
    let (greffier, app, ns) = kept("numbers", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    let path = format!("/apis/numbers.example.org/v1/namespaces/{ns}/chats/c");
    let has = |id: &str| {
        let raw = ControlPlane::shared().kubectl_ok("alice", &["get", "--raw", &path]);
        raw.contains(&format!(r#""id":{id}}}"#))
    };
    assert!(has("1234567890123456789"));

    let patch = r#"{"spec":{"id":1234567890123456788}}"#;
    let args = ["patch", "chats.numbers.example.org/c", "-n", &ns, "--type=merge", "-p", patch];
    ControlPlane::shared().kubectl_ok("alice", &args);
    let drift = greffier.wait("the drift", |event| {
        event["kind"] == "drift.detected" && event["detail"]["key"]["kind"] == "Chat"
    });
    let summary = drift["summary"].as_str().unwrap();
    assert!(summary.contains("1234567890123456789 → 1234567890123456788"), "{summary}");
    until("it is put back", || has("1234567890123456789").then_some(()));

    greffier.repo.write("web/1.yaml", &chat("1234567890123456790"));
    let second = greffier.repo.push("one more");
    greffier.wait_synced(&app, &second);
    assert!(has("1234567890123456790"));
}
