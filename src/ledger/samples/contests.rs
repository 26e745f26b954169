//! What others keep undoing, and what is left to them.

use super::super::event::*;
use super::{app, object};
use crate::model::{Digest, ObjectKey};

pub(super) fn events() -> Vec<Event> {
    vec![
        ObjectPreviewedV1 {
            app: app(),
            key: object(),
            digest: Digest([11; 32]),
            uid: "u".into(),
            live: Digest([12; 32]),
            mask: Digest([14; 32]),
            result: Preview::Refused("admission webhook".into()),
        }
        .into(),
        ContestNamedV1 {
            app: app(),
            key: object(),
            path: ".spec.replicas".into(),
            manager: "scaler".into(),
            wait_ms: 2_000,
        }
        .into(),
        ContestEndedV1 {
            app: app(),
            key: object(),
            path: ".spec.replicas".into(),
            manager: String::new(),
        }
        .into(),
        ReplicasLeftV1 {
            app: app(),
            key: object(),
            autoscaler: ObjectKey::new("autoscaling", "HorizontalPodAutoscaler", "prod", "web"),
        }
        .into(),
    ]
}
