//! `diff` between instants, and of two applications.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::args::{DiffArgs, ExitCodeRule, Format};
use super::asker::Context;
use super::error::{Error, Exit};
use super::log::Subject;
use super::{at, output, read, trial};
use crate::http::{Client, dto, query_string};
use crate::model::Instant;
use crate::query::between::Of;
use crate::query::instant::About;
use crate::query::patch::Field;
use crate::query::text::clean;

/// What is said where not all fields are told.
pub(super) const MORE_FIELDS: &str = "    there may be more fields that changed than are told\n";

/// Runs `diff`, whatever is compared.
pub(super) async fn run(context: &Context, args: DiffArgs) -> Result<(), Error> {
    let DiffArgs { subject, other, namespace, from, to, rev, local, exit_code: rule } = args;
    if to.is_some() && from.is_none() {
        return Err(Error::usage("--to needs --from").hint("--at compares with Git as of then"));
    }
    match (subject, other, from, rev, local) {
        (Some(app), Some(other), None, None, None) => two(context, &app, &other, rule).await,
        (Some(app), None, Some(from), Some(rev), None) if to.is_none() => {
            against_revision(context, &app, &from, &rev, rule).await
        }
        (subject, None, Some(from), None, None) => {
            let of = of(subject.as_deref(), namespace.as_deref())?;
            instants(context, &of, &from, to.as_deref(), rule).await
        }
        (Some(app), None, None, Some(rev), None) => {
            trial::diff_revision(context, &app, &rev, rule).await
        }
        (Some(app), None, None, None, Some(local)) => {
            trial::diff_local(context, &app, &local, rule).await
        }
        (Some(app), None, None, None, None) => read::diff(context, &app, rule).await,
        (None, None, None, ..) => Err(Error::usage("name an application")
            .hint("or what and when: `greffier diff -n NAMESPACE --from 2h`")),
        _ => Err(Error::usage("these do not go together")
            .hint("compare two instants, two applications, or one with a revision or a folder")),
    }
}

/// What is compared between instants.
fn of(subject: Option<&str>, namespace: Option<&str>) -> Result<Of, Error> {
    let Some(subject) = subject else {
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        return namespace
            .map(|namespace| Of::Namespace(namespace.to_owned()))
            .ok_or_else(|| Error::usage("name an application, an object, or a namespace with -n"));
    };
    match Subject::parse(subject)? {
        Subject::Object(_) => {
            let named = About::named(subject, namespace);
            named.object.map(Of::Object).ok_or_else(|| Error::usage("name an object"))
        }
        Subject::App(name) => match (name.parse(), namespace) {
            (Ok(app), None) => Ok(Of::App(app)),
            _ => Err(Error::usage("an application has no namespace")),
        },
        Subject::Event(_) => Err(Error::usage("an event does not differ")
            .hint("`greffier show EVENT` shows what it changed")),
    }
}

async fn instants(
    context: &Context,
    of: &Of,
    from: &str,
    to: Option<&str>,
    rule: ExitCodeRule,
) -> Result<(), Error> {
    let from = at::parse(from)?.or_begin();
    let to = to.map(at::parse).transpose()?.map_or(Instant::Now, Instant::or_end);
    let asker = context.asker().await?;
    let of = match of {
        Of::Object(key) => &Of::Object(asker.named(key).await?.known()?),
        of => of,
    };
    let found = asker.between(of, &from, &to).await?;
    if !context.global.quiet {
        let ends = [("from", &found.from), ("to", &found.to)];
        for (word, instant) in ends {
            output::say(&format!("{word} {}, event #{}", at::zoned(&instant.time), instant.seq));
        }
        at::unwatched(&found.unwatched);
    }
    let format = context.global.output;
    let people = matches!(format, Format::Table | Format::Wide);
    if !people || !found.objects.is_empty() {
        output::print(&match format {
            Format::Name => {
                found.objects.iter().map(|object| format!("{}\n", object.object)).collect()
            }
            _ => output::one(&found, format, text, |_| String::new()),
        })?;
    }
    match (found.objects.is_empty(), rule) {
        (false, ExitCodeRule::Auto) => Err(Error::new(Exit::Differs, "")),
        _ => Ok(()),
    }
}

/// The difference for people: `-` is the earlier instant, `+` the later one.
pub(super) fn text(found: &dto::Between) -> String {
    let bold = Style::new().bold();
    let mut out = String::new();
    for object in &found.objects {
        let key = clean(&object.object);
        let (earlier, later) = match object.change.as_str() {
            "appeared" => ("(not in the cluster)".to_owned(), format!("{key} #{}", found.to.seq)),
            "gone" => (format!("{key} #{}", found.from.seq), "(not in the cluster)".to_owned()),
            _ => (format!("{key} #{}", found.from.seq), format!("{key} #{}", found.to.seq)),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{bold}--- {earlier}{bold:#}\n{bold}+++ {later}{bold:#}");
        if object.change == "made anew" {
            out.push_str("    it was deleted and made anew in between\n");
        }
        for group in &object.groups {
            let events: Vec<String> = group.events.iter().map(|seq| format!("#{seq}")).collect();
            let _ = writeln!(out, "    {} ({})", clean(&group.cause), events.join(" to "));
            fields(&group.fields, &mut out);
        }
        if object.cut {
            out.push_str(MORE_FIELDS);
        }
    }
    out
}

/// Fields that changed, as lines.
pub(super) fn fields(fields: &[Field], out: &mut String) {
    let (red, green) = (AnsiColor::Red.on_default(), AnsiColor::Green.on_default());
    for field in fields {
        let _ = writeln!(out, "@@ {} @@", clean(&field.path));
        for (value, sign, style) in [(&field.was, '-', red), (&field.now, '+', green)] {
            if !value.is_empty() {
                let _ = writeln!(out, "{style}{sign}{}{style:#}", clean(value));
            }
        }
    }
}

async fn two(context: &Context, app: &str, other: &str, rule: ExitCodeRule) -> Result<(), Error> {
    let diff = context.asker_about(About::app(app)).await?.two(app, other).await?;
    read::told(context, &diff, rule, |diff| desired_text(diff, app, other))
}

async fn against_revision(
    context: &Context,
    app: &str,
    from: &str,
    rev: &str,
    rule: ExitCodeRule,
) -> Result<(), Error> {
    let from = at::parse(from)?.or_begin().to_string();
    let client = context.daemon().await?;
    let at: dto::Instant =
        client.get("instant", &query_string(&[("at", &from), ("app", app)])).await?;
    if !context.global.quiet {
        at::tell(&at);
    }
    let query = query_string(&[("at", &format!("#{}", at.seq)), ("rev", rev)]);
    let diff: dto::Diff = client.get(&Client::app_path(app, "against"), &query).await?;
    let (was, is) = (format!("{app} #{}", at.seq), format!("{app} at {rev}"));
    read::told(context, &diff, rule, |diff| desired_text(diff, &was, &is))
}

/// How what is wanted differs: `-` is the first, `+` the second.
fn desired_text(diff: &dto::Diff, first: &str, second: &str) -> String {
    let bold = Style::new().bold();
    let (first, second) = (clean(first), clean(second));
    let mut out = String::new();
    for object in &diff.objects {
        let key = clean(&object.object);
        let (one, two) = match object.change.as_str() {
            "missing" => ("(not there)".to_owned(), format!("{second}: {key}")),
            "extra" => (format!("{first}: {key}"), "(not there)".to_owned()),
            _ => (format!("{first}: {key}"), format!("{second}: {key}")),
        };
        let _ = writeln!(out, "{bold}--- {one}{bold:#}\n{bold}+++ {two}{bold:#}");
        let changed: Vec<Field> = object
            .fields
            .iter()
            .map(|field| Field {
                path: field.path.clone(),
                was: field.live.clone(),
                now: field.git.clone(),
            })
            .collect();
        fields(&changed, &mut out);
    }
    out
}
