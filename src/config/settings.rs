//! The settings and their defaults.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Period;
use super::listen::{self, ListenConfig};
use super::people::{self, PersonConfig};
use super::rollback::RollbackConfig;

/// Where files lie by default on this machine, for this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Whether the user is root: system directories are meant then.
    pub root: bool,
    /// `$XDG_CONFIG_HOME`, or `~/.config`.
    pub config_home: PathBuf,
    /// `$XDG_STATE_HOME`, or `~/.local/state`.
    pub state_home: PathBuf,
    /// `$XDG_RUNTIME_DIR`, if the session has one.
    pub runtime_dir: Option<PathBuf>,
}

impl Places {
    /// The configuration files that are read when none is named, weakest first.
    #[must_use]
    pub fn files(&self) -> [PathBuf; 2] {
        [
            PathBuf::from("/etc/greffier/greffier.toml"),
            self.config_home.join("greffier/config.toml"),
        ]
    }
}

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The directory of the ledger, the Git mirrors and the snapshots.
    pub data_dir: PathBuf,
    /// The Unix socket of the daemon.
    pub socket: PathBuf,
    /// The ledger's key. Never inside `data_dir`: whoever copies that directory must not have it.
    pub key_file: PathBuf,
    /// The cluster.
    pub cluster: ClusterConfig,
    /// Git repositories.
    pub git: GitConfig,
    /// Programs that render.
    pub tools: ToolsConfig,
    /// How much may be deleted without asking.
    pub gate: GateConfig,
    /// When applications are rolled back by themselves.
    pub rollback: RollbackConfig,
    /// The ledger's files.
    pub ledger: LedgerConfig,
    /// Where the API server's audit is told.
    pub audit: AuditConfig,
    /// Where the past is offered as a Kubernetes API.
    pub past: ListenConfig,
    /// What is different for single repositories.
    #[serde(rename = "source", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceConfig>,
    /// Who is behind which credential.
    #[serde(rename = "person", skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonConfig>,
    /// Applications that this file defines: usually one, the root.
    #[serde(rename = "app", skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<AppFile>,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// The kubeconfig; `$KUBECONFIG`, then `~/.kube/config`, then the pod's own when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; its current one when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Kinds that are not watched beyond the built-in list, as `Kind`, `Kind.group` or `*.group`.
    pub exclude: Vec<String>,
    /// After how long a request to the API server is given up.
    pub request_timeout: Period,
    /// For how long the writes of an intent may be made. After a crash, an object whose write may
    /// still arrive waits for so long.
    pub write_timeout: Period,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            exclude: Vec::new(),
            request_timeout: Period::seconds(30),
            write_timeout: Period::seconds(10),
        }
    }
}

/// Git repositories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GitConfig {
    /// How long to wait between two looks at a repository that gives no hints.
    pub poll_interval: Period,
    /// After how long a fetch is given up.
    pub fetch_timeout: Period,
    /// How many commits the first import of a repository records.
    pub history_commits_max: u32,
    /// The file of OpenSSH's allowed signers; the signatures of commits are verified where it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_signers: Option<PathBuf>,
}

impl Default for GitConfig {
    fn default() -> Self {
        Self {
            poll_interval: Period::seconds(60),
            fetch_timeout: Period::seconds(120),
            history_commits_max: 1_000,
            allowed_signers: None,
        }
    }
}

/// What is done when a rewritten history drops commits that were applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRewrite {
    /// What it changes waits for approval.
    #[default]
    Gate,
    /// It is followed like any other commit.
    Follow,
}

/// What is different for one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// The repository, as Applications name it.
    pub repo: String,
    /// What is done when its history is rewritten.
    #[serde(default)]
    pub on_rewrite: OnRewrite,
}

/// Whether programs that render are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxMode {
    /// They are, and do not run where that is impossible.
    On,
    /// They are not: what they run can do what the daemon can do.
    Off,
}

/// Programs that render.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToolsConfig {
    /// The Helm program: a path, or a name that is looked up in `$PATH`.
    pub helm: PathBuf,
    /// The Kustomize program: a path, or a name that is looked up in `$PATH`.
    pub kustomize: PathBuf,
    /// Whether the programs are confined.
    pub sandbox: SandboxMode,
    /// What confined programs may read and execute beyond themselves and the system's libraries.
    pub sandbox_read: Vec<PathBuf>,
    /// How many renders may run at once; 0 = as many as there are processors.
    pub parallel: u32,
    /// After how long a render is given up.
    pub timeout: Period,
    /// How much a render may print, in bytes.
    pub output_bytes_max: u64,
}

impl Default for ToolsConfig {
    fn default() -> Self {
        Self {
            helm: PathBuf::from("helm"),
            kustomize: PathBuf::from("kustomize"),
            sandbox: SandboxMode::On,
            sandbox_read: Vec::new(),
            parallel: 0,
            timeout: Period::seconds(90),
            output_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// How much may be deleted without asking (design §8, gate).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateConfig {
    /// Deletions of more than this share of an application's objects wait, in percent…
    pub app_percent_max: u32,
    /// …if they are at least this many.
    pub app_objects_min: u32,
    /// More deletions than this for one commit, rollback or release, over all applications, wait.
    pub all_objects_max: u32,
    /// Deletions of these kinds always wait, as `Kind` or `Kind.group`.
    pub kinds: Vec<String>,
}

impl Default for GateConfig {
    fn default() -> Self {
        let kinds = [
            "Namespace",
            "CustomResourceDefinition.apiextensions.k8s.io",
            "PersistentVolume",
            "PersistentVolumeClaim",
        ];
        Self {
            app_percent_max: 50,
            app_objects_min: 3,
            all_objects_max: 50,
            kinds: kinds.map(str::to_owned).to_vec(),
        }
    }
}

/// The ledger's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerConfig {
    /// At which size a segment is sealed and the next one begun, in bytes.
    pub segment_bytes_max: u64,
    /// How much of the file system must stay free, in bytes: below it greffier is read-only.
    pub free_bytes_reserve: u64,
    /// How much memory the index may use as its cache, in bytes.
    pub cache_bytes: u64,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            segment_bytes_max: 64 * 1024 * 1024,
            free_bytes_reserve: 256 * 1024 * 1024,
            cache_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Where the API server's audit is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// The API server's audit log, if it writes one that can be read here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The receiver for the API server's audit webhook.
    pub webhook: ListenConfig,
}

impl AuditConfig {
    /// The names of the sources that are read: a file's path, and `webhook`.
    #[must_use]
    pub fn sources(&self) -> Vec<String> {
        let file = self.file.as_ref().map(|file| file.display().to_string());
        let webhook = self.webhook.listen.map(|_| "webhook".to_owned());
        file.into_iter().chain(webhook).collect()
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(path) = self.file.as_ref().filter(|path| !path.is_absolute()) {
            return Err(("audit.file", format!("`{}` is not an absolute path", path.display())));
        }
        self.webhook.check(&listen::WEBHOOK)
    }
}

/// An Application manifest that the configuration defines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppFile {
    /// The manifest, relative to the configuration file that names it.
    pub file: PathBuf,
}

impl Default for Config {
    /// The defaults of a system daemon.
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/greffier"),
            socket: PathBuf::from("/run/greffier/greffier.sock"),
            key_file: PathBuf::from("/etc/greffier/ledger.key"),
            cluster: ClusterConfig::default(),
            git: GitConfig::default(),
            tools: ToolsConfig::default(),
            gate: GateConfig::default(),
            rollback: RollbackConfig::default(),
            ledger: LedgerConfig::default(),
            audit: AuditConfig::default(),
            past: ListenConfig::default(),
            sources: Vec::new(),
            people: Vec::new(),
            apps: Vec::new(),
        }
    }
}

impl Config {
    /// The built-in values for this machine and user.
    #[must_use]
    pub fn defaults(places: &Places) -> Self {
        if places.root {
            return Self::default();
        }
        let data_dir = places.state_home.join("greffier");
        let socket = match &places.runtime_dir {
            Some(dir) => dir.join("greffier.sock"),
            None => data_dir.join("greffier.sock"),
        };
        let key_file = places.config_home.join("greffier/ledger.key");
        Self { data_dir, socket, key_file, ..Self::default() }
    }

    /// The directory of the ledger.
    #[must_use]
    pub fn ledger_dir(&self) -> PathBuf {
        self.data_dir.join("ledger")
    }

    /// The directory of the Git mirrors.
    #[must_use]
    pub fn mirrors_dir(&self) -> PathBuf {
        self.data_dir.join("mirrors")
    }

    /// The effective configuration as TOML. It contains no secrets, because there are none in it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// Checks what no type can say: key and problem of the first value that is wrong.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let absolute =
            [("data_dir", &self.data_dir), ("socket", &self.socket), ("key_file", &self.key_file)];
        for (key, path) in absolute {
            if !path.is_absolute() {
                return Err((key, format!("`{}` is not an absolute path", path.display())));
            }
        }
        if is_inside(&self.key_file, &self.data_dir) {
            let dir = self.data_dir.display();
            return Err((
                "key_file",
                format!(
                    "must not lie inside data_dir ({dir}): a copy of the data directory would hold the key too"
                ),
            ));
        }
        let periods = [
            ("cluster.request_timeout", self.cluster.request_timeout),
            ("cluster.write_timeout", self.cluster.write_timeout),
            ("git.poll_interval", self.git.poll_interval),
            ("git.fetch_timeout", self.git.fetch_timeout),
            ("rollback.within", self.rollback.within),
            ("tools.timeout", self.tools.timeout),
        ];
        for (key, period) in periods {
            if period.ms() < 10 {
                return Err((key, "must be at least 10ms".to_owned()));
            }
        }
        if self.gate.app_percent_max > 100 {
            return Err(("gate.app_percent_max", "must be from 0 to 100".to_owned()));
        }
        if self.ledger.segment_bytes_max < 65_536 {
            return Err(("ledger.segment_bytes_max", "must be at least 65536".to_owned()));
        }
        if let Some(path) = self.tools.sandbox_read.iter().find(|path| !path.is_absolute()) {
            let problem = format!("`{}` is not an absolute path", path.display());
            return Err(("tools.sandbox_read", problem));
        }
        people::check(&self.people).map_err(|problem| ("person", problem))?;
        self.audit.check()?;
        self.past.check(&listen::PAST)?;
        if self.git.allowed_signers.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(("git.allowed_signers", "must be an absolute path".to_owned()));
        }
        if self.git.history_commits_max == 0 {
            return Err(("git.history_commits_max", "must be at least 1".to_owned()));
        }
        Ok(())
    }
}

/// Whether `path` lies in `dir`, `..` resolved by name only.
fn is_inside(path: &Path, dir: &Path) -> bool {
    use std::path::Component;
    let normal = |path: &Path| {
        let mut parts: Vec<_> = Vec::new();
        for part in path.components() {
            match part {
                Component::ParentDir => drop(parts.pop()),
                Component::CurDir => {}
                Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                    parts.push(part.as_os_str().to_owned());
                }
            }
        }
        parts
    };
    normal(path).starts_with(&normal(dir))
}
