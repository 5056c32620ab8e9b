//! One mutation: build it, run its test and, if that passes, the other suites that could see it.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use toolbox::qemu::Qemu;
use toolbox::toolchain::Toolchain;
use toolbox::{Error, child};

use super::copy::Copy;
use super::inputs::Inputs;
use super::inventory::{Row, Test};
use super::sequence::{self, Sequence};
use super::state::Outcome;
use crate::verify::boots::Bench;

/// For a test of which nothing is known.
const FIRST_LIMIT: Duration = Duration::from_secs(300);
/// A mutation may hang: so many times what its test takes without it, and a little more, is long enough.
const PATIENCE: u32 = 5;
const AT_LEAST: Duration = Duration::from_secs(15);
/// For all scenarios together.
const SUITE_LIMIT: Duration = Duration::from_secs(600);
/// CPUs of the machine that a payload is booted on after its own test has passed.
const CPUS: u64 = 4;

/// Makes mutations and tries them.
pub(crate) struct Runner {
    copy: Copy,
    toolchain: Toolchain,
    qemu: Qemu,
    sequences: Vec<Sequence>,
    /// How long a test takes without a mutation.
    took: BTreeMap<Test, Duration>,
}

impl Runner {
    /// Builds everything without a mutation.
    ///
    /// # Errors
    ///
    /// When it does not compile.
    pub(crate) fn new(
        mut copy: Copy,
        toolchain: Toolchain,
        qemu: Qemu,
        sequences: Vec<Sequence>,
    ) -> Result<Self, Error> {
        copy.build_tests(&toolchain)?;
        copy.build_firmware(&toolchain)?;
        Ok(Self {
            copy,
            toolchain,
            qemu,
            sequences,
            took: BTreeMap::new(),
        })
    }

    /// What outcomes depend on. To be asked before the first mutation.
    ///
    /// # Errors
    ///
    /// As [`Inputs::read`].
    pub(crate) fn inputs(&self, rows: &[Row]) -> Result<Inputs, Error> {
        Inputs::read(
            &self.copy.workspace,
            &self.copy.sources,
            &self.sequences,
            rows,
        )
    }

    /// Notes how long a test takes without a mutation.
    pub(crate) fn knows(&mut self, test: &Test, took: Duration) {
        self.took.insert(test.clone(), took);
    }

    /// Runs a test without a mutation.
    ///
    /// # Errors
    ///
    /// What the test says.
    pub(crate) fn control(&mut self, test: &Test) -> Result<(), String> {
        self.copy.apply(None).map_err(|error| error.to_string())?;
        self.run(test)
    }

    /// Makes a mutation and looks who catches it: its own test, and unless `own`, others.
    ///
    /// # Errors
    ///
    /// When the mutation does not apply or does not compile: it shows nothing then.
    pub(crate) fn try_row(&mut self, row: &Row, own: bool) -> Result<Outcome, Error> {
        self.copy.apply(Some(row))?;
        if !matches!(row.test, Test::Cargo(..)) {
            self.copy.build_firmware(&self.toolchain).map_err(|error| {
                let details = error.details().unwrap_or_default().to_owned();
                Error::new(format!("{}: {error}", row.name)).with_details(details)
            })?;
        }
        if let Err(why) = self.run(&row.test) {
            if why.contains("could not compile") {
                return Err(Error::new(format!("{} does not compile", row.name)).with_details(why));
            }
            return Ok(Outcome::Caught);
        }
        if own {
            return Ok(Outcome::Missed);
        }
        for (name, result) in self.others(row) {
            if child::interrupted() {
                break;
            }
            if let Some(why) = result(self).err() {
                let first = why.lines().next().unwrap_or_default();
                return Ok(Outcome::CaughtBy(format!("{name} ({first})")));
            }
        }
        Ok(Outcome::Missed)
    }

    /// The suites that could see a mutation besides its own test.
    #[expect(clippy::type_complexity, reason = "a list of names with what to do")]
    fn others(&self, row: &Row) -> Vec<(&'static str, fn(&Self) -> Result<(), String>)> {
        match row.test {
            Test::Cargo(..) => Vec::new(),
            _ => vec![
                ("suite firmware", |runner| {
                    runner.bench()?.boot(CPUS, 1 << 30, FIRST_LIMIT)
                }),
                ("suite scenarios", |runner| {
                    runner.bench()?.scenario("", SUITE_LIMIT)
                }),
            ],
        }
    }

    fn bench(&self) -> Result<Bench, String> {
        Bench::new(self.qemu.clone(), &self.copy.workspace).map_err(|error| error.to_string())
    }

    fn run(&self, test: &Test) -> Result<(), String> {
        let limit = self
            .took
            .get(test)
            .map_or(FIRST_LIMIT, |&took| took * PATIENCE + AT_LEAST);
        match test {
            Test::Scenario(name) => self.bench()?.scenario(name, limit),
            Test::Firmware(cpus) => self.bench()?.boot(*cpus, 1 << 30, limit),
            Test::Registers => {
                let workspace = &self.copy.workspace;
                self.bench()?.registers(workspace, &self.toolchain, limit)
            }
            Test::Reset => self.bench()?.reset(),
            Test::Rest => self.bench()?.rest(),
            Test::Sequence(name) => {
                let workspace = &self.copy.workspace;
                sequence::check(workspace, &self.toolchain, &self.sequences, name)
            }
            Test::Cargo(package, name) => self.cargo_test(package, name, limit),
        }
    }

    fn cargo_test(&self, package: &str, name: &str, limit: Duration) -> Result<(), String> {
        let workspace = &self.copy.workspace;
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .current_dir(workspace.root())
            .args(["test", "--quiet", "--tests", "--package", package])
            .arg("--target-dir")
            .arg(workspace.target())
            .args(["--", name]);
        let finished = child::run(&mut command, Some(limit.max(FIRST_LIMIT)), |_| {});
        let finished = finished.map_err(|error| error.to_string())?;
        if !finished.status.success() {
            return Err(finished.all);
        }
        let ran = finished.stdout.lines().any(|line| {
            line.starts_with("test result: ok.") && !line.starts_with("test result: ok. 0 passed")
        });
        if ran {
            Ok(())
        } else {
            Err(format!("package {package} has no test {name}"))
        }
    }
}
