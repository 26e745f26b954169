//! Files of repositories at commits, as far as they are mirrored on this machine.

use crate::model::CommitId;
use crate::source::{Content, Limits, Mirror, Options};

/// Reads files of repositories. Blocking; nothing is fetched.
pub trait Mirrored {
    /// The file at `path` of a commit; `None` where it cannot be had here, whatever the reason.
    fn file(&self, repo: &str, commit: &CommitId, path: &str) -> Option<Vec<u8>>;
}

/// The mirrors of a data directory; none of them is made or changed.
impl Mirrored for Options {
    fn file(&self, repo: &str, commit: &CommitId, path: &str) -> Option<Vec<u8>> {
        let mirror = Mirror::find(self, repo).ok()??;
        match mirror.browse(commit, Limits::default()).ok()?.read(path).ok()?? {
            Content::Bytes(bytes) => Some(bytes),
            Content::Symlink(_) | Content::Submodule => None,
        }
    }
}

/// No file of any repository.
pub(super) struct Nothing;

impl Mirrored for Nothing {
    fn file(&self, _: &str, _: &CommitId, _: &str) -> Option<Vec<u8>> {
        None
    }
}
