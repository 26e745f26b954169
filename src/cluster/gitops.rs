//! Which other GitOps manager an object shows.
//!
//! Evidence is what the managers themselves write: Argo CD's tracking id, Flux's labels, and the
//! names under which their controllers own fields. Helm's own mark (`managed-by: Helm`) is none:
//! Helm writes when a person runs it, and both managers render charts.
//!
//! A tracking id that describes another object was copied with a manifest and says nothing.

use serde_json::Value;

use crate::model::ObjectKey;

const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
/// Labels that Flux puts on what it applies: the name and the namespace of what applied it.
const FLUX_LABELS: [(&str, &str, &str); 2] = [
    ("Kustomization", "kustomize.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/namespace"),
    ("HelmRelease", "helm.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/namespace"),
];
/// Field managers of controllers, and whose they are.
const CONTROLLERS: [(&str, &str); 4] = [
    ("argocd-controller", "Argo CD"),
    ("argocd-application-controller", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
];

/// The manager that `raw` shows, in words, with what of it manages the object where that is
/// known; empty when it shows none.
pub(super) fn managed_by(raw: &Value, key: &ObjectKey) -> String {
    let metadata = raw.get("metadata");
    let of = |map: &str, name: &str| {
        metadata.and_then(|metadata| metadata.get(map)?.get(name)?.as_str()).unwrap_or_default()
    };
    if let Some(app) = tracked(of("annotations", TRACKING_ID), key) {
        return format!("Argo CD (application {app})");
    }
    for (kind, name, namespace) in FLUX_LABELS {
        let (name, namespace) = (of("labels", name), of("labels", namespace));
        if !name.is_empty() {
            return format!("Flux ({kind} {namespace}/{name})");
        }
    }
    let entries = metadata.and_then(|metadata| metadata.get("managedFields")?.as_array());
    let text = |entry: &Value, field: &str| {
        entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let entries = entries.into_iter().flatten();
    let found = entries.filter(|entry| text(entry, "subresource").is_empty()).find_map(|entry| {
        let manager = text(entry, "manager");
        CONTROLLERS.iter().find(|(name, _)| *name == manager)
    });
    found.map_or_else(String::new, |(name, whose)| format!("{whose} ({name})"))
}

/// The application that a tracking id names, if it describes the object that bears it:
/// `<app>:<group>/<kind>:<namespace>/<name>`. The namespace of a cluster-scoped object is that
/// of its application's destination, and says nothing.
fn tracked<'i>(id: &'i str, key: &ObjectKey) -> Option<&'i str> {
    let mut parts = id.splitn(3, ':');
    let (app, kind, object) = (parts.next()?, parts.next()?, parts.next()?);
    let (group, kind) = kind.split_once('/')?;
    let (namespace, name) = object.split_once('/')?;
    let itself = group == key.group()
        && kind == key.kind()
        && name == key.name()
        && (key.namespace().is_empty() || namespace == key.namespace());
    (itself && !app.is_empty()).then_some(app)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shows(key: &str, metadata: Value) -> String {
        managed_by(&json!({"metadata": metadata}), &key.parse().unwrap())
    }

    #[test]
    fn a_tracking_id_counts_for_the_object_that_it_describes() {
        for (key, id, app) in [
            ("Deployment.apps/default/web", "shop:apps/Deployment:default/web", "shop"),
            ("Service/default/web", "shop:/Service:default/web", "shop"),
            (
                "ClusterRole.rbac.authorization.k8s.io/system:web",
                "team_shop:rbac.authorization.k8s.io/ClusterRole:default/system:web",
                "team_shop",
            ),
            // Copied with the manifest of another object.
            ("Deployment.apps/default/web", "shop:apps/Deployment:default/other", ""),
            ("Deployment.apps/copy/web", "shop:apps/Deployment:default/web", ""),
            ("Deployment.apps/default/web", "shop:apps/StatefulSet:default/web", ""),
            ("Deployment.apps/default/web", "shop", ""),
            ("Deployment.apps/default/web", "", ""),
        ] {
            let said =
                if app.is_empty() { String::new() } else { format!("Argo CD (application {app})") };
            assert_eq!(shows(key, json!({"annotations": {TRACKING_ID: id}})), said, "{id}");
        }
    }

    #[test]
    fn flux_shows_in_its_labels() {
        let labels = json!({"labels": {
            "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
        }});
        assert_eq!(shows("ConfigMap/n/a", labels), "Flux (Kustomization flux-system/apps)");
        let labels = json!({"labels": {
            "helm.toolkit.fluxcd.io/name": "db", "helm.toolkit.fluxcd.io/namespace": "data",
        }});
        assert_eq!(shows("ConfigMap/n/a", labels), "Flux (HelmRelease data/db)");
    }

    #[test]
    fn controllers_show_as_field_managers_and_others_do_not() {
        let entry = |manager: &str, subresource: &str| {
            json!({"managedFields": [
                {"manager": "kubectl", "operation": "Update"},
                {"manager": manager, "operation": "Apply", "subresource": subresource},
            ]})
        };
        for (manager, said) in [
            ("argocd-controller", "Argo CD (argocd-controller)"),
            ("argocd-application-controller", "Argo CD (argocd-application-controller)"),
            ("kustomize-controller", "Flux (kustomize-controller)"),
            ("helm-controller", "Flux (helm-controller)"),
            ("greffier", ""),
            ("helm", ""),
        ] {
            assert_eq!(shows("ConfigMap/n/a", entry(manager, "")), said);
            assert_eq!(shows("ConfigMap/n/a", entry(manager, "status")), "", "status only");
        }
        let helm = json!({
            "labels": {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "shop"},
            "annotations": {"meta.helm.sh/release-name": "shop"},
        });
        assert_eq!(shows("ConfigMap/n/a", helm), "");
    }
}
