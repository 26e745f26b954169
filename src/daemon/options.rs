//! What the configuration means for each part.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::config::{Config, SandboxMode};
use crate::{cluster, ledger, plan, render, source};

pub(super) fn ledger(config: &Config) -> ledger::Options {
    ledger::Options {
        segment_bytes_max: config.ledger.segment_bytes_max,
        free_bytes_reserve: config.ledger.free_bytes_reserve,
        sled_cache_bytes: config.ledger.cache_bytes,
        ..ledger::Options::new(config.ledger_dir(), &config.key_file)
    }
}

pub(super) fn cluster(config: &Config) -> Result<cluster::Options> {
    let mut options = cluster::Options {
        kubeconfig: config.cluster.kubeconfig.clone(),
        context: config.cluster.context.clone(),
        request_timeout: config.cluster.request_timeout.duration(),
        ..cluster::Options::default()
    };
    for pattern in &config.cluster.exclude {
        options.exclude.push(pattern.parse().context("configuration key `cluster.exclude`")?);
    }
    Ok(options)
}

pub(super) fn limits(config: &Config) -> plan::Limits {
    plan::Limits {
        app_percent_max: config.gate.app_percent_max,
        app_objects_min: config.gate.app_objects_min,
        all_objects_max: config.gate.all_objects_max,
        kinds: config.gate.kinds.clone(),
    }
}

pub(super) fn source(config: &Config) -> source::Options {
    source::Options {
        poll_interval: config.git.poll_interval.duration(),
        fetch_timeout: config.git.fetch_timeout.duration(),
        history_commits_max: config.git.history_commits_max as usize,
        ..source::Options::new(config.mirrors_dir())
    }
}

pub(super) fn tools(config: &Config) -> render::Tools {
    let sandbox = match config.tools.sandbox {
        SandboxMode::On => render::Sandbox::on(config.tools.sandbox_read.clone()),
        SandboxMode::Off => render::Sandbox::Off,
    };
    let (helm, kustomize) = (program(&config.tools.helm), program(&config.tools.kustomize));
    let mut tools = render::Tools::new(helm, kustomize, sandbox);
    tools.timeout = config.tools.timeout.duration();
    tools.output_bytes_max = config.tools.output_bytes_max;
    if config.tools.parallel > 0 {
        tools.parallel = config.tools.parallel as usize;
    }
    tools
}

/// A program by path, or by name in `$PATH`. What is not found stays as it is: the error then
/// comes from the render that needs it, for that application alone.
fn program(name: &Path) -> PathBuf {
    if name.components().count() > 1 {
        return name.to_owned();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| name.to_owned())
}
