//! The Argo CD `Application` as greffier reads it (`argoproj.io/v1alpha1`, unchanged).
//!
//! Parsing is lenient where Argo CD is lenient (unknown fields and unknown sync options are
//! warnings) and strict where a misreading would write to a cluster: a field that *restrains*
//! writes and is not honoured yet becomes a [`Restraint`], and exactly those writes are suspended.
//! A field of another type than the schema gives it is refused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod helm;
mod ignore;
mod kustomize;
mod retry;
mod rollback;
mod shape;
mod source;

pub use helm::{Helm, HelmParameter};
pub use ignore::{IgnoreRule, Mask, REPLICAS, Selection};
pub use kustomize::Kustomize;
pub use retry::Retry;
pub use rollback::RollbackRule;
pub use source::{DirectorySource, Source, Tool};

use super::id::ParseIdError;
use super::object::ObjectKey;
use super::removal::Removals;

/// The annotation that makes greffier leave an Application alone.
const SKIP: &str = "argocd.argoproj.io/skip-reconcile";
/// The annotation with which an application has what people add to its objects removed.
const STRICT: &str = "greffier.dev/strict";
/// The names under which an Application may name the cluster that the daemon is connected to.
const IN_CLUSTER_SERVER: &str = "https://kubernetes.default.svc";
const IN_CLUSTER_NAME: &str = "in-cluster";

/// The name of an application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppName(String);

impl AppName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AppName {
    type Err = ParseIdError;

    /// Accepts what Kubernetes accepts as a name: at most 253 lower-case letters, digits, `-`
    /// and `.`, beginning and ending with a letter or digit (RFC 1123).
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let edges = edge(s.bytes().next()) && edge(s.bytes().last());
        if s.len() <= 253 && edges && s.bytes().all(inner) {
            Ok(Self(s.to_owned()))
        } else {
            Err(ParseIdError { what: "application name (RFC 1123)", input: s.to_owned() })
        }
    }
}

/// What is wrong with an Application manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// A field is missing.
    #[error("Application `{app}`: `{field}` is missing")]
    Missing {
        /// The application, or `?`.
        app: String,
        /// The path of the field.
        field: &'static str,
    },
    /// A field has the wrong type or an impossible value.
    #[error("Application `{app}`: `{field}` {problem}")]
    Invalid {
        /// The application, or `?`.
        app: String,
        /// The path of the field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The `automated` block: present and enabled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Automated {
    /// Objects that left Git are removed.
    pub prune: bool,
    /// Drift is put back.
    pub self_heal: bool,
    /// An empty render may empty the application.
    pub allow_empty: bool,
}

/// A field that restrains writes and is not honoured yet: the writes it names are suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restraint {
    /// No object of the application is written.
    All {
        /// The field, as people wrote it.
        what: String,
    },
    /// Existing objects are not changed; absent ones are created.
    Updates {
        /// The field, as people wrote it.
        what: String,
        /// The objects.
        objects: Selection,
    },
}

impl Restraint {
    /// The field that restrains.
    #[must_use]
    pub fn what(&self) -> &str {
        match self {
            Self::All { what } | Self::Updates { what, .. } => what,
        }
    }

    /// Whether changing the existing object `key` is suspended.
    #[must_use]
    pub fn holds_update(&self, key: &ObjectKey) -> bool {
        match self {
            Self::All { .. } => true,
            Self::Updates { objects, .. } => objects.covers(key),
        }
    }

    /// Whether every write is suspended.
    #[must_use]
    pub fn holds_all(&self) -> bool {
        matches!(self, Self::All { .. })
    }
}

/// An application as greffier works with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSpec {
    /// Its name.
    pub name: AppName,
    /// The namespace that the Application is in itself; may be empty.
    pub home: String,
    /// Its project.
    pub project: String,
    /// Its sources; never empty.
    pub sources: Vec<Source>,
    /// The namespace of objects that name none; may be empty.
    pub namespace: String,
    /// The automated policy; `None` = written to only when someone syncs it.
    pub automated: Option<Automated>,
    /// Whether the destination namespace is created when absent.
    pub create_namespace: bool,
    /// Labels of a namespace that greffier creates.
    pub namespace_labels: Vec<(String, String)>,
    /// Annotations of a namespace that greffier creates.
    pub namespace_annotations: Vec<(String, String)>,
    /// How dependents of pruned objects are removed: `Foreground`, `Background` or `Orphan`.
    pub prune_propagation: String,
    /// Whether objects are replaced as a whole (`Replace=true`).
    pub replace: bool,
    /// Whether what is replaced is deleted and created anew (`Force=true`).
    pub force: bool,
    /// Whether the API server refuses what it does not know (`Validate=false` switches it off).
    pub validate: bool,
    /// What it says about removals.
    pub removals: Removals,
    /// Whether greffier leaves it alone (`skip-reconcile`): it is not even rendered.
    pub skip: bool,
    /// Whether it is not synced while another application has one of its objects.
    pub fail_on_shared: bool,
    /// What is ignored in which objects (`ignoreDifferences`).
    pub ignore: Vec<IgnoreRule>,
    /// Whether the live value of what is ignored is sent back (`RespectIgnoreDifferences=true`).
    pub respect_ignore: bool,
    /// `PruneLast=true`: what leaves Git goes when everything else is there and healthy.
    pub prune_last: bool,
    /// Whether what people add to its objects by hand is removed (`greffier.dev/strict`).
    pub strict: bool,
    /// How what was refused is tried again.
    pub retry: Retry,
    /// When it is rolled back by itself (`greffier.dev/rollback`); `None` = as configured.
    pub rollback: Option<RollbackRule>,
    /// What restrains writes and is not honoured yet.
    pub restraints: Vec<Restraint>,
    /// What was not understood and does not restrain writes.
    pub warnings: Vec<String>,
}

impl AppSpec {
    /// Reads an Application manifest.
    ///
    /// # Errors
    /// A missing or mistyped field that the application cannot do without.
    pub fn parse(manifest: &Value) -> Result<Self, AppError> {
        Parser::new(manifest)?.parse()
    }

    /// What is ignored in the object `key`.
    #[must_use]
    pub fn mask(&self, key: &ObjectKey) -> Mask {
        ignore::mask(&self.ignore, key)
    }

    /// Every jq expression of `ignoreDifferences`, each once.
    #[must_use]
    pub fn expressions(&self) -> Vec<String> {
        let all: std::collections::BTreeSet<&String> =
            self.ignore.iter().flat_map(|rule| &rule.mask.jq).collect();
        all.into_iter().cloned().collect()
    }
}

struct Parser<'a> {
    manifest: &'a Value,
    name: AppName,
    restraints: Vec<Restraint>,
    warnings: Vec<String>,
}

impl<'a> Parser<'a> {
    fn new(manifest: &'a Value) -> Result<Self, AppError> {
        let name = str_at(manifest, "/metadata/name")
            .ok_or(AppError::Missing { app: "?".into(), field: "metadata.name" })?;
        let name = name.parse().map_err(|error: ParseIdError| AppError::Invalid {
            app: name.to_owned(),
            field: "metadata.name".into(),
            problem: error.to_string(),
        })?;
        Ok(Self { manifest, name, restraints: Vec::new(), warnings: Vec::new() })
    }

    fn parse(mut self) -> Result<AppSpec, AppError> {
        let api = str_at(self.manifest, "/apiVersion").unwrap_or_default();
        let kind = str_at(self.manifest, "/kind").unwrap_or_default();
        if api != "argoproj.io/v1alpha1" || kind != "Application" {
            let problem = format!("is `{api} {kind}`, not `argoproj.io/v1alpha1 Application`");
            return Err(self.invalid("kind", problem));
        }
        if let Some((field, problem)) = shape::wrong(self.manifest) {
            return Err(self.invalid(field, problem));
        }
        let spec = self.manifest.get("spec").filter(|spec| spec.is_object());
        let spec = spec.ok_or_else(|| self.missing("spec"))?;
        let sources = self.sources(spec)?;
        self.destination(spec);
        let strict = self.strict();
        self.restraining_fields(spec);
        let policy = spec.get("syncPolicy").unwrap_or(&Value::Null);
        let options = SyncOptions::read(&mut self, policy);
        let automated = automated(policy);
        let retry = retry::read(policy, automated.is_some(), &mut self.warnings);
        let (ignore, restraints) = ignore::read(spec.get("ignoreDifferences"));
        self.restraints.extend(restraints);
        let metadata = policy.get("managedNamespaceMetadata").unwrap_or(&Value::Null);
        let (removals, warnings) = Removals::read(self.manifest);
        self.warnings.extend(warnings);
        Ok(AppSpec {
            home: str_at(self.manifest, "/metadata/namespace").unwrap_or_default().to_owned(),
            project: str_at(spec, "/project").unwrap_or("default").to_owned(),
            namespace: str_at(spec, "/destination/namespace").unwrap_or_default().to_owned(),
            automated,
            create_namespace: options.create_namespace,
            namespace_labels: string_map(metadata.get("labels")),
            namespace_annotations: string_map(metadata.get("annotations")),
            prune_propagation: options.prune_propagation,
            replace: options.replace,
            force: options.force,
            validate: options.validate,
            skip: self.skip(),
            removals,
            fail_on_shared: options.fail_on_shared,
            ignore,
            respect_ignore: options.respect_ignore,
            prune_last: options.prune_last,
            retry,
            rollback: rollback::read(self.manifest, &mut self.warnings),
            strict,
            sources,
            name: self.name,
            restraints: self.restraints,
            warnings: self.warnings,
        })
    }

    fn missing(&self, field: &'static str) -> AppError {
        AppError::Missing { app: self.name.to_string(), field }
    }

    fn invalid(&self, field: impl Into<String>, problem: impl Into<String>) -> AppError {
        AppError::Invalid {
            app: self.name.to_string(),
            field: field.into(),
            problem: problem.into(),
        }
    }

    fn hold_all(&mut self, what: impl Into<String>) {
        self.restraints.push(Restraint::All { what: what.into() });
    }

    fn sources(&self, spec: &Value) -> Result<Vec<Source>, AppError> {
        if spec.get("sourceHydrator").is_some() {
            return Err(self.invalid("spec.sourceHydrator", "is not supported"));
        }
        let several = spec.get("sources").and_then(Value::as_array).filter(|list| !list.is_empty());
        match several {
            Some(list) => {
                let sources: Result<Vec<_>, _> =
                    list.iter().map(|source| self.source(source)).collect();
                self.lending(sources?)
            }
            None => {
                let source = spec.get("source").ok_or_else(|| self.missing("spec.source"))?;
                Ok(vec![self.source(source)?])
            }
        }
    }

    /// Checks how sources lend files to each other.
    fn lending(&self, sources: Vec<Source>) -> Result<Vec<Source>, AppError> {
        // Nothing to render would look like an application that was emptied.
        if sources.iter().all(|source| source.lends_only) {
            return Err(self.invalid("spec.sources", "only lend files (`ref` without `path`)"));
        }
        let mut names: Vec<&String> = sources.iter().filter_map(|s| s.lends.as_ref()).collect();
        names.sort();
        let twice = names.iter().zip(names.iter().skip(1)).find(|(a, b)| a == b);
        if let Some((name, _)) = twice {
            let problem = format!("have the name `{name}` (`ref`) twice");
            return Err(self.invalid("spec.sources", problem));
        }
        Ok(sources)
    }

    fn source(&self, source: &Value) -> Result<Source, AppError> {
        let repo = str_at(source, "/repoURL").filter(|url| !url.is_empty());
        let repo = repo.ok_or_else(|| self.missing("spec.source.repoURL"))?;
        let revision = str_at(source, "/targetRevision").filter(|revision| !revision.is_empty());
        let lends = str_at(source, "/ref").filter(|name| !name.is_empty()).map(str::to_owned);
        Ok(Source {
            repo: repo.to_owned(),
            path: str_at(source, "/path").filter(|p| !p.is_empty()).unwrap_or(".").to_owned(),
            revision: revision.unwrap_or("HEAD").to_owned(),
            tool: source::tool(source).map_err(|(field, problem)| {
                self.invalid(format!("spec.source.{field}"), problem)
            })?,
            written: source::written(source),
            lends_only: lends.is_some() && str_at(source, "/path").is_none_or(str::is_empty),
            lends,
        })
    }

    fn destination(&mut self, spec: &Value) {
        let server = str_at(spec, "/destination/server").unwrap_or_default().trim_end_matches('/');
        let name = str_at(spec, "/destination/name").unwrap_or_default();
        if !server.is_empty() && server != IN_CLUSTER_SERVER {
            self.hold_all(format!("destination.server {server} (only the own cluster is written)"));
        }
        if !name.is_empty() && name != IN_CLUSTER_NAME {
            self.hold_all(format!("destination.name {name} (only the own cluster is written)"));
        }
        if server.is_empty() && name.is_empty() {
            self.warnings.push("spec.destination names no cluster: the own one is meant".into());
        }
    }

    /// Whether what people add to objects is removed.
    fn strict(&mut self) -> bool {
        let annotations = self.manifest.pointer("/metadata/annotations");
        match annotations.and_then(|annotations| annotations.get(STRICT)).and_then(Value::as_str) {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                let warning =
                    format!("annotation {STRICT} `{other}` is neither `true` nor `false`");
                self.warnings.push(warning + ": ignored");
                false
            }
        }
    }

    /// Whether `skip-reconcile` has one of the values that Argo CD takes for true.
    fn skip(&self) -> bool {
        let annotations = self.manifest.pointer("/metadata/annotations");
        let value = annotations.and_then(|annotations| annotations.get(SKIP)?.as_str());
        matches!(value, Some("1" | "t" | "T" | "true" | "True" | "TRUE"))
    }

    fn restraining_fields(&mut self, spec: &Value) {
        let project = str_at(spec, "/project").unwrap_or("default");
        if !project.is_empty() && project != "default" {
            self.hold_all(format!("project {project} (its limits and sync windows)"));
        }
    }
}

/// What the `syncOptions` list says.
struct SyncOptions {
    create_namespace: bool,
    prune_propagation: String,
    replace: bool,
    force: bool,
    validate: bool,
    fail_on_shared: bool,
    respect_ignore: bool,
    prune_last: bool,
}

impl SyncOptions {
    fn read(parser: &mut Parser<'_>, policy: &Value) -> Self {
        let mut options = Self {
            create_namespace: false,
            prune_propagation: "Foreground".into(),
            replace: false,
            force: false,
            validate: true,
            fail_on_shared: false,
            respect_ignore: false,
            prune_last: false,
        };
        for option in strings(policy.get("syncOptions")) {
            match option.trim() {
                "CreateNamespace=true" => options.create_namespace = true,
                // What these ask for is what greffier does, or they only relax a check.
                "CreateNamespace=false"
                | "ServerSideApply=true"
                | "ApplyOutOfSyncOnly=true"
                | "PruneLast=false"
                | "ClientSideApplyMigration=true"
                | "ClientSideApplyMigration=false"
                | "Replace=false"
                | "Force=false"
                | "Validate=true"
                | "SkipDryRunOnMissingResource=true"
                | "FailOnSharedResource=false"
                | "RespectIgnoreDifferences=false" => {}
                "RespectIgnoreDifferences=true" => options.respect_ignore = true,
                "PruneLast=true" => options.prune_last = true,
                // Read with the other things that are said about removals.
                "Prune=true" | "Prune=false" | "Prune=confirm" | "Delete=true" | "Delete=false"
                | "Delete=confirm" => {}
                "FailOnSharedResource=true" => options.fail_on_shared = true,
                "PrunePropagationPolicy=foreground" => {}
                "PrunePropagationPolicy=background" => {
                    options.prune_propagation = "Background".into();
                }
                "PrunePropagationPolicy=orphan" => {
                    options.prune_propagation = "Orphan".into();
                }
                "Replace=true" => options.replace = true,
                "Force=true" => options.force = true,
                "Validate=false" => options.validate = false,
                "ServerSideApply=false" => {
                    let warning = "syncOption `ServerSideApply=false`: server-side apply is used";
                    parser.warnings.push(warning.into());
                }
                other => {
                    parser.warnings.push(format!("syncOption `{other}` is not known: ignored"));
                }
            }
        }
        options
    }
}

fn automated(policy: &Value) -> Option<Automated> {
    let automated = policy.get("automated").filter(|value| value.is_object())?;
    if automated.get("enabled").and_then(Value::as_bool) == Some(false) {
        return None;
    }
    Some(Automated {
        prune: bool_at(automated, "/prune"),
        self_heal: bool_at(automated, "/selfHeal"),
        allow_empty: bool_at(automated, "/allowEmpty"),
    })
}

fn str_at<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str()
}

/// The scalar at `pointer` as text; numbers and booleans in their JSON form.
fn text_at(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(scalar @ (Value::Number(_) | Value::Bool(_))) => scalar.to_string(),
        _ => String::new(),
    }
}

fn bool_at(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|entry| entry.as_str().map(str::to_owned)).collect()
}

fn string_map(value: Option<&Value>) -> Vec<(String, String)> {
    let map = value.and_then(Value::as_object).into_iter().flatten();
    map.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests;
