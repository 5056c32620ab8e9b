//! What in the monitors' crates needs a row in the inventory: each step of theirs that another one's safety hangs on.

use std::fs;
use std::path::Path;

use toolbox::Error;
use toolbox::workspace::Workspace;

use super::inventory::Row;

/// The monitors' sources, and the calls that are such steps: wipes, invalidations, publications, moves between worlds.
const STEPS: [(&str, &[&str]); 2] = [
    (
        "crates/realm-monitor/src",
        &[
            ".zero_granule(",
            ".invalidate(",
            ".publish_tables(",
            ".gtsi_delegate(",
            ".gtsi_undelegate(",
        ],
    ),
    (
        "crates/root-monitor/src",
        &[
            ".invalidate_protection(",
            ".clean_to_aliasing_point(",
            ".note_delegation(",
        ],
    ),
];

/// Every step that is within no row, a line each.
///
/// # Errors
///
/// When a source cannot be read.
pub(super) fn complaints(workspace: &Workspace, rows: &[Row]) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for (folder, steps) in STEPS {
        let mut places = vec![workspace.root().join(folder)];
        while let Some(place) = places.pop() {
            let unread = |error| Error::io("read", &place, &error);
            // The strict monitor passes on what this one does.
            if place.ends_with("strict") {
                continue;
            }
            if place.is_dir() {
                for entry in fs::read_dir(&place).map_err(unread)? {
                    places.push(entry.map_err(unread)?.path());
                }
                continue;
            }
            if place.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let source = fs::read_to_string(&place).map_err(unread)?;
            let file = place.strip_prefix(workspace.root()).unwrap_or(&place);
            lines.extend(of_source(file, &source, steps, rows));
        }
    }
    lines.sort();
    Ok(lines)
}

fn of_source(file: &Path, source: &str, steps: &[&str], rows: &[Row]) -> Vec<String> {
    let file = file.display().to_string();
    let places: Vec<_> = rows
        .iter()
        .filter(|row| row.file == file)
        .filter_map(|row| row.place(source).ok())
        .collect();
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut lines = Vec::new();
    for step in steps {
        for (at, _) in product.match_indices(step) {
            if !places.iter().any(|place| place.contains(&at)) {
                let line = source[..at].matches('\n').count() + 1;
                lines.push(format!(
                    "{file}:{line}: no row in verification/mutants has this: {step}"
                ));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_a_monitor_without_a_row_is_told() {
        let workspace = Workspace::find().unwrap();
        let rows = super::super::inventory::read(&workspace).unwrap();
        assert_eq!(complaints(&workspace, &rows).unwrap(), [""; 0]);
        let none = complaints(&workspace, &[]).unwrap();
        assert!(none.len() > 20, "{none:?}");
    }
}
