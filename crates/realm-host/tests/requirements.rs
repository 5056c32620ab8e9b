//! The table of requirements in the documentation is complete, and the tests that it names exist.

use std::fs;
use std::path::Path;

const TABLE: &str = include_str!("../src/requirements.md");

/// All Rust source below a directory.
fn source(directory: &Path, into: &mut String) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            source(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *into += &fs::read_to_string(path).expect("text");
        }
    }
}

#[test]
fn every_requirement_is_answered_and_every_test_named_exists() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    for directory in ["src", "tests", "../realm-vmm/src", "../realm-vmm/tests"] {
        source(&here.join(directory), &mut all);
    }
    let rows = TABLE.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut number = 0;
    for row in rows {
        number += 1;
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        assert_eq!(cells[0], number.to_string(), "{row}");
        let answer = ["holds", "better", "shape", "embedder"];
        assert!(
            answer.iter().any(|start| cells[2].starts_with(start)),
            "{row}"
        );
        let test = cells[3].trim_matches('`');
        let definition = format!("#[test]\nfn {test}()");
        let nested = format!("#[test]\n    fn {test}()");
        assert!(all.contains(&definition) || all.contains(&nested), "{row}");
    }
    assert_eq!(number, 58);
}
