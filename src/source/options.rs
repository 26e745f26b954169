//! What can be set about sources, with the bounds that hold when nothing is set.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// How repositories are mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The directory of the mirrors: `<hash of the URL>.git` each.
    pub dir: PathBuf,
    /// How long to wait between two looks at a repository that gives no hints.
    pub poll_interval: Duration,
    /// After how long a fetch is given up.
    pub fetch_timeout: Duration,
    /// How many commits a first import records, over all refs.
    pub history_commits_max: usize,
    /// The repositories whose rewritten histories are followed without asking.
    pub follow_rewrites: BTreeSet<String>,
    /// OpenSSH's allowed signers, by whom signatures of commits are verified; `None` = they are not.
    pub allowed_signers: Option<PathBuf>,
}

impl Options {
    /// The usual values for mirrors in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            poll_interval: Duration::from_secs(60),
            fetch_timeout: Duration::from_secs(120),
            history_commits_max: 1000,
            follow_rewrites: BTreeSet::new(),
            allowed_signers: None,
        }
    }
}

/// What a folder that is read or exported may contain at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest file in bytes. Checked before the file is loaded.
    pub file_bytes_max: u64,
    /// All files together, in bytes.
    pub total_bytes_max: u64,
    /// How many entries (files, links, folders) are visited.
    pub files_max: usize,
    /// How many folders deep.
    pub depth_max: usize,
}

impl Default for Limits {
    /// 10 MiB per file and 64 MiB in all hold the largest charts known (CRD bundles of about
    /// 5 MiB) with room; 20 000 entries and 64 levels are far beyond any tree people maintain.
    fn default() -> Self {
        Self {
            file_bytes_max: 10 << 20,
            total_bytes_max: 64 << 20,
            files_max: 20_000,
            depth_max: 64,
        }
    }
}
