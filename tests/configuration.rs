//! The tables in docs/configuration.md (settings), docs/alerts.md (kinds of incidents) and README.md (backends) are made from the code.

use std::fmt::Write as _;

use hubwatch::backend::{KINDS, Kind};
use hubwatch::config::settings::{FILE_SUFFIX, SETTINGS, Setting};
use hubwatch::judge::incident::IncidentKind;
use hubwatch::judge::rules::{Length, Rules};

const BEGIN: &str = "<!-- the table is made by UPDATE_DOCS=1 cargo test --test configuration -->\n";
const END: &str = "<!-- the end of the table -->";

fn row(setting: &Setting) -> String {
    let or_dash = |text: &str| if text.is_empty() { "–".to_owned() } else { format!("`{text}`") };
    let mut variable = format!("`{}`", setting.variable);
    if setting.may_be_in_file() {
        let _ = write!(variable, ", `…{FILE_SUFFIX}`");
    }
    format!(
        "| {variable} | {} | {} | {} | {} |",
        or_dash(setting.key),
        or_dash(setting.flag),
        setting.meaning.replace('|', "\\|"),
        setting.default
    )
}

fn table() -> String {
    let rows: Vec<String> = SETTINGS.iter().map(row).collect();
    format!("| variable | in the file | flag | meaning | default |\n| --- | --- | --- | --- | --- |\n{}\n", rows.join("\n"))
}

/// Each kind of incident with its default rule.
fn kinds() -> String {
    let rules = Rules::builtin();
    let row = |kind: &IncidentKind| {
        let alert = rules.alerts.of(*kind);
        let threshold = if alert.threshold == 0 { "–".to_owned() } else { alert.threshold.to_string() };
        format!("| `{kind}` | {} | {threshold} | {} | {} |", alert.severity, Length(alert.window), kind.next_step())
    };
    let rows: Vec<String> = IncidentKind::ALL.iter().map(row).collect();
    format!("| kind | severity | threshold | window | what to do |\n| --- | --- | --- | --- | --- |\n{}\n", rows.join("\n"))
}

/// Each backend that a report can read.
fn backends() -> String {
    let row = |kind: &Kind| format!("| `{}=` | {} | {} |\n", kind.word, kind.request, kind.tested_with);
    let rows: String = KINDS.iter().map(row).collect();
    format!("| backend | request | tested with |\n| --- | --- | --- |\n| the state folder | SQLite | itself |\n{rows}")
}

/// Holds the table in a document against what the code says, or makes it anew.
fn holds(document: &str, table: &str) {
    let path = format!("{}/{document}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(shown, table, "make it anew: UPDATE_DOCS=1 cargo test --test configuration");
    }
}

#[test]
fn the_documented_kinds_of_incidents_are_those_of_the_code() {
    holds("docs/alerts.md", &kinds());
}

#[test]
fn the_readme_has_each_backend_as_its_row_describes_it() {
    holds("README.md", &backends());
}

#[test]
fn the_documented_settings_are_those_of_the_code() {
    holds("docs/configuration.md", &table());
}
