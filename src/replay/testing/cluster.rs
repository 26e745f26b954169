//! What the cluster says.

use super::*;

impl Given {
    // --- the cluster

    /// What the cluster would say of an object that just came or changed.
    pub(crate) fn observation(&mut self, text: &str) -> ObjectObservedV1 {
        self.counter += 1;
        let key = key(text);
        let uid = self.world.live.get(&key).map(|live| live.uid.clone());
        let bytes = format!("{key} {}", self.counter);
        ObjectObservedV1 {
            version: "v1".into(),
            uid: uid.unwrap_or_else(|| format!("uid-{}", self.counter)),
            resource_version: self.counter.to_string(),
            generation: 1,
            added: false,
            learned: Learned::Watched,
            digest: Digest::of(bytes.as_bytes()),
            owned: None,
            object: BlobAddr::of(bytes.as_bytes()),
            status: None,
            images: Vec::new(),
            managers: Vec::new(),
            controller: None,
            health: self.health.get(&key).copied().unwrap_or(Health::Healthy),
            health_message: "as reported".into(),
            health_rules: 1,
            deleting: false,
            claimed_by: String::new(),
            protection: self.protected.get(&key).copied().unwrap_or_default(),
            managed_by: String::new(),
            scales: None,
            key,
        }
    }

    /// An object came or was changed by somebody else.
    pub(crate) fn sees(&mut self, text: &str) -> Touched {
        let observation = self.observation(text);
        self.event(observation)
    }

    /// An object came or was changed that shows another GitOps manager.
    pub(crate) fn sees_managed(&mut self, text: &str, manager: &str) {
        let observation = self.observation(text);
        self.event(ObjectObservedV1 { managed_by: manager.into(), ..observation });
    }

    /// The object is on its way out.
    pub(crate) fn sees_deleting(&mut self, text: &str) {
        let observation = ObjectObservedV1 { deleting: true, ..self.observation(text) };
        self.event(observation);
    }

    pub(crate) fn loses(&mut self, text: &str) {
        let key = key(text);
        let uid = self.world.live[&key].uid.clone();
        self.event(ObjectGoneV1 { key, uid, learned: Learned::Watched });
    }

    /// The comparison that the plan asks for found this.
    pub(crate) fn finds(&mut self, app: &str, text: &str, kind: DriftKind) {
        let observation = self.world.live.get(&key(text)).map_or(self.world.seq, |live| live.seq);
        self.event(DriftDetectedV1 {
            app: name(app),
            key: key(text),
            kind,
            fields: Vec::new(),
            places: Vec::new(),
            managers: Vec::new(),
            observation,
            mask: self.mask(app, text),
            saved: None,
            later: None,
        });
    }

    /// The dry run that the plan asks for is answered like this.
    pub(crate) fn previews(&mut self, app: &str, asked: &DryRun, result: Preview) -> Touched {
        self.event(ObjectPreviewedV1 {
            app: name(app),
            key: asked.key.clone(),
            digest: asked.digest,
            uid: asked.uid.clone(),
            live: asked.live,
            mask: asked.mask_digest,
            result,
        })
    }

    /// What the application ignores of the object, as events tell it.
    pub(crate) fn mask(&self, app: &str, text: &str) -> Digest {
        self.world.ignored(&self.world.apps[&name(app)], &key(text)).digest()
    }
}
