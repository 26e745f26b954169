//! Durable appends, beside what the disk gives to a bare file.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use greffier::ledger::event::{CommitRecordedV1, Signature};
use greffier::ledger::{Batch, Draft, Ledger, Options};
use greffier::model::{CommitId, Timestamp};
use tokio::runtime::Handle;

use crate::report::{Figure, Report, Unit};

/// How large an encoded event is about; a rendered manifest of the usual size.
const EVENT_BYTES: usize = 2_700;
/// Events in a group, and how many groups are appended.
const GROUPS: [(usize, usize); 3] = [(1, 300), (64, 150), (512, 60)];

/// Groups of events, each beside bare files that get the same bytes with one `fdatasync`.
pub(crate) fn measure(_runtime: &Handle, report: &mut Report) -> Result<()> {
    // Not the usual directory for temporary files: that may be memory, which is no disk.
    let dir = tempfile::Builder::new().prefix("bench-ledger-").tempdir_in(crate::target_dir()?)?;
    let options = Options::new(dir.path().join("ledger"), dir.path().join("ledger.key"));
    let (ledger, _) = Ledger::open(options)?;
    let mut bare = Bare::create(dir.path())?;
    let mut number = 0;
    for (size, groups) in GROUPS {
        let (mut ours, mut plain, mut stored) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..groups {
            let drafts: Vec<Draft> =
                (0..size).map(|index| draft(number + index)).collect::<Result<_>>()?;
            number += size;
            let before = ledger.info().segment_bytes;
            let begun = Instant::now();
            ledger.append_blocking(Batch::from(drafts))?;
            ours.push(begun.elapsed().as_secs_f64());
            let grown = ledger.info().segment_bytes.saturating_sub(before);
            plain.push(bare.append(size * EVENT_BYTES)?);
            stored.push(bare.append(usize::try_from(grown)?)?);
        }
        report.add(
            Figure::new(format!("durable append, group of {size} × 2.7 KB"), Unit::Seconds, ours)
                .aim("at most 1.43 × bare (70 %)")
                .beside("bare write + fdatasync of 2.7 KB each", Unit::Seconds, plain)
                .beside("of the bytes that reached the segment", Unit::Seconds, stored),
        );
    }
    ledger.shutdown();
    Ok(())
}

/// A file that is appended to and synchronised, and nothing else.
struct Bare {
    file: File,
    bytes: Vec<u8>,
}

impl Bare {
    fn create(dir: &Path) -> Result<Self> {
        Ok(Self { file: File::create(dir.join("bare"))?, bytes: Vec::new() })
    }

    fn append(&mut self, count: usize) -> Result<f64> {
        self.bytes.resize(count, b'x');
        let begun = Instant::now();
        self.file.write_all(&self.bytes)?;
        self.file.sync_data()?;
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// An event whose body is [`EVENT_BYTES`] of text that compresses about as manifests do.
fn draft(number: usize) -> Result<Draft> {
    let who = Signature {
        name: "Dora".to_owned(),
        email: "dora@example.test".to_owned(),
        time: Timestamp::now(),
    };
    let id: CommitId = format!("{number:040x}").parse()?;
    let mut message = String::with_capacity(EVENT_BYTES);
    let mut noise = number as u64;
    while message.len() < EVENT_BYTES - 200 {
        // A linear congruence: text that differs from event to event, the same in every run.
        noise =
            noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        message.push_str(&format!(
            "  - name: VARIABLE_{:04x}\n    value: {noise:016x}\n",
            noise >> 50
        ));
    }
    Ok(Draft::new(CommitRecordedV1 {
        repo: "/srv/git/infra.git".to_owned(),
        commit: id.clone(),
        tree: id.clone(),
        parents: vec![id],
        author: who.clone(),
        committer: who,
        message,
        changed: vec!["apps/shop/deployment.yaml".to_owned()],
        changed_total: 1,
        signature: None,
    }))
}
