//! The house as it is drawn: the picture in `src/lib.rs` held against the imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hubwatch::judge::incident::IncidentKind;

/// Where the picture begins and ends in the crate's documentation.
const PICTURE: (&str, &str) = ("//! ```text\n", "//! ```\n");

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
    all.sort();
    all
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The rows of the picture, the topmost first. A module may import those of the rows below its own.
fn picture() -> Vec<Vec<String>> {
    let documentation = std::fs::read_to_string(source_folder().join("lib.rs")).unwrap();
    let (_, picture) = documentation.split_once(PICTURE.0).expect("the picture begins");
    let (picture, _) = picture.split_once(PICTURE.1).expect("the picture ends");
    let row = |line: &str| {
        let names = line.trim_start_matches("//!").split_once("//").map_or(line.trim_start_matches("//!"), |(names, _)| names);
        names.split_whitespace().map(str::to_owned).collect()
    };
    picture.lines().map(row).collect()
}

/// What the program consists of: no tests inside, no comments.
fn program(text: &str) -> String {
    let tests = ["#[cfg(test)]\nmod ", "#[cfg(test)]\npub mod ", "#[cfg(test)]\npub(crate) mod "];
    let end =
        tests.iter().filter_map(|begin| text.find(begin).filter(|at| text[*at..].lines().nth(1).unwrap().ends_with('{'))).min();
    text[..end.unwrap_or(text.len())].lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The modules that a text names by `crate::`, in braces too.
fn imported(text: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect::<String>();
    let mut all = BTreeSet::new();
    for (at, found) in text.match_indices("crate::") {
        let rest = &text[at + found.len()..];
        let Some(inside) = rest.strip_prefix('{') else {
            all.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (at, letter) in inside.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                letter if begins && letter.is_alphabetic() => {
                    all.insert(word(&inside[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    all
}

/// Each module of the crate, with those that it imports and a file that does.
fn imports() -> BTreeMap<String, BTreeMap<String, PathBuf>> {
    let root = source_folder();
    let mut all: BTreeMap<String, BTreeMap<String, PathBuf>> = BTreeMap::new();
    for path in sources(&root) {
        let inside = path.strip_prefix(&root).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if module == "lib" || module == "main" {
            continue;
        }
        let of_module = all.entry(module.clone()).or_default();
        let names = imported(&program(&std::fs::read_to_string(&path).unwrap()));
        names.into_iter().filter(|name| *name != module).for_each(|name| {
            of_module.entry(name).or_insert_with(|| inside.to_owned());
        });
    }
    all
}

#[test]
fn the_picture_has_each_module_once() {
    let drawn: Vec<String> = picture().into_iter().flatten().collect();
    let once: BTreeSet<&String> = drawn.iter().collect();
    assert_eq!(once.len(), drawn.len(), "{drawn:?}");
    let there = imports();
    assert_eq!(once, there.keys().collect::<BTreeSet<_>>());
}

#[test]
fn every_module_imports_only_what_is_drawn_below_it() {
    let rows = picture();
    let row_of = |name: &str| rows.iter().position(|row| row.iter().any(|drawn| drawn == name));
    let mut upward = Vec::new();
    for (module, imported) in imports() {
        for (name, file) in imported {
            let (Some(from), Some(to)) = (row_of(&module), row_of(&name)) else {
                upward.push(format!("{}: `crate::{name}` is no module of the picture", file.display()));
                continue;
            };
            if to <= from {
                upward.push(format!("{}: `{module}` imports `{name}`, which is not drawn below it", file.display()));
            }
        }
    }
    assert!(upward.is_empty(), "against the picture in src/lib.rs:\n{}", upward.join("\n"));
}

#[test]
fn imports_in_braces_and_in_one_piece_are_found_and_those_of_tests_are_not() {
    let text = "use crate::watch::{Text, Micros};\nuse crate::{causes, judge::{self, rules}, tail};\nlet x = crate::tls::roots();\n\
        // crate::comment\n#[cfg(test)]\nmod tests {\n use crate::cli;\n}\n";
    let found: Vec<String> = imported(&program(text)).into_iter().collect();
    assert_eq!(found, ["causes", "judge", "tail", "tls", "watch"]);
}

/// Kinds of facts that lack a producer or a reader here on purpose, each with the reason. Such a fact is told to whoever reads the
/// traces, and no figure is made of it.
const TOLD_ONLY: [(&str, &str); 4] = [
    ("HubStateChanged", "Each poll carries the state, and the report is made of the polls."),
    ("StreamJoined", "Each Watch says whether the event stream was read, and the coverage is made of that."),
    ("StreamLeft", "Each Watch says whether the event stream was read, and the coverage is made of that."),
    ("WatcherStopped", "The reader of a backend ends the watch by it, before anything is judged."),
];

/// Where facts are made.
const PRODUCERS: [&str; 7] = ["announce/", "hub/", "scenario/", "sidecar/", "journal/", "tail/", "cli/"];

/// Where figures, incidents and sentences are made of them.
const READERS: [&str; 8] =
    ["judge/", "report/", "live/", "serve/", "alert/", "watch/metrics.rs", "watch/metrics/", "watch/operation.rs"];

/// The kinds of facts that a text declares, as topic and record.
fn declared(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for block in text.split("\nfacts! {").skip(1) {
        let (topic, kinds) = block.split_once("pub enum ").unwrap().1.split_once(" in ").unwrap();
        let records = kinds.lines().skip(1).take_while(|line| !line.trim().starts_with('}'));
        all.extend(
            records.filter_map(|line| line.trim().split_once(" = ")).map(|(record, _)| (topic.to_owned(), record.to_owned())),
        );
    }
    all
}

/// Where a word stands on its own.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let around = text.match_indices(word).map(move |(at, _)| (&text[..at], &text[at + word.len()..]));
    around.filter(move |(before, after)| !before.ends_with(is_part) && !after.starts_with(is_part))
}

/// What follows the braces that a text begins with.
fn after_braces(text: &str) -> &str {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 1 => return text[at + 1..].trim_start(),
            '}' => depth -= 1,
            _ => {}
        }
    }
    ""
}

/// Whether a text imports a record from the facts and makes one: neither a type nor a pattern, nor another type of the same name. One that
/// is read from a file stands in a type that is read so: `Checked(ScenarioChecked)`.
fn produces(text: &str, record: &str) -> bool {
    let imports = text.split("use crate::watch::").skip(1).filter_map(|rest| rest.split(';').next());
    if !imports.into_iter().any(|import| words(import, record).next().is_some()) {
        return false;
    }
    let is_read = text.contains("serde::{Deserialize, Serialize}");
    words(text, record).any(|(before, after)| {
        if is_read && before.ends_with('(') && after.starts_with("),\n") {
            return true;
        }
        let (before, after) = (before.trim_end(), after.trim_start());
        let no_value = ["::", "struct", "enum", "impl", "for", "let", "->"].iter().any(|end| before.ends_with(end));
        // A pattern goes on with `=`, `=>`, `|` or `if`, be it in another one or not.
        after.starts_with('{')
            && !no_value
            && !["=", "|", "if "].iter().any(|next| after_braces(after).trim_start_matches([')', ' ']).starts_with(next))
    })
}

/// Whether a text takes a kind of fact up: binds it, or does something where it comes. An arm that does nothing only ignores it.
fn reads(text: &str, topic: &str, record: &str) -> bool {
    let kind = format!("{topic}::{record}");
    words(text, &kind).any(|(_, after)| {
        let Some((binding, rest)) = after.strip_prefix('(').and_then(|after| after.split_once(')')) else { return false };
        if binding.trim() != "_" {
            return true;
        }
        let found = |end: &'static str| rest.find(end).map(|at| (at, end));
        match ["=>", " = ", ";", "{"].into_iter().filter_map(found).min() {
            Some((at, "=>")) => !["{}", "()", "None", "false"].iter().any(|none| rest[at + 2..].trim_start().starts_with(none)),
            Some(_) => true,
            None => false,
        }
    })
}

/// The programs of some folders and files of the crate, without modules that only tests have.
fn programs(of: &[&str]) -> Vec<String> {
    let root = source_folder();
    let mut only_tests = BTreeSet::new();
    let all = sources(&root);
    for path in &all {
        let text = std::fs::read_to_string(path).unwrap();
        let folder = if path.ends_with("mod.rs") { path.parent().unwrap().to_owned() } else { path.with_extension("") };
        for declared in text.split("#[cfg(test)]\nmod ").skip(1) {
            let name = declared.split([';', ' ']).next().unwrap();
            only_tests.insert(folder.join(name).with_extension("rs"));
        }
    }
    let inside = |path: &PathBuf| {
        let path = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        of.iter().any(|begin| path.starts_with(begin))
    };
    let kept = all.into_iter().filter(|path| inside(path) && !only_tests.contains(path));
    kept.map(|path| program(&std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn each_kind_of_fact_has_a_producer_and_a_reader_or_a_reason() {
    let facts: Vec<(String, String)> = sources(&source_folder().join("watch/fact"))
        .iter()
        .flat_map(|path| declared(&std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(facts.iter().any(|(topic, record)| topic == "ScenarioFact" && record == "ScenarioChecked"), "{facts:?}");
    let (producers, readers) = (programs(&PRODUCERS), programs(&READERS));
    let mut lacking = BTreeMap::new();
    for (topic, record) in &facts {
        let produced = producers.iter().any(|text| produces(text, record));
        let read = readers.iter().any(|text| reads(text, topic, record));
        if !(produced && read) {
            lacking.insert(record.as_str(), format!("produced: {produced}, read: {read}"));
        }
    }
    let excused: BTreeSet<&str> = TOLD_ONLY.iter().map(|(record, _)| *record).collect();
    let missing: Vec<_> = lacking.iter().filter(|(record, _)| !excused.contains(*record)).collect();
    assert!(missing.is_empty(), "give them a producer and a reader, or a reason in TOLD_ONLY: {missing:#?}");
    let needless: Vec<_> = excused.iter().filter(|record| !lacking.contains_key(*record)).collect();
    assert!(needless.is_empty(), "these have both by now, and need no place in TOLD_ONLY: {needless:?}");
    assert!(TOLD_ONLY.iter().all(|(_, reason)| reason.ends_with('.') && reason.contains(' ')));
}

#[test]
fn each_kind_of_incident_is_raised_somewhere() {
    let detectors = programs(&["judge/detect/"]).join("\n");
    let named: BTreeSet<&str> =
        detectors.split("IncidentKind::").skip(1).filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next()).collect();
    let raised = |kind: &IncidentKind| named.contains(format!("{kind:?}").as_str());
    let missing: Vec<_> = IncidentKind::ALL.iter().filter(|kind| !raised(kind)).collect();
    assert!(missing.is_empty(), "no detector names {missing:?}");
}

#[test]
fn a_record_is_produced_where_it_is_made_and_not_where_it_is_named_or_matched() {
    let made = "use crate::watch::{Count, MadeUp};\nfn f() -> MadeUp { say(MadeUp { count }); }";
    assert!(produces(made, "MadeUp"));
    assert!(!produces(made, "Made") && !produces(made, "NeverMade"));
    let read = "use serde::{Deserialize, Serialize};\nuse crate::watch::MadeUp;\npub enum Told {\n    Checked(MadeUp),\n}";
    assert!(produces(read, "MadeUp") && !produces(&read.replace("Deserialize, ", ""), "MadeUp"));
    let without = [
        "use other::MadeUp;\nfn f() { say(MadeUp { count }); }",
        "use crate::watch::MadeUp;\nfn f() -> MadeUp { other() }",
        "use crate::watch::MadeUp;\nfn f() { let MadeUp { count } = x; }",
        "use crate::watch::MadeUp;\nfn f() { match x { Kind::One(MadeUp { count }) => y, MadeUp { .. } => z } }",
        "use crate::watch::MadeUp;\nfn f() { say(Meaning::MadeUp { count }); }",
        "use crate::watch::MadeUp;\nimpl MadeUp { }",
        "use crate::watch::MadeUp;\nfn f(x: &[MadeUp]) { for MadeUp { count } in x { } }",
    ];
    without.iter().for_each(|text| assert!(!produces(text, "MadeUp"), "{text}"));
}

#[test]
fn a_fact_is_read_where_it_is_bound_or_acted_on_and_not_where_an_arm_ignores_it() {
    let with = [
        "match fact { LogFact::MadeUp(found) => self.found(found), }",
        "match fact { LogFact::Other(_) | LogFact::MadeUp(_) => self.count += 1, }",
        "if let LogFact::MadeUp(_) = fact { self.count += 1; }",
        "let any = facts.any(|fact| matches!(fact.kind, FactKind::Log(LogFact::MadeUp(_))));",
    ];
    with.iter().for_each(|text| assert!(reads(text, "LogFact", "MadeUp"), "{text}"));
    let without = [
        "match fact { LogFact::MadeUp(_) => {} }",
        "match fact { LogFact::MadeUp(_) | LogFact::Other(_) => {} }",
        "match fact { FactKind::Log(LogFact::MadeUp(_)) | FactKind::Hub(_) => None, }",
        "match fact { LogFact::MadeUpToo(found) => self.found(found), HubFact::MadeUp(found) => self.found(found), }",
    ];
    without.iter().for_each(|text| assert!(!reads(text, "LogFact", "MadeUp"), "{text}"));
}

#[test]
fn the_kinds_of_facts_are_read_from_their_declaration() {
    let text = "record! {\n    pub struct One {}\n}\n\nfacts! {\n    /// Some.\n    pub enum LogFact in Log {\n        One = \"a.one\",\n        \
        Two = \"a.two\",\n    }\n}\n";
    let pair = |record: &str| ("LogFact".to_owned(), record.to_owned());
    assert_eq!(declared(text), [pair("One"), pair("Two")]);
}
