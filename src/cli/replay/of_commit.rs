//! `--at git:COMMIT` of a replay.

use super::super::asker::Context;
use super::super::error::{Error, Exit};
use super::super::files::fold;
use crate::ledger::Archive;
use crate::model::AppName;
use crate::query::instant;
use crate::query::recovery::{Asked, Stands, of_commit, unsettled};

/// The instant at which what is asked for had come to a commit. A replay of one at which a part of it
/// had not would bring what was before the commit.
pub(super) fn settled_on(
    context: &Context,
    archive: &Archive,
    asked: &Asked,
    name: &str,
) -> Result<instant::At, Error> {
    let head = fold(archive, archive.head(), context.global.quiet)?;
    let at = match of_commit(archive, &head, &asked.apps, name)? {
        Stands::At(at) => at,
        Stands::Apart(of) => {
            let each: Vec<String> = of.iter().map(|(app, seq)| format!("{app} #{seq}")).collect();
            let text = format!("git:{name} is no single instant: {}", each.join(", "));
            return Err(Error::usage(text).hint("give one of these events, or a time"));
        }
    };
    if asked.apps.is_empty() {
        let world = fold(archive, at.seq, context.global.quiet)?;
        let waiting: Vec<&str> = unsettled(&world).into_iter().map(AppName::as_str).collect();
        if !waiting.is_empty() {
            let text = format!(
                "git:{name} was never in force as a whole: at #{}, before Git went on, it was not \
                 rendered for {}",
                at.seq,
                waiting.join(", ")
            );
            let hint =
                format!("--at '#{}' takes it as it was; or give a later commit or a time", at.seq);
            return Err(Error::new(Exit::Refused, text).hint(hint));
        }
    }
    Ok(at)
}
