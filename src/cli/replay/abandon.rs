//! `replay --abandon`: a person ends a replay that is not verified, so that another may begin.

use serde::Serialize;

use super::super::args::ReplayArgs;
use super::super::asker::Context;
use super::super::change::asked;
use super::super::error::{Error, Exit};
use super::super::output;
use super::record::Register;
use super::{not_recorded, over};
use crate::command;
use crate::http;
use crate::ledger::event::{Event, RecoveryAbandonedV1};
use crate::ledger::{Archive, Draft};
use crate::model::Seq;
use crate::query::recovery::last_replay;
use crate::query::text::{clean, count};
use crate::recovery::progress::Progress;

/// What was ended.
#[derive(Debug, Serialize)]
struct Abandoned {
    /// The event that began it.
    recovery: u64,
    /// The event that ended it.
    event: u64,
    /// The target's address.
    server: String,
    /// How many objects it wrote, which stay there.
    written: u32,
    /// How many it was to write.
    objects: u32,
    /// Why.
    reason: String,
}

/// Ends the replay that an event began.
pub(super) async fn run(
    context: &Context,
    archive: &Archive,
    recovery: Seq,
    args: &ReplayArgs,
) -> Result<(), Error> {
    if context.global.at.is_some() {
        return Err(Error::usage("a replay is abandoned now").hint("leave out --at"));
    }
    let reason = command::bounded(&args.reason).map_err(|error| Error::usage(error.to_string()))?;
    let progress = begun_by(archive, recovery)?;
    let (server, written) = (progress.begun.server.clone(), progress.written());
    if !args.yes {
        let objects = count(progress.begun.objects as usize, "object");
        let text = format!(
            "replay #{recovery} onto {}: {written} of {objects} are written and stay there; \
             nobody goes on with it",
            clean(&server)
        );
        output::say(&text);
        asked("abandoned", "the same with --yes")?;
    }
    let uid = progress.begun.uid.clone();
    let body = RecoveryAbandonedV1 { recovery, uid, written, reason: reason.clone() };
    let register = Register::open(context, archive).await?;
    let draft = Draft::new(body).by(http::local_user()).caused_by(recovery);
    let recorded = register.recorder().record(draft).await;
    register.close();
    let done = Abandoned {
        recovery: recovery.0,
        event: recorded.map_err(not_recorded)?.0,
        server,
        written,
        objects: progress.begun.objects,
        reason,
    };
    let name = |done: &Abandoned| format!("#{}", done.event);
    output::print(&output::one(&done, context.global.output, text, name))
}

/// The replay that an event began, if it may be ended.
fn begun_by(archive: &Archive, recovery: Seq) -> Result<Progress, Error> {
    let recorded = archive.get(recovery)?;
    let event = recorded.as_ref().and_then(|recorded| recorded.event.as_ref());
    let Some(Event::RecoveryBegun(body)) = event else {
        let text = format!("event #{recovery} is no replay that was begun");
        return Err(Error::usage(text).hint("`greffier log --kind recovery.begun` lists them"));
    };
    let last = last_replay(archive, &body.uid)?;
    let Some(last) = last.filter(|last| last.seq == recovery) else {
        let text = format!("another replay onto that cluster was begun since #{recovery}");
        return Err(Error::new(Exit::Refused, text).hint("nothing is in the way of it"));
    };
    if last.is_over() { Err(over(&last)) } else { Ok(last) }
}

fn text(done: &Abandoned) -> String {
    let (written, objects) = (done.written, count(done.objects as usize, "object"));
    format!(
        "replay #{} onto {}: abandoned by event #{}; {written} of {objects} that it wrote stay \
         there\n",
        done.recovery,
        clean(&done.server),
        done.event
    )
}
