//! Whether the fields of an Application have the types that its schema gives them.
//!
//! A field of another type would be taken for one that is not there, and its default for what
//! somebody asked for: `targetRevision: 1.0`, a tag without quotes, would follow `HEAD`. The API
//! server of Argo CD refuses such a manifest, and so does greffier. Fields that are not in the
//! schema are passed over, and `null` is the same as no field.
//!
//! Source: the types of Argo CD's `Application`, `argoproj.io/v1alpha1`. Where greffier takes more
//! than Argo CD does (the count of a kustomize replica may be a string), the schema says `Scalar`. A
//! Helm parameter is text: `1.10` and `0123456` without quotes are other numbers than they look.
//! `retry`, `ignoreDifferences` and `valuesObject` are judged by those who read them.

use serde_json::Value;

/// What a field may be.
enum Shape {
    Text,
    Flag,
    /// A text, a number or a boolean.
    Scalar,
    Any,
    List(&'static Self),
    /// Any names, each with a value of this shape.
    Map(&'static Self),
    Object(&'static [(&'static str, Self)]),
}

use Shape::{Any, Flag, List, Map, Object, Scalar, Text};

static APPLICATION: Shape = Object(&[("metadata", METADATA), ("spec", SPEC)]);

const METADATA: Shape = Object(&[
    ("name", Text),
    ("namespace", Text),
    ("labels", Map(&Text)),
    ("annotations", Map(&Text)),
    ("finalizers", List(&Text)),
]);

const SPEC: Shape = Object(&[
    ("project", Text),
    ("source", SOURCE),
    ("sources", List(&SOURCE)),
    ("destination", Object(&[("server", Text), ("name", Text), ("namespace", Text)])),
    ("syncPolicy", SYNC_POLICY),
]);

const SOURCE: Shape = Object(&[
    ("repoURL", Text),
    ("path", Text),
    ("targetRevision", Text),
    ("ref", Text),
    ("chart", Text),
    ("plugin", Any),
    ("helm", HELM),
    ("kustomize", KUSTOMIZE),
    (
        "directory",
        Object(&[
            ("recurse", Flag),
            ("include", Text),
            ("exclude", Text),
            ("jsonnet", Object(&[])),
        ]),
    ),
]);

const HELM: Shape = Object(&[
    ("releaseName", Text),
    ("valueFiles", List(&Text)),
    ("values", Text),
    ("valuesObject", Any),
    ("parameters", List(&Object(&[("name", Text), ("value", Text), ("forceString", Flag)]))),
    ("fileParameters", List(&Object(&[("name", Text), ("path", Text)]))),
    ("ignoreMissingValueFiles", Flag),
    ("skipCrds", Flag),
    ("skipTests", Flag),
    ("skipSchemaValidation", Flag),
    ("namespace", Text),
    ("kubeVersion", Text),
    ("apiVersions", List(&Text)),
]);

const KUSTOMIZE: Shape = Object(&[
    ("namePrefix", Text),
    ("nameSuffix", Text),
    ("images", List(&Text)),
    ("replicas", List(&Object(&[("name", Scalar), ("count", Scalar)]))),
    ("commonLabels", Map(&Text)),
    ("commonAnnotations", Map(&Text)),
    ("commonAnnotationsEnvsubst", Flag),
    ("labelWithoutSelector", Flag),
    ("labelIncludeTemplates", Flag),
    ("forceCommonLabels", Flag),
    ("forceCommonAnnotations", Flag),
    ("namespace", Text),
    ("patches", List(&Any)),
    ("components", List(&Text)),
    ("ignoreMissingComponents", Flag),
]);

const SYNC_POLICY: Shape = Object(&[
    (
        "automated",
        Object(&[("enabled", Flag), ("prune", Flag), ("selfHeal", Flag), ("allowEmpty", Flag)]),
    ),
    ("syncOptions", List(&Text)),
    ("managedNamespaceMetadata", Object(&[("labels", Map(&Text)), ("annotations", Map(&Text))])),
    ("retry", Object(&[])),
]);

/// The first field of another type than its schema gives it: its path, and what is wrong.
pub(super) fn wrong(manifest: &Value) -> Option<(String, String)> {
    differs(&APPLICATION, manifest, &mut String::new())
}

/// What a file in Git says of a source, with the names of its fields as the schema spells them:
/// Argo CD takes them in any case there, and Image Updater writes them in small letters.
pub(super) fn of_source(document: &Value) -> Result<Value, String> {
    let mut document = document.clone();
    let mut path = String::new();
    let spelled = spell(&SOURCE, &mut document, &mut path);
    spelled.map_err(|field| format!("`{field}` is there twice"))?;
    match differs(&SOURCE, &document, &mut path) {
        None => Ok(document),
        Some((field, problem)) if field.is_empty() => Err(problem),
        Some((field, problem)) => Err(format!("`{field}` {problem}")),
    }
}

/// Spells the names of fields as the schema does, or names the field that is there twice.
fn spell(shape: &Shape, value: &mut Value, path: &mut String) -> Result<(), String> {
    let length = path.len();
    match (shape, value) {
        (List(of), Value::Array(entries)) => {
            for (at, entry) in entries.iter_mut().enumerate() {
                path.push_str(&format!("[{at}]"));
                spell(of, entry, path)?;
                path.truncate(length);
            }
        }
        (Object(known), Value::Object(fields)) => {
            for (name, of) in *known {
                path.push_str(&dotted(name));
                let mut spelt: Vec<String> = fields.keys().cloned().collect();
                spelt.retain(|spelt| spelt.eq_ignore_ascii_case(name));
                if spelt.len() > 1 {
                    return Err(path.trim_start_matches('.').to_owned());
                }
                if let Some(mut field) = spelt.pop().and_then(|spelt| fields.remove(&spelt)) {
                    spell(of, &mut field, path)?;
                    fields.insert((*name).to_owned(), field);
                }
                path.truncate(length);
            }
        }
        _ => {}
    }
    Ok(())
}

fn differs(shape: &Shape, value: &Value, path: &mut String) -> Option<(String, String)> {
    let wanted = match (shape, value) {
        (_, Value::Null)
        | (Any, _)
        | (Text, Value::String(_))
        | (Flag, Value::Bool(_))
        | (Scalar, Value::String(_) | Value::Number(_) | Value::Bool(_)) => return None,
        (List(of), Value::Array(entries)) => {
            let mut entries = entries.iter().enumerate();
            return entries.find_map(|(at, entry)| below(path, &format!("[{at}]"), of, entry));
        }
        (Map(of), Value::Object(fields)) => {
            return fields.iter().find_map(|(name, field)| below(path, &dotted(name), of, field));
        }
        (Object(known), Value::Object(fields)) => {
            return known.iter().find_map(|(name, of)| {
                fields.get(*name).and_then(|field| below(path, &dotted(name), of, field))
            });
        }
        (Text, Value::Number(_) | Value::Bool(_)) => "not a string: put it into quotes",
        (Text | Scalar, _) => "not a string",
        (Flag, Value::String(_)) => "not `true` or `false`: without quotes",
        (Flag, _) => "not `true` or `false`",
        (List(_), _) => "not a list",
        (Map(_) | Object(_), _) => "not an object",
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Some((path.trim_start_matches('.').to_owned(), format!("is {is}, {wanted}")))
}

fn below(path: &mut String, step: &str, of: &Shape, value: &Value) -> Option<(String, String)> {
    let length = path.len();
    path.push_str(step);
    let found = differs(of, value, path);
    path.truncate(length);
    found
}

fn dotted(name: &str) -> String {
    format!(".{name}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An Application with `value` at the JSON pointer.
    fn with(pointer: &str, value: Value) -> Value {
        let mut manifest = json!({"metadata": {"name": "web"}, "spec": {
            "source": {"repoURL": "/srv/infra.git"}, "destination": {}}});
        let mut at = &mut manifest;
        for step in pointer.split('/').skip(1) {
            at = &mut at[step];
        }
        *at = value;
        manifest
    }

    /// Goal: no field is taken for absent because it has another type: each is named with what to
    /// do about it.
    #[test]
    fn a_field_of_another_type_is_named() {
        let quotes = "is a number, not a string: put it into quotes";
        for (pointer, value, path, problem) in [
            ("/spec/source/targetRevision", json!(1.0), "spec.source.targetRevision", quotes),
            ("/spec/source/path", json!(123), "spec.source.path", quotes),
            ("/spec/destination/namespace", json!(5), "spec.destination.namespace", quotes),
            (
                "/metadata/annotations",
                json!({"argocd.argoproj.io/skip-reconcile": true}),
                "metadata.annotations.argocd.argoproj.io/skip-reconcile",
                "is a boolean, not a string: put it into quotes",
            ),
            (
                "/spec/syncPolicy",
                json!({"syncOptions": "Prune=false"}),
                "spec.syncPolicy.syncOptions",
                "is a string, not a list",
            ),
            ("/spec/syncPolicy", json!(true), "spec.syncPolicy", "is a boolean, not an object"),
            (
                "/spec/source/helm",
                json!({"valueFiles": ["a.yaml", 5]}),
                "spec.source.helm.valueFiles[1]",
                quotes,
            ),
            (
                "/spec/source/directory",
                json!({"recurse": "true"}),
                "spec.source.directory.recurse",
                "is a string, not `true` or `false`: without quotes",
            ),
            ("/spec/sources", json!({"repoURL": "r"}), "spec.sources", "is an object, not a list"),
            ("/spec/sources", json!([{"path": 1}]), "spec.sources[0].path", quotes),
            ("/metadata/finalizers", json!("x"), "metadata.finalizers", "is a string, not a list"),
            (
                "/spec/source/helm",
                json!({"parameters": [{"name": "a", "value": 1.1}]}),
                "spec.source.helm.parameters[0].value",
                quotes,
            ),
        ] {
            let found = wrong(&with(pointer, value)).expect(pointer);
            assert_eq!((found.0.as_str(), found.1.as_str()), (path, problem));
        }
    }

    #[test]
    fn what_the_schema_does_not_say_and_what_is_null_passes() {
        for (pointer, value) in [
            ("/spec/source/targetRevision", Value::Null),
            ("/spec/info", json!([{"name": "url", "value": 5}])),
            ("/spec/source/helm", json!({"parameters": [{"name": "a", "value": "7"}]})),
            ("/spec/source/helm", json!({"valuesObject": {"a": {"b": [1, true]}}})),
            ("/spec/source/kustomize", json!({"patches": [{"target": {}}, "text"]})),
            ("/spec/source/kustomize", json!({"replicas": [{"name": "web", "count": 3}]})),
            ("/spec/syncPolicy", json!({"automated": {}, "retry": {"limit": 3}})),
            ("/metadata/annotations", Value::Null),
        ] {
            assert_eq!(wrong(&with(pointer, value)), None, "{pointer}");
        }
    }
}
