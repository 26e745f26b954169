//! The past of a ledger of a million events: one object, a thousand, the whole world.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use greffier::ledger::{Ledger, Options};
use greffier::model::{ObjectKey, Seq};
use greffier::query::instant::At;
use greffier::query::object_at::{last_state, object_at};
use greffier::query::past::world_at;

use crate::manifests::name;
use crate::report::{Figure, Report, Unit};

/// How often one object is asked for, all objects, and the world.
const ONE: usize = 2_000;
const ALL: usize = 30;
const WORLDS: usize = 3;

/// Asks for objects and worlds as of instants all over the ledger.
pub(crate) fn measure(dir: &Path, key: &Path, objects: usize, report: &mut Report) -> Result<()> {
    let (ledger, _) = Ledger::open(Options::new(dir, key))?;
    let keys: Vec<ObjectKey> = (0..objects)
        .map(|index| ObjectKey::new("", "ConfigMap", "elsewhere", name(index)))
        .collect();
    let head = ledger.head().0;
    // A linear congruence: instants all over the ledger, the same in every run.
    let mut noise = 1_u64;
    let mut any = |below: u64| {
        noise =
            noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 33) % below
    };
    let begins = u64::try_from(objects)? * 2;
    let mut one = Vec::with_capacity(ONE);
    for _ in 0..ONE {
        let seq = Seq(begins + any(head - begins));
        let key = &keys[usize::try_from(any(u64::try_from(objects)?))?];
        let begun = Instant::now();
        let time = ledger.get(seq)?.map_or_else(Default::default, |event| event.envelope.recorded);
        let at = At { seq, time, timed: true, what: String::new() };
        let found = object_at(&ledger, key, &at)?;
        let live = found.state.and_then(|state| state.live);
        ensure!(live.is_some(), "{key} was not found as of #{seq}");
        if let Some(live) = live {
            ledger.blob(live.object)?;
        }
        one.push(begun.elapsed().as_secs_f64());
    }
    report.add(
        Figure::new("one object as of an instant, 1 M events", Unit::Seconds, one)
            .aim("p99 under 5 ms"),
    );
    let mut all = Vec::with_capacity(ALL);
    for _ in 0..ALL {
        let seq = Seq(begins + any(head - begins));
        let begun = Instant::now();
        for key in &keys {
            let live = last_state(&ledger, key, seq)?.and_then(|state| state.live);
            ensure!(live.is_some(), "{key} was not found as of #{seq}");
            if let Some(live) = live {
                ledger.blob(live.object)?;
            }
        }
        all.push(begun.elapsed().as_secs_f64());
    }
    report.add(
        Figure::new(format!("{objects} objects as of an instant, 1 M events"), Unit::Seconds, all)
            .aim("p99 under 100 ms"),
    );
    let (mut folded, mut near) = (Vec::new(), Vec::new());
    for round in 0..WORLDS {
        let seq = Seq(head - 1_000 - u64::try_from(round)?);
        let begun = Instant::now();
        // The first leaves snapshots behind for the others.
        let world = world_at(&ledger, seq, true)?;
        ensure!(world.seq == seq, "the world is as of {}, not {seq}", world.seq);
        let took = begun.elapsed().as_secs_f64();
        if round == 0 {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            folded.push(seq.0 as f64 / took);
        } else {
            near.push(took);
        }
    }
    report.add(Figure::new("world as of an instant, from a snapshot", Unit::Seconds, near).beside(
        "without one, events folded at",
        Unit::Rate,
        folded,
    ));
    ledger.shutdown();
    Ok(())
}
