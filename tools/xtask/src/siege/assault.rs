//! One way: the two realms beside each other, and what is looked at meanwhile.

use std::fs::File;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use realm_guest::siege::{Order, Way as Number};
use serde::{Deserialize, Serialize};
use toolbox::{Error, child};

use super::machine::{Look, Machine};
use super::parts::Parts;
use super::rounds::{Results, Rounds};
use super::ways::Way;

/// The machine's memory, and the hostile realm's: an eighth of that.
const MACHINE: &str = "1G";
const WORST: &str = "128M";
/// Bytes of the disk.
const DISK: u64 = 8 << 20;
/// The most that the tool's process may ever have.
pub(super) const TOOL_BOUND: u64 = 64 << 20;
/// The most of its heap that the hypervisor may ever use: what the two realms are promised for their devices, vCPUs and books (128 bytes for
/// each page) is less than 9 MiB together; what waits for the tool, with the channel's own, less than 23 MiB.
pub(super) const HEAP_BOUND: u64 = 32 << 20;
/// How often everything is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// In so much time of its own, the realm that computes finishes a round at least. One takes a hundredth of that.
const PATIENCE_US: u64 = 30_000_000;
/// The realm that computes has this much of its share of time at least; on a busy computer the PEs themselves are kept waiting.
const SHARE: f64 = 0.75;
/// A hostile realm that does its worst leaves its PE so often at least.
const ENOUGH: u64 = 100;
/// What may go on after the end, on a busy computer.
const GRACE: Duration = Duration::from_secs(120);

/// The realms' names.
const COMPUTES: &str = "computes";
const HOSTILE: &str = "hostile";

/// What came of a way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Its name.
    pub(crate) way: String,
    /// What it is.
    pub(crate) what: String,
    /// How long, in seconds.
    pub(crate) seconds: u64,
    /// Rounds of the realm that computes, all right.
    pub(crate) rounds: u64,
    /// Microseconds that it ran.
    pub(crate) run_us: u64,
    /// Microseconds that the hostile realm's vCPUs ran, in all.
    pub(crate) hostile_us: u64,
    /// Exits of the hostile realm.
    pub(crate) exits: u64,
    /// How often the hostile realm was started.
    pub(crate) lives: u64,
    /// The most that the tool's process had, in bytes.
    pub(crate) tool_peak: u64,
    /// The most that the hypervisor's heap had in use, and its size, in bytes.
    pub(crate) heap_peak: u64,
    /// See [`heap_peak`](Self::heap_peak).
    pub(crate) heap_size: u64,
    /// What is wrong; nothing if the realm that computes lost nothing but its share of time.
    pub(crate) faults: Vec<String>,
}

/// A way that goes on.
struct Assault<'a> {
    way: &'a Way,
    hostile: PathBuf,
    options: Vec<String>,
    outcome: Outcome,
    results: Results,
    rounds: Rounds,
    /// The round that was the last one, and the run time when it was new.
    last: (u64, u64),
    /// Of the lives of the hostile realm that are over.
    past: (u64, u64),
}

/// Runs a way.
///
/// # Errors
///
/// When the machine or the tool fails; what the realms suffer is in the outcome.
pub(super) fn run(
    parts: &Parts,
    way: &Way,
    time: Duration,
    note: &mut dyn FnMut(&str),
) -> Result<Outcome, Error> {
    let seconds = time.as_secs();
    let order = |way, seconds| Order {
        way,
        seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
    };
    let computes = parts.realm("computes.bin", order(Number::Compute, seconds))?;
    let mut assault = Assault {
        way,
        hostile: parts.realm("hostile.bin", order(way.number, 0))?,
        options: options(parts, way)?,
        outcome: Outcome {
            way: way.name.to_owned(),
            what: way.what.to_owned(),
            seconds,
            rounds: 0,
            run_us: 0,
            hostile_us: 0,
            exits: 0,
            lives: 0,
            tool_peak: 0,
            heap_peak: 0,
            heap_size: 0,
            faults: Vec::new(),
        },
        results: Results::default(),
        rounds: Rounds::default(),
        last: (0, 0),
        past: (0, 0),
    };
    let mut machine = Machine::boot(parts, MACHINE)?;
    machine.create(COMPUTES, &computes, &["--vcpus", "1", "--memory", "16M"])?;
    assault.begin_a_life(&machine)?;
    machine.good(&["start", COMPUTES])?;
    let end = Instant::now() + time + GRACE;
    loop {
        pause(if way.number == Number::Reset {
            LOOK / 5
        } else {
            LOOK
        });
        if child::interrupted() {
            return Err(Error::new(
                "interrupted; the same command goes on from here",
            ));
        }
        let look = machine.look()?;
        let is_over = assault.see(&machine, &look)?;
        let Outcome { rounds, exits, .. } = assault.outcome;
        note(&format!(
            "{}: {rounds} rounds in {} s of its own, {exits} hostile exits, heap {} KiB, tool {} KiB",
            way.name,
            assault.outcome.run_us / 1_000_000,
            assault.outcome.heap_peak >> 10,
            assault.outcome.tool_peak >> 10
        ));
        if is_over {
            break;
        }
        if Instant::now() > end {
            assault.fault("the realm that computes does not come to its end");
            break;
        }
        if !assault.outcome.faults.is_empty() {
            break;
        }
    }
    assault.end(&mut machine)?;
    for fault in &assault.outcome.faults {
        note(&format!("{}: FAULT {fault}", way.name));
    }
    Ok(assault.outcome)
}

/// Options of `create` for the hostile realm.
fn options(parts: &Parts, way: &Way) -> Result<Vec<String>, Error> {
    let mut options: Vec<String> = ["--vcpus", "4", "--memory", WORST]
        .map(str::to_owned)
        .into();
    options.extend(way.options.iter().map(|&option| option.to_owned()));
    if way.disk {
        let path = parts.folder.join("disk");
        let file = File::create(&path).and_then(|file| file.set_len(DISK));
        file.map_err(|error| Error::io("write", &path, &error))?;
        options.extend(["--disk".to_owned(), path.to_string_lossy().into_owned()]);
    }
    Ok(options)
}

fn pause(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end && !child::interrupted() {
        thread::sleep(Duration::from_millis(100));
    }
}

impl Assault<'_> {
    fn fault(&mut self, fault: impl Into<String>) {
        self.outcome.faults.push(fault.into());
    }

    /// Makes and starts the hostile realm.
    fn begin_a_life(&mut self, machine: &Machine) -> Result<(), Error> {
        let options: Vec<_> = self.options.iter().map(String::as_str).collect();
        machine.create(HOSTILE, &self.hostile, &options)?;
        machine.good(&["start", HOSTILE])?;
        self.outcome.lives += 1;
        Ok(())
    }

    /// Looks at everything. Whether the realm that computes has stopped.
    fn see(&mut self, machine: &Machine, look: &Look) -> Result<bool, Error> {
        self.outcome.run_us = look.run_us(COMPUTES);
        self.outcome.hostile_us = self.past.0 + look.run_us(HOSTILE);
        self.outcome.exits = self.past.1 + look.exits(HOSTILE);
        self.weigh(machine, look);
        let said = machine.good(&["logs", COMPUTES])?;
        self.rounds.read(&said, &mut self.results);
        let Rounds { count, done, .. } = self.rounds;
        self.outcome.rounds = count;
        self.outcome.faults.append(&mut self.rounds.wrong);
        let (last, since) = self.last;
        if count > last {
            self.last = (count, self.outcome.run_us);
        } else if self.outcome.run_us > since + PATIENCE_US && !done {
            self.fault(format!(
                "no round in {} s of its own",
                PATIENCE_US / 1_000_000
            ));
        }
        if look.state(COMPUTES) == Some("stopped") {
            let realm = look.realm(COMPUTES);
            if !done || realm.is_none_or(|realm| realm["outcome"] != "ok") {
                self.fault(format!("the realm that computes ended badly: {realm:?}"));
            }
            return Ok(true);
        }
        if look.state(HOSTILE) == Some("stopped") {
            self.past = (self.outcome.hostile_us, self.outcome.exits);
            if self.way.number == Number::Reset {
                machine.good(&["rm", HOSTILE])?;
                self.begin_a_life(machine)?;
            } else {
                let said = machine.good(&["logs", HOSTILE])?;
                let last = said.lines().last().unwrap_or_default().to_owned();
                let realm = look.realm(HOSTILE);
                self.fault(format!(
                    "the hostile realm ended by itself: {realm:?} {last}"
                ));
            }
        }
        Ok(false)
    }

    /// How much memory the tool and the hypervisor have had.
    fn weigh(&mut self, machine: &Machine, look: &Look) {
        let Some((peak, size)) = look.heap() else {
            return self.fault("the hypervisor does not tell of its heap");
        };
        let Some(tool) = machine.tool_peak() else {
            return self.fault("the tool's process is gone");
        };
        (self.outcome.heap_peak, self.outcome.heap_size) = (peak, size);
        self.outcome.tool_peak = tool;
        if peak > HEAP_BOUND {
            self.fault(format!("the hypervisor used {peak} bytes of its heap"));
        }
        if tool > TOOL_BOUND {
            self.fault(format!("the tool's process had {tool} bytes"));
        }
    }

    /// Takes everything apart, and looks what is left.
    fn end(&mut self, machine: &mut Machine) -> Result<(), Error> {
        if self.outcome.exits < ENOUGH {
            self.fault("the hostile realm did next to nothing");
        }
        // There are two PEs and two realms: half of what both ran is the share of each.
        let share = (self.outcome.run_us + self.outcome.hostile_us) as f64 / 2.0;
        if (self.outcome.run_us as f64) < SHARE * share {
            self.fault("the realm that computes got less than its share of time");
        }
        machine.good(&["rm", "--force", HOSTILE, COMPUTES])?;
        let look = machine.look()?;
        self.weigh(machine, &look);
        match look.granules() {
            Some((delegated, returned, 0)) if delegated == returned => {}
            left => self.fault(format!("granules are missing: {left:?}")),
        }
        machine.down()
    }
}
