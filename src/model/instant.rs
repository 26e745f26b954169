//! Instants as people write them.
//!
//! | written | means |
//! |---|---|
//! | `2026-11-20T14:00:00Z`, `2026-11-20 14:00` | that time; without an offset in the given zone |
//! | `2026-11-20` | the whole day: its end where one instant is asked for, and now of the one that is not over |
//! | `14:00`, `today 9:00`, `yesterday 14:00`, `monday`, `friday 9:00` | in the given zone |
//! | `2h`, `90s ago`, `@{2h}` | so long before now |
//! | `@`, `now` | now |
//! | `@-`, `@--`, `@-3` | right before the last, last but one, third last change of the subject |
//! | `#1234`, `seq:1234`, `1234` | after that event |
//! | `019a8c…`, `e019a8c…` | after the event whose id begins so |
//! | `git:REVISION` | when the commit was applied first |
//! | `mark:NAME` | what somebody named so |
//!
//! Reading one needs the time and a zone and nothing else; what an instant stands for in a ledger
//! is for `query::instant` to say. An instant prints in a form that no zone changes.

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};

use super::id::Seq;
use super::time::Timestamp;

/// How many digits of an event's id name it at least: they are the time in steps of a minute.
const EVENT_DIGITS_MIN: usize = 8;
const EVENT_DIGITS_MAX: usize = 32;
/// Bound: how long a text may be, in bytes.
const TEXT_BYTES_MAX: usize = 300;
/// Bound: how many changes back one may ask.
const BACK_MAX: u32 = 10_000;
const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// A point in history, as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instant {
    /// Now.
    Now,
    /// Right before this many of the last changes of the subject.
    Back(u32),
    /// After this event.
    Event(Seq),
    /// After the event whose id begins with these hexadecimal digits.
    Id(String),
    /// When the commit was applied first: an id, the beginning of one, a branch or a tag.
    Commit(String),
    /// What somebody gave this name.
    Mark(String),
    /// A time.
    Time(Timestamp),
    /// All of a day.
    Day {
        /// Its first moment.
        begins: Timestamp,
        /// Its last one.
        ends: Timestamp,
    },
}

/// A text that names no instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is no instant: {why}")]
pub struct InstantError {
    /// What was given.
    pub input: String,
    /// What is wrong with it.
    pub why: String,
}

impl InstantError {
    /// What can be written instead.
    pub const HINT: &'static str = "write a time (2026-11-20T14:00:00Z, `yesterday 14:00`, 2h), a day (2026-11-20), an event \
         (#1234), a commit (git:main), a mark (mark:NAME), or @- for before the last change";
}

impl Instant {
    /// Reads an instant. What is said in relation to the present is so to `now`, and clock times
    /// and days are those of `zone`.
    ///
    /// # Errors
    /// [`InstantError`].
    pub fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Self, InstantError> {
        let given = text.trim();
        let wrong = |why: &str| {
            let input: String = given.chars().take(TEXT_BYTES_MAX).collect();
            InstantError { input, why: why.to_owned() }
        };
        if given.is_empty() || given.len() > TEXT_BYTES_MAX {
            return Err(wrong("it is empty, or too long"));
        }
        if let Some(rest) = given.strip_prefix('@') {
            return at_sign(rest, now, zone).ok_or_else(|| {
                wrong("after `@` comes nothing, `-`, `--`, `-N`, or a time in braces")
            });
        }
        for (prefix, make) in [("git:", Self::Commit as fn(String) -> Self), ("mark:", Self::Mark)]
        {
            if let Some(name) = given.strip_prefix(prefix) {
                let name = name.trim();
                let named = (!name.is_empty()).then(|| make(name.to_owned()));
                return named.ok_or_else(|| wrong("the name is missing"));
            }
        }
        let number = given.strip_prefix('#').or_else(|| given.strip_prefix("seq:"));
        if let Some(number) = number {
            let seq = number.trim().parse::<u64>().ok().filter(|seq| *seq > 0);
            return seq
                .map(|seq| Self::Event(Seq(seq)))
                .ok_or_else(|| wrong("an event is named by its number, from 1 on"));
        }
        if let Some(time) = time(given, now, zone) {
            return Ok(time);
        }
        if let Some(to_come) = too_far(given, zone) {
            return Err(wrong(if to_come {
                "it is in the future"
            } else {
                "it is before everything that can be recorded"
            }));
        }
        if given.bytes().all(|b| b.is_ascii_digit()) && !given.starts_with('0') {
            return given
                .parse()
                .map(|n| Self::Event(Seq(n)))
                .map_err(|_| wrong("it is too large"));
        }
        match event_digits(given) {
            Some(digits) if digits.len() < EVENT_DIGITS_MIN => {
                Err(wrong("of an event's id eight digits are needed"))
            }
            Some(digits) => Ok(Self::Id(digits)),
            None => Err(wrong("it is not understood")),
        }
    }

    /// The same, where one moment is asked for: the end of a day.
    #[must_use]
    pub fn or_end(self) -> Self {
        match self {
            Self::Day { ends, .. } => Self::Time(ends),
            other => other,
        }
    }

    /// The same, where the beginning of a span is asked for.
    #[must_use]
    pub fn or_begin(self) -> Self {
        match self {
            Self::Day { begins, .. } => Self::Time(begins),
            other => other,
        }
    }

    /// Whether it depends on what the subject is.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        matches!(self, Self::Back(_) | Self::Commit(_))
    }
}

impl fmt::Display for Instant {
    /// In a form that is read the same in every zone; of a day its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("@"),
            Self::Back(n) => write!(f, "@-{n}"),
            Self::Event(seq) => write!(f, "#{seq}"),
            Self::Id(digits) => write!(f, "e{digits}"),
            Self::Commit(name) => write!(f, "git:{name}"),
            Self::Mark(name) => write!(f, "mark:{name}"),
            Self::Time(time) | Self::Day { ends: time, .. } => {
                match jiff::Timestamp::from_nanosecond(i128::from(time.0)) {
                    Ok(time) => write!(f, "{time}"),
                    Err(_) => write!(f, "{time}"),
                }
            }
        }
    }
}

/// What comes after an `@`.
fn at_sign(rest: &str, now: Timestamp, zone: &TimeZone) -> Option<Instant> {
    if rest.is_empty() {
        return Some(Instant::Now);
    }
    if let Some(inner) = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return time(inner.trim(), now, zone);
    }
    let back = rest.strip_prefix('-')?;
    let count = if back.bytes().all(|b| b == b'-') {
        u32::try_from(back.len() + 1).ok()
    } else {
        back.parse().ok()
    };
    count.filter(|count| (1..=BACK_MAX).contains(count)).map(Instant::Back)
}

/// The digits of an event's id: hexadecimal, after an `e` or not, with dashes or without.
fn event_digits(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    // Ids begin with the time, and its first digit is zero until the year 2527.
    let lower = match lower.strip_prefix('e') {
        Some(rest) if rest.starts_with('0') => rest,
        _ => &lower,
    };
    let digits: String = lower.trim_end_matches('…').chars().filter(|c| *c != '-').collect();
    let good = digits.bytes().all(|b| b.is_ascii_hexdigit())
        && digits.starts_with('0')
        && digits.len() <= EVENT_DIGITS_MAX;
    good.then_some(digits)
}

/// A time or a day, in any form.
fn time(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Instant> {
    if text.eq_ignore_ascii_case("now") {
        return Some(Instant::Now);
    }
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        return Some(Instant::Time(time));
    }
    if let Ok(zoned) = text.parse::<Zoned>() {
        return of_zoned(&zoned).map(Instant::Time);
    }
    if let Some(ms) = ago(text) {
        return Some(Instant::Time(Timestamp(now.0.checked_sub(ms.checked_mul(1_000_000)?)?)));
    }
    if text.len() == "2026-11-20".len()
        && let Ok(date) = text.parse::<Date>()
    {
        return day(date, now, zone);
    }
    // A date with a time: the separator of the standard, or a space.
    if text.as_bytes().get(4) == Some(&b'-')
        && let Ok(moment) = text.parse::<DateTime>()
    {
        return local(moment, zone);
    }
    named_day(&text.to_ascii_lowercase(), now, zone)
}

/// `today`, `yesterday` or a weekday, with or without a time, or a time of today.
fn named_day(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Instant> {
    let here = jiff::Timestamp::from_nanosecond(i128::from(now.0)).ok()?.to_zoned(zone.clone());
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    if let Some(time) = clock(word).filter(|_| rest.is_empty()) {
        return local(here.date().to_datetime(time), zone);
    }
    let time = if rest.is_empty() { None } else { Some(clock(rest)?) };
    let today = here.date();
    let date = match word {
        "today" => today,
        "yesterday" => today.checked_sub(1.day()).ok()?,
        _ => {
            let wanted = WEEKDAYS.iter().position(|name| *name == word)?;
            let wanted = i64::try_from(wanted).ok()?;
            let back = (i64::from(today.weekday().to_monday_zero_offset()) - wanted).rem_euclid(7);
            // The last one that has begun: today, unless its time is still to come.
            let ahead = back == 0 && time.is_some_and(|time| time > here.time());
            today.checked_sub((if ahead { 7 } else { back }).days()).ok()?
        }
    };
    match time {
        Some(time) => local(date.to_datetime(time), zone),
        None => day(date, now, zone),
    }
}

/// Whether a time is further away than nanoseconds are counted, and then whether it is to come.
fn too_far(text: &str, zone: &TimeZone) -> Option<bool> {
    let here = |moment: DateTime| Some(moment.to_zoned(zone.clone()).ok()?.timestamp());
    let time = match (text.parse::<jiff::Timestamp>(), text.parse::<Zoned>()) {
        (Ok(time), _) => time,
        (_, Ok(zoned)) => zoned.timestamp(),
        _ if text.as_bytes().get(4) == Some(&b'-') => here(text.parse::<DateTime>().ok()?)?,
        _ => return None,
    };
    let ns = time.as_nanosecond();
    i64::try_from(ns).is_err().then_some(ns > 0)
}

/// `9:00`, `09:00`, `14:00:05`.
fn clock(text: &str) -> Option<Time> {
    let parts: Vec<&str> = text.split(':').collect();
    let number = |text: &str| {
        let good = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i8>().ok().filter(|_| good)
    };
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (number(hour)?, number(minute)?, 0),
        [hour, minute, second] => (number(hour)?, number(minute)?, number(second)?),
        _ => return None,
    };
    Time::new(hour, minute, second, 0).ok()
}

/// How many milliseconds ago: `2h`, `90s ago`, `1h30m`, `2w`.
fn ago(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 6] = [
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let mut rest = text.strip_suffix("ago").map_or(text, str::trim_end);
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(factor)?)?;
        rest = tail;
    }
    Some(total)
}

/// A day of `zone`: as long as it is there, with the hours that a clock change takes or gives. The
/// one that is not over ends now.
fn day(date: Date, now: Timestamp, zone: &TimeZone) -> Option<Instant> {
    let begins = of_zoned(&date.to_zoned(zone.clone()).ok()?)?;
    let next = of_zoned(&date.tomorrow().ok()?.to_zoned(zone.clone()).ok()?)?;
    let ends = Timestamp(next.0 - 1);
    let ends = if begins <= now { ends.min(now) } else { ends };
    Some(Instant::Day { begins, ends })
}

/// A clock time of `zone`. Of two that are the same there the first; of one that is skipped the
/// one after it.
fn local(moment: DateTime, zone: &TimeZone) -> Option<Instant> {
    of_zoned(&moment.to_zoned(zone.clone()).ok()?).map(Instant::Time)
}

fn of_zoned(zoned: &Zoned) -> Option<Timestamp> {
    i64::try_from(zoned.timestamp().as_nanosecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests;
