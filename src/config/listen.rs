//! Where greffier can be reached over the network, and how it knows who asks.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A place to listen at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// Where: address and port. Without one, nothing is listened for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Its certificate, with those between it and the authority (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// The authority of the clients: each must show a certificate of it (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// A file with the token that each client must show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Whether nobody need show anything: everybody on this machine may ask.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
}

/// What is listened for: the names of the keys, and what they protect.
pub(super) struct Purpose {
    keys: [&'static str; 5],
    /// What whoever may read on the way, or ask without being known, could do.
    harm: &'static str,
    /// Whether everybody on this machine may be let in.
    may_be_anonymous: bool,
}

/// The API server's audit webhook.
pub(super) const WEBHOOK: Purpose = Purpose {
    keys: [
        "audit.webhook.listen",
        "audit.webhook.tls_cert",
        "audit.webhook.tls_key",
        "audit.webhook.client_ca",
        "audit.webhook.anonymous",
    ],
    harm: "could make up records",
    may_be_anonymous: false,
};

/// The past as a Kubernetes API.
pub(super) const PAST: Purpose = Purpose {
    keys: ["past.listen", "past.tls_cert", "past.tls_key", "past.client_ca", "past.anonymous"],
    harm: "could read all that was recorded",
    may_be_anonymous: true,
};

impl ListenConfig {
    /// Checks what no type can say: the key and the problem of the first value that is wrong.
    pub(super) fn check(&self, purpose: &Purpose) -> Result<(), (&'static str, String)> {
        let [listen_key, cert_key, key_key, ca_key, anonymous_key] = purpose.keys;
        let harm = purpose.harm;
        let wrong = |key: &'static str, problem: &str| Err((key, problem.to_owned()));
        let Some(listen) = self.listen else {
            // Whoever names a certificate or a token means to be reached.
            return match *self == Self::default() {
                true => Ok(()),
                false => wrong(listen_key, "is missing beside the other keys of this table"),
            };
        };
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return wrong(key_key, "is missing beside tls_cert"),
            (None, Some(_)) => return wrong(cert_key, "is missing beside tls_key"),
            (None, None) if !listen.ip().is_loopback() => {
                let problem = format!(
                    "without tls_cert and tls_key it must be a loopback address: who may read on \
                     the way {harm}"
                );
                return Err((listen_key, problem));
            }
            (None, None) if self.client_ca.is_some() => {
                let problem = "needs tls_cert and tls_key: certificates are shown in TLS only";
                return wrong(ca_key, problem);
            }
            _ => {}
        }
        let is_known = self.client_ca.is_some() || self.token_file.is_some();
        if self.anonymous && !purpose.may_be_anonymous {
            return Err((anonymous_key, format!("cannot be allowed: anybody {harm}")));
        }
        if self.anonymous && (is_known || !listen.ip().is_loopback()) {
            let problem = "is for a loopback address without client_ca and token_file only";
            return wrong(anonymous_key, problem);
        }
        if !is_known && !self.anonymous {
            return Err((listen_key, format!("needs client_ca or token_file: anybody {harm}")));
        }
        Ok(())
    }
}
