//! Differences and renders on the wire.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Git against the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// The application.
    pub app: String,
    /// The commit.
    pub commit: String,
    /// The objects that differ.
    pub objects: Vec<ObjectDiff>,
    /// What could not be compared, and why.
    pub unknown: Vec<String>,
    /// What is as greffier applied it and yet not as the manifest says, and why.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// An object that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectDiff {
    /// Its key.
    pub object: String,
    /// `missing` (in Git only), `extra` (in the cluster only) or `changed`.
    pub change: String,
    /// Why it differs, and why nothing is done where nothing is done.
    pub why: String,
    /// The fields.
    pub fields: Vec<Field>,
    /// What it is compared with where that is not Git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<DiffHold>,
}

/// A hold by which something is wanted otherwise than Git says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffHold {
    /// The event that began it.
    pub seq: u64,
    /// The event that it goes back to.
    pub to: u64,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Its path.
    pub path: String,
    /// What it is in the cluster, as JSON; empty = absent. Never a Secret's value.
    pub live: String,
    /// What Git says, or the hold of the object, as JSON; empty = absent. Never a Secret's value.
    pub git: String,
}

/// What an application renders to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendered {
    /// The application.
    pub app: String,
    /// The commit of each of its sources.
    pub commits: Vec<String>,
    /// The programs that rendered.
    pub tool: String,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// The objects, in order of their keys.
    pub objects: Vec<RenderedObject>,
}

/// An object that an application renders to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderedObject {
    /// Its key.
    pub object: String,
    /// Its sync wave.
    pub wave: i32,
    /// The file it came from.
    pub origin: String,
    /// Its manifest; never with a Secret's values.
    pub manifest: Value,
}

/// The body of `POST apps/{name}/diff`: an application as somebody would have it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiffBody {
    /// The objects.
    pub objects: Vec<Manifest>,
}

/// An object's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its key.
    pub object: String,
    /// The manifest.
    pub manifest: Value,
}
