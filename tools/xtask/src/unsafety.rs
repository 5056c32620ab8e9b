//! Where unsafe code may be.

use std::path::Path;

use toolbox::Error;
use toolbox::workspace::Workspace;

use crate::source;

/// The folders whose code may be unsafe: the ring around the hardware and the entry stubs of images.
///
/// `machine` is safe as a whole at this time; a file of it that must be unsafe is added here with its reason.
const ALLOWED: [&str; 2] = ["hardware", "images"];
/// Every place outside the allowed folders that has unsafe code, as `file:line`.
///
/// # Errors
///
/// When a source file cannot be read.
pub(crate) fn misplaced(workspace: &Workspace) -> Result<Vec<String>, Error> {
    let mut places = Vec::new();
    for folder in source::FOLDERS {
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

/// Every unsafe block and unsafe implementation without a `SAFETY:` comment above its statement, as `file:line`.
///
/// Clippy checks the same more thoroughly, but it does not come with every compiler that builds the images.
///
/// # Errors
///
/// When a source file cannot be read.
pub(crate) fn unexplained(workspace: &Workspace) -> Result<Vec<String>, Error> {
    let mut places = Vec::new();
    for folder in ALLOWED {
        for (path, code) in source::files(&workspace.root().join(folder))? {
            let text =
                std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
            let relative = path.strip_prefix(workspace.root()).unwrap_or(&path);
            places.extend(
                lines_without_reason(&text, &code)
                    .map(|line| format!("{}:{line}", relative.display())),
            );
        }
    }
    Ok(places)
}

/// How far above a block its comment may stand: a statement that is laid out over several lines lies between.
const REACH: usize = 12;

fn lines_without_reason(text: &str, code: &str) -> impl Iterator<Item = usize> {
    let text: Vec<_> = text.lines().collect();
    let is_block = |line: &str| line.contains("unsafe {") || line.contains("unsafe impl");
    let blocks = code
        .lines()
        .enumerate()
        .filter(move |(_, line)| is_block(line));
    let blocks: Vec<_> = blocks.map(|(index, _)| index).collect();
    blocks.into_iter().filter_map(move |index| {
        let above = text[index.saturating_sub(REACH)..=index].iter().rev();
        let explained = above
            .take_while(|line| !line.trim().is_empty())
            .any(|line| line.contains("SAFETY:"));
        (!explained).then_some(index + 1)
    })
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

    #[test]
    fn every_block_needs_its_reason() {
        let text = "// SAFETY: good\nunsafe { f() }\n\nlet a =\n    unsafe { g() };\n\nunsafe fn h() {}\n\nunsafe impl X {}\n";
        assert_eq!(
            lines_without_reason(text, &source::code(text)).collect::<Vec<_>>(),
            [5, 9]
        );
    }
}
