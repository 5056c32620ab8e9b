//! `suzerain host`: boots the user's own host on the project's firmware.

mod machine;
mod masters;
mod payload;
mod tree;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::conclude;
use crate::failure::{self, Failure};
use crate::foreign::json_or_error;
use crate::options::MAX_CPUS;
use crate::prepare::Install;
use crate::screen::Screen;
use crate::size;

use self::machine::Parts;
use self::payload::Payload;

/// The least and the most memory of the machine.
const MEMORY: std::ops::RangeInclusive<u64> = 1 << 30..=8 << 30;

#[derive(Args, Debug)]
#[command(after_help = failure::HELP)]
pub(crate) struct Host {
    /// The host's kernel: an arm64 Linux Image, a raw payload for EL2, or `debian` for Debian's kernel
    #[arg(long, value_name = "FILE|debian")]
    pub(crate) kernel: PathBuf,

    /// Linux's first file system [default with `debian`: a busybox]
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,

    /// Linux's command line [default: console=ttyAMA0]
    #[arg(long, value_name = "STR")]
    pub(crate) append: Option<String>,

    /// Another RMM's raw image instead of Suzerain's, below Suzerain's root monitor
    #[arg(long, value_name = "FILE")]
    pub(crate) rmm: Option<PathBuf>,

    /// How many processors the machine has (1 to 8)
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) cpus: u64,

    /// The machine's memory, 1G to 8G
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size::parse)]
    pub(crate) memory: u64,

    /// Ends a machine that runs longer than this [default: none]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,

    /// Prints one JSON object and nothing else on standard output; the console goes to standard error
    #[arg(long)]
    pub(crate) json: bool,

    /// Shows how the emulator is started, too
    #[arg(long, short)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) install: Install,

    /// Options for QEMU, after `--`: disks, networks, and whatever else the machine should have. There is a warning about devices
    /// that reach realms
    #[arg(last = true, value_name = "QEMU OPTIONS")]
    pub(crate) qemu: Vec<String>,
}

impl Host {
    /// Refuses what no machine can do, before anything is installed or built.
    fn check(&self) -> Result<(), Failure> {
        if !(1..=MAX_CPUS).contains(&self.cpus) {
            let message = format!("--cpus is {}; the machine has 1 to {MAX_CPUS}", self.cpus);
            return Err(Failure::input(message));
        }
        if !MEMORY.contains(&self.memory) || !self.memory.is_multiple_of(1 << 20) {
            let memory = size::show(self.memory);
            let message = format!("--memory is {memory}; it may be 1G to 8G, in steps of 1M");
            return Err(Failure::input(message));
        }
        if self.timeout == Some(0) {
            let message = "--timeout is 0; give the machine at least a second";
            return Err(Failure::input(message));
        }
        Ok(())
    }

    fn limit(&self) -> Option<Duration> {
        self.timeout.map(Duration::from_secs)
    }
}

/// The object that `--json` prints.
#[derive(Debug, Serialize)]
struct Summary {
    /// `ok`, `timeout`, `interrupted` or `error`.
    outcome: &'static str,
    /// Why, if the outcome is not `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What was booted, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    cpus: u64,
    /// Bytes of the machine.
    memory: u64,
    /// Linux's command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    append: Option<String>,
    seconds: Seconds,
}

/// How long each phase took, as far as it was reached.
#[derive(Debug, Default, Serialize)]
struct Seconds {
    /// Getting the kernel, finding tools, building images.
    #[serde(skip_serializing_if = "Option::is_none")]
    setup: Option<f64>,
    /// The life of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<f64>,
    total: f64,
}

/// Boots a host until it switches its machine off, and returns the exit code.
pub(crate) fn run(options: &Host) -> u8 {
    let started = Instant::now();
    let screen = Screen::new(options.json, options.verbose);
    options.install.choose();
    let mut summary = Summary {
        outcome: "ok",
        error: None,
        payload: None,
        cpus: options.cpus,
        memory: options.memory,
        append: None,
        seconds: Seconds::default(),
    };
    let result = boot(options, &mut summary, &screen);
    screen.clear();
    summary.seconds.total = started.elapsed().as_secs_f64();
    if let Err(failure) = &result {
        summary.outcome = failure.outcome();
        summary.error = Some(failure.to_string());
    }
    if options.json {
        screen.out(&json_or_error(&summary));
    }
    conclude(result, &screen)
}

fn boot(options: &Host, summary: &mut Summary, screen: &Screen) -> Result<(), Failure> {
    let started = Instant::now();
    options.check()?;
    if let Some(warning) = masters::warning(&options.qemu) {
        screen.err(&warning);
    }
    let payload = Payload::new(options, screen)?;
    summary.payload = Some(payload.what.clone());
    summary.append = payload.linux.as_ref().map(|linux| linux.append.clone());
    let parts = Parts::new(options, &payload, screen)?;
    summary.seconds.setup = Some(started.elapsed().as_secs_f64());
    let started = Instant::now();
    let result = machine::run(options, &payload, &parts, screen);
    summary.seconds.machine = Some(started.elapsed().as_secs_f64());
    result
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::commands::{Arguments, Command};

    pub(super) fn options(arguments: &[&str]) -> Host {
        let all = ["suzerain", "host"].iter().chain(arguments);
        match Arguments::parse_from(all).command {
            Command::Host(options) => options,
            _ => panic!("this is `host`"),
        }
    }

    #[test]
    fn bad_values_are_named() {
        options(&["--kernel", "x"]).check().unwrap();
        for (arguments, name) in [
            (["--cpus", "0"], "--cpus"),
            (["--cpus", "9"], "--cpus"),
            (["--memory", "512M"], "--memory"),
            (["--memory", "9G"], "--memory"),
            (["--memory", "1073741825"], "--memory"),
            (["--timeout", "0"], "--timeout"),
        ] {
            let all = ["--kernel", "x"].iter().chain(&arguments);
            let failure = options(&all.copied().collect::<Vec<_>>())
                .check()
                .unwrap_err();
            assert!(failure.to_string().starts_with(name), "{failure}");
            assert_eq!(failure.code(), failure::INPUT);
        }
    }

    #[test]
    fn the_emulators_options_are_kept_apart() {
        let options = options(&["--kernel", "x", "--", "-device", "virtio-rng-pci", "--cpus"]);
        assert_eq!(options.qemu, ["-device", "virtio-rng-pci", "--cpus"]);
        assert_eq!(options.cpus, 4);
    }
}
