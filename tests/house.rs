//! The house as it is drawn: the picture in `src/lib.rs` held against the imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

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
