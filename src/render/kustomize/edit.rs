//! What the Application overrides, changed in the copy of the kustomization as Argo CD does it:
//! with `kustomize edit`, and patches by appending to the file's own.

use std::ffi::OsString;
use std::fs;
use std::io;

use serde_json::Value;

use super::{Building, Error, parse};
use crate::model::Kustomize;
use crate::render::engine::{Error as RenderError, Input};
use crate::render::scratch;
use crate::render::variables::Variables;

/// Bound: the largest kustomization file that is read back, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Changes the kustomization whose file is `file` in the repository.
///
/// # Errors
/// Kustomize refuses an override, or the file cannot be changed.
pub(super) fn apply(
    building: &Building<'_>,
    input: &Input<'_>,
    overrides: &Kustomize,
    file: &str,
) -> Result<(), RenderError> {
    let variables = Variables::of(input);
    for arguments in edits(overrides, &variables, &present(building, overrides)) {
        building.run(arguments.into_iter().map(OsString::from).collect())?;
    }
    if overrides.patches.is_empty() {
        return Ok(());
    }
    let name = file.rsplit('/').next().unwrap_or(file);
    let path = building.folder.join(name);
    let io = |error| RenderError::from(scratch::Error::Write(error));
    // Security: the program wrote the file; it could make it large, and nothing but a file.
    let metadata = fs::symlink_metadata(&path).map_err(io)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(io(io::Error::other("the kustomization is no longer a small file")));
    }
    let mut kustomization = parse(file, &fs::read(&path).map_err(io)?)?;
    append_patches(&mut kustomization, &overrides.patches).map_err(|reason| Error::Bad {
        file: file.to_owned(),
        entry: "patches".to_owned(),
        reason: reason.to_owned(),
    })?;
    // JSON is YAML.
    fs::write(&path, kustomization.to_string()).map_err(io)
}

/// The components that are there; the others were refused or are to be passed over.
fn present(building: &Building<'_>, overrides: &Kustomize) -> Vec<String> {
    let components = overrides.components.iter();
    components.filter(|component| building.folder.join(component).exists()).cloned().collect()
}

/// The arguments of each run, in Argo CD's order.
fn edits(overrides: &Kustomize, variables: &Variables, components: &[String]) -> Vec<Vec<String>> {
    let mut edits: Vec<Vec<String>> = Vec::new();
    let mut edit = |words: &[&str], values: Vec<String>| {
        if !values.is_empty() {
            let words = ["edit"].iter().chain(words).map(|word| (*word).to_owned());
            // A value that begins with a dash is no flag.
            let words = words.chain(["--".to_owned()]);
            edits.push(words.chain(values).collect());
        }
    };
    let one = |value: &String| -> Vec<String> {
        Some(value.clone()).filter(|value| !value.is_empty()).into_iter().collect()
    };
    edit(&["set", "nameprefix"], one(&overrides.name_prefix));
    edit(&["set", "namesuffix"], one(&overrides.name_suffix));
    let images = overrides.images.iter().map(|image| variables.replace(image));
    edit(&["set", "image"], images.collect());
    let replicas = overrides.replicas.iter().map(|(name, count)| format!("{name}={count}"));
    edit(&["set", "replicas"], replicas.collect());
    let mut words = vec!["add", "label"];
    words.extend(overrides.force_common_labels.then_some("--force"));
    words.extend(overrides.label_without_selector.then_some("--without-selector"));
    words.extend(overrides.label_include_templates.then_some("--include-templates"));
    let labels = overrides.common_labels.iter();
    let labels = labels.map(|(key, value)| format!("{key}:{}", variables.replace(value)));
    edit(&words, labels.collect());
    let mut words = vec!["add", "annotation"];
    words.extend(overrides.force_common_annotations.then_some("--force"));
    let annotations = overrides.common_annotations.iter().map(|(key, value)| {
        let replaced = overrides.annotations_envsubst.then(|| variables.replace(value));
        format!("{key}:{}", replaced.as_ref().unwrap_or(value))
    });
    edit(&words, annotations.collect());
    edit(&["set", "namespace"], one(&overrides.namespace));
    edit(&["add", "component"], components.to_vec());
    edits
}

/// Appends the Application's patches to the kustomization's own.
fn append_patches(kustomization: &mut Value, patches: &[String]) -> Result<(), &'static str> {
    let patches = patches.iter().filter_map(|patch| serde_json::from_str::<Value>(patch).ok());
    let Value::Object(fields) = kustomization else { return Err("is not in a mapping") };
    let own = fields.entry("patches").or_insert_with(|| Value::Array(Vec::new()));
    if own.is_null() {
        *own = Value::Array(Vec::new());
    }
    let Value::Array(own) = own else { return Err("is not a list") };
    own.extend(patches);
    Ok(())
}
