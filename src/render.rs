//! Rendering: from a repository at a commit to the objects that an application consists of.
//!
//! ```text
//! files ──▶ directory ─┐
//!      └──▶ helm ──────┴──▶ documents (yaml, json) ──▶ manifest ──▶ Rendered
//!            └ process (the only place that starts programs) ── sandbox
//! ```
//!
//! Owns the choice of the tool, the reading of YAML as Kubernetes reads it, and the form in which
//! manifests are recorded and applied. Does not fetch, does not talk to the cluster, does not
//! write to the ledger. The parts that read text (`yaml`, `json`, `manifest`) are pure.
//!
//! Invariants: the same input gives the same objects in the same order (charts that draw random
//! values excepted); every input is bounded; nothing outside the repository is read, also through
//! links; an error names file and line and quotes no value.

mod directory;
mod engine;
mod files;
mod helm;
mod json;
mod manifest;
mod process;
pub mod sandbox;
mod single;
mod yaml;

pub use engine::{Error, Input, Rendered, Tools, render};
pub use files::{Content, FileKind, Files, FilesError, ListedFile, MemoryFiles};
pub use helm::{Error as HelmError, helm_version};
pub use manifest::{Error as ManifestError, Problem as ManifestProblem, RenderedObject};
pub use process::Error as ProcessError;
pub use sandbox::Sandbox;
pub use single::{Error as SingleError, parse_one};
pub use yaml::{Error as SyntaxError, Problem as SyntaxProblem};
