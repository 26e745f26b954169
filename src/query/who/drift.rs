//! Which observation shows the change that a drift is about.
//!
//! The version in which a drift is found may be a later one: a controller may have written to the
//! object before it was compared. Whoever made that version is not who made the drift.

use std::collections::BTreeSet;

use super::super::book::Book;
use super::super::object_at::last_state;
use crate::attribution::Change;
use crate::ledger;
use crate::ledger::event::{DriftDetectedV1, DriftKind, Event};
use crate::model::Seq;

/// Bound: how many versions back the change is looked for.
const VERSIONS_MAX: usize = 8;

/// The observation whose change is the drift; `None` = no single one is.
pub(super) fn changed_in(
    book: &dyn Book,
    body: &DriftDetectedV1,
) -> Result<Option<Seq>, ledger::Error> {
    let places: BTreeSet<String> = body.fields.iter().map(|field| plain(&field.path)).collect();
    if body.kind == DriftKind::Deleted || places.is_empty() {
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
            // It was made like this.
            return Ok(Some(at));
        };
        let Some(live) = &before.live else { return Ok(None) };
        let change = Change::between(Some(&book.blob(live.object)?), &book.blob(now.object)?);
        let made = places.iter().filter(|place| touches(&change, place)).count();
        if change.more || made > 0 {
            return Ok((made == places.len() && !change.more).then_some(at));
        }
        // Nothing of the drift is new in this version: it was so before.
        at = before.seq;
    }
    Ok(None)
}

/// A path as changes have it: `[]` for any item of a list.
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

fn touches(change: &Change, place: &str) -> bool {
    change.paths().any(|path| is_below(path, place) || is_below(place, path))
}

fn is_below(path: &str, place: &str) -> bool {
    let rest = path.strip_prefix(place);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::*;
    use super::*;
    use crate::ledger::event::{AttributionResolvedV1, FieldChange};
    use crate::query::fixture::{Story, key};

    fn web(replicas: u32, image: &str, revision: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "annotations": {"revision": revision}},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [
                {"name": "main", "image": image}]}}}})
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
