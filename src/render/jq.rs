//! What jq path expressions mean in an object, found out in a process of their own.
//!
//! An expression is a program by whoever may write an Application: it may never end, or fill the
//! memory. So greffier executes itself as one of its own programs, confined like a renderer, with
//! a second of CPU time and little memory, and reads at most so much of what it says:
//!
//! ```text
//! daemon ──[expressions, objects]──▶ greffier (helper, confined) ──[paths]──▶ daemon
//! ```
//!
//! The answer is paths, never values: `del(EXPRESSION)` of Argo CD deletes exactly the paths of
//! `path(EXPRESSION)`, and whoever asked takes them out of the object itself. As in Argo CD, an
//! expression that fails in an object, because what it walks through is not there, means nothing
//! in it. One that cannot be read, means no path, or does not end, is a [`Failure`].

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data};
use jaq_json::{Val, read};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::process::{self, Task};
use super::sandbox::{Needs, Sandbox};

/// What the helper is asked to do instead of executing something.
pub(super) const PROGRAM: &str = "greffier:jq";

/// Bound: the CPU time of one evaluation, in seconds: what Argo CD gives an expression.
const CPU_SECONDS: u64 = 1;
/// Bound: how long one evaluation may take on a machine that has no time for it.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Bound: the memory of one evaluation, in bytes.
const MEMORY_BYTES: u64 = 256 << 20;
/// Bound: what one evaluation may say.
const OUTPUT_BYTES_MAX: u64 = 4 << 20;
/// Bound: how many paths one expression may mean in one object.
const PATHS_MAX: usize = 10_000;
/// Bound: how much of a problem's text is kept.
const PROBLEM_BYTES_MAX: usize = 300;

/// Why expressions gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An expression is at fault: asking again is useless.
    #[error("jqPathExpressions `{}` {}", .0.expression, .0.what)]
    Failure(Failure),
    /// It could not be found out: not the fault of an expression.
    #[error("jqPathExpressions cannot be evaluated")]
    Unasked(#[source] process::Error),
}

/// An expression that does not say what to ignore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The expression.
    pub expression: String,
    /// What is wrong with it, in words. Quotes no value of an object.
    pub what: String,
}

/// The paths that expressions mean together, as jq writes them: names, numbers, slices.
pub type Paths = Vec<Vec<Value>>;

/// What the helper is asked.
#[derive(Serialize, Deserialize)]
struct Question<'a> {
    expressions: Vec<std::borrow::Cow<'a, str>>,
    objects: Vec<Value>,
}

/// What the helper answers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Answer {
    /// The paths, by object.
    Paths(Vec<Paths>),
    /// What is wrong with which expressions.
    Problems(Vec<(usize, String)>),
}

/// Finds out what `expressions` mean in each of `objects`. Blocking.
///
/// # Errors
/// An expression is at fault, or it could not be found out.
pub fn paths(
    sandbox: &Sandbox,
    expressions: &[String],
    objects: &[&Value],
) -> Result<Vec<Paths>, Error> {
    let failure = |index: usize, what: String| {
        let expression = expressions.get(index).cloned().unwrap_or_default();
        Error::Failure(Failure { expression, what })
    };
    match ask(sandbox, expressions, objects)? {
        Ok(Answer::Paths(paths)) if paths.len() == objects.len() => Ok(paths),
        Ok(Answer::Paths(_)) => Err(failure(0, "was not answered".to_owned())),
        Ok(Answer::Problems(mut problems)) if !problems.is_empty() => {
            let (index, what) = problems.swap_remove(0);
            Err(failure(index, what))
        }
        Ok(Answer::Problems(_)) => Err(failure(0, "was not answered".to_owned())),
        Err((index, what)) => Err(failure(index, what)),
    }
}

/// Finds out which of `expressions` cannot be read. Blocking.
///
/// # Errors
/// It could not be found out.
pub fn check(sandbox: &Sandbox, expressions: &[String]) -> Result<Vec<Failure>, process::Error> {
    if expressions.is_empty() {
        return Ok(Vec::new());
    }
    let answer = match ask(sandbox, expressions, &[]) {
        Ok(answer) => answer,
        Err(Error::Unasked(error)) => return Err(error),
        Err(Error::Failure(failure)) => return Ok(vec![failure]),
    };
    let problems = match answer {
        Ok(Answer::Paths(_)) => Vec::new(),
        Ok(Answer::Problems(problems)) => problems,
        Err(problem) => vec![problem],
    };
    let named = problems.into_iter().filter_map(|(index, what)| {
        Some(Failure { expression: expressions.get(index)?.clone(), what })
    });
    Ok(named.collect())
}

/// The answer, or at which expression the helper was stopped, and how.
fn ask(
    sandbox: &Sandbox,
    expressions: &[String],
    objects: &[&Value],
) -> Result<Result<Answer, (usize, String)>, Error> {
    let question = Question {
        expressions: expressions.iter().map(|one| one.as_str().into()).collect(),
        objects: objects.iter().map(|object| (*object).clone()).collect(),
    };
    let input = serde_json::to_vec(&question).unwrap_or_default();
    let finished = process::run(&Task {
        program: Path::new(PROGRAM),
        arguments: Vec::new(),
        environment: Vec::new(),
        folder: Path::new("/"),
        timeout: TIMEOUT,
        output_bytes_max: OUTPUT_BYTES_MAX,
        sandbox,
        needs: Needs {
            cpu_seconds: Some(CPU_SECONDS),
            memory_bytes: Some(MEMORY_BYTES),
            ..Needs::default()
        },
        input: Some(&input),
    });
    let finished = match finished {
        Ok(finished) => finished,
        // Which one is not known then; the bounds of a single one are tighter.
        Err(process::Error::OutputTooLarge { .. }) => {
            return Ok(Err((0, "means more than can be told".to_owned())));
        }
        // Without the sandbox nothing but time stops it.
        Err(process::Error::Timeout { seconds, .. }) if *sandbox == Sandbox::Off => {
            return Ok(Err((0, format!("did not end within {seconds} s and was stopped"))));
        }
        Err(error) => return Err(Error::Unasked(error)),
    };
    if let Some(failure) = finished.failure {
        let last = finished.stderr.lines().filter_map(|line| line.parse().ok()).next_back();
        let what = if failure.contains("CPU time") {
            format!("did not end within {CPU_SECONDS} s of CPU time and was stopped")
        } else if failure.contains("signal") {
            format!("was stopped: it needs more memory than it may use ({failure})")
        } else {
            format!("broke its evaluation ({failure})")
        };
        return Ok(Err((last.unwrap_or(0), what)));
    }
    let answer = serde_json::from_slice(&finished.stdout);
    Ok(answer.map_err(|_| (0, "was not answered".to_owned())))
}

/// The helper's side: reads the question and answers it.
pub(super) fn answer() -> ExitCode {
    let mut input = Vec::new();
    if io::stdin().read_to_end(&mut input).is_err() {
        return ExitCode::FAILURE;
    }
    let Ok(question) = serde_json::from_slice::<Question<'_>>(&input) else {
        return ExitCode::FAILURE;
    };
    // Where it stops when it is stopped.
    let begin = |index: usize| drop(writeln!(io::stderr(), "{index}"));
    let answer = evaluate(&question, begin);
    let text = serde_json::to_vec(&answer).unwrap_or_default();
    match io::stdout().write_all(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn evaluate(question: &Question<'_>, mut begin: impl FnMut(usize)) -> Answer {
    let mut problems = Vec::new();
    let mut all: Vec<Paths> = vec![Vec::new(); question.objects.len()];
    for (index, expression) in question.expressions.iter().enumerate() {
        begin(index);
        match paths_of(expression, &question.objects) {
            Ok(found) => {
                for (all, found) in all.iter_mut().zip(found) {
                    all.extend(found);
                }
            }
            Err(mut what) => {
                what.truncate(what.floor_char_boundary(PROBLEM_BYTES_MAX));
                problems.push((index, what));
            }
        }
    }
    if problems.is_empty() { Answer::Paths(all) } else { Answer::Problems(problems) }
}

/// The paths that an expression means in each object.
fn paths_of(expression: &str, objects: &[Value]) -> Result<Vec<Paths>, String> {
    // The expression for itself first: what it leaves open must not be closed by the rest.
    with_filter(expression, |_| Ok(()))?;
    // A comment at its end ends with the line.
    with_filter(&format!("path({expression}\n)"), |filter| {
        objects.iter().map(|object| paths_in(filter, object)).collect()
    })
}

type Filter = jaq_core::compile::Filter<jaq_core::Native<data::JustLut<Val>>>;

fn with_filter<T>(
    code: &str,
    work: impl FnOnce(&Filter) -> Result<T, String>,
) -> Result<T, String> {
    let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let arena = Arena::default();
    let modules = Loader::new(defs)
        .load(&arena, File { code, path: () })
        .map_err(|errors| unreadable(errors.into_iter().map(|(_, error)| error)))?;
    let filter = Compiler::default().with_funs(funs).compile(modules).map_err(|errors| {
        let mut names = errors.into_iter().flat_map(|(_, errors)| errors);
        names.next().map_or_else(String::new, |(name, kind)| {
            format!("cannot be read: there is no {} `{name}`", kind.as_str())
        })
    })?;
    work(&filter)
}

fn unreadable<'a>(errors: impl Iterator<Item = jaq_core::load::Error<&'a str>>) -> String {
    use jaq_core::load::Error;
    let mut words = errors.filter_map(|error| match error {
        Error::Io(errors) => errors.first().map(|(_, what)| what.clone()),
        Error::Lex(errors) => errors.first().map(|(expected, _)| expected.as_str().to_owned()),
        Error::Parse(errors) => errors.first().map(|(expected, found)| {
            let found = if found.is_empty() { "its end" } else { found };
            format!("{} instead of `{found}`", expected.as_str())
        }),
    });
    format!("cannot be read: expected {}", words.next().unwrap_or_default())
}

/// How jaq begins to say that an expression means no path.
const NO_PATH: &str = "invalid path expression";

fn paths_in(filter: &Filter, object: &Value) -> Result<Paths, String> {
    let text = object.to_string();
    let input = read::parse_single(text.as_bytes()).map_err(|_| "has no object".to_owned())?;
    let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
    let mut found = Paths::new();
    for result in filter.id.run((context, input)) {
        let path = match result {
            Ok(path) => path,
            Err(exception) => {
                let error =
                    exception.get_err().map_err(|_| "does not end with a path".to_owned())?;
                if error.to_string().starts_with(NO_PATH) {
                    return Err("means no path".to_owned());
                }
                // What it walks through is not there.
                return Ok(Paths::new());
            }
        };
        if found.len() >= PATHS_MAX {
            return Err(format!("means more than {PATHS_MAX} paths"));
        }
        let path = serde_json::from_str(&path.to_string());
        found.push(path.map_err(|_| "means no path".to_owned())?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(expression: &str, object: Value) -> Result<Value, String> {
        let found = paths_of(expression, &[object])?;
        Ok(json!(found[0]))
    }

    #[test]
    fn an_expression_means_paths() {
        let object = json!({"spec": {"replicas": 3, "containers": [
            {"name": "a", "env": [{"name": "X"}]}, {"name": "b"}]},
            "metadata": {"annotations": {"x/y": "1", "z": "2"}}});
        for (expression, expected) in [
            (".spec.replicas", json!([["spec", "replicas"]])),
            (".spec.replicas, .none.here", json!([["spec", "replicas"], ["none", "here"]])),
            (
                ".spec.containers[] | select(.name == \"b\") | .image",
                json!([["spec", "containers", 1, "image"]]),
            ),
            (
                ".spec.containers[].env[]?.name",
                json!([["spec", "containers", 0, "env", 0, "name"]]),
            ),
            (".spec.containers[-1]", json!([["spec", "containers", -1]])),
            (".spec.containers[1:]", json!([["spec", "containers", {"start": 1}]])),
            (".metadata.annotations[\"x/y\"]", json!([["metadata", "annotations", "x/y"]])),
            (".metadata.none[]? # a comment", json!([])),
            (
                "def image: .image; .spec.containers[0] | image",
                json!([["spec", "containers", 0, "image"]]),
            ),
            (".. | select(. == \"2\")?", json!([["metadata", "annotations", "z"]])),
            (
                ".spec.containers[] | select(.name | test(\"^a\"))",
                json!([["spec", "containers", 0]]),
            ),
        ] {
            assert_eq!(found(expression, object.clone()), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn what_walks_through_what_is_not_there_means_nothing() {
        for expression in [".none[]", ".a.b.c", ".a[] | select(.x)", "error(\"canary\")"] {
            assert_eq!(found(expression, json!({"a": 1})), Ok(json!([])), "{expression}");
        }
    }

    #[test]
    fn what_is_no_path_expression_is_said() {
        for (expression, words) in [
            (".a |", "cannot be read: expected term"),
            (".a) | (.b", "cannot be read"),
            ("nonsense(.a)", "no filter `nonsense`"),
            ("$x", "no variable `$x`"),
            ("\"x", "closing quote"),
            ("1", "means no path"),
            (".a + 1", "means no path"),
            ("repeat(.a)", "more than 10000 paths"),
            ("halt", "means no path"),
        ] {
            let problem = found(expression, json!({"a": null})).unwrap_err();
            assert!(problem.contains(words), "{expression}: {problem}");
        }
    }

    #[test]
    fn every_problem_is_told_with_its_expression() {
        let expressions = [".a", "|", "1", "$y"].map(std::borrow::Cow::from).to_vec();
        let mut begun = Vec::new();
        let question = Question { expressions, objects: vec![json!({})] };
        let Answer::Problems(problems) = evaluate(&question, |index| begun.push(index)) else {
            panic!("no problems")
        };
        assert_eq!(problems.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(begun, [0, 1, 2, 3]);
    }
}
