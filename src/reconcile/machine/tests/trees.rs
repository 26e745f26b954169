//! Applications that define applications.

use super::*;

#[test]
fn a_tree_of_applications_comes_up_from_its_root() {
    let mut sim = Sim::new(Given::app("root", auto()));
    sim.at(
        1,
        "root",
        vec![child(&application("middle", auto())), child(&application("web", auto()))],
    );
    sim.at(1, "middle", vec![child(&application("api", auto()))]);
    sim.at(1, "web", objects(&[A]));
    sim.at(1, "api", objects(&[B]));
    sim.runs();
    assert!(sim.live(A) && sim.live(B));
    assert_eq!(sim.app("root").health, Health::Healthy, "{:?}", sim.app("root").health_message);
    assert!(sim.app("root").last_sync.as_ref().unwrap().succeeded);
    // A file more is an application more.
    sim.at(
        2,
        "root",
        ["middle", "web", "etc"].map(|app| child(&application(app, auto()))).to_vec(),
    );
    sim.at(2, "etc", objects(&["ConfigMap/prod/etc"]));
    sim.push(2);
    sim.runs();
    assert!(sim.live("ConfigMap/prod/etc"));
}

#[test]
fn a_child_that_is_redefined_while_it_is_rendered_ends_up_as_defined_last() {
    // The commit that changes a child's definition also makes the child render: both at once.
    let mut sim = Sim::new(Given::app("root", auto()));
    sim.at(1, "root", vec![child(&application("web", json!({})))]);
    sim.at(1, "web", objects(&[A]));
    sim.runs();
    assert!(!sim.live(A), "not before somebody asks");
    sim.at(2, "root", vec![child(&application("web", auto()))]);
    sim.at(2, "web", objects(&[B]));
    sim.push(2);
    sim.runs();
    let web = sim.app("web");
    assert_eq!(web.desired.as_ref().map(|desired| desired.declared), Some(web.declared));
    assert!(sim.live(B) && !sim.live(A));
}

#[test]
fn an_object_that_moves_into_a_new_application_is_never_deleted() {
    let mut sim = Sim::new(Given::app("root", auto()));
    sim.at(1, "root", vec![child(&application("web", auto()))]);
    sim.at(1, "web", objects(&[A, B]));
    sim.runs();
    let uid = sim.given.world.live[&key(A)].uid.clone();
    sim.at(2, "root", ["web", "api"].map(|app| child(&application(app, auto()))).to_vec());
    sim.at(2, "web", objects(&[B]));
    sim.at(2, "api", objects(&[A]));
    sim.push(2);
    sim.runs();
    assert_eq!(sim.given.world.live[&key(A)].uid, uid);
    assert_eq!(sim.given.world.owned[&key(A)].app, name("api"));
}

#[test]
fn nothing_is_deleted_while_applications_are_being_defined() {
    // `web` is ready to prune before the root's render defines where the object goes.
    let mut sim = Sim::new(Given::app("root", auto()));
    sim.at(1, "root", vec![child(&application("web", auto()))]);
    sim.at(1, "web", objects(&[A, B]));
    sim.runs();
    let uid = sim.given.world.live[&key(A)].uid.clone();
    sim.at(2, "web", objects(&[B]));
    sim.at(2, "root", ["web", "api"].map(|app| child(&application(app, auto()))).to_vec());
    sim.at(2, "api", objects(&[A]));
    sim.hold = vec!["render"];
    sim.push(2);
    sim.runs();
    sim.hold.clear();
    let renders = std::mem::take(&mut sim.held);
    let of_root =
        |command: &Command| matches!(command, Command::Render { app, .. } if *app == name("root"));
    let (root, web): (Vec<_>, Vec<_>) = renders.into_iter().partition(of_root);
    for command in web.into_iter().chain(root) {
        sim.carries_out(command);
    }
    sim.runs();
    assert_eq!(sim.given.world.live[&key(A)].uid, uid);
}

#[test]
fn a_removed_tree_goes_with_everything_it_had() {
    let mut sim = Sim::new(Given::app("root", auto()));
    sim.at(1, "root", ["api", "db", "web"].map(|app| child(&cascading(app, auto()))).to_vec());
    for (app, text) in [("api", "ConfigMap/prod/api"), ("db", "ConfigMap/prod/db"), ("web", A)] {
        sim.at(1, app, objects(&[text]));
    }
    sim.runs();
    sim.at(2, "root", ["api", "db"].map(|app| child(&cascading(app, auto()))).to_vec());
    sim.push(2);
    sim.runs();
    assert!(!sim.live(A) && sim.live("ConfigMap/prod/db"));
    assert!(!sim.given.world.apps.contains_key(&name("web")));
    assert_eq!(sim.count("app.removed"), 2, "once begun, once ended");
}
