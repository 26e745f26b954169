//! What has to answer before an object can be written or read at all: programs of the cluster that
//! are replayed themselves. Pure.
//!
//! An object in another version than the one that its definition is stored in goes through the
//! definition's conversion webhook; an object of an aggregated API through the program behind its
//! APIService. As long as those do not answer, nobody can say whether the object is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::plan::Step;
use crate::model::{GroupKind, ObjectKey};

/// What has to answer for the objects of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backends {
    /// The Service that converts objects of a kind, and the version that needs none.
    converters: BTreeMap<GroupKind, (ObjectKey, String)>,
    /// The APIService of each group version that a program of the cluster serves.
    served: BTreeMap<(String, String), ObjectKey>,
}

impl Backends {
    /// Those of a plan.
    #[must_use]
    pub fn of(steps: &[Step]) -> Self {
        let mut found = Self::default();
        for step in steps {
            let text = |pointer: &str| step.manifest.pointer(pointer).and_then(Value::as_str);
            if step.key.is("apiextensions.k8s.io", "CustomResourceDefinition") {
                if let Some((kind, by)) = converter(&step.manifest) {
                    found.converters.insert(kind, by);
                }
            } else if step.key.is("apiregistration.k8s.io", "APIService")
                && step.manifest.pointer("/spec/service").is_some_and(|service| !service.is_null())
                && let (Some(group), Some(version)) = (text("/spec/group"), text("/spec/version"))
            {
                found.served.insert((group.to_owned(), version.to_owned()), step.key.clone());
            }
        }
        found
    }

    /// What has to answer for an object: a Service that converts it, or an APIService.
    #[must_use]
    pub fn behind(&self, step: &Step) -> Option<&ObjectKey> {
        let converted = self.converters.get(&step.key.group_kind());
        let converted = converted.filter(|(_, stored)| *stored != step.version);
        let api = (step.key.group().to_owned(), step.version.clone());
        converted.map(|(service, _)| service).or_else(|| self.served.get(&api))
    }

    /// The groups that the plan's own APIServices bring.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<&str> {
        self.served.keys().map(|(group, _)| group.as_str()).collect()
    }
}

/// The Service that converts the objects of a definition, and the version that they are stored in.
fn converter(definition: &Value) -> Option<(GroupKind, (ObjectKey, String))> {
    let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str);
    text("/spec/conversion/strategy").filter(|strategy| *strategy == "Webhook")?;
    let service = "/spec/conversion/webhook/clientConfig/service";
    let (namespace, name) =
        (text(&format!("{service}/namespace"))?, text(&format!("{service}/name"))?);
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array)?;
    let stored = versions.iter().find(|version| version["storage"] == true)?;
    let kind = GroupKind::new(text("/spec/group")?, text("/spec/names/kind")?);
    let service = ObjectKey::new("", "Service", namespace, name);
    Some((kind, (service, stored.get("name")?.as_str()?.to_owned())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::recovery::candidate::Candidate;
    use crate::recovery::plan::{Input, plan};
    use crate::recovery::versions::Serving;

    fn backends(manifests: Vec<Value>) -> (Backends, Vec<Step>) {
        let candidates = manifests.into_iter().map(Candidate::wanted).collect();
        let steps = plan(Input { candidates, ..Input::default() }, Serving::unknown()).steps;
        (Backends::of(&steps), steps)
    }

    fn definition(conversion: &Value) -> Value {
        let versions = json!([{"name": "v1", "served": true, "storage": false},
            {"name": "v2", "served": true, "storage": true}]);
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.org"},
            "spec": {"group": "example.org", "names": {"kind": "Widget"}, "versions": versions,
                "conversion": conversion}})
    }

    fn of(api: &str, kind: &str, name: &str) -> Value {
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "prod"}})
    }

    fn behind(manifests: Vec<Value>) -> BTreeMap<String, String> {
        let (backends, steps) = backends(manifests);
        let behind = steps.iter().filter_map(|step| Some((step, backends.behind(step)?)));
        behind.map(|(step, by)| (step.key.name().to_owned(), by.to_string())).collect()
    }

    #[test]
    fn only_what_is_not_in_the_stored_version_is_converted() {
        let service = json!({"namespace": "prod", "name": "converter"});
        let webhook = json!({"strategy": "Webhook",
            "webhook": {"clientConfig": {"service": service}}});
        let objects = |conversion: &Value| {
            vec![
                definition(conversion),
                of("example.org/v1", "Widget", "old"),
                of("example.org/v2", "Widget", "new"),
                of("v1", "ConfigMap", "plain"),
            ]
        };
        let converter = ("old".to_owned(), "Service/prod/converter".to_owned());
        assert_eq!(behind(objects(&webhook)), BTreeMap::from([converter]));
        assert_eq!(behind(objects(&json!({"strategy": "None"}))), BTreeMap::new());
        // Where that is outside the cluster, nobody can wait for it.
        let outside = json!({"strategy": "Webhook",
            "webhook": {"clientConfig": {"url": "https://example.org"}}});
        assert_eq!(behind(objects(&outside)), BTreeMap::new());
    }

    #[test]
    fn what_an_api_service_serves_waits_for_it() {
        let api = |name: &str, service: Value| {
            json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": name},
                "spec": {"group": "metrics.example.org", "version": "v1", "service": service}})
        };
        let metric = || of("metrics.example.org/v1", "Metric", "m");
        let program = json!({"namespace": "prod", "name": "metrics"});
        let name = "v1.metrics.example.org";
        let other = of("metrics.example.org/v2", "Metric", "other");
        let manifests = vec![api(name, program), metric(), other];
        let (backends, _) = backends(manifests.clone());
        assert_eq!(backends.groups(), BTreeSet::from(["metrics.example.org"]));
        let by = format!("APIService.apiregistration.k8s.io/{name}");
        assert_eq!(behind(manifests), BTreeMap::from([("m".to_owned(), by)]));
        // The API server serves it itself.
        assert_eq!(behind(vec![api(name, Value::Null), metric()]), BTreeMap::new());
    }
}
