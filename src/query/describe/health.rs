//! Sentences about health.

use super::{Described, Tone, clean_key, reason};
use crate::ledger::event::{Event, Health};

pub(super) fn of_health(event: &Event) -> Described {
    match event {
        Event::AppHealthChanged(body) => {
            let (was, now) = (body.was.as_str(), body.now.as_str());
            let text = format!("health {was} → {now}{}", reason(&body.message));
            Described::of_app(&body.app, text).tone(tone(body.now))
        }
        Event::ObjectHealthChanged(body) => {
            let (key, now) = (clean_key(&body.key), body.now.as_str());
            let text = match body.now {
                Health::Healthy => format!("{key} is {now} again (was {})", body.was.as_str()),
                _ => format!("{key} turned {now}{}", reason(&body.message)),
            };
            Described::of_app(&body.app, text).tone(tone(body.now)).object(&body.key)
        }
        other => Described::new(other.name()),
    }
}

fn tone(health: Health) -> Tone {
    match health {
        Health::Healthy => Tone::Good,
        Health::Degraded => Tone::Bad,
        Health::Suspended | Health::Progressing | Health::Missing | Health::Unknown => Tone::Plain,
    }
}
