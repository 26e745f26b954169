//! Waiting for what somebody asked for to be done, saying what happens meanwhile.
//!
//! What is waited for is the end of a sync whose cause is the request: a person's sync, or the hold
//! of a rollback. Another request, or the end of the hold, takes its place: then that end never
//! comes, and [`Followed`] says so.

use std::time::Duration;

use serde_json::Value;

use super::args::Format;
use super::error::{Error, Exit};
use super::table::local_time;
use super::{log, output};
use crate::http::{Client, dto, query_string};
use crate::query::text::clean;

/// How long a sync may take when nobody says.
pub(super) const SYNC_WAIT: Duration = Duration::from_secs(300);

/// How a sync ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Complete,
    Partial,
    Gated,
}

/// What an event says of the request that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// It goes on.
    On,
    /// What was asked for is done as far as it was: well, or not.
    Finished(bool),
    /// A part of it waits for a person.
    Gated,
    /// It is never done: something else came in its place.
    Over(String),
}

/// A request that is followed through the events after it.
#[derive(Debug, Clone, Default)]
struct Followed {
    app: String,
    /// The event whose end is waited for: the request, or a later one that asks for no less.
    seq: u64,
    /// The hold that it is; `None` where it is a sync.
    hold: Option<u64>,
    prune: bool,
    only: Value,
    /// Whether the application was being removed when it was asked for: then that is its end.
    goes: bool,
}

impl Followed {
    fn new(app: &str, seq: u64) -> Self {
        Self { app: app.to_owned(), seq, ..Self::default() }
    }

    /// The event itself: says what was asked for.
    fn asked(&mut self, row: &dto::Event) {
        let detail = row.detail.as_ref().unwrap_or(&Value::Null);
        if row.kind == "hold.app-begun" {
            (self.hold, self.prune) = (Some(row.seq), true);
        } else {
            self.prune = detail["prune"] == true;
            self.only = detail["only"].clone();
        }
    }

    fn is_of_all(only: &Value) -> bool {
        only.as_array().is_none_or(Vec::is_empty)
    }

    fn step(&mut self, row: &dto::Event) -> Step {
        let detail = row.detail.as_ref().unwrap_or(&Value::Null);
        match row.kind.as_str() {
            _ if row.seq == self.seq => self.asked(row),
            // One that was decided before the request names it not as its cause.
            "sync.finished" if row.causes.contains(&self.seq) => {
                return Step::Finished(row.tone == "good");
            }
            // What is gated waits for a person, and so would the sync.
            "plan.gated" => return Step::Gated,
            "app.removed" if self.goes => return Step::Finished(true),
            "app.removed" => return Step::Over(format!("{} was removed meanwhile", self.app)),
            "operator.sync" => {
                let only = &detail["only"];
                let same = Self::is_of_all(only) || *only == self.only;
                if !same || (self.prune && detail["prune"] != true) {
                    return self.replaced(row, "a sync of less");
                }
                // Who waits for the one waits for the other.
                self.seq = row.seq;
            }
            // A rule does not take the place of what a person holds.
            "hold.app-begun" if self.hold.is_some() && !detail["automatic"].is_null() => {}
            "hold.app-begun" => return self.replaced(row, "a rollback"),
            "hold.app-ended" if self.hold.is_some_and(|hold| detail["hold"] == hold) => {
                return self.ended(row, &detail["end"]);
            }
            _ => {}
        }
        Step::On
    }

    fn what(&self) -> String {
        match self.hold {
            Some(hold) => format!("{}: hold #{hold}", self.app),
            None => format!("{}: sync #{}", self.app, self.seq),
        }
    }

    fn replaced(&self, row: &dto::Event, by: &str) -> Step {
        let (what, seq, who) = (self.what(), row.seq, &row.actor);
        Step::Over(format!("{what} was replaced by {by}, #{seq} by {who}, before it was done"))
    }

    fn ended(&self, row: &dto::Event, end: &Value) -> Step {
        let (what, seq) = (self.what(), row.seq);
        let how = match end.as_str() {
            Some("Released") => format!("was released by {}", row.actor),
            Some("Expired") => "was over, because its time was,".to_owned(),
            // What is left of it is still done.
            Some("SameAsGit") => return Step::On,
            _ => "was over".to_owned(),
        };
        Step::Over(format!("{what} {how} (#{seq}) before it was done"))
    }
}

/// What a request waits for before anything of it is done, and how a person ends that.
struct Waits {
    why: String,
    lift: String,
}

/// Waits for the sync that event `seq` asked for, or whose hold it began; the application `goes` if it
/// was being removed already.
pub(super) async fn sync(
    client: &Client,
    app: &str,
    (seq, goes): (u64, bool),
    wait: Duration,
    quiet: bool,
) -> Result<Ended, Error> {
    let waits = restrained(client, app).await?;
    if let Some(Waits { why, lift }) = &waits {
        let seconds = wait.as_secs();
        output::say(&format!("{app}: waits, up to {seconds} s: {why}; {lift}"));
    }
    // With the request itself, which says what was asked for.
    let after = seq.saturating_sub(1).to_string();
    let query = query_string(&[("app", app), ("after", &after), ("detail", "true")]);
    let mut stream = client.stream(&query).await?;
    let mut followed = Followed { goes, ..Followed::new(app, seq) };
    let finished = async {
        while let Some(row) = stream.next().await? {
            if !quiet && row.seq != seq {
                output::say(log::rows(std::slice::from_ref(&row), Format::Table).trim_end());
            }
            let step = followed.step(&row);
            if step != Step::On {
                return Ok(step);
            }
            // What waited before it was asked for is not told again.
            if row.seq == seq && waits_at_gate(client, &followed).await? {
                return Ok(Step::Gated);
            }
        }
        Err(Error::new(Exit::Unreachable, "the daemon stopped before the sync had finished")
            .hint(format!("`greffier log {app} -f` follows it when the daemon runs again")))
    };
    let step = tokio::time::timeout(wait, finished).await;
    match step.map_err(|_| too_long(app, wait, waits))?? {
        Step::Finished(true) => Ok(Ended::Complete),
        Step::Gated => Ok(Ended::Gated),
        Step::Finished(false) if waits_at_gate(client, &followed).await? => Ok(Ended::Gated),
        Step::Finished(false) | Step::On => Ok(Ended::Partial),
        Step::Over(why) => Err(Error::new(Exit::Partial, clean(&why))
            .hint(format!("`greffier show {app}` says what is in force now"))),
    }
}

fn too_long(app: &str, wait: Duration, waits: Option<Waits>) -> Error {
    let seconds = wait.as_secs();
    let text = format!("the sync of {app} has not finished within {seconds} s");
    let error = Error::new(Exit::Timeout, text);
    let error = match waits {
        Some(Waits { why, lift }) => error.each([why]).hint(lift),
        None => error,
    };
    error.hint(format!("it goes on: `greffier log {app} -f` follows it, `greffier show {app}` says what it waits for"))
}

/// Refuses to wait where it is known that nothing is written for now, and says why; returns what a
/// person has stopped, which may be over any moment.
async fn restrained(client: &Client, app: &str) -> Result<Option<Waits>, Error> {
    let status: dto::Status = client.get("status", "").await?;
    let later = format!("it is recorded, and done when that is over: `greffier log {app} -f`");
    if let Some(doubt) = &status.cluster.doubt {
        let text = format!("{app}: nothing is written now: {}", clean(doubt));
        return Err(Error::new(Exit::Refused, text)
            .hint(later)
            .hint("`greffier cluster accept --plan` shows what would follow from keeping it"));
    }
    if let Some(lost) = &status.cluster.lost {
        let text = format!(
            "{app}: nothing is written now: the API server cannot be reached: {}",
            clean(lost)
        );
        return Err(Error::new(Exit::Unreachable, text).hint(later));
    }
    let until = |at: Option<&str>| match at {
        Some(at) => format!(" until {}", local_time(at)),
        None => String::new(),
    };
    let because = |reason: &str| match reason {
        "" => String::new(),
        reason => format!(" ({})", clean(reason)),
    };
    if let Some(freeze) = &status.freeze {
        let (end, reason) = (until(freeze.until.as_deref()), because(&freeze.reason));
        let why = format!(
            "nothing is written: greffier is frozen{end}, since #{} by {}{reason}",
            freeze.seq,
            clean(&freeze.by)
        );
        return Ok(Some(Waits { why, lift: "`greffier unfreeze` ends that".to_owned() }));
    }
    let app: dto::App = client.get(&Client::app_path(app, ""), "").await?;
    Ok(app.paused.map(|pause| {
        let (end, reason) = (until(pause.until.as_deref()), because(&pause.reason));
        let why = format!("nothing is written: the application is paused{end}{reason}");
        Waits { why, lift: format!("`greffier resume {}` ends that", app.name) }
    }))
}

async fn waits_at_gate(client: &Client, followed: &Followed) -> Result<bool, Error> {
    let app: dto::App = client.get(&Client::app_path(&followed.app, ""), "").await?;
    let held = app.held.map(|hold| hold.seq);
    // What waits may be another's already, which the events after it tell.
    let own = followed.hold.is_none() || followed.hold == held;
    Ok(own && app.gate.is_some_and(|gate| !gate.approved))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ledger::event::{AppHoldEndedV1, Event, HoldEnd, SyncRequestedV1};
    use crate::model::{AppName, ObjectKey, Seq};

    /// An event of `web` by ada.
    fn row(seq: u64, kind: &str, causes: &[u64], detail: Value) -> dto::Event {
        let known = Event::KINDS.iter().any(|(_, name, _)| *name == kind);
        assert!(known, "{kind} is no kind of event");
        let row = json!({
            "seq": seq, "id": "", "time": "", "kind": kind, "app": "web", "objects": [],
            "actor": "user:ada", "by": [], "summary": "", "tone": "good", "noise": false,
            "commit": "", "correlation": "", "causes": causes, "detail": detail,
        });
        serde_json::from_value(row).unwrap()
    }

    fn hold(seq: u64) -> dto::Event {
        row(seq, "hold.app-begun", &[], json!({"automatic": null}))
    }

    fn web() -> AppName {
        "web".parse().unwrap()
    }

    /// The events as they are told: their details are what is recorded.
    fn told(seq: u64, event: impl Into<Event>) -> dto::Event {
        let event = event.into();
        row(seq, event.name(), &[], serde_json::to_value(&event).unwrap())
    }

    fn ended(seq: u64, hold: u64, end: HoldEnd) -> dto::Event {
        told(seq, AppHoldEndedV1 { app: web(), hold: Seq(hold), end, holds: Vec::new() })
    }

    fn asks(seq: u64, prune: bool, only: &[&str]) -> dto::Event {
        let only: Vec<ObjectKey> = only.iter().map(|key| key.parse().unwrap()).collect();
        told(seq, SyncRequestedV1 { app: web(), prune, only, reason: String::new() })
    }

    /// How the first event of `rows` ends that does.
    fn follow(rows: &[dto::Event]) -> Step {
        let mut followed = Followed::new("web", rows[0].seq);
        let steps = rows.iter().map(|row| followed.step(row));
        steps.into_iter().find(|step| *step != Step::On).unwrap_or(Step::On)
    }

    fn over(rows: &[dto::Event]) -> String {
        match follow(rows) {
            Step::Over(why) => why,
            other => panic!("{other:?}"),
        }
    }

    /// Goal: whose hold is replaced or released before it was done is told so, by what and by whom,
    /// and waits for nothing that never comes.
    #[test]
    fn a_hold_that_something_takes_the_place_of_is_over() {
        let by_other = over(&[hold(10), hold(12)]);
        assert_eq!(
            by_other,
            "web: hold #10 was replaced by a rollback, #12 by user:ada, before it was done"
        );
        let released = over(&[hold(10), ended(13, 10, HoldEnd::Released)]);
        assert_eq!(released, "web: hold #10 was released by user:ada (#13) before it was done");
        assert!(over(&[hold(10), ended(13, 10, HoldEnd::Expired)]).contains("its time was"));
        assert!(
            over(&[hold(10), asks(12, true, &["ConfigMap/prod/a"])]).contains("a sync of less")
        );
        assert!(over(&[hold(10), asks(12, false, &[])]).contains("a sync of less"));
        let removed = row(11, "app.removed", &[], json!({}));
        assert!(over(&[hold(10), removed.clone()]).contains("removed"));
        // Of what goes already it is what was asked for.
        let mut goes = Followed { goes: true, ..Followed::new("web", 10) };
        assert_eq!(goes.step(&asks(10, true, &[])), Step::On);
        assert_eq!(goes.step(&removed), Step::Finished(true));
    }

    #[test]
    fn what_takes_no_place_of_a_hold_is_passed_over() {
        let done = row(20, "sync.finished", &[4, 10], json!({}));
        let finished = Step::Finished(true);
        let rule = row(12, "hold.app-begun", &[], json!({"automatic": {"why": "Degraded"}}));
        assert_eq!(follow(&[hold(10), rule, done.clone()]), finished);
        // Another hold's end, and the end of what Git says by itself: the rest is done.
        let former = ended(11, 9, HoldEnd::Released);
        assert_eq!(follow(&[hold(10), former, done.clone()]), finished);
        assert_eq!(follow(&[hold(10), ended(11, 10, HoldEnd::SameAsGit), done.clone()]), finished);
        // One that was decided before.
        let earlier = row(11, "sync.finished", &[4], json!({}));
        assert_eq!(follow(&[hold(10), earlier, done]), finished);
    }

    /// Goal: of two who ask for the same, both learn when it is done.
    #[test]
    fn a_sync_that_another_asks_for_again_ends_with_that() {
        let done = |of: u64| row(20, "sync.finished", &[4, of], json!({}));
        let finished = Step::Finished(true);
        assert_eq!(follow(&[asks(10, false, &[]), asks(12, true, &[]), done(12)]), finished);
        assert_eq!(
            follow(&[
                asks(10, false, &["ConfigMap/prod/a"]),
                asks(12, false, &["ConfigMap/prod/a"]),
                done(12)
            ]),
            finished
        );
        assert_eq!(follow(&[hold(10), asks(12, true, &[]), done(12)]), finished);
        assert!(over(&[asks(10, true, &[]), asks(12, false, &[])]).contains("sync #10"));
        assert!(
            over(&[asks(10, false, &[]), asks(12, false, &["ConfigMap/prod/a"])])
                .contains("of less")
        );
        assert!(over(&[asks(10, false, &[]), hold(12)]).contains("a rollback, #12"));
        // The hold goes although the sync that followed it lasts.
        let rows = [hold(10), asks(12, true, &[]), ended(13, 10, HoldEnd::Released)];
        assert!(over(&rows).contains("released by"), "{rows:?}");
    }
}
