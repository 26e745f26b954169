use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::audit::Kinds;
use crate::http::listen::Listener;
use crate::ledger::Ledger;
use crate::ledger::event::{Event, ServedKind};
use crate::model::{GroupKind, Seq};
use crate::replay::{AuditState, World};

/// A receiver that listens, without TLS.
struct Listening {
    ledger: Ledger,
    receiver: Receiver,
    address: std::net::SocketAddr,
    cancel: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Listening {
    async fn start(token: Option<&str>) -> Self {
        let mut world = World::default();
        let kind = GroupKind::new("", "ConfigMap");
        let served = ServedKind::plain(kind.clone(), "configmaps");
        world.cluster.kinds.insert(kind, served);
        Self::knowing(Kinds::of(&world), token).await
    }

    async fn knowing(kinds: Kinds, token: Option<&str>) -> Self {
        let ledger = Ledger::in_memory();
        let intake = Intake::new(ledger.clone(), move || kinds.clone(), AuditState::default());
        let receiver = Receiver::new(intake, token.map(Token::new), Arc::default());
        let nobody = Arc::new(|what: String| panic!("{what}"));
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None, nobody).await.unwrap();
        let (address, cancel) = (listener.address().unwrap(), CancellationToken::new());
        let served = tokio::spawn(listener.serve(receiver.router(), cancel.clone()));
        Self { ledger, receiver, address, cancel, served }
    }

    /// Sends a request and returns the status of the answer.
    async fn send(&self, request: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // Who is refused by the head may be refused before the rest is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
    }

    async fn post(&self, token: Option<&str>, body: &str) -> u16 {
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let (token, length) = (token.unwrap_or_default(), body.len());
        self.send(&format!(
            "POST /audit HTTP/1.1\r\nHost: x\r\n{token}Content-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    fn events(&self) -> Vec<Event> {
        let events = self.ledger.range(Seq(1), self.ledger.head());
        events.map(|recorded| recorded.unwrap().event.clone().unwrap()).collect()
    }

    /// What was refused and is not recorded yet.
    fn refused(&self) -> (u64, String) {
        self.receiver.refusals.owed.lock().unwrap().refused.clone()
    }
}

fn list(ids: &[&str]) -> String {
    let items = ids.iter().map(|id| {
        json!({"level": "Metadata", "auditID": id, "stage": "ResponseComplete", "verb": "update",
            "requestURI": "/", "user": {"username": "alice"},
            "objectRef": {"resource": "configmaps", "namespace": "prod", "name": "web"},
            "responseStatus": {"code": 200},
            "requestReceivedTimestamp": "2026-11-26T02:33:30.007567Z",
            "stageTimestamp": "2026-11-26T02:33:30.010754Z"})
    });
    let items: Vec<Value> = items.collect();
    json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": items}).to_string()
}

#[tokio::test]
async fn what_was_answered_with_200_is_in_the_ledger() {
    let listening = Listening::start(Some("t0ken")).await;
    assert_eq!(listening.post(Some("t0ken"), &list(&["a", "b"])).await, 200);
    let kinds: Vec<_> = listening.events().iter().map(Event::name).collect();
    assert_eq!(kinds, ["ledger.created", "audit.received", "audit.received", "audit.read"]);
    // The API server sends a batch again whose answer it did not get.
    assert_eq!(listening.post(Some("t0ken"), &list(&["a", "c"])).await, 200);
    let Some(Event::AuditRead(read)) = listening.events().pop() else { panic!() };
    assert_eq!((read.source.as_str(), read.records, read.duplicates), ("webhook", 2, 1));
    assert_eq!(listening.refused().0, 0);
}

#[tokio::test]
async fn forged_posts_are_refused_and_counted() {
    let listening = Listening::start(Some("t0ken")).await;
    let before = listening.ledger.head();
    let good = list(&["a"]);
    for (token, body, status) in [
        (None, good.as_str(), 401),
        (Some("t0ke"), &good, 403),
        (Some(""), &good, 401),
        (Some("t0ken"), "not JSON hunter2", 400),
        (
            Some("t0ken"),
            "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"items\":[]}",
            400,
        ),
        (
            Some("t0ken"),
            "{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1beta1\",\"items\":[]}",
            400,
        ),
        (Some("t0ken"), "{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\"}", 400),
    ] {
        assert_eq!(listening.post(token, body).await, status, "{token:?} {body}");
    }
    let basic = format!(
        "POST /audit HTTP/1.1\r\nHost: x\r\nAuthorization: Basic t0ken\r\nContent-Length: {}\r\n\r\n{good}",
        good.len()
    );
    assert_eq!(listening.send(&basic).await, 401);
    assert_eq!(listening.send("GET /audit HTTP/1.1\r\nHost: x\r\n\r\n").await, 405);
    assert_eq!(
        listening.send("POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await,
        404
    );
    assert_eq!(listening.ledger.head(), before);
    let (count, last) = listening.refused();
    assert_eq!((count, last.as_str()), (8, "a post without a token"));
}

#[tokio::test]
async fn a_post_that_is_too_large_is_refused_by_the_sender_that_is_known() {
    let listening = Listening::start(Some("t0ken")).await;
    let large = " ".repeat(POST_BYTES_MAX + 1);
    assert_eq!(listening.post(Some("t0ken"), &large).await, 413);
    let told = listening.receiver.refusals.owed.lock().unwrap().clone().told();
    assert_eq!(told, [(AuditTrouble::Lost, TOO_LARGE.to_owned(), 1)]);
    // Of one that is not known, the body is not read at all.
    let head = "POST /audit HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n";
    assert_eq!(listening.send(head).await, 401);
    assert_eq!(listening.receiver.refusals.owed.lock().unwrap().lost, 1);
}

/// A record that is none costs itself only; the batch is taken.
#[tokio::test]
async fn malformed_records_of_a_batch_are_told() {
    let listening = Listening::start(Some("t0ken")).await;
    let mut body: Value = serde_json::from_str(&list(&["a", "b"])).unwrap();
    body["items"][0]["user"] = json!("hunter2");
    assert_eq!(listening.post(Some("t0ken"), &body.to_string()).await, 200);
    let events = listening.events();
    let Some(Event::AuditTroubled(told)) = events.iter().find(|e| e.name() == "audit.troubled")
    else {
        panic!("{events:?}")
    };
    assert_eq!((told.trouble, told.count), (AuditTrouble::Malformed, 1));
    assert!(!told.what.contains("hunter2"), "{}", told.what);
}

#[tokio::test]
async fn before_the_kinds_are_known_the_sender_is_asked_to_come_again() {
    let listening = Listening::knowing(Kinds::default(), Some("t")).await;
    assert_eq!(listening.post(Some("t"), &list(&["a"])).await, 503);
    assert_eq!(listening.refused().0, 0, "it is not the sender's fault");
}

/// However many posts are refused, the ledger gets one event, and soon.
#[tokio::test]
async fn refusals_are_recorded_together() {
    let listening = Listening::start(Some("t0ken")).await;
    for _ in 0..20 {
        listening.post(None, "").await;
    }
    let (refusals, cancel) = (Arc::clone(&listening.receiver.refusals), CancellationToken::new());
    let recording = tokio::spawn({
        let (intake, cancel) = (listening.receiver.intake.clone(), cancel.clone());
        async move { refusals.record(intake, cancel).await }
    });
    let mut tail = listening.ledger.subscribe(listening.ledger.head());
    tail.next_batch().await.unwrap();
    listening.post(None, "").await;
    cancel.cancel();
    recording.await.unwrap().unwrap();
    let told: Vec<_> = listening
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::AuditTroubled(body) => Some((body.trouble, body.count)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(AuditTrouble::Refused, 20)]);
}

#[tokio::test]
async fn it_ends_when_it_is_told_to() {
    let listening = Listening::start(None).await;
    // A connection that says nothing does not hold it up.
    let _idle = TcpStream::connect(listening.address).await.unwrap();
    assert_eq!(listening.post(None, &list(&["a"])).await, 200);
    listening.cancel.cancel();
    listening.served.await.unwrap();
}

/// Goal: what of a batch is recorded does not depend on whether its sender waits for the answer.
#[tokio::test]
async fn a_sender_that_goes_away_does_not_end_the_taking() {
    let listening = Listening::start(None).await;
    let receiver = &listening.receiver;
    let sent = receive(State(receiver.clone()), HeaderMap::new(), Body::from(list(&["a"])));
    let mut sent = Box::pin(sent);
    assert!(futures::poll!(&mut sent).is_pending());
    drop(sent);
    let all = u32::try_from(POSTS_MAX).unwrap();
    let _permits = receiver.posts.acquire_many(all).await.unwrap();
    assert!(listening.events().iter().any(|event| event.name() == "audit.received"));
}
