//! What snapshots tell of events that the segments do not have any more.
//!
//! A snapshot is made of durable events only. So one of a later event than the last that the
//! segments have shows that there were more: the newest segment, or its end, is missing. It is the
//! only witness where the index is missing as well, or may not be touched.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::event::LedgerRepairedV1;
use super::snapshot;
use crate::model::Seq;

/// Where what was damaged is kept, in the ledger's directory.
const ASIDE: &str = "aside";

/// The snapshots of a ledger, listed before its segments are read: whoever lists them afterwards
/// may meet one of an event that a running daemon has written since.
pub(super) struct Witnesses(Vec<(Seq, PathBuf)>);

impl Witnesses {
    /// The snapshots in a ledger's directory.
    pub(super) fn list(ledger: &Path) -> Self {
        Self(snapshot::all(&directory(ledger)))
    }

    /// The undamaged ones of events after `last`, newest first.
    fn beyond(&self, last: Seq) -> impl Iterator<Item = &(Seq, PathBuf)> {
        let later = self.0.iter().filter(move |(seq, _)| *seq > last);
        later.filter(|(seq, path)| snapshot::seq_in(path) == Some(*seq))
    }

    /// What is wrong when there were events after `last`, which ends at `end` of `file`.
    pub(super) fn shortened(&self, last: Seq, file: String, end: u64) -> Option<Error> {
        let (seq, path) = self.beyond(last).next()?;
        let what = format!(
            "the files end here, with event {last}, and {} was made of event {seq}: the newest \
             file, or its end, is missing",
            path.display()
        );
        Some(Error::Corrupt { file, offset: end, what })
    }

    /// What is recorded of events after `last` that are lost, if there were any.
    pub(super) fn repair(&self, ledger: &Path, last: Seq) -> Option<LedgerRepairedV1> {
        let newest = self.beyond(last).next()?.0;
        let kept = self.beyond(last).map(|(_, path)| aside(ledger, path).display().to_string());
        let kept: Vec<_> = kept.collect();
        let what = format!(
            "the segments end with event {last}, and a snapshot was made of event {newest}: the \
             newest file, or its end, is missing; the snapshots of lost events are set aside"
        );
        Some(LedgerRepairedV1 { what, kept: kept.join(", "), possibly_acknowledged: true })
    }

    /// Puts the snapshots of lost events aside once that is recorded: they stay as what is left of
    /// them, and do not keep newer ones from being kept.
    pub(super) fn set_aside(&self, ledger: &Path, last: Seq) {
        for (_, path) in self.beyond(last) {
            let into = aside(ledger, path);
            let renamed =
                fs::create_dir_all(ledger.join(ASIDE)).and_then(|()| fs::rename(path, into));
            if let Err(error) = renamed {
                tracing::warn!(%error, path = %path.display(), "a snapshot of lost events stays");
            }
        }
    }
}

fn aside(ledger: &Path, snapshot: &Path) -> PathBuf {
    ledger.join(ASIDE).join(snapshot.file_name().unwrap_or_default())
}

/// Where a ledger in `dir` has its snapshots.
pub(super) fn directory(dir: &Path) -> PathBuf {
    dir.join("snapshots")
}
