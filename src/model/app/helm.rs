//! The `helm` block of a source.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{bool_at, str_at, strings, text_at};

/// A Helm parameter (`--set`), or a forced string (`--set-string`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelmParameter {
    /// The path of the value.
    pub name: String,
    /// The value.
    pub value: String,
    /// Whether the value is a string whatever it looks like.
    pub force_string: bool,
}

/// The `helm` block of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Helm {
    /// The release name; the application's name when not given.
    pub release_name: Option<String>,
    /// Value files relative to the source's path, last wins; a leading `/` is the repository.
    pub value_files: Vec<String>,
    /// Inline values: a YAML document. `valuesObject` is kept here as JSON, which is YAML.
    pub values: Option<String>,
    /// Parameters; they win over everything.
    pub parameters: Vec<HelmParameter>,
    /// Parameters whose value is the content of a file: (name, path).
    pub file_parameters: Vec<(String, String)>,
    /// Whether a missing value file is passed over.
    pub ignore_missing_value_files: bool,
    /// Whether the chart's `crds/` are left out.
    pub skip_crds: bool,
    /// Whether the chart's tests are left out.
    pub skip_tests: bool,
    /// Whether values are not checked against the chart's schema.
    pub skip_schema_validation: bool,
    /// The release namespace; the destination's when not given.
    pub namespace: Option<String>,
    /// The Kubernetes version the chart is told.
    pub kube_version: Option<String>,
    /// The API versions the chart is told.
    pub api_versions: Vec<String>,
}

impl Helm {
    /// `None` = `valuesObject` is no object.
    pub(super) fn read(helm: &Value) -> Option<Self> {
        let values_object = helm.get("valuesObject").filter(|values| !values.is_null());
        let values = match values_object {
            Some(Value::Object(map)) => Some(Value::Object(map.clone()).to_string()),
            Some(_) => return None,
            None => str_at(helm, "/values").filter(|text| !text.is_empty()).map(str::to_owned),
        };
        let pair = |entry: &Value, second: &str| {
            (text_at(entry, "/name"), text_at(entry, &format!("/{second}")))
        };
        let list =
            |field: &str| helm.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
        Some(Self {
            release_name: str_at(helm, "/releaseName").map(str::to_owned),
            value_files: strings(helm.get("valueFiles")),
            values,
            parameters: list("parameters")
                .iter()
                .map(|entry| {
                    let (name, value) = pair(entry, "value");
                    HelmParameter { name, value, force_string: bool_at(entry, "/forceString") }
                })
                .collect(),
            file_parameters: list("fileParameters")
                .iter()
                .map(|entry| pair(entry, "path"))
                .collect(),
            ignore_missing_value_files: bool_at(helm, "/ignoreMissingValueFiles"),
            skip_crds: bool_at(helm, "/skipCrds"),
            skip_tests: bool_at(helm, "/skipTests"),
            skip_schema_validation: bool_at(helm, "/skipSchemaValidation"),
            namespace: str_at(helm, "/namespace").map(str::to_owned),
            kube_version: str_at(helm, "/kubeVersion").map(str::to_owned),
            api_versions: strings(helm.get("apiVersions")),
        })
    }
}
