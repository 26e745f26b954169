//! A ledger that has lost manifests, on real API servers: what cannot come back is named object by
//! object before anything is written, and the rest comes back whole.

use std::fs;

use serde_json::{Value, json};

use crate::cluster::{ControlPlane, Options};
use crate::daemon::{Greffier, KEPT, application, config_map};
use crate::recovery::{jsonpath, onto, target};

const NS: &str = "lost";
const DEFINITION: &str = "CustomResourceDefinition.apiextensions.k8s.io/widgets.example.org";

const WIDGETS: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: round}
spec: {size: 1}
";

fn plane() -> ControlPlane {
    ControlPlane::start_with(Options { kwok: false, ..Options::default() })
}

/// The address of the manifest that the first render had of an object.
fn manifest(greffier: &Greffier, name: &str) -> String {
    let renders =
        greffier.json(&["log", "--kind", "render.succeeded", "--all", "-n", "100", "-o", "json"]);
    let first = renders.as_array().unwrap().iter().min_by_key(|event| event["seq"].as_u64());
    let objects = first.unwrap()["detail"]["objects"].as_array().unwrap();
    let object = objects.iter().find(|object| object["key"]["name"] == name);
    object.unwrap_or_else(|| panic!("{objects:?}"))["manifest"].as_str().unwrap().to_owned()
}

/// Takes a blob out of the ledger's files: its record stays, under an address that nobody asks
/// for, so that nothing else is damaged.
fn cut(greffier: &Greffier, address: &str) {
    let byte = |at: usize| u8::from_str_radix(&address[at..at + 2], 16).unwrap();
    let address: Vec<u8> = (0..address.len()).step_by(2).map(byte).collect();
    let mut cut = 0;
    for entry in fs::read_dir(greffier.path("data/ledger/segments")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let places = bytes.windows(address.len()).enumerate();
        let places = places.filter(|(_, window)| *window == address).map(|(at, _)| at);
        // A record: length, checksum of what is not the checksum, type (2 = a blob), address.
        let blobs: Vec<usize> = places.filter(|at| *at > 9 && bytes[at - 1] == 2).collect();
        for at in blobs {
            let record = at - 9;
            let length: [u8; 4] = bytes[record..record + 4].try_into().unwrap();
            let end = at + u32::from_be_bytes(length) as usize;
            let checksum = |bytes: &[u8]| {
                crc32c::crc32c_append(
                    crc32c::crc32c(&bytes[record..record + 4]),
                    &bytes[at - 1..end],
                )
            };
            if bytes.len() < end || bytes[record + 4..at - 1] != checksum(&bytes).to_be_bytes() {
                continue; // The event that names it.
            }
            bytes[at..at + 16].reverse();
            let sum = checksum(&bytes).to_be_bytes();
            bytes[record + 4..at - 1].copy_from_slice(&sum);
            cut += 1;
        }
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(cut, 1, "a manifest is stored once");
}

/// What would be missing of the first commit, and of it all but the first now.
const LOST: [(&str, &str); 3] = [
    ("blob-missing", "ConfigMap/lost/one"),
    ("blob-missing", DEFINITION),
    ("not-served", "Widget.example.org/lost/round"),
];

fn expected(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(kind, subject)| ((*kind).to_owned(), (*subject).to_owned())).collect()
}

/// The cluster is there: what a rollback would need is named, and nothing happens.
fn nothing_is_rolled_back(greffier: &Greffier, then: &str) {
    let rollback = ["rollback", "web", "--to", then];
    for more in [["--plan"].as_slice(), &["--yes"]] {
        let (_, said) = greffier.cli_ends(6, &[rollback.as_slice(), more].concat());
        let each = said.lines().filter(|line| line.starts_with("caused by: "));
        let said = each.collect::<Vec<_>>().join("\n");
        assert!(said.contains(&format!("ConfigMap/{NS}/one: its manifest")), "{said}");
        assert!(said.contains(&format!("{DEFINITION}: its manifest")), "{said}");
        assert!(!said.contains("ConfigMap/lost/two") && !said.contains("round"), "{said}");
    }
    let held = greffier.json(&["log", "--kind", "hold.app-begun", "--all", "-o", "json"]);
    assert_eq!(held, json!([]));
}

/// The objects that a plan misses, with why.
fn missing(plan: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let losses = plan["missing"].as_array().unwrap_or_else(|| panic!("{plan}"));
    losses.iter().map(|loss| (text(&loss["kind"]), text(&loss["subject"]))).collect()
}

#[test]
fn what_the_ledger_lost_is_named_by_object_and_the_rest_comes_back() {
    let burned = plane();
    let greffier = Greffier::on(&burned);
    for name in ["one", "two"] {
        greffier.repo.write(&format!("web/{name}.yaml"), &config_map(name, "1"));
    }
    let first = greffier.repo.write("web/widgets.yaml", WIDGETS).push("first");
    let web = application("web", &greffier.repo.url(), "web", NS, KEPT);
    let greffier = greffier.root(&web);
    greffier.start().wait_synced("web", &first);
    let then = format!("#{}", greffier.seq());
    let second = greffier.repo.write("web/one.yaml", &config_map("one", "2")).push("second");
    greffier.wait_synced("web", &second);
    let (one, definition) =
        (manifest(&greffier, "one"), manifest(&greffier, "widgets.example.org"));
    greffier.stop();
    cut(&greffier, &one);
    cut(&greffier, &definition);
    fs::remove_dir_all(greffier.path("data/ledger/sled")).unwrap();

    greffier.start();
    nothing_is_rolled_back(&greffier, &then);
    greffier.stop();
    drop(burned);

    // Without a cluster: what it would be missing now and then, object by object.
    let doctor = |at: &[&str]| -> Value {
        let args = [["doctor", "--recovery", "-o", "json"].as_slice(), at].concat();
        serde_json::from_str(&greffier.cli_ends(1, &args).0).unwrap()
    };
    assert_eq!(missing(&doctor(&[])["plan"]), expected(&LOST[1..]));
    assert_eq!(missing(&doctor(&["--at", &then])["plan"]), expected(&LOST));

    let fresh = plane();
    let new = target(&fresh);
    let at = ["--at", &then, "-o", "json"];
    let (plan, said) = greffier.cli_ends(6, &onto(&new, &[at.as_slice(), &["--plan"]].concat()));
    assert_eq!(missing(&serde_json::from_str(&plan).unwrap()), expected(&LOST));
    let (_, refused) = greffier.cli_ends(6, &onto(&new, &[at.as_slice(), &["--yes"]].concat()));
    for said in [said, refused] {
        let (named, hint) = said.split_once("hint:").unwrap();
        assert_eq!(named.lines().filter(|line| line.starts_with("  ")).count(), 3, "{said}");
        LOST.iter().for_each(|(_, subject)| assert!(named.contains(subject), "{subject}: {said}"));
        assert!(hint.contains("--partial"), "{said}");
    }
    let begun = ["log", "--kind", "recovery.begun", "--all", "-o", "json"];
    assert_eq!(greffier.json(&begun), json!([]), "nothing was recorded");
    let there = fresh.kubectl_ok("admin", &["get", "namespaces", "-o", "name"]);
    assert!(!there.contains(NS), "nothing was written: {there}");

    // Left out by a person: the rest is whole, and what is missing stays named.
    let partial = [at.as_slice(), &["--yes", "--partial"]].concat();
    let (report, _) = greffier.cli_ends(8, &onto(&new, &partial));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(missing(&report), expected(&LOST));
    let nothing = json!([]);
    assert_eq!((&report["failed"], &report["differs"]), (&nothing, &nothing), "{report}");
    assert_eq!((&report["verified"], &report["written"]), (&true.into(), &2.into()), "{report}");
    assert_eq!(jsonpath(&fresh, &["-n", NS, "cm", "two"], ".data.key"), "1");
    let maps = fresh.kubectl_ok("admin", &["get", "cm", "-n", NS, "-o", "name"]);
    assert!(!maps.contains("configmap/one"), "{maps}");
    let recorded = &greffier.json(&begun)[0]["detail"]["lost"];
    for (kind, subject) in LOST {
        let named = json!([kind, subject]);
        assert!(recorded.as_array().unwrap().contains(&named), "{subject}: {recorded}");
    }
}
