//! docs/registers.md against the code: who keeps which register.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Who keeps a register, by the name that the code uses.
fn table() -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for line in read("docs/registers.md").lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let ["", keeper, registers, how, ""] = cells[..] else {
            continue;
        };
        if keeper == "kept by" || keeper.starts_with("---") {
            continue;
        }
        assert!(!how.is_empty(), "{keeper}: how?");
        for register in registers.replace('\\', "").split(", ") {
            let name = match register.split_once(" (") {
                Some((_, name)) => name.trim_end_matches(')'),
                None => register,
            };
            let old = table.insert(name.to_lowercase(), keeper.to_owned());
            assert_eq!(old, None, "{register} is there twice");
        }
    }
    assert!(table.len() > 200, "the table has only {} rows", table.len());
    table
}

/// What looks like the name of a register in this text.
fn names(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c: char| !is_word(c))
        .filter(|word| {
            let generic = word.starts_with("s2_") || word.starts_with("s3_");
            let named = ["_el0", "_el1", "_el2", "_el3"]
                .iter()
                .any(|end| word.ends_with(end));
            (generic || named) && word.chars().all(|c| !c.is_ascii_uppercase())
        })
        .map(str::to_owned)
        .collect()
}

/// Rust and assembly code of one ring without comments and tests.
fn code(ring: &str) -> String {
    let mut code = String::new();
    for entry in fs::read_dir(root().join("hardware/src").join(ring)).expect("the ring") {
        let path = entry.expect("a file").path();
        let own_test = path
            .file_stem()
            .is_some_and(|stem| stem.to_string_lossy().ends_with("_tests"));
        if own_test || path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a file of text");
        let own = text.split("#[cfg(test)]\nmod tests {").next();
        for line in own.unwrap_or_default().lines() {
            code.push_str(line.split("//").next().unwrap_or(""));
            code.push('\n');
        }
    }
    code
}

/// The names of registers in string literals, which is how Rust code names them.
fn literals(code: &str) -> BTreeSet<String> {
    code.split('"')
        .skip(1)
        .step_by(2)
        .filter(|literal| !literal.contains([' ', '\n']))
        .flat_map(names)
        .collect()
}

/// The registers of one macro of the world switch.
fn switched(name: &str) -> BTreeSet<String> {
    let code = read("hardware/src/el3/switch.s");
    let body = code
        .split_once(&format!(".macro {name} operation, base"))
        .and_then(|(_, rest)| rest.split_once(".endm"))
        .map(|(body, _)| body)
        .expect("the macro");
    names(
        &body
            .lines()
            .map(|line| line.split("//").next().unwrap_or(""))
            .collect::<String>(),
    )
}

fn kept_by(table: &BTreeMap<String, String>, keeper: &str) -> BTreeSet<String> {
    let registers = table.iter().filter(|(_, by)| *by == keeper);
    registers.map(|(register, _)| register.clone()).collect()
}

#[test]
fn the_world_switch_keeps_what_is_its_to_keep() {
    let table = table();
    assert_eq!(switched("each_pair"), kept_by(&table, "EL3"));
    assert_eq!(
        switched("each_pair_on_demand"),
        kept_by(&table, "EL3, on demand")
    );
}

#[test]
fn every_register_that_a_monitor_names_is_in_the_table() {
    let table = table();
    // Code may also use a name of the architecture, where the assembler knows it.
    let doc = read("docs/registers.md").to_lowercase();
    let architecture = names(&doc);
    for ring in ["el3", "rmm"] {
        let strangers: Vec<_> = literals(&code(ring))
            .into_iter()
            .filter(|name| !table.contains_key(name) && !architecture.contains(name))
            .collect();
        assert_eq!(strangers, [""; 0], "{ring}");
    }
}

#[test]
fn the_rmm_keeps_what_it_changes() {
    let table = table();
    let code = code("rmm");
    // What is written by name, and the lists that are written register by register.
    let written = code
        .split("write_sysreg!(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned);
    for register in written {
        let keeper = table.get(&register).map_or("", String::as_str);
        let kept = ["EL3", "EL3, on demand", "RMM"].contains(&keeper);
        assert!(
            kept,
            "the RMM writes {register}, which is kept by {keeper:?}"
        );
    }
    // The names of the virtual CPU interface stand where the host finds them too; breakpoints and watchpoints have theirs elsewhere.
    let named = literals(&(code + &read("hardware/src/common/interface.rs")));
    let missing: Vec<_> = kept_by(&table, "RMM")
        .difference(&named)
        .filter(|name| !name.contains('<'))
        .cloned()
        .collect();
    assert_eq!(missing, [""; 0], "the RMM does not even name what it keeps");
}
