//! Rows about the objects of a cluster that was set back: what was known before is no change.

use super::super::book::Book;
use super::gather::Teller;
use super::objects::{BACK_CHUNK, BACK_MAX, fields, is_managed};
use super::{Change, Class};
use crate::ledger::event::{Event, ObjectObservedV1, Verdict};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::ledger::{self, Recorded};
use crate::model::{BlobAddr, ObjectKey, Seq};

/// How many events about which cluster it is are looked at.
const IDENTITY_MAX: usize = 64;

/// A version that was observed before it was told, once more, which cluster answers.
pub(super) struct Known {
    /// The event that tells that it was set back.
    reverted: Option<Seq>,
    /// The observation of this very version.
    seen: Seq,
    /// The object as it was seen last before that; `None` = it was gone.
    last: Option<BlobAddr>,
    /// Whether it was seen last in this very version.
    same: bool,
}

/// That nothing was seen of an object since it was told, once more, which cluster answers.
#[derive(Clone, Copy)]
pub(super) struct Anew {
    /// What was seen of it last is before this.
    before: Seq,
    /// The event that tells that the cluster was set back since.
    pub(super) reverted: Option<Seq>,
}

/// Whether nothing was seen of an object before `before` since it was told which cluster answers.
pub(super) fn anew(
    book: &dyn Book,
    key: &ObjectKey,
    before: Seq,
) -> Result<Option<Anew>, ledger::Error> {
    let told = book.find_before(SubjectKey::topic(&Topic::Identity), before, IDENTITY_MAX);
    let Some(last) = told.first().copied() else { return Ok(None) };
    let (mut cursor, mut seen) = (before, Seq::ZERO);
    'seen: loop {
        let seqs = book.find_before(SubjectKey::object(key), cursor, BACK_CHUNK);
        for seq in &seqs {
            let event = book.get(*seq)?;
            let event = event.as_ref().and_then(|recorded| recorded.event.as_ref());
            if matches!(event, Some(Event::ObjectObserved(_) | Event::ObjectGone(_))) {
                seen = *seq;
                break 'seen;
            }
        }
        match seqs.last() {
            Some(seq) if *seq > last => cursor = *seq,
            _ => break,
        }
    }
    if seen > last {
        return Ok(None);
    }
    for seq in told.iter().take_while(|seq| **seq > seen) {
        let event = book.get(*seq)?;
        let event = event.as_ref().and_then(|recorded| recorded.event.as_ref());
        if matches!(event, Some(Event::ClusterReverted(_))) {
            return Ok(Some(Anew { before: last, reverted: Some(*seq) }));
        }
    }
    Ok(Some(Anew { before: last, reverted: None }))
}

/// Whether an observation shows a version that was observed before it was told, once more, which
/// cluster answers.
pub(super) fn known(
    book: &dyn Book,
    recorded: &Recorded,
    body: &ObjectObservedV1,
) -> Result<Option<Known>, ledger::Error> {
    let Some(anew) = anew(book, &body.key, recorded.seq())? else { return Ok(None) };
    let key = SubjectKey::object(&body.key);
    let (mut cursor, mut left, mut last) = (anew.before, BACK_MAX, None);
    while left > 0 {
        let seqs = book.find_before(key, cursor, BACK_CHUNK);
        for seq in &seqs {
            let Some(earlier) = book.get(*seq)? else { continue };
            let (object, is_it) = match &earlier.event {
                Some(Event::ObjectObserved(seen)) => {
                    let version = (&seen.uid, &seen.resource_version);
                    (Some(seen.object), version == (&body.uid, &body.resource_version))
                }
                Some(Event::ObjectGone(_)) => (None, false),
                _ => continue,
            };
            let same = is_it && last.is_none();
            let last = *last.get_or_insert(object);
            if is_it {
                let reverted = anew.reverted;
                return Ok((same || reverted.is_some()).then_some(Known {
                    reverted,
                    seen: *seq,
                    last,
                    same,
                }));
            }
        }
        match seqs.last() {
            Some(last) => cursor = *last,
            None => break,
        }
        left = left.saturating_sub(BACK_CHUNK);
    }
    Ok(None)
}

/// What became of an object when the cluster was set back; nothing where it is as it was.
pub(super) fn row(
    teller: &mut Teller<'_>,
    recorded: &Recorded,
    body: &ObjectObservedV1,
    known: &Known,
) -> Result<Option<Change>, ledger::Error> {
    let Known { reverted, seen, last, same } = known;
    let Some(reverted) = reverted.filter(|_| !same) else { return Ok(None) };
    let mut row = Teller::begun(recorded, Class::Change, "set back");
    if let Some(last) = last {
        let found = fields(teller.asked.book, &body.key, *last, body.object)?;
        if found.0.is_empty() {
            return Ok(None);
        }
        (row.fields, row.more_fields) = found;
    }
    row.object = body.key.to_string();
    row.app = teller.app_of(&body.key, recorded.seq(), is_managed(body))?;
    row.text = format!("as it was at #{seen}, before the cluster was set back (#{reverted})");
    row.strength = Verdict::Unknown.as_str().to_owned();
    row.doubt = "whoever set the cluster back did it; nothing tells who".to_owned();
    row.evidence.extend([seen.0, reverted.0]);
    row.outcome = "done".to_owned();
    Ok(Some(row))
}
