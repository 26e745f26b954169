//! Numbers for Prometheus: how whole the watching is now, and how well changes are known.
//!
//! Security: no label names an object or a person.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::book::Book;
use super::coverage::{self, Cause, Moment, Scope, Unwatched};
use crate::ledger::{self, Wholeness};
use crate::model::{AppName, Timestamp};
use crate::replay::{Attributed, AuditSource, World};

/// Every cause, so that each is told also when it is none's.
const CAUSES: [Cause; 10] = [
    Cause::Begins,
    Cause::Stopped,
    Cause::NotRunning,
    Cause::ReadOnly,
    Cause::Gap,
    Cause::Refused,
    Cause::Excluded,
    Cause::OtherCluster,
    Cause::SetBack,
    Cause::Lost,
];

/// What the numbers are made of, apart from what is not watched.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// How many kinds are served that can be watched.
    kinds: usize,
    sources: BTreeMap<String, AuditSource>,
    attributed: Attributed,
    /// The applications that are held at an earlier instant.
    held: Vec<AppName>,
    /// Rollbacks by rules: made, and refused.
    rollbacks: [(&'static str, u64); 2],
    /// Whether it is not known that the cluster that answers is the one to be kept.
    in_doubt: bool,
    wholeness: Wholeness,
}

impl Known {
    /// Takes them from the world.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let kinds = world.cluster.kinds.values().filter(|served| served.watchable).count();
        let held = world.apps.iter().filter(|(_, app)| app.is_held());
        let held = held.map(|(name, _)| name.clone()).collect();
        let rollbacks = [("made", world.rollbacks), ("refused", world.rollbacks_refused)];
        let in_doubt = world.cluster.doubt().is_some();
        let (sources, attributed) = (world.audit.sources.clone(), world.attributed);
        let wholeness = Wholeness::default();
        Self { kinds, sources, attributed, held, rollbacks, in_doubt, wholeness }
    }
}

impl Known {
    /// Without the sources of audit records that are not read any more.
    #[must_use]
    pub fn audited(mut self, is: impl Fn(&str) -> bool) -> Self {
        self.sources.retain(|name, _| is(name));
        self
    }

    /// With how whole the ledger is.
    #[must_use]
    pub fn of_ledger(self, wholeness: Wholeness) -> Self {
        Self { wholeness, ..self }
    }
}

/// What is not watched after the last event.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn unwatched(book: &dyn Book) -> Result<Vec<Unwatched>, ledger::Error> {
    let here = Moment { seq: book.head().next(), time: Timestamp::default() };
    coverage::read(book, &Scope::All, here, here)
}

/// All of it in Prometheus' text format, version 0.0.4. `unwatched` is what is not watched at
/// `now`.
#[must_use]
pub fn text(known: &Known, unwatched: &[Unwatched], now: Timestamp) -> String {
    let mut out = String::new();
    let by_cause = by_cause(known.kinds, unwatched);
    let lacking: usize = by_cause.values().sum();
    let name = "greffier_kinds_watched";
    head(&mut out, name, "Kinds of objects that are watched now.");
    line(&mut out, name, None, known.kinds.saturating_sub(lacking) as u64);
    let name = "greffier_kinds_unwatched";
    head(&mut out, name, "Served kinds of objects that are not watched now, by why.");
    for cause in CAUSES {
        let count = by_cause.get(&cause).copied().unwrap_or_default();
        line(&mut out, name, Some(("cause", cause.as_str())), count as u64);
    }
    let name = "greffier_cluster_in_doubt";
    let help =
        "Whether another cluster answers than the one that is kept, or that at an earlier time.";
    head(&mut out, name, help);
    line(&mut out, name, None, u64::from(known.in_doubt));
    let name = "greffier_audit_newest_record_age_seconds";
    head(&mut out, name, "Seconds since the end of the newest audited request that was read.");
    for (source, state) in &known.sources {
        if let Some(newest) = state.newest {
            let age = now.ms_since(newest) / 1_000;
            line(&mut out, name, Some(("source", source)), age);
        }
    }
    let name = "greffier_audit_source_readable";
    head(&mut out, name, "Whether the audit source can be read.");
    for (source, state) in &known.sources {
        let readable = u64::from(state.unreadable.is_none());
        line(&mut out, name, Some(("source", source)), readable);
    }
    let name = "greffier_attributed_changes";
    let help = "Changes by others since the start, by how well it is known who made them.";
    head(&mut out, name, help);
    let Attributed { exact, unique, ambiguous, unknown } = known.attributed;
    let verdicts =
        [("exact", exact), ("unique", unique), ("ambiguous", ambiguous), ("unknown", unknown)];
    for (verdict, count) in verdicts {
        line(&mut out, name, Some(("verdict", verdict)), count);
    }
    let name = "greffier_hold_active";
    head(&mut out, name, "1 for each application that is held as at an earlier instant.");
    for app in &known.held {
        line(&mut out, name, Some(("app", app.as_str())), 1);
    }
    wholeness(&mut out, &known.wholeness, now);
    let name = "greffier_automatic_rollbacks";
    head(&mut out, name, "Rollbacks by the rules of applications, by what came of them.");
    for (result, count) in known.rollbacks {
        line(&mut out, name, Some(("result", result)), count);
    }
    out
}

/// How whole the ledger is.
fn wholeness(out: &mut String, known: &Wholeness, now: Timestamp) {
    let name = "greffier_ledger_damaged_places";
    head(out, name, "Damaged places of the ledger that are known.");
    line(out, name, None, known.damage.len() as u64);
    let name = "greffier_ledger_checked_age_seconds";
    head(out, name, "Seconds since the last complete check of the ledger ended.");
    if let Some((_, at)) = known.checked {
        line(out, name, None, now.ms_since(at) / 1_000);
    }
}

/// How many of `kinds` are not watched, by why. That the API server cannot be reached, or that
/// nothing runs, is told of everything: of what has no reason of its own.
fn by_cause(kinds: usize, unwatched: &[Unwatched]) -> BTreeMap<Cause, usize> {
    let mut found: BTreeMap<Cause, usize> = BTreeMap::new();
    for span in unwatched.iter().filter(|span| !span.kinds.is_empty()) {
        *found.entry(span.cause).or_default() += span.kinds.len();
    }
    if let Some(all) = unwatched.iter().find(|span| span.kinds.is_empty()) {
        let rest = kinds.saturating_sub(found.values().sum());
        *found.entry(all.cause).or_default() += rest;
    }
    found
}

fn head(out: &mut String, name: &str, help: &str) {
    // Writing to a String cannot fail. A correction takes from one number what it adds to
    // another, and a kind comes back: all of them can fall.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
}

fn line(out: &mut String, name: &str, label: Option<(&str, &str)>, value: u64) {
    let label = label.map_or_else(String::new, |(label, text)| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{{{label}=\"{text}\"}}")
    });
    let _ = writeln!(out, "{name}{label} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{
        AuditReadV1, AuditTrouble, AuditTroubledV1, ClusterLostV1, KindListedV1, WatchGapV1,
    };
    use crate::model::GroupKind;
    use crate::query::fixture::Story;

    fn told(story: &Story, now: Timestamp) -> String {
        let spans = unwatched(&story.ledger).unwrap();
        text(&Known::of(&story.world), &spans, now)
    }

    fn value(text: &str, metric: &str) -> u64 {
        let found = text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("{metric}: {text}")).parse().unwrap()
    }

    /// Goal: what is not watched now is counted once, under why it is not, and no longer than so.
    #[test]
    fn kinds_that_are_not_watched_are_counted_by_why() {
        let mut story = Story::told();
        let now = Timestamp::now();
        let count = |story: &Story| {
            let text = told(story, now);
            let of = |cause: &str| {
                value(&text, &format!("greffier_kinds_unwatched{{cause=\"{cause}\"}}"))
            };
            (value(&text, "greffier_kinds_watched"), of("gap"), of("refused"), of("lost"))
        };
        assert_eq!(count(&story), (5, 0, 0, 0));
        let gap = |kind: &str, refused| WatchGapV1 {
            kind: GroupKind::new("", kind),
            reason: "expired".into(),
            refused,
        };
        story.event(gap("ConfigMap", false));
        story.event(gap("Secret", true));
        assert_eq!(count(&story), (3, 1, 1, 0));
        story.event(ClusterLostV1 { error: "refused".into() });
        assert_eq!(count(&story), (0, 1, 1, 3));
        story.event(crate::ledger::event::ClusterFoundV1 {});
        let kind = GroupKind::new("", "ConfigMap");
        let resource_version = String::new();
        story.event(KindListedV1 { kind, objects: 0, resource_version, named: Vec::new() });
        assert_eq!(count(&story), (4, 0, 1, 0));
    }

    #[test]
    fn the_age_of_the_audit_and_the_verdicts_are_told() {
        let mut story = Story::told();
        let now = Timestamp::from_seconds(1_800_000_100);
        let source = "/var/log/\"audit\".log";
        assert!(!told(&story, now).contains("source="), "nothing is read");
        story.event(AuditTroubledV1 {
            source: source.into(),
            trouble: AuditTrouble::Unreadable,
            what: "no such file".into(),
            count: 1,
        });
        let label = "{source=\"/var/log/\\\"audit\\\".log\"}";
        let text = told(&story, now);
        assert_eq!(value(&text, &format!("greffier_audit_source_readable{label}")), 0);
        assert!(!text.contains("age_seconds{"), "nothing is read: {text}");
        story.event(AuditReadV1 {
            source: source.into(),
            file: (1, 2),
            offset: 10,
            records: 3,
            recorded: 1,
            duplicates: 0,
            status: 0,
            unknown: 0,
            newest: Some(Timestamp::from_seconds(1_800_000_000)),
            end: None,
        });
        story.world.attributed = Attributed { exact: 7, unique: 5, ambiguous: 3, unknown: 2 };
        let text = told(&story, now);
        let age = format!("greffier_audit_newest_record_age_seconds{label}");
        assert_eq!(value(&text, &age), 100);
        let verdicts = ["exact", "unique", "ambiguous", "unknown"];
        let of = |verdict| format!("greffier_attributed_changes{{verdict=\"{verdict}\"}}");
        assert_eq!(verdicts.map(|verdict| value(&text, &of(verdict))), [7, 5, 3, 2]);
        // The API server's clock may be ahead.
        assert_eq!(value(&told(&story, Timestamp::from_seconds(1)), &age), 0);
    }

    #[test]
    fn damage_of_the_ledger_and_the_age_of_its_check_are_told() {
        let story = Story::told();
        let whole = Wholeness::default();
        let told = |known: &Wholeness, now| {
            text(&Known::of(&story.world).of_ledger(known.clone()), &[], now)
        };
        let (places, age) =
            ("greffier_ledger_damaged_places", "greffier_ledger_checked_age_seconds");
        let begun = Timestamp::from_seconds(1_800_000_000);
        let text = told(&whole, begun);
        assert_eq!(value(&text, places), 0);
        assert!(!text.contains(&format!("\n{age} ")), "nothing was checked yet: {text}");
        let (file, what) = ("1.seg".to_owned(), "checksum".to_owned());
        let damage = vec![ledger::Error::Corrupt { file, offset: 400, what }];
        let damaged = Wholeness { damage, checked: Some((story.ledger.head(), begun)) };
        let text = told(&damaged, Timestamp::from_seconds(1_800_000_090));
        assert_eq!((value(&text, places), value(&text, age)), (1, 90));
        story.ledger.shutdown();
    }

    #[test]
    fn applications_that_are_held_are_told() {
        use crate::replay::testing::{Given, object};
        let mut given = Given::synced(vec![object("ConfigMap/prod/a", 1)]);
        let then = given.world.clone();
        given.push(2);
        given.renders("web", vec![object("ConfigMap/prod/a", 2)]);
        let told = |given: &Given| text(&Known::of(&given.world), &[], given.now());
        assert!(!told(&given).contains("greffier_hold_active{"));
        let hold = given.rolls_back("web", &then);
        assert!(told(&given).contains("greffier_hold_active{app=\"web\"} 1\n"));
        given.lets_go("web", hold);
        assert!(!told(&given).contains("greffier_hold_active{"));
    }
}
