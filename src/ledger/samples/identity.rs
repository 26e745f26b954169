//! Which cluster is kept.

use super::super::event::*;
use crate::model::{GroupKind, Seq};

pub(super) fn identity() -> Vec<Event> {
    let (version, server) = ("v1.36.3".to_owned(), "https://127.0.0.1:6443".to_owned());
    vec![
        ClusterReplacedV1 {
            kept: "u".into(),
            uid: "v".into(),
            version: version.clone(),
            server: server.clone(),
        }
        .into(),
        ClusterRevertedV1 {
            uid: "u".into(),
            version,
            server,
            kind: GroupKind::new("", "ConfigMap"),
            observed: 1_200,
            revision: 900,
        }
        .into(),
        ClusterAcceptedV1 { uid: "v".into(), doubt: Seq(9), reason: "rebuilt".into() }.into(),
    ]
}
