//! What `helm` and `kustomize` have in common: environment, version, and what they say.

use std::ffi::OsString;
use std::path::Path;

use super::engine::Error;
use super::process::{self, Task};
use super::said::without_values;
use super::sandbox::Needs;
use super::tools::Tools;

/// The longest message that is kept of a failure.
const MESSAGE_BYTES_MAX: usize = 4096;

/// The most remarks of a successful run that are kept, and the longest.
const NOTES_MAX: usize = 10;
const NOTE_BYTES_MAX: usize = 500;

/// Everything that a program would look for in the user's home is in the temporary folder, where
/// it finds nothing. Charts can ask for a schema by URL: the proxy that nobody serves refuses
/// that where the sandbox is off.
pub(super) fn environment(home: &Path) -> Vec<(&'static str, OsString)> {
    let below = |name: &str| home.join(name).into_os_string();
    vec![
        ("HOME", home.as_os_str().to_owned()),
        ("TMPDIR", home.as_os_str().to_owned()),
        // Local time is the same everywhere.
        ("TZ", "UTC".into()),
        ("HELM_CACHE_HOME", below("cache")),
        ("HELM_CONFIG_HOME", below("config")),
        ("HELM_DATA_HOME", below("data")),
        ("HELM_PLUGINS", below("plugins")),
        ("KUBECONFIG", below("kubeconfig")),
        ("HTTP_PROXY", "http://127.0.0.1:9".into()),
        ("HTTPS_PROXY", "http://127.0.0.1:9".into()),
    ]
}

/// The version of a program with its name, e.g. `helm v4.0.1`. It is asked once for each program;
/// a program that was replaced is asked again.
///
/// # Errors
/// The program cannot be run or does not say a version.
pub(super) fn version(
    tools: &Tools,
    program: &Path,
    name: &str,
    arguments: &[&str],
) -> Result<String, Error> {
    if let Some(version) = tools.known_version(program) {
        return Ok(version);
    }
    let finished = process::run(&Task {
        program,
        arguments: arguments.iter().map(OsString::from).collect(),
        environment: environment(Path::new("/nonexistent")),
        folder: Path::new("/"),
        timeout: tools.timeout,
        output_bytes_max: tools.output_bytes_max,
        sandbox: &tools.sandbox,
        needs: Needs::default(),
        input: None,
    })?;
    let text = String::from_utf8_lossy(&finished.stdout);
    // `v4.0.1+g1234567`: the build is not of interest.
    let version = text.trim().split('+').next().unwrap_or_default();
    if finished.failure.is_some() || !version.starts_with('v') {
        return Err(Error::NoVersion { program: program.to_owned() });
    }
    let version = format!("{name} {version}");
    tools.remember_version(program, &version);
    Ok(version)
}

/// What a program says about a failure, in one line and without its decoration.
pub(super) fn message(stderr: &str, failure: &str, name: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).collect();
    let first = lines.iter().position(|line| line.starts_with("Error: "));
    let wanted = lines[first.unwrap_or(0)..].iter().filter(|line| !line.is_empty());
    let wanted = wanted.filter(|line| !line.starts_with("Use --debug flag"));
    let text = wanted.copied().collect::<Vec<_>>().join(" ");
    let text = text.strip_prefix("Error: ").unwrap_or(&text);
    if text.is_empty() { format!("{name}: {failure}") } else { cut(text, MESSAGE_BYTES_MAX) }
}

/// What a program remarks although it succeeds, without the values that it quotes.
pub(super) fn notes(stderr: &str, name: &str) -> Vec<String> {
    let lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let remark = |line| format!("{name}: {}", cut(&without_values(line), NOTE_BYTES_MAX));
    lines.take(NOTES_MAX).map(remark).collect()
}

/// The first `bytes_max` bytes of a text.
fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{} [...]", &text[..text.floor_char_boundary(bytes_max)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_programs_without_decoration() {
        let stderr = "level=WARN msg=x\nError: web/templates/a.yaml:3:4\n  executing \"a\":\n    \
                      boom\n\nUse --debug flag to render out invalid YAML\n";
        let expected = "web/templates/a.yaml:3:4 executing \"a\": boom";
        assert_eq!(message(stderr, "exit code 1", "helm"), expected);
        assert_eq!(message("", "killed by signal 9", "helm"), "helm: killed by signal 9");
        assert_eq!(message("odd\n", "exit code 1", "helm"), "odd");
        assert!(message(&"é".repeat(9999), "", "helm").len() < MESSAGE_BYTES_MAX + 10);
        assert_eq!(notes("a\n\nb 'c'\n", "helm"), ["helm: a", "helm: b '(…)'"]);
    }
}
