//! Where unsafe code may be.

use std::path::Path;

use crate::workspace::Workspace;
use crate::{Error, source};

/// The folders whose code may be unsafe: the ring around the hardware, and the entry stubs of images.
///
/// `machine` is safe as a whole at this time; a file of it that must be unsafe is added here with its reason.
const ALLOWED: [&str; 2] = ["hardware/src", "images"];
/// Every folder with sources of the workspace.
const FOLDERS: [&str; 7] = [
    "crates",
    "hardware",
    "images",
    "machine",
    "suzerain",
    "verification",
    "xtask",
];

/// Every place outside the allowed folders that has unsafe code, as `file:line`.
///
/// # Errors
///
/// When a source file cannot be read.
pub fn misplaced(workspace: &Workspace) -> Result<Vec<String>, Error> {
    let mut places = Vec::new();
    for folder in FOLDERS {
        for (path, code) in source::files(&workspace.root().join(folder))? {
            let relative = path.strip_prefix(workspace.root()).unwrap_or(&path);
            if !ALLOWED
                .iter()
                .any(|allowed| relative.starts_with(Path::new(allowed)))
            {
                places.extend(
                    lines_with_unsafe(&code).map(|line| format!("{}:{line}", relative.display())),
                );
            }
        }
    }
    Ok(places)
}

/// The numbers of the lines that have the keyword.
fn lines_with_unsafe(code: &str) -> impl Iterator<Item = usize> {
    let has = |line: &str| source::words(line).any(|word| word == "unsafe");
    code.lines()
        .enumerate()
        .filter(move |(_, line)| has(line))
        .map(|(index, _)| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyword_is_found_in_code_only() {
        let text = "#![forbid(unsafe_code)]\n// unsafe\nlet s = \"unsafe\";\nunsafe { f() }\n#[unsafe(no_mangle)]\n";
        assert_eq!(
            lines_with_unsafe(&source::code(text)).collect::<Vec<_>>(),
            [4, 5]
        );
    }
}
