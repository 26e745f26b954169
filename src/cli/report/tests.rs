use jiff::tz::TimeZone;

use super::*;
use crate::http::dto::Unwatched;
use crate::http::report_head_dto;
use crate::ledger::event::{PausedV1, SyncFinishedV1};
use crate::ledger::{Draft, Ledger};
use crate::model::{Actor, Seq};
use crate::query::fixture::{Story, commit, name};
use crate::query::people::Party;
use crate::query::report::{Asked, Class, Commit, Field, Page, Span, page};
use crate::query::signer::Signer;

/// A report of the whole ledger, with the times and hashes of a day that never changes.
fn report(ledger: &Ledger) -> (ReportHead, Page) {
    let asked = Asked { book: ledger, people: &[], app: None, namespace: None };
    let mut page = page(&asked, Seq::ZERO, ledger.head(), usize::MAX).unwrap();
    let time = |seq: u64| format!("2026-11-20T14:{:02}:{:02}.000Z", seq / 60, seq % 60);
    page.changes.iter_mut().for_each(|row| row.time = time(row.seq));
    let to = crate::query::coverage::Moment { seq: ledger.head(), time: Timestamp::now() };
    let head = report_head_dto(ledger, &Span { from: Default::default(), to }).unwrap();
    let (last, hash) = (head.last, "ab".repeat(32));
    let head = ReportHead {
        ledger: "019a8c00-0000-7000-8000-000000000001".into(),
        version: "0.1.0".into(),
        from: time(0),
        to: time(last),
        begins: time(1),
        head_time: time(last),
        last_hash: hash.clone(),
        head_hash: hash,
        coverage: head.coverage.into_iter().map(|span| still(span, time)).collect(),
        ..head
    };
    (head, page)
}

fn still(span: Unwatched, time: impl Fn(u64) -> String) -> Unwatched {
    let from = if span.from.is_empty() { span.from } else { time(span.from_seq) };
    Unwatched { from, to: span.to_seq.map(time), ..span }
}

fn written(mut form: impl Form, head: &ReportHead, page: &Page) -> String {
    let (mut out, mut summary) = (Vec::new(), Summary::default());
    summary.add(page);
    form.begin(&mut out, head, &summary).unwrap();
    page.changes.iter().for_each(|row| form.row(&mut out, row).unwrap());
    form.end(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn every_form(head: &ReportHead, page: &Page) -> [(&'static str, String); 5] {
    let zone = || TimeZone::UTC;
    [
        ("table", written(table::Table { zone: zone() }, head, page)),
        ("json", written(json::Document::default(), head, page)),
        ("jsonl", written(json::Lines, head, page)),
        ("csv", written(csv::Csv, head, page)),
        ("html", written(html::Page { zone: zone() }, head, page)),
    ]
}

fn story() -> Story {
    let mut story = Story::told();
    story.gated();
    story.sync_requested();
    let pause = PausedV1 { app: name("web"), until: None, reason: "incident 7".into() };
    story.add(Draft::new(pause).by(Actor::os_user("alice")));
    story.event(SyncFinishedV1 {
        app: name("web"),
        commit: commit('a'),
        succeeded: false,
        message: "Secret/prod/web was refused".into(),
        counts: (1, 0, 0),
        request: None,
        approval: None,
    });
    story
}

/// Goal: every form says the same of the same ledger, in words that stay.
#[test]
fn every_form_of_the_story() {
    let (head, page) = report(&story().ledger);
    for (form, text) in every_form(&head, &page) {
        insta::assert_snapshot!(form, text);
    }
}

/// Text that somebody else chose, as bad as it can be.
const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "=HYPERLINK(\"http://evil\",\"x\")",
    "@SUM(1)\r\n=1+1",
    "\u{1b}[2J\u{202e}evil",
    " \t-2+3,\"a\",b",
];

fn hostile() -> Page {
    let row = |bad: &&str| {
        let text = || (*bad).to_owned();
        let party = || Party { acting_as: text(), ..Party::manager(bad) };
        Change {
            seq: 7,
            time: "2026-11-20T14:00:00Z".into(),
            not_before: text(),
            kind: "object.observed".into(),
            class: Class::Change,
            app: text(),
            object: text(),
            verb: text(),
            fields: vec![Field { path: text(), was: text(), now: text() }],
            more_fields: true,
            text: text(),
            who: vec![party()],
            strength: text(),
            doubt: text(),
            evidence: vec![7],
            why: text(),
            asked_by: vec![party()],
            commit: Some(Commit {
                id: text(),
                author: Some(party()),
                committer: Some(party()),
                signer: text(),
                signature: Signer::unknown(),
                pusher: text(),
            }),
            outcome: text(),
            failed: true,
        }
    };
    Page { changes: HOSTILE.iter().map(row).collect(), ..Page::default() }
}

/// The records of a CSV text, by RFC 4180.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut cell, mut quoted) = (vec![], vec![], String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut cell)),
            '\r' if !quoted => assert_eq!(chars.peek(), Some(&'\n')),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut record));
            }
            c => cell.push(c),
        }
    }
    assert!(!quoted && record.is_empty(), "the last record is whole");
    records
}

/// Goal: what others choose can drive neither a terminal, a spreadsheet nor a browser.
#[test]
fn hostile_text_is_harmless_in_every_form() {
    let page = hostile();
    let head = ReportHead {
        app: HOSTILE[1].into(),
        namespace: HOSTILE[4].into(),
        ..report(&story().ledger).0
    };
    for (form, text) in every_form(&head, &page) {
        let unsafe_here =
            |c: char| c == '\u{1b}' || (form != "json" && form != "jsonl" && c == '\u{202e}');
        assert!(!text.contains(unsafe_here), "{form}");
        match form {
            "html" => {
                for bad in
                    ["<script", "<img", "onerror=alert(1)>", "href=", "src=\"", "http://evil\""]
                {
                    assert!(!text.contains(bad), "{bad}");
                }
                assert!(text.contains("&lt;script&gt;") && text.contains("lang=\"en\""));
            }
            "csv" => {
                let found = records(&text);
                assert_eq!(found.len(), HOSTILE.len() + 1);
                for record in &found {
                    assert_eq!(record.len(), 21, "{record:?}");
                    for cell in record {
                        let begins = cell.trim_start().chars().next();
                        assert!(!begins.is_some_and(|c| "=+-@".contains(c)), "{cell}");
                        assert!(!cell.contains(['\r', '\n', '\t']), "{cell}");
                    }
                }
            }
            "json" => {
                let read: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(read["changes"][0]["object"], HOSTILE[0], "JSON has it as it is");
                assert_eq!(read["schema"], "greffier.report.audit/1");
            }
            "jsonl" => {
                let read = text.lines().map(serde_json::from_str::<Change>);
                assert!(read.zip(&page.changes).all(|(read, row)| read.unwrap() == *row));
            }
            _ => {}
        }
    }
}

/// Goal: an auditor is told that no gap is known, too, and what is missing first.
#[test]
fn coverage_is_always_told() {
    let zone = TimeZone::UTC;
    let (head, page) = report(&story().ledger);
    let mut summary = Summary::default();
    summary.add(&page);
    let lines = words::coverage(&head, &summary, &zone);
    assert!(lines[0].contains("from before the ledger begins"), "{lines:?}");
    assert!(lines.last().unwrap().contains("no record of the API server's audit"), "{lines:?}");
    let whole = ReportHead { coverage: Vec::new(), ..head };
    summary.audit.records = 1;
    let lines = words::coverage(&whole, &summary, &zone);
    // A source that could not be read since before the span would be none of its troubles.
    assert_eq!(lines, ["no gap was recorded in this interval"]);
}

/// Goal: a day is the whole day in the zone that is printed, and today is reported so far.
#[test]
fn days_are_whole_in_the_zone() {
    let zone = TimeZone::get("Europe/Paris").unwrap();
    let now = Timestamp::parse_rfc3339("2026-11-20T14:00:00Z").unwrap();
    let args = |from: &str, to: Option<&str>| ReportArgs {
        from: from.into(),
        to: to.map(str::to_owned),
        app: None,
        namespace: None,
        out: None,
    };
    let of = |from, to| wanted(&args(from, to), now, &zone).unwrap();
    let day = of("2026-11-19", Some("2026-11-19"));
    assert_eq!(day.from.to_string(), "2026-11-18T23:00:00Z");
    assert_eq!(day.to.to_string(), "2026-11-19T22:59:59.999999999Z");
    assert_eq!(of("yesterday", Some("2026-11-20")).to, Instant::Now, "today has not ended");
    assert_eq!(of("yesterday", None).to, Instant::Now);
    assert!(wanted(&args("gibberish", None), now, &zone).is_err());
    let head =
        ReportHead { from: day.from.to_string(), to: day.to.to_string(), ..Default::default() };
    let told = words::span(&head, &zone);
    assert!(told.contains("2026-11-19 00:00:00 +01:00") && told.contains("Europe/Paris"), "{told}");
}

/// Goal: a file appears when it is whole, and half of one never takes its place.
#[test]
fn a_file_appears_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.html");
    std::fs::write(&path, "the former one").unwrap();
    let mut target = Target::open(Some(&path)).unwrap();
    target.out.write_all(b"half").unwrap();
    drop(target);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "the former one");
    let mut target = Target::open(Some(&path)).unwrap();
    target.out.write_all(b"whole").unwrap();
    assert!(target.finish().is_ok());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    let error = Target::open(Some(&dir.path().join("no/such/dir"))).err().unwrap();
    assert_eq!((error.exit, error.causes.len()), (Exit::Usage, 1), "{error:?}");
}
