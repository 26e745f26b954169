//! A chart from the repository to the temporary folder, with the charts that it depends on.
//!
//! A dependency in the chart's `charts/` folder is used as it is. One that is not there and says
//! `file://` is copied there from the repository, with its own dependencies in turn.

use serde_json::Value;

use super::{CHART_FILE, Error, unreadable as files_error};
use crate::render::copy::{self, Submodules};
use crate::render::directory;
use crate::render::engine::Error as RenderError;
use crate::render::files::{self, FileKind, Files, Target};
use crate::render::scratch::Scratch;
use crate::render::yaml::{self, Budget, Duplicates};

/// How deep charts may depend on charts. Three levels are seen; a chart that depends on itself
/// is stopped here.
const CHARTS_DEPTH_MAX: usize = 8;

/// What one description may use: `Chart.yaml` is a few kilobytes.
const DESCRIPTION_BYTES_MAX: u64 = 4 << 20;

/// A chart that was copied.
#[derive(Debug)]
pub(super) struct Chart {
    /// Its folder in the repository.
    pub(super) path: String,
    /// Its name, the first part of its templates' names.
    pub(super) name: String,
    pub(super) warnings: Vec<String>,
}

impl Chart {
    /// Copies the chart in the folder `path`.
    ///
    /// # Errors
    /// No chart, a link that leads out of the repository, a missing dependency, a limit.
    pub(super) fn copy(
        files: &dyn Files,
        path: &str,
        scratch: &mut Scratch,
    ) -> Result<Self, RenderError> {
        let path = directory::folder(files, path)?;
        let mut copier = Copier { files, scratch, warnings: Vec::new() };
        let description = copier.chart(&path, "", 0)?;
        Ok(Self { path, name: text(&description, "name"), warnings: copier.warnings })
    }
}

struct Copier<'a, 's> {
    files: &'a dyn Files,
    scratch: &'s mut Scratch,
    warnings: Vec<String>,
}

/// A dependency as a chart states it.
struct Dependency {
    name: String,
    repository: String,
}

impl Copier<'_, '_> {
    /// Copies the chart in the repository's folder `from` to `to` in the chart's folder, and
    /// returns its description.
    fn chart(&mut self, from: &str, to: &str, depth: usize) -> Result<Value, RenderError> {
        let description = self.description(from)?;
        // Helm loads every file of the folder, and renders those below `templates` and `charts`.
        let submodules = Submodules::Refuse;
        copy::folder(self.files, self.scratch, from, to, submodules, &mut self.warnings)?;
        self.dependencies(from, to, &description, depth)?;
        Ok(description)
    }

    /// Reads `Chart.yaml`, with the dependencies of `requirements.yaml` where it has none.
    fn description(&self, path: &str) -> Result<Value, RenderError> {
        let Some(mut description) = self.yaml(&files::join(path, CHART_FILE)?)? else {
            return Err(Error::NotAChart { path: path.to_owned() }.into());
        };
        if description.get("dependencies").is_none() {
            let old = self.yaml(&files::join(path, "requirements.yaml")?)?;
            let old = old.and_then(|mut old| old.get_mut("dependencies").map(Value::take));
            if let (Some(old), Value::Object(map)) = (old, &mut description) {
                map.insert("dependencies".to_owned(), old);
            }
        }
        Ok(description)
    }

    /// The first document of a file; `None` when there is no such file.
    fn yaml(&self, file: &str) -> Result<Option<Value>, RenderError> {
        let Target::File(bytes) = files::follow(self.files, file)? else { return Ok(None) };
        let mut budget = Budget::new(DESCRIPTION_BYTES_MAX, 10);
        let parsed = yaml::parse(&bytes, Duplicates::LastWins, &mut budget);
        let parsed = parsed.map_err(|error| Error::Description {
            file: file.to_owned(),
            line: error.line,
            column: error.column,
            problem: error.problem,
        })?;
        let first = parsed.documents.into_iter().next();
        Ok(Some(first.map_or(Value::Null, |document| document.value)))
    }

    fn dependencies(
        &mut self,
        from: &str,
        to: &str,
        description: &Value,
        depth: usize,
    ) -> Result<(), RenderError> {
        let vendored = self.vendored(from)?;
        for (folder, _) in &vendored {
            // A vendored chart may depend on charts by `file://` in turn.
            if let Some(folder) = folder {
                let from = files::join(from, &format!("charts/{folder}"))?;
                let to = files::join(to, &format!("charts/{folder}"))?;
                let description = self.description(&from)?;
                self.enter(&from, depth)?;
                self.dependencies(&from, &to, &description, depth + 1)?;
            }
        }
        let listed = description.get("dependencies").and_then(Value::as_array);
        for dependency in listed.into_iter().flatten() {
            let dependency = Dependency {
                name: text(dependency, "name"),
                repository: text(dependency, "repository"),
            };
            if !vendored.iter().any(|(_, name)| is_chart(name, &dependency.name)) {
                self.dependency(from, to, &dependency, depth)?;
            }
        }
        Ok(())
    }

    /// Copies a dependency that is in the repository.
    fn dependency(
        &mut self,
        from: &str,
        to: &str,
        dependency: &Dependency,
        depth: usize,
    ) -> Result<(), RenderError> {
        let Dependency { name, repository } = dependency;
        let Some(relative) = repository.strip_prefix("file://") else {
            let unnamed = repository.is_empty();
            return Err(Error::MissingDependency {
                chart: from.to_owned(),
                name: name.clone(),
                repository: if unnamed { "nowhere".to_owned() } else { format!("`{repository}`") },
            }
            .into());
        };
        let bad = |reason: String| {
            RenderError::from(Error::BadDependency {
                chart: from.to_owned(),
                name: name.clone(),
                reason,
            })
        };
        if relative.starts_with('/') {
            return Err(bad(format!("`{repository}` leads out of the repository")));
        }
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(bad("that is no name of a chart".to_owned()));
        }
        let source = files::join(from, relative).map_err(|error| bad(error.to_string()))?;
        let Target::Folder(source) = files::follow(self.files, &source)? else {
            return Err(bad(format!("`{repository}` is no folder of the repository")));
        };
        self.enter(from, depth)?;
        let target = files::join(to, &format!("charts/{name}"))?;
        self.chart(&source, &target, depth + 1).map(drop)
    }

    fn enter(&self, path: &str, depth: usize) -> Result<(), RenderError> {
        if depth >= CHARTS_DEPTH_MAX {
            let what = "8 levels of charts in charts";
            return Err(Error::TooLarge { path: path.to_owned(), what }.into());
        }
        Ok(())
    }

    /// The charts in the `charts/` folder: the folder, where it is one, and the chart's name (for
    /// an archive its file name).
    fn vendored(&self, chart: &str) -> Result<Vec<(Option<String>, String)>, RenderError> {
        let charts = files::join(chart, "charts")?;
        let Target::Folder(charts) = files::follow(self.files, &charts)? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for file in self.files.list(&charts, true).map_err(files_error)? {
            match file.path.split_once('/') {
                Some((folder, CHART_FILE)) => {
                    let description = self.yaml(&files::join(&charts, &file.path)?)?;
                    let name = text(&description.unwrap_or_default(), "name");
                    found.push((Some(folder.to_owned()), name));
                }
                None if file.path.ends_with(".tgz") => found.push((None, file.path)),
                // A link to a folder, most likely.
                None if file.kind == FileKind::Symlink => {
                    let inside = format!("{}/{CHART_FILE}", file.path);
                    if let Some(description) = self.yaml(&files::join(&charts, &inside)?)? {
                        found.push((Some(file.path), text(&description, "name")));
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Whether what is vendored under `vendored` is the chart `name`: by its name, or for an archive
/// `<name>-<version>.tgz`.
fn is_chart(vendored: &str, name: &str) -> bool {
    let version = vendored.strip_suffix(".tgz").and_then(|archive| archive.strip_prefix(name));
    let versioned = version.and_then(|version| version.strip_prefix('-'));
    let versioned =
        versioned.is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit() || c == 'v'));
    vendored == name || versioned
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}
