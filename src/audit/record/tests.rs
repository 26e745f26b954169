//! `captured.txt` has lines of a real API server's log (1.36, driven by kubectl), each behind a
//! name; field ownership and what the responses say of specs' status were taken out of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::ledger::event::ServedKind;
use crate::replay::World;

fn world() -> World {
    let mut world = World::default();
    let namespaced = [
        ("apps", "Deployment", "deployments", true),
        ("apps", "ReplicaSet", "replicasets", true),
        ("", "ConfigMap", "configmaps", true),
        ("", "Secret", "secrets", true),
        ("", "Pod", "pods", true),
        ("coordination.k8s.io", "Lease", "leases", false),
    ];
    let kinds = namespaced.into_iter().map(|(group, kind, plural, watched)| {
        (GroupKind::new(group, kind), plural, Scope::Namespaced, watched)
    });
    let cluster = [(GroupKind::new("", "Namespace"), "namespaces", Scope::Cluster, true)];
    for (kind, plural, scope, watched) in kinds.chain(cluster) {
        let (version, plural) = ("v1".to_owned(), plural.to_owned());
        let served =
            ServedKind { kind: kind.clone(), version, plural, scope, watched, watchable: true };
        world.cluster.kinds.insert(kind, served);
    }
    world
}

fn kinds() -> Kinds {
    Kinds::of(&world())
}

fn captured() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("captured.txt").lines();
    lines.map(|line| line.split_once(' ').unwrap()).collect()
}

fn event(name: &str) -> Value {
    serde_json::from_str(captured()[name]).unwrap()
}

fn about(event: &Value) -> About {
    understand(event, &kinds()).unwrap().about
}

fn only(about: About) -> AuditReceivedV1 {
    match about {
        About::Write(mut events) if events.len() == 1 => events.remove(0),
        other => panic!("{other:?}"),
    }
}

fn write(name: &str) -> AuditReceivedV1 {
    only(read(captured()[name].as_bytes(), &kinds()).unwrap().about)
}

fn fields(paths: &[&str]) -> AuditReach {
    AuditReach::Fields(paths.iter().map(|path| (*path).to_owned()).collect())
}

const WEB: &str = "1df3d6d0-4427-4ca4-a1e4-98f3e210766c";
const APPLIED: &str = ".metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]";

/// What each real request says: who, verb, object, resulting version, reach.
#[test]
fn real_requests_say_who_wrote_what() {
    let web = "Deployment.apps/default/web";
    let containers = ".spec.template.spec.containers";
    for (name, who, verb, object, uid, version, reach) in [
        ("apply_create", "alice", "create", web, WEB, "218", AuditReach::Whole),
        ("apply_patch", "bob", "patch", web, WEB, "236", fields(&[APPLIED, containers])),
        (
            "json_patch",
            "bob",
            "patch",
            web,
            WEB,
            "320",
            fields(&[
                ".metadata.annotations[x.y/z]",
                ".spec.template.spec.containers.0.image",
                ".spec.template.spec.containers[].image",
            ]),
        ),
        (
            "merge_patch",
            "bob",
            "patch",
            web,
            WEB,
            "369",
            fields(&[".metadata.labels.m", ".metadata.labels.n"]),
        ),
        ("strategic_patch", "alice", "patch", web, WEB, "370", fields(&[containers])),
        ("scale", "alice", "patch", web, WEB, "402", fields(&[".spec.replicas"])),
        ("edit", "bob", "patch", web, WEB, "426", fields(&[".spec.replicas", ".status.replicas"])),
        ("delete_orphan", "bob", "delete", web, WEB, "452", AuditReach::Whole),
        (
            "delete",
            "alice",
            "delete",
            "ConfigMap/default/c1",
            "b1b4bf84-13aa-4a01-b9ef-3f6604b78899",
            "",
            AuditReach::Whole,
        ),
        (
            "generate_name",
            "alice",
            "create",
            "ConfigMap/default/gen-zpmwj",
            "4b4b88ed-c2e3-4a8f-9f05-474e9f6917b6",
            "450",
            AuditReach::Whole,
        ),
        ("secret", "alice", "create", "Secret/default/s", "", "", AuditReach::Whole),
    ] {
        let event = write(name);
        let found = (
            event.user.name.as_str(),
            event.verb.as_str(),
            event.key.to_string(),
            event.uid.as_str(),
            event.resource_version.as_str(),
            event.reach,
        );
        assert_eq!(found, (who, verb, object.to_owned(), uid, version, reach), "{name}");
    }
}

#[test]
fn a_server_side_apply_is_told_from_a_patch() {
    let event = write("server_side_apply");
    let AuditReach::Applied(paths) = event.reach else { panic!("{:?}", event.reach) };
    assert!(paths.contains(&".spec.replicas".to_owned()), "{paths:?}");
    assert_eq!((event.resource_version.as_str(), event.field_manager.as_str()), ("316", "ci"));
}

#[test]
fn credentials_are_of_the_authenticated_user_and_both_users_are_named() {
    let account = *write("service_account").user;
    assert_eq!(account.name, "system:serviceaccount:default:ci");
    assert_eq!(account.credential, "JTI=f8877da3-e48f-48f9-a491-1b1b7a7ea72d");
    let mut event = event("service_account");
    event["user"]["extra"]["authentication.kubernetes.io/pod-name"] = json!(["runner-1"]);
    assert_eq!(only(about(&event)).user.pod, "default/runner-1");

    let acting = write("impersonated");
    assert_eq!(acting.user.name, "alice");
    assert_eq!(acting.impersonated.unwrap().name, "carol");
    // Whoever impersonates may claim any credential.
    let mut event = self::event("impersonated");
    event["impersonatedUser"]["extra"] =
        json!({"authentication.kubernetes.io/credential-id": ["JTI=x"]});
    assert_eq!(only(about(&event)).impersonated.unwrap().credential, "");
}

#[test]
fn scale_keeps_its_subresource_and_deletions_their_propagation() {
    let scale = write("scale");
    assert_eq!((scale.subresource.as_str(), scale.key.kind()), ("scale", "Deployment"));
    assert_eq!(write("delete_orphan").propagation, "Orphan");
    assert_eq!(write("delete").propagation, "Background");
    assert_eq!(write("scale").propagation, "");
}

/// The version of a deletion is that of the mark. An object that was removed at once is shown as
/// it was before: that is another one's version.
#[test]
fn a_removal_has_no_version_of_its_own() {
    let mut event = event("delete_orphan");
    let metadata = event.pointer_mut("/responseObject/metadata").unwrap();
    metadata.as_object_mut().unwrap().remove("deletionTimestamp").unwrap();
    let found = only(about(&event));
    assert_eq!((found.uid.as_str(), found.resource_version.as_str()), (WEB, ""));
}

#[test]
fn each_object_of_a_deleted_collection_is_told() {
    let gone = write("delete_collection");
    assert_eq!(gone.key.to_string(), "ConfigMap/default/kube-root-ca.crt");
    assert_eq!((gone.verb.as_str(), gone.propagation.as_str()), ("deletecollection", "Foreground"));
    assert_eq!(gone.uid, "b8c212e9-4e37-4e23-98ce-358b560b4cb7");
    assert_eq!(gone.resource_version, "", "it is what another request made of it");
    // Without the answer nobody knows which; with an empty one there was none.
    let mut event = event("delete_collection");
    event["responseObject"]["items"] = json!([]);
    assert_eq!(about(&event), About::Write(Vec::new()));
    event.as_object_mut().unwrap().remove("responseObject");
    assert_eq!(only(about(&event)).key.name(), "");
}

#[test]
fn what_changes_no_observed_object_is_left_out() {
    assert_eq!(about(&event("status")), About::Status);
    assert_eq!(about(&event("dry_run")), About::Nothing);
    for (pointer, value) in [
        ("/stage", json!("ResponseStarted")),
        ("/verb", json!("get")),
        ("/responseStatus/code", json!(409)),
        ("/requestURI", json!("/apis/x?fieldManager=a&dryRun=All")),
        ("/objectRef/subresource", json!("exec")),
        ("/objectRef/apiGroup", json!("authorization.k8s.io")),
        ("/objectRef", json!({"resource": "bindings", "namespace": "prod", "name": "web-0"})),
        ("/objectRef", json!(null)),
    ] {
        let mut event = event("merge_patch");
        event["objectRef"]["subresource"] = json!("");
        *event.pointer_mut(pointer).unwrap() = value;
        assert_eq!(about(&event), About::Nothing, "{pointer}");
    }
}

/// Goal: it is known who put a Pod on its Node.
#[test]
fn a_binding_is_a_write_to_the_pod() {
    let bound = write("binding");
    assert_eq!(bound.key.to_string(), "Pod/default/web-5bbd998bc7-nhn8n");
    assert_eq!(
        (bound.user.name.as_str(), &*bound.subresource),
        ("system:kube-scheduler", "binding")
    );
    assert_eq!((bound.uid.as_str(), bound.resource_version.as_str()), ("", ""), "not shown");
    let AuditReach::Fields(places) = &bound.reach else { panic!("{bound:?}") };
    assert_eq!(places[0], ".spec.nodeName");
}

/// Goal: a deletion with a body that also says `?dryRun=All` in its URL was carried out.
#[test]
fn the_body_of_a_deletion_alone_says_whether_it_was_a_dry_run() {
    let options = |dry: Value| json!({"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": dry});
    let all = json!(["All"]);
    for (uri, level, body, carried_out) in [
        ("?dryRun=All", "RequestResponse", options(json!(null)), true),
        ("?dryRun=All", "RequestResponse", options(all.clone()), false),
        ("", "RequestResponse", options(all), false),
        ("?dryRun=All", "RequestResponse", json!(null), false),
        ("?dryRun=All", "Metadata", json!(null), true),
    ] {
        let mut event = event("delete");
        event["requestURI"] = json!(format!("/api/v1/x{uri}"));
        event["level"] = json!(level);
        event["requestObject"] = body.clone();
        let recorded = matches!(about(&event), About::Write(_));
        assert_eq!(recorded, carried_out, "{uri} {level} {body}");
    }
}

#[test]
fn excluded_kinds_are_recorded_where_an_application_has_the_object() {
    let mut event = event("merge_patch");
    event["objectRef"] = json!({"resource": "leases", "apiGroup": "coordination.k8s.io",
        "namespace": "prod", "name": "lock"});
    assert_eq!(about(&event), About::Nothing);
    let mut world = world();
    let key = ObjectKey::new("coordination.k8s.io", "Lease", "prod", "lock");
    world.cluster.named.insert(key.clone());
    let found = understand(&event, &Kinds::of(&world)).unwrap().about;
    assert_eq!(only(found).key, key);
}

/// Annotations and labels of some kinds can be set through the status.
#[test]
fn a_patch_of_the_status_that_brings_more_is_a_write() {
    let mut event = event("merge_patch");
    event["objectRef"]["subresource"] = json!("status");
    event["requestObject"] = json!({"metadata": {"uid": "u"}, "status": {"replicas": 1}});
    assert_eq!(about(&event), About::Status);
    event["requestObject"]["metadata"]["annotations"] = json!({"a": "1"});
    let found = only(about(&event));
    assert_eq!((found.subresource.as_str(), found.resource_version.as_str()), ("status", "369"));
    event["requestObject"] = json!([{"op": "replace", "path": "/statusQuo", "value": 1}]);
    only(about(&event));
}

#[test]
fn a_namespace_is_in_no_namespace() {
    let mut event = event("merge_patch");
    event["objectRef"] =
        json!({"resource": "namespaces", "namespace": "prod", "name": "prod", "apiVersion": "v1"});
    assert_eq!(only(about(&event)).key, ObjectKey::new("", "Namespace", "", "prod"));
}

/// A kind that is served since a moment ago is known by the object itself; without one, nothing
/// is made up.
#[test]
fn an_unknown_resource_is_known_by_its_object_or_not_at_all() {
    let mut event = event("merge_patch");
    event["objectRef"]["apiGroup"] = json!("shop.example");
    event["objectRef"]["resource"] = json!("carts");
    event["objectRef"]["name"] = json!("c");
    assert_eq!(about(&event), About::UnknownKind);
    event["responseObject"] = json!({"apiVersion": "shop.example/v1", "kind": "Cart",
        "metadata": {"name": "c", "uid": "u", "resourceVersion": "7"}});
    let found = only(about(&event));
    assert_eq!(found.key.to_string(), "Cart.shop.example/default/c");
    assert_eq!(found.resource_version, "7");
    event["objectRef"]["subresource"] = json!("scale");
    assert_eq!(about(&event), About::UnknownKind, "its body is a Scale");
}

/// The reference and the request say what the client says.
#[test]
fn nothing_that_the_client_says_is_taken_for_the_result() {
    let mut event = event("apply_create");
    event.as_object_mut().unwrap().remove("responseObject");
    event["objectRef"]["uid"] = json!("forged");
    event["objectRef"]["resourceVersion"] = json!("999");
    let found = only(about(&event));
    assert_eq!((found.uid.as_str(), found.resource_version.as_str()), ("", ""), "a creation");
    event["verb"] = json!("update");
    event["responseStatus"]["code"] = json!(200);
    let found = only(about(&event));
    assert_eq!(
        (found.uid.as_str(), found.resource_version.as_str()),
        ("forged", ""),
        "an update of another uid would have been refused"
    );
    // An answer about something else proves nothing.
    let mut event = self::event("merge_patch");
    event["responseObject"]["metadata"]["name"] = json!("other");
    assert_eq!(only(about(&event)).resource_version, "");
    // Proxies in front of the last hop are the client's word.
    event["sourceIPs"] = json!(["8.8.8.8", "1.1.1.1", "10.0.0.9"]);
    assert_eq!(only(about(&event)).source_ip, "10.0.0.9");
}

#[test]
fn an_eviction_deletes_its_pod() {
    let mut event = event("delete_pod");
    event["verb"] = json!("create");
    event["objectRef"]["subresource"] = json!("eviction");
    event["responseStatus"]["code"] = json!(201);
    event["responseObject"] = json!({"kind": "Status", "apiVersion": "v1", "status": "Success"});
    let found = only(about(&event));
    assert_eq!(found.key, ObjectKey::new("", "Pod", "default", "p1"));
    assert_eq!((found.subresource.as_str(), found.resource_version.as_str()), ("eviction", ""));
}

#[test]
fn webhooks_that_changed_the_request_are_named() {
    let mut event = event("apply_create");
    let told = |name: &str, mutated: bool| {
        json!(json!({"configuration": "inject", "webhook": name, "mutated": mutated}).to_string())
    };
    let prefix = "mutation.webhook.admission.k8s.io/round_0_index_";
    event["annotations"][format!("{prefix}0")] = told("sidecar.x", true);
    event["annotations"][format!("{prefix}1")] = told("idle.x", false);
    event["annotations"][format!("{prefix}2")] = json!("not JSON");
    assert_eq!(only(about(&event)).webhooks, ["inject/sidecar.x"]);
}

#[test]
fn what_is_kept_is_bounded_and_two_users_stay_two() {
    let mut event = event("merge_patch");
    let long = "n".repeat(100_000);
    event["auditID"] = json!(long);
    event["userAgent"] = json!("ü".repeat(1_000));
    event["user"]["groups"] = json!(vec!["g"; 100]);
    let mut names = Vec::new();
    for end in ["1", "2"] {
        event["user"]["username"] = json!(format!("{long}{end}"));
        let found = only(about(&event));
        assert_eq!((found.audit_id.len(), found.user_agent.len()), (128, 256));
        assert_eq!(found.user.groups.len(), 32);
        assert!(found.user.name.len() <= 512, "{}", found.user.name.len());
        names.push(found.user.name);
    }
    assert_ne!(names[0], names[1]);
}

#[test]
fn malformed_records_are_refused_without_quoting_them() {
    let kinds = kinds();
    let secret = "hunter2";
    let mut events = Vec::new();
    for (field, value) in [
        ("kind", json!(secret)),
        ("apiVersion", json!("audit.k8s.io/v1beta1")),
        ("auditID", json!({"a": secret})),
        ("stage", json!(null)),
        ("verb", json!(3)),
        ("level", json!(secret)),
        ("stageTimestamp", json!(secret)),
        ("requestReceivedTimestamp", json!(null)),
        ("user", json!(secret)),
    ] {
        let mut event = event("merge_patch");
        event[field] = value;
        events.push(event.to_string());
    }
    events.extend([format!("{{\"a\": {secret}"), format!("\"{secret}\""), String::new()]);
    for line in events {
        let error = read(line.as_bytes(), &kinds).unwrap_err().to_string();
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn queries_are_decoded() {
    let query = Query::of("/x?fieldManager=a%20b%2Fc+d&dryRun=All&bad=%zz&=&novalue");
    assert_eq!(query.value("fieldManager"), "a b/c d");
    assert_eq!(query.value("bad"), "%zz");
    assert!(query.has("dryRun", "All") && !query.has("dryRun", "None"));
}
