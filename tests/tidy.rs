//! Rules of the code base that a compiler does not check, as an ordinary test.
//!
//! The layers of `src/lib.rs` hold: a module uses lower layers only. What decides (L1) touches
//! neither clock, disk, network nor chance. Each outside library is imported where it belongs.
//! Files and functions stay short. The documents name what they must name.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, without its tests.
const FILE_LINES_MAX: usize = 600;
/// Longest function.
const FUNCTION_LINES_MAX: usize = 70;

/// Which layer a module is in. The longest matching prefix counts.
const LAYERS: &[(&str, u8)] = &[
    ("model", 0),
    ("config", 0),
    ("ledger::event", 1),
    ("ledger::draft", 1),
    ("ledger::frame", 1),
    ("ledger::codec", 1),
    ("ledger::record", 1),
    ("ledger::subjects", 1),
    ("ledger", 3),
    ("health", 1),
    ("replay", 1),
    ("attribution", 1),
    ("plan", 1),
    ("recovery", 1),
    ("reconcile::machine", 1),
    ("audit::record", 1),
    ("audit::reach", 1),
    ("audit::kinds", 1),
    ("audit", 3),
    ("source", 3),
    ("render", 3),
    ("cluster", 3),
    ("reconcile", 4),
    ("query", 4),
    ("command", 4),
    ("http", 5),
    ("cli", 5),
    ("telemetry", 5),
    ("daemon", 6),
    ("main", 6),
    ("lib", 6),
];

/// What L0 and L1 may not touch, and why.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "what decides is not async"),
    ("std::fs", "what decides does no I/O"),
    ("std::net", "what decides does no I/O"),
    ("std::env", "what decides reads no environment"),
    ("SystemTime", "what decides reads no clock"),
    ("Instant::now", "what decides reads no clock"),
    ("Timestamp::now", "time comes from recorded events"),
    ("HashMap", "iteration order must be the same on every machine"),
    ("HashSet", "iteration order must be the same on every machine"),
    ("getrandom", "what decides leaves nothing to chance"),
];

/// L0 and L1 files that may touch something impure, and what.
const IMPURE_ALLOWED: &[(&str, &str)] = &[
    ("src/model/time.rs", "SystemTime"),
    ("src/model/time.rs", "Timestamp::now"),
    ("src/config", "std::fs"),
    ("src/config", "std::env"),
    // An address is a plain value.
    ("src/config", "std::net"),
];

/// Where outside libraries belong.
const HOMES: &[(&str, &[&str])] = &[
    ("sled", &["src/ledger/sled_store.rs", "src/ledger/sled_store"]),
    ("bincode", &["src/ledger/codec.rs"]),
    ("gix", &["src/source"]),
    ("notify", &["src/source", "src/audit/follow.rs"]),
    ("kube", &["src/cluster"]),
    ("k8s_openapi", &["src/cluster"]),
    ("axum", &["src/http"]),
    ("clap", &["src/cli", "src/main.rs"]),
    ("landlock", &["src/render/sandbox"]),
    ("seccompiler", &["src/render/sandbox"]),
    ("jaq_core", &["src/render/jq.rs"]),
    ("jaq_std", &["src/render/jq.rs"]),
    ("jaq_json", &["src/render/jq.rs"]),
];

struct Source {
    path: PathBuf,
    module: String,
    /// The text without its test module.
    code: String,
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    collect(Path::new("src"), &mut files);
    files.sort();
    files
        .into_iter()
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let in_tests = path.components().any(|part| part.as_os_str() == "tests");
            !in_tests && !["tests.rs", "testing.rs", "contract.rs"].contains(&name)
        })
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let inside = path.strip_prefix("src").unwrap().with_extension("");
            let module = inside.to_str().unwrap().replace('/', "::");
            let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap().to_owned();
            Source { path, module, code }
        })
        .collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn layer(module: &str) -> Option<u8> {
    LAYERS
        .iter()
        .filter(|(prefix, _)| {
            module == *prefix || module.strip_prefix(prefix).is_some_and(|r| r.starts_with("::"))
        })
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, layer)| *layer)
}

/// Code lines: comments and blank lines say nothing about dependencies.
fn code_lines(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = code.lines().enumerate().map(|(number, line)| (number + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn fail(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_module_is_in_a_layer_and_uses_lower_ones_only() {
    let mut problems = Vec::new();
    for source in sources() {
        let Some(own) = layer(&source.module) else {
            problems.push(format!("{}: not in LAYERS of tests/tidy.rs", source.path.display()));
            continue;
        };
        let own_top = source.module.split("::").next().unwrap().to_owned();
        for (number, line) in code_lines(&source.code) {
            for used in line.split("crate::").skip(1) {
                let used: String =
                    used.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
                let used = used.trim_end_matches(':');
                if used.split("::").next() == Some(&own_top) {
                    continue;
                }
                // Facades re-export: an item named through its facade counts as the facade's
                // lowest layer, which its own file is checked for.
                let target = match used {
                    "ledger" | "reconcile" => Some(1),
                    _ if used.starts_with("ledger::") => {
                        let item = used.trim_start_matches("ledger::");
                        let pure = ["event", "frame", "Draft", "Batch", "Blob"];
                        Some(if pure.iter().any(|p| item.starts_with(p)) { 1 } else { 3 })
                    }
                    _ => layer(used),
                };
                if target.is_some_and(|target| target > own) {
                    let path = source.path.display();
                    problems.push(format!("{path}:{number}: layer {own} uses {used} above it"));
                }
            }
        }
    }
    fail(problems);
}

#[test]
fn what_decides_is_pure() {
    let mut problems = Vec::new();
    for source in sources() {
        if layer(&source.module).is_none_or(|layer| layer > 1) {
            continue;
        }
        let path = source.path.to_str().unwrap();
        for (number, line) in code_lines(&source.code) {
            for (word, why) in IMPURE {
                let allowed = |(file, what): &(&str, &str)| path.starts_with(file) && what == word;
                if line.contains(word) && !IMPURE_ALLOWED.iter().any(allowed) {
                    problems.push(format!("{path}:{number}: `{word}`: {why}"));
                }
            }
        }
    }
    fail(problems);
}

#[test]
fn outside_libraries_stay_where_they_belong() {
    let mut problems = Vec::new();
    for source in sources() {
        let path = source.path.to_str().unwrap();
        for (number, line) in code_lines(&source.code) {
            for (library, homes) in HOMES {
                let at_home = homes.iter().any(|home| path.starts_with(home));
                let used =
                    [format!("use {library}::"), format!(" {library}::"), format!("({library}::")];
                if !at_home && used.iter().any(|used| line.contains(used.as_str())) {
                    problems.push(format!("{path}:{number}: {library} belongs in {homes:?}"));
                }
            }
        }
    }
    fail(problems);
}

#[test]
fn files_and_functions_stay_short() {
    let mut problems = Vec::new();
    for source in sources() {
        let path = source.path.display();
        let lines: Vec<&str> = source.code.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            problems.push(format!("{path}: {} lines (at most {FILE_LINES_MAX})", lines.len()));
        }
        let mut start: Option<(usize, usize)> = None;
        for (index, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let words: Vec<&str> = line.split_whitespace().take(4).collect();
            let begins = words.contains(&"fn") && !line.trim_start().starts_with("//");
            match start {
                None if begins && !line.trim_end().ends_with(';') => start = Some((index, indent)),
                Some((first, depth)) if indent == depth && line.trim_start().starts_with('}') => {
                    let length = index - first + 1;
                    if length > FUNCTION_LINES_MAX {
                        let at = first + 1;
                        problems.push(format!("{path}:{at}: function of {length} lines"));
                    }
                    start = None;
                }
                _ => {}
            }
        }
    }
    fail(problems);
}

#[test]
fn every_module_says_what_it_is() {
    let silent = sources().into_iter().filter(|source| !source.code.starts_with("//!"));
    let named = |source: Source| format!("{}: no `//!` at its top", source.path.display());
    fail(silent.map(named).collect());
}

#[test]
fn nothing_is_left_unfinished() {
    let mut problems = Vec::new();
    let words = ["todo!(", "unimplemented!(", "TODO", "FIXME", "XXX"];
    for source in sources() {
        for (index, line) in source.code.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                problems.push(format!("{}:{}: {}", source.path.display(), index + 1, line.trim()));
            }
        }
    }
    fail(problems);
}

#[test]
fn no_host_of_a_registry_is_named() {
    let hosts = ["proxy.golang", "crates.io/", "pypi.org", "registry.npmjs", "deb.debian"];
    let mut problems = Vec::new();
    for source in sources() {
        for host in hosts {
            if source.code.contains(host) {
                problems.push(format!("{}: names {host}", source.path.display()));
            }
        }
    }
    fail(problems);
}

#[test]
fn the_ledger_format_lists_every_event() {
    let document = fs::read_to_string("docs/ledger-format.md").unwrap();
    let kinds = greffier::ledger::event::Event::KINDS;
    let missing = kinds.iter().filter(|(code, name, _)| {
        !document.contains(&format!("0x{code:04x}")) || !document.contains(&format!("`{name}`"))
    });
    let named = |(code, name, _): &(u16, &str, &str)| {
        format!("docs/ledger-format.md does not list 0x{code:04x} `{name}`")
    };
    fail(missing.map(named).collect());
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut problems = Vec::new();
    let mut documents = Vec::new();
    for dir in [".", "docs", "docs/adr"] {
        let Ok(entries) = fs::read_dir(dir) else { continue };
        documents.extend(entries.map(|entry| entry.unwrap().path()));
    }
    let markdown = documents.into_iter().filter(|p| p.extension().is_some_and(|e| e == "md"));
    for path in markdown.collect::<BTreeSet<_>>() {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            if !path.parent().unwrap().join(target).exists() {
                problems.push(format!("{}: `{target}` is not there", path.display()));
            }
        }
    }
    fail(problems);
}
