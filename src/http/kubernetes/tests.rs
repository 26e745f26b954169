use axum::response::Response;

use super::*;
use crate::http::tests::state;
use crate::ledger::event::{ClusterLostV1, DaemonStartedV1, DaemonStoppedV1};
use crate::model::Seq;
use crate::query::fixture::Story;

/// The status of an answer, and its warnings.
async fn ask(state: &State, at: Seq, path: &str) -> (u16, Vec<String>) {
    let path = Path((format!("seq:{}", at.0), path.to_owned()));
    let head = (Method::GET, HeaderMap::new());
    let answer: Response =
        past(Having(state.clone()), path, Query(Vec::new()), head, Bytes::new()).await;
    let warnings = answer.headers().get_all(header::WARNING).iter();
    let warnings = warnings.map(|warning| warning.to_str().unwrap().to_owned()).collect();
    (answer.status().as_u16(), warnings)
}

const LIST: &str = "api/v1/namespaces/prod/configmaps";
const ABSENT: &str = "api/v1/namespaces/prod/configmaps/none";

/// Goal: what is said to be absent in a gap is warned of like what is listed.
#[tokio::test]
async fn errors_carry_the_warnings_too() {
    let mut story = Story::told();
    let whole = story.ledger.head();
    story.event(DaemonStoppedV1 { reason: "SIGTERM".into() });
    let gap = story.event(DaemonStartedV1 { version: "1".into(), observe: false, pid: 8 });
    let state = state(story);
    for (path, code) in [(LIST, 200), (ABSENT, 404)] {
        assert_eq!(ask(&state, whole, path).await, (code, vec![]));
        let (status, warnings) = ask(&state, gap, path).await;
        assert_eq!((status, warnings.len()), (code, 1), "{warnings:?}");
        assert!(warnings[0].contains("greffier was stopped"), "{warnings:?}");
    }
}

#[tokio::test]
async fn what_is_seen_late_is_warned_of() {
    let mut story = Story::told();
    let lost = story.event(ClusterLostV1 { error: "connection refused".into() });
    let after = story.event(ClusterLostV1 { error: "connection refused".into() });
    let state = state(story);
    assert_eq!(ask(&state, lost, LIST).await, (200, vec![]));
    let (_, warnings) = ask(&state, after, LIST).await;
    assert!(warnings[0].contains("seen late: the API server could not be reached"), "{warnings:?}");
}

/// Goal: watches of the past and the streams of the API do not take each other's places.
#[tokio::test]
async fn watches_have_places_of_their_own() {
    let ours = state(Story::told());
    let past = apart(ours.clone(), CancellationToken::new());
    let all = ours.streams.available_permits();
    let _streams = ours.streams.clone().acquire_many_owned(u32::try_from(all).unwrap()).await;
    let mut open = Vec::new();
    for _ in 0..WATCHES_MAX {
        let watch = silence(&past, None).await;
        assert_eq!(watch.status(), 200);
        open.push(watch);
    }
    assert_eq!(silence(&past, None).await.status(), 429);
}
