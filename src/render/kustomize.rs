//! Kustomizations: the real `kustomize build`, run on a copy of what it reads.
//!
//! Every kustomization that the first one leads to is copied as it lies in the repository
//! ([`roots`]); what the Application overrides is changed in the copy with `kustomize edit`, as
//! Argo CD does it ([`edit`]). Nothing is fetched: a remote base is an error that names it. The
//! load restrictor stays at its strict default.

mod edit;
mod roots;

use std::ffi::OsString;
use std::path::Path;

use super::copy::{self, Submodules};
use super::engine::{Error as RenderError, Input, Limits};
use super::files::{self, FilesError};
use super::manifest::Item;
use super::process::{self, Finished, Task};
use super::program;
use super::said::Said;
use super::sandbox::Needs;
use super::scratch::Scratch;
use super::tools::Tools;
use super::yaml::{self, Budget, Duplicates};
use crate::model::Kustomize;

pub(super) use roots::{Roots, roots};

/// The names under which Kustomize looks for its file.
pub(super) const FILE_NAMES: &[&str] =
    &["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Why a kustomization could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no kustomization.
    #[error("`{path}` is no kustomization: it has no kustomization.yaml")]
    NotAKustomization {
        /// The folder.
        path: String,
    },
    /// A kustomization cannot be read.
    #[error("{file}:{line}:{column}: {problem}")]
    Description {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
        /// What is wrong.
        problem: yaml::Problem,
    },
    /// A base, component or file would have to be fetched.
    #[error(
        "{file}: `{entry}` is remote, and remote bases are not fetched: put a copy of it into the \
         repository"
    )]
    Remote {
        /// The kustomization.
        file: String,
        /// What it names.
        entry: String,
    },
    /// A base or resource is not there.
    #[error("{file}: `{entry}` does not exist in the repository at this commit")]
    Missing {
        /// The kustomization.
        file: String,
        /// What it names.
        entry: String,
    },
    /// A base or resource cannot be read.
    #[error("{file}: `{entry}`: {reason}")]
    Bad {
        /// The kustomization.
        file: String,
        /// What it names.
        entry: String,
        /// Why.
        reason: String,
    },
    /// Too many bases.
    #[error("`{path}` leads to more than {max} kustomizations")]
    TooMany {
        /// The first kustomization.
        path: String,
        /// The limit.
        max: usize,
    },
    /// Kustomize refused.
    #[error("kustomization `{path}`: {message}")]
    Refused {
        /// The folder.
        path: String,
        /// What Kustomize said, without the names of temporary folders.
        message: Said,
    },
    /// What Kustomize printed is not valid YAML.
    #[error("{file}, in line {line} of what it renders to: {problem}")]
    Output {
        /// The kustomization.
        file: String,
        /// The line of the output, from 1.
        line: u64,
        /// What is wrong.
        problem: yaml::Problem,
    },
}

/// What a kustomization renders to.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) items: Vec<Item>,
    pub(super) warnings: Vec<String>,
    pub(super) tool: String,
}

/// The version of the program, e.g. `kustomize v5.8.1`.
///
/// # Errors
/// The program cannot be run or does not say a version.
pub fn kustomize_version(tools: &Tools) -> Result<String, RenderError> {
    program::version(tools, &tools.kustomize, "kustomize", &["version"])
}

/// Builds the kustomization in the folder `path`.
///
/// # Errors
/// The kustomization or what it leads to is not acceptable, Kustomize refuses it, or it cannot be
/// run.
pub(super) fn render(
    tools: &Tools,
    input: &Input<'_>,
    path: &str,
    overrides: &Kustomize,
    limits: &Limits,
) -> Result<Output, RenderError> {
    let Roots { first, file, folders } = roots(input.files, path, overrides)?;
    let tool = kustomize_version(tools)?;
    // Messages name files by their paths in the repository, which the copy has too.
    let mut scratch = Scratch::create(input.scratch, "", limits)?;
    let mut warnings = Vec::new();
    let mut left_out = Vec::new();
    for (from, to) in &folders {
        let submodules = Submodules::LeaveOut;
        left_out.extend(copy::folder(
            input.files,
            &mut scratch,
            from,
            to,
            submodules,
            &mut warnings,
        )?);
    }
    let folder = scratch.inputs().join(&first);
    let building = Building { tools, scratch: &scratch, path: &first, folder: &folder };
    let built = edit::apply(&building, input, overrides, &file)
        .and_then(|()| building.run(vec!["build".into(), ".".into()]));
    let finished = built.map_err(|error| missed(error, &file, &left_out))?;
    let mut budget = Budget::new(limits.memory_bytes_max, limits.documents_max);
    let parsed = yaml::parse(&finished.stdout, Duplicates::LastWins, &mut budget);
    let parsed = parsed.map_err(|error| Error::Output {
        file: file.clone(),
        line: error.line,
        problem: error.problem,
    })?;
    let documents = parsed.documents.into_iter().enumerate();
    let items = documents.map(|(index, document)| Item {
        origin: format!("{file} (object {})", index + 1),
        value: document.value,
    });
    warnings.extend(program::notes(&scratch.readable(&finished.stderr), "kustomize"));
    Ok(Output { items: items.collect(), warnings, tool })
}

/// What Kustomize misses because it is in a submodule, told as such.
fn missed(error: RenderError, file: &str, left_out: &[String]) -> RenderError {
    let RenderError::Kustomize(Error::Refused { message, .. }) = &error else { return error };
    let said = message.whole();
    let ends = |submodule: &&String| {
        ["/", ":", "'"].iter().any(|end| said.contains(&format!("./{submodule}{end}")))
    };
    match left_out.iter().find(|submodule| ends(submodule)) {
        Some(submodule) => {
            FilesError::Submodule { path: file.to_owned(), submodule: submodule.clone() }.into()
        }
        None => error,
    }
}

/// A kustomization that is laid out in the temporary folder.
struct Building<'a> {
    tools: &'a Tools,
    scratch: &'a Scratch,
    /// Where it is in the repository.
    path: &'a str,
    /// Where it is in the temporary folder.
    folder: &'a Path,
}

impl Building<'_> {
    /// Runs the program in the kustomization's folder.
    fn run(&self, arguments: Vec<OsString>) -> Result<Finished, RenderError> {
        // Building writes into the temporary folder, if at all; editing only here.
        let edits = arguments.first().is_some_and(|first| first == "edit");
        let temporary = self.scratch.temporary();
        let finished = process::run(&Task {
            program: &self.tools.kustomize,
            arguments,
            environment: program::environment(&temporary),
            folder: self.folder,
            timeout: self.tools.timeout,
            output_bytes_max: self.tools.output_bytes_max,
            sandbox: &self.tools.sandbox,
            needs: Needs {
                read: Some(self.scratch.folder()),
                write: Some(if edits { self.folder } else { &temporary }),
                ..Needs::default()
            },
            input: None,
        })?;
        match &finished.failure {
            None => Ok(finished),
            Some(failure) => {
                let said = self.scratch.readable(&finished.stderr);
                let message = Said::new(program::message(&said, failure, "kustomize"));
                Err(Error::Refused { path: self.path.to_owned(), message }.into())
            }
        }
    }
}

/// The first document of a kustomization file.
fn parse(file: &str, bytes: &[u8]) -> Result<serde_json::Value, Error> {
    /// Bound: what one kustomization file may use in memory, in bytes.
    const MEMORY_BYTES_MAX: u64 = 16 << 20;
    let mut budget = Budget::new(MEMORY_BYTES_MAX, 10);
    let parsed = yaml::parse(bytes, Duplicates::LastWins, &mut budget);
    let parsed = parsed.map_err(|error| Error::Description {
        file: file.to_owned(),
        line: error.line,
        column: error.column,
        problem: error.problem,
    })?;
    let first = parsed.documents.into_iter().next();
    Ok(first.map_or(serde_json::Value::Null, |document| document.value))
}

/// A file or folder that cannot be had, as the outer error.
fn unreadable(error: files::FilesError) -> RenderError {
    RenderError::Files(error)
}

#[cfg(test)]
mod tests;
