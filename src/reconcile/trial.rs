//! What an application would render to, for people who ask; recorded nowhere.
//!
//! The same mirrors, renderer and sandbox as the render job, so the answer is what a sync would
//! work with. Blocking.

use super::driver::Parts;
use super::opened::{self, Opened, Problem, Served};
use super::render_job::with_namespace;
use crate::ledger::event::RevisionRef;
use crate::model::{AppName, AppSpec, GroupKind, Scope, with_causes};
use crate::render::{RenderedObject, Tools};
use crate::replay::World;
use crate::source::Mirror;

/// What an application would render to.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The commit of each source.
    pub revisions: Vec<RevisionRef>,
    /// The objects, with the namespace that greffier would create.
    pub objects: Vec<RenderedObject>,
    /// What rendered.
    pub tool: String,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Why there is no trial.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// There is no such application.
    #[error("there is no application `{0}`")]
    UnknownApp(String),
    /// The revision is not in the mirror.
    #[error("{0}")]
    Revision(String),
    /// It does not render.
    #[error("`{app}` does not render: {problem}")]
    Render {
        /// The application.
        app: String,
        /// Why.
        problem: String,
    },
}

/// Renders `app` as it is now, or with its first source at `revision`: a branch, a tag, or a
/// commit, as far as its mirror has it.
///
/// # Errors
/// See [`TrialError`].
pub fn trial(parts: &Parts, app: &str, revision: Option<&str>) -> Result<Trial, TrialError> {
    let unknown = || TrialError::UnknownApp(app.to_owned());
    let name: AppName = app.parse().map_err(|_| unknown())?;
    let (spec, served, wanted) = {
        let view = parts.read();
        let state = view.world.apps.get(&name).ok_or_else(unknown)?;
        (state.spec.clone(), Served::of(&view.world), view.world.wanted(state))
    };
    let wanted = wanted.unwrap_or_else(|| vec![None; spec.sources.len()]);
    let asked = spec.sources.iter().position(|source| !source.lends_only);
    let mut commits = Vec::with_capacity(spec.sources.len());
    for (index, source) in spec.sources.iter().enumerate() {
        let here = revision.filter(|_| asked == Some(index));
        let known = wanted.get(index).cloned().flatten().filter(|_| here.is_none());
        let commit = match known {
            Some(commit) => commit,
            None => Mirror::open(&parts.mirrors, &source.repo)
                .and_then(|mirror| mirror.resolve(here.unwrap_or(&source.revision)))
                .map_err(|error| TrialError::Revision(with_causes(&error)))?,
        };
        commits.push(commit);
    }
    let failed =
        |problem: Problem| TrialError::Render { app: app.to_owned(), problem: problem.text };
    let opened = Opened::open(&parts.mirrors, &spec, &commits).map_err(failed)?;
    let scratch = opened::scratch(parts, &spec);
    let rendered = opened.render(&served, &parts.tools, &scratch).map_err(failed)?;
    Ok(Trial {
        revisions: opened.revisions(),
        objects: with_namespace(&spec, rendered.objects),
        tool: rendered.tool,
        warnings: rendered.warnings,
    })
}

/// What somebody else needs to render an application as the daemon would.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Definition {
    /// The application.
    pub spec: AppSpec,
    /// The Kubernetes version.
    pub kube_version: String,
    /// The API versions that the cluster serves.
    pub api_versions: Vec<String>,
    /// The scopes of the kinds that it serves.
    pub scopes: Vec<(GroupKind, Scope)>,
}

impl Definition {
    /// What the world says of `app`.
    #[must_use]
    pub fn of(world: &World, app: &AppName) -> Option<Self> {
        let spec = world.apps.get(app)?.spec.clone();
        let Served { scopes, kube_version, api_versions } = Served::of(world);
        Some(Self { spec, kube_version, api_versions, scopes: scopes.into_iter().collect() })
    }

    /// Renders the application from `files`, a working tree whose folder `path` is the
    /// application's; with the namespace that greffier would create.
    ///
    /// # Errors
    /// See [`TrialError`]; an application with several sources, of which a working tree is one.
    pub fn render_local(
        &self,
        files: &dyn crate::render::Files,
        path: &str,
        tools: &Tools,
        scratch: &std::path::Path,
    ) -> Result<Vec<RenderedObject>, TrialError> {
        let failed =
            |problem: String| TrialError::Render { app: self.spec.name.to_string(), problem };
        let [source] = self.spec.sources.as_slice() else {
            let problem = "it has several sources, and a folder can stand for one only; use --rev";
            return Err(failed(problem.to_owned()));
        };
        let source = crate::model::Source { path: path.to_owned(), ..source.clone() };
        let commit = "0".repeat(40).parse().map_err(|_| failed("no commit".to_owned()))?;
        let scopes = self.scopes.iter().cloned().collect();
        let input = crate::render::Input {
            app: &self.spec,
            source: &source,
            files,
            lent: &std::collections::BTreeMap::new(),
            commit: &commit,
            scopes: &scopes,
            kube_version: &self.kube_version,
            api_versions: &self.api_versions,
            scratch,
        };
        let rendered = crate::render::render(tools, &[input]);
        let rendered = rendered.map_err(|problem| failed(problem.error.whole()))?;
        Ok(with_namespace(&self.spec, rendered.objects))
    }
}
