//! The daemon's own log: to standard error, as text or JSON.
//!
//! Security: what is logged names subjects and causes; contents of manifests are never logged.

use tracing_subscriber::EnvFilter;

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level or filter is not understood.
    #[error("`{level}` is no log level")]
    Level {
        /// What was given.
        level: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody set logging up before.
    #[error("logging is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sets logging up for the whole process. `level` is a level (`info`) or filters
/// (`warn,greffier=debug`).
///
/// # Errors
/// A filter that is not understood; a second call.
pub fn init(level: &str, format: LogFormat, color: bool) -> Result<(), Error> {
    use tracing_subscriber::util::SubscriberInitExt as _;
    let filter = EnvFilter::builder().parse(level);
    let filter = filter.map_err(|source| Error::Level { level: level.to_owned(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match format {
        LogFormat::Text => builder.with_ansi(color).finish().try_init(),
        LogFormat::Json => builder.json().finish().try_init(),
    };
    set.map_err(Error::Twice)
}
