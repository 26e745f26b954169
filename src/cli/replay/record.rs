//! Who records a replay: this process, where no daemon has the ledger, or the daemon.

use futures::future::BoxFuture;

use super::super::asker::Context;
use super::super::error::{Error, Exit};
use crate::cluster::SecretDigest;
use crate::config::Config;
use crate::http::dto::{Recorded, RecoveryRecord};
use crate::http::{Client, ClientError};
use crate::ledger::{self, Archive, Draft, Ledger, Sealer};
use crate::model::Seq;
use crate::reconcile::recovery::{NotRecorded, Recorder};

/// The daemon, which has the ledger: it keeps the register while this process writes.
struct Daemon<'a> {
    client: Client,
    ledger: String,
    sealer: &'a Sealer,
}

impl Recorder for Daemon<'_> {
    fn record(&self, draft: Draft) -> BoxFuture<'_, Result<Seq, NotRecorded>> {
        Box::pin(async move {
            let record = RecoveryRecord::of(draft.event).ok_or("that is no event of a replay")?;
            let recorded: Recorded = self.client.post("recovery", &record).await?;
            Ok(Seq(recorded.seq))
        })
    }

    fn ledger(&self) -> String {
        self.ledger.clone()
    }

    fn sealer(&self) -> &dyn SecretDigest {
        self.sealer
    }
}

/// Where a replay is recorded.
pub(super) enum Register<'a> {
    /// In the ledger, whose one writer this process is.
    Own(Ledger),
    /// By the daemon.
    Daemon(Box<dyn Recorder + 'a>),
}

impl<'a> Register<'a> {
    /// Opens the ledger, or finds the daemon that has it.
    pub(super) async fn open(context: &Context, archive: &'a Archive) -> Result<Self, Error> {
        let locked = match open_for_writing(context.config()) {
            Ok(ledger) => return Ok(Self::Own(ledger)),
            Err(error @ ledger::Error::Locked { .. }) => error,
            Err(error) => return Err(of_ledger(error)),
        };
        let client = context.client();
        match client.probe().await {
            Ok(()) => {}
            Err(ClientError::Unreachable { .. }) => {
                let text = "nothing was written: another process has the ledger open, and no \
                            daemon answers";
                let hint = "a replay is recorded in the ledger, which has one writer: wait until \
                            the other one has ended";
                return Err(Error::new(Exit::Refused, text).because(&locked).hint(hint));
            }
            Err(error) => return Err(error.into()),
        }
        let Some(sealer) = archive.seal() else { return Err(without_key()) };
        let ledger = archive.ledger_id().to_string();
        Ok(Self::Daemon(Box::new(Daemon { client, ledger, sealer })))
    }

    pub(super) fn recorder(&self) -> &dyn Recorder {
        match self {
            Self::Own(ledger) => ledger,
            Self::Daemon(daemon) => &**daemon,
        }
    }

    /// Closes what this process has opened.
    pub(super) fn close(&self) {
        if let Self::Own(ledger) = self {
            ledger.shutdown();
        }
    }
}

/// The ledger, for its one writer.
fn open_for_writing(config: &Config) -> Result<Ledger, ledger::Error> {
    let options = ledger::Options {
        segment_bytes_max: config.ledger.segment_bytes_max,
        free_bytes_reserve: config.ledger.free_bytes_reserve,
        ..ledger::Options::new(config.ledger_dir(), &config.key_file)
    };
    Ok(Ledger::open(options)?.0)
}

fn of_ledger(error: ledger::Error) -> Error {
    match error {
        ledger::Error::KeyMissing(_) | ledger::Error::KeyWrong { .. } => {
            without_key().because(&error)
        }
        error => error.into(),
    }
}

fn without_key() -> Error {
    let text = "nothing was written: without the ledger's key nothing is replayed";
    Error::new(Exit::Refused, text).hint("put the backup of the key in its place (key_file)")
}
