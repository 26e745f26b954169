//! Sentences about the daemon and its ledger.

use super::{Described, ERROR_CHARS_MAX, Tone};
use crate::ledger::event::Event;
use crate::query::text::clip;

pub(super) fn of_daemon(event: &Event) -> Described {
    match event {
        Event::LedgerCreated(body) => {
            Described::new(format!("ledger created by greffier {}", clip(&body.version, 40)))
        }
        Event::DaemonStarted(body) => {
            let mode = if body.observe { ", only observing: nothing is written" } else { "" };
            let version = clip(&body.version, 40);
            Described::new(format!("greffier {version} started (pid {}{mode})", body.pid))
        }
        Event::DaemonStopped(body) => {
            Described::new(format!("greffier stopped: {}", clip(&body.reason, ERROR_CHARS_MAX)))
        }
        Event::LedgerRepaired(body) => {
            let lost = match (body.possibly_acknowledged, body.kept.is_empty()) {
                (true, false) => "; ACKNOWLEDGED EVENTS MAY BE AMONG WHAT WAS SET ASIDE",
                (true, true) => "; ACKNOWLEDGED EVENTS MAY BE MISSING",
                (false, _) => "",
            };
            let kept = match body.kept.as_str() {
                "" => String::new(),
                kept => format!("; kept in {}", clip(kept, 200)),
            };
            let what = clip(&body.what, ERROR_CHARS_MAX);
            let tone = if body.possibly_acknowledged { Tone::Bad } else { Tone::Warn };
            Described::new(format!("ledger repaired: {what}{kept}{lost}")).tone(tone)
        }
        Event::ConfigLoaded(_) => Described::new("configuration loaded").noise(),
        Event::DeadlineReached(body) => {
            Described::new(format!("deadline {} reached", body.deadline)).noise()
        }
        other => Described::new(other.name()),
    }
}
