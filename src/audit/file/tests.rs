use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::*;

/// A log in a directory of its own.
struct Log {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        Self { dir, path }
    }

    fn write(&self, text: &str) -> &Self {
        let mut file = File::options().create(true).append(true).open(&self.path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self
    }

    /// Rotates as the API server does; `number` orders the backups.
    fn rotate(&self, number: u32) -> &Self {
        let name = format!("audit-2026-11-26T02-33-{number:02}.777.log");
        fs::rename(&self.path, self.dir.path().join(name)).unwrap();
        File::create(&self.path).unwrap();
        self
    }

    fn tail(&self) -> Tail {
        Tail::new(&self.path, None, None)
    }

    fn resumed(&self, chunk: &Chunk) -> Tail {
        Tail::new(&self.path, Some(chunk.position), None)
    }
}

fn lines(chunk: &Chunk) -> Vec<&str> {
    chunk.lines.iter().map(|line| std::str::from_utf8(line).unwrap()).collect()
}

/// Reads until there is no more right now.
fn all(tail: &mut Tail) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let chunk = tail.read().unwrap();
        assert!(chunk.troubles.is_empty() && chunk.bad.is_empty(), "{chunk:?}");
        found.extend(lines(&chunk).into_iter().map(str::to_owned));
        if !chunk.more {
            return found;
        }
    }
}

fn troubles(chunk: &Chunk) -> Vec<AuditTrouble> {
    chunk.troubles.iter().map(|(trouble, _)| *trouble).collect()
}

#[test]
fn a_line_counts_when_it_has_its_end() {
    let log = Log::new();
    log.write("one\ntw");
    let mut tail = log.tail();
    let chunk = tail.read().unwrap();
    assert_eq!((lines(&chunk), chunk.position.1), (vec!["one"], 4));
    log.write("o\n\nthree\n");
    assert_eq!(all(&mut tail), ["two", "three"]);
    assert_eq!(all(&mut tail), Vec::<String>::new());
    // A restart in the middle of a line reads it as a whole.
    assert_eq!(all(&mut log.resumed(&chunk)), ["two", "three"]);
}

#[test]
fn rotation_is_followed_while_it_runs() {
    let log = Log::new();
    log.write("1\n");
    let mut tail = log.tail();
    assert_eq!(all(&mut tail), ["1"]);
    log.write("2\n").rotate(1).write("3\n");
    assert_eq!(all(&mut tail), ["2", "3"]);
    log.rotate(2).write("4\n").rotate(3).write("5\n").rotate(4);
    assert_eq!(all(&mut tail), ["4", "5"]);
    log.write("6\n");
    assert_eq!(all(&mut tail), ["6"]);
}

#[test]
fn rotations_during_a_stop_lose_and_double_nothing() {
    let log = Log::new();
    log.write("1\n2\n");
    let chunk = log.tail().read().unwrap();
    log.write("3\n").rotate(1).write("4\n").rotate(2).write("5\n").rotate(3).write("6\n");
    assert_eq!(all(&mut log.resumed(&chunk)), ["3", "4", "5", "6"]);
}

#[test]
fn a_file_that_others_rotate_is_found_again() {
    let log = Log::new();
    log.write("1\n");
    let chunk = log.tail().read().unwrap();
    log.write("2\n");
    fs::rename(&log.path, log.dir.path().join("audit.log.1")).unwrap();
    log.write("3\n");
    assert_eq!(all(&mut log.resumed(&chunk)), ["2", "3"]);
}

#[test]
fn a_line_may_get_its_end_in_the_moment_of_a_rotation() {
    let log = Log::new();
    log.write("1\n2");
    let mut tail = log.tail();
    assert_eq!(all(&mut tail), ["1"]);
    log.write("\n").rotate(1).write("3\n");
    assert_eq!(all(&mut tail), ["2", "3"]);
}

#[test]
fn a_line_that_was_cut_off_by_a_rotation_is_counted() {
    let log = Log::new();
    log.write("1\nhalf").rotate(1).write("2\n");
    let chunk = log.tail_of_backup().read().unwrap();
    assert_eq!((lines(&chunk), &chunk.bad), (vec!["1", "2"], &vec![Malformed::NoEnd]));
}

impl Log {
    /// A reader that begins with the first backup.
    fn tail_of_backup(&self) -> Tail {
        let backup = self.dir.path().join("audit-2026-11-26T02-33-01.777.log");
        let id = id_of(&fs::metadata(backup).unwrap());
        Tail::new(&self.path, Some((id, 0)), None)
    }
}

#[test]
fn a_file_that_became_shorter_is_read_from_its_beginning() {
    let log = Log::new();
    log.write("first\nsecond\n");
    let mut tail = log.tail();
    let before = tail.read().unwrap();
    fs::write(&log.path, "new\n").unwrap();
    for tail in [&mut tail, &mut log.resumed(&before)] {
        let chunk = tail.read().unwrap();
        assert_eq!((lines(&chunk), troubles(&chunk)), (vec!["new"], vec![AuditTrouble::Truncated]));
        assert!(tail.read().unwrap().troubles.is_empty(), "it is told once");
    }
    // It has grown beyond the offset since: no line ends there.
    fs::write(&log.path, "a line that is longer\n").unwrap();
    let chunk = log.resumed(&before).read().unwrap();
    assert_eq!(troubles(&chunk), [AuditTrouble::Truncated]);
}

#[test]
fn a_file_that_is_gone_is_told_and_younger_ones_are_read() {
    let log = Log::new();
    log.write("1\n");
    let chunk = log.tail().read().unwrap();
    log.rotate(1).write("2\n").rotate(2).write("3\n");
    fs::remove_file(log.dir.path().join("audit-2026-11-26T02-33-01.777.log")).unwrap();
    fs::write(log.dir.path().join("audit-2026-11-26T02-33-00.777.log.gz"), "").unwrap();
    let long_ago = Some(Timestamp::from_seconds(1));
    let found = Tail::new(&log.path, Some(chunk.position), long_ago).read().unwrap();
    assert_eq!((lines(&found), troubles(&found)), (vec!["2", "3"], vec![AuditTrouble::Lost]));
    assert!(found.troubles[0].1.contains("compressed"), "{found:?}");
    // What is older than the newest request that is known was read before.
    let future = Some(Timestamp(i64::MAX));
    let found = Tail::new(&log.path, Some(chunk.position), future).read().unwrap();
    assert_eq!(lines(&found), ["3"]);
}

#[test]
fn a_missing_file_is_an_error_until_it_comes() {
    let log = Log::new();
    let mut tail = log.tail();
    assert_eq!(tail.read().unwrap_err().kind(), std::io::ErrorKind::NotFound);
    log.write("1\n");
    assert_eq!(all(&mut tail), ["1"]);
    fs::remove_file(&log.path).unwrap();
    tail.read().unwrap_err();
    log.write("2\n");
    let found = tail.read().unwrap();
    assert_eq!((lines(&found), troubles(&found)), (vec!["2"], vec![AuditTrouble::Lost]));
    let dir = Tail::new(log.dir.path(), None, None).read();
    assert_eq!(dir.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn a_line_that_is_too_long_is_skipped() {
    let log = Log::new();
    log.write("1\n").write(&"x".repeat(600_000)).write("\n2\n").write(&"y".repeat(5_000));
    let mut tail = Tail { line_bytes_max: 4_096, ..log.tail() };
    let chunk = tail.read().unwrap();
    assert_eq!((lines(&chunk), &chunk.bad), (vec!["1", "2"], &vec![Malformed::TooLong(4_096)]));
    assert_eq!(chunk.position.1, 2 + 600_001 + 2);
    log.write("\n3\n");
    let chunk = tail.read().unwrap();
    assert_eq!((lines(&chunk), chunk.bad.len()), (vec!["3"], 1));
}

/// Chunks are bounded, and together they are the file.
#[test]
fn much_is_read_in_bounded_pieces() {
    let log = Log::new();
    let line = "z".repeat(9_999);
    let text: String = (0..2_000).map(|number| format!("{number:05}{line}\n")).collect();
    log.write(&text);
    let (mut tail, mut found, mut chunks) = (log.tail(), Vec::new(), 0);
    loop {
        let chunk = tail.read().unwrap();
        assert!(chunk.lines.len() <= CHUNK_LINES_MAX, "{}", chunk.lines.len());
        assert!(chunk.bytes <= (CHUNK_BYTES_MAX + 2 * READ_BYTES) as u64, "{}", chunk.bytes);
        found.extend(chunk.lines.iter().map(|line| line[..5].to_vec()));
        chunks += 1;
        if !chunk.more {
            break;
        }
        tail = log.resumed(&chunk);
    }
    let expected: Vec<_> = (0..2_000).map(|number| format!("{number:05}").into_bytes()).collect();
    assert!(found == expected && chunks > 5, "{} lines in {chunks} pieces", found.len());
}

#[test]
fn only_backups_are_taken_for_backups() {
    let log = Log::new();
    for name in ["audit-old.log", "audit-2026-11-26T02-33-27.777.txt", "other.log", "audit.log"] {
        fs::write(log.dir.path().join(name), "x").unwrap();
    }
    let tail = log.tail();
    assert_eq!(tail.files().unwrap(), std::slice::from_ref(&log.path));
    assert!(is_backup_time("2026-11-26T02-33-27.777") && !is_backup_time("old"));
    let _: &Path = &log.path;
}

/// Goal: what is lost is told with where it goes on, not before there is a file to go on with.
#[test]
fn what_is_lost_is_told_when_there_is_a_file_again() {
    let log = Log::new();
    log.write("1\n");
    let chunk = log.tail().read().unwrap();
    let mut tail = log.resumed(&chunk);
    fs::rename(&log.path, log.dir.path().join("elsewhere")).unwrap();
    assert_eq!(tail.read().unwrap_err().kind(), std::io::ErrorKind::NotFound);
    tail.read().unwrap_err();
    log.write("2\n");
    let found = tail.read().unwrap();
    assert_eq!((lines(&found), troubles(&found)), (vec!["2"], vec![AuditTrouble::Lost]));
    assert_eq!(found.position.1, 2);
}

/// Goal: while the log has no current file, its end was not seen.
#[test]
fn without_a_current_file_there_is_no_end() {
    let log = Log::new();
    log.write("1\n");
    let mut tail = log.tail();
    assert_eq!(all(&mut tail), ["1"]);
    log.write("2\n");
    fs::rename(&log.path, log.dir.path().join("audit-2026-11-26T02-33-01.777.log")).unwrap();
    let chunk = tail.read().unwrap();
    assert_eq!((lines(&chunk), chunk.more), (vec!["2"], true));
    tail.read().unwrap_err();
    log.write("3\n");
    assert_eq!(all(&mut tail), ["3"]);
}

/// Goal: when the file that is read is removed, what followed it may have been removed, too.
#[test]
fn a_file_that_is_removed_while_it_is_read_is_told() {
    let log = Log::new();
    log.write("1\n");
    let mut tail = log.tail();
    assert_eq!(all(&mut tail), ["1"]);
    log.write("2\n").rotate(1).write("3\n").rotate(2).write("4\n");
    for number in [1, 2] {
        let name = format!("audit-2026-11-26T02-33-{number:02}.777.log");
        fs::remove_file(log.dir.path().join(name)).unwrap();
    }
    let found = tail.read().unwrap();
    assert_eq!((lines(&found), troubles(&found)), (vec!["2", "4"], vec![AuditTrouble::Lost]));
}
