//! A Git repository to push to: a bare one, as greffier knows it, and a clone to work in.

#![allow(dead_code, reason = "each target that includes this file uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// The bare repository and its clone, in one directory of the caller's.
#[derive(Debug)]
pub(crate) struct Repository {
    bare: PathBuf,
    work: PathBuf,
}

/// A push that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Push {
    /// Just before `git push` was started.
    pub(crate) begun: Instant,
    /// How long `git push` itself took.
    pub(crate) took: Duration,
}

impl Repository {
    /// Makes `<dir>/<name>.git`, empty, and the clone `<dir>/<name>`.
    pub(crate) fn create(dir: &Path, name: &str) -> Result<Self> {
        let repository = Self { bare: dir.join(format!("{name}.git")), work: dir.join(name) };
        let bare = repository.bare.to_string_lossy().into_owned();
        let work = repository.work.to_string_lossy().into_owned();
        run(dir, &["init", "--quiet", "--bare", "--initial-branch=main", &bare])?;
        run(dir, &["clone", "--quiet", &bare, &work])?;
        repository.git(&["config", "user.name", "Dora"])?;
        repository.git(&["config", "user.email", "dora@example.test"])?;
        repository.git(&["config", "commit.gpgsign", "false"])?;
        repository.git(&["config", "gc.auto", "0"])?;
        repository.git(&["checkout", "--quiet", "-B", "main"])?;
        Ok(repository)
    }

    /// Returns the path that Applications name as `repoURL`.
    pub(crate) fn url(&self) -> String {
        self.bare.to_string_lossy().into_owned()
    }

    /// Returns the clone's directory.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// Runs git in the clone and returns its output.
    pub(crate) fn git(&self, args: &[&str]) -> Result<String> {
        run(&self.work, args)
    }

    /// Writes a file of the clone.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.work.join(path);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Replaces a text in a file of the clone; it must be there.
    pub(crate) fn replace(&self, path: &str, from: &str, to: &str) -> Result<()> {
        let text = fs::read_to_string(self.work.join(path)).with_context(|| path.to_owned())?;
        if !text.contains(from) {
            bail!("{path} does not contain {from:?}");
        }
        self.write(path, &text.replace(from, to))
    }

    /// Commits everything.
    pub(crate) fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])?;
        Ok(())
    }

    /// Pushes, and says when it began and how long it took.
    pub(crate) fn push(&self) -> Result<Push> {
        let begun = Instant::now();
        self.git(&["push", "--quiet", "origin", "main"])?;
        Ok(Push { begun, took: begun.elapsed() })
    }
}

fn run(dir: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .current_dir(dir)
        .args(args)
        // The user's own configuration must not change what is shown or measured.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("git {} failed ({}): {}", args.join(" "), output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
