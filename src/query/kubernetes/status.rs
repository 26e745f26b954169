//! What is wrong with a request, as a `meta/v1` Status that Kubernetes clients print.

use serde_json::{Value, json};

/// A refusal.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The HTTP status code.
    pub code: u16,
    reason: &'static str,
    message: String,
    details: Value,
}

impl Refusal {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: json!({}) }
    }

    /// There is nothing of that kind or at that path.
    #[must_use]
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(404, "NotFound", message)
    }

    /// The object was not there.
    #[must_use]
    pub fn absent(group: &str, plural: &str, name: &str, message: impl Into<String>) -> Self {
        let details = json!({"name": name, "group": group, "kind": plural});
        Self { details, ..Self::new(404, "NotFound", message) }
    }

    /// The request cannot be understood.
    #[must_use]
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// The client is not known.
    #[must_use]
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, "Unauthorized", message)
    }

    /// Nothing can be written.
    #[must_use]
    pub fn read_only(method: &str) -> Self {
        let message = format!(
            "the past cannot be changed: {method} is refused; write to the cluster itself, or use greffier"
        );
        Self::new(405, "MethodNotAllowed", message)
    }

    /// The request is understood and means something that is not offered; clients fall back.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    /// Too much is asked for at once.
    #[must_use]
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(429, "TooManyRequests", message)
    }

    /// greffier itself failed.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", message)
    }

    /// What is wrong, for a person.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": self.details,
            "code": self.code})
    }
}
