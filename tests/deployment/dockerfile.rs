//! docker/Dockerfile: checks that need no registry. The live tests build and run the image.

use crate::{assert_readable, root, text};

/// Returns the instructions with their arguments, one per line, without comments.
fn instructions() -> Vec<(String, String)> {
    let lines: Vec<String> = text("docker/Dockerfile").lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let split = |line: &str| line.trim().split_once(' ').map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()));
    joined.lines().filter_map(split).collect()
}

fn of<'a>(instructions: &'a [(String, String)], word: &str) -> Vec<&'a str> {
    instructions.iter().filter(|(instruction, _)| instruction == word).map(|(_, rest)| rest.as_str()).collect()
}

#[test]
fn the_image_is_an_unprivileged_program_on_scratch_with_a_health_check() {
    let all = instructions();
    let last = all.iter().rposition(|(word, _)| word == "FROM").unwrap();
    let image = &all[last..];
    assert_eq!(of(image, "FROM"), ["scratch"]);
    assert_eq!((of(image, "RUN").len(), of(image, "USER")), (0, vec!["65532:65532"]));
    assert_eq!((of(image, "ENTRYPOINT"), of(image, "CMD")), (vec![r#"["/hubwatch"]"#], vec![r#"["run"]"#]));
    assert!(of(image, "HEALTHCHECK")[0].ends_with(r#"CMD ["/hubwatch", "health"]"#));
    assert_eq!(of(image, "VOLUME"), [r#"["/state"]"#]);
    for label in ["title", "description", "version", "revision", "licenses"] {
        assert!(of(image, "LABEL")[0].contains(&format!("org.opencontainers.image.{label}=")), "{label}");
    }
    let version = format!("VERSION={}", env!("CARGO_PKG_VERSION"));
    assert!(of(image, "ARG").contains(&version.as_str()));
    for pair in of(image, "ENV")[0].split_whitespace() {
        let (variable, value) = pair.split_once('=').unwrap();
        if variable != "TMPDIR" {
            assert_readable("Dockerfile", variable, value);
        }
    }
}

#[test]
fn the_first_stage_builds_everything_that_the_image_copies() {
    let all = instructions();
    let last = all.iter().rposition(|(word, _)| word == "FROM").unwrap();
    let made = of(&all[..last], "RUN").join(" ");
    for copy in of(&all[last..], "COPY") {
        let from = copy.split_whitespace().find(|word| word.starts_with('/')).unwrap();
        assert!(copy.starts_with("--from=build ") && made.contains(from), "{from}");
    }
    // The live tests and the release build the program by the same script.
    assert!(made.contains(r#"packaging/static "linux-${TARGETARCH}" /out/hubwatch"#), "{made}");
    use std::os::unix::fs::PermissionsExt as _;
    let script = std::fs::metadata(root().join("packaging/static")).unwrap();
    assert_ne!(script.permissions().mode() & 0o111, 0);
    for platform in ["linux-amd64", "linux-arm64"] {
        assert!(text("packaging/static").contains(&format!("  {platform}) target=")), "{platform}");
    }
}

#[test]
fn the_images_compiler_is_new_enough_for_the_package() {
    let from = instructions().into_iter().find(|(word, _)| word == "FROM").unwrap().1;
    let version = from.split("rust:").nth(1).unwrap().split('-').next().unwrap();
    assert_eq!(version, env!("CARGO_PKG_RUST_VERSION"));
}
