//! What has to be known of a replay where the cluster that is kept is, or was, in doubt.

use crate::query::cluster::Known;
use crate::recovery::progress::InTheWay;
use crate::replay::{Doubt, World};

/// Why the cluster `uid` is no target of a replay while the daemon that says `known` of it keeps
/// or watches that very one.
#[must_use]
pub fn of_daemon(known: &Known, observe: bool, uid: &str) -> Option<InTheWay> {
    if known.uid != uid || known.lost.is_some() || observe {
        return None;
    }
    let (why, hint) = match &known.doubt {
        None => (
            "the daemon keeps this very cluster and puts back what is missing by itself".to_owned(),
            "`greffier status` says how far it is",
        ),
        Some(doubt) => (
            format!(
                "the daemon watches this very cluster and is in DOUBT whether it is the one to be \
                 kept: {}; until a person has accepted it, nothing is put back",
                doubt.what
            ),
            "`greffier cluster accept --plan` shows what the daemon puts back once it is accepted; \
             without the daemon it can be a target",
        ),
    };
    Some(InTheWay { why, objects: Vec::new(), hint: hint.to_owned() })
}

/// That what was observed is of another cluster than what was kept before.
pub(super) fn observed(world: &World) -> Option<String> {
    let cluster = &world.cluster;
    let identity = &cluster.identity;
    let last = |seq: u64| format!("--at '#{}' is the last of it before", seq.saturating_sub(1));
    if let (Some(doubt), Some(text)) = (cluster.doubt(), cluster.doubt_text()) {
        let seq = doubt.seq().0;
        let whose = match doubt {
            Doubt::Replaced(_) => "is that one's, and not of the cluster that is kept",
            Doubt::Reverted(_) => "is as it was set back to",
        };
        return Some(format!("DOUBT: {text}; what was observed since {whose}: {}", last(seq)));
    }
    if identity.resumed > identity.since {
        let seq = identity.resumed.0;
        return Some(format!(
            "the cluster was set back, and accepted so with #{seq}: what was observed is as it was \
             set back to, and what has come since"
        ));
    }
    let former = identity.formers.last()?;
    Some(format!(
        "the cluster that is kept was accepted with #{} in place of {}: what was observed is of the \
         new one; of the former cluster {}",
        former.accepted,
        former.uid,
        last(former.until.0)
    ))
}
