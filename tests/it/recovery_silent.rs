//! A replay of objects for which a program of the cluster has to answer, while none does: a
//! conversion webhook and an aggregated API without pods, on a real API server. Nothing hangs, what
//! cannot be written is named, and the rest is there.

use serde_json::{Value, json};

use crate::cluster::{ControlPlane, Options};
use crate::daemon::{Greffier, KEPT, application};
use crate::recovery::{jsonpath, onto, target};

const NS: &str = "silent";
const OLD: &str = "Widget.example.org/silent/old";
const METRIC: &str = "Metric.metrics.example.org/silent/some";

/// Nothing runs behind either Service.
const ESTATE: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: plain, namespace: silent}
data: {key: value}
---
apiVersion: v1
kind: Service
metadata: {name: converter, namespace: silent}
spec: {selector: {app: converter}, ports: [{port: 443}]}
---
apiVersion: v1
kind: Service
metadata: {name: metrics, namespace: silent}
spec: {selector: {app: metrics}, ports: [{port: 443}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  scope: Namespaced
  conversion:
    strategy: Webhook
    webhook:
      conversionReviewVersions: [v1]
      clientConfig: {service: {namespace: silent, name: converter, path: /convert, port: 443}}
  versions:
  - name: v1
    served: true
    storage: false
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
  - name: v2
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: old, namespace: silent}
spec: {size: 1}
---
apiVersion: example.org/v2
kind: Widget
metadata: {name: new, namespace: silent}
spec: {size: 2}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.metrics.example.org}
spec:
  group: metrics.example.org
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {namespace: silent, name: metrics, port: 443}
---
apiVersion: metrics.example.org/v1
kind: Metric
metadata: {name: some, namespace: silent}
spec: {of: widgets}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: silent}
webhooks:
- name: silent.example.org
  clientConfig: {service: {namespace: silent, name: converter, path: /validate, port: 443}}
  failurePolicy: Fail
  sideEffects: None
  timeoutSeconds: 1
  admissionReviewVersions: [v1]
  objectSelector: {matchLabels: {guarded: 'true'}}
  rules: [{apiGroups: [''], resources: [configmaps], apiVersions: [v1], operations: [CREATE]}]
";

/// All but the two for which nobody answers: with the namespace.
const WRITTEN: u64 = 8;

fn plane() -> ControlPlane {
    ControlPlane::start_with(Options { kwok: false, ..Options::default() })
}

/// A greffier that knows what is wanted. It was never in the cluster: nobody answered there either.
fn recorded() -> Greffier {
    let burned = plane();
    let greffier = Greffier::on(&burned);
    let commit = greffier.repo.write("web/all.yaml", ESTATE).push("all of it");
    let web = application("web", &greffier.repo.url(), "web", NS, KEPT);
    let greffier = greffier.root(&web);
    greffier.start();
    greffier.wait("it is rendered", |event| {
        event["kind"] == "render.succeeded" && event["commit"] == *commit
    });
    greffier.stop();
    greffier
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The objects that were not written, each with why.
fn failed(report: &Value) -> Vec<(&str, &str)> {
    let failed = report["failed"].as_array().unwrap_or_else(|| panic!("{report}"));
    failed
        .iter()
        .map(|one| (one["object"].as_str().unwrap(), one["why"].as_str().unwrap()))
        .collect()
}

#[test]
fn what_nobody_answers_for_is_named_and_holds_up_nothing_else() {
    let greffier = recorded();
    let fresh = plane();
    let new = target(&fresh);
    let args = ["--yes", "--wait", "1s", "-o", "json"];
    let (report, _) = greffier.cli_ends(8, &onto(&new, &args));
    let report = parsed(&report);
    let named: Vec<&str> = failed(&report).iter().map(|(object, _)| *object).collect();
    assert_eq!(named, [OLD, METRIC], "in the order of the plan: {report}");
    for (_, why) in failed(&report) {
        assert!(why.ends_with("(1 tries)"), "it was waited for in vain already: {why}");
    }
    assert_eq!((&report["written"], &report["differs"]), (&WRITTEN.into(), &json!([])));
    let notes = report["notes"].to_string();
    for note in [
        "Service/silent/converter: nothing answers for it, which converts",
        "APIService.apiregistration.k8s.io/v1.metrics.example.org: not Available",
        "ValidatingWebhookConfiguration.admissionregistration.k8s.io/silent: nothing answers",
    ] {
        assert!(notes.contains(note), "{note}: {notes}");
    }
    assert_eq!(jsonpath(&fresh, &["-n", NS, "cm", "plain"], ".data.key"), "value");
    assert_eq!(jsonpath(&fresh, &["-n", NS, "widgets.v2.example.org", "new"], ".spec.size"), "2");

    // It can be gone on with and compared as long as nobody answers, and somebody's object that
    // nobody can convert is no object that is not there.
    let theirs = "apiVersion: example.org/v2\nkind: Widget\nmetadata: {name: old, namespace: silent}\nspec: {size: 9}\n";
    fresh.apply("alice", theirs);
    let (compared, _) = greffier.cli_ends(1, &onto(&new, &["--verify", "-o", "json"]));
    assert_eq!(failed(&parsed(&compared)).len(), 2, "{compared}");
    let (report, said) =
        greffier.cli_ends(8, &onto(&new, &[&["--resume"], args.as_slice()].concat()));
    let report = parsed(&report);
    assert!(said.contains("--abandon"), "{said}");
    let (old, metric) = (failed(&report)[0], failed(&report)[1]);
    assert_eq!((old.0, metric.0), (OLD, METRIC), "{report}");
    assert!(old.1.contains("whether it is there is not known"), "{report}");
    assert_eq!(report["written"], WRITTEN, "{report}");
    let size = jsonpath(&fresh, &["-n", NS, "widgets.v2.example.org", "old"], ".spec.size");
    assert_eq!(size, "9", "left alone");

    // Once it can be written, it is; the rest stays named.
    fresh.kubectl_ok("alice", &["delete", "-n", NS, "widgets.v2.example.org", "old"]);
    let none = r#"[{"op": "replace", "path": "/spec/conversion", "value": {"strategy": "None"}}]"#;
    let patch = ["patch", "crd", "widgets.example.org", "--type=json", "-p", none];
    fresh.kubectl_ok("alice", &patch);
    let (report, _) = greffier.cli_ends(8, &onto(&new, &[&["--resume"], args.as_slice()].concat()));
    let report = parsed(&report);
    let named: Vec<&str> = failed(&report).iter().map(|(object, _)| *object).collect();
    assert_eq!((named.as_slice(), &report["now"]), (&[METRIC][..], &1.into()), "{report}");
    assert_eq!(jsonpath(&fresh, &["-n", NS, "widgets.v1.example.org", "old"], ".spec.size"), "1");
    let differs = report["differs"].to_string();
    assert!(differs.contains("widgets.example.org"), "somebody changed it: {report}");
    // Nobody began another meanwhile, and what was begun is one.
    let begun = greffier.json(&["log", "--kind", "recovery.begun", "--all", "-o", "json"]);
    assert_eq!(begun.as_array().unwrap().len(), 1);
}
