mod deletions;
mod found;
mod passed;
mod replaced;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::came::Whose;
use super::effects::{Effect, Judged, Present, judge};
use super::since::by_hand;
use super::*;
use crate::ledger::Blob;
use crate::ledger::event::{
    AppHoldEndedV1, AppRemovedV1, BackTo, DesiredObject, FieldChange, HoldEnd, HoldEndedV1,
    Learned, MarkedV1, Origin, OutcomeRecordedV1, RenderSucceededV1, ResumedV1, RevisionRef,
    UnfrozenV1, Write,
};
use crate::model::{Digest, Timestamp};
use crate::query::fixture::{Story, canonical, commit, key, name};
use crate::query::restore::{Now, Seen, Then};

const MAP: &str = "ConfigMap/prod/a";

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

fn wanted(story: &mut Story, data: Value) -> DesiredObject {
    let manifest = map(data);
    story.blob(&manifest);
    let bytes = canonical(&manifest);
    DesiredObject {
        manifest: Blob::plain(bytes.clone(), None).addr,
        digest: Digest::of(&bytes),
        ..crate::replay::testing::object(MAP, 1)
    }
}

fn present(wanted: Option<&DesiredObject>) -> Present {
    Present { wanted: wanted.cloned(), live: wanted.is_some(), owned: true, ..Present::default() }
}

/// Of an application that has its objects still.
fn of(app: &AppName) -> Whose<'_> {
    Whose { then: app, now: app }
}

/// What is judged of one effect.
fn judged(
    story: &Story,
    before: Option<&DesiredObject>,
    after: Option<&DesiredObject>,
    present: Present,
) -> Judged {
    let effect =
        Effect { key: key(MAP), before: before.cloned(), after: after.cloned(), found: None };
    let present = BTreeMap::from([(key(MAP), present)]);
    let ends = (Seq::ZERO, story.ledger.head());
    judge(&story.ledger, of(&name("web")), ends, &[effect], &present).unwrap()
}

/// Goal: a field goes back where it is what the event made of it; where it is not, it is named with
/// both values; and what the event did not touch stays as it is.
#[test]
fn fields_go_back_and_what_came_since_is_a_conflict() {
    let mut story = Story::told();
    let before = wanted(&mut story, json!({"k": "1", "l": "1", "m": "1"}));
    let after = wanted(&mut story, json!({"k": "2", "l": "2", "m": "1"}));
    let later = wanted(&mut story, json!({"k": "2", "l": "3", "m": "9"}));
    let clean = judged(&story, Some(&before), Some(&after), present(Some(&after)));
    let [HoldOf::Fields(held)] = clean.parts.as_slice() else { panic!("{clean:?}") };
    assert_eq!((held.places.len(), held.saved, held.of_manifest), (2, before.manifest, true));
    assert_eq!(clean.conflicts, [] as [String; 0]);

    let moved = judged(&story, Some(&before), Some(&after), present(Some(&later)));
    let [HoldOf::Fields(held)] = moved.parts.as_slice() else { panic!("{moved:?}") };
    assert_eq!(held.fields[0].path, ".data.k");
    assert_eq!(moved.conflicts.len(), 1, "{moved:?}");
    let conflict = &moved.conflicts[0];
    assert!(conflict.contains(".data.l") && conflict.contains("\"3\""), "{conflict}");

    let by_hand =
        Present { drift: Some((Seq(3), vec![".data.k".into()])), ..present(Some(&after)) };
    let edited = judged(&story, Some(&before), Some(&after), by_hand);
    assert!(edited.conflicts[0].contains("by hand since, #3"), "{edited:?}");
    let [HoldOf::Fields(held)] = edited.parts.as_slice() else { panic!("{edited:?}") };
    assert_eq!(held.fields[0].path, ".data.l", "the other field goes back");

    let back = judged(&story, Some(&before), Some(&after), present(Some(&before)));
    assert!(back.parts.is_empty() && back.conflicts.is_empty(), "{back:?}");
    let gone = judged(&story, Some(&before), Some(&after), present(None));
    assert!(gone.conflicts[0].contains("has it no more"), "{gone:?}");
    story.ledger.shutdown();
}

#[test]
fn what_was_removed_comes_back_and_what_was_made_goes_unless_it_changed() {
    let mut story = Story::told();
    let one = wanted(&mut story, json!({"k": "1"}));
    let two = wanted(&mut story, json!({"k": "2"}));
    let removed = judged(&story, Some(&one), None, present(None));
    assert!(matches!(removed.parts.as_slice(), [HoldOf::Object(held)] if held.object == one));
    let anew = Present { live: true, owned: false, ..Present::default() };
    let anew = judged(&story, Some(&one), None, anew);
    assert!(anew.conflicts[0].contains("made it anew") && anew.parts.is_empty(), "{anew:?}");
    let again = judged(&story, Some(&one), None, present(Some(&one)));
    assert!(again.conflicts.is_empty() && again.parts.is_empty(), "{again:?}");
    let otherwise = judged(&story, Some(&one), None, present(Some(&two)));
    assert!(otherwise.conflicts[0].contains("otherwise"), "{otherwise:?}");

    let made = judged(&story, None, Some(&one), present(Some(&one)));
    assert_eq!(made.parts, [HoldOf::Absence(key(MAP))]);
    let changed = judged(&story, None, Some(&one), present(Some(&two)));
    assert!(changed.parts.is_empty() && !changed.conflicts.is_empty(), "{changed:?}");
    let gone = judged(&story, None, Some(&one), present(None));
    assert!(gone.parts.is_empty() && gone.conflicts.is_empty(), "{gone:?}");

    let other = Present { other: Some(name("shop")), ..present(None) };
    let other = judged(&story, Some(&one), None, other);
    assert!(other.conflicts[0].contains("application shop has it"), "{other:?}");
    let cart = DesiredObject { key: key("Application.argoproj.io/cart"), ..one.clone() };
    for (defined, hint) in
        [(true, "`greffier rollback cart`"), (false, "`greffier rollback web --tree --to '#1'")]
    {
        let present = Present { defined, ..present(None) };
        let present = BTreeMap::from([(cart.key.clone(), present)]);
        let effects = [Effect {
            key: cart.key.clone(),
            before: Some(cart.clone()),
            after: None,
            found: None,
        }];
        let ends = (Seq(1), story.ledger.head());
        let judged = judge(&story.ledger, of(&name("web")), ends, &effects, &present).unwrap();
        assert!(judged.conflicts[0].contains(hint), "{judged:?}");
    }
    let held = Present { holds: vec![Seq(5)], ..present(Some(&two)) };
    let held = judged(&story, Some(&one), Some(&two), held);
    assert!(held.conflicts[0].contains("hold #5"), "{held:?}");
    let lost = crate::replay::testing::object(MAP, 77);
    let lost = judged(&story, Some(&lost), None, present(None));
    assert!(lost.missing[0].contains("its manifest") && lost.parts.is_empty(), "{lost:?}");
    story.ledger.shutdown();
}

fn seen(story: &mut Story, object: &Value) -> (Seq, Seen) {
    let seq = story.observed(&key(MAP), object, "u", "");
    let stored = json!({"object": object, "fields": []});
    let seen = Seen {
        object: Blob::plain(canonical(&stored), None).addr,
        version: "v1".into(),
        uid: "u".into(),
        digest: Digest::of(&canonical(object)),
    };
    (seq, seen)
}

impl Story {
    /// A drift of `MAP` that an observation shows.
    fn drift(&mut self, observation: Seq, fields: &[(&str, &str, &str)]) -> Seq {
        let field = |(path, was, now): &(&str, &str, &str)| FieldChange {
            path: (*path).to_owned(),
            was: format!("{was:?}"),
            now: format!("{now:?}"),
        };
        self.event(DriftDetectedV1 {
            app: name("web"),
            key: key(MAP),
            kind: DriftKind::Drift,
            fields: fields.iter().map(field).collect(),
            places: vec![],
            managers: vec![],
            observation,
            mask: Digest::default(),
            saved: None,
            later: None,
        })
    }
}

fn nobodys(seen: Seen) -> Now {
    Now { seen: Some(seen), known: true, served: true, ..Now::default() }
}

/// Goal: an edit of what nobody has goes back, the undo of the undo brings it again, and a later
/// edit is not written over.
#[test]
fn an_edit_goes_back_and_forth_and_a_later_one_is_a_conflict() {
    let mut story = Story::told();
    let (_, first) = seen(&mut story, &map(json!({"k": "1", "l": "1"})));
    let (edited, second) = seen(&mut story, &map(json!({"k": "2", "l": "1", "m": "1"})));
    let recorded = story.ledger.get(edited).unwrap().unwrap();
    let What::Edits(edits) = what(&story.ledger, &recorded).unwrap() else { panic!() };
    assert_eq!((&edits[0].before, &edits[0].after), (&Some(first), &Some(second.clone())));
    let back = edit::judge(&story.ledger, edited, &edits, &[nobodys(second.clone())]).unwrap();
    let write = &back.writes[0];
    assert_eq!((write.verb, write.places.len()), (Verb::Update, 2));
    assert_eq!(write.found, Some(("u".to_owned(), second.digest)));

    // It is written: that is undone in turn.
    let (from, reason) = (BackTo::Undone(edited), String::new());
    let body = crate::ledger::event::RestoreIntendedV1 {
        writes: back.writes.clone(),
        from,
        timeout_ms: 1,
        reason,
    };
    let restore = story.event(body);
    let (_, third) = seen(&mut story, &map(json!({"k": "1", "l": "1"})));
    story.event(crate::ledger::event::RestoreEndedV1 {
        restore,
        objects: vec![key(MAP)],
        results: vec![(
            0,
            crate::ledger::event::RestoreResult::Made {
                uid: "u".into(),
                resource_version: "20".into(),
            },
        )],
        settled: false,
    });
    let recorded = story.ledger.get(restore).unwrap().unwrap();
    let What::Edits(edits) = what(&story.ledger, &recorded).unwrap() else { panic!() };
    assert_eq!(edits[0].before, Some(second));
    let again = edit::judge(&story.ledger, restore, &edits, &[nobodys(third)]).unwrap();
    assert_eq!(again.writes[0].places, back.writes[0].places);
    assert_eq!(again.writes[0].fields[0].now, back.writes[0].fields[0].was);

    let (_, later) = seen(&mut story, &map(json!({"k": "7", "l": "1"})));
    let conflict = edit::judge(&story.ledger, restore, &edits, &[nobodys(later)]).unwrap();
    assert!(conflict.conflicts[0].contains(".data.k"), "{conflict:?}");
    assert_eq!(conflict.writes[0].places, [["f:data", "f:m"].map(str::to_owned).to_vec()]);
    let owned = Now { app: Some(name("web")), ..Now::default() };
    let owned = edit::judge(&story.ledger, restore, &edits, &[owned]).unwrap();
    assert!(owned.writes.is_empty() && owned.conflicts[0].contains("web has it"), "{owned:?}");
    story.ledger.shutdown();
}

/// Goal: of a change by hand to an object of an application, what Git says nothing of goes back,
/// also after Git's own fields were put back; what was put back is told, what Git says is left to
/// Git, and what somebody changed since is a conflict. The undo is undone in turn.
#[test]
fn what_git_says_nothing_of_goes_back_when_the_rest_was_healed() {
    let mut story = Story::told();
    let one = wanted(&mut story, json!({"k": "1"}));
    let (_, first) = seen(&mut story, &map(json!({"k": "1", "old": "1"})));
    let noted = |data: Value, notes: &[(&str, &str)]| {
        let mut object = map(data);
        for (name, value) in notes {
            object["metadata"]["annotations"][*name] = json!(value);
        }
        object
    };
    let by_hand = json!({"k": "2", "old": "2", "added": "x"});
    let (edited, _) = seen(&mut story, &noted(by_hand, &[("note", "hand")]));
    let drift = story.drift(edited, &[(".data.k", "1", "2")]);
    let recorded = story.ledger.get(drift).unwrap().unwrap();
    let Some(Event::DriftDetected(body)) = &recorded.event else { panic!() };
    let edit = edit_of(&story.ledger, drift, body).unwrap();
    assert_eq!(edit.before.as_ref(), Some(&first));
    let judged = |story: &Story, wanted: &DesiredObject, now: &Seen, holds: &[Seq]| {
        let now = Now { holds: holds.to_vec(), ..of_web(Some(wanted), Some(now)) };
        edit::judge(&story.ledger, drift, std::slice::from_ref(&edit), &[now]).unwrap()
    };
    // Healed: Git's field is put back, the others stand.
    let healed = json!({"k": "1", "old": "2", "added": "x"});
    let (_, healed) = seen(&mut story, &noted(healed, &[("note", "hand"), ("other", "later")]));
    let found = judged(&story, &one, &healed, &[]);
    assert_eq!(found.conflicts, [""; 0], "{found:?}");
    let [write] = found.writes.as_slice() else { panic!("{found:?}") };
    let paths: Vec<_> = write.fields.iter().map(|field| field.path.as_str()).collect();
    assert_eq!(paths, [".data.added", ".data.old", ".metadata.annotations.note"]);
    assert_eq!((write.verb, write.beside), (Verb::Update, Some(one.digest)));
    assert_eq!(write.found.as_ref().map(|(_, digest)| *digest), Some(healed.digest));
    assert_eq!(found.notes, [format!("{MAP} .data.k: it was put back already")]);
    // Git says one of them since, and somebody changed the other.
    let two = wanted(&mut story, json!({"k": "1", "added": "y"}));
    let later = json!({"k": "1", "old": "3", "added": "y"});
    let (_, later) = seen(&mut story, &noted(later, &[("note", "hand")]));
    let found = judged(&story, &two, &later, &[]);
    assert!(found.notes.iter().any(|note| note.contains(".data.added: Git says")), "{found:?}");
    assert!(found.conflicts[0].contains(".data.old") && found.conflicts.len() == 1, "{found:?}");
    assert_eq!(found.writes[0].fields.len(), 1, "{found:?}");
    // What Git says and stands, and what is held, is not written over.
    let (_, stands) = seen(&mut story, &noted(json!({"k": "2"}), &[]));
    let found = judged(&story, &one, &stands, &[]);
    assert!(found.conflicts.iter().any(|why| why.contains(".data.k: Git says it")), "{found:?}");
    let found = judged(&story, &one, &healed, &[Seq(5)]);
    assert!(found.conflicts[0].contains("hold #5") && found.writes.is_empty(), "{found:?}");
    story.ledger.shutdown();
}

/// Goal: taking away what somebody added to a Secret needs no value; what needs one is refused in the
/// plan already, with the way out.
#[test]
fn of_a_secret_that_was_only_observed_what_was_added_goes_and_values_do_not_come_back() {
    let mut story = Story::told();
    let key = key("Secret/prod/s");
    let secret = |data: Value| {
        json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "s", "namespace": "prod"}, "data": data})
    };
    let mut at = |data: Value| {
        let stored = json!({"object": secret(data), "fields": []});
        story.blob(&stored);
        Seen {
            object: Blob::plain(canonical(&stored), None).addr,
            version: "v1".into(),
            uid: "u".into(),
            digest: Digest::of(&canonical(&stored)),
        }
    };
    let plain = at(json!({"p": "hmac:00"}));
    let added = at(json!({"p": "hmac:00", "extra": "hmac:11"}));
    let changed = at(json!({"p": "hmac:22"}));
    let judged = |before: &Seen, after: &Seen| {
        let (before, after) = (Some(before.clone()), Some(after.clone()));
        let now = nobodys(after.clone().unwrap());
        let edit = edit::Edit { key: key.clone(), before, after };
        edit::judge(&story.ledger, story.ledger.head(), &[edit], &[now]).unwrap()
    };
    let goes = judged(&plain, &added);
    assert_eq!((goes.writes.len(), goes.missing.len()), (1, 0), "{goes:?}");
    assert_eq!(goes.writes[0].places, [["f:data", "f:extra"].map(str::to_owned).to_vec()]);
    for (before, after) in [(&added, &plain), (&plain, &changed)] {
        let refused = judged(before, after);
        assert!(refused.writes.is_empty(), "{refused:?}");
        assert!(refused.missing[0].ends_with(crate::plan::secret::RECORDED_NOWHERE), "{refused:?}");
    }
    story.ledger.shutdown();
}

#[test]
fn what_still_differs_of_a_drift_is_told_from_what_was_put_back() {
    let mut story = Story::told();
    let (at, _) = seen(&mut story, &map(json!({"k": "2", "l": "2"})));
    let drift = story.drift(at, &[(".data.k", "1", "2"), (".data.l", "1", "2")]);
    let recorded = story.ledger.get(drift).unwrap().unwrap();
    let Some(Event::DriftDetected(body)) = &recorded.event else { panic!() };
    let (lasting, put_back) = since::lasting(body, &body.fields[1..]);
    assert_eq!((lasting, put_back), (vec![&body.fields[1]], vec![&body.fields[0]]));
    story.ledger.shutdown();
}

#[test]
fn what_a_person_decided_is_taken_back_and_done_again() {
    let mut story = Story::told();
    let undoes = |story: &Story, seq: Seq| {
        let recorded = story.ledger.get(seq).unwrap().unwrap();
        what(&story.ledger, &recorded)
    };
    let (app, until, reason) = (name("web"), Some(Timestamp(9)), "incident".to_owned());
    let pause = PausedV1 { app: app.clone(), until, reason: reason.clone() };
    let paused = story.event(pause.clone());
    assert_eq!(undoes(&story, paused).unwrap(), What::Resume(app.clone()));
    let resumed = story.event(ResumedV1 { app: app.clone(), expired: false });
    assert_eq!(undoes(&story, resumed).unwrap(), What::Pause(pause));
    let freeze = FrozenV1 { until: None, reason: reason.clone() };
    let frozen = story.event(freeze.clone());
    assert_eq!(undoes(&story, frozen).unwrap(), What::Unfreeze);
    let thawed = story.event(UnfrozenV1 { expired: false });
    assert_eq!(undoes(&story, thawed).unwrap(), What::Freeze(freeze));

    let of = vec![HoldOf::Absence(key(MAP)), HoldOf::Absence(key("ConfigMap/prod/b"))];
    let from = BackTo::Instant(Seq(1));
    let begun = HoldBegunV1 { app: app.clone(), of, from, until: None, reason };
    let hold = story.event(begun.clone());
    assert_eq!(undoes(&story, hold).unwrap(), What::Release(hold));
    let objects = vec![key(MAP)];
    let ended =
        HoldEndedV1 { app: app.clone(), objects, holds: vec![hold], end: HoldEnd::Released };
    let ended = story.event(ended);
    let What::HoldAgain(_, again) = undoes(&story, ended).unwrap() else { panic!() };
    assert_eq!(again.of, begun.of[..1], "what was released and nothing else");

    // The hold of the whole application comes back; of those that ended with it, it is said.
    let given = crate::replay::testing::Given::synced(vec![]);
    let rolled = story.event(given.rollback("web", &given.world));
    let (end, holds) = (HoldEnd::Released, vec![hold]);
    let over = story.event(AppHoldEndedV1 { app: app.clone(), hold: rolled, end, holds });
    let What::RollBackAgain(held, lost) = undoes(&story, over).unwrap() else { panic!() };
    assert_eq!((held.app, lost.len()), (app, begun.of.len()));
    let says = format!("hold #{hold} of {MAP} ended with it and does NOT come back");
    assert!(lost[0].starts_with(&says) && lost[0].contains(&format!("'#{}'", over.0 - 1)));

    let mark = MarkedV1 { name: "m".into(), seq: hold, time: Timestamp(0), reason: String::new() };
    let mark = story.event(mark);
    let refused = undoes(&story, mark).unwrap_err();
    assert!(refused.to_string().contains("gives an instant a name"), "{refused}");
    story.ledger.shutdown();
}

#[test]
fn writes_and_renders_and_commits_lead_to_what_they_changed() {
    let story = Story::told();
    let book = &story.ledger;
    let all = crate::query::Book::range(book, Seq(1), book.head()).unwrap();
    let of = |kind: &str| {
        let found = all
            .iter()
            .find(|recorded| recorded.event.as_ref().is_some_and(|event| event.name() == kind));
        found.unwrap().clone()
    };
    let intent = of("apply.intent");
    let What::Effects(span) = what(book, &intent).unwrap() else { panic!() };
    assert_eq!((span.from, span.keys.as_ref().unwrap().len()), (Seq(intent.seq().0 - 1), 3));
    let What::Effects(outcome) = what(book, &of("apply.outcome")).unwrap() else { panic!() };
    assert_eq!(outcome, span);
    // Of several events that tell of one intent, each stands for what it tells.
    let mut story = story;
    let map = key("ConfigMap/prod/old");
    let applied = |object: char| crate::ledger::event::Applied {
        uid: object.to_string(),
        resource_version: "11".into(),
        baseline: Digest::of(b"baseline"),
        object: Blob::plain(b"{}".to_vec(), None).addr,
        changed: true,
        digest: Digest::of(b"live"),
        managers: Digest::default(),
        health: crate::ledger::event::Health::Healthy,
        health_message: String::new(),
        protection: crate::model::Protection::default(),
        notes: Box::default(),
    };
    let write = |key: &ObjectKey| Write::plain(Verb::Update, key.clone(), "v1", "changed");
    let (app, commit) = (name("web"), None);
    let writes = vec![write(&key("Secret/prod/web")), write(&map)];
    let intent = story.event(IntentRecordedV1 { app, writes, commit, timeout_ms: 1 });
    let ends = [(0, 'a'), (1, 'b')].map(|(index, object)| {
        let results = vec![(index, WriteResult::Applied(applied(object)))];
        story.event(OutcomeRecordedV1 { app: name("web"), intent, results })
    });
    let recorded = story.ledger.get(ends[1]).unwrap().unwrap();
    let What::Effects(span) = what(&story.ledger, &recorded).unwrap() else { panic!() };
    let expected = (Seq(intent.0 - 1), ends[1], Some(BTreeSet::from([map])));
    assert_eq!((span.from, span.to, span.keys), expected);
    let book = &story.ledger;
    let drift = of("drift.detected");
    assert!(matches!(what(book, &drift).unwrap(), What::PutBack(_, seq) if seq == drift.seq()));
    // Two renders are of the one commit.
    let refused = what(book, &of("git.commit")).unwrap_err();
    assert!(refused.hint().contains("greffier undo '#"), "{refused}: {}", refused.hint());
    let refused = what(book, &of("daemon.started")).unwrap_err();
    assert!(matches!(refused, NotUndone::Cannot { .. }), "{refused}");
    story.ledger.shutdown();
}

fn of_web(wanted: Option<&DesiredObject>, seen: Option<&Seen>) -> Now {
    let (app, wanted, seen) = (Some(name("web")), wanted.cloned(), seen.cloned());
    Now { app, wanted, seen, known: true, served: true, ..Now::default() }
}

/// A later commit, of which `web` has these objects.
fn pushed(story: &mut Story, digit: char, objects: &[&DesiredObject]) -> Seq {
    pushed_by(story, "web", digit, objects)
}

fn pushed_by(story: &mut Story, app: &str, digit: char, objects: &[&DesiredObject]) -> Seq {
    let (repo, commit, tree) = ("/srv/infra.git".to_owned(), commit(digit), commit(digit));
    let revision = RevisionRef { repo, commit, tree };
    story.event(RenderSucceededV1 {
        app: name(app),
        declared: Seq(1),
        revision: revision.clone(),
        revisions: vec![revision],
        inputs: Digest::of(b"inputs"),
        sources: Digest::of(b"sources"),
        tool: "directory".into(),
        made_with: vec![],
        restores: vec![],
        objects: objects.iter().map(|object| (*object).clone()).collect(),
        warnings: vec![],
        unknown_kinds: vec![],
        reused: None,
    })
}

/// What is judged of an effect that ended with event `to`.
fn judged_after(
    story: &Story,
    to: Seq,
    (before, after): (Option<&DesiredObject>, Option<&DesiredObject>),
    present: Present,
) -> Judged {
    let effect =
        Effect { key: key(MAP), before: before.cloned(), after: after.cloned(), found: None };
    let present = BTreeMap::from([(key(MAP), present)]);
    judge(&story.ledger, of(&name("web")), (super::before(to), to), &[effect], &present).unwrap()
}

fn names(conflicts: &[String], seq: Seq, digit: char) -> bool {
    let commit = commit(digit);
    conflicts.len() == 1 && conflicts[0].contains(&format!("commit {}, #{seq}", commit.short()))
}

/// Goal: what was made and what was removed is as the event left it, and yet a later commit decided
/// about it: that commit is in the way, not one that came between.
#[test]
fn what_git_dropped_or_brought_in_since_is_a_conflict_though_it_is_as_the_event_left_it() {
    let mut story = Story::told();
    let one = wanted(&mut story, json!({"k": "1"}));
    let two = wanted(&mut story, json!({"k": "2"}));
    let there = || present(Some(&one));
    let made = pushed(&mut story, 'c', &[&one]);
    pushed(&mut story, 'd', &[&one]);
    let still = judged_after(&story, made, (None, Some(&one)), there());
    assert_eq!(still.parts, [HoldOf::Absence(key(MAP))], "the commit between says nothing of it");
    let removed = pushed(&mut story, 'e', &[]);
    let gone = judged_after(&story, removed, (Some(&one), None), present(None));
    assert!(matches!(gone.parts.as_slice(), [HoldOf::Object(_)]), "{gone:?}");

    pushed(&mut story, 'f', &[]);
    let again = pushed(&mut story, '1', &[&one]);
    let kept = judged_after(&story, made, (None, Some(&one)), there());
    assert!(kept.parts.is_empty() && names(&kept.conflicts, again, '1'), "{kept:?}");
    assert!(kept.conflicts[0].contains("brought it in again"), "{kept:?}");
    let changed = judged_after(&story, made, (Some(&two), Some(&one)), there());
    assert!(changed.parts.is_empty() && names(&changed.conflicts, again, '1'), "{changed:?}");
    // It is back as it was: nothing is left to be undone.
    let back = judged_after(&story, removed, (Some(&one), None), there());
    assert!(back.parts.is_empty() && back.conflicts.is_empty(), "{back:?}");
    // Removed at the one, and brought in otherwise at the other: not at what came between.
    let other = judged_after(&story, removed, (Some(&two), None), there());
    assert!(names(&other.conflicts, again, '1'), "{other:?}");

    let dropped = pushed(&mut story, '2', &[]);
    pushed(&mut story, '3', &[]);
    let absent = judged_after(&story, removed, (Some(&one), None), present(None));
    assert!(absent.parts.is_empty() && names(&absent.conflicts, dropped, '2'), "{absent:?}");
    assert!(absent.conflicts[0].contains("has dropped it"), "{absent:?}");
    story.ledger.shutdown();
}

#[test]
fn a_field_that_was_changed_by_hand_again_is_a_conflict() {
    let story = Story::told();
    let all = crate::query::Book::range(&story.ledger, Seq(1), story.ledger.head()).unwrap();
    let drift = all.iter().find_map(|recorded| match &recorded.event {
        Some(Event::DriftDetected(body)) => Some(body.clone()),
        _ => None,
    });
    let drift = drift.unwrap();
    assert_eq!(by_hand(&drift, (Seq(7), &drift.fields)), [""; 0]);
    let again = FieldChange { now: "9".into(), ..drift.fields[0].clone() };
    let other = FieldChange { path: ".spec.paused".into(), ..again.clone() };
    let conflicts = by_hand(&drift, (Seq(7), &[again, other]));
    assert!(conflicts[0].contains(".spec.replicas") && conflicts[0].contains("again since, #7"));
    assert!(conflicts[1].contains(".spec.paused") && conflicts[1].contains("as well"));
    story.ledger.shutdown();
}

/// Goal: an application that a person removed is defined again as it was; of one that went with its
/// parent's render, the way back is named.
#[test]
fn a_removal_by_a_person_is_undone_with_the_definition_of_then() {
    let mut story = Story::told();
    let removed = |story: &mut Story, origin: Origin| {
        let (app, declared) = (name("web"), None);
        let body = AppRemovedV1 { app, cascade: false, origin, declared, orphans: vec![] };
        let seq = story.event(body);
        let recorded = story.ledger.get(seq).unwrap().unwrap();
        (seq, what(&story.ledger, &recorded))
    };
    let (_, by_hand) = removed(&mut story, Origin::Operator);
    let What::Define(app, manifest) = by_hand.unwrap() else { panic!("it is defined again") };
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!((app, &manifest["metadata"]["name"]), (name("web"), &json!("web")));
    let (seq, by_git) = removed(&mut story, Origin::Parent(name("root")));
    let hint = by_git.unwrap_err().hint();
    let back = format!("`greffier rollback root --tree --to '#{}'`", seq.0 - 1);
    assert!(hint.contains(&back), "{hint}");
    story.ledger.shutdown();
}
