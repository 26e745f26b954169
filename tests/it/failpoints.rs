//! The daemon is killed at every step between plan, intent, request, response and outcome.

use crate::audit::checked;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{live, namespace};

/// Every point of `reconcile::failpoint` on the way of a write, and at which visits to die there.
const POINTS: &[(&str, &[u32])] = &[
    ("rendered", &[1]),
    ("decided", &[1]),
    ("intended", &[1]),
    ("sending", &[1, 2]),
    ("answered", &[1, 3]),
    ("recorded", &[1]),
];

pub(crate) fn death_at(greffier: &Greffier, point: &str, visit: u32) {
    let variable = ("GREFFIER_FAILPOINT".to_owned(), format!("{point}:{visit}"));
    *greffier.environment.borrow_mut() = vec![variable];
    assert!(greffier.start_to_die(), "{point}:{visit}: the daemon was not killed");
    greffier.environment.borrow_mut().clear();
}

#[test]
fn a_kill_at_any_step_of_a_write_loses_nothing_and_does_nothing_twice() {
    let (app, ns) = ("point-web".to_owned(), namespace("point"));
    let greffier = Greffier::new().configure("[cluster]\nwrite_timeout = \"1s\"");
    for name in ["changed", "other"] {
        greffier.repo.write(&format!("web/{name}.yaml"), &config_map(name, "0"));
    }
    greffier.repo.push("first");
    let root = application(&app, &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.kill();
    let visits = POINTS.iter().flat_map(|(point, visits)| visits.iter().map(move |v| (*point, *v)));
    for (round, (point, visit)) in (1..).zip(visits) {
        // A commit that creates, changes and prunes: three requests.
        let value = round.to_string();
        greffier.repo.write("web/changed.yaml", &config_map("changed", &value));
        greffier
            .repo
            .write(&format!("web/new-{round}.yaml"), &config_map(&format!("new-{round}"), &value));
        if round > 1 {
            greffier.repo.remove(&format!("web/new-{}.yaml", round - 1));
        }
        let commit = greffier.repo.push(&format!("{point} {visit}"));
        death_at(&greffier, point, visit);
        // It dies once more while it finds out what became of the first time.
        if ["intended", "sending", "answered"].contains(&point) {
            for settling in ["settling", "settled"] {
                death_at(&greffier, settling, 1);
            }
        }
        greffier.start();
        greffier.wait_synced(&app, &commit);
        until("the cluster is as Git says", || {
            let changed = live(&ns, "cm/changed", ".data.key") == value;
            let new = live(&ns, &format!("cm/new-{round}"), ".data.key") == value;
            let old = live(&ns, &format!("cm/new-{}", round - 1), ".metadata.name").is_empty();
            (changed && new && old).then_some(())
        });
        greffier.kill();
    }
    greffier.start();
    let audit = checked(&greffier, &ns);
    assert!(audit.writes >= 3 * POINTS.len(), "{audit:?}");
}
