//! `ledger verify`: whether every record is as it was written.

use serde::Serialize;

use super::args::Format;
use super::asker::Context;
use super::error::{Error, Exit};
use super::{files, output};
use crate::ledger::{Archive, Verified};
use crate::query::text::count;

/// What was found.
#[derive(Serialize)]
struct Found {
    /// How many events were checked.
    events: u64,
    /// How many blobs were checked.
    blobs: u64,
    /// How many sealed blobs were not opened, because there is no key.
    sealed_unopened: u64,
    /// The last event.
    head: u64,
    /// Its hash, which covers every event before it.
    head_hash: String,
    /// What is wrong; empty = everything is as it was written.
    problems: Vec<String>,
}

impl Found {
    fn new(archive: &Archive, verified: &Verified) -> Self {
        Self {
            events: verified.events,
            blobs: verified.blobs,
            sealed_unopened: verified.sealed_unopened,
            head: archive.head().0,
            head_hash: archive.info().head_hash.to_string(),
            problems: verified.problems.iter().map(ToString::to_string).collect(),
        }
    }

    fn text(&self) -> String {
        let unopened = match self.sealed_unopened {
            0 => String::new(),
            n => format!(" ({n} sealed blobs were not opened: no key)"),
        };
        format!(
            "{} events and {} blobs are as they were written, up to #{} {}{unopened}\n",
            self.events, self.blobs, self.head, self.head_hash
        )
    }
}

/// Reads and checks every record of the files; a running daemon need not be stopped for it.
pub(super) async fn run(context: &Context) -> Result<(), Error> {
    let archive = files::open(context.config())?;
    // A daemon may be in the middle of an append: then the end is not torn, only unfinished.
    if let Some(torn) = archive.torn_end()
        && context.client().probe().await.is_err()
    {
        let mut error = Error::new(
            Exit::Ledger,
            format!("the ledger cannot be read beyond event #{}", archive.head()),
        );
        error.causes.push(torn);
        return Err(error.hint(match archive.damage() {
            Some(_) if archive.shortened().is_some() => files::SHORTENED,
            None => "the daemon sets these bytes aside when it starts, and records that it did",
            Some(_) => files::NO_START,
        }));
    }
    let found = Found::new(&archive, &archive.verify());
    let format = context.global.output;
    let text = output::one(&found, format, Found::text, |found| format!("#{}", found.head));
    if found.problems.is_empty() {
        return output::print(&text);
    }
    // What programs read says it, too; people read the error.
    if matches!(format, Format::Json | Format::Jsonl | Format::Yaml) {
        output::print(&text)?;
    }
    let problems = count(found.problems.len(), "problem");
    let mut error = Error::new(Exit::Ledger, format!("the ledger has {problems}"));
    error.causes = found.problems;
    if archive.shortened().is_some() && error.causes.len() == 1 {
        return Err(error.hint(files::SHORTENED));
    }
    Err(error
        .hint(
            "put a whole copy of the named files in their place, while no daemon runs; what has \
             to read over the damage fails until then: a start without a snapshot (as after an \
             upgrade), log, report, status --at, rollback --to an instant, replay",
        )
        .hint(files::SALVAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what programs read says what people read, and which problems there are.
    #[test]
    fn what_was_found_has_a_form_for_programs() {
        let dir = tempfile::tempdir().unwrap();
        let (files, key) = (dir.path().join("ledger"), dir.path().join("key"));
        let options = crate::ledger::Options {
            free_bytes_reserve: 0,
            ..crate::ledger::Options::new(&files, &key)
        };
        let (ledger, _) = crate::ledger::Ledger::open(options).unwrap();
        ledger.shutdown();
        let archive = Archive::open(&files, Some(&key)).unwrap();
        let found = Found::new(&archive, &archive.verify());
        let head = archive.head().0;
        let name = |found: &Found| format!("#{}", found.head);
        let json = output::one(&found, Format::Json, Found::text, name);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["head"], &json["events"]), (&head.into(), &head.into()));
        assert_eq!(json["head_hash"], archive.info().head_hash.to_string());
        assert_eq!(json["problems"], serde_json::json!([]));
        let text = output::one(&found, Format::Table, Found::text, name);
        assert!(text.contains(&format!("up to #{head} ")), "{text}");
        let broken = Found { problems: vec!["segment 1: offset 9".into()], ..found };
        let json = output::one(&broken, Format::Json, Found::text, name);
        assert!(json.contains("segment 1: offset 9"), "{json}");
    }
}
