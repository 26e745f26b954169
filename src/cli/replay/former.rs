//! What earlier replays of this ledger wrote onto the target: a namespace that two applications share,
//! or all of an application that is replayed again with others.
//!
//! It is in nobody's way while it is the very object that was written (its uid is recorded) and is as
//! this replay would write it. Then it is recorded as found, and compared in the end like the rest.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::Error;
use super::{Target, of_cluster};
use crate::cluster::OWNER_ANNOTATION;
use crate::ledger::event::Recovered;
use crate::ledger::{self, Archive};
use crate::model::{ObjectKey, Seq};
use crate::query::recovery::replays;
use crate::reconcile::recovery::{Found, remains, verify};
use crate::recovery::Plan;
use crate::recovery::progress::{Fate, Former, Progress, written_before};

/// What the target has already, sorted.
pub(super) struct Before {
    /// What refuses a replay that begins, with what is to be said of it.
    pub(super) in_the_way: Vec<String>,
    /// What is there as it is to be written, because an earlier replay wrote it.
    pub(super) kept: BTreeMap<ObjectKey, Recovered>,
}

/// What the replays before `of` wrote; before all, if it is `None`.
fn before(archive: &Archive, uid: &str, of: Option<Seq>) -> Result<Vec<Progress>, ledger::Error> {
    let mut all = replays(archive, uid)?;
    all.retain(|replay| of.is_none_or(|of| replay.seq < of));
    Ok(all)
}

/// Plans what the replay found of earlier ones as these had written it.
pub(super) fn as_written(
    archive: &Archive,
    made: &mut Plan,
    going_on: Option<&Progress>,
) -> Result<(), Error> {
    let Some(progress) = going_on else { return Ok(()) };
    let mut former = written_before(&before(archive, &progress.begun.uid, Some(progress.seq))?);
    former.retain(|key, former| {
        matches!(progress.fates.get(key), Some(Fate::Written(recovered)) if recovered.uid == former.recovered.uid)
    });
    made.stays_as_written(&former, OWNER_ANNOTATION);
    Ok(())
}

/// Tells what earlier replays wrote and is as it is to be written from what is in the way.
pub(super) async fn sort_out(
    archive: &Archive,
    target: &Target,
    (made, found): (&mut Plan, &Found),
    own: bool,
    going_on: Option<&Progress>,
) -> Result<Before, Error> {
    let all = |there: &[ObjectKey]| there.iter().map(ToString::to_string).collect();
    let none = Before { in_the_way: all(&found.there), kept: BTreeMap::new() };
    let replays = before(archive, &target.identity.uid, going_on.map(|progress| progress.seq))?;
    let (Some(last), Some(sealer), false) = (replays.last(), archive.seal(), own) else {
        return Ok(none);
    };
    let written = written_before(&replays);
    let is_same = |key: &&ObjectKey| {
        let uid = written.get(*key).map(|former| &former.recovered.uid);
        uid.is_some() && uid == found.uids.get(*key)
    };
    let same = found.there.iter().filter(is_same);
    let same: BTreeMap<ObjectKey, Former> =
        same.map(|key| (key.clone(), written[key].clone())).collect();
    made.stays_as_written(&same, OWNER_ANNOTATION);
    let compared = verify(&target.cluster, sealer, &made.steps, &last.of_former(&same)).await;
    let differs = compared.map_err(|error| of_cluster(&error))?;
    let differs: BTreeMap<&ObjectKey, &str> =
        differs.iter().map(|one| (&one.key, one.why.as_str())).collect();
    let said = |key: &ObjectKey| match (same.get(key), differs.get(key)) {
        (Some(former), Some(why)) => Some(format!(
            "{key}: replay #{} wrote it, and it is not as it would be written: {why}",
            former.recovery
        )),
        (Some(_), None) => None,
        (None, _) => Some(key.to_string()),
    };
    let mut in_the_way: Vec<String> = found.there.iter().filter_map(said).collect();
    if going_on.is_none() {
        in_the_way.extend(left_over(target, made, &written).await?);
    }
    let kept: BTreeMap<ObjectKey, Recovered> = same
        .iter()
        .filter(|(key, _)| !differs.contains_key(key))
        .map(|(key, former)| (key.clone(), former.recovered.clone()))
        .collect();
    if !kept.is_empty() {
        let named: Vec<String> = kept.keys().map(ToString::to_string).collect();
        let text = "there already, as an earlier replay of this ledger wrote it";
        made.shown.notes.push(format!("{text}: {}", named.join(", ")));
    }
    Ok(Before { in_the_way, kept })
}

/// What earlier replays wrote of the applications that are replayed, and these do not have at this
/// instant: beside it nothing is as it was.
async fn left_over(
    target: &Target,
    made: &Plan,
    written: &BTreeMap<ObjectKey, Former>,
) -> Result<Vec<String>, Error> {
    let planned: BTreeSet<&ObjectKey> = made.steps.iter().map(|step| &step.key).collect();
    let apps = &made.shown.apps;
    let of_these = |former: &Former| {
        let app = &former.write.app;
        !app.is_empty() && (apps.is_empty() || apps.contains(app))
    };
    let mut other: Vec<(&ObjectKey, &Former)> =
        written.iter().filter(|(_, former)| of_these(former)).collect();
    other.retain(|(key, _)| !planned.contains(key));
    let remains = remains(&target.cluster, &other).await.map_err(|error| of_cluster(&error))?;
    let said = |(key, former): (&ObjectKey, &Former)| {
        format!("{key}: replay #{} wrote it, and this one does not have it", former.recovery)
    };
    Ok(remains.into_iter().map(said).collect())
}
