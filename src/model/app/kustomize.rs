//! The `kustomize` block of a source.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{bool_at, str_at, string_map, strings, text_at};

/// What is changed in a kustomization before it is built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kustomize {
    /// What names begin with; empty = unchanged.
    pub name_prefix: String,
    /// What names end with; empty = unchanged.
    pub name_suffix: String,
    /// Images: `[old=]name:tag` or `…@digest`.
    pub images: Vec<String>,
    /// Replicas by the name of the object, the number as written.
    pub replicas: Vec<(String, String)>,
    /// Labels of everything.
    pub common_labels: Vec<(String, String)>,
    /// Annotations of everything.
    pub common_annotations: Vec<(String, String)>,
    /// Whether variables in the annotations' values are replaced.
    pub annotations_envsubst: bool,
    /// Whether the labels are left out of selectors.
    pub label_without_selector: bool,
    /// Whether labels without selectors are put into templates too.
    pub label_include_templates: bool,
    /// Whether labels replace those of the kustomization.
    pub force_common_labels: bool,
    /// Whether annotations replace those of the kustomization.
    pub force_common_annotations: bool,
    /// The namespace of everything; empty = unchanged.
    pub namespace: String,
    /// Patches, each as JSON.
    pub patches: Vec<String>,
    /// Components, relative to the kustomization.
    pub components: Vec<String>,
    /// Whether a missing component is passed over.
    pub ignore_missing_components: bool,
}

impl Kustomize {
    pub(super) fn read(block: &Value) -> Self {
        let text = |pointer: &str| str_at(block, pointer).unwrap_or_default().to_owned();
        let list = |field: &str| block.get(field).and_then(Value::as_array).into_iter().flatten();
        Self {
            name_prefix: text("/namePrefix"),
            name_suffix: text("/nameSuffix"),
            images: strings(block.get("images")),
            replicas: list("replicas")
                .map(|entry| (text_at(entry, "/name"), text_at(entry, "/count")))
                .collect(),
            common_labels: string_map(block.get("commonLabels")),
            common_annotations: string_map(block.get("commonAnnotations")),
            annotations_envsubst: bool_at(block, "/commonAnnotationsEnvsubst"),
            label_without_selector: bool_at(block, "/labelWithoutSelector"),
            label_include_templates: bool_at(block, "/labelIncludeTemplates"),
            force_common_labels: bool_at(block, "/forceCommonLabels"),
            force_common_annotations: bool_at(block, "/forceCommonAnnotations"),
            namespace: text("/namespace"),
            patches: list("patches").map(Value::to_string).collect(),
            components: strings(block.get("components")),
            ignore_missing_components: bool_at(block, "/ignoreMissingComponents"),
        }
    }
}
