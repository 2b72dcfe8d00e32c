//! The generated references below `docs/` match the code. To update them after a change:
//!
//! ```text
//! UPDATE_DOCS=1 cargo test --test it -- reference
//! ```

use std::{fs, path::Path};

use paydeploy::commands::reference;

fn matches(file: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, generated).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    let differs = checked_in.lines().zip(generated.lines()).position(|(old, new)| old != new);
    assert!(
        checked_in == generated,
        "docs/{file} is outdated from line {}; run: UPDATE_DOCS=1 cargo test --test it -- reference",
        differs.unwrap_or_else(|| checked_in.lines().count().min(generated.lines().count())) + 1
    );
}

#[test]
fn the_command_line_reference_matches_the_help() {
    matches("cli.md", &reference::cli());
}

#[test]
fn the_schema_of_the_json_output_matches_the_types() {
    let schema = serde_json::to_string_pretty(&reference::events()).unwrap();
    matches("events.schema.json", &(schema + "\n"));
}
