//! What happens when a monitor's stack is used up: a report from below the stack's end, and nothing of anybody else is written.
//!
//! The images are those that ship; a debugger takes the stack away at a function that needs one.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use object::Endianness;
use object::elf::{FileHeader64, SHT_SYMTAB};
use object::read::elf::{FileHeader, Sym};
use toolbox::images::{self, Image, REALM_MONITOR, ROOT_MONITOR};
use toolbox::progress::Lines;
use toolbox::workspace::Workspace;
use toolbox::{Error, setup};

use super::Case;
use super::debugger::attend;

/// A boot takes a second or two; this is for a busy computer.
const LIMIT: Duration = Duration::from_secs(120);
const GUARD_BYTES: u64 = 4096;

/// A monitor with a stack.
struct Monitor {
    image: Image,
    /// Part of the name of a function that is called for an SMC.
    function: &'static str,
    /// Name of the memory that the stack of PE 0 is in, its guard page first.
    stacks: &'static str,
    /// How its report begins.
    report: &'static str,
}

const MONITORS: [Monitor; 2] = [
    Monitor {
        image: ROOT_MONITOR,
        function: "el3_lower_synchronous",
        stacks: "PE_MEMORY",
        report: "unexpected exception from its own code:",
    },
    Monitor {
        image: REALM_MONITOR,
        function: "cca_abi3rmi8dispatch",
        stacks: "rmm_stacks",
        report: "realm-monitor: bug on PE 0: synchronous exception",
    },
];

/// A case for each monitor, on machines that `machine` makes, with `payload` in the normal world.
pub(super) fn cases(workspace: &Workspace, machine: &dyn Fn() -> Command) -> Vec<Case> {
    let case = |monitor: &Monitor| {
        let name = format!("{} without stack", monitor.image.name);
        match overflow(workspace, monitor, machine()) {
            Ok(output) => Case::new(name, tell(monitor, &output)),
            Err(error) => Case::broken(name, &error),
        }
    };
    MONITORS.iter().map(case).collect()
}

/// What a machine says whose monitor has no stack left, and where the monitor's guard page is.
fn overflow(
    workspace: &Workspace,
    monitor: &Monitor,
    mut command: Command,
) -> Result<(String, Range<u64>), Error> {
    let toolchain = setup::toolchain(workspace, &Lines)?;
    let elf = images::elf_path(workspace, &toolchain, monitor.image);
    let (function, stacks) = places(&elf, monitor)?;
    let (reported, report) = mpsc::channel();
    let is_report = |line: &str| {
        if line.starts_with(monitor.report) {
            // Nobody listens if the debugger has failed, which is told.
            let _ = reported.send(());
        }
    };
    let (finished, ()) = attend(&mut command, LIMIT, is_report, move |debugger| {
        debugger.run_to(function)?;
        debugger.set_sp(stacks + GUARD_BYTES)?;
        debugger.run_until(|| {
            // Without a report the machine is ended by the time limit.
            let _ = report.recv_timeout(LIMIT);
        })?;
        debugger.end()
    })?;
    Ok((finished.all, stacks..stacks + GUARD_BYTES))
}

/// Addresses of the function and of the stacks.
fn places(elf: &Path, monitor: &Monitor) -> Result<(u64, u64), Error> {
    let elf = fs::read(elf).map_err(|error| Error::io("read", elf, &error))?;
    Ok((
        symbol(&elf, |name| name.contains(monitor.function))?,
        symbol(&elf, |name| name == monitor.stacks)?,
    ))
}

/// Address of the one symbol of `elf` whose name `is_it` accepts.
///
/// # Errors
///
/// When the file is not an ELF executable with symbols, or when no or several addresses have such a name.
pub(super) fn symbol(elf: &[u8], is_it: impl Fn(&str) -> bool) -> Result<u64, Error> {
    let bad = |error: object::Error| Error::new(format!("not an ELF executable: {error}"));
    let header = FileHeader64::<Endianness>::parse(elf).map_err(bad)?;
    let endian = header.endian().map_err(bad)?;
    let sections = header.sections(endian, elf).map_err(bad)?;
    let symbols = sections.symbols(endian, elf, SHT_SYMTAB).map_err(bad)?;
    let mut addresses: Vec<u64> = symbols
        .iter()
        .filter(|symbol| {
            let name = symbol.name(endian, symbols.strings());
            name.ok()
                .and_then(|name| std::str::from_utf8(name).ok())
                .is_some_and(&is_it)
        })
        .map(|symbol| symbol.st_value(endian))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    match addresses[..] {
        [address] => Ok(address),
        _ => Err(Error::new(format!(
            "{} symbols have the name that is looked for",
            addresses.len()
        ))),
    }
}

/// Whether a report is there, of an access to the guard page.
fn tell(monitor: &Monitor, (output, guard): &(String, Range<u64>)) -> Result<(), String> {
    let report = output.lines().find(|line| line.starts_with(monitor.report));
    let address = report.and_then(fault_address);
    match address {
        Some(address) if guard.contains(&address) => Ok(()),
        _ => Err(format!("no report of an access to {guard:#x?}:\n{output}")),
    }
}

/// FAR in a report.
fn fault_address(report: &str) -> Option<u64> {
    let after = report.split_once("FAR")?.1.split_once("0x")?.1;
    let digits = after.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_only_for_the_guard_page() {
        let monitor = &MONITORS[0];
        let report = "boot\nunexpected exception from its own code: ESR_EL3 0x96000046, FAR_EL3 0xe308ff0, SP_EL3 0x1\n";
        let told = |guard| tell(monitor, &(report.to_owned(), guard));
        assert_eq!(told(0xE30_8000..0xE30_9000), Ok(()));
        assert!(told(0xE30_9000..0xE30_A000).is_err());
        assert!(tell(monitor, &("boot\n".to_owned(), 0..u64::MAX)).is_err());
    }
}
