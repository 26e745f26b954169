//! Reading the API server's audit log, line by line, through rotation and restarts.
//!
//! The API server renames a full `audit.log` to `audit-<time>.log` and makes a new one. A file is
//! therefore known by device and inode: what was read of it is found again under its new name,
//! read to its end, and then the next younger file is read. Other programs copy the log and
//! truncate it; then it starts again from 0, and what was written in between is lost.
//!
//! Only whole lines count. A line without its end is read again when it has one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::record::Malformed;
use crate::ledger::event::AuditTrouble;
use crate::model::Timestamp;

/// Bound: a longer line is skipped and counted. The API server takes no objects above 3 MiB.
const LINE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bounds: how much is read at once. What is read at once is recorded at once.
const CHUNK_BYTES_MAX: usize = 2 * 1024 * 1024;
const CHUNK_LINES_MAX: usize = 512;
const READ_BYTES: usize = 256 * 1024;

/// Which file: device and inode.
pub type FileId = (u64, u64);

/// Something is wrong with the file.
pub type Trouble = (AuditTrouble, String);

/// What was read at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Whole lines, without their ends.
    pub lines: Vec<Vec<u8>>,
    /// Lines that could not be read.
    pub bad: Vec<Malformed>,
    /// What is wrong, once each time that it turns out.
    pub troubles: Vec<Trouble>,
    /// The file, and the offset behind the last whole line.
    pub position: (FileId, u64),
    /// How many bytes were read.
    pub bytes: u64,
    /// Whether there is more to read right now.
    pub more: bool,
}

/// Reads a log from where it was read last.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    /// Where to go on, until a file is open.
    resume: Option<(FileId, u64)>,
    /// The end of the newest request that was read before the start.
    newest: Option<Timestamp>,
    open: Option<Open>,
    line_bytes_max: usize,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: FileId,
    /// Behind the last whole line.
    offset: u64,
    /// What stands behind `offset` and has no end yet.
    pending: Vec<u8>,
    /// How much of a line that is too long was skipped.
    skipped: u64,
}

impl Tail {
    /// A reader that goes on at `resume`; without one it begins with the whole of the current
    /// file. `newest` tells which backups are younger than what was read, should the file that
    /// was read last be gone.
    #[must_use]
    pub fn new(path: &Path, resume: Option<(FileId, u64)>, newest: Option<Timestamp>) -> Self {
        let line_bytes_max = LINE_BYTES_MAX;
        Self { path: path.to_owned(), resume, newest, open: None, line_bytes_max }
    }

    /// Reads what is there, up to a bound. Blocks.
    ///
    /// # Errors
    /// The file or its directory cannot be read, or there is no file. May be tried again.
    pub fn read(&mut self) -> io::Result<Chunk> {
        let mut chunk = Chunk::default();
        let filled = self.fill(&mut chunk);
        let untouched = chunk.bytes == 0 && chunk.troubles.is_empty() && chunk.bad.is_empty();
        if let Some(open) = &self.open {
            chunk.position = (open.id, open.offset);
        }
        match filled {
            Err(error) if untouched => return Err(error),
            // What was read counts. It is not the end: the error comes when it is read on.
            Err(_) => chunk.more = true,
            Ok(more) => chunk.more = more,
        }
        Ok(chunk)
    }

    /// Reads on; says whether the bound of a chunk was reached.
    fn fill(&mut self, chunk: &mut Chunk) -> io::Result<bool> {
        if self.open.is_none() {
            self.open = Some(self.begin(chunk)?);
            self.resume = None;
        }
        while let Some(open) = &mut self.open {
            // Asked before it is read: what the API server wrote to a file before it put another
            // in its place is then read, too.
            let current = fs::metadata(&self.path);
            open.look_for_truncation(chunk)?;
            if open.read(chunk, self.line_bytes_max)? {
                return Ok(true);
            }
            if id_of(&current?) == open.id {
                break;
            }
            let cut_short = !open.pending.is_empty() || open.skipped > 0;
            self.open = Some(self.following(chunk)?);
            if cut_short {
                chunk.bad.push(Malformed::NoEnd);
            }
        }
        Ok(false)
    }

    /// Opens the file to begin with.
    fn begin(&self, chunk: &mut Chunk) -> io::Result<Open> {
        let Some((id, offset)) = self.resume else { return Open::at(&self.path, 0) };
        let files = self.files()?;
        let known = files.iter().find(|path| is_file(path, id)).cloned();
        // Somebody else may rotate, who gives other names.
        let known = known.or_else(|| self.renamed(id));
        if let Some(path) = known {
            let mut open = Open::at(&path, offset)?;
            let current = path == self.path;
            if open.is_continued()? {
                return Ok(open);
            }
            if current {
                open.restart();
                chunk.troubles.push(truncated());
                return Ok(open);
            }
        }
        let open = self.first_after(&files, self.newest.map(system_time))?;
        chunk.troubles.push((AuditTrouble::Lost, self.what_is_lost()));
        Ok(open)
    }

    /// A file beside the log that begins with its name.
    fn renamed(&self, id: FileId) -> Option<PathBuf> {
        let stem = self.path.file_stem()?.to_string_lossy().into_owned();
        let entries = fs::read_dir(self.path.parent()?).ok()?.filter_map(Result::ok);
        let mut paths = entries.map(|entry| entry.path()).filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&stem))
        });
        paths.find(|path| is_file(path, id))
    }

    /// Opens the file that was begun when the open one was finished.
    fn following(&self, chunk: &mut Chunk) -> io::Result<Open> {
        let files = self.files()?;
        let last = self.open.as_ref().map(|open| open.id);
        match files.iter().position(|path| last.is_some_and(|last| is_file(path, last))) {
            Some(at) => Open::at(files.get(at + 1).unwrap_or(&self.path), 0),
            None => {
                // It has another name, or was removed, and what came next may have been, too.
                let finished = self.open.as_ref().and_then(|open| open.file.metadata().ok());
                let removed = finished.as_ref().is_none_or(|metadata| metadata.nlink() == 0);
                let finished = finished.and_then(|metadata| metadata.modified().ok());
                let next = self.first_after(&files, finished)?;
                if removed || finished.is_none() {
                    chunk.troubles.push((AuditTrouble::Lost, self.what_is_lost()));
                }
                Ok(next)
            }
        }
    }

    /// The oldest file that was written to after an instant; the current one where it is not
    /// known.
    fn first_after(&self, files: &[PathBuf], after: Option<SystemTime>) -> io::Result<Open> {
        let is_younger = |path: &&PathBuf| {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            after.is_some_and(|after| modified.is_ok_and(|modified| modified > after))
        };
        Open::at(files.iter().find(is_younger).unwrap_or(&self.path), 0)
    }

    /// The backups, oldest first, and the current file.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut backups: Vec<PathBuf> = self
            .beside()?
            .into_iter()
            .filter(|(_, packed)| !packed)
            .map(|(path, _)| path)
            .collect();
        // Their names end with the time of the rotation.
        backups.sort();
        backups.push(self.path.clone());
        Ok(backups)
    }

    /// The backups, and whether they are compressed.
    fn beside(&self) -> io::Result<Vec<(PathBuf, bool)>> {
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
        let own = name(&self.path).unwrap_or_default();
        let (stem, extension) = match own.rsplit_once('.') {
            Some((stem, extension)) => (stem.to_owned(), format!(".{extension}")),
            None => (own.clone(), String::new()),
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let Some(other) = name(&path) else { continue };
            let plain = other.strip_suffix(".gz").unwrap_or(&other);
            let time = plain.strip_prefix(&format!("{stem}-"));
            let time = time.and_then(|rest| rest.strip_suffix(&extension));
            if time.is_some_and(is_backup_time) {
                found.push((path, plain.len() < other.len()));
            }
        }
        Ok(found)
    }

    fn what_is_lost(&self) -> String {
        let packed = self.beside().is_ok_and(|found| found.iter().any(|(_, packed)| *packed));
        let why = if packed {
            "; compressed backups are not read: run the API server without --audit-log-compress"
        } else {
            ""
        };
        format!("the file that was read last is gone{why}")
    }
}

impl Open {
    fn at(path: &Path, offset: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let id = id_of(&metadata);
        Ok(Self { file, id, offset, pending: Vec::new(), skipped: 0 })
    }

    /// Whether what was read of the file is still in front of the offset: the file is long
    /// enough, and a line ends there.
    fn is_continued(&self) -> io::Result<bool> {
        let length = self.file.metadata()?.len();
        if length < self.offset + self.pending.len() as u64 + self.skipped {
            return Ok(false);
        }
        let mut last = [b'\n'];
        if let Some(before) = self.offset.checked_sub(1) {
            self.file.read_exact_at(&mut last, before)?;
        }
        Ok(last == [b'\n'])
    }

    fn look_for_truncation(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        if !self.is_continued()? {
            self.restart();
            chunk.troubles.push(truncated());
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.pending.clear();
        (self.offset, self.skipped) = (0, 0);
    }

    /// Reads to the end of the file or up to the bound of a chunk; says whether it was the bound.
    fn read(&mut self, chunk: &mut Chunk, line_bytes_max: usize) -> io::Result<bool> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let at = self.offset + self.pending.len() as u64 + self.skipped;
            let count = match self.file.read_at(&mut buffer, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if count == 0 {
                return Ok(false);
            }
            chunk.bytes += count as u64;
            if self.split(&buffer[..count], chunk, line_bytes_max) {
                return Ok(true);
            }
        }
    }

    /// Takes over what was read; says whether the chunk is full. What does not fit any more is
    /// read again.
    fn split(&mut self, read: &[u8], chunk: &mut Chunk, line_bytes_max: usize) -> bool {
        let mut rest = read;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = (&rest[..end], &rest[end + 1..]);
            let length = self.skipped + (self.pending.len() + line.len()) as u64;
            if self.skipped > 0 || length > line_bytes_max as u64 {
                chunk.bad.push(Malformed::TooLong(line_bytes_max));
                self.pending.clear();
            } else {
                self.pending.extend_from_slice(line);
                let whole = std::mem::take(&mut self.pending);
                if !whole.iter().all(u8::is_ascii_whitespace) {
                    chunk.lines.push(whole);
                }
            }
            self.offset += length + 1;
            self.skipped = 0;
            rest = behind;
            if chunk.lines.len() >= CHUNK_LINES_MAX || chunk.bytes >= CHUNK_BYTES_MAX as u64 {
                return true;
            }
        }
        self.pending.extend_from_slice(rest);
        if self.skipped > 0 || self.pending.len() > line_bytes_max {
            self.skipped += self.pending.len() as u64;
            self.pending = Vec::new();
        }
        // A line that is too long may take long to skip: others have their turn, too.
        false
    }
}

fn id_of(metadata: &fs::Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

fn is_file(path: &Path, id: FileId) -> bool {
    fs::metadata(path).is_ok_and(|metadata| id_of(&metadata) == id)
}

fn truncated() -> Trouble {
    (AuditTrouble::Truncated, "the file became shorter; it is read from its beginning".to_owned())
}

/// Whether this is a time as it stands in the name of a backup: `2026-11-26T02-33-27.777`.
fn is_backup_time(text: &str) -> bool {
    text.len() >= 19 && text.bytes().all(|b| b.is_ascii_digit() || b"-T.".contains(&b))
}

fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(at.0).unwrap_or(0))
}

#[cfg(test)]
mod tests;
