//! The tree of an application: its children, its objects, and what those own in turn.

use std::collections::{BTreeMap, BTreeSet};

use super::apps::{AppView, app};
use crate::ledger::event::Health;
use crate::model::{AppName, ObjectKey};
use crate::plan::{Compared, Limits};
use crate::replay::{LiveObject, World};

/// Bound: how many nodes a tree has at most; a reader gives up long before.
const NODES_MAX: usize = 10_000;
/// Bound: how deep objects own each other at most; also ends rings of owners.
const DEPTH_MAX: usize = 20;

/// What a node stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// An application.
    App(AppName),
    /// An object.
    Object(ObjectKey),
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it stands for.
    pub kind: NodeKind,
    /// Whether it is as Git says; empty for objects that no application wants.
    pub sync: &'static str,
    /// Its health.
    pub health: Health,
    /// What people should know about it; may be empty.
    pub note: String,
    /// What hangs below it.
    pub children: Vec<Self>,
}

/// Builds the tree of `view`. Trees beyond 10,000 nodes are cut, and a note says so.
#[must_use]
pub fn tree(world: &World, compared: &Compared, limits: &Limits, view: &AppView<'_>) -> Node {
    let mut owned_by: BTreeMap<&str, Vec<(&ObjectKey, &LiveObject)>> = BTreeMap::new();
    for (key, live) in world.live.iter().filter(|(_, live)| !live.controller.is_empty()) {
        owned_by.entry(&live.controller).or_default().push((key, live));
    }
    let mut builder =
        Builder { world, compared, limits, owned_by, seen: BTreeSet::new(), left: NODES_MAX };
    builder.of_app(view)
}

struct Builder<'a> {
    world: &'a World,
    compared: &'a Compared,
    limits: &'a Limits,
    owned_by: BTreeMap<&'a str, Vec<(&'a ObjectKey, &'a LiveObject)>>,
    seen: BTreeSet<AppName>,
    left: usize,
}

impl Builder<'_> {
    fn of_app(&mut self, view: &AppView<'_>) -> Node {
        self.seen.insert(view.name.clone());
        let mut node = Node {
            kind: NodeKind::App(view.name.clone()),
            sync: view.plan.sync.as_str(),
            health: view.plan.health,
            note: note_of(view),
            children: Vec::new(),
        };
        for object in &view.plan.objects {
            if self.left == 0 {
                node.note = "the tree is too large: the rest is left out".to_owned();
                break;
            }
            self.left -= 1;
            let child = object.key.is_application().then(|| self.child(&object.key)).flatten();
            node.children.push(match child {
                Some(child) => child,
                None => Node {
                    kind: NodeKind::Object(object.key.clone()),
                    sync: object.status.as_str(),
                    health: object.health,
                    note: if object.why.is_empty() {
                        object.health_message.clone()
                    } else {
                        object.why.clone()
                    },
                    children: self.owned(&object.key, 0),
                },
            });
        }
        node
    }

    /// The application that an Application object defines, unless it is in the tree already.
    fn child(&mut self, key: &ObjectKey) -> Option<Node> {
        let name: AppName = key.name().parse().ok()?;
        if self.seen.contains(&name) {
            return None;
        }
        let view = app(self.world, self.compared, self.limits, name.as_str()).ok()?;
        Some(self.of_app(&view))
    }

    fn owned(&mut self, key: &ObjectKey, depth: usize) -> Vec<Node> {
        let Some(live) = self.world.live.get(key) else { return Vec::new() };
        let children = self.owned_by.get(live.uid.as_str()).cloned().unwrap_or_default();
        let mut nodes = Vec::new();
        for (child, live) in children {
            if self.left == 0 || depth >= DEPTH_MAX {
                break;
            }
            self.left -= 1;
            nodes.push(Node {
                kind: NodeKind::Object(child.clone()),
                sync: "",
                health: live.health,
                note: live.health_message.clone(),
                children: self.owned(child, depth + 1),
            });
        }
        nodes
    }
}

fn note_of(view: &AppView<'_>) -> String {
    if let Some(hold) = &view.app.hold {
        return format!("held as at #{}", hold.to.0);
    }
    if let Some(problem) = &view.app.render_problem {
        return format!("does not render: {}", problem.error);
    }
    if view.plan.gate.is_some() {
        return "waits for approval".to_owned();
    }
    if view.plan.permission.why_not == crate::plan::FROZEN {
        return "frozen".to_owned();
    }
    if view.app.paused.is_some() {
        return "paused".to_owned();
    }
    String::new()
}
