//! What a group of benchmarks runs on: a control plane, a repository, greffier, a watch.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::cluster::{ControlPlane, Options, tool_dir};
use crate::probe;
use crate::repository::Repository;
use crate::serve::{Daemon, Home};
use crate::witness::{Api, Depth, INTERRUPTED, Witness};

/// How long anything may take that is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// Below this share of one core, for [`CALM_FOR`], a process is taken to have nothing to do.
const CALM_SHARE: f64 = 0.02;
const CALM_FOR: Duration = Duration::from_secs(2);
const CALM_LIMIT: Duration = Duration::from_secs(180);

/// A control plane of its own with what goes with it. The audit log is off: it is not what is
/// measured, and the bare loops beside the figures run against the same server.
pub(crate) struct Site {
    pub(crate) admin: Api,
    pub(crate) alice: Api,
    pub(crate) dir: TempDir,
    pub(crate) plane: ControlPlane,
}

impl Site {
    /// Brings a control plane up.
    pub(crate) fn open(runtime: &Handle) -> Result<Self> {
        let options = Options { audit_level: "None", ..Options::default() };
        let plane = ControlPlane::try_start(options).map_err(anyhow::Error::msg)?;
        let admin = Api::connect(runtime, &plane.kubeconfig("admin"))?;
        let alice = Api::connect(runtime, &plane.kubeconfig("alice"))?;
        let dir = tempfile::Builder::new().prefix("greffier-bench-").tempdir()?;
        Ok(Self { admin, alice, dir, plane })
    }

    /// Makes an empty repository.
    pub(crate) fn repository(&self, name: &str) -> Result<Repository> {
        Repository::create(self.dir.path(), name)
    }

    /// Makes a place for one greffier with the given root Applications.
    pub(crate) fn home(&self, name: &str, applications: &[String]) -> Result<Home> {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir)?;
        let mut settings = format!(
            "[cluster]\nkubeconfig = {:?}\n\n[git]\npoll_interval = \"10m\"\n\n[tools]\nhelm = {:?}\n",
            self.plane.kubeconfig("greffier"),
            helm(),
        );
        for (index, application) in applications.iter().enumerate() {
            let file = dir.join(format!("root-{index}.yaml"));
            std::fs::write(&file, application)?;
            settings.push_str(&format!("\n[[app]]\nfile = {file:?}\n"));
        }
        Home::create(&dir, &settings)
    }

    /// Watches objects of one namespace.
    pub(crate) fn watch(&self, namespace: &str, depth: Depth) -> Result<Witness> {
        let paths = [
            format!("/api/v1/namespaces/{namespace}/configmaps"),
            format!("/apis/apps/v1/namespaces/{namespace}/deployments"),
        ];
        Witness::start(&self.admin, &paths, depth)
    }

    /// Returns the API server's process id.
    pub(crate) fn apiserver(&self) -> u32 {
        self.plane.pids().get("kube-apiserver").copied().unwrap_or_default()
    }
}

/// Returns the Helm program.
pub(crate) fn helm() -> PathBuf {
    tool_dir().join("helm")
}

/// Returns an Application manifest that keeps a directory of a repository in a namespace.
pub(crate) fn application(name: &str, repository: &str, path: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {name}
spec:
  project: default
  source:
    repoURL: {repository}
    targetRevision: main
    path: {path}
    directory:
      recurse: true
  destination:
    server: https://kubernetes.default.svc
    namespace: bench-{name}
  syncPolicy:
    automated:
      prune: true
      selfHeal: true
    syncOptions:
      - CreateNamespace=true
"
    )
}

/// Waits until a daemon has nothing to do any more; returns its CPU seconds then.
pub(crate) fn settle(daemon: &Daemon) -> Result<f64> {
    let begun = Instant::now();
    let (mut since, mut before) = (Instant::now(), probe::cpu_seconds(daemon.pid()));
    while begun.elapsed() < CALM_LIMIT {
        pause(Duration::from_millis(100))?;
        let now = probe::cpu_seconds(daemon.pid());
        if (now - before) / since.elapsed().as_secs_f64().max(0.1) > CALM_SHARE {
            (since, before) = (Instant::now(), now);
        } else if since.elapsed() >= CALM_FOR {
            return Ok(now);
        }
    }
    bail!("greffier is still busy after {CALM_LIMIT:?}")
}

/// Sleeps, and fails when interrupted.
pub(crate) fn pause(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if INTERRUPTED.load(std::sync::atomic::Ordering::Relaxed) {
            bail!("interrupted");
        }
        std::thread::sleep(time.min(Duration::from_millis(50)));
    }
    Ok(())
}

/// Returns how many bytes the files below a directory take.
pub(crate) fn directory_bytes(dir: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() { directory_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(total)
}
