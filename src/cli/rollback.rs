//! `rollback`: back to an earlier instant, shown first; `release`: follow Git again.

mod commits;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use self::commits::{committable, pushable};
use super::args::{Format, Hooks, ReleaseArgs, RollbackArgs};
use super::asker::Context;
use super::at;
use super::change::{accepted, accepted_with, asked};
use super::children;
use super::error::{Error, Exit};
use super::follow::{self, Ended};
use super::output;
use super::read::short;
use super::table::{local_time, table};
use super::why::commit;
use crate::http::{Client, dto};
use crate::query::images::{ImageThen, Moved};
use crate::query::planned::{NotDone, Step};
use crate::query::rollback::{
    HELD_ALREADY, HoldEnds, HoldPlan, LAST_HEALTHY, Other, RELEASED, UnderWay,
};
use crate::query::text::{clean, count, shell};

/// Runs `rollback`.
pub(super) async fn run(context: &Context, args: RollbackArgs) -> Result<(), Error> {
    if args.hooks == Some(Hooks::Run) {
        return Err(Error::new(
            Exit::Refused,
            "hooks are not run: this version of greffier runs none",
        )
        .hint("--hooks skip goes on without them; the plan names them"));
    }
    let ask = question(&args)?;
    let client = context.daemon().await?;
    let path = Client::app_path(&args.app, "rollback");
    let RollbackArgs { app, plan, tree, hooks, yes, no_wait, .. } = args;
    let found: Found = client.post(&path, &ask).await?;
    let shown = match found {
        Found::Plan(shown) => shown,
        Found::Already(done) => return accepted(context, &done, &format!("{app} is held")),
    };
    if plan {
        print(context, &shown)?;
        restorable(&shown)?;
        committable(&shown, &ask)?;
        return pushable(&shown);
    }
    tell(context, &shown, yes);
    restorable(&shown)?;
    committable(&shown, &ask)?;
    if hooks.is_none() {
        without_hooks(&shown, yes)?;
    }
    let again = again(&app, &ask, &to_of(&shown));
    if !yes {
        asked("rolled back", &again)?;
    }
    // What was shown, and nothing else.
    let (to, approves) = (to_of(&shown), shown.approves.clone());
    let (commits, by) = (shown.commits_hash.clone(), shown.to);
    let body = dto::RollbackBody { to, by, plan: false, approves, commits, ..ask };
    let done: Result<dto::AcceptedTree, _> = client.post(&path, &body).await;
    let log = format!("greffier log {} --kind hold", shell(&app));
    let mut done = done.map_err(|error| Error::unanswered(error, &log))?;
    for pushed in done.pushed.iter_mut().filter(|pushed| pushed.repo.is_empty()) {
        // Why that is, was found out for what was shown.
        if !shown.not_pushed.is_empty() {
            pushed.said.clone_from(&shown.not_pushed);
        }
    }
    let below = if tree { " with everything below it" } else { "" };
    let what = format!("{app}{below} is held as at #{}", shown.to);
    accepted_with(context, &done, &done.accepted, &what)?;
    let pushed = commits::told(&app, &done.pushed, &again);
    if no_wait || done.accepted.already {
        return pushed;
    }
    let own = dto::AppSeq { app, seq: done.accepted.seq };
    let apps = if done.apps.is_empty() { vec![own] } else { done.apps };
    let ended = followed(context, &client, &shown, apps).await;
    if let (Err(_), Err(pushed)) = (&ended, &pushed) {
        // Both are told; the one that the cluster shows decides the exit code.
        output::say(pushed.render().trim_end());
    }
    ended.and(pushed)
}

/// What is asked of the daemon first.
fn question(args: &RollbackArgs) -> Result<dto::RollbackBody, Error> {
    Ok(dto::RollbackBody {
        to: instant(&args.to)?,
        said: args.to.clone(),
        plan: true,
        partial: args.partial,
        tree: args.tree,
        pin_digests: args.pin_digests,
        period: args.period.map(|period| period.to_string()).unwrap_or_default(),
        reason: args.reason.clone(),
        git: args.git,
        branch: args.branch.clone().unwrap_or_default(),
        author: args.author.clone().unwrap_or_default(),
        ..dto::RollbackBody::default()
    })
}

/// Waits for the applications that may be written to.
async fn followed(
    context: &Context,
    client: &Client,
    shown: &HoldPlan,
    apps: Vec<dto::AppSeq>,
) -> Result<(), Error> {
    let plans = std::iter::once(shown).chain(&shown.tree);
    let restrained: Vec<&HoldPlan> = plans.filter(|plan| !plan.restrained.is_empty()).collect();
    for plan in &restrained {
        let (app, why) = (clean(&plan.app), clean(&plan.restrained));
        output::say(&format!("{app}: nothing is written now: {why}"));
    }
    let apps = apps.iter().filter(|held| restrained.iter().all(|plan| plan.app != held.app));
    ended(context, client, apps).await
}

/// The instant of what was shown, as it can be asked for again.
fn to_of(shown: &HoldPlan) -> String {
    match shown.commit.as_str() {
        "" => format!("#{}", shown.to),
        // No single event has what it asked for of a tree.
        commit => format!("git:{commit}"),
    }
}

/// The command that does what was shown.
fn again(app: &str, ask: &dto::RollbackBody, to: &str) -> String {
    let flags = [
        (ask.tree, " --tree"),
        (ask.pin_digests, " --pin-digests"),
        (ask.git, " --git"),
        (ask.partial, " --partial"),
    ];
    let flags = flags.into_iter().filter_map(|(given, flag)| given.then_some(flag));
    let flags: String = flags.collect();
    let branch = match ask.branch.as_str() {
        "" => String::new(),
        name => format!(" --branch {}", shell(name)),
    };
    let period = match ask.period.as_str() {
        "" => String::new(),
        period => format!(" --for {period}"),
    };
    format!("greffier rollback {app}{flags}{branch} --to {}{period} --yes", shell(to))
}

/// The instant that is meant, as the daemon reads it.
fn instant(text: &str) -> Result<String, Error> {
    match text {
        // No instant that every subject has.
        LAST_HEALTHY => Ok(text.to_owned()),
        text => Ok(at::parse(text).map_err(misspelt)?.or_end().to_string()),
    }
}

/// Waits until each application is as it is to be.
async fn ended(
    context: &Context,
    client: &Client,
    apps: impl Iterator<Item = &dto::AppSeq>,
) -> Result<(), Error> {
    let wait = context.global.timeout.map_or(follow::SYNC_WAIT, Duration::from);
    let (mut partial, mut gated) = (Vec::new(), Vec::new());
    for dto::AppSeq { app, seq } in apps {
        match follow::sync(client, app, (*seq, false), wait, context.global.quiet).await? {
            Ended::Complete => {}
            Ended::Partial => partial.push(app.as_str()),
            Ended::Gated => gated.push(app.as_str()),
        }
    }
    if let Some(first) = partial.first() {
        return Err(Error::new(Exit::Partial, format!("not complete: {}", partial.join(", ")))
            .hint(format!("`greffier why {first}` says why")));
    }
    if let Some(first) = gated.first() {
        return Err(Error::new(Exit::Refused, format!("waits for approval: {}", gated.join(", ")))
            .hint(format!("`greffier approve {first}` shows what waits")));
    }
    Ok(())
}

/// Has a person say that hooks are left out; who wants no questions is told.
fn without_hooks(shown: &HoldPlan, yes: bool) -> Result<(), Error> {
    let plans = std::iter::once(shown).chain(&shown.tree);
    let hooks = count(plans.map(|plan| plan.hooks.len()).sum(), "hook");
    if hooks.starts_with("0 ") {
        return Ok(());
    }
    if yes || !std::io::stdin().is_terminal() {
        output::say(&format!("{hooks} not run: greffier runs none"));
        return Ok(());
    }
    output::say(&format!("{hooks} not run: greffier runs none; type `skip` to go on without:"));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_err() || answer.trim() != "skip" {
        return Err(Error::new(Exit::Refused, "not rolled back"));
    }
    Ok(())
}

/// What the daemon answers to a question: the plan, or that it is so already.
#[derive(serde::Deserialize)]
#[serde(untagged)]
pub(super) enum Found {
    Already(dto::Accepted),
    Plan(Box<HoldPlan>),
}

/// Runs `release`.
pub(super) async fn release(context: &Context, args: &ReleaseArgs) -> Result<(), Error> {
    let ReleaseArgs { subject, namespace, plan, tree, yes } = args;
    let client = context.daemon().await?;
    let ask = dto::ReleaseBody {
        subject: subject.clone(),
        namespace: namespace.clone().unwrap_or_default(),
        plan: true,
        tree: *tree,
    };
    let shown: HoldPlan = client.post("release", &ask).await?;
    if *plan {
        return print(context, &shown);
    }
    tell(context, &shown, *yes);
    if !yes {
        let namespace = match ask.namespace.as_str() {
            "" => String::new(),
            namespace => format!(" -n {}", shell(namespace)),
        };
        let tree = if *tree { " --tree" } else { "" };
        let subject = shell(subject);
        asked("released", &format!("greffier release {subject}{namespace}{tree} --yes"))?;
    }
    let body = dto::ReleaseBody { plan: false, ..ask };
    let done: Result<dto::Accepted, _> = client.post("release", &body).await;
    let done = done.map_err(|error| Error::unanswered(error, "greffier log --kind hold"))?;
    let below = if *tree { " with everything below it" } else { "" };
    accepted(context, &done, &format!("{subject}{below} follows Git again"))?;
    gated(&shown)
}

/// Says that what came after a release waits, as was shown.
fn gated(shown: &HoldPlan) -> Result<(), Error> {
    let plans = std::iter::once(shown).chain(&shown.tree);
    let asks = |plan: &'_ HoldPlan| match plan.asks.as_str() {
        "" => plan.app.clone(),
        parent => parent.to_owned(),
    };
    let waits: BTreeSet<String> = plans.filter(|plan| !plan.exceeds.is_empty()).map(asks).collect();
    let waits: Vec<String> = waits.into_iter().collect();
    let Some(first) = waits.first() else { return Ok(()) };
    let text = format!("released, and what exceeds waits for approval: {}", waits.join(", "));
    Err(Error::new(Exit::Refused, text)
        .hint(format!("`greffier approve {first}` shows what waits")))
}

/// Shows a plan before it is asked about, or done.
pub(super) fn tell(context: &Context, shown: &HoldPlan, yes: bool) {
    if context.global.output == Format::Table && (!context.global.quiet || !yes) {
        output::say(text(shown).trim_end());
    }
}

pub(super) fn print(context: &Context, shown: &HoldPlan) -> Result<(), Error> {
    output::print(&output::one(shown, context.global.output, text, |shown| shown.app.clone()))
}

/// Refuses what cannot be done as a whole.
pub(super) fn restorable(shown: &HoldPlan) -> Result<(), Error> {
    if shown.missing.is_empty() && !shown.unpinned.is_empty() {
        let message = "not every image can be named by its digest";
        return Err(Error::new(Exit::Refused, message).each(shown.unpinned.clone()).hint(
            "nothing was written; --partial leaves these by their tags, and pins the others",
        ));
    }
    if shown.missing.is_empty() {
        return Ok(());
    }
    let error = Error::new(Exit::Refused, "not all of it can be restored");
    let error = error.each(shown.missing.clone());
    Err(match shown.subject.as_str() {
        "" => {
            error.hint("nothing was written; --partial leaves that as it is now, and does the rest")
        }
        _ => error.hint("nothing was written"),
    })
}

/// What is about to be done, in a sentence.
fn title(shown: &HoldPlan) -> String {
    let (app, subject) = (clean(&shown.app), clean(&shown.subject));
    let release = match shown.subject.is_empty() {
        true => format!("`greffier release {app}`"),
        false => "it is released".to_owned(),
    };
    let until = match shown.until.as_str() {
        "" => format!("until {release}"),
        until => format!("until {} or {release}", local_time(until)),
    };
    let how = match shown.how.as_str() {
        "written" => " once: no application has it, so nothing is held".to_owned(),
        "beside" => " once: Git says nothing of it, so nothing is held".to_owned(),
        "synced" => format!(" once, as Git says, by application {app}: nothing is held"),
        "held" if shown.subject.is_empty() => format!(" and is held there {until}"),
        "held" => format!(" and application {app} holds it so {until}"),
        other => format!(": {}", clean(other)),
    };
    let (to, at) = (shown.to, at::zoned(&shown.at));
    if shown.how == HELD_ALREADY {
        return format!("{app} is held as at #{to} ({at}) already");
    }
    if shown.how == RELEASED {
        return match (&*subject, shown.tree.len()) {
            ("", 0) => format!("{app} follows Git again"),
            ("", below) => {
                let below = count(below, "application");
                format!("{app} follows Git again, and so do {below} with it")
            }
            (subject, _) => format!("{subject} of application {app} follows Git again"),
        };
    }
    match (shown.undoes, shown.subject.is_empty()) {
        (0, true) if !shown.commit.is_empty() => format!(
            "{app} goes back to what commit {} asked for, with everything below it, and is held \
             there {until}; the tree had settled on it by #{to} ({at})",
            short(&shown.commit)
        ),
        (0, true) => format!("{app} goes back to #{to} ({at}) and is held there {until}"),
        (0, false) => format!("{subject} goes back to #{to} ({at}){how}"),
        (event, _) => format!("#{event} is undone for {subject}{how}"),
    }
}

/// A plan for people.
pub(super) fn text(shown: &HoldPlan) -> String {
    let mut out = format!("{}\n", title(shown));
    // Writing to a String cannot fail.
    if let Some(git) = shown.git.as_ref().filter(|_| shown.subject.is_empty()) {
        let _ = writeln!(out, "  in force then: {}", clean(&commit(git)));
    }
    if !shown.waits.is_empty() {
        let _ = writeln!(out, "  waits meanwhile: commit {} of Git", short(&shown.waits));
    }
    for field in &shown.fields {
        let _ = writeln!(out, "  {}", clean(field));
    }
    let whole = shown.objects > 0 || !shown.steps.is_empty() || shown.undoes == 0;
    if whole && shown.how != HELD_ALREADY {
        let objects = count(shown.objects, "object");
        let _ = writeln!(out, "  of {objects}: {}", clean(&shown.summary()));
    }
    if !shown.not_known.is_empty() {
        let _ = writeln!(out, "  {}", clean(&shown.not_known));
    }
    if !shown.restrained.is_empty() {
        let _ = writeln!(out, "  nothing is written now: {}", clean(&shown.restrained));
    }
    for what in &shown.exceeds {
        let _ = writeln!(out, "  EXCEEDS: {}", clean(what));
    }
    let row = |step: &Step| vec![step.verb.clone(), step.object.clone(), step.reason.clone()];
    if !shown.steps.is_empty() {
        // All of it: whoever goes on has to be able to see what.
        out.push_str(&table(&["VERB", "OBJECT", "WHY"], shown.steps.iter().map(row)));
    }
    for (title, lines) in sections(shown) {
        if !lines.is_empty() {
            let _ = writeln!(out, "{title}:");
        }
        for line in lines {
            let _ = writeln!(out, "  {}", clean(&line));
        }
    }
    for commit in &shown.commits {
        out.push_str(&commits::text(commit));
    }
    for plan in &shown.tree {
        out.push('\n');
        out.push_str(&text(plan));
    }
    out
}

/// What is listed under titles; empty lists are not.
fn sections(shown: &HoldPlan) -> Vec<(&'static str, Vec<String>)> {
    let left = |left: &NotDone| format!("{} ({}): {}", left.object, left.sync, left.why);
    vec![
        (
            "written then for OTHER applications, which have what it had",
            shown.others.iter().flat_map(Other::lines).collect(),
        ),
        ("applications defined", children::defined(&shown.define, &shown.come)),
        (
            "applications with ANOTHER SOURCE, or no longer set aside",
            shown.moved.iter().map(|app| moved(app)).collect(),
        ),
        ("applications removed", children::removed(&shown.remove, &shown.gone)),
        ("holds of objects that END with it", shown.ends.iter().map(HoldEnds::text).collect()),
        ("compared first", shown.compare.clone()),
        ("UNDER WAY already", shown.under_way.iter().map(UnderWay::text).collect()),
        (
            "NOT KNOWN yet: what is written of these is decided once they are seen",
            shown.unseen.iter().map(left).collect(),
        ),
        ("not done", shown.not_done.iter().map(left).collect()),
        ("NOT PUT BACK in Git by the commit", shown.not_in_git.clone()),
        ("the commit CHANGES OTHERS too", shown.shared.clone()),
        ("no commit: NOT PUSHED", commits::not_pushed(shown)),
        ("committed before", shown.pushed_before.clone()),
        ("CHANGED since then", shown.since.clone()),
        ("CONFLICTS: something else came since", shown.conflicts.clone()),
        ("NOT RESTORED, and left as it is", shown.left.clone()),
        ("NOT RESTORABLE", shown.missing.clone()),
        ("NOT PINNABLE", shown.unpinned.clone()),
        ("hooks, which are not run", shown.hooks.clone()),
        ("images by tag", images(shown)),
        ("note", shown.notes.clone()),
        (
            "with it",
            shown.tree.iter().map(|plan| format!("{}: {}", plan.app, plan.summary())).collect(),
        ),
    ]
}

/// What is said of an application that is defined otherwise.
fn moved(app: &str) -> String {
    format!("{app}: what is written and PRUNED of it is known once that is rendered")
}

/// What became of images that are named by tags, and what can be done about it.
fn images(shown: &HoldPlan) -> Vec<String> {
    let images = &shown.images;
    let mut lines: Vec<String> = images.iter().filter_map(ImageThen::text).collect();
    let same = images.len() - lines.len();
    if same > 0 {
        let same = count(same, "image");
        lines.push(format!("{same}: no pod has told of another digest under the tag since"));
    }
    let can_be = |image: &ImageThen| {
        image.state != Moved::Same && image.pinned.is_empty() && image.unpinned.is_empty()
    };
    if shown.subject.is_empty() && images.iter().any(can_be) {
        lines.push("what the registry has now is pulled; --pin-digests names what ran then".into());
    }
    lines
}

/// What is no instant may be meant for the one word that is none.
fn misspelt(error: Error) -> Error {
    error.hint(format!("for when it was well last, write {LAST_HEALTHY}"))
}
