//! `ledger salvage`: a ledger of what can still be read of a damaged one.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::SalvageArgs;
use super::asker::Context;
use super::error::{Error, Exit};
use super::output;
use super::table::local_time;
use crate::http::local_user;
use crate::ledger::{self, Findings, Salvage};
use crate::query::text::{clean, clip, count};

/// What was, or would be, salvaged.
#[derive(Debug, Serialize)]
struct Salvaged {
    /// The damaged ledger.
    from: PathBuf,
    /// The new one; null with `--plan`.
    into: Option<PathBuf>,
    /// The last event that is kept.
    last: u64,
    /// The event that records it; null with `--plan`.
    recorded: Option<u64>,
    /// Damaged places that cost no event.
    places: Vec<String>,
    /// How many bytes could not be read there.
    void_bytes: u64,
    /// Where the chain of events ends too early; null where it does not.
    cut: Option<Cut>,
}

/// Where the chain of events ends too early.
#[derive(Debug, Serialize)]
struct Cut {
    /// The place.
    place: String,
    /// Undamaged events behind it, which are not taken.
    behind: u64,
    /// The last of them.
    newest: u64,
    /// What people decided among them.
    decisions: Vec<Decision>,
}

/// What a person decided, in an event that is lost.
#[derive(Debug, Serialize)]
struct Decision {
    seq: u64,
    time: String,
    kind: String,
    detail: serde_json::Value,
}

/// Runs it. Exits with 8 when events are lost.
pub(super) fn run(context: &Context, args: &SalvageArgs) -> Result<(), Error> {
    let from = context.config().ledger_dir();
    let salvage = Salvage::scan(&from).map_err(scan_failed)?;
    if !salvage.found.is_damaged() {
        let text = format!("nothing is damaged in {}", from.display());
        return Err(Error::usage(text)
            .hint("an end that was not written whole is set aside when the daemon starts"));
    }
    let mut told = told(&from, &salvage.found);
    if let Some(into) = args.into.as_ref().filter(|_| !args.plan) {
        let config = context.config();
        let options = ledger::Options {
            segment_bytes_max: config.ledger.segment_bytes_max,
            free_bytes_reserve: config.ledger.free_bytes_reserve,
            sled_cache_bytes: config.ledger.cache_bytes,
            ..ledger::Options::new(into, &config.key_file)
        };
        told.recorded = Some(
            salvage.write(options, local_user()).map_err(|error| write_failed(error, into))?.0,
        );
        told.into = Some(std::path::absolute(into).unwrap_or_else(|_| into.clone()));
    }
    let name = |told: &Salvaged| told.last.to_string();
    output::print(&output::one(&told, context.global.output, text, name))?;
    // Said above.
    if told.cut.is_some() { Err(Error::new(Exit::Partial, "")) } else { Ok(()) }
}

fn told(from: &Path, found: &Findings) -> Salvaged {
    Salvaged {
        from: from.to_owned(),
        into: None,
        last: found.last.0,
        recorded: None,
        places: found.places.iter().map(ToString::to_string).collect(),
        void_bytes: found.void_bytes,
        cut: found.cut.as_ref().map(|cut| Cut {
            place: cut.place.to_string(),
            behind: cut.behind,
            newest: cut.newest.0,
            decisions: cut.decisions.iter().map(decision).collect(),
        }),
    }
}

fn decision(decided: &ledger::Decision) -> Decision {
    Decision {
        seq: decided.seq.0,
        time: decided.at.to_string(),
        kind: decided.kind.to_owned(),
        detail: decided.body.clone(),
    }
}

/// A decision in one line: what of it names its subject and its reason.
fn decided(decision: &Decision) -> String {
    let said = |name: &str| match &decision.detail[name] {
        serde_json::Value::String(text) if !text.is_empty() => format!(" {name} {text:?}"),
        _ => String::new(),
    };
    let said: String = ["app", "name", "reason"].into_iter().map(said).collect();
    let time = local_time(&decision.time);
    clip(&format!("   #{} {time} {}{said}", decision.seq, decision.kind), 200)
}

fn text(told: &Salvaged) -> String {
    let mut lines = told.places.clone();
    if told.void_bytes > 0 {
        lines.push(format!(
            "lost: {} bytes of contents there, and no event; what of them would not return after \
             a disaster: greffier doctor --recovery",
            told.void_bytes
        ));
    }
    if let Some(cut) = &told.cut {
        lines.push(cut.place.clone());
        lines.push(match cut.behind {
            0 => "lost: every event from there on".to_owned(),
            behind => format!(
                "lost: every event from there on; of those, {} can be read and cannot be replayed \
                 without what is missing before them, the last of them #{}",
                count(usize::try_from(behind).unwrap_or(usize::MAX), "event"),
                cut.newest
            ),
        });
        if !cut.decisions.is_empty() {
            lines.push("with what people decided there (-o json has all of it):".to_owned());
            lines.extend(cut.decisions.iter().map(decided));
        }
    }
    let from = told.from.display();
    match (&told.into, told.recorded) {
        (Some(into), Some(recorded)) => {
            let into = into.display();
            lines.push(format!("SALVAGED events #1 to #{} into {into}", told.last));
            lines.push(format!("recorded there as event #{recorded}; {from} is as it was"));
            lines.push("to use it, and keep the damaged one:".to_owned());
            lines.push(format!("   mv {from} {from}.damaged && mv {into} {from}"));
            if told.cut.is_some() {
                lines.push(
                    "it is FROZEN: greffier writes nothing until somebody has looked at \
                     `greffier status` and `greffier plan`, has done again what is still meant of \
                     the above, and says `greffier unfreeze`"
                        .to_owned(),
                );
            }
        }
        _ => lines.push(format!("can be salvaged: events #1 to #{}", told.last)),
    }
    lines.iter().map(|line| format!("{}\n", clean(line))).collect()
}

fn scan_failed(error: ledger::Error) -> Error {
    match &error {
        ledger::Error::Io { .. } => Error::new(Exit::Ledger, error.to_string())
            .because(&error)
            .hint("where the disk does not give its bytes, copy what it gives elsewhere first"),
        ledger::Error::Corrupt { .. } => Error::new(Exit::Ledger, error.to_string())
            .hint("nothing can be replayed without its beginning: bring back a copy"),
        ledger::Error::Locked { .. } => {
            Error::usage(error.to_string()).hint("stop the daemon that has it open")
        }
        _ => error.into(),
    }
}

fn write_failed(error: ledger::Error, into: &Path) -> Error {
    match &error {
        ledger::Error::NotEmpty(_) => Error::usage(error.to_string()).hint(
            "name a directory that is not there yet; one that ends in .unfinished is what an \
                   earlier salvage left when it was ended: remove it",
        ),
        ledger::Error::KeyMissing(_)
        | ledger::Error::KeyFormat(_)
        | ledger::Error::KeyWrong { .. }
        | ledger::Error::KeyInside(_) => error.into(),
        _ => Error::from(error)
            .hint(format!("remove {} before another try", ledger::unfinished(into).display())),
    }
}
