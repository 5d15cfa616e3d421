//! Every output, from reports that differ from the example: a good one, an empty one, and one whose names are markup. (The example's
//! own outputs are held by `tests/demo.rs`.)

use hubwatch::judge::exact::Exact;
use hubwatch::judge::verdict::Verdict;
use hubwatch::report::compare::{Change, Compared, Comparison, compare};
use hubwatch::report::{Report, Template, json, junit, render};

fn example() -> Report {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/report.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A value of the model from its JSON form.
fn parsed<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Everything held, and somebody signs.
fn good() -> Report {
    let mut report = example();
    for row in &mut report.criteria {
        row.verdict = parsed("pass".into());
        row.why = "within limits".to_owned();
        row.evidence.clear();
    }
    for point in &mut report.integration_points {
        point.verdict = parsed("pass".into());
    }
    for check in &mut report.daily {
        check.verdict = parsed("pass".into());
    }
    report.overall.verdict = parsed("pass".into());
    report.overall.because.clear();
    report.incidents.clear();
    report.recommendations.clear();
    report.sign_off = parsed(serde_json::json!({
        "lead": "Ada Example", "escalation": ["#on-call", "platform"], "contacts": {"Gemini": "ml@example.com"},
        "signatures": ["Release manager", "Quality assurance"],
    }));
    report
}

/// Nobody watched, so nothing is known.
fn empty() -> Report {
    let mut report = good();
    let mut value = serde_json::to_value(&report).unwrap();
    for line in value["series"].as_object_mut().unwrap().values_mut() {
        line["points"] = serde_json::json!([]);
    }
    for part in ["servers", "phases", "integration_points"] {
        value[part] = serde_json::json!([]);
    }
    value["hub"]["timeline"]["stretches"] = serde_json::json!([]);
    value["baseline"] = serde_json::Value::Null;
    value["overall"]["verdict"] = "inconclusive".into();
    value["overall"]["because"] = serde_json::json!(["Only 0 s watched (needed for a verdict: 1 d)"]);
    report.clone_from(&parsed(value));
    report
}

/// Whoever names a server or a client may write anything.
fn hostile() -> Report {
    let mut report = example();
    let evil = "<script>alert(1)</script> | `x` ]]> \"&\u{7}";
    report.provenance.hub = evil.to_owned();
    report.provenance.builds = vec![evil.to_owned()];
    report.servers[0].name = evil.to_owned();
    report.servers[0].last_error = Some(evil.to_owned());
    report.incidents[0].title = evil.to_owned();
    report.incidents[0].cause = Some(evil.to_owned());
    report.recommendations[0].action = format!("Look at `{evil}`.");
    report.criteria[0].why = evil.to_owned();
    report.overall.because = vec![evil.to_owned()];
    report.sign_off.contacts.insert(evil.to_owned(), evil.to_owned());
    report
}

fn rendered(report: &Report, template: Template) -> String {
    render(report, template, None).unwrap()
}

/// The unescaped bars of a table's row.
fn bars(row: &str) -> usize {
    row.replace("\\|", "").matches('|').count()
}

#[test]
fn a_report_read_back_from_its_json_is_the_same_report() {
    let report = example();
    assert_eq!(serde_json::from_str::<Report>(&json(&report)).unwrap(), report);
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/report.json")).unwrap();
    assert!(json(&report) == committed, "the example is not written as reports are");
}

#[test]
fn a_good_report_says_promote_and_has_room_for_signatures() {
    let report = good();
    insta::assert_snapshot!("good_summary", rendered(&report, Template::Summary));
    let markdown = rendered(&report, Template::Markdown);
    insta::assert_snapshot!("good_head", markdown.split("## 2.").next().unwrap());
    let sign_off = markdown.split("## 8.").nth(1).unwrap().split("## Appendix").next().unwrap();
    insta::assert_snapshot!("good_sign_off", sign_off);
    let page = rendered(&report, Template::Html);
    assert!(page.contains("✓ pass</strong> – promote") && page.contains("Quality assurance<br>"));
    assert!(!junit(&report).contains("<failure") && !junit(&report).contains("<error"));
}

#[test]
fn an_empty_report_is_rendered_and_invents_nothing() {
    let report = empty();
    insta::assert_snapshot!("empty_summary", rendered(&report, Template::Summary));
    let page = rendered(&report, Template::Html);
    assert!(!page.contains("<svg class=\"chart\""), "there is nothing to draw");
    rendered(&report, Template::Markdown);
    let xml = junit(&report);
    assert!(xml.contains("<error"), "no verdict is an error to a CI system, never skipped: {xml}");
}

#[test]
fn names_that_are_markup_stay_text_in_every_output() {
    let report = hostile();
    let page = rendered(&report, Template::Html);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    for template in [Template::Markdown, Template::Summary] {
        let text = rendered(&report, template);
        // Inside code nothing is markup, and the only code with these names in it is a recommendation's.
        let outside = text.lines().filter(|line| !line.contains("Look at `"));
        assert!(outside.clone().all(|line| !line.contains("<script")), "{text}");
    }
    let markdown = rendered(&report, Template::Markdown);
    let tables = markdown.split("\n\n").filter(|block| block.trim_start().starts_with('|'));
    for table in tables {
        let rows: Vec<_> = table.lines().filter(|line| line.starts_with('|')).collect();
        assert!(rows.iter().all(|row| bars(row) == bars(rows[0])), "{table}");
    }
    let xml = junit(&report);
    assert!(!xml.contains("<script") && !xml.contains('\u{7}'));
}

#[test]
fn junit_has_every_criterion_with_its_numbers() {
    let report = example();
    let parsed = quick_junit::Report::deserialize_from_str(&junit(&report)).unwrap();
    let cases: Vec<_> = parsed.test_suites.iter().flat_map(|suite| &suite.test_cases).collect();
    assert_eq!(cases.len(), report.criteria.len() + 1);
    for row in &report.criteria {
        let case = cases.iter().find(|case| case.name.as_str() == row.id).unwrap();
        let property = |name: &str| {
            let found = case.properties.iter().find(|property| property.name.as_str() == name);
            found.map(|property| property.value.as_str().to_owned()).unwrap_or_default()
        };
        assert_eq!((property("verdict"), property("samples")), (row.verdict.to_string(), row.samples.to_string()));
    }
    assert_eq!(parsed.failures + parsed.errors > 0, report.overall.exit_code != 0);
}

fn compared(report: &Report, earlier: &Report) -> Comparison {
    compare(report, &Compared::parse(json(earlier).as_bytes()).unwrap())
}

fn change(comparison: &Comparison, figure: &str) -> Change {
    comparison.figures.iter().find(|change| change.name == figure).unwrap().change
}

#[test]
fn a_report_beside_itself_shows_no_difference() {
    let report = example();
    let comparison = compared(&report, &report);
    assert_eq!((comparison.criteria.len(), comparison.caveats.len()), (0, 0));
    assert!(comparison.figures.iter().all(|figure| figure.change == Change::Same), "{:#?}", comparison.figures);
}

/// Gives a measure of a report another value.
fn set(report: &mut Report, name: &str, value: Option<u64>) {
    let figure = report.measures.iter_mut().find(|figure| figure.measure.word == name).unwrap();
    figure.exact = value.map(Exact::whole);
}

#[test]
fn differences_are_told_only_beyond_what_varies_anyway() {
    let (report, mut earlier) = (example(), example());
    let mean = report.api.mean_us.unwrap();
    set(&mut earlier, "api.mean", Some(mean + mean / 50));
    assert_eq!(change(&compared(&report, &earlier), "API response time, average"), Change::Same);
    set(&mut earlier, "api.mean", Some(mean * 100));
    assert_eq!(change(&compared(&report, &earlier), "API response time, average"), Change::Better);
    assert_eq!(change(&compared(&earlier, &report), "API response time, average"), Change::Worse);
    set(&mut earlier, "api.mean", None);
    assert_eq!(change(&compared(&report, &earlier), "API response time, average"), Change::Unknown);
    // Two ends of the process instead of one can be chance; thirty can't.
    let ends = |count: u64| {
        let mut report = example();
        set(&mut report, "hub.ends", Some(count));
        report
    };
    assert_eq!(change(&compared(&ends(2), &ends(1)), "Hub process stops"), Change::Same);
    assert_eq!(change(&compared(&ends(30), &ends(1)), "Hub process stops"), Change::Worse);
    // That it ends at all, or no longer does, is no chance.
    for some in [1, 2, 4] {
        assert_eq!(change(&compared(&ends(some), &ends(0)), "Hub process stops"), Change::Worse);
        assert_eq!(change(&compared(&ends(0), &ends(some)), "Hub process stops"), Change::Better);
    }
}

#[test]
fn what_adds_up_is_compared_as_if_both_periods_were_as_long() {
    let (report, mut earlier) = (example(), example());
    earlier.coverage.covered_us /= 4;
    let comparison = compared(&report, &earlier);
    let down = comparison.figures.iter().find(|figure| figure.name == "Server down time").unwrap();
    assert_eq!((down.before, down.change), (down.now.map(|now| now * 4), Change::Better));
    assert!(comparison.caveats.iter().any(|caveat| caveat.contains("scaled")), "{:?}", comparison.caveats);
}

#[test]
fn what_was_not_known_is_neither_better_nor_worse() {
    let (report, mut earlier) = (example(), example());
    let row = earlier.criteria.iter_mut().zip(&report.criteria).find(|(_, now)| now.verdict == Verdict::Pass).unwrap().0;
    row.verdict = Verdict::Inconclusive;
    assert_eq!(compared(&report, &earlier).criteria[0].change, Change::Unknown);
    assert_eq!(compared(&earlier, &report).criteria[0].change, Change::Unknown);
}

#[test]
fn a_comparison_is_shown_with_the_criteria_that_changed_and_what_makes_it_hard() {
    let mut report = good();
    let mut earlier = example();
    earlier.provenance.builds = vec!["4.2.9".to_owned()];
    earlier.provenance.criteria_digest = "another".to_owned();
    let mean = earlier.api.mean_us.map(|mean| mean * 100);
    set(&mut earlier, "api.mean", mean);
    report.comparison = Some(compared(&report, &earlier));
    let markdown = rendered(&report, Template::Markdown);
    insta::assert_snapshot!("comparison", markdown.split("### Compared with").nth(1).unwrap().split("## 6.").next().unwrap());
    for text in [&markdown, &rendered(&report, Template::Summary)] {
        assert!(text.contains("Compared with build 4.2.9: 1 figure is better, 0 worse; 11 verdicts changed"), "{text}");
    }
    let page = rendered(&report, Template::Html);
    assert!(page.contains("Compared with build 4.2.9") && page.contains("better: −"));
    assert_eq!(serde_json::from_str::<Report>(&json(&report)).unwrap(), report);
}

#[test]
fn what_is_no_report_or_one_of_another_form_is_refused() {
    let parse = |json: &str| Compared::parse(json.as_bytes()).unwrap_err();
    assert!(parse("{}").contains("not a report.json of hubwatch"));
    let mut newer = serde_json::to_value(example()).unwrap();
    newer["version"] = 99.into();
    assert!(parse(&newer.to_string()).contains("version 99"));
    // What was added since does not keep an older report from being compared.
    let mut older = serde_json::to_value(example()).unwrap();
    for added in ["phases", "daily", "baseline", "integration_points"] {
        older.as_object_mut().unwrap().remove(added);
    }
    assert!(Compared::parse(older.to_string().as_bytes()).is_ok());
}
