//! Finding out, once after the start, whether the programs that render are other ones than those
//! that what is in force was made with. Programs that nothing depends on are not run.

use std::collections::BTreeSet;

use super::driver::{Done, Parts};
use crate::ledger::event::ProgramsFoundV1;
use crate::ledger::{self, Draft};
use crate::render;

pub(super) async fn run(parts: Parts) -> Result<Done, ledger::Error> {
    let used: BTreeSet<String> = {
        let view = parts.read();
        let renders = view.world.apps.values().filter_map(crate::replay::App::newest);
        renders.flat_map(|render| &render.made_with).map(|(program, _)| program.clone()).collect()
    };
    let tools = parts.tools.clone();
    let found = tokio::task::spawn_blocking(move || {
        let versions = used.into_iter().filter_map(|program| {
            // Without its program nothing is rendered, and the render says so when it is needed.
            let version = render::version_of(&tools, &program)?;
            Some((program, version))
        });
        versions.collect::<Vec<_>>()
    });
    let Ok(versions) = found.await else { return Ok(Done::Looked) };
    let news = {
        let view = parts.read();
        let known = &view.world.programs;
        versions.iter().any(|(program, version)| known.get(program) != Some(version))
    };
    if news {
        parts.ledger.append(Draft::new(ProgramsFoundV1 { versions })).await?;
    }
    Ok(Done::Looked)
}
