//! Where manifests come from, and which program renders them, as far as the Application says so.
//!
//! Files in Git may override what it says ([`Source::overridden`]), as `.argocd-source.yaml` does
//! for Argo CD: a JSON merge patch into the source, which is then read over the source that is
//! there. So `null` takes nothing away, and an item of a list has what it does not say from the
//! item in its place.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::helm::Helm;
use super::kustomize::Kustomize;
use super::{bool_at, shape, str_at};

/// The fields of a source that say how it is rendered.
const TOOLS: [&str; 4] = ["helm", "kustomize", "directory", "plugin"];
/// The field of `helm` that is merged as values are: `null` takes away.
const VALUES_OBJECT: &str = "valuesObject";

/// The `directory` block of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectorySource {
    /// Whether folders below the path are read too.
    pub recurse: bool,
    /// Glob of the files to read; empty = all.
    pub include: String,
    /// Glob of the files to leave out; wins over `include`.
    pub exclude: String,
}

/// Which program renders a source, as far as the manifest says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tool {
    /// To be detected from the files.
    Detect,
    /// A Helm chart.
    Helm(Helm),
    /// A kustomization.
    Kustomize(Kustomize),
    /// A directory of YAML and JSON.
    Directory(DirectorySource),
    /// Something that is not rendered yet, by name.
    Unsupported(String),
}

/// Where manifests come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The repository.
    pub repo: String,
    /// The folder in it; `.` for the top.
    pub path: String,
    /// Branch, tag or commit; `HEAD` when not given.
    pub revision: String,
    /// How it is rendered.
    pub tool: Tool,
    /// The fields that say so, as JSON: what files in Git may override.
    pub written: String,
    /// The name under which it lends files to the other sources (`$name/path`), if it does.
    pub lends: Option<String>,
    /// Whether it only lends files and has no manifests of its own.
    pub lends_only: bool,
}

impl Source {
    /// How it is rendered with what the documents `overrides` say, each merged into what is there
    /// before it. What they say of repository, path and revision does not count.
    ///
    /// # Errors
    /// The place of the document that is no override, and what is wrong with it.
    pub fn overridden(&self, overrides: &[Value]) -> Result<Tool, (usize, String)> {
        let mut written: Value = serde_json::from_str(&self.written).unwrap_or_default();
        let mut found = self.tool.clone();
        for (index, document) in overrides.iter().enumerate() {
            let problem = |problem: String| (index, problem);
            let document = shape::of_source(document).map_err(problem)?;
            let Value::Object(fields) = document else { continue };
            let tools = fields.into_iter().filter(|(name, _)| TOOLS.contains(&name.as_str()));
            merge(&mut written, &Value::Object(tools.collect()));
            let several: Vec<&str> =
                TOOLS.into_iter().filter(|tool| says(&written, tool)).collect();
            if several.len() > 1 {
                let several = several.join("`, `");
                return Err(problem(format!("the source has several tools with it: `{several}`")));
            }
            found =
                tool(&written).map_err(|(field, wrong)| problem(format!("`{field}` {wrong}")))?;
        }
        Ok(found)
    }
}

/// Whether the source has a block that says something.
fn says(source: &Value, tool: &str) -> bool {
    source.get(tool).is_some_and(|block| match block {
        Value::Null => false,
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    })
}

/// What the source says of how it is rendered, as JSON. Blocks that say nothing are left out: they
/// do not choose a tool beside one that does.
pub(super) fn written(source: &Value) -> String {
    let tools = TOOLS.into_iter().filter(|tool| says(source, tool));
    let tools: Map<String, Value> = tools
        .map(|tool| (tool.to_owned(), source.get(tool).cloned().unwrap_or_default()))
        .collect();
    Value::Object(tools).to_string()
}

/// Merges `over` into `base` as Argo CD does it.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                let field = base.entry(name.clone()).or_insert(Value::Null);
                match name.as_str() {
                    VALUES_OBJECT if !value.is_null() => patch(field, value),
                    _ => merge(field, value),
                }
            }
        }
        (Value::Array(base), Value::Array(over)) => {
            base.truncate(over.len());
            for (index, value) in over.iter().enumerate() {
                match base.get_mut(index) {
                    Some(item) => merge(item, value),
                    None => base.push(value.clone()),
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// A JSON merge patch (RFC 7386).
fn patch(base: &mut Value, over: &Value) {
    let Value::Object(over) = over else {
        *base = over.clone();
        return;
    };
    if !base.is_object() {
        *base = Value::Object(Map::new());
    }
    let Value::Object(base) = base else { return };
    for (name, value) in over {
        match value {
            Value::Null => drop(base.remove(name)),
            value => patch(base.entry(name.clone()).or_insert(Value::Null), value),
        }
    }
}

/// Which program renders a source, or the field that says something impossible.
pub(super) fn tool(source: &Value) -> Result<Tool, (&'static str, &'static str)> {
    for (field, words) in
        [("chart", "a chart from a chart repository"), ("plugin", "a config management plugin")]
    {
        if source.get(field).is_some_and(|value| !value.is_null()) {
            return Ok(Tool::Unsupported(words.to_owned()));
        }
    }
    if let Some(helm) = source.get("helm").filter(|helm| helm.is_object()) {
        let helm = Helm::read(helm);
        return helm.map(Tool::Helm).ok_or(("helm.valuesObject", "is no object"));
    }
    if let Some(block) =
        source.get("kustomize").filter(|block| block.as_object().is_some_and(|b| !b.is_empty()))
    {
        return Ok(Tool::Kustomize(Kustomize::read(block)));
    }
    let Some(directory) = source.get("directory").filter(|value| value.is_object()) else {
        return Ok(Tool::Detect);
    };
    if directory.pointer("/jsonnet").and_then(Value::as_object).is_some_and(|j| !j.is_empty()) {
        return Ok(Tool::Unsupported("Jsonnet".to_owned()));
    }
    Ok(Tool::Directory(DirectorySource {
        recurse: bool_at(directory, "/recurse"),
        include: str_at(directory, "/include").unwrap_or_default().to_owned(),
        exclude: str_at(directory, "/exclude").unwrap_or_default().to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::AppSpec;
    use super::*;

    fn source(more: Value) -> Source {
        let mut source = json!({"repoURL": "r", "path": "p"});
        merge(&mut source, &more);
        let app = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "web"}, "spec": {"source": source}});
        AppSpec::parse(&app).unwrap().sources.remove(0)
    }

    /// What the Application would have to say to be rendered as it is with the overrides.
    #[track_caller]
    fn check(own: Value, overrides: &[Value], expected: Value) {
        let found = source(own).overridden(overrides);
        assert_eq!(found, Ok(source(expected).tool), "{overrides:?}");
    }

    #[test]
    fn overrides_are_merged_as_argo_cd_does_it() {
        let own = json!({"helm": {"releaseName": "shop", "valueFiles": ["a", "b"]}});
        check(own.clone(), &[], own.clone());
        check(own.clone(), &[json!({})], own.clone());
        let named = json!({"helm": {"releaseName": "x", "valueFiles": ["a", "b"]}});
        check(own.clone(), &[json!({"helm": {"releaseName": "x"}})], named);
        let files = json!({"helm": {"releaseName": "shop", "valueFiles": ["c"]}});
        check(own.clone(), &[json!({"helm": {"valueFiles": ["c"]}})], files);
        // Argo CD reads the result over what is there: `null` takes nothing away.
        check(own.clone(), &[json!({"helm": null})], own.clone());
        check(own.clone(), &[json!({"helm": {"releaseName": null}})], own.clone());
        // Where things are is not for a file in it to say.
        let elsewhere = json!({"repoURL": "other", "path": "x", "chart": "c", "ref": "r"});
        check(own.clone(), &[elsewhere], own);
        // The second is merged into what the first made of it.
        let images = |images: Value| json!({"kustomize": {"images": images, "namePrefix": "a-"}});
        let overrides = [images(json!(["a:1", "b:1"])), json!({"kustomize": {"images": ["a:2"]}})];
        check(json!({}), &overrides, images(json!(["a:2"])));
        let recurse = json!({"directory": {"recurse": true}});
        check(json!({"helm": {}}), std::slice::from_ref(&recurse), recurse.clone());
    }

    /// Goal: what Argo CD Image Updater writes means what Argo CD takes it for: names of fields in
    /// small letters, and items that go on where the Application's stand.
    #[test]
    fn parameters_are_read_as_argo_cd_reads_them() {
        let parameter = |name: &str, value: &str, force: bool| json!({"name": name, "value": value, "forceString": force});
        let parameters = |parameters: &[Value]| json!({"helm": {"parameters": parameters}});
        let own = parameters(&[parameter("image.tag", "1", true), parameter("size", "2", false)]);
        let updater = json!({"helm": {"parameters": [
            {"name": "image.name", "value": "app", "forcestring": true},
            {"name": "image.tag", "value": "1.10", "FORCESTRING": true}]}});
        let expected = parameters(&[
            parameter("image.name", "app", true),
            parameter("image.tag", "1.10", true),
        ]);
        check(json!({}), std::slice::from_ref(&updater), expected.clone());
        check(own.clone(), &[updater], expected);
        let brief = parameters(&[json!({"name": "image.tag", "value": "1.10"})]);
        check(own, &[brief], parameters(&[parameter("image.tag", "1.10", true)]));
    }

    #[test]
    fn values_are_merged_as_a_patch() {
        let own = json!({"helm": {"valuesObject": {"a": {"b": 1, "c": [1, 2]}, "d": 2}}});
        let over =
            json!({"helm": {"valuesObject": {"a": {"b": null, "c": [3]}, "e": {"f": null}}}});
        let merged = json!({"helm": {"valuesObject": {"a": {"c": [3]}, "d": 2, "e": {}}}});
        check(own.clone(), &[over], merged);
        check(own.clone(), &[json!({"helm": {"valuesObject": null}})], own.clone());
        check(own.clone(), &[json!({"helm": {"values": "d: 3"}})], own.clone());
        let text = json!({"helm": {"values": "d: 3"}});
        let both = json!({"helm": {"values": "d: 3", "valuesObject": own["helm"]["valuesObject"]}});
        check(text, std::slice::from_ref(&own), both);
    }

    #[test]
    fn an_override_that_cannot_be_meant_is_refused() {
        let good = json!({"helm": {"releaseName": "x"}});
        for (own, wrong, problem) in [
            (json!({}), json!([1]), "is a list, not an object"),
            (json!({}), json!("x"), "is a string, not an object"),
            (json!({}), json!({"helm": []}), "`helm` is a list, not an object"),
            (json!({}), json!({"helm": {"valueFiles": "a"}}), "`helm.valueFiles` is a string"),
            (json!({}), json!({"helm": {"valuefiles": [1]}}), "`helm.valueFiles[0]` is a number"),
            (json!({}), json!({"helm": {"valuesObject": [1]}}), "`helm.valuesObject` is no object"),
            (json!({}), json!({"helm": {}, "Helm": {}}), "`helm` is there twice"),
            (good.clone(), json!({"kustomize": {"namePrefix": "a"}}), "`helm`, `kustomize`"),
        ] {
            let (index, said) = source(own).overridden(&[json!({}), wrong]).unwrap_err();
            assert_eq!(index, 1);
            assert!(said.contains(problem), "{said}");
        }
        let unsupported = |over: Value| source(json!({})).overridden(&[over]).unwrap();
        let plugin = unsupported(json!({"plugin": {"name": "x"}}));
        assert_eq!(plugin, Tool::Unsupported("a config management plugin".to_owned()));
        let jsonnet = unsupported(json!({"directory": {"jsonnet": {"tlas": [{"name": "a"}]}}}));
        assert_eq!(jsonnet, Tool::Unsupported("Jsonnet".to_owned()));
    }
}
