//! The past as Kubernetes clients see it.

use serde_json::{Value, json};

use super::{Answer, LIST_MAX, Past, Refusal, Request, limit};
use crate::ledger::Blob;
use crate::ledger::event::{Event, KindsServedV1, ObjectObservedV1, ServedKind};
use crate::model::{GroupKind, Scope, canonical_json};
use crate::query::fixture::{Story, key};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

fn ask(story: &Story, request: &Request<'_>) -> Result<Answer, Refusal> {
    let at = story.world.now;
    Past { world: &story.world, book: &story.ledger, at }.answer(request)
}

fn get(story: &Story, path: &str, query: &[(&str, &str)], accept: &str) -> Result<Value, Refusal> {
    let query: Vec<(String, String)> =
        query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let request = Request { method: "GET", path, query: &query, accept, body: b"" };
    match ask(story, &request)? {
        Answer::Document(document) => Ok(document),
        Answer::Silence(_) => panic!("{path} is a watch"),
    }
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn refusal(found: Result<Value, Refusal>) -> (u64, String) {
    let body = found.unwrap_err().body();
    assert_eq!((&body["kind"], &body["status"]), (&json!("Status"), &json!("Failure")));
    (body["code"].as_u64().unwrap(), body["message"].as_str().unwrap().to_owned())
}

#[test]
fn discovery_offers_what_was_watched() {
    let story = Story::told();
    let core = get(&story, "/api/v1", &[], "").unwrap();
    let offered: Vec<&str> =
        core["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(offered, ["configmaps", "namespaces", "secrets"]);
    let groups = get(&story, "/apis", &[], "").unwrap();
    assert_eq!(groups["groups"][0]["preferredVersion"]["groupVersion"], "apps/v1");
    assert_eq!(groups["groups"].as_array().unwrap().len(), 1);
    let apps = get(&story, "/apis/apps/v1", &[], "").unwrap();
    assert_eq!(apps["resources"][0]["verbs"], json!(["get", "list", "watch"]));
    assert_eq!(apps["resources"][0]["categories"], json!(["all"]));
    assert_eq!(get(&story, "/version", &[], "").unwrap()["minor"], "36");
    assert_eq!(refusal(get(&story, "/apis/none", &[], "")).0, 404);
}

#[test]
fn objects_are_as_they_were_recorded() {
    let story = Story::told();
    let path = "/apis/apps/v1/namespaces/prod/deployments/web";
    let web = get(&story, path, &[], "application/json").unwrap();
    let live = &story.world.live[&key("Deployment.apps/prod/web")];
    assert_eq!(web["kind"], "Deployment");
    assert_eq!(web["metadata"]["uid"], live.uid.as_str());
    assert_eq!(web["metadata"]["resourceVersion"], live.resource_version.as_str());
    assert_eq!(web["spec"]["replicas"], 5, "somebody scaled it");
    let list = get(&story, "/apis/apps/v1/deployments", &[], "").unwrap();
    assert_eq!((&list["kind"], names(&list)), (&json!("DeploymentList"), vec!["web"]));
    let none = [("labelSelector", "app=none")];
    let list = get(&story, "/apis/apps/v1/deployments", &none, "").unwrap();
    assert_eq!(names(&list), Vec::<&str>::new());
    let list = get(&story, "/apis/apps/v1/namespaces/other/deployments", &[], "").unwrap();
    assert_eq!(names(&list), Vec::<&str>::new());
}

#[test]
fn a_table_is_made_for_whoever_prefers_one() {
    let story = Story::told();
    let table = get(&story, "/apis/apps/v1/deployments", &[], TABLE).unwrap();
    let columns: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["Name", "Replicas", "Ready", "Health", "Age", "Images", "Message"]);
    assert_eq!(table["rows"][0]["cells"][1], "5");
    assert_eq!(table["rows"][0]["cells"][2], "<unknown>", "no status was recorded");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let whole = [("includeObject", "Object")];
    let table = get(&story, "/apis/apps/v1/deployments", &whole, TABLE).unwrap();
    assert_eq!(table["rows"][0]["object"]["kind"], "Deployment");
    let list =
        get(&story, "/apis/apps/v1/deployments", &[], "application/json,".to_owned().as_str());
    assert_eq!(list.unwrap()["kind"], "DeploymentList");
}

/// Goal: a status is shown as it was recorded, what was not recorded is unknown, and a Pod always
/// has one, as clients of Kubernetes may expect.
#[test]
fn a_status_is_the_recorded_one() {
    let mut story = Story::told();
    let pods = ServedKind::plain(GroupKind::new("", "Pod"), "pods");
    let mut kinds: Vec<ServedKind> = story.world.cluster.kinds.values().cloned().collect();
    kinds.push(pods);
    story.event(KindsServedV1 { kinds, broken_groups: Vec::new() });
    let recorded = json!({"phase": "Running",
        "containerStatuses": [{"name": "a", "ready": true}, {"name": "b", "ready": false}]});
    story.blob(&recorded);
    let status = Blob::plain(canonical_json(&recorded), None).addr;
    for (name, status) in [("told", Some(status)), ("untold", None)] {
        let object = json!({"kind": "Pod", "metadata": {"name": name}});
        let at = key(&format!("Pod/prod/{name}"));
        let seq = story.observed(&at, &object, name, "");
        let body = story.ledger.get(seq).unwrap().unwrap().event.clone();
        let Some(Event::ObjectObserved(body)) = body else { panic!("{body:?}") };
        story.event(ObjectObservedV1 { status, resource_version: "21".into(), ..body });
    }
    let list = get(&story, "/api/v1/namespaces/prod/pods", &[], "").unwrap();
    assert_eq!(list["items"][0]["status"], recorded);
    assert_eq!(list["items"][1]["status"], json!({}));
    let table = get(&story, "/api/v1/namespaces/prod/pods", &[], TABLE).unwrap();
    let cells = |row: usize| json!(&table["rows"][row]["cells"].as_array().unwrap()[1..3]);
    assert_eq!(cells(0), json!(["1/2", "Running"]));
    assert_eq!(cells(1), json!(["<unknown>", "<unknown>"]));
}

#[test]
fn a_secret_shows_its_keys() {
    let story = Story::told();
    let secret = get(&story, "/api/v1/namespaces/prod/secrets/web", &[], "").unwrap();
    assert_eq!(secret["data"], json!({"password": ""}));
    assert!(!secret.to_string().contains("hmac:"), "{secret}");
}

#[test]
fn long_lists_come_in_pages() {
    let mut story = Story::told();
    for name in ["a", "b", "c"] {
        let object = json!({"kind": "ConfigMap", "metadata": {"name": name}});
        story.observed(&key(&format!("ConfigMap/zone/{name}")), &object, name, "");
    }
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let query = [("limit", "1"), ("continue", token.as_str())];
        let page = get(&story, "/api/v1/configmaps", &query, "").unwrap();
        assert!(names(&page).len() <= 1);
        all.extend(names(&page).into_iter().map(str::to_owned));
        token = page["metadata"]["continue"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    let whole = get(&story, "/api/v1/configmaps", &[], "").unwrap();
    assert_eq!(all, names(&whole));
    assert!(all.ends_with(&["a".to_owned(), "b".to_owned(), "c".to_owned()]), "{all:?}");
    let damaged = [("continue", "!")];
    assert_eq!(refusal(get(&story, "/api/v1/configmaps", &damaged, "")).0, 400);
}

/// Goal: a list is bounded whatever is asked for, and reads no object that its name rules out.
#[test]
fn lists_read_no_more_than_they_must() {
    let mut story = Story::told();
    let mut lost = story.world.live[&key("Deployment.apps/prod/web")].clone();
    lost.object = Blob::plain(b"nowhere".to_vec(), None).addr;
    story.world.live.insert(key("Deployment.apps/prod/lost"), lost.clone());
    story.world.live.insert(key("Deployment.apps/zone/lost"), lost);
    let path = "/apis/apps/v1/deployments";
    assert_eq!(refusal(get(&story, path, &[], "")).0, 500, "it cannot be read");
    let named = [("fieldSelector", "metadata.name=web,metadata.namespace=prod")];
    assert_eq!(names(&get(&story, path, &named, "").unwrap()), ["web"]);
    let other = [("fieldSelector", "metadata.name!=lost")];
    assert_eq!(names(&get(&story, path, &other, "").unwrap()), ["web"]);
    for (text, bound) in [("", LIST_MAX), ("0", LIST_MAX), ("7", 7), ("99999999999", LIST_MAX)] {
        assert_eq!(limit(text), Ok(bound), "{text}");
    }
}

#[test]
fn what_is_not_offered_is_refused_in_kubernetes_words() {
    let mut story = Story::told();
    let excluded = ServedKind {
        kind: GroupKind::new("coordination.k8s.io", "Lease"),
        version: "v1".into(),
        plural: "leases".into(),
        scope: Scope::Namespaced,
        watched: false,
        watchable: true,
    };
    let mut kinds: Vec<ServedKind> = story.world.cluster.kinds.values().cloned().collect();
    kinds.push(excluded);
    story.event(KindsServedV1 { kinds, broken_groups: vec![] });
    for (path, query, code, expected) in [
        ("/apis/apps/v1/namespaces/prod/deployments/none", vec![], 404, "deployments \"none\""),
        ("/apis/coordination.k8s.io/v1/leases", vec![], 404, "does not watch them"),
        ("/apis/apps/v1/things", vec![], 404, "is not known to have served"),
        ("/apis/apps/v1/namespaces/prod/deployments/web/scale", vec![], 404, "is not recorded"),
        ("/openapi/v2", vec![], 404, "nothing at /openapi/v2"),
        ("/apis/apps/v1/deployments", vec![("fieldSelector", "status.x=1")], 400, "status.x"),
        ("/apis/apps/v1/deployments", vec![("limit", "many")], 400, "many"),
        (
            "/apis/apps/v1/deployments",
            vec![("watch", "true"), ("sendInitialEvents", "true")],
            422,
            "not offered",
        ),
    ] {
        let (found, message) = refusal(get(&story, path, &query, ""));
        assert_eq!(found, code, "{path}");
        assert!(message.contains(expected), "{path}: {message}");
    }
}

#[test]
fn nothing_can_be_written_and_clients_that_ask_first_are_told() {
    let story = Story::told();
    let path = "/api/v1/namespaces/prod/configmaps";
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let refused = ask(&story, &Request { method, path, ..Request::default() }).unwrap_err();
        assert_eq!(refused.code, 405, "{method}");
        assert!(refused.body()["message"].as_str().unwrap().contains("the past cannot be changed"));
    }
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    for (verb, allowed) in [("list", true), ("delete", false)] {
        let body = json!({"spec": {"resourceAttributes": {"verb": verb}}}).to_string();
        let request = Request { method: "POST", path, body: body.as_bytes(), ..Request::default() };
        let Answer::Document(review) = ask(&story, &request).unwrap() else { panic!("a watch") };
        assert_eq!(review["status"]["allowed"], allowed, "{verb}");
    }
}

#[test]
fn a_watch_of_an_instant_is_silent() {
    let story = Story::told();
    let query = [("watch".to_owned(), "1".to_owned()), ("timeoutSeconds".into(), "30".into())];
    let path = "/apis/apps/v1/deployments";
    let request = Request { method: "GET", path, query: &query, ..Request::default() };
    assert_eq!(ask(&story, &request), Ok(Answer::Silence(Some(30))));
}
