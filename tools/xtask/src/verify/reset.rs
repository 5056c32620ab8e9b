//! A reset in the middle of a realm's life leaves nothing of the realm in memory.

use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use toolbox::{Error, child};

use super::Case;
use super::debugger::attend;

/// Two boots, two realms and a look at all memory take some seconds; this is for a busy computer.
const LIMIT: Duration = Duration::from_secs(200);

/// For the word of the scenario runner: the machine is reset.
const RESET: u64 = 1 << 2;
/// And the runner does it.
const BY_ITSELF: u64 = 1 << 3;

/// When the runner waits for a reset.
const READY: &str = "reset: waiting for it";
/// What a machine says before, whose runner does it.
const FIRST: &str = "reset: nothing is delegated";
/// What the machine says, in this order.
const EXPECTED: [&str; 5] = [
    "reset: 1 pages are found of 1",
    "reset: a realm runs in life 1",
    "root-monitor: wiped ",
    "reset: 0 pages of the realm are left",
    "reset: a realm runs in life 2",
];

/// A case for each way to a reset, on machines that `machine` makes with this word for the scenario runner.
pub(super) fn cases(machine: &dyn Fn(u64) -> Command) -> Vec<Case> {
    let mut by_host = machine(RESET | BY_ITSELF);
    let mut by_machine = machine(RESET);
    [
        ("PSCI", psci(&mut by_host), Some(FIRST)),
        ("the machine", button(&mut by_machine), None),
    ]
    .map(|(who, output, first)| {
        let name = format!("a realm's memory after a reset by {who}");
        match output {
            Ok(output) => Case::new(name, tell(&output, first)),
            Err(error) => Case::broken(name, &error),
        }
    })
    .into()
}

/// The machine goes on after a reset.
fn resettable(command: &mut Command) -> &mut Command {
    command.args(["-action", "reboot=reset"])
}

fn psci(command: &mut Command) -> Result<String, Error> {
    child::run(resettable(command), Some(LIMIT), |_| {}).map(|finished| finished.all)
}

/// As if somebody pushed the machine's button while a realm is there.
fn button(command: &mut Command) -> Result<String, Error> {
    let (ready, push) = mpsc::channel();
    let is_ready = move |line: &str| {
        if line.starts_with(READY) {
            // Nobody listens if the debugger has failed, which is told.
            let _ = ready.send(());
        }
    };
    let (finished, ()) = attend(resettable(command), LIMIT, is_ready, move |debugger| {
        debugger.run_until(|| {
            // If it never comes the machine is ended by the time limit.
            let _ = push.recv_timeout(LIMIT);
        })?;
        debugger.monitor("system_reset")?;
        debugger.leave()
    })?;
    Ok(finished.all)
}

/// Whether all lines are there in their order, `first` before the others.
fn tell(output: &str, first: Option<&str>) -> Result<(), String> {
    let mut lines = output.lines();
    for expected in first.into_iter().chain(EXPECTED) {
        if !lines.any(|line| line.starts_with(expected)) {
            return Err(format!("no {expected:?} in its place:\n{output}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_to_be_there_in_its_place() {
        let tell = |output: &str| tell(output, None);
        assert_eq!(tell(&EXPECTED.join("\n")), Ok(()));
        let mut swapped = EXPECTED;
        swapped.swap(2, 3);
        assert!(tell(&swapped.join("\n")).is_err());
        assert!(tell(&EXPECTED.join("\n").replace("0 pages", "3 pages")).is_err());
        let more = format!("{FIRST}\n{}", EXPECTED.join("\n"));
        assert_eq!(super::tell(&more, Some(FIRST)), Ok(()));
        assert!(super::tell(&EXPECTED.join("\n"), Some(FIRST)).is_err());
    }
}
