//! What the configuration means for each part.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::config::{Config, OnRewrite};
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

/// No write may take longer than any request may.
pub(super) fn write_timeout(config: &Config) -> Duration {
    config.cluster.write_timeout.duration().min(config.cluster.request_timeout.duration())
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
    let followed = config.sources.iter().filter(|source| source.on_rewrite == OnRewrite::Follow);
    source::Options {
        poll_interval: config.git.poll_interval.duration(),
        fetch_timeout: config.git.fetch_timeout.duration(),
        history_commits_max: config.git.history_commits_max as usize,
        allowed_signers: config.git.allowed_signers.clone(),
        follow_rewrites: followed.map(|source| source.repo.clone()).collect(),
        ..source::Options::new(config.mirrors_dir())
    }
}

pub(super) fn tools(config: &Config) -> render::Tools {
    render::Tools::configured(&config.tools)
}
