//! What Helm printed: documents with the templates that they came from. Pure.

use super::Error;
use super::chart::Chart;
use crate::render::manifest::Item;
use crate::render::yaml::{self, Budget, Duplicates};

/// What Helm writes above each document.
const SOURCE_COMMENT: &str = "# Source: ";

/// The documents of a rendered chart, and what a person should know about them.
///
/// # Errors
/// What Helm printed is not valid YAML, which Helm itself does not check everywhere.
pub(super) fn items(
    stdout: &[u8],
    chart: &Chart,
    budget: &mut Budget,
) -> Result<(Vec<Item>, Vec<String>), Error> {
    let sources = Sources::read(stdout, chart);
    let parsed = yaml::parse(stdout, Duplicates::LastWins, budget);
    let parsed = parsed.map_err(|error| {
        let (template, line) = sources.at(error.line);
        Error::Output { template, line, problem: error.problem }
    })?;
    let origin = |line| sources.at(line).0;
    let warnings = parsed.warnings.iter();
    let warnings = warnings.map(|(line, warning)| format!("{}: {warning}", origin(*line)));
    let warnings = warnings.collect();
    let documents = parsed.documents.into_iter();
    let items =
        documents.map(|document| Item { origin: origin(document.line), value: document.value });
    Ok((items.collect(), warnings))
}

/// Which template each line came from.
struct Sources {
    /// Line of the comment and template, in order.
    comments: Vec<(u64, String)>,
    /// The folder of the chart, for what stands under no comment.
    chart: String,
}

impl Sources {
    fn read(stdout: &[u8], chart: &Chart) -> Self {
        let mut comments = Vec::new();
        let mut after_separator = true;
        for (index, line) in stdout.split(|byte| *byte == b'\n').enumerate() {
            let line = String::from_utf8_lossy(line);
            if let (true, Some(template)) = (after_separator, line.strip_prefix(SOURCE_COMMENT)) {
                comments.push((index as u64 + 1, in_repository(template.trim_end(), chart)));
            }
            after_separator = line.starts_with("---");
        }
        Self { comments, chart: chart.path.clone() }
    }

    /// The template of a line of the output, and the line counted from its beginning.
    fn at(&self, line: u64) -> (String, u64) {
        let after = self.comments.partition_point(|(comment, _)| *comment < line);
        match after.checked_sub(1).and_then(|index| self.comments.get(index)) {
            Some((comment, template)) => (template.clone(), line - comment),
            None => (self.chart.clone(), line),
        }
    }
}

/// `web/templates/a.yaml` of the chart `web` in `apps/web` is `apps/web/templates/a.yaml`.
fn in_repository(template: &str, chart: &Chart) -> String {
    let below = template.strip_prefix(&chart.name).and_then(|rest| rest.strip_prefix('/'));
    match (below, chart.path.as_str()) {
        (Some(below), "") => below.to_owned(),
        (Some(below), path) => format!("{path}/{below}"),
        (None, _) => template.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chart() -> Chart {
        Chart { path: "apps/web".into(), name: "web".into(), warnings: Vec::new() }
    }

    fn read(text: &str) -> Result<(Vec<Item>, Vec<String>), Error> {
        items(text.as_bytes(), &chart(), &mut Budget::new(1 << 20, 100))
    }

    #[test]
    fn documents_name_the_template_that_they_came_from() {
        let text = "---\n# Source: web/templates/a.yaml\na: 1\n---\n# Source: web/templates/a.yaml\n\
                    # nothing\n---\n# Source: web/charts/db/templates/b.yaml\nb: |\n  # Source: no\n";
        let (items, warnings) = read(text).unwrap();
        assert!(warnings.is_empty());
        assert_eq!(items[0].origin, "apps/web/templates/a.yaml");
        assert_eq!(items[1].origin, "apps/web/charts/db/templates/b.yaml");
        assert_eq!(items[1].value, json!({"b": "# Source: no\n"}));
        assert_eq!(items.len(), 2);
    }

    #[test]
    fn duplicate_keys_of_a_chart_are_a_warning() {
        let text = "---\n# Source: web/templates/a.yaml\na: 1\nb: 2\na: 3\n";
        let (items, warnings) = read(text).unwrap();
        assert_eq!(items[0].value, json!({"a": 3, "b": 2}));
        let expected = "apps/web/templates/a.yaml: duplicate key `a`: the last one wins";
        assert_eq!(warnings, [expected]);
    }

    #[test]
    fn broken_output_names_template_and_line() {
        let error = read("---\n# Source: web/templates/a.yaml\na: 1\nb: [\n").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("apps/web/templates/a.yaml, in line "), "{text}");
    }
}
