use serde_json::{Value, json};

use super::*;
use crate::ledger::event::*;
use crate::ledger::samples::sample_events;
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Batch, Blob, Draft, Ledger, Recorded};
use crate::model::{Actor, Basis, Digest, ObjectKey, Seq, Timestamp, ValidTime};
use crate::query::AsOf;
use crate::query::fixture::{Story, canonical, key, name};

fn alice() -> Vec<PersonConfig> {
    let names = vec!["alice".to_owned()];
    let git = vec!["alice@example.org".to_owned()];
    let (kubernetes, os) = (names.clone(), names);
    vec![PersonConfig { name: "Alice Martin".into(), kubernetes, os, git, ..Default::default() }]
}

fn all(book: &dyn Book, people: &[PersonConfig]) -> Vec<Change> {
    let asked = Asked { book, people, app: None, namespace: None };
    page(&asked, Seq::ZERO, book.head(), usize::MAX).unwrap().changes
}

/// What a row says in short.
fn short(row: &Change) -> String {
    let who: Vec<String> = row.who.iter().map(Party::text).collect();
    let fields: Vec<String> =
        row.fields.iter().map(|f| format!("{} {}>{}", f.path, f.was, f.now)).collect();
    let text = [row.verb.as_str(), &row.object, &row.app, &fields.join(","), &who.join(" or ")];
    format!("{} {}", text.join("|"), row.strength)
}

fn observed(story: &mut Story, of: &ObjectKey, object: &Value, rv: u32, learned: Learned) -> Seq {
    observed_by(story, of, (object, Vec::new()), rv, learned)
}

fn observed_by(
    story: &mut Story,
    of: &ObjectKey,
    (object, managers): (&Value, Vec<ManagerStamp>),
    rv: u32,
    learned: Learned,
) -> Seq {
    let live = canonical(&json!({"object": object, "fields": []}));
    let Some(Event::ObjectObserved(body)) = crate::ledger::samples::sample_events()
        .into_iter()
        .find(|event| event.name() == "object.observed")
    else {
        panic!("there is a sample of every event")
    };
    let blob = Blob::plain(live, None);
    let body = ObjectObservedV1 {
        key: of.clone(),
        uid: format!("uid-{of}"),
        resource_version: rv.to_string(),
        added: rv == 1,
        learned,
        object: blob.addr,
        managers,
        deleting: false,
        claimed_by: String::new(),
        ..body
    };
    story.add(Batch { blobs: vec![blob], drafts: vec![Draft::new(body)] })
}

fn resolved(story: &mut Story, of: &ObjectKey, at: Seq, verdict: Verdict, names: &[&str]) -> Seq {
    let claim = |who: &&str| ActorClaim { who: (*who).to_owned(), ..ActorClaim::default() };
    story.event(AttributionResolvedV1 {
        observation: at,
        key: of.clone(),
        verdict,
        claims: names.iter().map(claim).collect(),
        more: 0,
        fields: Vec::new(),
        causes: Vec::new(),
        drift: None,
        replaces: None,
        was: None,
        counts: true,
        waiting: false,
        why: String::new(),
    })
}

fn map(value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": value}})
}

/// Goal: each change is told once, with who made it: what greffier wrote by its outcome, what
/// others did by its observation, with the person where one is written down.
#[test]
fn every_change_is_told_once_with_who_made_it() {
    let mut story = Story::told();
    let web = key("Deployment.apps/prod/web");
    let drift = story.ledger.head();
    let Some(Event::DriftDetected(body)) = story.ledger.get(drift).unwrap().unwrap().event.clone()
    else {
        panic!("the story ends with a drift")
    };
    resolved(&mut story, &web, body.observation, Verdict::Exact, &["alice"]);
    let rows = all(&story.ledger, &alice());
    let rows: Vec<String> = rows.iter().filter(|row| row.class != Class::Git).map(short).collect();
    let scaled = ".spec.replicas 2>5|Alice Martin (alice) exact";
    assert_eq!(
        rows,
        [
            "first seen|Namespace/prod||| unknown",
            "application defined||root||greffier exact",
            "application defined||web||greffier exact",
            "created|Deployment.apps/prod/web|web||greffier exact",
            "created|ConfigMap/prod/old|web||greffier exact",
            "created|Secret/prod/web|web||greffier exact",
            &format!("changed|Deployment.apps/prod/web|web|{scaled}"),
            "first seen|ReplicaSet.apps/prod/web-1||| unknown",
            &format!("drift found|Deployment.apps/prod/web|web|{scaled}"),
        ]
    );
}

/// Goal: the commit's author and committer are claims and answers of their own; who asked for a
/// sync and why stands beside greffier, who carried it out.
#[test]
fn greffiers_writes_lead_on_to_the_commit_and_to_who_asked() {
    let mut story = Story::told();
    let request = story.sync_requested();
    let write = Write::plain(Verb::Prune, key("ConfigMap/prod/old"), "v1", "it left Git");
    let intent = IntentRecordedV1 {
        app: name("web"),
        writes: vec![write],
        commit: Some(crate::query::fixture::commit('a')),
        timeout_ms: 1,
    };
    let intent = story.add(Draft::new(intent).caused_by(request));
    let results = vec![(0, WriteResult::Deleted)];
    story.event(OutcomeRecordedV1 { app: name("web"), intent, results });
    let row = all(&story.ledger, &alice()).pop().unwrap();
    assert_eq!(short(&row), "pruned|ConfigMap/prod/old|web||greffier exact");
    assert_eq!(row.asked_by[0].text(), "Alice Martin (alice)");
    assert_eq!(row.why, format!("it left Git; release (#{request})"));
    let commit = row.commit.unwrap();
    let author = "Alice Martin (Alice <alice@example.org>, claimed)";
    assert_eq!(commit.author.unwrap().text(), author);
    assert_eq!((commit.signer.as_str(), commit.pusher.as_str()), ("nobody: not signed", "unknown"));
}

/// Goal: who rolled back asked for what that removes, the application and its objects, and for
/// nothing that is put back meanwhile.
#[test]
fn what_a_rollback_removes_is_asked_for_by_who_rolled_back() {
    let mut story = Story::told();
    let sample = sample_events().into_iter().find_map(|event| match event {
        Event::AppHeld(body) => Some(body),
        _ => None,
    });
    let held = AppHeldV1 { app: name("root"), reason: "incident".into(), ..sample.unwrap() };
    let hold = story.add(Draft::new(held).by(Actor::os_user("alice")));
    let (app, origin) = (name("web"), Origin::Parent(name("root")));
    let removed = AppRemovedV1 { app, cascade: true, origin, declared: None, orphans: vec![] };
    story.add(Draft::new(removed).caused_by(hold));
    let row = all(&story.ledger, &alice()).pop().unwrap();
    assert_eq!(row.asked_by[0].text(), "Alice Martin (alice)");
    for (verb, asked) in [(Verb::Prune, 1), (Verb::Heal, 0)] {
        let write = Write::plain(verb, key("ConfigMap/prod/old"), "v1", "so");
        let (app, writes) = (name("web"), vec![write]);
        let intent = IntentRecordedV1 { app, writes, commit: None, timeout_ms: 1 };
        let intent = story.add(Draft::new(intent).caused_by(hold));
        let results = vec![(0, WriteResult::Deleted)];
        story.event(OutcomeRecordedV1 { app: name("web"), intent, results });
        let row = all(&story.ledger, &alice()).pop().unwrap();
        assert_eq!((row.asked_by.len(), row.commit), (asked, None), "{}", row.why);
    }
}

/// Goal: pages of any size come to the same rows, each of them is bounded, and what was recorded
/// after the event as of which the report is made changes nothing.
#[test]
fn pages_of_any_size_are_the_same_report_as_of_one_event() {
    let mut story = Story::told();
    let head = story.ledger.head();
    let web = key("Deployment.apps/prod/web");
    let whole = all(&AsOf::new(&story.ledger, head), &alice());
    resolved(&mut story, &web, Seq(head.0 - 2), Verdict::Exact, &["mallory"]);
    let book = AsOf::new(&story.ledger, head);
    let people = alice();
    let asked = Asked { book: &book, people: &people, app: None, namespace: None };
    for rows_max in [1, 2, 1_000] {
        let (mut rows, mut after, mut summary) = (Vec::new(), Some(0), Summary::default());
        while let Some(next) = after {
            let page = page(&asked, Seq(next), head, rows_max).unwrap();
            // The three writes of one outcome stay together.
            assert!(page.changes.len() <= rows_max + 2);
            summary.add(&page);
            rows.extend(page.changes);
            after = page.next;
        }
        assert_eq!(rows, whole, "{rows_max} at a time");
        assert_eq!((summary.drifts, summary.changes), (1, 6));
        assert_eq!(summary.by_strength["exact"], 3);
    }
    let web = name("web");
    let asked = Asked { app: Some(&web), ..asked };
    let of_web = page(&asked, Seq::ZERO, head, usize::MAX).unwrap().changes;
    assert!(of_web.len() < whole.len() && of_web.iter().all(|row| row.app == "web"));
    let asked = Asked { app: None, namespace: Some("prod"), ..asked };
    let in_prod = page(&asked, Seq::ZERO, head, usize::MAX).unwrap().changes;
    assert!(in_prod.iter().all(|row| row.object.contains("/prod/")), "{in_prod:?}");
}

/// Goal: what was there when watching began is no change; what a list shows after a gap is an
/// interval; what changed nothing but the status is no row.
#[test]
fn only_changes_are_told_and_gaps_become_intervals() {
    let mut story = Story::told();
    let of = key("ConfigMap/prod/x");
    observed(&mut story, &of, &map("1"), 1, Learned::Watched);
    let mut healthier = map("1");
    healthier["status"] = json!({"ready": true});
    observed(&mut story, &of, &healthier, 2, Learned::Watched);
    let before = story.ledger.head();
    story.event(WatchGapV1 { kind: of.group_kind(), reason: "expired".into(), refused: false });
    observed(&mut story, &of, &map("2"), 3, Learned::Listed);
    let gone = ObjectGoneV1 { key: of.clone(), uid: format!("uid-{of}"), learned: Learned::Listed };
    let (lo, hi) = (Timestamp(5), Timestamp(6));
    story.add(Draft::new(gone).valid(ValidTime { lo, hi, basis: Basis::RelistGap }));
    let rows = all(&story.ledger, &[]);
    let of_x: Vec<&Change> = rows.iter().filter(|row| row.object == of.to_string()).collect();
    let told: Vec<String> = of_x.iter().map(|row| short(row)).collect();
    assert_eq!(
        told,
        [
            "created|ConfigMap/prod/x||| unknown",
            "changed|ConfigMap/prod/x||.data.a \"1\">\"2\"| unknown",
            "deleted|ConfigMap/prod/x||| unknown",
        ]
    );
    let gap = story.ledger.get(before.next()).unwrap().unwrap();
    assert_eq!(of_x[0].not_before, "");
    assert_eq!(of_x[1].not_before, gap.envelope.recorded.to_string());
    assert_eq!(of_x[2].not_before, lo.to_string());

    let mut early = Story::empty();
    early.event(DaemonStartedV1 { version: "0.1.0".into(), observe: false, pid: 7 });
    observed(&mut early, &of, &map("1"), 1, Learned::Listed);
    assert_eq!(all(&early.ledger, &[]), [], "it was there before anybody watched");
}

/// Goal: who cannot be told apart is named together, and a field manager is never a person.
#[test]
fn doubt_is_told() {
    let mut story = Story::told();
    let of = key("ConfigMap/prod/x");
    let first = observed(&mut story, &of, &map("1"), 1, Learned::Watched);
    resolved(&mut story, &of, first, Verdict::Ambiguous, &["alice", "bob"]);
    let second = observed(&mut story, &of, &map("2"), 2, Learned::Watched);
    resolved(&mut story, &of, second, Verdict::FieldManager, &["alice"]);
    let rows = all(&story.ledger, &alice());
    let told: Vec<String> = rows.iter().rev().take(2).map(short).collect();
    let claimed = "alice (field manager, claimed) field-manager";
    assert_eq!(told[0], format!("changed|ConfigMap/prod/x||.data.a \"1\">\"2\"|{claimed}"));
    let either = "Alice Martin (alice) or credential bob ambiguous";
    assert_eq!(told[1], format!("created|ConfigMap/prod/x|||{either}"));
}

/// Goal: an object stays its application's, however often it changes after greffier wrote it.
#[test]
fn an_object_stays_its_applications_over_many_events() {
    let mut story = Story::told();
    let web = key("Deployment.apps/prod/web");
    let manager = ManagerStamp {
        manager: crate::cluster::FIELD_MANAGER.into(),
        operation: "Apply".into(),
        subresource: String::new(),
        time: None,
        fields: Digest::of(b"f"),
    };
    let mut last = Seq::ZERO;
    for rv in 100..400 {
        let object = json!({"kind": "Deployment", "spec": {"replicas": rv}});
        let stamp = vec![manager.clone()];
        last = observed_by(&mut story, &web, (&object, stamp), rv, Learned::Watched);
    }
    let uid = format!("uid-{web}");
    let end = story.event(ObjectGoneV1 { key: web, uid, learned: Learned::Watched });
    let app = name("web");
    let asked = Asked { book: &story.ledger, people: &[], app: Some(&app), namespace: None };
    for (after, rows) in [(Seq(last.0 - 3), 4), (Seq(last.0 - 1), 2)] {
        let found = page(&asked, after, end, usize::MAX).unwrap().changes;
        assert_eq!(found.len(), rows, "{found:?}");
    }
}

/// Goal: neither a Secret's value nor a digest of it is in a row.
#[test]
fn of_a_secret_the_keys_are_told() {
    let mut story = Story::told();
    let of = key("Secret/prod/x");
    let secret = |digest: &str| json!({"kind": "Secret", "data": {"password": digest}});
    observed(&mut story, &of, &secret("hmac:canary1"), 1, Learned::Watched);
    observed(&mut story, &of, &secret("hmac:canary2"), 2, Learned::Watched);
    let rows = all(&story.ledger, &[]);
    let told = serde_json::to_string(&rows).unwrap();
    assert!(told.contains(".data.password") && told.contains("(secret)"), "{told}");
    assert!(!told.contains("canary"), "{told}");
}

/// Goal: an apply that came on top of somebody else's change is not said to have made it.
#[test]
fn what_somebody_else_changed_is_never_greffiers() {
    let mut story = Story::told();
    let web = key("Deployment.apps/prod/web");
    let uid = format!("uid-{web}");
    let intent = story.event(IntentRecordedV1 {
        app: name("web"),
        writes: vec![Write::plain(Verb::Heal, web.clone(), "v1", "it drifted")],
        commit: None,
        timeout_ms: 1,
    });
    let changed = json!({"kind": "Deployment", "spec": {"replicas": 9}});
    let live = Blob::plain(canonical(&json!({"object": changed, "fields": []})), None);
    let applied = Applied {
        uid: uid.clone(),
        resource_version: "21".into(),
        object: live.addr,
        changed: true,
        baseline: Default::default(),
        digest: Default::default(),
        managers: Default::default(),
        health: Health::Healthy,
        health_message: String::new(),
        protection: Default::default(),
        notes: Box::default(),
    };
    let seen = observed(&mut story, &web, &changed, 21, Learned::Watched);
    resolved(&mut story, &web, seen, Verdict::Exact, &["bob"]);
    let results = vec![(0, WriteResult::Applied(applied))];
    story.event(OutcomeRecordedV1 { app: name("web"), intent, results });
    let rows = all(&story.ledger, &[]);
    let own = rows.last().unwrap();
    assert_eq!((own.fields.len(), own.verb.as_str()), (0, "put back"));
    assert!(own.outcome.contains(&format!("#{seen}")), "{}", own.outcome);
    let bobs = rows.iter().find(|row| row.seq == seen.0).unwrap();
    assert_eq!(bobs.who[0].text(), "credential bob");
    assert_eq!(bobs.fields[0].path, ".spec.replicas");
}

/// Goal: a write whose fate became known later is told once, unless the report ends before; that
/// an object has to be replaced as a whole is no failure.
#[test]
fn a_write_is_told_once_and_another_method_is_no_failure() {
    let mut story = Story::told();
    let before = story.ledger.head();
    let write = |name: &str| Write::plain(Verb::Prune, key(name), "v1", "it left Git");
    let intent = story.event(IntentRecordedV1 {
        app: name("web"),
        writes: ["ConfigMap/prod/a", "ConfigMap/prod/b", "ConfigMap/prod/c"].map(write).to_vec(),
        commit: None,
        timeout_ms: 1,
    });
    let unknown = || WriteResult::Unknown("connection reset".into());
    let results =
        vec![(0, unknown()), (1, WriteResult::Unsupported("no apply".into())), (2, unknown())];
    let ended = story.event(OutcomeRecordedV1 { app: name("web"), intent, results });
    let results = vec![(0, WriteResult::Deleted), (2, WriteResult::AlreadyGone)];
    story.event(IntentSettledV1 { app: name("web"), intent, results });
    let asked = Asked { book: &story.ledger, people: &[], app: None, namespace: None };
    let told = |last| {
        let rows = page(&asked, before, last, usize::MAX).unwrap().changes.into_iter();
        rows.map(|row| (row.object, row.failed)).collect::<Vec<_>>()
    };
    let row = |name: &str, failed| (format!("ConfigMap/prod/{name}"), failed);
    assert_eq!(told(ended), [row("a", true), row("c", true)]);
    assert_eq!(told(story.ledger.head()), [row("c", true), row("a", false)]);
}

/// Goal: spans that mean nothing are refused in words.
#[test]
fn spans_that_mean_nothing_are_refused() {
    let story = Story::told();
    let (now, book) = (Timestamp::now(), &story.ledger as &dyn Book);
    let at = |seq| crate::model::Instant::Event(Seq(seq));
    let time = crate::model::Instant::Time;
    let asked = |from, to, app: Option<&str>| {
        let app = app.map(name);
        span(book, &from, &to, app.as_ref(), now).map_err(|error| error.to_string())
    };
    let later = Timestamp(now.0 + 3_600_000_000_000);
    for (found, expected) in [
        (asked(at(9), at(3), None), "after its end"),
        (asked(time(later), time(later), None), "in the future"),
        (asked(at(1), time(later), None), "future"),
        (asked(at(1), at(3), Some("nope")), "nothing about an application `nope`"),
    ] {
        let error = found.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let whole = asked(time(Timestamp(0)), crate::model::Instant::Now, Some("web")).unwrap();
    assert_eq!((whole.from.seq, whole.to.seq), (Seq::ZERO, book.head()), "from its beginning");
    let empty = Ledger::in_memory();
    assert!(span(&empty, &time(Timestamp(0)), &crate::model::Instant::Now, None, now).is_ok());
    let _ = Actor::greffier();
}

/// Counts what is read of a ledger.
struct Counting<'a> {
    book: &'a Ledger,
    read: std::sync::atomic::AtomicUsize,
}

impl Counting<'_> {
    fn count(&self, read: usize) {
        self.read.fetch_add(read, std::sync::atomic::Ordering::Relaxed);
    }

    fn counted(&self, found: Vec<Seq>) -> Vec<Seq> {
        self.count(found.len() + 1);
        found
    }
}

impl Book for Counting<'_> {
    fn head(&self) -> Seq {
        self.book.head()
    }

    fn get(&self, seq: Seq) -> Result<Option<std::sync::Arc<Recorded>>, ledger::Error> {
        self.count(1);
        self.book.get(seq)
    }

    fn range(&self, from: Seq, to: Seq) -> Result<Vec<std::sync::Arc<Recorded>>, ledger::Error> {
        let found = Book::range(self.book, from, to)?;
        self.count(found.len());
        Ok(found)
    }

    fn blob(&self, addr: crate::model::BlobAddr) -> Result<std::sync::Arc<[u8]>, ledger::Error> {
        self.count(1);
        self.book.blob(addr)
    }

    fn at_time(&self, time: Timestamp) -> Seq {
        self.book.at_time(time)
    }

    fn find(&self, key: SubjectKey, after: Seq, limit: usize) -> Vec<Seq> {
        self.counted(self.book.find(key, after, limit))
    }

    fn find_before(&self, key: SubjectKey, before: Seq, limit: usize) -> Vec<Seq> {
        self.counted(self.book.find_before(key, before, limit))
    }

    fn candidates(&self, filter: &crate::query::search::Filter) -> Option<Vec<Seq>> {
        Book::candidates(self.book, filter).map(|found| self.counted(found))
    }

    fn of_object(&self, key: &ObjectKey, after: Seq, limit: usize) -> Vec<Seq> {
        self.counted(Book::of_object(self.book, key, after, limit))
    }

    fn of_app(&self, app: &crate::model::AppName, after: Seq, limit: usize) -> Vec<Seq> {
        self.counted(Book::of_app(self.book, app, after, limit))
    }
}

/// Goal: the work for a report grows with the events that it is about, not with their square,
/// also where they are all of one object, which others change and greffier puts back.
#[test]
fn the_work_grows_with_the_events() {
    let read = |rounds: u32| {
        let mut story = Story::told();
        let web = key("ConfigMap/prod/web");
        for round in 0..rounds {
            let (hand, healed) = (2 * round + 100, 2 * round + 101);
            let value = map(&round.to_string());
            let seen = observed(&mut story, &web, &value, hand, Learned::Watched);
            resolved(&mut story, &web, seen, Verdict::Exact, &["alice"]);
            let app = name("web");
            let writes = vec![Write::plain(Verb::Heal, web.clone(), "v1", "it differs")];
            let (commit, timeout_ms) = (None, 10_000);
            let intent = IntentRecordedV1 { app: app.clone(), writes, commit, timeout_ms };
            let intent = story.event(intent);
            let results = vec![(0, WriteResult::Failed("refused".into()))];
            story.event(OutcomeRecordedV1 { app, intent, results });
            observed(&mut story, &web, &map("0"), healed, Learned::Watched);
        }
        let book = Counting { book: &story.ledger, read: Default::default() };
        let rows = all(&book, &alice());
        assert!(rows.len() > 2 * rounds as usize, "{}", rows.len());
        book.read.into_inner()
    };
    let (once, twice) = (read(60), read(120));
    assert!(twice * 10 < once * 23, "{once} reads for 60 rounds, {twice} for 120");
}

/// Goal: of a deletion that was found, what shows it is told, and not whatever was recorded last.
#[test]
fn a_deletion_is_shown_by_what_is_about_the_object() {
    let mut story = Story::told();
    let (gone, other) = (key("ConfigMap/prod/old"), key("ConfigMap/prod/other"));
    observed(&mut story, &gone, &map("1"), 30, Learned::Watched);
    let uid = format!("uid-{gone}");
    let shows = story.event(ObjectGoneV1 { key: gone.clone(), uid, learned: Learned::Watched });
    let last = observed(&mut story, &other, &map("1"), 31, Learned::Watched);
    resolved(&mut story, &other, last, Verdict::Exact, &["mallory"]);
    let drift = DriftDetectedV1 {
        app: name("web"),
        key: gone.clone(),
        kind: DriftKind::Deleted,
        fields: vec![],
        places: vec![],
        managers: vec![],
        observation: last,
        mask: Digest::default(),
        saved: None,
        later: None,
    };
    let found = story.event(drift.clone()).0;
    let told = |story: &Story, seq: u64| {
        let rows = all(&story.ledger, &alice());
        let row = rows.into_iter().find(|row| row.seq == seq).unwrap();
        (row.text, row.who.len(), row.evidence)
    };
    assert_eq!(told(&story, found), (format!("as #{shows} shows"), 0, vec![found, shows.0]));
    // What a list did not show is shown by no event about it.
    observed(&mut story, &gone, &map("1"), 32, Learned::Watched);
    let last = observed(&mut story, &other, &map("2"), 33, Learned::Watched);
    let listed = story.event(DriftDetectedV1 { observation: last, ..drift }).0;
    let (text, who, evidence) = told(&story, listed);
    assert!(text.contains("list") && who == 0 && evidence == [listed], "{text} {evidence:?}");
    let who = crate::query::who::who(&story.ledger, Seq(listed), None).unwrap().unwrap();
    assert_eq!((who.verdict, who.observation), (Verdict::Unknown, Seq(listed)));
}

mod others;
