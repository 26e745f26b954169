//! `replay`: an empty cluster is rebuilt from the ledger and its key.
//!
//! The ledger's files are read here, and the target is written to from here, with the credentials
//! of whoever replays. What is done is recorded by this process, or by the daemon if one has the
//! ledger: it has one writer.

mod abandon;
mod former;
mod of_commit;
mod record;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::args::{Format, ReplayArgs};
use super::asker::Context;
use super::change::asked;
use super::error::{Error, Exit};
use super::files::{fold, open, unknown};
use super::{at, output};
use of_commit::settled_on;
use record::Register;

use crate::cluster::{self, Class, Connection, Identity};
use crate::config::Config;
use crate::http::{self, ClientError};
use crate::ledger::event::{Recovered, RecoveryBegunV1, RecoveryFinishedV1};
use crate::ledger::{self, Archive, Draft};
use crate::model::{self, Digest, ObjectKey, Seq, Timestamp};
use crate::query::cluster::Known;
use crate::query::instant::{self, About};
use crate::query::recovery::{Asked, gather, last_replay, of_daemon, own_cluster};
use crate::reconcile::recovery::{
    Differing, Found, NotRecorded, Recorder, Replay, ReplayError, Served, serving, survey, verify,
};
use crate::recovery::progress::{Fate, InTheWay, Progress, refuse};
use crate::recovery::{Backends, Loss, LossKind, Plan, Serving, Shown, plan};

/// The target of a replay.
struct Target {
    cluster: Connection,
    identity: Identity,
    served: Served,
}

/// What is replayed: of a new replay as it is asked for, of one that goes on as it was begun.
struct Wanted {
    asked: Asked,
    to: Seq,
    partial: bool,
    former: Option<Progress>,
}

/// How a replay ended.
#[derive(Debug, Serialize)]
struct Report {
    /// The event that began it.
    recovery: u64,
    /// The target's address.
    server: String,
    /// Its version.
    version: String,
    /// The uid of its namespace `kube-system`.
    uid: String,
    /// How many objects are there.
    written: u32,
    /// How many of them were there already when the replay went on.
    found: usize,
    /// How many were written this time.
    now: u32,
    /// How long it took from the command to the last of those, in milliseconds.
    written_milliseconds: u64,
    /// What was gone when the replay went on, and was written again.
    again: Vec<String>,
    /// Objects that were not written, and why.
    failed: Vec<Named>,
    /// Objects that are otherwise than they were written.
    differs: Vec<Differing>,
    /// Whether everything that was written is there as it was written.
    verified: bool,
    /// What the ledger should have had and had not, and was left out.
    missing: Vec<Loss>,
    /// What does not come back.
    lost: Vec<Loss>,
    /// What comes back later.
    later: Vec<Loss>,
    /// What a person should know.
    notes: Vec<String>,
    /// How long all of it took, with what was asked before and compared afterwards.
    milliseconds: u64,
}

/// An object and what is to be said of it.
#[derive(Debug, Serialize)]
struct Named {
    object: String,
    why: String,
    /// Whether `--resume` tries it again; it writes nothing over what is there.
    resumable: bool,
}

/// What would be done, and what is in the way.
#[derive(Debug, Serialize)]
struct Planned {
    server: String,
    version: String,
    uid: String,
    /// Objects that the target has already, which refuses the replay.
    in_the_way: Vec<String>,
    #[serde(flatten)]
    plan: Shown,
}

/// Runs `replay`.
pub(super) async fn run(context: &Context, args: ReplayArgs) -> Result<(), Error> {
    let asked_for = Instant::now();
    let archive = open(context.config())?;
    if let Some(recovery) = args.abandon {
        return abandon::run(context, &archive, recovery, &args).await;
    }
    let target = connect(context.config(), &args).await?;
    let wanted = wanted(context, &args, &archive, &target)?;
    let mut made = planned(context, &archive, &wanted, target.served.serving.clone())?;
    if let Some(error) = target.served.unknown(&made, &target.identity.server) {
        return Err(of_cluster(&error));
    }
    let going_on = wanted.former.as_ref().filter(|_| args.resume || args.verify);
    if args.verify {
        // What was left as it is was never meant to be written.
        let keys = made.steps.iter().map(|step| step.key.clone()).collect();
        leave(&mut made, keys, going_on);
        former::as_written(&archive, &mut made, going_on)?;
        return compare(context, &archive, &target, &made, &wanted).await;
    }
    let mut found = survey(&target.cluster, &made.steps).await.map_err(|e| of_cluster(&e))?;
    let left = leave(&mut made, found.there.iter().cloned().collect(), going_on);
    found.there.retain(|key| !left.contains(key));
    let own = own_cluster(&archive)? == target.identity.uid;
    let former = wanted.former.as_ref();
    let before = former::sort_out(&archive, &target, (&mut made, &found), own, going_on).await?;
    let refused = match args.resume {
        true => None,
        false => of_running(context, &target).await?.or(refuse(former, own, &before.in_the_way)),
    };
    if args.plan {
        let shown = Planned {
            server: target.identity.server.clone(),
            version: target.identity.version.clone(),
            uid: target.identity.uid.clone(),
            in_the_way: refused.iter().flat_map(|refused| refused.objects.clone()).collect(),
            plan: made.shown.clone(),
        };
        let text =
            output::one(&shown, context.global.output, text::plan, |p| p.plan.digest.clone());
        output::print(&text)?;
    } else if context.global.output == Format::Table && !context.global.quiet && !args.resume {
        output::say(text::short(&made.shown).trim_end());
    }
    if let Some(refused) = refused {
        let listed: String = refused.objects.iter().map(|object| format!("\n{object}")).collect();
        let text = format!("nothing was written: {}{listed}", refused.why);
        return Err(Error::new(Exit::Refused, text).hint(refused.hint));
    }
    if !args.resume && !found.unknown.is_empty() {
        return Err(unasked(&found));
    }
    restorable(&made.shown, wanted.partial)?;
    if args.plan {
        return Ok(());
    }
    let planned = asked_for.elapsed();
    if !args.yes {
        asked("replayed", "the same with --yes")?;
    }
    // What the person takes to answer does not count.
    let now = Instant::now();
    let since = now.checked_sub(planned).unwrap_or(now);
    let there = (&found, before.kept);
    replay(context, &args, (&archive, &target), (&made, there), wanted, since).await
}

/// Why the target is none while a daemon runs that keeps it.
async fn of_running(context: &Context, target: &Target) -> Result<Option<InTheWay>, Error> {
    let client = context.client();
    match client.probe().await {
        Ok(()) => {}
        Err(ClientError::Unreachable { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let known: Known = client.get("cluster", "").await?;
    let status: http::dto::Status = client.get("status", "").await?;
    let observe = status.daemon.is_some_and(|daemon| daemon.observe);
    Ok(of_daemon(&known, observe, &target.identity.uid))
}

/// Asks the target who it is and what it serves.
async fn connect(config: &Config, args: &ReplayArgs) -> Result<Target, Error> {
    let options = cluster::Options {
        kubeconfig: args.kubeconfig.clone().or_else(|| config.cluster.kubeconfig.clone()),
        context: args.to.clone(),
        request_timeout: config.cluster.request_timeout.into(),
        ..cluster::Options::default()
    };
    let asking = async {
        let cluster = Connection::connect(&options).await?;
        let identity = cluster.identify().await?;
        let served = serving(&cluster).await?;
        Ok::<_, cluster::Error>(Target { cluster, identity, served })
    };
    asking.await.map_err(|error| of_cluster(&error))
}

fn wanted(
    context: &Context,
    args: &ReplayArgs,
    archive: &Archive,
    target: &Target,
) -> Result<Wanted, Error> {
    let former = last_replay(archive, &target.identity.uid)?;
    if args.resume || args.verify {
        if context.global.at.is_some() {
            let text = "the instant of a replay is chosen when it begins";
            return Err(Error::usage(text).hint("leave out --at"));
        }
        let Some(former) = former else {
            let text = format!("nothing was replayed onto {} yet", target.identity.server);
            return Err(Error::new(Exit::Refused, text).hint("begin without --resume and --verify"));
        };
        if args.resume && former.is_over() {
            return Err(over(&former).hint("--verify compares it again"));
        }
        let begun = &former.begun;
        let asked = Asked { apps: begun.apps.clone(), live: begun.live, unowned: begun.unowned };
        let (to, partial) = (begun.to, begun.partial);
        return Ok(Wanted { asked, to, partial, former: Some(former) });
    }
    let asked = Asked { apps: args.apps.clone(), live: args.live, unowned: args.include_unowned };
    let to = match &context.global.at {
        None => archive.head(),
        Some(text) => {
            let found = match at::parse(text)?.or_end() {
                model::Instant::Commit(name) => settled_on(context, archive, &asked, &name)?,
                named => instant::resolve(archive, &named, &About::default(), Timestamp::now())?,
            };
            if !context.global.quiet {
                output::say(&format!("as of {}, event #{}", found.time, found.seq));
            }
            found.seq
        }
    };
    Ok(Wanted { asked, to, partial: args.partial, former })
}

/// Why nobody goes on with a replay.
fn over(former: &Progress) -> Error {
    let seq = former.seq;
    let text = match &former.abandoned {
        Some((by, body)) if body.reason.is_empty() => {
            format!("replay #{seq} was abandoned by event #{by}")
        }
        Some((by, body)) => format!("replay #{seq} was abandoned by event #{by}: {}", body.reason),
        None => format!("replay #{seq} has ended, and is verified"),
    };
    Error::new(Exit::Refused, text)
}

fn planned(
    context: &Context,
    archive: &Archive,
    wanted: &Wanted,
    serving: Serving,
) -> Result<Plan, Error> {
    let world = fold(archive, wanted.to, context.global.quiet)?;
    let pending = gather(&world, &wanted.asked).map_err(|error| unknown(&error))?;
    Ok(plan(pending.read(archive, |addr| archive.has_blob(addr))?, serving))
}

/// Leaves out what no application wants and is there already: both clusters have it from whoever
/// made them. What a replay that goes on has begun to write is its own.
fn leave(
    made: &mut Plan,
    there: BTreeSet<ObjectKey>,
    going_on: Option<&Progress>,
) -> BTreeSet<ObjectKey> {
    let begun = |key: &ObjectKey| going_on.is_some_and(|former| former.fates.contains_key(key));
    let unowned = made.steps.iter().filter(|step| step.app.is_empty());
    let unowned = unowned.map(|step| &step.key).filter(|key| there.contains(key) && !begun(key));
    let left: BTreeSet<ObjectKey> = unowned.cloned().collect();
    made.leave(&left);
    left
}

/// Refuses what cannot be brought back as a whole, naming each thing.
fn restorable(shown: &Shown, partial: bool) -> Result<(), Error> {
    if shown.missing.is_empty() || partial {
        return Ok(());
    }
    let lines = shown.missing.iter().map(|loss| format!("\n{}: {}", loss.subject, loss.why));
    let text =
        format!("nothing was written: not all of it can be replayed:{}", lines.collect::<String>());
    let hint = "put back what is missing (the key, a copy of the ledger), or leave it out with \
                --partial";
    Err(Error::new(Exit::Refused, text).hint(hint))
}

async fn replay(
    context: &Context,
    args: &ReplayArgs,
    (archive, target): (&Archive, &Target),
    (made, (found, kept)): (&Plan, (&Found, BTreeMap<ObjectKey, Recovered>)),
    wanted: Wanted,
    since: Instant,
) -> Result<(), Error> {
    let register = Register::open(context, archive).await?;
    let recorder = register.recorder();
    let actor = http::local_user();
    let former = wanted.former.clone().filter(|_| args.resume);
    let resumed = former.is_some();
    let gone = former.as_ref().map(|former| gone(former, made, found));
    let progress = match former {
        Some(former) => former,
        None => begin(recorder, made, &wanted, target).await?,
    };
    let quiet = context.global.quiet;
    if !quiet {
        output::say(&format!(
            "replay #{} onto {}; after an interruption go on with --resume",
            progress.seq, target.identity.server
        ));
    }
    let tell = |stage: &str, done: usize, all: usize| {
        if !quiet {
            output::say(&format!("{stage}: {done} of {all}"));
        }
    };
    let mut replay = Replay {
        recorder,
        cluster: &target.cluster,
        actor,
        steps: &made.steps,
        progress,
        resumed,
        gone: gone.unwrap_or_default(),
        since,
        done: (0, Duration::ZERO),
        made: found.made.clone(),
        kept,
        wait: Duration::from(args.wait),
        tell: &tell,
        notes: Vec::new(),
        backends: Backends::of(&made.steps),
        answering: BTreeMap::new(),
    };
    let ended = finish(&mut replay).await;
    let notes = std::mem::take(&mut replay.notes);
    let (progress, now) = (replay.progress.clone(), replay.done.0);
    register.close();
    let (finished, differs) = ended.map_err(|error| of_replay(&error))?;
    let report = Report {
        now,
        milliseconds: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
        notes: made.shown.notes.iter().cloned().chain(notes).collect(),
        ..reported(target, made, &progress, finished, differs)
    };
    told(context, &report)
}

/// What a replay that goes on had written and is not there any more. What cannot be asked for is
/// not known to be gone.
fn gone(former: &Progress, made: &Plan, found: &Found) -> BTreeMap<ObjectKey, String> {
    let uids = former.uids();
    let unknown =
        found.unknown.keys().filter_map(|key| Some((key.clone(), uids.get(key)?.clone())));
    let there = found.uids.clone().into_iter().chain(unknown).collect();
    former.gone(&made.steps, &there)
}

/// Refuses to begin where it is not known whether objects are there.
fn unasked(found: &Found) -> Error {
    let lines = found.unknown.iter().map(|(key, why)| format!("\n{key}: {why}"));
    let text = format!(
        "nothing was written: the target cannot say whether it has what would be written:{}",
        lines.collect::<String>()
    );
    Error::new(Exit::Unreachable, text).hint("name an empty cluster, or wait until that answers")
}

/// Writes, compares, and records how it ended.
async fn finish(
    replay: &mut Replay<'_>,
) -> Result<(RecoveryFinishedV1, Vec<Differing>), ReplayError> {
    replay.run().await?;
    let sealer = replay.recorder.sealer();
    let differs = verify(replay.cluster, sealer, replay.steps, &replay.progress).await?;
    let recorded = differs.iter().map(|one| (one.key.clone(), one.why.clone())).collect();
    Ok((replay.finish(recorded).await?, differs))
}

fn reported(
    target: &Target,
    made: &Plan,
    progress: &Progress,
    finished: RecoveryFinishedV1,
    differs: Vec<Differing>,
) -> Report {
    let found = progress.fates.values();
    let found = found.filter(|fate| matches!(fate, Fate::Written(recovered) if recovered.found));
    let failed = finished.failed.into_iter().map(|(key, why)| Named {
        object: key.to_string(),
        why,
        resumable: !matches!(progress.fates.get(&key), Some(Fate::Left(_))),
    });
    // What was refused once and is written now has come back.
    let came = |subject: &str| {
        let key = subject.parse::<ObjectKey>().ok();
        key.is_some_and(|key| matches!(progress.fates.get(&key), Some(Fate::Written(_))))
    };
    let lost = made.shown.lost.iter();
    let lost = lost.filter(|loss| loss.kind != LossKind::WasRefused || !came(&loss.subject));
    let is_written = |key: &&ObjectKey| matches!(progress.fates.get(*key), Some(Fate::Written(_)));
    Report {
        recovery: progress.seq.0,
        server: target.identity.server.clone(),
        version: target.identity.version.clone(),
        uid: target.identity.uid.clone(),
        written: finished.written,
        found: found.count(),
        now: 0,
        written_milliseconds: finished.milliseconds,
        again: progress.again.iter().filter(is_written).map(ToString::to_string).collect(),
        failed: failed.collect(),
        differs,
        verified: finished.verified,
        missing: made.shown.missing.clone(),
        lost: lost.cloned().collect(),
        later: made.shown.later.clone(),
        notes: Vec::new(),
        milliseconds: 0,
    }
}

fn told(context: &Context, report: &Report) -> Result<(), Error> {
    let name = |report: &Report| format!("#{}", report.recovery);
    output::print(&output::one(report, context.global.output, text::report, name))?;
    if report.verified && report.missing.is_empty() {
        return Ok(());
    }
    let text = match report.verified {
        true => "what could be replayed is there; the rest was left out",
        false => "not everything is there as it was to be written",
    };
    let error = Error::new(Exit::Partial, text);
    if report.verified {
        return Err(error);
    }
    Err(text::ways_on(report).into_iter().fold(error, Error::hint))
}

/// Records that it begins. Nothing was sent before.
async fn begin(
    recorder: &dyn Recorder,
    made: &Plan,
    wanted: &Wanted,
    target: &Target,
) -> Result<Progress, Error> {
    let shown = &made.shown;
    let lost = shown.missing.iter().chain(&shown.lost);
    let body = RecoveryBegunV1 {
        uid: target.identity.uid.clone(),
        server: target.identity.server.clone(),
        version: target.identity.version.clone(),
        to: wanted.to,
        at: made.at,
        apps: wanted.asked.apps.clone(),
        live: wanted.asked.live,
        unowned: wanted.asked.unowned,
        partial: wanted.partial,
        objects: u32::try_from(made.steps.len()).unwrap_or(u32::MAX),
        plan: shown.digest.parse::<Digest>().unwrap_or_default(),
        lost: lost.map(|loss| (loss.kind.as_str().to_owned(), loss.subject.clone())).collect(),
    };
    let draft = Draft::new(body.clone()).by(http::local_user());
    let recorded = recorder.record(draft).await;
    let seq = recorded.map_err(not_recorded)?;
    Ok(Progress::begun(seq, body))
}

/// Compares what the last replay wrote with what is there.
async fn compare(
    context: &Context,
    archive: &Archive,
    target: &Target,
    made: &Plan,
    wanted: &Wanted,
) -> Result<(), Error> {
    let begun = Instant::now();
    let Some(sealer) = archive.seal() else {
        let text = "without the ledger's key nothing is compared: it holds digests under it";
        return Err(Error::new(Exit::Refused, text).hint("put it in its place (key_file)"));
    };
    let Some(progress) = &wanted.former else { return Ok(()) };
    let differs = verify(&target.cluster, sealer, &made.steps, progress).await;
    let differs = differs.map_err(|error| of_cluster(&error))?;
    let ended = progress.ended(&made.steps, Vec::new());
    let verified = ended.failed.is_empty() && differs.is_empty();
    let report = Report {
        verified,
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        ..reported(target, made, progress, ended, differs)
    };
    let name = |report: &Report| format!("#{}", report.recovery);
    output::print(&output::one(&report, context.global.output, text::report, name))?;
    if verified { Ok(()) } else { Err(Error::new(Exit::Differs, "")) }
}

fn not_recorded(error: NotRecorded) -> Error {
    let error = match error.downcast::<ClientError>() {
        Ok(error) => return Error::from(*error),
        Err(error) => error,
    };
    match error.downcast::<ledger::Error>() {
        Ok(error) => Error::from(*error),
        Err(error) => Error::new(Exit::Ledger, "nothing was written").because(&*error),
    }
}

fn of_replay(error: &ReplayError) -> Error {
    let made = match error {
        ReplayError::Cluster(error) => of_cluster(error),
        ReplayError::Ledger(source) => {
            Error::new(Exit::Partial, error.to_string()).because(&**source)
        }
    };
    let made = made.hint("what was written is recorded: go on with --resume");
    Error { exit: if made.exit == Exit::Forbidden { made.exit } else { Exit::Partial }, ..made }
}

fn of_cluster(error: &cluster::Error) -> Error {
    let (exit, hint) = match (error, error.class()) {
        (cluster::Error::Kubeconfig { .. } | cluster::Error::CredentialPlugin { .. }, _) => {
            (Exit::Usage, "--kubeconfig names the file, --to a context in it")
        }
        (error, _) if error.is_forbidden() => {
            (Exit::Forbidden, "a replay needs to read and write every kind that it brings back")
        }
        (_, Class::Unauthorized) => (Exit::Forbidden, "are the credentials of that context valid?"),
        _ => (Exit::Unreachable, "is the address of that context right, and the API server up?"),
    };
    Error::new(exit, error.chain()).hint(hint)
}

#[cfg(test)]
mod tests;
