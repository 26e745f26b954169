//! Snapshots of projections: derived, disposable, tied to a place in the chain.
//!
//! A snapshot that is damaged, of another version of its projection, or of another chain is as
//! good as none; deleting them all changes the time that a start, or a look at the past, takes and
//! nothing else. The last two of each projection are kept, so that a torn one costs little, and
//! of the older ones a spaced series, from which the past is folded; when the series takes too
//! many bytes, every second of it goes.
//!
//! ```text
//!  0  8  magic "GrefSnp\0"       52  4  length of the value in bytes
//!  8  4  projection version      56 32  SHA-256 of the 56 bytes above and the value
//! 12  8  sequence number         88  .  the value, zstd
//! 20 32  hash of that frame
//! ```

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::disk::write_whole;
use super::error::Error;
use crate::model::{Digest, Seq};

const MAGIC: [u8; 8] = *b"GrefSnp\0";
const FIXED_BYTES: usize = 56;
const HEADER_BYTES: usize = 88;
/// How long a projection's value may be, in bytes.
const VALUE_BYTES_MAX: usize = 512 * 1024 * 1024;
/// How many snapshots of a projection are kept.
const KEPT: usize = 2;
/// How many events are at least between two snapshots of the series of older ones.
const SERIES_EVENTS_MIN: u64 = 25_000;
/// Bound: how many bytes the series may take.
const SERIES_BYTES_MAX: u64 = 256 * 1024 * 1024;
const ZSTD_LEVEL: i32 = 1;

/// Saves a projection's value as of event `seq`, whose frame has the hash `head`. The file appears
/// whole or not at all.
///
/// # Errors
/// [`Error::Io`] when it cannot be written, [`Error::TooLarge`] when the value is.
pub fn save(
    dir: &Path,
    name: &str,
    version: u32,
    seq: Seq,
    head: Digest,
    bytes: &[u8],
) -> Result<(), Error> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= VALUE_BYTES_MAX);
    let length = length.ok_or(Error::TooLarge {
        what: "a snapshot's bytes",
        size: bytes.len() as u64,
        limit: VALUE_BYTES_MAX as u64,
    })?;
    let mut content = MAGIC.to_vec();
    content.extend_from_slice(&version.to_be_bytes());
    content.extend_from_slice(&seq.0.to_be_bytes());
    content.extend_from_slice(&head.0);
    content.extend_from_slice(&length.to_be_bytes());
    let checksum = Sha256::new().chain_update(&content).chain_update(bytes).finalize();
    content.extend_from_slice(&checksum);
    let path = dir.join(file_name(name, version, seq));
    let failed = |error| Error::io("write", path.display().to_string(), error);
    content.extend_from_slice(&zstd::bulk::compress(bytes, ZSTD_LEVEL).map_err(failed)?);
    fs::create_dir_all(dir).and_then(|()| write_whole(&path, &content)).map_err(failed)?;
    remove_old(dir, name, version);
    Ok(())
}

fn file_name(name: &str, version: u32, seq: Seq) -> String {
    format!("{name}-{version}-{:016x}.snap", seq.0)
}

/// What a snapshot's file is called after: the projection, its version, the event.
fn named(path: &Path) -> Option<(&str, &str, Seq)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".snap")?;
    let (stem, seq) = stem.rsplit_once('-')?;
    let (name, version) = stem.rsplit_once('-')?;
    Some((name, version, Seq(u64::from_str_radix(seq, 16).ok()?)))
}

fn paths(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

/// The snapshot files of a projection with their versions, newest first.
fn files(dir: &Path, name: &str) -> Vec<(Seq, String, PathBuf)> {
    let of_it = |path: PathBuf| {
        let (_, version, seq) = named(&path).filter(|(found, ..)| *found == name)?;
        let version = version.to_owned();
        Some((seq, version, path))
    };
    let mut files: Vec<_> = paths(dir).filter_map(of_it).collect();
    files.sort();
    files.reverse();
    files
}

/// The snapshot files of every projection and version, newest first, by their names.
pub(super) fn all(dir: &Path) -> Vec<(Seq, PathBuf)> {
    let mut all: Vec<_> = paths(dir).filter_map(|path| Some((named(&path)?.2, path))).collect();
    all.sort();
    all.reverse();
    all
}

/// The event that an undamaged snapshot was made of.
pub(super) fn seq_in(path: &Path) -> Option<Seq> {
    read(path).map(|(_, seq, ..)| seq)
}

fn remove_old(dir: &Path, name: &str, version: u32) {
    let mut older: Vec<_> = files(dir, name).into_iter().skip(KEPT).collect();
    older.reverse();
    let version = version.to_string();
    let series = older.iter().filter(|(_, found, _)| *found == version);
    let sized = series.map(|(seq, _, path)| (*seq, fs::metadata(path).map_or(0, |m| m.len())));
    let stay = series_of(sized, SERIES_BYTES_MAX);
    let goes = |(seq, found, _): &(Seq, String, PathBuf)| *found != version || !stay.contains(seq);
    for (_, _, path) in older.into_iter().filter(goes) {
        // A file that stays is only a little space.
        if let Err(error) = fs::remove_file(&path) {
            tracing::debug!(%error, path = %path.display(), "an old snapshot stays");
        }
    }
}

/// Which snapshots stay in the series, of those that are given with their bytes, oldest first.
fn series_of(found: impl Iterator<Item = (Seq, u64)>, bytes_max: u64) -> Vec<Seq> {
    let mut stay: Vec<(Seq, u64)> = Vec::new();
    for (seq, bytes) in found {
        // The beginning of the ledger is as good as a snapshot.
        let last = stay.last().map_or(0, |(last, _)| last.0);
        if seq.0.saturating_sub(last) >= SERIES_EVENTS_MIN {
            stay.push((seq, bytes));
        }
    }
    while stay.iter().map(|(_, bytes)| bytes).sum::<u64>() > bytes_max {
        let mut nth = 0;
        stay.retain(|_| {
            nth += 1;
            nth % 2 == 0
        });
    }
    stay.into_iter().map(|(seq, _)| seq).collect()
}

/// The newest undamaged snapshot of a projection. Whether it is of this chain is for the caller to
/// check, or see `Ledger::load_snapshot`.
#[must_use]
pub fn load_latest(dir: &Path, name: &str, version: u32) -> Option<(Seq, Digest, Vec<u8>)> {
    load_latest_where(dir, name, version, |_, _| true)
}

/// The newest undamaged snapshot of a projection whose place is one that `in_chain` knows.
pub(super) fn load_latest_where(
    dir: &Path,
    name: &str,
    version: u32,
    in_chain: impl Fn(Seq, Digest) -> bool,
) -> Option<(Seq, Digest, Vec<u8>)> {
    let named = version.to_string();
    let files = files(dir, name).into_iter().filter(|(_, version, _)| *version == named);
    files.into_iter().find_map(|(_, _, path)| {
        let (found, seq, head, bytes) = read(&path)?;
        (found == version && in_chain(seq, head)).then_some((seq, head, bytes))
    })
}

/// Version, sequence number, frame hash and value of a snapshot; `None` when it is damaged.
fn read(path: &Path) -> Option<(u32, Seq, Digest, Vec<u8>)> {
    let mut content = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(2 * VALUE_BYTES_MAX as u64).read_to_end(&mut content).ok()?;
    let (header, packed) = content.split_at_checked(HEADER_BYTES)?;
    let (fixed, checksum) = header.split_at_checked(FIXED_BYTES)?;
    let (magic, rest) = fixed.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (seq, rest) = rest.split_first_chunk()?;
    let (head, rest) = rest.split_first_chunk()?;
    let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
    if *magic != MAGIC || length > VALUE_BYTES_MAX {
        return None;
    }
    let bytes = zstd::bulk::decompress(packed, length).ok()?;
    let right = Sha256::new().chain_update(fixed).chain_update(&bytes).finalize();
    (right.as_slice() == checksum).then(|| {
        (u32::from_be_bytes(*version), Seq(u64::from_be_bytes(*seq)), Digest(*head), bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(dir: &Path, seq: u64) {
        save(dir, "live", 3, Seq(seq), Digest([7; 32]), &seq.to_be_bytes().repeat(50)).unwrap();
    }

    #[test]
    fn the_newest_snapshot_of_the_right_name_and_version_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        for seq in 1..=5 {
            saved(dir.path(), seq);
        }
        let (seq, head, bytes) = load_latest(dir.path(), "live", 3).unwrap();
        assert_eq!((seq, head), (Seq(5), Digest([7; 32])));
        assert_eq!(bytes, 5_u64.to_be_bytes().repeat(50));
        assert!(load_latest(dir.path(), "live", 4).is_none());
        assert!(load_latest(dir.path(), "liv", 3).is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), KEPT);
    }

    #[test]
    fn a_damaged_snapshot_is_passed_over_wherever_the_damage_is() {
        let dir = tempfile::tempdir().unwrap();
        saved(dir.path(), 1);
        saved(dir.path(), 2);
        let newest = dir.path().join(file_name("live", 3, Seq(2)));
        let whole = fs::read(&newest).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&newest, damaged).unwrap();
            let (seq, _, bytes) = load_latest(dir.path(), "live", 3).unwrap();
            assert!(seq == Seq(1) || bytes == 2_u64.to_be_bytes().repeat(50), "offset {at}");
        }
        fs::write(&newest, &whole[..40]).unwrap();
        assert_eq!(load_latest(dir.path(), "live", 3).unwrap().0, Seq(1));
    }

    #[test]
    fn older_snapshots_stay_as_a_spaced_series() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join(file_name("live", 2, Seq(50_000)));
        fs::write(&other, b"of another version").unwrap();
        for thousands in (10..=200).step_by(10) {
            saved(dir.path(), thousands * 1_000);
        }
        let mut left: Vec<u64> =
            files(dir.path(), "live").iter().map(|(seq, ..)| seq.0 / 1_000).collect();
        left.reverse();
        assert_eq!(left, [30, 60, 90, 120, 150, 180, 190, 200]);
        assert!(!other.exists(), "nothing reads a snapshot of another version");
        let at = |seq| load_latest_where(dir.path(), "live", 3, |s, _| s <= Seq(seq)).unwrap().0;
        assert_eq!((at(89_999), at(90_000)), (Seq(60_000), Seq(90_000)));
    }

    #[test]
    fn every_second_of_the_series_goes_when_it_takes_too_much() {
        let found = || (1..=8).map(|n| (Seq(n * 50_000), 10));
        let left =
            |bytes| series_of(found(), bytes).iter().map(|s| s.0 / 50_000).collect::<Vec<_>>();
        assert_eq!(left(80), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(left(79), [2, 4, 6, 8]);
        assert_eq!(left(39), [4, 8]);
        assert_eq!(left(5), [] as [u64; 0]);
    }

    #[test]
    fn a_snapshot_of_another_chain_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        saved(dir.path(), 1);
        saved(dir.path(), 2);
        let found = load_latest_where(dir.path(), "live", 3, |seq, _| seq < Seq(2)).unwrap();
        assert_eq!(found.0, Seq(1));
    }
}
