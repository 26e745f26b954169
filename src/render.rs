//! Rendering: from a repository at a commit to the objects that an application consists of.
//!
//! ```text
//! files ──▶ directory ─┐
//!      ├──▶ kustomize ─┼──▶ documents (yaml, json) ──▶ manifest ──▶ Rendered
//!      └──▶ helm ──────┘
//!            └ process (the only place that starts programs) ── sandbox
//! ```
//!
//! Owns the choice of the tool, the reading of YAML as Kubernetes reads it, and the form in which
//! manifests are recorded and applied. Does not fetch, does not talk to the cluster, does not
//! write to the ledger. The parts that read text (`yaml`, `json`, `manifest`) are pure.
//!
//! Invariants: the same input gives the same objects in the same order (charts that draw random
//! values excepted); every input is bounded; nothing outside the repository is read, also through
//! links; an error names file and line and quotes no value ([`Error::whole`] does).

mod copy;
mod directory;
mod engine;
mod files;
mod folder;
mod helm;
mod inputs;
pub mod jq;
mod json;
mod kustomize;
mod lines;
mod manifest;
mod overrides;
mod process;
mod program;
mod said;
pub mod sandbox;
mod scratch;
mod single;
mod tools;
mod variables;
mod yaml;

pub use engine::{Error, Failed, Input, Rendered, render};
pub use files::{Content, FileKind, Files, FilesError, ListedFile, MemoryFiles};
pub use folder::FolderFiles;
pub use helm::{Error as HelmError, helm_version};
pub use inputs::{Inputs, RULES, Read, inputs_digest, made_with, reads, roots, version_of};
pub use kustomize::{Error as KustomizeError, kustomize_version};
pub use lines::{LineStep, Lines};
pub use manifest::{Error as ManifestError, Problem as ManifestProblem, RenderedObject};
pub use process::Error as ProcessError;
pub use said::Said;
pub use sandbox::Sandbox;
pub use scratch::Error as ScratchError;
pub use single::{Error as SingleError, parse_one};
pub use tools::Tools;
pub use yaml::{Error as SyntaxError, Problem as SyntaxProblem};
