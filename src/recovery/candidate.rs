//! What may be replayed: objects with their manifests, as wanted or as observed.

use serde_json::Value;

use crate::model::{ObjectKey, Seq};

/// Where a manifest comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// What the application's render in force wanted.
    Wanted,
    /// What was observed in the cluster.
    Observed,
}

/// An object that may be replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its key.
    pub key: ObjectKey,
    /// The version of its API group.
    pub version: String,
    /// The application that owns it; empty = nobody's.
    pub app: String,
    /// Its sync wave.
    pub wave: i32,
    /// Where the manifest comes from.
    pub source: Source,
    /// The manifest, with a Secret's values.
    pub manifest: Value,
    /// What Git wanted of it, where the manifest is the observed one.
    pub wanted: Option<Value>,
    /// The fields that others had set of it beside what Git says, as a `fieldsV1`, where the manifest
    /// is the observed one of an application's object.
    pub beside: Option<Value>,
    /// The render that wants it as it is written; `None` = none does.
    pub render: Option<Seq>,
    /// The uid that it had; empty = it was never seen.
    pub uid: String,
    /// Whether the API server refuses what it does not know.
    pub validate: bool,
    /// Why it is there although it left Git, in words; `None` = it did not, or greffier never had
    /// it.
    pub left: Option<String>,
    /// Whether it stays until something else is written: then it is replayed, as its application's.
    pub stays: bool,
}

impl Candidate {
    /// A text of the manifest.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// An annotation.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.manifest.pointer("/metadata/annotations")?.get(name)?.as_str()
    }

    /// A label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.manifest.pointer("/metadata/labels")?.get(name)?.as_str()
    }
}

#[cfg(test)]
impl Candidate {
    /// What Git wants of an object, by its manifest.
    pub(crate) fn wanted(manifest: Value) -> Self {
        let text = |pointer: &str| {
            manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let api_version = text("/apiVersion");
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
        let key = ObjectKey::new(
            group,
            text("/kind"),
            text("/metadata/namespace"),
            text("/metadata/name"),
        );
        Self {
            key,
            version: version.to_owned(),
            app: "web".to_owned(),
            wave: 0,
            source: Source::Wanted,
            render: None,
            uid: text("/metadata/uid"),
            manifest,
            wanted: None,
            beside: None,
            validate: true,
            left: None,
            stays: false,
        }
    }

    /// What was observed of an object that nobody owns.
    pub(crate) fn observed(manifest: Value) -> Self {
        Self { source: Source::Observed, app: String::new(), ..Self::wanted(manifest) }
    }
}
