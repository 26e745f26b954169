use serde_json::json;

use super::*;

fn call(method: Method, secret: bool) -> Call {
    Call {
        method,
        secret,
        ..Call::get(
            "/api/v1/namespaces/prod/configmaps/web?force=true".into(),
            "apply ConfigMap/prod/web".into(),
            "v1 ConfigMap".into(),
            Duration::from_secs(1),
        )
    }
}

#[test]
fn a_write_tells_the_api_server_how_long_it_may_take() {
    let write = request_of(&call(Method::PATCH, false)).unwrap();
    assert!(write.uri().to_string().ends_with("?force=true&timeout=1000ms"), "{}", write.uri());
    let read = request_of(&call(Method::GET, false)).unwrap();
    assert!(!read.uri().to_string().contains("timeout"), "{}", read.uri());
}

fn class(status: u16, answer: &str) -> Class {
    let status = StatusCode::from_u16(status).unwrap();
    refusal(&call(Method::PATCH, false), status, answer.as_bytes(), None).class()
}

fn status(reason: &str, details: Value) -> String {
    json!({"kind": "Status", "message": "said", "reason": reason, "details": details}).to_string()
}

#[test]
fn answers_mean_what_the_api_says_they_mean() {
    let named = |kind: &str| status("NotFound", json!({"kind": kind, "name": "prod"}));
    let terminating = status("Forbidden", json!({"causes": [{"reason": "NamespaceTerminating"}]}));
    let second = Class::Throttled { retry_after: RETRY_AFTER_DEFAULT };
    for (code, answer, expected) in [
        (400, status("BadRequest", json!({})), Class::Refused),
        (401, status("Unauthorized", json!({})), Class::Unauthorized),
        (403, status("Forbidden", json!({})), Class::Refused),
        (403, terminating, Class::NamespaceTerminating),
        (404, "404 page not found".to_owned(), Class::NotServed),
        (404, status("NotFound", json!({})), Class::NotServed),
        (404, named("namespaces"), Class::NamespaceMissing),
        (404, named("configmaps"), Class::NotFound),
        (405, status("MethodNotAllowed", json!({})), Class::Refused),
        (409, status("Conflict", json!({})), Class::Conflict),
        (410, status("Expired", json!({})), Class::Expired),
        (
            504,
            status("Timeout", json!({"causes": [{"reason": "ResourceVersionTooLarge"}]})),
            Class::Expired,
        ),
        (422, status("Invalid", json!({})), Class::Refused),
        (429, String::new(), second),
        (500, status("InternalError", json!({})), Class::Transient),
        (503, status("ServiceUnavailable", json!({})), Class::Transient),
        // Proxies, which may have passed the request on.
        (502, "bad gateway".to_owned(), Class::Unknown),
        (503, "not json".to_owned(), Class::Unknown),
        // The API server gave up waiting for etcd or an admission webhook.
        (504, status("Timeout", json!({})), Class::Unknown),
    ] {
        assert_eq!(class(code, &answer), expected, "{code} {answer}");
    }
    let misfit =
        json!({"kind": "Status", "message": "failed to create typed patch object (a; v1)"});
    assert_eq!(class(500, &misfit.to_string()), Class::Refused);
    for store in ["etcdserver: request timed out", "rpc error: code = Unavailable desc = x"] {
        let lost = json!({"kind": "Status", "reason": "InternalError", "message": store});
        assert_eq!(class(500, &lost.to_string()), Class::Unknown, "{store}");
    }
}

#[test]
fn an_api_without_server_side_apply_is_told_from_a_refusal() {
    let apply = Call { body: Some((b"{}".to_vec(), APPLY)), ..call(Method::PATCH, false) };
    for code in [405, 415] {
        let code = StatusCode::from_u16(code).unwrap();
        let answer = status("UnsupportedMediaType", json!({}));
        assert_eq!(refusal(&apply, code, answer.as_bytes(), None).class(), Class::NoApply);
        let other = refusal(&call(Method::PUT, false), code, answer.as_bytes(), None);
        assert_eq!(other.class(), Class::Refused);
    }
}

#[test]
fn a_read_that_times_out_in_the_server_is_only_transient() {
    let error = refusal(&call(Method::GET, false), StatusCode::GATEWAY_TIMEOUT, b"", None);
    assert_eq!(error.class(), Class::Transient);
}

#[test]
fn messages_name_the_subject_and_the_cause() {
    let answer = status("Invalid", json!({}));
    let error = refusal(
        &call(Method::PATCH, false),
        StatusCode::UNPROCESSABLE_ENTITY,
        answer.as_bytes(),
        None,
    );
    assert_eq!(error.to_string(), "apply ConfigMap/prod/web: refused (422 Invalid): said");
    let answer = status("Forbidden", json!({"causes": [{"reason": "NamespaceTerminating"}]}));
    let error =
        refusal(&call(Method::PATCH, false), StatusCode::FORBIDDEN, answer.as_bytes(), None);
    assert_eq!(error.to_string(), "apply ConfigMap/prod/web: namespace `prod` is being deleted");
}

#[test]
fn texts_about_secrets_are_withheld() {
    let answer = json!({"kind": "Status", "reason": "Invalid", "message": "canary",
        "details": {"name": "canary", "causes": [
            {"field": "data[password]", "reason": "FieldValueInvalid", "message": "canary"},
            {"field": "data[canary+/1]", "reason": "FieldValueInvalid", "message": "canary"}]}});
    for bytes in [answer.to_string(), "plain canary".to_owned()] {
        let error = refusal(
            &call(Method::PATCH, true),
            StatusCode::UNPROCESSABLE_ENTITY,
            bytes.as_bytes(),
            None,
        );
        assert!(!format!("{error:?} {}", error.chain()).contains("canary"), "{error:?}");
    }
    let error = refusal(
        &call(Method::PATCH, true),
        StatusCode::UNPROCESSABLE_ENTITY,
        answer.to_string().as_bytes(),
        None,
    );
    assert!(
        error
            .to_string()
            .contains("data[password] (FieldValueInvalid), data[…] (FieldValueInvalid)"),
        "{error}"
    );
    let words = "exceeded quota: ";
    let answer = status("Forbidden", json!({})).to_string();
    let answer = answer.replace("said", &format!("canary {words}canary"));
    let error = refusal(&call(Method::POST, true), StatusCode::FORBIDDEN, answer.as_bytes(), None);
    let error = error.to_string();
    assert!(error.contains(words) && !error.contains("canary"), "{error}");
}

#[test]
fn hostile_header_values_are_an_error() {
    let mut call = call(Method::PATCH, false);
    call.audit_id = Some("a\nb".into());
    assert!(request_of(&call).is_err());
    call.audit_id = None;
    call.path = "/ a".into();
    assert!(request_of(&call).is_err());
}
