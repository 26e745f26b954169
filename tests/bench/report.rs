//! Figures: what was measured, with what stands beside it, as a table and as JSON.
//!
//! Nothing here judges. An aim is printed beside a figure and compared by the reader.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// How a figure's samples are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds, printed as ms or s.
    Seconds,
    /// Bytes, printed as B, KiB or MiB.
    Bytes,
    /// Things per second.
    Rate,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Rate => "per second",
        }
    }

    /// Prints one value.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 0.000_95 => format!("{:.0} µs", value * 1e6),
            Self::Seconds if value < 0.0995 => format!("{:.1} ms", value * 1e3),
            Self::Seconds if value < 0.9995 => format!("{:.0} ms", value * 1e3),
            Self::Seconds => format!("{value:.2} s"),
            Self::Bytes if value < 9_999.5 => format!("{value:.0} B"),
            Self::Bytes if value < 1024.0 * 1024.0 => format!("{:.0} KiB", value / 1024.0),
            Self::Bytes => format!("{:.1} MiB", value / 1024.0 / 1024.0),
            Self::Rate => format!("{value:.0} /s"),
        }
    }
}

/// One row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    what: String,
    unit: Unit,
    aim: String,
    samples: Vec<f64>,
    beside: Vec<(String, Unit, Vec<f64>)>,
}

impl Figure {
    /// Names a figure and gives its samples.
    pub(crate) fn new(what: impl Into<String>, unit: Unit, samples: Vec<f64>) -> Self {
        Self { what: what.into(), unit, aim: String::new(), samples, beside: Vec::new() }
    }

    /// States what design §12 asks for.
    pub(crate) fn aim(mut self, aim: &str) -> Self {
        aim.clone_into(&mut self.aim);
        self
    }

    /// Puts another measurement of the same run beside it: the bare loop or the physical limit.
    pub(crate) fn beside(mut self, what: &str, unit: Unit, samples: Vec<f64>) -> Self {
        self.beside.push((what.to_owned(), unit, samples));
        self
    }

    fn row(&self) -> String {
        let show = |value: f64| self.unit.show(value);
        let (p50, p95, max) = match self.samples.len() {
            0 => ("not measured".to_owned(), String::new(), String::new()),
            1 => (show(self.samples[0]), String::new(), String::new()),
            _ => (
                show(quantile(&self.samples, 0.5)),
                show(quantile(&self.samples, 0.95)),
                show(quantile(&self.samples, 1.0)),
            ),
        };
        let beside: Vec<String> = self
            .beside
            .iter()
            .map(|(what, unit, samples)| format!("{what} {}", unit.show(quantile(samples, 0.5))))
            .collect();
        format!(
            "| {} | {} | {p50} | {p95} | {max} | {} | {} |",
            self.what,
            self.samples.len(),
            beside.join("; "),
            self.aim,
        )
    }

    fn json(&self) -> Value {
        let beside: Vec<Value> = self
            .beside
            .iter()
            .map(|(what, unit, samples)| {
                json!({"what": what, "unit": unit.name(), "samples": samples})
            })
            .collect();
        json!({
            "what": self.what, "unit": self.unit.name(), "aim": self.aim,
            "samples": self.samples, "beside": beside,
        })
    }
}

/// Everything measured in one run.
#[derive(Debug)]
pub(crate) struct Report {
    machine: String,
    begun: String,
    figures: Vec<Figure>,
    failures: Vec<String>,
}

impl Report {
    /// Begins a report on this machine.
    pub(crate) fn new(machine: String, begun: String) -> Self {
        Self { machine, begun, figures: Vec::new(), failures: Vec::new() }
    }

    /// Adds a figure and says it on standard error, because a whole run takes long.
    pub(crate) fn add(&mut self, figure: Figure) {
        let mut err = anstream::stderr();
        let _ = std::io::Write::write_fmt(&mut err, format_args!("  {}\n", figure.row()));
        self.figures.push(figure);
    }

    /// Notes that a group could not be measured to its end.
    pub(crate) fn failed(&mut self, group: &str, error: &anyhow::Error) {
        self.failures.push(format!("{group}: {error:#}"));
    }

    /// Whether every group was measured.
    pub(crate) fn is_whole(&self) -> bool {
        self.failures.is_empty()
    }

    /// Returns the table in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}, {}\n\n", self.begun, self.machine);
        text.push_str("| what | n | p50 | p95 | max | measured beside it (p50) | aim |\n");
        text.push_str("|---|---|---|---|---|---|---|\n");
        for figure in &self.figures {
            let _ = writeln!(text, "{}", figure.row());
        }
        for failure in &self.failures {
            let _ = writeln!(text, "\nnot measured: {failure}");
        }
        text
    }

    /// Returns everything with the raw samples.
    pub(crate) fn json(&self) -> Value {
        let figures: Vec<Value> = self.figures.iter().map(Figure::json).collect();
        json!({
            "begun": self.begun, "machine": self.machine,
            "figures": figures, "not_measured": self.failures,
        })
    }
}

/// Returns the value below which the share `q` of the samples lies (nearest rank).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rank among at most thousands of samples"
)]
pub(crate) fn quantile(samples: &[f64], q: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}
