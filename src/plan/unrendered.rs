//! What Git says now and is not known: it does not render, or cannot be fetched.

use super::Finished;
use crate::replay::{App, World};

/// How often in a row the machine may spoil a render before the revision has ended. Bound: with
/// the waits in between that is some seconds; what lasts longer is a person's to mend.
const SPOILED_MAX: u32 = 3;

/// Whether what was asked to be synced and does not render may do so in a moment.
pub(super) fn may_render_yet(world: &World, app: &App) -> bool {
    app.request.is_some()
        && !app.is_held()
        && world.render_problem(app).is_some_and(|p| p.transient && p.failures <= SPOILED_MAX)
}

/// How a sync that somebody asked for has ended, if Git's newest word is not known. Nobody else is
/// told: what does not render or cannot be fetched was told when it happened, and what is in force
/// has its own end.
pub(super) fn ended(world: &World, app: &App) -> Option<Finished> {
    // What is held is asked for, and not what Git says.
    app.request.as_ref().filter(|_| !app.is_held())?;
    if let Some(problem) = world.render_problem(app) {
        let again = if problem.transient { "; it is tried again" } else { "" };
        let message = format!("the newest revision does not render: {}{again}", problem.error);
        return Some(Finished { succeeded: false, message });
    }
    let mut sources = app.spec.sources.iter();
    let (repo, error) = sources.find_map(|source| {
        let repo = world.repos.get(&source.repo)?;
        Some((&source.repo, repo.error.as_ref()?))
    })?;
    let message = format!("repository {repo} cannot be fetched: {error}");
    Some(Finished { succeeded: false, message })
}
