//! A machine that stays up, driven through the tool as a user would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use toolbox::Error;
use toolbox::child::{self, Finished};

use super::parts::Parts;

/// No single command takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// A machine. One that is dropped is taken down.
pub(super) struct Machine {
    program: PathBuf,
    name: String,
    /// The process that keeps it.
    keeper: u32,
    is_up: bool,
}

impl Machine {
    /// Boots one with two processors, with the parts that were copied.
    pub(super) fn boot(parts: &Parts, memory: &str) -> Result<Self, Error> {
        let mut machine = Self {
            program: parts.program(),
            name: format!("siege-{}", std::process::id()),
            keeper: 0,
            is_up: false,
        };
        let file = |name: &str| parts.folder.join(name).to_string_lossy().into_owned();
        machine.good(&[
            "up",
            "--cpus",
            "2",
            "--memory",
            memory,
            "--firmware",
            &file("firmware.bin"),
            "--hypervisor",
            &file("hypervisor.bin"),
        ])?;
        machine.is_up = true;
        machine.keeper = keeper(&machine.name)
            .ok_or_else(|| Error::new("the process that keeps the machine is not to be found"))?;
        Ok(machine)
    }

    /// Runs a command of the tool to its end.
    fn run(&self, arguments: &[&str]) -> Result<Finished, Error> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("SUZERAIN_MACHINE", &self.name);
        child::run(&mut command, Some(LIMIT), |_| {})
    }

    /// Runs a command that has to succeed, and returns what it printed.
    pub(super) fn good(&self, arguments: &[&str]) -> Result<String, Error> {
        let finished = self.run(arguments)?;
        if finished.status.success() {
            return Ok(finished.stdout);
        }
        let message = format!("`suzerain {}` failed", arguments.join(" "));
        Err(Error::new(message).with_details(finished.all))
    }

    /// Makes a realm of a raw guest.
    pub(super) fn create(&self, name: &str, image: &Path, options: &[&str]) -> Result<(), Error> {
        let image = image.to_string_lossy();
        self.good(&[&["create", "--name", name, "--raw", &image], options].concat())?;
        Ok(())
    }

    /// What the machine says of itself and of all realms.
    pub(super) fn look(&self) -> Result<Look, Error> {
        let json = self.good(&["ps", "--json"])?;
        let listing = serde_json::from_str(&json)
            .map_err(|error| Error::new(format!("`ps --json` prints no JSON: {error}")))?;
        Ok(Look(listing))
    }

    /// The most memory that the tool's process ever had, in bytes (`VmHWM`).
    pub(super) fn tool_peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.keeper)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib << 10)
    }

    /// Ends it.
    pub(super) fn down(&mut self) -> Result<(), Error> {
        self.is_up = false;
        self.good(&["down"]).map(drop)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.is_up {
            let mut command = Command::new(&self.program);
            command.arg("down").env("SUZERAIN_MACHINE", &self.name);
            // Also when everything is being ended, which `child::run` would not wait for.
            let _ = command.output();
        }
    }
}

/// The process that keeps the machine of that name.
fn keeper(name: &str) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?;
    processes.filter_map(Result::ok).find_map(|process| {
        let number = process.file_name().to_str()?.parse().ok()?;
        let line = fs::read(process.path().join("cmdline")).ok()?;
        let words: Vec<_> = line.split(|&byte| byte == 0).collect();
        let keeps = words.get(1) == Some(&b"keep".as_slice());
        let named = words
            .windows(2)
            .any(|two| two == [b"--on".as_slice(), name.as_bytes()]);
        (keeps && named).then_some(number)
    })
}

/// What `ps --json` says.
#[derive(Debug)]
pub(super) struct Look(Value);

impl Look {
    /// A realm.
    pub(super) fn realm(&self, name: &str) -> Option<&Value> {
        let realms = self.0["realms"].as_array()?;
        realms.iter().find(|realm| realm["name"] == name)
    }

    /// What a realm is doing.
    pub(super) fn state(&self, name: &str) -> Option<&str> {
        self.realm(name)?["state"].as_str()
    }

    /// Microseconds that a realm's vCPUs have run.
    pub(super) fn run_us(&self, name: &str) -> u64 {
        let realm = self.realm(name);
        realm.map_or(0, |realm| realm["run_us"].as_u64().unwrap_or(0))
    }

    /// Exits of a realm.
    pub(super) fn exits(&self, name: &str) -> u64 {
        let exits = self
            .realm(name)
            .and_then(|realm| realm["exits"].as_object());
        exits.map_or(0, |exits| exits.values().filter_map(Value::as_u64).sum())
    }

    /// The hypervisor's heap: the most that was in use, and all of it.
    pub(super) fn heap(&self) -> Option<(u64, u64)> {
        let heap = &self.0["heap"];
        Some((heap["peak"].as_u64()?, heap["size"].as_u64()?))
    }

    /// Granules that the monitor took, gave back, and did not give back.
    pub(super) fn granules(&self) -> Option<(u64, u64, u64)> {
        let granules = &self.0["granules"];
        let count = |name: &str| granules[name].as_u64();
        Some((
            count("delegated")?,
            count("returned")?,
            count("quarantined")?,
        ))
    }
}
