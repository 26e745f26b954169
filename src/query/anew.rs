//! Since when what is seen is of the cluster as it is: what was seen of another one, or of this one
//! before it was set back, says nothing of it.

use super::book::Book;
use super::instant::{backwards, forwards};
use crate::ledger;
use crate::ledger::event::Event;
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::model::{Seq, Timestamp};

/// The event since which what is seen is of the cluster as it is after event `last`; zero = it was
/// always the same.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub(super) fn since(book: &dyn Book, last: Seq) -> Result<Seq, ledger::Error> {
    let mut newer = None::<(Seq, String)>;
    let key = SubjectKey::topic(&Topic::Identity);
    let begun = backwards(book, key, last.next(), |recorded| {
        let (uid, begins) = match recorded.event.as_ref()? {
            Event::ClusterIdentified(body) => (&body.uid, false),
            Event::ClusterReplaced(body) => (&body.uid, true),
            Event::ClusterReverted(body) => (&body.uid, true),
            _ => return None,
        };
        if let Some((seq, later)) = &newer
            && later != uid
        {
            return Some(*seq);
        }
        if begins {
            return Some(recorded.seq());
        }
        newer = Some((recorded.seq(), uid.clone()));
        None
    })?;
    Ok(begun.unwrap_or_default())
}

/// That another cluster answers, or the same at an earlier time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Anew {
    /// The event that tells of it.
    pub(super) seq: Seq,
    /// When that was recorded.
    pub(super) time: Timestamp,
    /// In words.
    pub(super) text: String,
}

/// What [`since`] found, in words, as known by event `last`; `None` = it was always the same.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub(super) fn told(book: &dyn Book, last: Seq) -> Result<Option<Anew>, ledger::Error> {
    let seq = since(book, last)?;
    if seq == Seq::ZERO {
        return Ok(None);
    }
    let Some(recorded) = book.get(seq)? else { return Ok(None) };
    let (what, kind) = match &recorded.event {
        Some(event @ Event::ClusterReverted(_)) => ("the cluster was set back", event.name()),
        Some(event) => ("the cluster was replaced by another", event.name()),
        None => return Ok(None),
    };
    let accepted = forwards(book, SubjectKey::topic(&Topic::Identity), seq, |later| {
        if later.seq() > last {
            return Some(None);
        }
        match &later.event {
            Some(Event::ClusterAccepted(body)) if body.doubt == seq => Some(Some(later.seq())),
            _ => None,
        }
    })?;
    let accepted = match accepted.flatten() {
        Some(accepted) => format!(", accepted #{accepted}"),
        None => String::new(),
    };
    let text = format!("{what} (#{seq} {kind}{accepted})");
    Ok(Some(Anew { seq, time: recorded.envelope.recorded, text }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ledger::Blob;
    use crate::ledger::event::{
        ClusterAcceptedV1, ClusterIdentifiedV1, ClusterReplacedV1, Learned, ObjectGoneV1,
        ObjectObservedV1,
    };
    use crate::model::Digest;
    use crate::query::fixture::{Story, canonical, key};
    use crate::query::instant::At;
    use crate::query::object_at::{last_state, object_at};
    use crate::query::{between, blame};

    const MAP: &str = "ConfigMap/prod/seen";

    fn replaced(story: &mut Story, uid: &str) -> Seq {
        let (version, server) = ("v1.36.3".into(), "https://127.0.0.1:6443".into());
        let kept = story.world.cluster.identity.kept.clone();
        story.event(ClusterReplacedV1 { kept, uid: uid.into(), version, server })
    }

    fn blamed(story: &Story) -> blame::Blame {
        blame::of(&story.ledger, &key(MAP), None, story.ledger.head()).unwrap().unwrap()
    }

    /// Goal: what was seen of the former cluster is not told as if it were there: by the event that
    /// says so, before and after the other one was accepted, until it is seen in that.
    #[test]
    fn what_was_of_the_former_cluster_is_not_there_until_it_is_seen_in_this_one() {
        let mut story = Story::told();
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "seen", "namespace": "prod"}, "data": {"k": "1"}});
        let seen = story.observed(&key(MAP), &map, "u1", "");
        assert_eq!(told(&story.ledger, seen).unwrap(), None);
        assert_eq!((blamed(&story).gone, blamed(&story).former), (None, String::new()));

        let doubt = replaced(&mut story, "c-2");
        let words = format!("replaced by another (#{doubt} cluster.replaced)");
        assert!(told(&story.ledger, doubt).unwrap().unwrap().text.contains(&words));
        assert_eq!(told(&story.ledger, seen).unwrap(), None, "then it was not so");
        let accepted =
            story.event(ClusterAcceptedV1 { uid: "c-2".into(), doubt, reason: String::new() });
        let words = format!("(#{doubt} cluster.replaced, accepted #{accepted})");
        let blame = blamed(&story);
        assert!(blame.former.contains(&words), "{}", blame.former);
        let gone = blame.gone.unwrap();
        assert_eq!((gone.seq, gone.after), (doubt.0, Some(seen.0)));
        assert!(gone.who.note.contains(&words), "{gone:?}");
        assert!(last_state(&story.ledger, &key(MAP), accepted).unwrap().is_none());
        let at = At { seq: accepted, time: Timestamp(i64::MAX), timed: false, what: String::new() };
        let found = object_at(&story.ledger, &key(MAP), &at).unwrap();
        let former = found.former.unwrap();
        assert!(former.contains(&words) && former.contains(&format!("#{seen}")), "{former}");

        // What had gone in the former one is no object of which nothing was ever seen.
        let (other, uid) = (key("ConfigMap/prod/gone"), "u9".to_owned());
        let gone = |story: &mut Story| {
            let (key, uid, learned) = (other.clone(), uid.clone(), Learned::Watched);
            story.event(ObjectGoneV1 { key, uid, learned })
        };
        let mut earlier = Story::told();
        earlier.observed(&other, &map, &uid, "");
        let went = gone(&mut earlier);
        let now = At { seq: replaced(&mut earlier, "c-2"), ..at.clone() };
        let former = object_at(&earlier.ledger, &other, &now).unwrap().former.unwrap();
        assert!(former.ends_with(&format!("before that it was gone since #{went}")), "{former}");

        // So it is of what greffier wrote itself.
        let own = object_at(&story.ledger, &key("Deployment.apps/prod/web"), &at).unwrap();
        assert!(own.former.is_some_and(|former| former.contains(&words)), "{:?}", own.state);

        // Between the instants it went with its cluster, and nobody removed it.
        let found = between::object((&story.ledger, &[]), &key(MAP), (seen, accepted)).unwrap();
        let found = found.unwrap();
        assert_eq!((found.change.as_str(), found.groups.len()), ("gone", 1), "{found:?}");
        assert!(found.groups[0].cause.contains(&words), "{found:?}");
        assert_eq!(
            (found.groups[0].events.as_slice(), found.groups[0].by.len()),
            (&[doubt.0][..], 0)
        );
        let nothing = between::object((&story.ledger, &[]), &key(MAP), (doubt, accepted)).unwrap();
        assert_eq!(nothing, None, "it was not there at either");

        // A restart says who answers again, and the object is seen there.
        let (version, server) = ("v1.36.3".into(), "https://127.0.0.1:6443".into());
        story.event(ClusterIdentifiedV1 { uid: "c-2".into(), version, server });
        assert!(blamed(&story).former.contains(&words));
        let again = story.observed(&key(MAP), &map, "u2", "");
        let blame = blamed(&story);
        assert_eq!((blame.gone, blame.former.as_str(), blame.before), (None, "", 1));
        let found = between::object((&story.ledger, &[]), &key(MAP), (seen, again)).unwrap();
        let found = found.unwrap();
        assert_eq!((found.change.as_str(), found.groups.len()), ("made anew", 2), "{found:?}");
        assert!(found.groups[0].cause.contains(&words), "{found:?}");
        let at = At { seq: again, ..at };
        assert_eq!(object_at(&story.ledger, &key(MAP), &at).unwrap().former, None);
        story.ledger.shutdown();
    }

    /// Goal: where the former cluster is kept again, its objects go on from how they were in it.
    #[test]
    fn what_was_of_a_cluster_that_is_back_goes_on() {
        let map = |value: &str| {
            json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "seen", "namespace": "prod"}, "data": {"k": value}})
        };
        let mut story = Story::told();
        story.observed(&key(MAP), &map("1"), "u1", "");
        let first = story.world.cluster.identity.kept.clone();
        let mut kept = |uid: &str, object: &serde_json::Value, of: &str| {
            let doubt = replaced(&mut story, uid);
            story.event(ClusterAcceptedV1 { uid: uid.into(), doubt, reason: String::new() });
            story.observed(&key(MAP), object, of, "")
        };
        kept("c-2", &map("2"), "u2");
        kept(&first, &map("1"), "u1");
        let live = json!({"object": map("3"), "fields": []});
        story.blob(&live);
        let newer = story.event(ObjectObservedV1 {
            object: Blob::plain(canonical(&live), None).addr,
            digest: Digest::of(&canonical(&map("3"))),
            ..ObjectObservedV1::plain(key(MAP), "u1", "30")
        });
        let blame = blamed(&story);
        assert_eq!((&blame.gone, blame.former.as_str()), (&None, ""));
        let field = blame.fields.iter().find(|field| field.path == ".data.k").unwrap();
        assert_eq!((field.value.as_str(), field.set.seq), (Some("3"), newer.0), "{field:?}");
        story.ledger.shutdown();
    }
}
