//! A ledger of a million events: what it takes, how fast it is read, how soon a daemon serves.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use greffier::ledger::event::{Health, Learned, ManagerStamp, ObjectObservedV1};
use greffier::ledger::{Batch, Draft, Ledger, Options};
use greffier::model::{BlobAddr, Digest, ObjectKey, Seq};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use crate::manifests::{mixed, name, write};
use crate::report::{Figure, Report, Unit};
use crate::serve::{Daemon, Home};
use crate::site::{LIMIT, Site, application, directory_bytes, pause, settle};
use crate::witness::Depth;
use crate::{past, probe};

const EVENTS: usize = 1_000_000;
/// How many objects the events are about: each is a small change of one of them.
const OBJECTS: usize = 1_000;
const BATCH: usize = 500;
const STARTS: usize = 3;

/// Growth, replay, open, memory.
pub(crate) fn measure(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let repository = site.repository("mass")?;
    write(&repository, "mass", &mixed(OBJECTS))?;
    repository.commit("begin")?;
    repository.push()?;
    let home = site.home("open-home", &[application("mass", &repository.url(), "mass")])?;
    let dir = home.data_dir().join("ledger");
    let key = home.dir().join("ledger.key");
    grow(&dir, &key, report)?;
    replay(&dir, &key, report)?;
    past::measure(&dir, &key, OBJECTS, report)?;
    serve(&home, report)?;

    let witness = site.watch("bench-mass", Depth::Names)?;
    let daemon = Daemon::start(&home)?;
    witness.wait(LIMIT, "all objects", |seen| {
        let ours = seen.objects.keys().filter(|id| id.name.starts_with("item-"));
        (ours.count() == OBJECTS).then_some(())
    })?;
    settle(&daemon)?;
    drop(daemon);
    let daemon = Daemon::start(&home)?;
    settle(&daemon)?;
    pause(Duration::from_secs(5))?;
    report.add(
        Figure::new(
            "memory (PSS), idle, 1000 objects, ledger of 1 M events",
            Unit::Bytes,
            vec![float(probe::pss_bytes(daemon.pid()))],
        )
        .aim("under 50 MiB"),
    );
    Ok(())
}

/// Appends the events through the library.
fn grow(dir: &Path, key: &Path, report: &mut Report) -> Result<()> {
    fs::create_dir_all(dir)?;
    let (ledger, _) = Ledger::open(Options::new(dir, key))?;
    let mut last: Vec<Option<BlobAddr>> = vec![None; OBJECTS];
    let mut sizes = Vec::new();
    let begun = Instant::now();
    for from in (0..EVENTS).step_by(BATCH) {
        let mut batch = Batch::default();
        for number in from..from + BATCH {
            let index = number % OBJECTS;
            let bytes = stored(index, number);
            let blob = ledger.seal().blob_plain(bytes, last[index]);
            last[index] = Some(blob.addr);
            batch.drafts.push(observed(index, number, blob.addr));
            batch.blobs.push(blob);
        }
        ledger.append_blocking(batch)?;
        // The first versions are whole objects; what is asked for is the cost of a small change.
        if from + BATCH == OBJECTS || from + BATCH == EVENTS {
            while ledger.info().watermark < ledger.head() {
                pause(Duration::from_millis(20))?;
            }
            sizes.push(directory_bytes(dir)?);
        }
    }
    let took = begun.elapsed().as_secs_f64();
    ledger.shutdown();
    let [first, all] = sizes.as_slice() else { return Ok(()) };
    let changes = float((EVENTS - OBJECTS) as u64);
    report.add(
        Figure::new(
            "ledger growth per small change, indexes included",
            Unit::Bytes,
            vec![float(all - first) / changes],
        )
        .aim("under 600 B")
        .beside("such an object in full", Unit::Bytes, vec![float(stored(0, 0).len() as u64)])
        .beside("appended at", Unit::Rate, vec![float(EVENTS as u64) / took]),
    );
    Ok(())
}

/// Reads all events, frames only and in full; beside it the same files read and hashed.
fn replay(dir: &Path, key: &Path, report: &mut Report) -> Result<()> {
    let begun = Instant::now();
    let (ledger, _) = Ledger::open(Options::new(dir, key))?;
    let opened = begun.elapsed().as_secs_f64();
    let all = float(ledger.head().0);
    let (mut frames, mut full, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        let begun = Instant::now();
        let mut events = ledger.range(Seq(1), ledger.head());
        let mut count = 0_u64;
        while let Some(envelope) = events.next_envelope() {
            envelope?;
            count += 1;
        }
        ensure!(count == ledger.head().0, "{count} envelopes were read of {}", ledger.head());
        frames.push(all / begun.elapsed().as_secs_f64());

        let begun = Instant::now();
        for event in ledger.range(Seq(1), ledger.head()) {
            event?;
        }
        full.push(all / begun.elapsed().as_secs_f64());
        bare.push(all / hash_files(&dir.join("segments"))?);
    }
    report.add(
        Figure::new("replay, envelopes (one core)", Unit::Rate, frames).aim("500 000 /s").beside(
            "segments read and SHA-256 alone",
            Unit::Rate,
            bare,
        ),
    );
    report.add(Figure::new("replay, whole events (one core)", Unit::Rate, full));
    report.add(
        Figure::new("open the ledger of 1 M events, warm, library", Unit::Seconds, vec![opened])
            .aim("under 2 s (serving)"),
    );
    ledger.shutdown();
    Ok(())
}

fn hash_files(dir: &Path) -> Result<f64> {
    let begun = Instant::now();
    let mut hash = Sha256::new();
    for entry in fs::read_dir(dir)? {
        hash.update(fs::read(entry?.path())?);
    }
    std::hint::black_box(hash.finalize());
    Ok(begun.elapsed().as_secs_f64())
}

/// Starts of the daemon: the first folds every event, the others begin at its snapshot.
fn serve(home: &Home, report: &mut Report) -> Result<()> {
    let first = start(home)?;
    let warm = (0..STARTS).map(|_| start(home)).collect::<Result<Vec<f64>>>()?;
    let mut figure =
        Figure::new("process start → serving, 1 M events, warm page cache", Unit::Seconds, warm)
            .aim("under 2 s")
            .beside("without a snapshot", Unit::Seconds, vec![first]);
    // Only root may empty the page cache.
    if fs::write("/proc/sys/vm/drop_caches", "3").is_ok() {
        figure = figure.beside("cold page cache", Unit::Seconds, vec![start(home)?]);
    }
    report.add(figure);
    Ok(())
}

fn start(home: &Home) -> Result<f64> {
    let mut daemon = Daemon::start(home)?;
    let ready = daemon.ready_after.as_secs_f64();
    settle(&daemon)?;
    daemon.stop();
    Ok(ready)
}

/// What is stored of an object: canonical JSON with its field ownership.
fn stored(index: usize, number: usize) -> Vec<u8> {
    let labels: serde_json::Map<String, serde_json::Value> = (0..12)
        .map(|label| {
            (format!("example.test/label-{label:02}"), json!(format!("value-{index}-{label}")))
        })
        .collect();
    let fields: serde_json::Map<String, serde_json::Value> =
        (0..30).map(|field| (format!("f:field-{field:02}"), json!({}))).collect();
    let data: serde_json::Map<String, serde_json::Value> = (0..25)
        .map(|key| (format!("setting-{key:02}"), json!(format!("{:08x}", index * 31 + key * 7))))
        .collect();
    let value = json!({
        "fields": [{"manager": "someone", "operation": "Update", "fields": {"f:data": fields}}],
        "object": {
            "apiVersion": "v1",
            "data": data,
            "kind": "ConfigMap",
            "metadata": {"labels": labels, "name": name(index), "namespace": "elsewhere"},
            "revision": number.to_string(),
        },
    });
    value.to_string().into_bytes()
}

fn observed(index: usize, number: usize, object: BlobAddr) -> Draft {
    Draft::new(ObjectObservedV1 {
        key: ObjectKey::new("", "ConfigMap", "elsewhere", name(index)),
        version: "v1".to_owned(),
        uid: format!("00000000-0000-4000-8000-{index:012}"),
        // Behind those of any real API server: a ledger that is ahead of the cluster it meets says
        // that the cluster was set back, and nothing is written to it.
        resource_version: (1 + number / (EVENTS / 100)).to_string(),
        generation: 0,
        added: number < OBJECTS,
        learned: Learned::Watched,
        digest: Digest::of(&number.to_be_bytes()),
        owned: None,
        object,
        status: None,
        images: Vec::new(),
        managers: vec![ManagerStamp {
            manager: "someone".to_owned(),
            operation: "Update".to_owned(),
            subresource: String::new(),
            time: None,
            fields: Digest::of(b"fields"),
        }],
        controller: None,
        health: Health::Healthy,
        health_message: String::new(),
        health_rules: 1,
        deleting: false,
        claimed_by: String::new(),
        protection: greffier::model::Protection::default(),
        managed_by: String::new(),
        scales: None,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts and sizes far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
