//! What comments and documents cite is in this repository.

use std::path::{Path, PathBuf};

/// Folders that a comment may cite a file of.
const FOLDERS: [&str; 14] = [
    "benches/",
    "captures/",
    "docker/",
    "docs/",
    "examples/",
    "fuzz/",
    "instrument/",
    "notes/",
    "otel-config/",
    "packaging/",
    "spec/",
    "src/",
    "templates/",
    "tests/",
];

/// Sources that a clone doesn't have.
const ELSEWHERE: [&str; 3] = ["hub notes,", "(hub notes)", "OTel notes"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            all.extend(files(&path, endings));
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// The comment in a line of Rust; the `//` of a URL or inside quotation marks begins none.
fn comment(line: &str) -> Option<&str> {
    let begins = |at: usize| !line[..at].ends_with(':') && line[..at].matches('"').count().is_multiple_of(2);
    line.match_indices("//").map(|(at, _)| at).find(|at| begins(*at)).map(|at| &line[at..])
}

/// The paths of ours that a text names. A pattern with `*` or `…` stands for some files, and must have one.
fn cited(text: &str) -> Vec<&str> {
    let ends = |letter: char| !(letter.is_ascii_alphanumeric() || "_-./*".contains(letter));
    let paths = FOLDERS.iter().flat_map(|folder| {
        text.match_indices(folder).filter_map(move |(at, _)| {
            let whole_word =
                text[..at].chars().next_back().is_none_or(|before| !(before.is_alphanumeric() || "/-_.".contains(before)));
            let rest = &text[at..];
            let path = rest[..rest.find(ends).unwrap_or(rest.len())].trim_end_matches(['.', '/']);
            (whole_word && path.contains('/')).then_some(path)
        })
    });
    paths.collect()
}

fn is_there(path: &str) -> bool {
    glob::glob(root().join(path).to_str().unwrap()).is_ok_and(|mut found| found.next().is_some())
}

#[test]
fn comments_cite_files_that_are_there() {
    let mut missing = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for file in files(&root().join(folder), &[".rs"]) {
            if file.ends_with("tests/cited.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                let Some(comment) = comment(line) else { continue };
                let place = || format!("{}:{}", file.strip_prefix(root()).unwrap().display(), number + 1);
                missing
                    .extend(cited(comment).into_iter().filter(|path| !is_there(path)).map(|path| format!("{}: {path}", place())));
                missing.extend(
                    ELSEWHERE.iter().filter(|cited| comment.contains(**cited)).map(|cited| format!("{}: {cited}", place())),
                );
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn documents_link_to_files_that_are_there() {
    let mut missing = Vec::new();
    let pages = ["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)).into_iter();
    let folders = ["docs", "benches", "docker", "otel-config", "packaging"].map(|folder| files(&root().join(folder), &[".md"]));
    for page in pages.chain(folders.into_iter().flatten()) {
        let text = std::fs::read_to_string(&page).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '#']).next());
        let ours = links.filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"));
        let lost = ours.filter(|link| !page.parent().unwrap().join(link).exists());
        missing.extend(lost.map(|link| format!("{}: {link}", page.strip_prefix(root()).unwrap().display())));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn paths_are_found_in_comments_and_nothing_else_is_taken_for_one() {
    let line = r#"let url = "http://docs/x"; // see `docs/hub.md`, (tests/recordings/fork-*/health.json). and/or /srv/docs/none"#;
    assert_eq!(comment(r#"let url = "http://docs/x";"#), None);
    assert_eq!(cited(comment(line).unwrap()), ["docs/hub.md", "tests/recordings/fork-*/health.json"]);
    assert!(is_there("tests/recordings/fork-*/health.json") && !is_there("docs/nowhere.md"));
}
