//! Helm charts: the real `helm template`, run on a copy of the chart.
//!
//! The chart, the charts that it depends on by `file://` and the value files are written into a
//! folder of their own ([`scratch`]); nothing of the repository is executed in place and nothing
//! outside it is copied. Helm never fetches: a dependency that is neither vendored nor in the
//! repository is an error that names it. Precedence as in Argo CD: value files in order, inline
//! values, parameters, file parameters; the last wins.
//!
//! Does not interpret templates and does not repair their output: what Helm prints is what is
//! read, by the rules of `yaml` with duplicate keys accepted, because kubectl and Helm accept
//! them.

mod chart;
mod output;
mod scratch;
mod values;

use std::ffi::OsString;
use std::io;
use std::path::Path;

use self::chart::Chart;
use self::scratch::Scratch;
use super::engine::{Error as RenderError, Input, Limits, Tools};
use super::files::FilesError;
use super::manifest::Item;
use super::process::{self, Task};
use super::sandbox::Needs;
use super::yaml::{self, Budget};
use crate::model::Helm;

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
    /// Charts and value files are too large together.
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
        message: String,
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
    /// The temporary folder could not be written.
    #[error("could not write the temporary folder")]
    Scratch {
        /// The cause.
        source: io::Error,
    },
}

impl Error {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Scratch { .. })
    }
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
    arguments.extend(values::arguments(input.files, &chart.path, helm, &mut scratch)?);
    let release = helm.release_name.as_deref().filter(|name| !name.is_empty());
    arguments.push("--".into());
    arguments.push(release.unwrap_or(input.app.name.as_str()).into());
    arguments.push(scratch.chart_folder().into());
    let finished = process::run(&Task {
        program: &tools.helm,
        arguments,
        environment: environment(&scratch.temporary()),
        folder: scratch.folder(),
        timeout: tools.timeout,
        output_bytes_max: tools.output_bytes_max,
        sandbox: &tools.sandbox,
        needs: Needs { read: Some(scratch.folder()), write: Some(&scratch.temporary()) },
    })?;
    if let Some(failure) = finished.failure {
        let message = output::message(&scratch.readable(&finished.stderr), &failure);
        return Err(Error::Refused { path: path.to_owned(), message }.into());
    }
    let mut budget = Budget::new(limits.memory_bytes_max, limits.documents_max);
    let (items, mut warnings) = output::items(&finished.stdout, &chart, &mut budget)?;
    warnings.extend(output::notes(&scratch.readable(&finished.stderr)));
    warnings.extend(chart.warnings);
    Ok(Output { items, warnings, tool })
}

/// The version of the program, e.g. `helm v4.0.1`. It is asked once for each program; a program
/// that was replaced is asked again.
///
/// # Errors
/// The program cannot be run or does not say a version.
pub fn helm_version(tools: &Tools) -> Result<String, RenderError> {
    if let Some(version) = tools.known_version(&tools.helm) {
        return Ok(version);
    }
    let folder = Path::new("/");
    let finished = process::run(&Task {
        program: &tools.helm,
        arguments: vec!["version".into(), "--short".into()],
        environment: environment(Path::new("/nonexistent")),
        folder,
        timeout: tools.timeout,
        output_bytes_max: tools.output_bytes_max,
        sandbox: &tools.sandbox,
        needs: Needs::default(),
    })?;
    let text = String::from_utf8_lossy(&finished.stdout);
    // `v4.0.1+g1234567`: the build is not of interest.
    let version = text.trim().split('+').next().unwrap_or_default();
    if finished.failure.is_some() || !version.starts_with('v') {
        let message = format!("`{}` does not say its version", tools.helm.display());
        return Err(Error::Refused { path: "helm version".to_owned(), message }.into());
    }
    let version = format!("helm {version}");
    tools.remember_version(&tools.helm, &version);
    Ok(version)
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

/// Everything that Helm would look for in the user's home is in the temporary folder, where it
/// finds nothing. Charts can ask for a schema by URL: the proxy that nobody serves refuses that.
fn environment(home: &Path) -> Vec<(&'static str, OsString)> {
    let below = |name: &str| home.join(name).into_os_string();
    vec![
        ("HOME", home.as_os_str().to_owned()),
        ("TMPDIR", home.as_os_str().to_owned()),
        // Local time is the same everywhere.
        ("TZ", "UTC".into()),
        ("HELM_CACHE_HOME", below("cache")),
        ("HELM_CONFIG_HOME", below("config")),
        ("HELM_DATA_HOME", below("data")),
        ("HELM_PLUGINS", below("plugins")),
        ("KUBECONFIG", below("kubeconfig")),
        ("HTTP_PROXY", "http://127.0.0.1:9".into()),
        ("HTTPS_PROXY", "http://127.0.0.1:9".into()),
    ]
}

/// A file or folder that cannot be had, as the outer error.
fn files(error: FilesError) -> RenderError {
    RenderError::Files(error)
}

#[cfg(test)]
mod tests;
