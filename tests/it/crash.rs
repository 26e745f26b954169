//! A process that appends is killed again and again; nothing that it was told is durable may be
//! missing afterwards.
//!
//! Method: the test binary starts itself as a child (an environment variable selects the role).
//! The child opens the ledger, appends batches from several threads and prints each acknowledged
//! sequence number with the hash of its frame; the parent kills it with SIGKILL after a random
//! number of lines, opens the ledger with everything that recovery does, and compares. One
//! directory lives through all kills, so recovery from recovery is tested as well. What a killed
//! process cannot show, a missing `fdatasync`, is covered by the tests in `ledger::recovery`.

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use greffier::ledger::event::{ObjectObservedV1, PausedV1};
use greffier::ledger::{Archive, Batch, Blob, Draft, Event, Ledger, Options};
use greffier::model::{Actor, Digest, ObjectKey, Seq};

/// Set in the child: the directory to work in.
const CHILD_DIR: &str = "GREFFIER_CRASH_TEST_DIR";
const KILLS: u64 = 300;
/// Small, so that many kills fall into the sealing of a segment and the making of the next.
const SEGMENT_BYTES_MAX: u64 = 24 * 1024;
const THREADS: u64 = 3;

fn options(dir: &Path) -> Options {
    Options {
        segment_bytes_max: SEGMENT_BYTES_MAX,
        free_bytes_reserve: 1024 * 1024,
        sled_cache_bytes: 1024 * 1024,
        ..Options::new(dir.join("ledger"), dir.join("ledger.key"))
    }
}

/// SplitMix64: the kills need no better randomness, and this one is reproducible.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn manifest(n: u64) -> Vec<u8> {
    let lines: Vec<String> =
        (0..30).map(|k| format!("\"label-{k}\":\"value-{}\"", k * 7)).collect();
    format!("{{{},\"replicas\":{n}}}", lines.join(",")).into_bytes()
}

fn observation(key: ObjectKey, blob: &Blob) -> Event {
    use greffier::ledger::event::{Health, Learned};
    ObjectObservedV1 {
        key,
        version: "v1".into(),
        uid: "uid".into(),
        resource_version: "1".into(),
        generation: 1,
        added: false,
        learned: Learned::Watched,
        digest: Digest::of(blob.bytes()),
        owned: None,
        object: blob.addr,
        status: None,
        images: Vec::new(),
        managers: vec![],
        controller: None,
        health: Health::Healthy,
        health_message: String::new(),
        health_rules: 1,
        deleting: false,
        claimed_by: String::new(),
        protection: greffier::model::Protection::default(),
        managed_by: String::new(),
        scales: None,
    }
    .into()
}

fn object(thread: u64) -> ObjectKey {
    ObjectKey::new("", "ConfigMap", "crash", format!("object-{thread}"))
}

/// A batch whose events name a blob that rests on an earlier one, and an actor.
fn batch(thread: u64, n: u64, base: Option<&Blob>) -> (Batch, Blob) {
    let blob = Blob::plain(manifest(n), base.map(|base| base.addr));
    let app = "crash".parse().unwrap();
    let reason = format!("{thread}/{n}");
    let drafts = vec![
        Draft::new(observation(object(thread), &blob)).by(Actor::os_user(format!("user-{thread}"))),
        Draft::new(PausedV1 { app, until: None, reason }),
    ];
    let drafts =
        drafts.into_iter().cycle().take(if n.is_multiple_of(5) { 20 } else { 2 }).collect();
    (Batch { blobs: vec![blob.clone()], drafts }, blob)
}

/// The child: appends until it is killed, and prints what was acknowledged.
#[test]
fn child_appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR).map(PathBuf::from) else { return };
    let (ledger, _) = Ledger::open(options(&dir)).unwrap();
    let start = ledger.head().0;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let ledger = &ledger;
            scope.spawn(move || {
                let mut base = None;
                for n in start.. {
                    let (batch, blob) = batch(thread, n, base.as_ref());
                    base = Some(blob);
                    let seqs = ledger.append_blocking(batch).unwrap();
                    let mut lines = String::new();
                    for seq in seqs {
                        let hash = ledger.get(seq).unwrap().unwrap().envelope.hash;
                        lines.push_str(&format!("\nack {seq} {hash}"));
                    }
                    // One write, so that the lines of different threads do not mix.
                    let mut out = std::io::stdout().lock();
                    if out.write_all(lines.as_bytes()).and_then(|()| out.flush()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn start_child(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["crash::child_appends_until_it_is_killed", "--exact", "--nocapture"]);
    command.env(CHILD_DIR, dir).stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::inherit()).spawn().unwrap()
}

/// `ack <seq> <hash>`, when the line is whole: the last one may be cut by the kill.
fn parse(line: &str) -> Option<(Seq, Digest)> {
    let (seq, hash) = line.strip_prefix("ack ")?.split_once(' ')?;
    Some((seq.parse().ok()?, hash.parse().ok()?))
}

/// Runs a child until it has acknowledged `lines` and `pause` has passed; returns all that it
/// acknowledged.
fn run_and_kill(dir: &Path, lines: u64, pause: Duration) -> Vec<(Seq, Digest)> {
    let mut child = start_child(dir);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    let mut read = |until: u64| {
        let mut line = String::new();
        while (acknowledged.len() as u64) < until {
            line.clear();
            if output.read_line(&mut line).unwrap() == 0 {
                return;
            }
            acknowledged.extend(parse(line.trim_end()));
        }
    };
    read(lines);
    // Not for synchronisation: it spreads the kills over what happens between two lines.
    std::thread::sleep(pause);
    child.kill().unwrap();
    child.wait().unwrap();
    // What the pipe still holds was acknowledged, too.
    read(u64::MAX);
    acknowledged
}

/// Checks an opened ledger against everything that was ever acknowledged.
fn check(ledger: &Ledger, from: Seq, acknowledged: &BTreeMap<Seq, Digest>, round: u64) {
    let mut expected = from;
    for recorded in ledger.range(from, Seq(u64::MAX)) {
        let recorded = recorded.unwrap();
        assert_eq!(recorded.seq(), expected, "round {round}");
        if let Some(hash) = acknowledged.get(&expected) {
            assert_eq!(*hash, recorded.envelope.hash, "round {round}: event {expected} changed");
        }
        if let Some(Event::ObjectObserved(body)) = &recorded.event {
            assert_eq!(Digest::of(&ledger.blob(body.object).unwrap()), body.digest);
        }
        expected = expected.next();
    }
    let last = acknowledged.keys().next_back().copied().unwrap_or_default();
    assert!(ledger.head() >= last, "round {round}: {last} was acknowledged and is gone");
    let found = (0..THREADS)
        .flat_map(|thread| ledger.by_object(&object(thread), Seq(from.0 - 1), usize::MAX));
    let mut found: Vec<Seq> = found.collect();
    found.sort_unstable();
    let mut observed: Vec<Seq> = Vec::new();
    for recorded in ledger.range(from, Seq(u64::MAX)) {
        let recorded = recorded.unwrap();
        if matches!(recorded.event, Some(Event::ObjectObserved(_))) {
            observed.push(recorded.seq());
        }
    }
    assert_eq!(found, observed, "round {round}: the index misses or invents events");
}

#[test]
fn a_ledger_in_use_by_another_process_is_refused_by_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start_child(dir.path());
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    while parse(line.trim_end()).is_none() {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the child ended");
    }
    let refused = Ledger::open(options(dir.path())).map(|_| ()).unwrap_err();
    let archive = Archive::open(&dir.path().join("ledger"), None).map(|archive| archive.head());
    child.kill().unwrap();
    child.wait().unwrap();
    let pid = child.id();
    assert!(refused.to_string().ends_with(&format!("is in use by process {pid}")), "{refused}");
    assert!(archive.unwrap() >= Seq(2), "reading needs no lock");
    Ledger::open(options(dir.path())).unwrap();
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9_during_appends() {
    let seed = std::env::var("GREFFIER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}; set GREFFIER_SEED to repeat");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<Seq, Digest> = BTreeMap::new();
    let mut checked = Seq(1);
    let mut repairs = 0;
    for round in 0..KILLS {
        // Some children are killed while they still open and repair the ledger.
        let lines = if round % 10 == 9 { 0 } else { random.below(40) };
        let pause = Duration::from_micros(random.below(4000));
        for (seq, hash) in run_and_kill(dir.path(), lines, pause) {
            let earlier = acknowledged.insert(seq, hash);
            assert_eq!(earlier, None, "round {round}: {seq} was given twice");
        }
        // Opening in this process every few rounds; in between the next child recovers.
        if round % 5 == 4 || round + 1 == KILLS {
            let (ledger, report) = Ledger::open(options(dir.path())).unwrap();
            repairs += report.repairs.len();
            check(&ledger, checked, &acknowledged, round);
            checked = ledger.head();
            ledger.shutdown();
        }
    }
    let (ledger, _) = Ledger::open(options(dir.path())).unwrap();
    check(&ledger, Seq(1), &acknowledged, KILLS);
    let verified = ledger.verify();
    assert!(verified.is_whole(), "{:?}", verified.problems);
    let info = ledger.info();
    assert!(acknowledged.len() as u64 > KILLS * 5 && info.segments > 20, "{info:?}");
    ledger.shutdown();
    let archive = Archive::open(&dir.path().join("ledger"), None).unwrap();
    assert!(archive.verify().is_whole());
    println!("{} acknowledged, {} segments, {repairs} repairs", acknowledged.len(), info.segments);
}
