//! The table of settings in docs/configuration.md is made from the code.

use std::fmt::Write as _;

use hubwatch::config::settings::{FILE_SUFFIX, SETTINGS, Setting};

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

#[test]
fn the_documented_settings_are_those_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
    } else {
        assert_eq!(shown, table(), "make it anew: UPDATE_DOCS=1 cargo test --test configuration");
    }
}
