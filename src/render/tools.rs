//! The programs that render: which they are, what they may use, and which version they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::sandbox::Sandbox;
use crate::config::{SandboxMode, ToolsConfig};

/// The programs that render, and what they may use.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The `helm` program, by its absolute path.
    pub helm: PathBuf,
    /// The `kustomize` program, by its absolute path.
    pub kustomize: PathBuf,
    /// What they are confined to.
    pub sandbox: Sandbox,
    /// How long one run may take.
    pub timeout: Duration,
    /// How much one run may write.
    pub output_bytes_max: u64,
    /// How many renders may run at once.
    pub parallel: usize,
    /// The version that each program gave, and which file gave it.
    versions: Arc<Mutex<BTreeMap<PathBuf, (FileStamp, String)>>>,
}

/// What changes when a program is replaced.
type FileStamp = (u64, Option<SystemTime>);

impl Tools {
    /// The programs with the default limits: 90 s, as Argo CD has it, 64 MiB, which is some
    /// thirty times the largest chart output seen, and one render for each processor.
    pub fn new(helm: impl Into<PathBuf>, kustomize: impl Into<PathBuf>, sandbox: Sandbox) -> Self {
        Self {
            helm: helm.into(),
            kustomize: kustomize.into(),
            sandbox,
            timeout: Duration::from_secs(90),
            output_bytes_max: 64 << 20,
            parallel: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            versions: Arc::default(),
        }
    }

    /// The programs and limits as configured. A program is named by its path, or by its name in
    /// `$PATH`; what is not found stays as it is: the error then comes from the render that needs
    /// it, for that application alone.
    #[must_use]
    pub fn configured(config: &ToolsConfig) -> Self {
        let sandbox = match config.sandbox {
            SandboxMode::On => Sandbox::on(config.sandbox_read.clone()),
            SandboxMode::Off => Sandbox::Off,
        };
        let mut tools = Self::new(find(&config.helm), find(&config.kustomize), sandbox);
        tools.timeout = config.timeout.duration();
        tools.output_bytes_max = config.output_bytes_max;
        if config.parallel > 0 {
            tools.parallel = config.parallel as usize;
        }
        tools
    }

    /// The version that this very program gave before.
    pub(super) fn known_version(&self, program: &Path) -> Option<String> {
        let stamp = stamp(program)?;
        let known = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(program).filter(|(known, _)| *known == stamp);
        known.map(|(_, version)| version.clone())
    }

    pub(super) fn remember_version(&self, program: &Path, version: &str) {
        let Some(stamp) = stamp(program) else { return };
        let mut known = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(program.to_owned(), (stamp, version.to_owned()));
    }
}

fn stamp(program: &Path) -> Option<FileStamp> {
    let metadata = std::fs::metadata(program).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

fn find(name: &Path) -> PathBuf {
    if name.components().count() > 1 {
        return name.to_owned();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| name.to_owned())
}
