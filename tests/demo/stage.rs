//! Everything the story is played on: a cluster, a repository, a running greffier, a witness.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::cluster::{ControlPlane, Options, tool_dir};
use crate::repository::Repository;
use crate::serve::{Daemon, Follower, Home};
use crate::terminal::Terminal;
use crate::witness::{Api, Depth, INTERRUPTED, Witness};

/// What every namespace of the demo begins with.
pub(crate) const PREFIX: &str = "greffier-demo";
/// How long greffier must have been silent before a step's events are taken to be complete…
const QUIET: Duration = Duration::from_millis(250);
/// …and how long that is waited for.
const QUIET_LIMIT: Duration = Duration::from_secs(3);
/// What the witness watches.
const WATCHED: [&str; 4] =
    ["/apis/apps/v1/deployments", "/api/v1/configmaps", "/api/v1/services", "/api/v1/namespaces"];

/// The cluster that the demo uses.
enum Cluster {
    /// Brought up for the demo.
    Own(ControlPlane),
    /// The user's, by `KUBECONFIG`.
    Given(PathBuf),
}

impl Cluster {
    fn choose(terminal: &mut Terminal) -> Result<Self> {
        match std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) {
            Some(path) => Ok(Self::Given(PathBuf::from(path))),
            None => {
                terminal
                    .note("a Kubernetes control plane of its own (set KUBECONFIG to use yours)");
                ControlPlane::try_start(Options::default())
                    .map(Self::Own)
                    .map_err(anyhow::Error::msg)
            }
        }
    }

    fn kubeconfig(&self, user: &str) -> PathBuf {
        match self {
            Self::Own(plane) => plane.kubeconfig(user),
            Self::Given(path) => path.clone(),
        }
    }

    fn tool(&self, name: &str) -> PathBuf {
        match self {
            Self::Own(plane) => plane.bin(name),
            Self::Given(_) => on_path(name).unwrap_or_else(|| tool_dir().join(name)),
        }
    }

    fn kubectl(&self, user: &str) -> Command {
        match self {
            Self::Own(plane) => plane.kubectl(user),
            Self::Given(path) => {
                let mut command = Command::new(self.tool("kubectl"));
                command.env("KUBECONFIG", path);
                command
            }
        }
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The stage. Fields end in the order in which they stand: what uses something goes before it.
pub(crate) struct Stage {
    follower: Follower,
    daemon: Daemon,
    pub(crate) home: Home,
    pub(crate) witness: Witness,
    pub(crate) api: Api,
    pub(crate) repository: Repository,
    pub(crate) terminal: Terminal,
    cluster: Cluster,
    dir: TempDir,
}

impl Stage {
    /// Brings everything up: cluster, repository, greffier with nothing to do, witness.
    pub(crate) fn set(runtime: &Handle) -> Result<Self> {
        let mut terminal = Terminal::new();
        terminal.title("greffier demo: setting the stage");
        let begun = Instant::now();
        let cluster = Cluster::choose(&mut terminal)?;
        let api = Api::connect(runtime, &cluster.kubeconfig("admin"))?;
        let version = reach(&api, &cluster)?;
        terminal.seen(&format!("Kubernetes {version} answers"), begun.elapsed());

        let dir = tempfile::Builder::new().prefix("greffier-demo-").tempdir()?;
        let repository = Repository::create(dir.path(), "infra")?;
        fill(&repository)?;
        terminal.verified(&format!("a sample repository: {}", repository.url()));

        let paths = WATCHED.map(str::to_owned);
        let witness = Witness::start(&api, &paths, Depth::Whole)?;
        refuse_leftovers(&witness)?;

        let home = Home::create(&dir.path().join("greffier"), &settings(&cluster))?;
        let mut daemon = Daemon::start(&home)?;
        daemon.wait_until_listed()?;
        let follower = Follower::start(&home, &[])?;
        terminal.seen("greffier serve answers on its socket", daemon.ready_after);
        let mut stage =
            Self { follower, daemon, home, witness, api, repository, terminal, cluster, dir };
        stage.show_events();
        Ok(stage)
    }

    /// Returns the directory of the demo.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Fails if greffier has ended.
    pub(crate) fn daemon_is_up(&mut self) -> Result<()> {
        self.daemon.check()
    }

    /// Runs kubectl as somebody and returns what it printed.
    pub(crate) fn kubectl(&self, user: &str, args: &[&str]) -> Result<String> {
        let output = self.cluster.kubectl(user).args(args).stdin(Stdio::null()).output();
        let output = output.context("cannot run kubectl")?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {} failed: {}", args.join(" "), stderr.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether people have names here: they do in the demo's own control plane.
    pub(crate) fn has_people(&self) -> bool {
        matches!(self.cluster, Cluster::Own(_))
    }

    /// Waits until greffier has recorded something.
    pub(crate) fn recorded(
        &self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        self.follower.find(limit, what, wanted)
    }

    /// Shows the events since the last time, once greffier has nothing more to say.
    pub(crate) fn show_events(&mut self) {
        let begun = Instant::now();
        let mut rows = self.follower.take();
        let mut last = Instant::now();
        while last.elapsed() < QUIET && begun.elapsed() < QUIET_LIMIT {
            std::thread::sleep(Duration::from_millis(10));
            let more = self.follower.take();
            if !more.is_empty() {
                last = Instant::now();
                rows.extend(more);
            }
        }
        self.terminal.rows(&rows);
    }

    /// Shows the end of the daemon's log, for a step that failed.
    pub(crate) fn show_daemon_log(&mut self) {
        let tail = self.home.log_tail();
        self.terminal.title("the end of greffier's log:");
        self.terminal.quote(&tail);
    }

    /// Says what to try and shows what happens, until a signal.
    pub(crate) fn stay_up(&mut self) -> Result<()> {
        self.invite();
        while !INTERRUPTED.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
            self.daemon.check()?;
            for row in self.follower.take() {
                self.terminal.row(&row);
            }
        }
        self.terminal.title("ending: greffier, then the cluster");
        Ok(())
    }

    fn invite(&mut self) {
        let greffier = self.home.program().display().to_string();
        let config = self.home.config().display().to_string();
        let kubectl = self.cluster.tool("kubectl").display().to_string();
        let kubeconfig = self.cluster.kubeconfig("alice").display().to_string();
        let work = self.repository.work().display().to_string();
        let lines = [
            format!("alias greffier='{greffier} --config {config}'"),
            format!("alias kubectl='{kubectl}' && export KUBECONFIG={kubeconfig}"),
            "greffier status".to_owned(),
            "greffier tree root".to_owned(),
            "greffier log shop".to_owned(),
            "greffier diff root".to_owned(),
            format!("kubectl -n {PREFIX}-shop set image deployment/shop web=nginx:mine"),
            "greffier pause shop --for 10m --reason 'trying something'".to_owned(),
            "greffier approve root".to_owned(),
            format!("cd {work} && git revert --no-edit HEAD && git push"),
        ];
        self.terminal.title("it stays up until Ctrl-C; in another terminal, try:");
        for line in lines {
            self.terminal.paste(&line);
        }
        self.terminal.title("what happens from now on:");
    }

    /// Removes what the demo made in a cluster that is not its own.
    pub(crate) fn clear(mut self) {
        self.daemon.stop();
        if self.has_people() {
            return;
        }
        let namespaces: Vec<String> = self.witness.read(|seen| {
            let names = seen.objects.keys().filter(|id| id.resource == "namespaces");
            names.map(|id| id.name.clone()).filter(|name| is_ours(name)).collect()
        });
        for name in namespaces {
            let _ = self.api.delete(&format!("/api/v1/namespaces/{name}"));
        }
    }
}

fn is_ours(namespace: &str) -> bool {
    namespace.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('-'))
}

/// Asks the API server for its version, which is the first thing that can go wrong.
fn reach(api: &Api, cluster: &Cluster) -> Result<String> {
    let version = api.get("/version").with_context(|| {
        let path = cluster.kubeconfig("admin");
        format!("the cluster of KUBECONFIG={} does not answer", path.display())
    })?;
    let version = version.as_ref().and_then(|version| version["gitVersion"].as_str());
    Ok(version.unwrap_or("of unknown version").to_owned())
}

fn refuse_leftovers(witness: &Witness) -> Result<()> {
    let found = witness.read(|seen| {
        let mut names = seen.objects.keys().filter(|id| id.resource == "namespaces");
        names.find(|id| is_ours(&id.name)).map(|id| id.name.clone())
    });
    match found {
        None => Ok(()),
        Some(name) => {
            bail!("the cluster has a namespace {name} from another demo: delete it first")
        }
    }
}

/// Copies the sample files and makes the first commit.
fn fill(repository: &Repository) -> Result<()> {
    copy("infra", repository.work())?;
    repository.replace("applications/values.yaml", "REPOSITORY", &repository.url())?;
    repository.commit("Run the shop, its API, its settings and its documentation")?;
    repository.push()?;
    Ok(())
}

/// Copies one of the demo's directories over `target`.
pub(crate) fn copy(name: &str, target: &Path) -> Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/demo").join(name);
    copy_tree(&source, target).with_context(|| format!("cannot copy {}", source.display()))
}

fn copy_tree(source: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let target = target.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn settings(cluster: &Cluster) -> String {
    format!(
        "[cluster]\nkubeconfig = {:?}\n\n[git]\npoll_interval = \"10m\"\n\n[tools]\nhelm = {:?}\n",
        cluster.kubeconfig("greffier"),
        cluster.tool("helm"),
    )
}
