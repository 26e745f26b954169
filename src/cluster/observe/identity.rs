//! Who answers: asked at first, and again whenever a connection was made since.

use serde_json::Value;

use super::conductor::Performance;
use super::known::Known;
use super::watched::Watched;
use super::{Behind, ClusterInput};
use crate::cluster::connection::Identity;
use crate::cluster::request::Error;
use crate::cluster::sights::{Shown, Sight};
use crate::ledger::event::ServedKind;
use crate::replay::Revisions;

/// How many kinds are looked at before a cluster is held to be where it should be. Bound: each
/// costs a request, and they are those that are the furthest ahead.
const KINDS_LOOKED_AT: usize = 8;

/// How many objects are looked at at once.
const LOOKS_AT_ONCE: usize = 8;

/// How it is asked who answers.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// What is served, where that was found out just now.
    pub(super) served: &'a [ServedKind],
    /// Whether single objects are looked at, too: after an outage or a start. Nobody restores a
    /// store under an API server that goes on.
    pub(super) closely: bool,
}

impl Performance {
    /// Asks who answers. Where it is another cluster than before, or the same at an earlier time,
    /// everything that was known of it is forgotten.
    pub(super) async fn identify(&mut self, asked: Asked<'_>) -> Result<(), Error> {
        let connection = self.shared.connection.clone();
        let generation = connection.guard.generation();
        let answered = connection.guard.answers();
        // Before it is asked: what is observed meanwhile is no earlier.
        let observed = connection.guard.known(&answered);
        let sights = if asked.closely { connection.guard.sights() } else { Vec::new() };
        let identity = match connection.identify().await {
            Ok(identity) => identity,
            // Without a name there is still a cluster. One that had one does not lose it: where
            // it may not be asked any more, another may answer, which does not know greffier yet.
            Err(error) if error.is_forbidden() && !connection.guard.keeps() => {
                tracing::warn!(error = error.chain(), "the cluster cannot be identified");
                connection.guard.nameless(generation);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let other = !answered.is_empty() && answered != identity.uid;
        let observed = if other { connection.guard.known(&identity.uid) } else { observed };
        let behind = match self.behind(&identity, &observed, asked.served).await? {
            None if !other => self.seen_earlier(sights).await?,
            behind => behind,
        };
        if other || behind.is_some() {
            self.begin_anew().await;
        }
        let (uid, reverted) = (identity.uid.clone(), behind.is_some());
        // Its revision moves all the time.
        let identity = Identity { revision: None, ..identity };
        let news = self.identity.as_ref() != Some(&identity);
        self.identity = Some(identity.clone());
        match behind {
            Some(behind) => self.say(ClusterInput::Reverted(identity, behind)).await,
            None if news => self.say(ClusterInput::Identified(identity)).await,
            None => {}
        }
        connection.guard.identified(&uid, generation, reverted);
        Ok(())
    }

    /// What shows that the cluster is behind what was observed of it. That is judged kind by kind:
    /// not all of them need to be kept in one store.
    async fn behind(
        &self,
        identity: &Identity,
        observed: &Revisions,
        served: &[ServedKind],
    ) -> Result<Option<Behind>, Error> {
        let Some(revision) = identity.revision else { return Ok(None) };
        for (kind, observed) in observed.beyond(revision).into_iter().take(KINDS_LOOKED_AT) {
            let known = self.catalogue.kinds.get(&kind);
            let known = known.or_else(|| served.iter().find(|served| served.kind == kind));
            let Some(served) = known.cloned() else { continue };
            let page = self.shared.connection.page(&Watched::whole(served), 1, "").await;
            let found = match page {
                Ok(page) => page.metadata.resource_version.parse::<u64>().ok(),
                Err(error) if error.is_outage() => return Err(error),
                // Nobody can tell.
                Err(_) => None,
            };
            if let Some(revision) = found.filter(|found| *found < observed) {
                return Ok(Some(Behind { kind, observed, revision }));
            }
        }
        Ok(None)
    }

    /// An object that is at an earlier version than was seen of it: revisions may have come past
    /// what was observed since the cluster was restored.
    async fn seen_earlier(&self, sights: Vec<Sight>) -> Result<Option<Behind>, Error> {
        for sights in sights.chunks(LOOKS_AT_ONCE) {
            let looks = sights.iter().map(|sight| async move {
                let found = self.shared.connection.get(&sight.key, &sight.version).await;
                (sight, found)
            });
            for (sight, found) in futures::future::join_all(looks).await {
                let raw = match found {
                    Ok(Some(raw)) => raw,
                    Err(error) if error.is_outage() => return Err(error),
                    Ok(None) | Err(_) => continue,
                };
                let text = |at| raw.pointer(at).and_then(Value::as_str).unwrap_or_default();
                let version = text("/metadata/resourceVersion");
                match sight.compare(text("/metadata/uid"), version) {
                    Shown::Same => return Ok(None),
                    Shown::Earlier => {
                        let (kind, observed) = (sight.key.group_kind(), sight.revision);
                        let revision = version.parse().unwrap_or_default();
                        return Ok(Some(Behind { kind, observed, revision }));
                    }
                    Shown::Else => {}
                }
            }
        }
        Ok(None)
    }

    /// What is known, and what the watches go on from, means nothing any more.
    async fn begin_anew(&mut self) {
        for kind in self.running.keys().cloned().collect::<Vec<_>>() {
            self.stop(&kind).await;
        }
        self.known = Known::default();
        self.said = None;
    }
}
