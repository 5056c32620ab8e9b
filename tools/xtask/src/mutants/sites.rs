//! The scan: everything in `hardware/` that protects a world must be a row's business.

use std::fs;
use std::path::{Path, PathBuf};

use toolbox::Error;
use toolbox::workspace::Workspace;

use super::inventory::{Kind, Row};

/// What is scanned, relative to the workspace: what runs at EL3 and in the RMM. What runs in `host` and `guest` has no
/// rights that could protect anybody from it.
const SCANNED: [&str; 3] = [
    "hardware/src/common",
    "hardware/src/el3",
    "hardware/src/rmm",
];
/// Not scanned: they give instructions their names, and each use is a site; or they are what tests fill and read registers with.
const NAMES_ONLY: [&str; 8] = [
    "hardware/src/common/canaries.rs",
    "hardware/src/common/assembly.rs",
    "hardware/src/common/encodings.rs",
    "hardware/src/common/fake.rs",
    "hardware/src/common/barrier.rs",
    "hardware/src/common/sysreg.rs",
    "hardware/src/common/points.rs",
    "hardware/src/common/vectors.rs",
];
/// Beginnings of the names of constants whose bits make something trap, or open it.
const TRAP_CONSTANTS: [&str; 7] = ["SCTLR_", "SCR_", "CPTR_", "MDCR", "FGT_", "HCR_", "SRE_"];

/// A place that needs a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// Relative to the workspace.
    pub(crate) file: String,
    pub(crate) line: usize,
    offset: usize,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// What is wrong between the rows and the sources, a line each: rows that do not apply, sites without a row, more argued
/// rows than there may be.
///
/// # Errors
///
/// When a source cannot be read.
pub(crate) fn complaints(workspace: &Workspace, rows: &[Row]) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for row in rows {
        let path = workspace.root().join(&row.file);
        let source = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
        lines.extend(row.place(&source).err().map(|error| error.to_string()));
    }
    for (file, source) in sources(workspace)? {
        for site in find(&file, &source) {
            let covered = rows.iter().any(|row| {
                row.file == file
                    && row.kind == site.kind
                    && row
                        .place(&source)
                        .is_ok_and(|place| place.contains(&site.offset))
            });
            if !covered {
                lines.push(format!(
                    "{}:{}: no row of the kind {:?} in verification/mutants has this: {}",
                    site.file, site.line, site.kind, site.text
                ));
            }
        }
    }
    lines.extend(super::protections::complaints(workspace, rows)?);
    lines.extend(unargued(rows));
    Ok(lines)
}

/// Of rows that are not barriers at most one in ten is argued; and who is not argued is caught by a run.
fn unargued(rows: &[Row]) -> Vec<String> {
    let hardware = |row: &&Row| row.file.starts_with("hardware/") && row.kind != Kind::Barrier;
    let mut lines = Vec::new();
    for row in rows.iter().filter(hardware) {
        match (row.test.boots(), &row.argued) {
            (true, Some(_)) => lines.push(format!("{} is argued, but a run shows it", row.name)),
            (false, None) => lines.push(format!(
                "{}: no run shows it; its row must argue why",
                row.name
            )),
            _ => {}
        }
    }
    let all = rows.iter().filter(|row| row.kind != Kind::Barrier).count();
    let argued = rows.iter().filter(|row| row.argued.is_some()).count();
    if argued * 10 > all {
        lines.push(format!(
            "{argued} of {all} rows that are not barriers are argued: more than one in ten"
        ));
    }
    lines
}

/// Every source to be scanned: its path relative to the workspace, and its text.
fn sources(workspace: &Workspace) -> Result<Vec<(String, String)>, Error> {
    let mut found = Vec::new();
    let mut places: Vec<PathBuf> = SCANNED
        .iter()
        .map(|folder| workspace.root().join(folder))
        .collect();
    while let Some(place) = places.pop() {
        let unread = |error| Error::io("read", &place, &error);
        if place.is_dir() {
            for entry in fs::read_dir(&place).map_err(unread)? {
                places.push(entry.map_err(unread)?.path());
            }
        } else if is_source(&place) {
            let text = fs::read_to_string(&place).map_err(unread)?;
            let file = place.strip_prefix(workspace.root()).unwrap_or(&place);
            let file = file.display().to_string();
            let is_test = file.ends_with("tests.rs") || file.contains("/sequences");
            if !NAMES_ONLY.contains(&file.as_str()) && !is_test {
                found.push((file, text));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_source(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "rs" || extension == "s")
}

/// The sites of one source.
pub(crate) fn find(file: &str, source: &str) -> Vec<Site> {
    let mut sites = Vec::new();
    // Whether the line is in a list of registers, or in a constant whose bits are sites.
    let (mut in_list, mut in_constant) = (false, false);
    let mut offset = 0;
    for (number, line) in source.split_inclusive('\n').enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        let mut add = |kind, at: usize| {
            sites.push(Site {
                file: file.to_owned(),
                line: number + 1,
                offset: offset + at,
                kind,
                text: line.trim().to_owned(),
            });
        };
        for (kind, at) in instructions(code) {
            add(kind, at);
        }
        in_list &= !code.trim_start().starts_with('}');
        if in_list || code.contains("assert_fixed!(") {
            for at in strings(code) {
                add(Kind::Register, at);
            }
        }
        in_list |= code.contains("$callback! {");
        if let Some(name) = constant(code) {
            in_constant = TRAP_CONSTANTS.iter().any(|start| name.starts_with(start));
        }
        if in_constant {
            for (at, _) in code.match_indices("<<").chain(code.match_indices("0x")) {
                add(Kind::Trap, at);
            }
            in_constant = !code.contains(';');
        }
        offset += line.len();
    }
    sites
}

/// The name of the 64-bit constant that begins in a line.
fn constant(code: &str) -> Option<&str> {
    let (before, after) = code.split_once("const ")?;
    if !matches!(before.trim(), "" | "pub" | "pub(super)" | "pub(crate)") {
        return None;
    }
    let (name, rest) = after.split_once(':')?;
    rest.trim_start().starts_with("u64").then_some(name.trim())
}

/// Where quoted text starts in a line.
fn strings(code: &str) -> impl Iterator<Item = usize> {
    code.match_indices('"').step_by(2).map(|(at, _)| at)
}

/// The instructions of interest in a line of Rust or of assembly.
fn instructions(code: &str) -> Vec<(Kind, usize)> {
    let mut found = Vec::new();
    let squeezed_after = |at: usize| code[at..].trim_start();
    for (at, word) in words(code) {
        let rest = &code[at + word.len()..];
        let next = rest.chars().next();
        let operands = squeezed_after(at + word.len());
        let is_call = next == Some('(') && !code[..at].trim_end().ends_with("fn");
        let is_instruction = matches!(next, None | Some(' ' | '\t' | '\n' | '"' | '\\'))
            && !code.contains("use ")
            && !operands.starts_with('=');
        let kind = match word {
            "isb" if is_call || is_instruction => Kind::Barrier,
            _ if word.starts_with("dsb_") || word.starts_with("dmb_") => {
                if !is_call {
                    continue;
                }
                Kind::Barrier
            }
            "dsb" | "dmb" if is_instruction => Kind::Barrier,
            "tlbi" if is_instruction => Kind::Tlbi,
            "sys" if is_instruction && operands.starts_with("#6, c") => Kind::Gpt,
            "dc" if operands.starts_with("zva") => Kind::Wipe,
            "stp" if operands.starts_with("xzr, xzr") => Kind::Wipe,
            "store" if rest.starts_with("(0, core") => Kind::Wipe,
            "msr" if is_instruction && !operands.starts_with("daif") => Kind::Register,
            "operation" if is_instruction && operands.starts_with("\\base,") => {
                let registers = at + code[at..].find(',').unwrap_or_default() + 2;
                let second = registers + code[registers..].find(',').unwrap_or_default() + 2;
                found.push((Kind::Register, registers));
                found.push((Kind::Register, second));
                continue;
            }
            "write_sysreg" if rest.starts_with("!(\"s3_6_c2_c1_") => Kind::Gpt,
            "write_sysreg" if rest.starts_with("!(") => Kind::Register,
            _ => continue,
        };
        found.push((kind, at));
    }
    found
}

/// The words of a line with their places.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr() as usize - code.as_ptr() as usize, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<Kind> {
        find("f", source).iter().map(|site| site.kind).collect()
    }

    #[test]
    fn every_kind_of_site_is_found() {
        for (source, kind) in [
            ("asm!(\"tlbi vmalle1\", options());", Kind::Tlbi),
            ("    tlbi    alle2\n", Kind::Tlbi),
            ("    isb();", Kind::Barrier),
            ("    barrier::dsb_sy();", Kind::Barrier),
            ("1:  dsb     nsh\n", Kind::Barrier),
            ("    isb\n", Kind::Barrier),
            ("asm!(\"isb\", options());", Kind::Barrier),
            ("asm!(\"dc zva, {at}\")", Kind::Wipe),
            ("2:  stp     xzr, xzr, [x8], #16", Kind::Wipe),
            ("write_sysreg!(\"hcr_el2\", 0);", Kind::Register),
            ("    msr     \\first, x8", Kind::Register),
            ("write_sysreg!(\"s3_6_c2_c1_4\", a);", Kind::Gpt),
            ("asm!(\"sys #6, c8, c1, #4\")", Kind::Gpt),
            ("pub const HCR_MONITOR: u64 = 1 << 27;", Kind::Trap),
            ("const SCTLR_X: u64 = 1\n    | 1 << 3;", Kind::Trap),
        ] {
            assert_eq!(kinds(source), [kind], "{source}");
        }
        assert_eq!(
            kinds("    \\operation \\base, hcr_el2, mdcr_el2, 16 // both\n").len(),
            2
        );
        assert_eq!(
            kinds("$callback! {\n  A \"a\", B \"b\",\n}\n\"c\"").len(),
            2
        );
    }

    #[test]
    fn names_and_comments_are_no_sites() {
        for source in [
            "use crate::common::barrier::{dsb_sy, isb};",
            "// isb\n",
            "/// TLBI: an `isb` follows\n",
            "macro_rules! write_sysreg { }",
            "#[cfg(test)]\nmod tests { isb(); }",
            "const PAGE: u64 = 4 << 10;",
            "let x = 1 << 3;",
        ] {
            assert_eq!(kinds(source), [], "{source}");
        }
    }

    #[test]
    fn a_site_without_a_row_is_told() {
        let workspace = Workspace::find().unwrap();
        let rows = super::super::inventory::read(&workspace).unwrap();
        assert_eq!(complaints(&workspace, &rows).unwrap(), [""; 0]);
        // The same without one of the rows that are the only one for their site.
        let fewer: Vec<_> = rows
            .into_iter()
            .filter(|row| row.kind != Kind::Wipe)
            .collect();
        let lines = complaints(&workspace, &fewer).unwrap();
        assert!(lines.iter().any(|line| line.contains("Wipe")), "{lines:?}");
    }
}
