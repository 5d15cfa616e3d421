//! The published schema of scenarios' results is the one of the code.

#[test]
fn the_published_schema_is_the_schema_of_the_results() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scenario.schema.json");
    let schema = serde_json::to_string_pretty(&hubwatch::scenario::results::schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(published == schema, "{} is not the schema of the results; run this test with UPDATE_EXAMPLES=1", path.display());
}
