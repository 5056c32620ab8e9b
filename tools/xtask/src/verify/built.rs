//! The images: that they are built, and are what their places need.

use std::fs;

use cca_abi::firmware;
use toolbox::images::{FIRMWARE, REALM_MONITOR, ROOT_MONITOR};
use toolbox::progress::Lines;
use toolbox::setup;
use toolbox::workspace::Workspace;
use toolbox::{Error, Progress};

use super::{Case, Depth};
use crate::{images, mutants};

/// Builds everything that the later suites boot, and looks at it.
pub(crate) fn images(workspace: &Workspace, _depth: Depth) -> Vec<Case> {
    let toolchain = match setup::toolchain(workspace, &Lines) {
        Ok(toolchain) => toolchain,
        Err(error) => return vec![Case::broken("set up the compiler", &error)],
    };
    let built = images::build(workspace, &toolchain, &images::ALL, &Lines).and_then(|()| {
        // Nothing has changed: the second time must find that out, and change nothing.
        let before = modified(workspace)?;
        images::build(workspace, &toolchain, &images::ALL, &Quiet)?;
        Ok(before == modified(workspace)?)
    });
    let unchanged = match built {
        Ok(unchanged) => unchanged,
        Err(error) => return vec![Case::broken("build", &error)],
    };
    let again = if unchanged {
        Ok(())
    } else {
        Err("the second build made new files".to_owned())
    };
    vec![
        Case::new("build", Ok(())),
        Case::new("nothing to do", again),
        Case::new("firmware table", firmware_table(workspace)),
        match mutants::broken_sequences(workspace, &toolchain) {
            Ok(lines) if lines.is_empty() => Case::new("sequences of instructions", Ok(())),
            Ok(lines) => Case::new("sequences of instructions", Err(lines.join("\n"))),
            Err(error) => Case::broken("sequences of instructions", &error),
        },
    ]
}

struct Quiet;

impl Progress for Quiet {
    fn step(&self, _what: &str) {}
    fn note(&self, _line: &str) {}
    fn detail(&self, _line: &str) {}
}

fn modified(workspace: &Workspace) -> Result<Vec<std::time::SystemTime>, Error> {
    let names = images::ALL.iter().map(|image| image.file).chain([FIRMWARE]);
    let time = |name: &str| {
        let path = workspace.images().join(name);
        let time = fs::metadata(&path).and_then(|metadata| metadata.modified());
        time.map_err(|error| Error::io("look at", &path, &error))
    };
    names.map(time).collect()
}

/// The flash holds the root monitor at its start and the RMM where its table says.
fn firmware_table(workspace: &Workspace) -> Result<(), String> {
    let read = |name: &str| {
        let path = workspace.images().join(name);
        fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let flash = read(FIRMWARE)?;
    let root_monitor = read(ROOT_MONITOR.file)?;
    let realm_monitor = read(REALM_MONITOR.file)?;
    if !flash.starts_with(&root_monitor) {
        return Err("the flash does not start with the root monitor".to_owned());
    }
    let table = flash
        .get(firmware::TABLE_OFFSET as usize..)
        .unwrap_or_default();
    let mut words = [0; firmware::TABLE_WORDS];
    for (word, bytes) in words.iter_mut().zip(table.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let table = firmware::Table::read(&words);
    let right = table.is_some_and(|table| {
        table.rmm_length == realm_monitor.len() as u64 && table.identity.is_some()
    });
    if !right {
        return Err(format!("the table is {words:x?}"));
    }
    if flash.get(firmware::RMM_OFFSET as usize..) != Some(&realm_monitor) {
        return Err("the RMM is not where the table says".to_owned());
    }
    Ok(())
}
