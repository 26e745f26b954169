use super::*;

/// Friday, 2026-11-20, 14:30 in Paris, where it is winter: 13:30 in UTC.
fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-20T13:30:00Z").unwrap()
}

fn paris() -> TimeZone {
    TimeZone::get("Europe/Paris").unwrap()
}

fn parse(text: &str) -> Instant {
    Instant::parse(text, now(), &paris()).unwrap_or_else(|error| panic!("{error}"))
}

fn wrong(text: &str) -> String {
    Instant::parse(text, now(), &paris()).unwrap_err().to_string()
}

fn time(text: &str) -> Instant {
    Instant::Time(Timestamp::parse_rfc3339(text).unwrap())
}

#[test]
fn times_with_an_offset_mean_the_same_everywhere() {
    for zone in [paris(), TimeZone::UTC, TimeZone::get("Pacific/Auckland").unwrap()] {
        let parse = |text| Instant::parse(text, now(), &zone).unwrap();
        for text in [
            "2026-11-19T22:00:00Z",
            "2026-11-20T00:00:00+02:00",
            "2026-11-19 22:00:00Z",
            "2026-11-19T23:00:00+01:00[Europe/Paris]",
            " 2026-11-19T22:00:00.000Z ",
        ] {
            assert_eq!(parse(text), time("2026-11-19T22:00:00Z"), "{text}");
        }
    }
}

#[test]
fn clock_times_are_those_of_the_zone() {
    for (text, meant) in [
        ("2026-11-20T14:00", "2026-11-20T13:00:00Z"),
        ("2026-11-20 14:00", "2026-11-20T13:00:00Z"),
        ("2026-11-20 14:00:05.5", "2026-11-20T13:00:05.5Z"),
        ("2026-07-01 14:00", "2026-07-01T12:00:00Z"),
        ("14:00", "2026-11-20T13:00:00Z"),
        ("9:05", "2026-11-20T08:05:00Z"),
        ("00:00:07", "2026-11-19T23:00:07Z"),
        ("today 9:00", "2026-11-20T08:00:00Z"),
        ("yesterday 14:00", "2026-11-19T13:00:00Z"),
        ("Yesterday  14:00", "2026-11-19T13:00:00Z"),
        ("monday 9:00", "2026-11-16T08:00:00Z"),
        ("Thursday 23:59", "2026-11-19T22:59:00Z"),
        ("friday 14:00", "2026-11-20T13:00:00Z"),
        // Later today is no past Friday.
        ("friday 15:00", "2026-11-13T14:00:00Z"),
    ] {
        assert_eq!(parse(text), time(meant), "{text}");
    }
    let utc = Instant::parse("yesterday 14:00", now(), &TimeZone::UTC).unwrap();
    assert_eq!(utc, time("2026-11-19T14:00:00Z"));
}

#[test]
fn a_clock_change_has_its_hours() {
    // 2026-03-29: 02:00 is followed by 03:00. 2026-10-25: 02:00 to 03:00 comes twice.
    assert_eq!(parse("2026-03-29 02:30"), time("2026-03-29T01:30:00Z"));
    assert_eq!(parse("2026-10-25 02:30"), time("2026-10-25T00:30:00Z"), "the first of the two");
    let hours = |text| match parse(text) {
        Instant::Day { begins, ends } => (ends.0 + 1 - begins.0) / 3_600_000_000_000,
        other => panic!("{other:?}"),
    };
    assert_eq!((hours("2026-03-29"), hours("2026-10-25"), hours("2026-11-19")), (23, 25, 24));
}

#[test]
fn a_day_is_all_of_it() {
    let begins = Timestamp::parse_rfc3339("2026-11-18T23:00:00Z").unwrap();
    let ends = Timestamp(Timestamp::parse_rfc3339("2026-11-19T23:00:00Z").unwrap().0 - 1);
    for text in ["2026-11-19", "yesterday", "thursday", "@{yesterday}"] {
        assert_eq!(parse(text), Instant::Day { begins, ends }, "{text}");
    }
    assert_eq!(parse("2026-11-19").or_end(), Instant::Time(ends));
    assert_eq!(parse("2026-11-19").or_begin(), Instant::Time(begins));
    assert_eq!(parse("#7").or_end(), Instant::Event(Seq(7)));
}

/// Goal: the day that is not over is a day like others, and its end is no time to come; a day to
/// come is one, however far away.
#[test]
fn a_day_that_is_not_over_ends_now_and_one_to_come_is_in_the_future() {
    let begins = Timestamp::parse_rfc3339("2026-11-19T23:00:00Z").unwrap();
    for text in ["2026-11-20", "today", "friday"] {
        assert_eq!(parse(text), Instant::Day { begins, ends: now() }, "{text}");
    }
    let Instant::Day { begins, ends } = parse("2026-11-21") else { panic!() };
    assert!(now() < begins && begins < ends);
    for text in ["3000-01-01", "3000-01-01T00:00:00Z", "3000-01-01 14:00", "9999-12-30"] {
        assert!(wrong(text).ends_with("it is in the future"), "{}", wrong(text));
    }
    for text in ["1066-10-14", "1066-10-14T09:00:00+00:00"] {
        assert!(wrong(text).contains("it is before everything"), "{}", wrong(text));
    }
}

#[test]
fn spans_are_counted_back_from_now() {
    for (text, meant) in [
        ("2h", "2026-11-20T11:30:00Z"),
        ("90s", "2026-11-20T13:28:30Z"),
        ("1h30m ago", "2026-11-20T12:00:00Z"),
        ("@{2h}", "2026-11-20T11:30:00Z"),
        ("2w", "2026-11-06T13:30:00Z"),
        ("1d", "2026-11-19T13:30:00Z"),
        ("500ms", "2026-11-20T13:29:59.5Z"),
        ("0s", "2026-11-20T13:30:00Z"),
    ] {
        assert_eq!(parse(text), time(meant), "{text}");
    }
}

#[test]
fn positions_are_read() {
    for text in ["@", "now", "NOW", "@{now}"] {
        assert_eq!(parse(text), Instant::Now, "{text}");
    }
    for (text, back) in [("@-", 1), ("@--", 2), ("@----", 4), ("@-1", 1), ("@-37", 37)] {
        assert_eq!(parse(text), Instant::Back(back), "{text}");
    }
    for text in ["#1234", "seq:1234", "1234"] {
        assert_eq!(parse(text), Instant::Event(Seq(1234)), "{text}");
    }
    for text in ["019a8c3f", "e019a8c3f", "019A8C3F", "019a8c3f…", "e019a-8c3f"] {
        assert_eq!(parse(text), Instant::Id("019a8c3f".into()), "{text}");
    }
    let whole = "019a8c3f-1234-7abc-8def-0123456789ab";
    assert_eq!(parse(whole), Instant::Id(whole.replace('-', "")));
    assert_eq!(parse("git:main"), Instant::Commit("main".into()));
    assert_eq!(parse("git:1a2b3c4"), Instant::Commit("1a2b3c4".into()));
    assert_eq!(parse("mark:before-upgrade"), Instant::Mark("before-upgrade".into()));
}

#[test]
fn what_prints_is_read_the_same_anywhere() {
    for text in
        ["@", "@-3", "#12", "e019a8c3f", "git:v1.2", "mark:a b", "2026-11-20 14:00:05.123456789"]
    {
        let read = parse(text);
        let again = Instant::parse(&read.to_string(), Timestamp(0), &TimeZone::UTC).unwrap();
        assert_eq!(again, read, "{text}");
    }
    let day = parse("2026-11-19");
    let again = Instant::parse(&day.to_string(), Timestamp(0), &TimeZone::UTC).unwrap();
    assert_eq!(again, day.or_end());
}

#[test]
fn what_is_no_instant_is_refused_with_what_was_given() {
    for text in [
        "",
        " ",
        "tomorrow",
        "yesterday at noon",
        "25:00",
        "9:0x",
        "2026-13-01",
        "2026-11-31",
        "2026-11-20 24:30",
        "@x",
        "@{}",
        "@{git:main}",
        "@-0",
        "@-99999",
        "@--x",
        "git:",
        "mark: ",
        "#",
        "#0",
        "#-1",
        "seq:x",
        "0",
        "019a",
        "e12",
        "2x",
        "h",
        "ago",
        "funday",
        "main",
        "99999999999999999999",
        "9999999999999d",
        "019a8c3f1234567890123456789012345",
    ] {
        assert!(wrong(text).contains(text.trim()), "{text}");
    }
    assert!(wrong(&"9".repeat(400)).len() < 400);
    assert!(wrong("019a").contains("eight digits"));
}
