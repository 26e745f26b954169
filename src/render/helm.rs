//! Helm charts: the real `helm template`, run on a copy of the chart.
//!
//! The chart, the charts that it depends on by `file://` and the value files are written into a
//! folder of their own ([`scratch`](super::scratch)); nothing of the repository is executed in place and nothing
//! outside it is copied. Helm never fetches: a dependency that is neither vendored nor in the
//! repository is an error that names it. Precedence as in Argo CD: value files in order, inline
//! values, parameters, file parameters; the last wins.
//!
//! Does not interpret templates and does not repair their output: what Helm prints is what is
//! read, by the rules of `yaml` with duplicate keys accepted, because kubectl and Helm accept
//! them.

mod chart;
mod output;
mod values;

use std::ffi::OsString;

use self::chart::Chart;
use super::directory;
use super::engine::{Error as RenderError, Input, Limits};
use super::files::{self, Content, Files, FilesError};
use super::manifest::Item;
use super::process::{self, Task};
use super::program;
use super::said::Said;
use super::sandbox::Needs;
use super::scratch::Scratch;
use super::tools::Tools;
use super::yaml::{self, Budget};
use crate::model::{Digest, Helm};

/// The file that makes a folder a chart.
pub(super) const CHART_FILE: &str = "Chart.yaml";

/// How many API versions go into one argument, so that none comes near the system's limit of
/// 128 KiB (a name is at most 253 + 63 characters).
const API_VERSIONS_PER_ARGUMENT: usize = 100;

/// Why a chart could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no chart.
    #[error("`{path}` is no Helm chart: it has no Chart.yaml")]
    NotAChart {
        /// The folder.
        path: String,
    },
    /// A chart's description cannot be read.
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
    /// A dependency is neither vendored nor in the repository.
    #[error(
        "`{chart}` depends on the chart `{name}` from {repository}, which is not in its charts/ \
         folder and is not fetched yet"
    )]
    MissingDependency {
        /// The folder of the chart.
        chart: String,
        /// The chart that it needs.
        name: String,
        /// Where it would come from.
        repository: String,
    },
    /// A dependency cannot be used.
    #[error("`{chart}` depends on the chart `{name}`: {reason}")]
    BadDependency {
        /// The folder of the chart.
        chart: String,
        /// The chart that it needs.
        name: String,
        /// Why.
        reason: String,
    },
    /// Charts are in charts in charts.
    #[error("the chart `{path}` is larger than {what}")]
    TooLarge {
        /// The folder of the chart.
        path: String,
        /// The limit that was exceeded.
        what: &'static str,
    },
    /// A value file is not there.
    #[error("the value file `{file}` does not exist")]
    MissingValueFile {
        /// The file, as written.
        file: String,
    },
    /// A value file that is not read.
    #[error("the value file `{file}`: {reason}")]
    BadValueFile {
        /// The file, as written.
        file: String,
        /// Why.
        reason: String,
    },
    /// Helm refused the chart or a template failed.
    #[error("chart `{path}`: {message}")]
    Refused {
        /// The folder of the chart.
        path: String,
        /// What Helm said, without the names of temporary folders.
        message: Said,
    },
    /// What Helm printed is not valid YAML.
    #[error("{template}, in line {line} of what it renders to: {problem}")]
    Output {
        /// The template.
        template: String,
        /// The line of the rendered document, from 1.
        line: u64,
        /// What is wrong.
        problem: yaml::Problem,
    },
}

/// What a chart renders to.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) items: Vec<Item>,
    pub(super) warnings: Vec<String>,
    pub(super) tool: String,
}

/// Renders the chart in the folder `path`.
///
/// # Errors
/// The chart or its values are not acceptable, Helm refuses them, or it cannot be run.
pub(super) fn render(
    tools: &Tools,
    input: &Input<'_>,
    path: &str,
    helm: &Helm,
    limits: &Limits,
) -> Result<Output, RenderError> {
    let tool = helm_version(tools)?;
    let mut scratch = Scratch::create(input.scratch, path, limits)?;
    let chart = Chart::copy(input.files, path, &mut scratch)?;
    let mut arguments = arguments(input, helm);
    arguments.extend(values::arguments(input, &chart.path, helm, &mut scratch)?);
    let release = helm.release_name.as_deref().filter(|name| !name.is_empty());
    arguments.push("--".into());
    arguments.push(release.unwrap_or(input.app.name.as_str()).into());
    arguments.push(scratch.inputs().into());
    let finished = process::run(&Task {
        program: &tools.helm,
        arguments,
        environment: program::environment(&scratch.temporary()),
        folder: scratch.folder(),
        timeout: tools.timeout,
        output_bytes_max: tools.output_bytes_max,
        sandbox: &tools.sandbox,
        needs: Needs {
            read: Some(scratch.folder()),
            write: Some(&scratch.temporary()),
            ..Needs::default()
        },
        input: None,
    })?;
    if let Some(failure) = finished.failure {
        let message = program::message(&scratch.readable(&finished.stderr), &failure, "helm");
        let message = Said::new(message);
        return Err(Error::Refused { path: path.to_owned(), message }.into());
    }
    let mut budget = Budget::new(limits.memory_bytes_max, limits.documents_max);
    let (items, mut warnings) = output::items(&finished.stdout, &chart, &mut budget)?;
    warnings.extend(program::notes(&scratch.readable(&finished.stderr), "helm"));
    warnings.extend(chart.warnings);
    Ok(Output { items, warnings, tool })
}

/// The version of the program, e.g. `helm v4.0.1`.
///
/// # Errors
/// The program cannot be run or does not say a version.
pub fn helm_version(tools: &Tools) -> Result<String, RenderError> {
    program::version(tools, &tools.helm, "helm", &["version", "--short"])
}

/// Digests the files that the values come from.
///
/// # Errors
/// One of them cannot be had.
pub(super) fn values_digest(
    input: &Input<'_>,
    path: &str,
    helm: &Helm,
) -> Result<Digest, RenderError> {
    values::digest(input, &directory::folder(input.files, path)?, helm)
}

/// The files that the values come from, each with the name under which its repository is lent.
///
/// # Errors
/// One of them cannot be had.
pub(super) fn value_places(
    input: &Input<'_>,
    path: &str,
    helm: &Helm,
) -> Result<Vec<(Option<String>, String)>, RenderError> {
    values::places(input, &directory::folder(input.files, path)?, helm)
}

/// Whether a chart reads nothing outside its own folder but its values.
pub(super) fn stays_inside(files: &dyn Files, folder: &str) -> bool {
    let Ok(listed) = files.list(folder, true) else { return false };
    let mut charts = listed.iter().filter(|file| file.path.ends_with(CHART_FILE));
    charts.all(|chart| {
        let path = files::join(folder, &chart.path);
        match path.and_then(|path| files.read(&path)) {
            Ok(Some(Content::Bytes(bytes))) => !bytes.windows(7).any(|w| w == b"file://"),
            _ => false,
        }
    })
}

fn arguments(input: &Input<'_>, helm: &Helm) -> Vec<OsString> {
    let mut arguments = vec!["template".to_owned()];
    let own = helm.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    let destination = Some(input.app.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    arguments.push(format!("--namespace={}", own.or(destination).unwrap_or("default")));
    let kube_version = helm.kube_version.as_deref().unwrap_or(input.kube_version);
    if !kube_version.is_empty() {
        arguments.push(format!("--kube-version={kube_version}"));
    }
    let own = !helm.api_versions.is_empty();
    let api_versions = if own { &helm.api_versions } else { input.api_versions };
    for chunk in api_versions.chunks(API_VERSIONS_PER_ARGUMENT) {
        arguments.push(format!("--api-versions={}", chunk.join(",")));
    }
    if !helm.skip_crds {
        arguments.push("--include-crds".to_owned());
    }
    if helm.skip_schema_validation {
        arguments.push("--skip-schema-validation".to_owned());
    }
    // A test is no part of what is installed; without this it would be a hook left out.
    arguments.push("--skip-tests".to_owned());
    arguments.into_iter().map(OsString::from).collect()
}

/// A file or folder that cannot be had, as the outer error.
fn unreadable(error: FilesError) -> RenderError {
    RenderError::Files(error)
}

#[cfg(test)]
mod tests;
