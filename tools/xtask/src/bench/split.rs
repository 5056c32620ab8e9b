//! Which world the instructions of a call belong to, from a trace of every instruction.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;

use toolbox::{Error, child};

/// Where EL3 executes: the secure RAM that the root monitor copies itself to.
const ROOT_MONITOR: std::ops::Range<u64> = 0x0E00_0000..0x0F00_0000;
/// Where the payload executes.
const PAYLOAD: std::ops::Range<u64> = 0x6000_0000..0x6010_0000;

/// Counts the instructions at EL3 of each SMC of the payload, in order.
#[derive(Default)]
struct Counter {
    /// Whether the payload runs.
    started: bool,
    current: u64,
    calls: Vec<u64>,
}

impl Counter {
    /// An instruction was executed at `pc`.
    fn take(&mut self, pc: u64) {
        if ROOT_MONITOR.contains(&pc) {
            self.current += 1;
        } else if PAYLOAD.contains(&pc) {
            // What EL3 did before the payload's first instruction was booting.
            if self.started && self.current != 0 {
                self.calls.push(self.current);
            }
            self.started = true;
            self.current = 0;
        }
    }
}

/// The address in a line of `-d exec`: `Trace 0: 0x7f… [cs_base/address/flags/cflags] `.
fn address(line: &[u8]) -> Option<u64> {
    let at = line.iter().position(|byte| *byte == b'/')?;
    let digits = line
        .strip_prefix(b"Trace ")
        .and(line.get(at + 1..at + 17))?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Runs the machine with a trace: what it printed, and for each SMC of the payload the instructions at EL3.
///
/// # Errors
///
/// When the emulator cannot be started, or when the work was interrupted.
pub(super) fn run(command: &mut Command) -> Result<(String, Vec<u64>), Error> {
    let filter = format!(
        "{:#x}..{:#x},{:#x}..{:#x}",
        ROOT_MONITOR.start, ROOT_MONITOR.end, PAYLOAD.start, PAYLOAD.end
    );
    command.args(["-accel", "tcg,one-insn-per-tb=on", "-d", "exec,nochain"]);
    command.args(["-dfilter", &filter]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut emulator = command
        .spawn()
        .map_err(|error| Error::new(format!("cannot start the emulator: {error}")))?;
    let (Some(mut stdout), Some(stderr)) = (emulator.stdout.take(), emulator.stderr.take()) else {
        return Err(Error::new("the emulator has no output"));
    };
    let printed = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let mut counter = Counter::default();
    let (mut trace, mut line) = (BufReader::with_capacity(1 << 20, stderr), Vec::new());
    while trace
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        if let Some(pc) = address(&line) {
            counter.take(pc);
        }
        line.clear();
        if child::interrupted() {
            // It may have ended by itself.
            let _ = emulator.kill();
        }
    }
    let status = emulator
        .wait()
        .map_err(|error| Error::new(format!("cannot wait for the emulator: {error}")))?;
    let printed = printed.join().ok().and_then(Result::ok);
    let printed = printed.filter(|_| status.success() && !child::interrupted());
    let printed = printed.ok_or_else(|| Error::new("the traced run did not come to its end"))?;
    Ok((printed, counter.calls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_el3_does_between_two_instructions_of_the_payload_is_one_call() {
        let mut counter = Counter::default();
        let trace = [
            0xE00_0000,
            0xE00_0004,
            0x6000_0000,
            0x6000_0004,
            0xE00_1400,
            0x4010_0000,
            0xE00_1C00,
            0xE00_1C04,
            0x6000_0008,
        ];
        trace.into_iter().for_each(|pc| counter.take(pc));
        assert_eq!(counter.calls, [3]);
    }

    #[test]
    fn addresses_are_read_from_lines_of_the_trace() {
        let line = b"Trace 0: 0x7fffa0000100 [00000000/000000000e001400/0000d105/ff200201] el3_vectors_normal\n";
        assert_eq!(address(line), Some(0x0E00_1400));
        assert_eq!(
            address(b"Stopped execution of TB chain before 0x7f / x\n"),
            None
        );
    }
}
