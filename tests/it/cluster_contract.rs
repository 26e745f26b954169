//! The contract that the simulation's fake API server keeps, held against the real one.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that calls them")]

#[path = "../support/cluster_contract.rs"]
mod contract;

use std::process::Stdio;

use greffier::cluster::{
    AppliedObject, ApplyRequest, Connection, DeleteRequest, DeleteResult, Error, Normalised,
    normalize,
};
use greffier::model::ObjectKey;
use serde_json::Value;

use self::contract::{CASES, Subject};
use crate::cluster::ControlPlane;
use crate::cluster_api::{Key, connect};
use crate::daemon::until;

struct Real {
    plane: &'static ControlPlane,
    runtime: tokio::runtime::Runtime,
    connection: Connection,
    case: usize,
    namespaces: usize,
}

impl Real {
    /// What kubectl calls the object.
    fn named(key: &ObjectKey) -> String {
        format!("{}/{}", key.kind(), key.name())
    }

    fn piped(&self, args: &[&str], manifest: &Value) {
        use std::io::Write as _;
        let mut command = self.plane.kubectl("alice");
        let mut child =
            command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(manifest.to_string().as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "kubectl {args:?}");
    }
}

impl Subject for Real {
    fn namespace(&mut self) -> String {
        self.namespaces += 1;
        let name = format!("contract-{}-{}", self.case, self.namespaces);
        self.plane.kubectl_ok("admin", &["create", "namespace", &name]);
        name
    }

    fn apply(&mut self, request: &ApplyRequest) -> Result<AppliedObject, Error> {
        self.runtime.block_on(self.connection.apply(request))
    }

    fn delete(&mut self, request: &DeleteRequest) -> Result<DeleteResult, Error> {
        self.runtime.block_on(self.connection.delete(request))
    }

    fn get(&mut self, key: &ObjectKey) -> Option<Value> {
        self.runtime.block_on(self.connection.get(key, "v1")).unwrap()
    }

    fn apply_as(&mut self, manager: &str, _: &ObjectKey, manifest: &Value) {
        let manager = format!("--field-manager={manager}");
        self.piped(&["apply", "--server-side", "--force-conflicts", &manager, "-f", "-"], manifest);
    }

    fn merge_as(&mut self, manager: &str, key: &ObjectKey, patch: &Value) {
        let (manager, patch) = (format!("--field-manager={manager}"), patch.to_string());
        let named = Self::named(key);
        let args = ["patch", &named, "-n", key.namespace(), "--type=merge", &manager, "-p", &patch];
        self.plane.kubectl_ok("alice", &args);
    }

    fn remove(&mut self, key: &ObjectKey) {
        self.plane.kubectl_ok("alice", &["delete", &Self::named(key), "-n", key.namespace()]);
    }

    fn until_gone(&mut self, key: &ObjectKey) {
        until("the object is gone", || {
            self.runtime.block_on(self.connection.get(key, "v1")).unwrap().is_none().then_some(())
        });
    }

    fn normalise(&self, raw: &Value) -> Normalised {
        normalize(raw, &Key).unwrap()
    }
}

#[test]
fn the_real_api_server_does_what_the_simulation_takes_for_granted() {
    let plane = ControlPlane::shared();
    for (case, (name, run)) in CASES.iter().enumerate() {
        println!("{name}");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let connection = runtime.block_on(connect(plane, "greffier"));
        run(&mut Real { plane, runtime, connection, case, namespaces: 0 });
    }
}
