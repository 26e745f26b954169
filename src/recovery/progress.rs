//! How far a replay has come, from its events. Pure.
//!
//! A replay may be killed at any moment. Its events say what was meant to be written and what was
//! answered; of what was meant and not answered only the target knows.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::Step;
use crate::ledger::event::{
    Event, Recovered, RecoveryAbandonedV1, RecoveryBegunV1, RecoveryFinishedV1, RecoveryResult,
    RecoveryWrite,
};
use crate::model::{ObjectKey, Seq};

/// What is known of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was meant to be written, and nothing says what became of that.
    Open,
    /// It is there.
    Written(Recovered),
    /// It is not, and why.
    Failed(String),
    /// It was left alone, and why.
    Left(String),
}

/// A replay as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The event that began it.
    pub seq: Seq,
    /// How it was begun.
    pub begun: RecoveryBegunV1,
    /// The objects of its intents.
    pub fates: BTreeMap<ObjectKey, Fate>,
    /// How it ended, the last time that it did.
    pub finished: Option<RecoveryFinishedV1>,
    /// The event by which a person ended it, and what it says.
    pub abandoned: Option<(Seq, RecoveryAbandonedV1)>,
    /// What was gone when it went on, and was meant to be written again.
    pub again: BTreeSet<ObjectKey>,
    /// The intents with their objects.
    intents: BTreeMap<Seq, Vec<RecoveryWrite>>,
}

impl Progress {
    /// The uid that each object has on the target.
    #[must_use]
    pub fn uids(&self) -> BTreeMap<ObjectKey, String> {
        let written = self.fates.iter().filter_map(|(key, fate)| match fate {
            Fate::Written(recovered) => Some((key.clone(), recovered.uid.clone())),
            Fate::Open | Fate::Failed(_) | Fate::Left(_) => None,
        });
        written.collect()
    }

    /// Whether it has ended with everything as it was written.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.finished.as_ref().is_some_and(|finished| finished.verified)
    }

    /// Whether nobody goes on with it: it is verified, or a person has ended it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_verified() || self.abandoned.is_some()
    }

    /// How many objects it is known to have written.
    #[must_use]
    pub fn written(&self) -> u32 {
        let written = self.fates.values().filter(|fate| matches!(fate, Fate::Written(_)));
        u32::try_from(written.count()).unwrap_or(u32::MAX)
    }

    /// What it had written and the target does not have any more, with the uid that it had; `there`
    /// are the uids of what the target has. What is owned by something that is gone counts too, even
    /// if it is there still: it names an owner that there is no more, and is collected.
    #[must_use]
    pub fn gone(
        &self,
        steps: &[Step],
        there: &BTreeMap<ObjectKey, String>,
    ) -> BTreeMap<ObjectKey, String> {
        let mut gone = BTreeMap::new();
        // Owners come before what they own.
        for step in steps {
            let Some(Fate::Written(recovered)) = self.fates.get(&step.key) else { continue };
            let missing = there.get(&step.key).is_none_or(|uid| *uid != recovered.uid);
            if missing || step.owners.iter().any(|link| gone.contains_key(&link.owner)) {
                gone.insert(step.key.clone(), recovered.uid.clone());
            }
        }
        gone
    }

    /// A replay that begins.
    #[must_use]
    pub fn begun(seq: Seq, begun: RecoveryBegunV1) -> Self {
        let (fates, intents) = (BTreeMap::new(), BTreeMap::new());
        let (finished, abandoned, again) = (None, None, BTreeSet::new());
        Self { seq, begun, fates, finished, abandoned, again, intents }
    }

    /// How it ends as it is now, with the objects that are otherwise than they were written.
    #[must_use]
    pub fn ended(&self, steps: &[Step], differs: Vec<(ObjectKey, String)>) -> RecoveryFinishedV1 {
        let (mut failed, mut written) = (Vec::new(), 0);
        for step in steps {
            let why = match self.fates.get(&step.key) {
                Some(Fate::Written(_)) => {
                    written += 1;
                    continue;
                }
                Some(Fate::Failed(why) | Fate::Left(why)) => why.clone(),
                Some(Fate::Open) => "what became of its write is not known".to_owned(),
                None => "it was not written yet".to_owned(),
            };
            failed.push((step.key.clone(), why));
        }
        let verified = failed.is_empty() && differs.is_empty();
        let (recovery, uid) = (self.seq, self.begun.uid.clone());
        RecoveryFinishedV1 { recovery, uid, written, failed, differs, verified, milliseconds: 0 }
    }

    /// As if this were all that it had written.
    #[must_use]
    pub fn of_former(&self, former: &BTreeMap<ObjectKey, Former>) -> Self {
        let written = |former: &Former| Fate::Written(former.recovered.clone());
        let fates = former.iter().map(|(key, former)| (key.clone(), written(former)));
        Self { fates: fates.collect(), ..self.clone() }
    }

    fn fold(&mut self, seq: Seq, event: &Event) {
        match event {
            Event::RecoveryIntent(body) if body.recovery == self.seq => {
                let open = body.writes.iter().map(|write| (write.key.clone(), Fate::Open));
                self.fates.extend(open);
                let again = body.writes.iter().filter(|write| !write.again.is_empty());
                self.again.extend(again.map(|write| write.key.clone()));
                self.intents.insert(seq, body.writes.clone());
            }
            Event::RecoveryOutcome(body) if body.recovery == self.seq => {
                let Some(writes) = self.intents.get(&body.intent) else { return };
                for (index, result) in &body.results {
                    let write = usize::try_from(*index).ok().and_then(|index| writes.get(index));
                    let Some(write) = write else { continue };
                    self.fates.insert(write.key.clone(), Fate::of(result));
                }
            }
            Event::RecoveryFinished(body) if body.recovery == self.seq => {
                self.finished = Some(body.clone());
            }
            Event::RecoveryAbandoned(body) if body.recovery == self.seq => {
                self.abandoned = Some((seq, body.clone()));
            }
            _ => {}
        }
    }
}

impl Fate {
    /// What a result says.
    #[must_use]
    pub fn of(result: &RecoveryResult) -> Self {
        match result {
            RecoveryResult::Written(recovered) => Self::Written(recovered.clone()),
            RecoveryResult::Refused(why) => Self::Failed(why.clone()),
            RecoveryResult::Failed(why, tries) => Self::Failed(format!("{why} ({tries} tries)")),
            RecoveryResult::Left(why) => Self::Left(why.clone()),
        }
    }
}

/// All replays onto a target, from all events about replays in their order.
pub fn all_onto<'e>(
    uid: &str,
    events: impl IntoIterator<Item = (Seq, &'e Event)>,
) -> Vec<Progress> {
    let mut all: Vec<Progress> = Vec::new();
    for (seq, event) in events {
        match event {
            Event::RecoveryBegun(body) if body.uid == uid => {
                all.push(Progress::begun(seq, body.clone()));
            }
            other => {
                if let Some(progress) = all.last_mut() {
                    progress.fold(seq, other);
                }
            }
        }
    }
    all
}

/// What an earlier replay wrote onto a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// The event that began that replay.
    pub recovery: Seq,
    /// What was meant to be written.
    pub write: RecoveryWrite,
    /// What was answered.
    pub recovered: Recovered,
}

/// What the replays that are verified wrote, the last word on each object. What a person has
/// abandoned was not to be there, or not like that.
#[must_use]
pub fn written_before(replays: &[Progress]) -> BTreeMap<ObjectKey, Former> {
    let mut written = BTreeMap::new();
    for replay in replays.iter().filter(|replay| replay.is_verified()) {
        for write in replay.intents.values().flatten() {
            if let Some(Fate::Written(recovered)) = replay.fates.get(&write.key) {
                let (recovery, recovered) = (replay.seq, recovered.clone());
                let former = Former { recovery, write: write.clone(), recovered };
                written.insert(write.key.clone(), former);
            }
        }
    }
    written
}

/// What is in the way of a replay: why it is refused, and each object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InTheWay {
    /// Why, in words.
    pub why: String,
    /// The objects that are there.
    pub objects: Vec<String>,
    /// What to do.
    pub hint: String,
}

/// Why a new replay onto a target is refused; `there` are the objects of the plan, with what is to
/// be said of them, that the target has, that it does not make by itself, and that no earlier replay
/// wrote as they would be written; `own` is whether it is the ledger's own cluster.
#[must_use]
pub fn refuse(former: Option<&Progress>, own: bool, there: &[String]) -> Option<InTheWay> {
    if let Some(former) = former.filter(|former| !former.is_over()) {
        let why = match former.finished {
            Some(_) => "ended, and is not verified",
            None => "has not ended",
        };
        return Some(InTheWay {
            why: format!("replay #{} onto this cluster {why}", former.seq),
            objects: Vec::new(),
            hint: format!("--resume goes on with it, --abandon {} ends it for good", former.seq),
        });
    }
    if there.is_empty() {
        return None;
    }
    let (why, hint) = if own {
        (
            "it is the cluster that this ledger keeps, and it is not empty",
            "`greffier serve` puts back what is missing; a replay is for an empty cluster",
        )
    } else {
        (
            "the target is not empty of what would be written",
            "name an empty cluster, or delete there what is listed; what a verified replay of this \
             ledger wrote is in nobody's way while it is as it would be written",
        )
    };
    Some(InTheWay { why: why.to_owned(), objects: there.to_vec(), hint: hint.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{RecoveryIntentV1, RecoveryOutcomeV1};
    use crate::ledger::samples::sample_events;

    fn begun(uid: &str) -> Event {
        let events = sample_events();
        let begun = events.into_iter().find_map(|event| match event {
            Event::RecoveryBegun(body) => Some(body),
            _ => None,
        });
        RecoveryBegunV1 { uid: uid.into(), ..begun.unwrap() }.into()
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("", "ConfigMap", "prod", name)
    }

    fn intent(recovery: u64, names: &[&str]) -> Event {
        let write = |name: &&str| RecoveryWrite {
            key: key(name),
            version: "v1".into(),
            app: "web".into(),
            digest: crate::model::Digest::default(),
            render: None,
            former: String::new(),
            again: String::new(),
        };
        let writes = names.iter().map(write).collect();
        RecoveryIntentV1 { recovery: Seq(recovery), writes }.into()
    }

    fn outcome(recovery: u64, intent: u64, results: Vec<(u32, RecoveryResult)>) -> Event {
        RecoveryOutcomeV1 { recovery: Seq(recovery), intent: Seq(intent), results }.into()
    }

    fn written(uid: &str) -> RecoveryResult {
        RecoveryResult::Written(Recovered {
            uid: uid.into(),
            resource_version: "1".into(),
            applied: None,
            found: false,
            tries: 1,
            admitted: Vec::new(),
        })
    }

    fn of(uid: &str, events: &[Event]) -> Option<Progress> {
        all_onto(uid, (1..).map(Seq).zip(events)).pop()
    }

    #[test]
    fn what_was_meant_and_not_answered_is_open() {
        let events = [
            begun("c-2"),
            intent(1, &["a", "b", "c"]),
            outcome(1, 2, vec![(2, written("new-c"))]),
            outcome(1, 2, vec![(0, RecoveryResult::Failed("later".into(), 3))]),
        ];
        let progress = of("c-2", &events).unwrap();
        assert_eq!(progress.seq, Seq(1));
        let fates: Vec<_> = progress.fates.values().cloned().collect();
        assert_eq!(fates[0], Fate::Failed("later (3 tries)".into()));
        assert_eq!(fates[1], Fate::Open);
        assert_eq!(progress.uids(), BTreeMap::from([(key("c"), "new-c".to_owned())]));
        assert!(!progress.is_verified());
        assert!(of("c-3", &events).is_none(), "another cluster");
    }

    #[test]
    fn a_later_answer_and_a_later_replay_take_the_place_of_the_former() {
        let mut events = vec![
            begun("c-2"),
            intent(1, &["a"]),
            outcome(1, 2, vec![(0, RecoveryResult::Left("theirs".into()))]),
            intent(1, &["a"]),
            outcome(1, 4, vec![(0, written("new"))]),
            // One onto another cluster in between is not about this one.
            begun("c-3"),
            intent(6, &["b"]),
        ];
        let progress = of("c-2", &events).unwrap();
        assert_eq!(progress.fates.len(), 1);
        assert!(matches!(&progress.fates[&key("a")], Fate::Written(w) if w.uid == "new"));
        events.push(begun("c-2"));
        let progress = of("c-2", &events).unwrap();
        assert_eq!((progress.seq, progress.fates.len()), (Seq(8), 0));
    }

    fn finished(recovery: u64) -> Event {
        RecoveryFinishedV1 {
            recovery: Seq(recovery),
            uid: "c-2".into(),
            written: 1,
            failed: Vec::new(),
            differs: Vec::new(),
            verified: true,
            milliseconds: 0,
        }
        .into()
    }

    #[test]
    fn what_another_replay_was_answered_is_not_about_this_one() {
        let mut events = vec![
            begun("c-2"),
            intent(1, &["a"]),
            begun("c-3"),
            outcome(3, 2, vec![(0, written("theirs"))]),
            finished(3),
        ];
        let progress = of("c-2", &events).unwrap();
        assert_eq!(progress.fates[&key("a")], Fate::Open);
        assert!(!progress.is_verified());
        events.push(finished(1));
        assert!(of("c-2", &events).unwrap().is_verified());
    }

    #[test]
    fn what_a_person_ended_is_over_and_in_nobodys_way() {
        let mut events =
            vec![begun("c-2"), intent(1, &["a"]), outcome(1, 2, vec![(0, written("u"))])];
        assert!(!of("c-2", &events).unwrap().is_over());
        let ended = |recovery| -> Event {
            let (uid, reason) = ("c-2".into(), "the wrong instant".into());
            RecoveryAbandonedV1 { recovery: Seq(recovery), uid, written: 1, reason }.into()
        };
        events.push(ended(7));
        assert!(!of("c-2", &events).unwrap().is_over(), "another one");
        events.push(ended(1));
        let progress = of("c-2", &events).unwrap();
        assert!(progress.is_over() && !progress.is_verified());
        assert_eq!((progress.abandoned.as_ref().unwrap().0, progress.written()), (Seq(5), 1));
        assert_eq!(refuse(Some(&progress), false, &[]), None);
        // What it wrote is in the way like anything else.
        let there = refuse(Some(&progress), false, &[key("a").to_string()]).unwrap();
        assert_eq!(there.objects, ["ConfigMap/prod/a"]);
    }

    #[test]
    fn what_is_not_there_any_more_is_gone_and_so_is_what_it_owns() {
        let owned = |name: &str, owner: &str| {
            let owner = serde_json::json!([{"apiVersion": "v1", "kind": "ConfigMap",
                "name": owner, "uid": "old"}]);
            serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": "prod", "ownerReferences": owner}})
        };
        let plain = |name: &str| {
            serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": "prod"}})
        };
        let (leaf, child) = (owned("leaf", "child"), owned("child", "owner"));
        let manifests =
            [leaf, child, plain("owner"), plain("other"), plain("stays"), plain("failed")];
        let steps = steps_of(manifests.to_vec());
        let results = ["leaf", "child", "owner", "other", "stays", "failed"];
        let answers = (0..5).map(|index| (index, written(&format!("new-{index}"))));
        let refused = (5, RecoveryResult::Refused("no".into()));
        let events =
            [begun("c-2"), intent(1, &results), outcome(1, 2, answers.chain([refused]).collect())];
        let progress = of("c-2", &events).unwrap();
        let all: BTreeMap<ObjectKey, String> = progress.uids();
        assert_eq!(progress.gone(&steps, &all), BTreeMap::new());
        // The owner is away, and somebody made another object of that name.
        let mut there = all.clone();
        there.remove(&key("owner"));
        there.insert(key("other"), "somebody".into());
        let gone = progress.gone(&steps, &there);
        let named: Vec<(&str, &str)> =
            gone.iter().map(|(key, uid)| (key.name(), uid.as_str())).collect();
        let expected =
            [("child", "new-1"), ("leaf", "new-0"), ("other", "new-3"), ("owner", "new-2")];
        assert_eq!(named, expected, "what was never written is not gone");
    }

    #[test]
    fn what_was_meant_to_be_written_again_is_told_of() {
        let Event::RecoveryIntent(mut again) = intent(1, &["a", "b"]) else { panic!() };
        again.writes[1].again = "new-b".into();
        let events = [begun("c-2"), again.into()];
        assert_eq!(of("c-2", &events).unwrap().again, BTreeSet::from([key("b")]));
    }

    /// Goal: what earlier replays wrote counts where they ended well, by the last of them that wrote
    /// it; what a person ended, or what was not written, does not.
    #[test]
    fn only_what_a_verified_replay_wrote_was_written_before() {
        let refused = RecoveryResult::Refused("no".into());
        let events = [
            begun("c-2"),
            intent(1, &["a", "b", "c"]),
            outcome(1, 2, vec![(0, written("a-1")), (1, written("b-1")), (2, refused)]),
            finished(1),
            begun("c-3"),
            intent(5, &["d"]),
            outcome(5, 6, vec![(0, written("d-1"))]),
            finished(5),
            begun("c-2"),
            intent(9, &["b", "e"]),
            outcome(9, 10, vec![(0, written("b-2")), (1, written("e-1"))]),
            finished(9),
            begun("c-2"),
            intent(13, &["a", "f"]),
            outcome(13, 14, vec![(0, written("a-2")), (1, written("f-1"))]),
        ];
        let replays = all_onto("c-2", (1..).map(Seq).zip(&events));
        assert_eq!(replays.len(), 3);
        let written = written_before(&replays);
        let told: Vec<_> = written
            .iter()
            .map(|(key, former)| (key.name(), former.recovered.uid.as_str(), former.recovery.0))
            .collect();
        assert_eq!(told, [("a", "a-1", 1), ("b", "b-2", 9), ("e", "e-1", 9)]);
        let uids = replays[2].of_former(&written).uids();
        assert_eq!(uids.values().collect::<Vec<_>>(), ["a-1", "b-2", "e-1"]);
    }

    /// Goal: what two applications want stays that of the one whose replay came first.
    #[test]
    fn what_an_earlier_replay_wrote_is_planned_as_it_wrote_it() {
        let named = |name: &str| {
            serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": "prod", "annotations": {"owner": "web"}}})
        };
        let steps = steps_of(vec![named("a"), named("b")]);
        let mut plan = super::super::plan::Plan { steps, ..super::super::plan::Plan::default() };
        let Event::RecoveryIntent(mut intent) = intent(1, &["a"]) else { panic!() };
        intent.writes[0].app = "shop".into();
        intent.writes[0].render = Some(Seq(4));
        let events =
            [begun("c-2"), intent.into(), outcome(1, 2, vec![(0, written("u"))]), finished(1)];
        let former = written_before(&all_onto("c-2", (1..).map(Seq).zip(&events)));
        plan.stays_as_written(&former, "owner");
        let told: Vec<_> = plan
            .steps
            .iter()
            .map(|step| {
                let owner = step.manifest["metadata"]["annotations"]["owner"].as_str();
                (step.key.name(), step.app.as_str(), owner, step.render)
            })
            .collect();
        let expected = [("a", "shop", Some("shop"), Some(Seq(4))), ("b", "web", Some("web"), None)];
        assert_eq!(told, expected);
    }

    /// The steps that write these manifests.
    fn steps_of(manifests: Vec<serde_json::Value>) -> Vec<Step> {
        let candidates = manifests.into_iter().map(super::super::candidate::Candidate::wanted);
        let input = super::super::plan::Input {
            candidates: candidates.collect(),
            ..super::super::plan::Input::default()
        };
        super::super::plan::plan(input, super::super::versions::Serving::unknown()).steps
    }

    #[test]
    fn only_what_is_there_as_it_was_written_is_verified() {
        let named = ["a", "b", "c", "d", "e"];
        let manifests = named.map(|name| {
            let metadata = serde_json::json!({"name": name, "namespace": "prod"});
            serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        });
        let steps = steps_of(manifests.to_vec());
        let events = [
            begun("c-2"),
            intent(1, &["a", "b", "c", "d"]),
            outcome(
                1,
                2,
                vec![
                    (0, written("new")),
                    (2, RecoveryResult::Refused("no".into())),
                    (3, RecoveryResult::Left("theirs".into())),
                ],
            ),
        ];
        let progress = of("c-2", &events).unwrap();
        let ended = progress.ended(&steps, Vec::new());
        let failed: Vec<_> = ended.failed.iter().map(|(key, why)| (key.name(), &**why)).collect();
        let expected = [
            ("b", "what became of its write is not known"),
            ("c", "no"),
            ("d", "theirs"),
            ("e", "it was not written yet"),
        ];
        assert_eq!((failed.as_slice(), ended.written, ended.verified), (&expected[..], 1, false));
        let whole = progress.ended(&steps[..1], Vec::new());
        assert!(whole.verified && whole.failed.is_empty());
        let differs = vec![(key("a"), "it is gone".to_owned())];
        assert!(!progress.ended(&steps[..1], differs).verified);
    }

    #[test]
    fn what_is_in_the_way_is_named_one_by_one() {
        let events = [begun("c-2"), intent(1, &["a"])];
        let open = of("c-2", &events);
        let unfinished = refuse(open.as_ref(), false, &[]).unwrap();
        assert!(unfinished.hint.contains("--resume"), "{unfinished:?}");
        assert!(unfinished.hint.contains("--abandon 1 "), "{unfinished:?}");
        assert!(unfinished.why.ends_with("has not ended"), "{unfinished:?}");
        let Event::RecoveryFinished(ended) = finished(1) else { panic!() };
        let ended = RecoveryFinishedV1 { verified: false, ..ended };
        let ended = of("c-2", &[begun("c-2"), ended.into()]);
        let unverified = refuse(ended.as_ref(), false, &[]).unwrap();
        assert!(unverified.why.ends_with("ended, and is not verified"), "{unverified:?}");
        assert_eq!(refuse(None, false, &[]), None);
        assert_eq!(refuse(None, true, &[]), None, "burnt, and the same uid: nothing is there");
        let there = [key("a").to_string(), key("b").to_string()];
        let other = refuse(None, false, &there).unwrap();
        assert_eq!(other.objects, ["ConfigMap/prod/a", "ConfigMap/prod/b"]);
        let own = refuse(None, true, &there).unwrap();
        assert!(own.why.contains("this ledger keeps"), "{own:?}");
        assert_eq!(own.objects, other.objects);
    }
}
