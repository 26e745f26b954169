//! Putting the layers together, and saying where a wrong value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::settings::{Config, Places};

/// What begins the name of a variable that sets a value: `GREFFIER_GIT_POLL_INTERVAL`.
const VARIABLE_PREFIX: &str = "GREFFIER_";
/// Keys that have no default and so do not show in the table of defaults.
const OPTIONAL_KEYS: [&str; 15] = [
    "cluster.kubeconfig",
    "cluster.context",
    "audit.file",
    "audit.webhook.listen",
    "audit.webhook.tls_cert",
    "audit.webhook.tls_key",
    "audit.webhook.client_ca",
    "audit.webhook.token_file",
    "audit.webhook.anonymous",
    "past.listen",
    "past.tls_cert",
    "past.tls_key",
    "past.client_ca",
    "past.token_file",
    "past.anonymous",
];
/// Keys whose values are paths, relative to the file that names them.
const PATH_KEYS: [&str; 13] = [
    "data_dir",
    "socket",
    "key_file",
    "cluster.kubeconfig",
    "audit.file",
    "audit.webhook.tls_cert",
    "audit.webhook.tls_key",
    "audit.webhook.client_ca",
    "audit.webhook.token_file",
    "past.tls_cert",
    "past.tls_key",
    "past.client_ca",
    "past.token_file",
];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    BuiltIn,
    /// A file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {}{problem}", key_prefix(.key))]
pub struct Error {
    /// Where the value came from.
    pub origin: Origin,
    /// The key, if one is to blame; empty for broken syntax.
    pub key: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

fn key_prefix(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("`{key}`: ") }
}

/// The configuration in force, and where its values came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Who set which key; keys that nobody set are not listed.
    pub origins: BTreeMap<String, Origin>,
}

/// The layers so far. A later one wins.
#[derive(Debug, Clone)]
pub struct Layers {
    table: Table,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    /// The built-in values.
    #[must_use]
    pub fn new(places: &Places) -> Self {
        let table = Table::try_from(Config::defaults(places)).unwrap_or_default();
        Self { table, origins: BTreeMap::new() }
    }

    /// Puts the file `path` with content `text` on top.
    ///
    /// # Errors
    /// Broken TOML, an unknown key, a value of the wrong type: with the line and what is allowed.
    pub fn file(mut self, path: &Path, text: &str) -> Result<Self, Error> {
        let blame = |error: &toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start);
            let (line, key) = place(text, offset);
            let origin = Origin::File { path: path.to_owned(), line };
            Error { origin, key, problem: error.message().trim().to_owned() }
        };
        let _: Config = toml::from_str(text).map_err(|error| blame(&error))?;
        let mut table: Table = toml::from_str(text).map_err(|error| blame(&error))?;
        resolve_paths(&mut table, path.parent().unwrap_or(Path::new("/")));
        for key in leaves(&table) {
            let origin = Origin::File { path: path.to_owned(), line: line_of(text, &key) };
            self.origins.insert(key, origin);
        }
        merge(&mut self.table, table);
        Ok(self)
    }

    /// Puts the `GREFFIER_*` variables on top; variables that name no key are not for this layer.
    ///
    /// # Errors
    /// A value of the wrong type.
    pub fn variables(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let keys = self.keys();
        for (name, text) in variables {
            let Some(suffix) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
            let wanted = suffix.to_ascii_lowercase();
            let Some(key) = keys.iter().find(|key| key.replace('.', "_") == wanted) else {
                continue;
            };
            self = self.set(key, &text, Origin::Variable(name.clone()))?;
        }
        Ok(self)
    }

    /// Sets `key` (e.g. `git.poll_interval`) as the flag `flag` says.
    ///
    /// # Errors
    /// A value of the wrong type, or no such key.
    pub fn flag(self, flag: &str, key: &str, text: &str) -> Result<Self, Error> {
        self.set(key, text, Origin::Flag(flag.to_owned()))
    }

    /// Adds an Application file, as a flag says.
    #[must_use]
    pub fn app_file(mut self, flag: &str, file: &Path) -> Self {
        let entry = Table::from_iter([("file".to_owned(), text_value(file))]);
        let apps = self.table.entry("app").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(apps) = apps {
            apps.push(Value::Table(entry));
        }
        self.origins.insert("app".to_owned(), Origin::Flag(flag.to_owned()));
        self
    }

    /// The configuration that the layers make.
    ///
    /// # Errors
    /// A value that is of the right type and cannot be used.
    pub fn finish(self) -> Result<Loaded, Error> {
        let config: Config =
            self.table.clone().try_into().map_err(|error: toml::de::Error| Error {
                origin: Origin::BuiltIn,
                key: String::new(),
                problem: error.message().to_owned(),
            })?;
        match config.check() {
            Ok(()) => Ok(Loaded { config, origins: self.origins }),
            Err((key, problem)) => {
                let origin = self.origins.get(key).cloned().unwrap_or(Origin::BuiltIn);
                Err(Error { origin, key: key.to_owned(), problem })
            }
        }
    }

    fn keys(&self) -> Vec<String> {
        let mut keys = leaves(&self.table);
        keys.extend(OPTIONAL_KEYS.map(str::to_owned));
        keys.retain(|key| key != "app" && key != "source");
        keys.sort();
        keys.dedup();
        keys
    }

    fn set(mut self, key: &str, text: &str, origin: Origin) -> Result<Self, Error> {
        let wrong =
            |problem: String| Error { origin: origin.clone(), key: key.to_owned(), problem };
        let former = get(&self.table, key);
        if former.is_none() && !OPTIONAL_KEYS.contains(&key) {
            return Err(wrong("there is no such key".to_owned()));
        }
        let value = match former {
            Some(Value::Integer(_)) => {
                let number = text.trim().parse::<i64>();
                Value::Integer(
                    number.map_err(|_| wrong(format!("`{text}` is not a whole number")))?,
                )
            }
            Some(Value::Array(_)) => {
                let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
                Value::Array(entries.map(|entry| Value::String(entry.to_owned())).collect())
            }
            _ => Value::String(text.to_owned()),
        };
        put(&mut self.table, key, value);
        let checked: Result<Config, toml::de::Error> = self.table.clone().try_into();
        checked.map_err(|error| wrong(error.message().trim().to_owned()))?;
        self.origins.insert(key.to_owned(), origin);
        Ok(self)
    }
}

fn text_value(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}

fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => drop(below.insert(key, value)),
        }
    }
}

/// The keys that hold values, dotted; lists are values.
fn leaves(table: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                keys.extend(leaves(inner).into_iter().map(|leaf| format!("{key}.{leaf}")));
            }
            _ => keys.push(key.clone()),
        }
    }
    keys
}

fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((head, rest)) => get(table.get(head)?.as_table()?, rest),
        None => table.get(key),
    }
}

fn put(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((head, rest)) => {
            let inner = table.entry(head).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
        None => drop(table.insert(key.to_owned(), value)),
    }
}

/// Makes the paths of a file's table relative to the file's directory.
fn resolve_paths(table: &mut Table, dir: &Path) {
    for key in PATH_KEYS {
        if let Some(Value::String(path)) = get(table, key) {
            let path = text_value(&dir.join(path));
            put(table, key, path);
        }
    }
    let apps = table.get_mut("app").and_then(Value::as_array_mut);
    for app in apps.into_iter().flatten() {
        if let Some(Value::String(file)) = app.get("file") {
            let file = text_value(&dir.join(file));
            if let Value::Table(entry) = app {
                entry.insert("file".to_owned(), file);
            }
        }
    }
}

/// The line of the byte `offset` in `text`, and the dotted key that is set there.
fn place(text: &str, offset: usize) -> (usize, String) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let line = text[..end].matches('\n').count() + 1;
    let mut section = String::new();
    let mut key = String::new();
    for current in text.lines().take(line) {
        (section, key) = step(section, current);
    }
    let key = match (section.is_empty(), key.is_empty()) {
        (true, _) => key,
        (false, true) => section,
        (false, false) => format!("{section}.{key}"),
    };
    (line, key)
}

/// The line that sets `key`, from 1; 1 when it cannot be told.
fn line_of(text: &str, key: &str) -> usize {
    let mut section = String::new();
    for (index, current) in text.lines().enumerate() {
        let (next, name) = step(section, current);
        section = next;
        let dotted = if section.is_empty() { name } else { format!("{section}.{name}") };
        if dotted == key || (section == key && current.trim_start().starts_with('[')) {
            return index + 1;
        }
    }
    1
}

/// The section that `line` is in, and the key it sets; both as written.
fn step(section: String, line: &str) -> (String, String) {
    let line = line.trim();
    if let Some(header) = line.strip_prefix('[') {
        let header = header.trim_start_matches('[').split(']').next().unwrap_or_default();
        return (header.trim().to_owned(), String::new());
    }
    let name = line.split_once('=').map_or("", |(name, _)| name.trim());
    let name = if name.starts_with('#') { "" } else { name };
    (section, name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places {
            root: false,
            config_home: "/home/u/.config".into(),
            state_home: "/home/u/.local/state".into(),
            runtime_dir: Some("/run/user/1000".into()),
        }
    }

    fn layers() -> Layers {
        Layers::new(&places())
    }

    fn file(text: &str) -> Result<Layers, Error> {
        layers().file(Path::new("/etc/greffier/greffier.toml"), text)
    }

    #[test]
    fn a_later_layer_wins_key_by_key() {
        let first = "[git]\npoll_interval = \"5s\"\nfetch_timeout = \"7s\"\n";
        let loaded = file(first)
            .and_then(|l| l.file(Path::new("/home/u/c.toml"), "[git]\npoll_interval = \"6s\"\n"))
            .and_then(|l| l.variables([("GREFFIER_GIT_FETCH_TIMEOUT".into(), "8s".into())]))
            .and_then(|l| l.flag("--data-dir", "data_dir", "/data"))
            .and_then(Layers::finish)
            .unwrap();
        assert_eq!(loaded.config.git.poll_interval.ms(), 6_000);
        assert_eq!(loaded.config.git.fetch_timeout.ms(), 8_000);
        assert_eq!(loaded.config.data_dir, Path::new("/data"));
        assert_eq!(loaded.config.git.history_commits_max, 1_000);
        let origin = loaded.origins["git.poll_interval"].to_string();
        assert_eq!(origin, "/home/u/c.toml:2");
    }

    #[test]
    fn a_wrong_file_names_line_key_and_what_is_allowed() {
        for (text, wanted) in [
            (
                "data_dir = \"/d\"\n[git]\npol = \"5s\"\n",
                ":3: `git.pol`: unknown field `pol`, expected one of `poll_interval`",
            ),
            (
                "[git]\npoll_interval = \"soon\"\n",
                ":2: `git.poll_interval`: `soon` is not a duration",
            ),
            (
                "[gate]\nkinds = 3\n",
                ":2: `gate.kinds`: invalid type: integer `3`, expected a sequence",
            ),
            ("a = = 1\n", ":1:"),
            ("[[app]]\npath = \"x\"\n", ":2: `app.path`: unknown field `path`, expected `file`"),
        ] {
            let error = file(text).unwrap_err().to_string();
            assert!(error.starts_with("/etc/greffier/greffier.toml"), "{error}");
            assert!(error.contains(wanted), "{error}\n  wanted {wanted}");
        }
    }

    #[test]
    fn a_wrong_variable_is_named() {
        let variables = [("GREFFIER_GATE_APP_PERCENT_MAX".to_owned(), "many".to_owned())];
        let error = layers().variables(variables).unwrap_err();
        assert_eq!(
            error.to_string(),
            "variable GREFFIER_GATE_APP_PERCENT_MAX: `gate.app_percent_max`: `many` is not a whole number"
        );
    }

    #[test]
    fn optional_keys_and_lists_can_be_set_by_variables() {
        let variables = [
            ("GREFFIER_CLUSTER_KUBECONFIG".to_owned(), "/k".to_owned()),
            ("GREFFIER_CLUSTER_EXCLUDE".to_owned(), "Pod, Job.batch".to_owned()),
            ("GREFFIER_BLESS".to_owned(), "1".to_owned()),
            ("HOME".to_owned(), "/".to_owned()),
        ];
        let config = layers().variables(variables).and_then(Layers::finish).unwrap().config;
        assert_eq!(config.cluster.kubeconfig.as_deref(), Some(Path::new("/k")));
        assert_eq!(config.cluster.exclude, ["Pod", "Job.batch"]);
    }

    #[test]
    fn the_key_must_not_lie_in_the_data_directory() {
        let text = "\ndata_dir = \"/d\"\nkey_file = \"/d/x/../key\"\n";
        let error = file(text).and_then(Layers::finish).unwrap_err().to_string();
        assert!(
            error.starts_with("/etc/greffier/greffier.toml:3: `key_file`: must not"),
            "{error}"
        );
    }

    #[test]
    fn paths_are_relative_to_the_file_that_names_them() {
        let loaded = file("data_dir = \"data\"\n[[app]]\nfile = \"root.yaml\"\n");
        let config = loaded.and_then(Layers::finish).unwrap().config;
        assert_eq!(config.data_dir, Path::new("/etc/greffier/data"));
        assert_eq!(config.apps[0].file, Path::new("/etc/greffier/root.yaml"));
    }

    #[test]
    fn a_receiver_knows_its_senders() {
        let with = |text: &str| {
            let loaded = file(&format!("[audit.webhook]\n{text}")).and_then(Layers::finish);
            loaded.map(|loaded| loaded.config.audit.webhook)
        };
        let tls = "tls_cert = \"c\"\ntls_key = \"k\"\n";
        for (text, wanted) in [
            ("listen = \"127.0.0.1:1\"\n".to_owned(), "needs client_ca or token_file"),
            ("listen = \"10.0.0.1:1\"\ntoken_file = \"t\"\n".to_owned(), "a loopback address"),
            (format!("listen = \"10.0.0.1:1\"\n{tls}"), "needs client_ca or token_file"),
            ("listen = \"[::1]:1\"\nclient_ca = \"a\"\n".to_owned(), "needs tls_cert"),
            ("listen = \"[::1]:1\"\ntls_key = \"k\"\n".to_owned(), "is missing beside tls_key"),
            ("listen = \"nowhere\"\n".to_owned(), "invalid socket address"),
            ("listen = \"[::1]:1\"\nanonymous = true\n".to_owned(), "cannot be allowed"),
        ] {
            let error = with(&text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        let loaded = with(&format!("listen = \"10.0.0.1:1\"\n{tls}client_ca = \"ca\"\n")).unwrap();
        assert_eq!(loaded.client_ca.as_deref(), Some(Path::new("/etc/greffier/ca")));
        with("listen = \"127.0.0.1:1\"\ntoken_file = \"t\"\n").unwrap();
        with("").unwrap();
    }

    #[test]
    fn the_past_is_for_everybody_on_this_machine_or_for_who_is_known() {
        let with = |text: &str| file(&format!("[past]\n{text}")).and_then(Layers::finish);
        for (text, wanted) in [
            ("listen = \"127.0.0.1:1\"\n", "anybody could read all"),
            ("token_file = \"t\"\n", "is missing"),
            ("listen = \"10.0.0.1:1\"\nanonymous = true\n", "a loopback address"),
            ("listen = \"[::1]:1\"\nanonymous = true\ntoken_file = \"t\"\n", "without client_ca"),
        ] {
            let error = with(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        let open = with("listen = \"[::1]:1\"\nanonymous = true\n").unwrap().config;
        assert!(file(&open.to_toml()).and_then(Layers::finish).unwrap().config.past.anonymous);
        let known = with("listen = \"[::1]:1\"\ntoken_file = \"t\"\n").unwrap().config.past;
        assert_eq!(known.token_file.as_deref(), Some(Path::new("/etc/greffier/t")));
    }

    #[test]
    fn the_effective_configuration_reads_back() {
        let config =
            file("[[app]]\nfile = \"root.yaml\"\n").and_then(Layers::finish).unwrap().config;
        let again = file(&config.to_toml()).and_then(Layers::finish).unwrap().config;
        assert_eq!(again, config);
    }

    #[test]
    fn every_key_is_documented_with_its_built_in_value() {
        let document = include_str!("../../docs/config.md");
        let system = Layers::new(&Places { root: true, ..places() });
        for key in system.keys() {
            let row = document.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
            let row = row.unwrap_or_else(|| panic!("docs/config.md does not name `{key}`"));
            let value = match get(&system.table, &key) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Integer(number)) => number.to_string(),
                _ => continue,
            };
            assert!(row.contains(&format!("`{value}`")), "{row}\n  built in: {value}");
        }
    }
}
