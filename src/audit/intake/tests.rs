use super::*;
use crate::ledger::event::Event;
use crate::ledger::samples::received;
use crate::model::Seq;
use crate::replay::World;

fn intake(ledger: &Ledger) -> Intake {
    let mut world = World::default();
    for recorded in ledger.range(Seq(1), ledger.head()) {
        let recorded = recorded.unwrap();
        world.apply(
            recorded.envelope.seq,
            recorded.envelope.recorded,
            recorded.event.as_ref().unwrap(),
        );
    }
    Intake::new(ledger.clone(), Kinds::default, world.audit)
}

fn write(number: i64) -> AuditReceivedV1 {
    AuditReceivedV1 { completed: Timestamp(number), ..received() }
}

fn record(number: i64) -> Result<Record, Malformed> {
    Ok(Record { at: Timestamp(number), about: About::Write(vec![write(number)]) })
}

fn events(ledger: &Ledger) -> Vec<Event> {
    let events = ledger.range(Seq(1), ledger.head());
    events.map(|recorded| recorded.unwrap().event.clone().unwrap()).collect()
}

fn completed(ledger: &Ledger) -> Vec<i64> {
    let times = events(ledger).into_iter().filter_map(|event| match event {
        Event::AuditReceived(body) => Some(body.completed.0),
        _ => None,
    });
    times.collect()
}

fn last_read(ledger: &Ledger) -> AuditReadV1 {
    let mut reads = events(ledger).into_iter().filter_map(|event| match event {
        Event::AuditRead(body) => Some(body),
        _ => None,
    });
    reads.next_back().unwrap()
}

const AT: Position = Position { file: (1, 2), offset: 300, end: None };

#[tokio::test]
async fn how_far_was_read_stands_behind_what_it_covers() {
    let ledger = Ledger::in_memory();
    let tally = intake(&ledger).take("f", vec![record(1), record(2)], AT, false).await.unwrap();
    assert_eq!((tally.records, tally.recorded, tally.duplicates), (2, 2, 0));
    let kinds: Vec<_> = events(&ledger).iter().map(Event::name).collect();
    assert_eq!(kinds, ["ledger.created", "audit.received", "audit.received", "audit.read"]);
    let read = last_read(&ledger);
    assert_eq!((read.file, read.offset, read.newest), ((1, 2), 300, Some(Timestamp(2))));
}

/// What came before the position is owed until there is something to record, and then counted.
#[tokio::test]
async fn what_says_nothing_is_counted_and_costs_no_event() {
    let ledger = Ledger::in_memory();
    let intake = intake(&ledger);
    let idle = |about| Ok(Record { at: Timestamp(9), about });
    let before = ledger.head();
    let dull = vec![idle(About::Nothing), idle(About::Status), idle(About::UnknownKind)];
    intake.take("f", dull, AT, false).await.unwrap();
    assert_eq!(ledger.head(), before);
    intake.take("f", vec![record(3)], AT, false).await.unwrap();
    let read = last_read(&ledger);
    assert_eq!((read.records, read.recorded, read.status, read.unknown), (4, 1, 1, 1));
    assert_eq!(read.newest, Some(Timestamp(9)));
    intake.take("f", vec![idle(About::Nothing)], AT, true).await.unwrap();
    assert_eq!((last_read(&ledger).records, last_read(&ledger).newest), (1, Some(Timestamp(9))));
}

/// A crash in the middle of an append leaves events without the position behind them: the lines
/// are read again.
#[tokio::test]
async fn what_was_recorded_before_a_crash_is_known_again() {
    let ledger = Ledger::in_memory();
    let torn = vec![Draft::new(write(1)), Draft::new(write(2))];
    ledger.append(torn).await.unwrap();
    let again = vec![record(1), record(2), record(3)];
    let tally = intake(&ledger).take("f", again, AT, false).await.unwrap();
    assert_eq!((tally.recorded, tally.duplicates), (1, 2));
    assert_eq!(completed(&ledger), [1, 2, 3]);
}

#[tokio::test]
async fn two_sources_tell_of_a_request_once() {
    let ledger = Ledger::in_memory();
    let intake = intake(&ledger);
    intake.take("f", vec![record(1), record(1)], AT, false).await.unwrap();
    let tally = intake.take("webhook", vec![record(1)], Position::default(), true).await.unwrap();
    assert_eq!(tally.duplicates, 1);
    assert_eq!(completed(&ledger), [1]);
    assert_eq!(last_read(&ledger).source, "webhook");
}

#[tokio::test]
async fn the_objects_of_a_collection_are_one_request() {
    let ledger = Ledger::in_memory();
    let each = |name: &str| {
        let mut event = AuditReceivedV1 { verb: "deletecollection".into(), ..received() };
        event.key = event.key.named(name);
        event
    };
    let about = || About::Write(vec![each("a"), each("b")]);
    let collection = || Ok(Record { at: Timestamp(1), about: about() });
    let tally = intake(&ledger).take("f", vec![collection()], AT, false).await.unwrap();
    assert_eq!((tally.recorded, completed(&ledger).len()), (1, 2));
    let tally = intake(&ledger).take("f", vec![collection()], AT, true).await.unwrap();
    assert_eq!((tally.duplicates, completed(&ledger).len()), (1, 2));
}

#[tokio::test]
async fn malformed_records_are_told_once_for_all_of_a_batch() {
    let ledger = Ledger::in_memory();
    let bad = || Err(Malformed::NotJson(7));
    intake(&ledger).take("f", vec![bad(), record(1), bad()], AT, false).await.unwrap();
    let told: Vec<_> = events(&ledger)
        .into_iter()
        .filter_map(|event| match event {
            Event::AuditTroubled(body) => Some((body.trouble, body.count, body.what)),
            _ => None,
        })
        .collect();
    let what = "the first is not JSON (at byte 7)".to_owned();
    assert_eq!(told, [(AuditTrouble::Malformed, 2, what)]);
    assert_eq!(completed(&ledger), [1]);
}

#[tokio::test]
async fn the_actors_are_those_whom_the_api_server_names() {
    let ledger = Ledger::in_memory();
    intake(&ledger).take("f", vec![record(1)], AT, false).await.unwrap();
    let recorded = ledger.get(Seq(2)).unwrap().unwrap();
    assert_eq!(recorded.actor.to_string(), "kubernetes:alice, kubernetes:bob");
    assert_eq!(recorded.envelope.valid.basis, Basis::Audit);
}
