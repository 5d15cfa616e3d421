//! The published schema is the one of the code, and reports keep to it.

use std::path::PathBuf;

fn in_repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The committed file; with `UPDATE_EXAMPLES` set it is written first.
fn committed(path: &str, current: &str) -> String {
    let path = in_repository(path);
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        std::fs::write(&path, current).unwrap();
    }
    std::fs::read_to_string(&path).unwrap_or_default()
}

#[test]
fn the_published_schema_is_the_schema_of_the_model() {
    let schema = serde_json::to_string_pretty(&hubwatch::report::schema()).unwrap() + "\n";
    let same = committed("docs/report.schema.json", &schema) == schema;
    assert!(same, "docs/report.schema.json is not the schema of the model; run this test with UPDATE_EXAMPLES=1");
}

#[test]
fn the_example_reports_keep_to_the_published_schema() {
    let schema: serde_json::Value =
        serde_json::from_slice(&std::fs::read(in_repository("docs/report.schema.json")).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let read = |path: &str| serde_json::from_slice::<serde_json::Value>(&std::fs::read(in_repository(path)).unwrap()).unwrap();
    for path in ["examples/report.json", "examples/healthy/report.json"] {
        let report = read(path);
        let errors: Vec<_> = validator.iter_errors(&report).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{path}: {errors:#?}");
    }
    let report = read("examples/report.json");
    // A validator that lets everything pass would show nothing.
    let mut broken = report;
    broken["overall"]["verdict"] = "excellent".into();
    assert!(!validator.is_valid(&broken));
}
