//! Which observation shows the change that a drift is about.
//!
//! The version in which a drift is found may be a later one: a controller may have written to the
//! object before it was compared. Whoever made that version is not who made the drift.

use serde_json::Value;

use super::super::blame::Pattern;
use super::super::book::{Book, kept};
use super::super::describe::{self, Described, attributed_by, claimed};
use super::super::object_at::last_state;
use super::super::patch::concerns;
use super::in_force;
use crate::cluster::value_at;
use crate::ledger;
use crate::ledger::event::{DriftDetectedV1, DriftKind, Event};
use crate::model::{BlobAddr, Seq};
use crate::plan::diff::{CHANGES_MAX, changes};

/// Bound: how many versions back the change is looked for.
const VERSIONS_MAX: usize = 8;
/// Bound: of how many fields it is looked for who changed each.
const FIELDS_MAX: usize = 8;

/// The observation whose change is the drift; `None` = no single one is, or it cannot be told.
pub(in crate::query) fn changed_in(
    book: &dyn Book,
    body: &DriftDetectedV1,
) -> Result<Option<Seq>, ledger::Error> {
    if body.kind == DriftKind::Deleted {
        return super::went(book, body);
    }
    if body.fields.is_empty() {
        return Ok(Some(body.observation));
    }
    let mut at = body.observation;
    for _ in 0..VERSIONS_MAX {
        let recorded = book.get(at)?;
        let Some(Event::ObjectObserved(now)) = recorded.as_ref().and_then(|r| r.event.as_ref())
        else {
            return Ok(None);
        };
        let before = last_state(book, &body.key, Seq(at.0.saturating_sub(1)))?;
        let Some(before) = before.filter(|before| before.uid == now.uid) else {
            // It was made like this, unless it is seen not to be.
            let made = object(book, now.object)?;
            let bears = made.is_none_or(|made| bears(body, &made));
            return Ok(Some(at).filter(|_| bears));
        };
        let Some(live) = &before.live else { return Ok(None) };
        let (was, is) = (object(book, live.object)?, object(book, now.object)?);
        let (Some(was), Some(is)) = (was, is) else { return Ok(None) };
        match made(body, &was, &is) {
            Made::All => return Ok(Some(at)),
            Made::Perhaps => return Ok(None),
            // Nothing of the drift is new in this version: it was so before.
            Made::Nothing => at = before.seq,
        }
    }
    Ok(None)
}

/// Names everybody whose changes a drift is made of, where it is that of several and each of them is
/// known.
pub(super) fn of_several(book: &dyn Book, event: &Event, described: Described) -> Described {
    let Event::DriftDetected(body) = event else { return described };
    if body.kind == DriftKind::Deleted || !(2..=FIELDS_MAX).contains(&body.fields.len()) {
        return described;
    }
    let (mut whom, mut names) = (Vec::new(), Vec::new());
    for field in &body.fields {
        let of_field = DriftDetectedV1 { fields: vec![field.clone()], ..body.clone() };
        // What cannot be read is told when it is asked for by itself.
        let changed = changed_in(book, &of_field).ok().flatten();
        let known = changed.and_then(|seq| in_force(book, seq, None).ok()?.resolved);
        let Some((_, said)) = known.filter(|(_, said)| !said.claims.is_empty()) else {
            return described;
        };
        let by = attributed_by(said.verdict, &said.claims, said.more);
        if !whom.contains(&by) {
            whom.push(by);
            names.extend(said.claims.iter().map(claimed));
        }
    }
    let whom = whom.join(" and ");
    let summary = describe::found_by(body, &whom).summary;
    names.extend(
        described.by.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>(),
    );
    Described { by: names, whom, summary, ..described }
}

/// The object of a stored observation; `None` = it cannot be read.
fn object(book: &dyn Book, addr: BlobAddr) -> Result<Option<Value>, ledger::Error> {
    let Some(bytes) = kept(book, addr)? else { return Ok(None) };
    let stored = serde_json::from_slice::<Value>(&bytes).ok();
    Ok(stored.and_then(|mut stored| stored.get_mut("object").map(Value::take)))
}

/// How much of a drift a version's changes are.
enum Made {
    All,
    /// A part of it, or that cannot be told.
    Perhaps,
    Nothing,
}

/// Where a field's place cannot be found in the objects, the difference between them tells; items of
/// lists may be told apart by other keys there, and then it cannot be told whether they are the same.
fn made(drift: &DriftDetectedV1, was: &Value, is: &Value) -> Made {
    let (mut count, mut unsettled) = (0, Vec::new());
    for field in &drift.fields {
        match Pattern::parse(&field.path).and_then(|path| path.differs(was, is)) {
            Some(true) => count += 1,
            Some(false) => {}
            None => unsettled.push(field.path.as_str()),
        }
    }
    let mut perhaps = false;
    if !unsettled.is_empty() {
        let changed = changes(was, is);
        let paths = || changed.iter().map(|change| change.path.as_str());
        count += unsettled.iter().filter(|at| paths().any(|path| concerns(path, at))).count();
        let may = |at: &&str| paths().any(|path| concerns(&plain(path), &plain(at)));
        perhaps = changed.len() >= CHANGES_MAX || unsettled.iter().any(may);
    }
    match count {
        count if count == drift.fields.len() => Made::All,
        0 if !perhaps => Made::Nothing,
        _ => Made::Perhaps,
    }
}

/// Whether an object may have what a drift says is there now: nothing of it is seen to be otherwise.
fn bears(drift: &DriftDetectedV1, object: &Value) -> bool {
    drift.fields.iter().all(|field| {
        let place = Pattern::parse(&field.path).and_then(|path| path.place(&[object]));
        place.is_none_or(|place| value_at(object, &place).is_none() == field.now.is_empty())
    })
}

/// A path with `[]` for any item of a list.
fn plain(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, inside)) = rest.split_once('[') {
        let Some((inside, after)) = inside.split_once(']') else { break };
        let is_item = inside.is_empty()
            || inside.contains('=')
            || inside.bytes().all(|byte| byte.is_ascii_digit());
        plain.push_str(before);
        plain.push('[');
        plain.push_str(if is_item { "" } else { inside });
        plain.push(']');
        rest = after;
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::*;
    use super::*;
    use crate::ledger::event::{AttributionResolvedV1, FieldChange};
    use crate::query::fixture::{Story, key};

    fn web(replicas: u32, image: &str, revision: &str) -> Value {
        beside(replicas, image, revision, "proxy:1")
    }

    /// The same with another container beside the first.
    fn beside(replicas: u32, image: &str, revision: &str, other: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "annotations": {"revision": revision}},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [
                {"name": "main", "image": image}, {"name": "proxy", "image": other}]}}}})
    }

    /// Observes a version and says by whom it was made.
    fn seen(story: &mut Story, object: &Value, by: &str) -> Seq {
        let web = key("Deployment.apps/prod/web");
        let seq = story.observed(&web, object, &format!("uid-{web}"), "");
        let sample = crate::ledger::samples::sample_events();
        let resolved = sample.into_iter().find_map(|event| match event {
            Event::AttributionResolved(body) => Some(body),
            _ => None,
        });
        let claim = ActorClaim { who: by.into(), ..ActorClaim::default() };
        story.event(AttributionResolvedV1 {
            observation: seq,
            key: web,
            verdict: Verdict::Exact,
            claims: vec![claim],
            ..resolved.unwrap()
        });
        seq
    }

    /// Who is named for a drift of these paths that was found in a version.
    fn named(story: &mut Story, observation: Seq, paths: &[&str]) -> (Verdict, Vec<String>) {
        let sample = crate::ledger::samples::sample_events();
        let drift = sample.into_iter().find_map(|event| match event {
            Event::DriftDetected(body) => Some(body),
            _ => None,
        });
        let field = |path: &&str| FieldChange {
            path: (*path).to_owned(),
            was: String::new(),
            now: "1".into(),
        };
        let drift = story.event(DriftDetectedV1 {
            key: key("Deployment.apps/prod/web"),
            observation,
            fields: paths.iter().map(field).collect(),
            ..drift.unwrap()
        });
        let found = who(&story.ledger, drift, None).unwrap().unwrap();
        (found.verdict, found.claims.into_iter().map(|claim| claim.who).collect())
    }

    const REPLICAS: &str = ".spec.replicas";
    const IMAGE: &str = ".spec.template.spec.containers[name=main].image";

    /// Goal: who wrote the version in which a drift was found is not named for what somebody else
    /// had changed before; several people's drift is nobody's.
    #[test]
    fn a_drift_is_of_who_changed_its_fields() {
        let exact = |name: &str| (Verdict::Exact, vec![name.to_owned()]);
        let mut story = Story::told();
        let start = seen(&mut story, &web(2, "web:1", "1"), "somebody");
        let alice = seen(&mut story, &web(5, "web:1", "1"), "alice");
        assert_eq!(named(&mut story, alice, &[REPLICAS]), exact("alice"));
        let controller = seen(&mut story, &web(5, "web:1", "2"), "controller");
        assert_eq!(named(&mut story, controller, &[REPLICAS]), exact("alice"));
        let bob = seen(&mut story, &web(5, "web:2", "2"), "bob");
        assert_eq!(named(&mut story, bob, &[IMAGE]), exact("bob"));
        assert_eq!(named(&mut story, bob, &[REPLICAS]), exact("alice"));
        let (verdict, _) = named(&mut story, bob, &[REPLICAS, IMAGE]);
        assert!(verdict > Verdict::Unique, "two people's drift is nobody's: {verdict:?}");
        assert!(start < alice);
    }

    /// Goal: where each change of a drift is somebody's who is known, all of them are named.
    #[test]
    fn a_drift_of_two_people_names_both_in_words() {
        let mut story = Story::told();
        seen(&mut story, &web(2, "web:1", "1"), "somebody");
        seen(&mut story, &web(5, "web:1", "1"), "alice");
        let bob = seen(&mut story, &web(5, "web:2", "1"), "bob");
        let (_, nobody) = named(&mut story, bob, &[REPLICAS, IMAGE]);
        assert!(nobody.iter().all(|name| !["alice", "bob"].contains(&name.as_str())));
        let drift = story.ledger.head();
        let whom = of_drift(&story.ledger, drift).unwrap();
        assert_eq!(whom, "alice (audit, exact) and bob (audit, exact)");
        let told =
            super::super::described(&story.ledger, &story.ledger.get(drift).unwrap().unwrap());
        assert!(told.summary.ends_with(&format!(" by {whom}")), "{}", told.summary);
        assert_eq!(told.by[..2], ["alice", "bob"]);

        let unknown = web(7, "web:2", "1");
        let nobody = story.observed(
            &key("Deployment.apps/prod/web"),
            &unknown,
            "uid-Deployment.apps/prod/web",
            "",
        );
        named(&mut story, nobody, &[REPLICAS, IMAGE]);
        let whom = of_drift(&story.ledger, story.ledger.head()).unwrap();
        assert!(!whom.contains("bob"), "what nobody is known to have made is not theirs: {whom}");
    }

    /// Goal: whoever changed another item of a list did not change this one.
    #[test]
    fn a_drift_of_one_item_is_not_of_who_changed_another() {
        let mut story = Story::told();
        seen(&mut story, &beside(2, "web:1", "1", "proxy:1"), "somebody");
        seen(&mut story, &beside(2, "web:2", "1", "proxy:1"), "alice");
        let bob = seen(&mut story, &beside(2, "web:2", "1", "proxy:2"), "bob");
        assert_eq!(named(&mut story, bob, &[IMAGE]), (Verdict::Exact, vec!["alice".to_owned()]));
    }

    /// Goal: a place is found however its path is written: a key with a dot or a slash, an item that
    /// two keys tell apart. Whoever made the object is not named for what is not in it.
    #[test]
    fn a_drift_of_a_place_that_is_written_in_brackets_is_of_who_changed_it() {
        let web = |data: Value, ports: Value| json!({"metadata": {"name": "web", "annotations": data}, "spec": {"ports": ports}});
        let udp = |target: u32| {
            json!([{"name": "a", "port": 53, "protocol": "TCP", "targetPort": 1},
                {"name": "b", "port": 53, "protocol": "UDP", "targetPort": target}])
        };
        let mut story = Story::told();
        let made = seen(&mut story, &web(json!({"x.io/a": "1"}), udp(1)), "greffier");
        seen(&mut story, &web(json!({"x.io/a": "1", "x.io/b": "1"}), udp(1)), "alice");
        let bob = seen(&mut story, &web(json!({"x.io/a": "1", "x.io/b": "1"}), udp(2)), "bob");
        let exact = |name: &str| (Verdict::Exact, vec![name.to_owned()]);
        let added = ".metadata.annotations[x.io/b]";
        let target = ".spec.ports[port=53,protocol=UDP].targetPort";
        assert_eq!(named(&mut story, bob, &[added]), exact("alice"));
        assert_eq!(named(&mut story, bob, &[target]), exact("bob"));
        let (_, nobody) = named(&mut story, made, &[added]);
        assert!(nobody.is_empty(), "it was not made with it: {nobody:?}");
    }

    /// Goal: a drift that was put back in between is not the one that is found now.
    #[test]
    fn an_older_drift_of_the_same_field_names_nobody() {
        let mut story = Story::told();
        seen(&mut story, &web(2, "web:1", "1"), "somebody");
        seen(&mut story, &web(5, "web:1", "1"), "mallory");
        seen(&mut story, &web(2, "web:1", "1"), "greffier");
        let alice = seen(&mut story, &web(5, "web:1", "1"), "alice");
        let later = seen(&mut story, &web(5, "web:1", "2"), "controller");
        assert_eq!(
            named(&mut story, later, &[REPLICAS]),
            (Verdict::Exact, vec!["alice".to_owned()])
        );
        assert!(alice < later);
    }

    #[test]
    fn paths_are_compared_without_the_keys_of_items() {
        for (path, expected) in [
            (".spec.containers[name=a].ports[0].x", ".spec.containers[].ports[].x"),
            (".data[a.conf]", ".data[a.conf]"),
            (".spec.replicas", ".spec.replicas"),
            (".metadata.annotations[x.io/y].[", ".metadata.annotations[x.io/y].["),
        ] {
            assert_eq!(plain(path), expected);
        }
    }
}
