//! Which instant a commit stands for when everything is replayed.
//!
//! Applications come to a commit one after the other: at the first instant at which any had it, the
//! others still had the one before. What is meant is the state when all had come to it.

use super::super::Book;
use super::super::instant::{About, At, Error, applied_first};
use super::super::rollback::OfCommit;
use crate::model::{AppName, Seq};
use crate::replay::World;

/// Which instant a commit stands for.
#[derive(Debug)]
pub enum Stands {
    /// This one.
    At(At),
    /// Roots came to it, and went on from it, at different times: each with its last event.
    Apart(Vec<(AppName, Seq)>),
}

/// The instant at which `apps` had come to a commit; none = all, with what their parents define.
/// `head` is the world as it is now.
///
/// # Errors
/// As an instant that is a commit.
pub fn of_commit(
    book: &dyn Book,
    head: &World,
    apps: &[AppName],
    name: &str,
) -> Result<Stands, Error> {
    let (mut found, mut why) = (Vec::new(), None);
    if apps.is_empty() {
        let roots = head.apps.iter().filter(|(_, app)| app.origin.parent().is_none());
        for (root, _) in roots {
            match OfCommit::find(book, root, name, head.seq) {
                Ok(of) => found.push((root.clone(), of.at)),
                Err(error) => why = why.or(Some(error)),
            }
        }
    } else {
        for app in apps {
            let at = applied_first(book, &About::app(app.as_str()), name)?.1;
            found.push((app.clone(), at));
        }
    }
    let Some((_, first)) = found.first() else {
        return Err(why.unwrap_or_else(|| Error::UnknownCommit(name.to_owned())));
    };
    if found.iter().any(|(_, at)| at.seq != first.seq) {
        return Ok(Stands::Apart(found.into_iter().map(|(app, at)| (app, at.seq)).collect()));
    }
    Ok(Stands::At(first.clone()))
}

/// The applications of which what Git said then was still to be rendered.
#[must_use]
pub fn unsettled(world: &World) -> Vec<&AppName> {
    let apps = world.apps.iter().filter(|(_, app)| !app.is_held());
    apps.filter(|(_, app)| world.render_pending(app)).map(|(name, _)| name).collect()
}
