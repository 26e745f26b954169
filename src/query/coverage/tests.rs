use super::*;
use crate::ledger::event::{
    ClusterFoundV1, ClusterIdentifiedV1, ClusterLostV1, ClusterReplacedV1, ClusterRevertedV1,
    DaemonStartedV1, DaemonStoppedV1, KindListedV1, KindsServedV1, LedgerRepairedV1, ServedKind,
    WatchGapV1,
};
use crate::model::Scope as KindScope;
use crate::query::fixture::{Story, key};

fn kind(name: &str) -> GroupKind {
    GroupKind::new("", name)
}

fn at(seq: u64) -> Moment {
    Moment { seq: Seq(seq), time: Timestamp(i64::try_from(seq).unwrap() * 10) }
}

fn started() -> Event {
    DaemonStartedV1 { version: "1".into(), observe: false, pid: 1 }.into()
}

fn stopped(reason: &str) -> Event {
    DaemonStoppedV1 { reason: reason.into() }.into()
}

fn served(kinds: &[(&str, bool)]) -> Event {
    let kinds = kinds.iter().map(|(name, watched)| ServedKind {
        kind: kind(name),
        version: "v1".into(),
        plural: String::new(),
        scope: KindScope::Namespaced,
        watched: *watched,
        watchable: *name != "Review",
    });
    KindsServedV1 { kinds: kinds.collect(), broken_groups: vec![] }.into()
}

fn listed(name: &str, named: &[&str]) -> Event {
    KindListedV1 {
        kind: kind(name),
        objects: 0,
        resource_version: String::new(),
        named: named.iter().map(|text| key(text)).collect(),
    }
    .into()
}

fn gap(name: &str, refused: bool) -> Event {
    WatchGapV1 { kind: kind(name), reason: "expired".into(), refused }.into()
}

/// What was not watched, told in short: from, to, cause, kinds.
fn told(scope: Scope, events: &[(u64, Event)]) -> Vec<(u64, Option<u64>, Cause, usize)> {
    let mut watching = Watching::new(scope);
    for (index, (seq, event)) in events.iter().enumerate() {
        let before = index.checked_sub(1).map_or(0, |index| events[index].0);
        watching.push(at(*seq), at(before), event);
    }
    let spans = watching.between(Moment::default(), at(1_000_000));
    let short = |span: Unwatched| {
        (span.from.seq.0, span.to.map(|to| to.seq.0), span.cause, span.kinds.len())
    };
    spans.into_iter().map(short).collect()
}

fn one() -> Scope {
    Scope::Kinds(vec![kind("A")])
}

#[test]
fn before_the_first_list_nothing_was_watched() {
    let events = [(2, started()), (3, served(&[("A", true)])), (4, listed("A", &[]))];
    assert_eq!(told(one(), &events), [(0, Some(4), Cause::Begins, 0)]);
    assert_eq!(told(one(), &events[..2]), [(0, None, Cause::Begins, 0)]);
    assert_eq!(told(Scope::All, &events[..1]), [(0, None, Cause::Begins, 0)]);
}

#[test]
fn a_stop_lasts_until_the_kind_is_listed_again() {
    let begin = [(2, started()), (3, served(&[("A", true)])), (4, listed("A", &[]))];
    let again = [(21, started()), (22, served(&[("A", true)])), (30, listed("A", &[]))];
    let stop = [(20, stopped("SIGTERM"))];
    let orderly: Vec<_> = begin.iter().chain(&stop).chain(&again).cloned().collect();
    let begins = (0, Some(4), Cause::Begins, 0);
    assert_eq!(told(one(), &orderly), [begins, (20, Some(30), Cause::Stopped, 0)]);
    // Killed: since the last thing that was recorded.
    let killed: Vec<_> = begin.iter().chain(&again).cloned().collect();
    assert_eq!(told(one(), &killed), [begins, (4, Some(30), Cause::NotRunning, 0)]);
    let full = [(20, stopped("read-only from 2026-11-20T14:00:00.000Z on: full"))];
    let full: Vec<_> = begin.iter().chain(&full).chain(&again).cloned().collect();
    assert_eq!(told(one(), &full), [begins, (4, Some(30), Cause::ReadOnly, 0)]);
}

#[test]
fn gaps_and_refusals_are_of_their_kind() {
    let mut events = vec![
        (2, started()),
        (3, served(&[("A", true), ("B", true), ("Review", true)])),
        (4, listed("A", &[])),
        (5, listed("B", &[])),
        (6, gap("A", false)),
        (7, gap("A", true)),
        (8, listed("B", &[])),
    ];
    let begins = (0, Some(5), Cause::Begins, 0);
    assert_eq!(told(Scope::All, &events), [begins, (6, None, Cause::Refused, 1)]);
    events.push((9, listed("A", &[])));
    assert_eq!(told(Scope::All, &events), [begins, (6, Some(9), Cause::Refused, 1)]);
    let of_b = Scope::Kinds(vec![kind("B")]);
    assert_eq!(told(of_b, &events), [begins]);
}

#[test]
fn an_outage_loses_nothing_by_itself() {
    let lost = ClusterLostV1 { error: "connection refused".into() };
    let events = [
        (2, started()),
        (3, served(&[("A", true)])),
        (4, listed("A", &[])),
        (6, lost.into()),
        (9, ClusterFoundV1 {}.into()),
    ];
    assert_eq!(told(one(), &events)[1], (6, Some(9), Cause::Lost, 0));
    let mut watching = Watching::whole(one());
    watching.push(at(6), at(5), &events[3].1);
    let spans = watching.between(at(7), at(7));
    assert!(!spans[0].lossy && spans[0].contains(at(7)) && !spans[0].contains(at(6)));
    assert!(spans[0].what().contains("connection refused"));
}

#[test]
fn what_is_excluded_is_watched_by_name_only() {
    let events = [
        (2, started()),
        (3, served(&[("A", false)])),
        (4, listed("A", &["A/n/x"])),
        (5, served(&[("A", false)])),
    ];
    assert_eq!(told(one(), &events), [(0, None, Cause::Excluded, 0)]);
    let named = Scope::Object(key("A/n/x"));
    assert_eq!(told(named, &events), [(0, Some(4), Cause::Excluded, 0)]);
    let other = Scope::Object(key("A/n/y"));
    assert_eq!(told(other, &events), [(0, None, Cause::Excluded, 0)]);
}

#[test]
fn of_a_kind_that_is_not_served_nothing_can_happen() {
    let events = [(2, started()), (3, served(&[("B", true)])), (4, listed("B", &[]))];
    assert_eq!(told(one(), &events), [(0, Some(3), Cause::Begins, 0)]);
    // A definition is added while greffier runs.
    let more = [(9, served(&[("A", true), ("B", true)])), (11, listed("A", &[]))];
    let events: Vec<_> = events.iter().chain(&more).cloned().collect();
    assert_eq!(told(Scope::All, &events)[1], (9, Some(11), Cause::Begins, 1));
}

#[test]
fn another_cluster_is_another_history() {
    let cluster = |uid: &str| ClusterIdentifiedV1 {
        uid: uid.into(),
        version: "v1".into(),
        server: "s".into(),
    };
    let events = [
        (2, started()),
        (3, cluster("a").into()),
        (4, listed("A", &[])),
        (5, cluster("a").into()),
        (6, cluster("b").into()),
        (7, listed("A", &[])),
    ];
    assert_eq!(told(one(), &events)[1], (6, Some(7), Cause::OtherCluster, 0));
    let (kept, version, server) = ("a".to_owned(), "v1".to_owned(), "s".to_owned());
    let replaced = ClusterReplacedV1 { kept, uid: "b".into(), version, server };
    let (uid, version, server) = ("b".to_owned(), "v1".to_owned(), "s".to_owned());
    let (kind, observed, revision) = (GroupKind::new("", "A"), 9, 5);
    let back = ClusterRevertedV1 { uid, version, server, kind, observed, revision };
    let more =
        [(6, replaced.into()), (7, listed("A", &[])), (9, back.into()), (11, listed("A", &[]))];
    let events: Vec<_> = events[..4].iter().chain(&more).cloned().collect();
    assert_eq!(told(one(), &events)[1], (6, Some(7), Cause::OtherCluster, 0));
    assert_eq!(told(one(), &events)[2], (9, Some(11), Cause::SetBack, 0));
}

/// A ledger with an outage of the daemon; the positions of the stop and of the second listing.
fn restarted() -> (Story, u64, u64) {
    let mut story = Story::told();
    let stop = story.event(DaemonStoppedV1 { reason: "SIGTERM".into() });
    let (what, kept) = ("torn".to_owned(), String::new());
    story.event(LedgerRepairedV1 { what, kept, possibly_acknowledged: false });
    story.event(DaemonStartedV1 { version: "0.1.0".into(), observe: false, pid: 8 });
    story.event(served(&[("ConfigMap", true), ("Secret", true)]));
    story.event(listed("Secret", &[]));
    let list = story.event(listed("ConfigMap", &[]));
    story.event(gap("Secret", false));
    (story, stop.0, list.0)
}

fn moment(story: &Story, seq: u64) -> Moment {
    let recorded = story.ledger.get(Seq(seq)).unwrap().unwrap();
    Moment { seq: Seq(seq), time: recorded.envelope.recorded }
}

#[test]
fn a_ledger_tells_what_was_not_watched_at_any_instant() {
    let (story, stop, list) = restarted();
    let scope = Scope::Object(key("ConfigMap/prod/web"));
    let causes = |seq| {
        let at = moment(&story, seq);
        let spans = read(&story.ledger, &scope, at, at).unwrap();
        spans.iter().map(|span| (span.cause, span.to.map(|to| to.seq.0))).collect::<Vec<_>>()
    };
    assert_eq!(causes(2).first().unwrap().0, Cause::Begins);
    assert_eq!(causes(stop - 1), []);
    for seq in stop + 1..list {
        assert_eq!(causes(seq), [(Cause::Stopped, Some(list))], "#{seq}");
    }
    assert_eq!((causes(list), causes(list + 1)), (vec![], vec![]));
    // A time after the stop and before what was recorded next.
    let mut later = moment(&story, stop);
    assert!(read(&story.ledger, &scope, later, later).unwrap().is_empty());
    later.time.0 += 1;
    assert_eq!(read(&story.ledger, &scope, later, later).unwrap()[0].cause, Cause::Stopped);
}

#[test]
fn a_span_of_everything_names_each_interruption_once() {
    let (story, stop, list) = restarted();
    let spans =
        read(&story.ledger, &Scope::All, moment(&story, stop - 2), moment(&story, list + 1));
    let spans = spans.unwrap();
    let short: Vec<_> = spans.iter().map(|span| (span.cause, span.from.seq.0)).collect();
    assert_eq!(short, [(Cause::Stopped, stop)], "the gap comes after the span");
    let spans = read(&story.ledger, &Scope::All, moment(&story, 1), moment(&story, list + 1));
    let short: Vec<_> = spans.unwrap().iter().map(|span| (span.cause, span.lossy)).collect();
    assert_eq!(short.last(), Some(&(Cause::Stopped, true)));
    assert_eq!(short.first(), Some(&(Cause::Begins, true)));
}

/// The gaps of a ConfigMap between two positions, in short.
fn gaps(story: &Story, scope: &Scope, from: Moment, to: Moment) -> Vec<(Cause, u64, Option<u64>)> {
    let spans = read(&story.ledger, scope, from, to).unwrap();
    spans.iter().map(|span| (span.cause, span.from.seq.0, span.to.map(|to| to.seq.0))).collect()
}

/// Goal: a gap begins with what stopped the watching, however often greffier starts and stops
/// before it lists again.
#[test]
fn a_gap_lasts_over_starts_that_listed_nothing() {
    let mut story = Story::told();
    let started = || DaemonStartedV1 { version: "1".into(), observe: false, pid: 8 };
    let stop = story.event(DaemonStoppedV1 { reason: "SIGTERM".into() });
    story.event(started());
    story.event(ClusterLostV1 { error: "connection refused".into() });
    story.event(DaemonStoppedV1 { reason: "SIGTERM".into() });
    let again = story.event(started());
    story.event(served(&[("ConfigMap", true)]));
    let list = story.event(listed("ConfigMap", &[]));
    let now = moment(&story, again.0);
    for scope in [Scope::Object(key("ConfigMap/prod/web")), Scope::All] {
        let found = gaps(&story, &scope, now, now);
        assert_eq!(found, [(Cause::Stopped, stop.0, Some(list.0))], "{scope:?}");
    }
}

#[test]
fn a_refusal_lasts_over_a_restart() {
    let mut story = Story::told();
    let refused = story.event(gap("ConfigMap", true));
    story.event(DaemonStoppedV1 { reason: "SIGTERM".into() });
    let again = story.event(DaemonStartedV1 { version: "1".into(), observe: false, pid: 8 });
    story.event(served(&[("ConfigMap", true)]));
    let list = story.event(listed("ConfigMap", &[]));
    let (scope, now) = (Scope::Object(key("ConfigMap/prod/web")), moment(&story, again.0));
    assert_eq!(gaps(&story, &scope, now, now), [(Cause::Refused, refused.0, Some(list.0))]);
}

/// Goal: at a time after greffier was killed, it is told that it was not running.
#[test]
fn a_kill_is_told_of_a_time_before_the_next_start() {
    let mut story = Story::told();
    let last = story.ledger.head();
    let mut later = moment(&story, last.0);
    let scope = Scope::Object(key("ConfigMap/prod/web"));
    assert_eq!(gaps(&story, &scope, later, later), []);
    story.event(DaemonStartedV1 { version: "1".into(), observe: false, pid: 8 });
    assert_eq!(gaps(&story, &scope, later, later), []);
    later.time.0 += 1;
    assert_eq!(gaps(&story, &scope, later, later), [(Cause::NotRunning, last.0, None)]);
}
