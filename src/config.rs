//! The configuration: one TOML format, layered, with the origin of every value.
//!
//! [`Layers`] puts the layers together: built-in defaults, then files, then `GREFFIER_*`
//! variables, then flags; a later layer wins key by key, and lists are replaced as a whole. Every
//! error names where the value came from (file and line, variable or flag), the key, and what is
//! allowed.
//!
//! Nothing here reads a file or the environment: callers hand in texts and variables, so the
//! result is a pure function of them. The values are checked once, here; whoever has a
//! [`Config`] need not check it again.

mod layers;
mod listen;
mod people;
mod period;
mod rollback;
mod settings;

pub use layers::{Error, Layers, Loaded, Origin};
pub use listen::ListenConfig;
pub use people::{CredentialKind, PersonConfig, people_of, person_of};
pub use period::{ParsePeriodError, Period};
pub use rollback::{RollbackConfig, RollbackWhen, rollback_of};
pub use settings::{
    AppFile, AuditConfig, ClusterConfig, Config, GateConfig, GitConfig, LedgerConfig, OnRewrite,
    Places, SandboxMode, SourceConfig, ToolsConfig,
};
