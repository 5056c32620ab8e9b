//! Payloads other than the hypervisor on the emulated machine.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cca_abi::firmware;
use toolbox::firmware::FLASH_SIZE;
use toolbox::images::FIRMWARE;
use toolbox::progress::Lines;
use toolbox::qemu::{self, Qemu};
use toolbox::toolchain::Toolchain;
use toolbox::workspace::Workspace;
use toolbox::{Error, child, setup};

use super::{Case, Depth, Verdict, registers, reset, rest, stacks};
use crate::bench;
use crate::images::{PAYLOAD, SCENARIO_RUNNER, STRICT_FIRMWARE};

/// A boot takes a second or two; this is for a busy computer.
const LIMIT: Duration = Duration::from_secs(120);
/// For all scenarios together, which take some seconds.
const SCENARIOS_LIMIT: Duration = Duration::from_secs(400);
/// Where the payload looks for the end of memory.
const MEMORY_END: u64 = 0x6300_0000;
/// Where the scenario runner looks what is special about the firmware and, from the second word on, for the name of the
/// only scenario to be run.
const SETTINGS: u64 = 0x5000_0000;
/// In the word there: it has no identity.
const NO_IDENTITY: u64 = 1 << 0;
/// In the word there: its RMM is another one.
const OTHER_MONITOR: u64 = 1 << 1;
/// In the word there: to look for bus masters, and do nothing else.
const MASTERS: u64 = 1 << 4;
/// Where memory starts.
const MEMORY_START: u64 = 0x4000_0000;

/// A raw payload above the firmware, in machines of many shapes.
pub(crate) fn firmware(workspace: &Workspace, depth: Depth) -> Vec<Case> {
    let bench = match Bench::set_up(workspace) {
        Ok(bench) => bench,
        Err(error) => return vec![Case::broken("prepare the machine", &error)],
    };
    let shapes = match depth {
        Depth::Change => [(1, 1), (5, 1)].as_slice(),
        Depth::All => &[(1, 1), (2, 2), (3, 3), (4, 4), (5, 1), (8, 8)],
    };
    let boot = |&(cpus, gigabytes): &(u64, u64)| {
        let result = bench.boot(cpus, gigabytes << 30, LIMIT);
        Case::new(
            format!("payload with {cpus} CPUs and {gigabytes} GiB"),
            result,
        )
    };
    let mut cases: Vec<_> = shapes.iter().map(boot).collect();
    cases.push(Case::new(
        "CPUs that are off, and those that wait, sleep",
        bench.rest(),
    ));
    let registers = setup::toolchain(workspace, &Lines)
        .map_err(|error| error.to_string())
        .and_then(|toolchain| bench.registers(workspace, &toolchain, LIMIT));
    cases.push(Case::new(
        "what EL3 and the RMM have in their registers",
        registers,
    ));
    cases.extend(bench.resets());
    cases.extend(bench.masters());
    cases.extend(stacks::cases(workspace, &|| {
        bench.payload(1, 1 << 30, None)
    }));
    cases
}

/// The scenarios on the emulated machine, as a payload in place of the hypervisor; then those that need firmware without
/// an identity, on such firmware; then once more above the strict monitor, which a change does without.
pub(crate) fn scenarios(workspace: &Workspace, depth: Depth) -> Vec<Case> {
    let bench = match Bench::set_up(workspace) {
        Ok(bench) => bench,
        Err(error) => return vec![Case::broken("prepare the machine", &error)],
    };
    let run = |settings: u64, prepare: &dyn Fn() -> Result<(), Error>| {
        let finished = prepare().and_then(|()| bench.run_scenarios(settings, "", SCENARIOS_LIMIT));
        match finished {
            Ok(output) => tell_scenarios(&output),
            Err(error) => vec![Case::broken("run the scenarios", &error)],
        }
    };
    let mut cases = run(0, &|| Ok(()));
    cases.extend(run(NO_IDENTITY, &|| bench.take_identity()));
    if depth == Depth::Change {
        return cases;
    }
    let strict = run(OTHER_MONITOR, &|| bench.install(STRICT_FIRMWARE));
    cases.extend(strict.into_iter().map(|case| Case {
        name: format!("{}, above the strict monitor", case.name),
        ..case
    }));
    cases
}

/// What each call costs, in instructions.
pub(crate) fn budgets(workspace: &Workspace, _depth: Depth) -> Vec<Case> {
    match bench::budgets_kept(workspace) {
        Ok(figures) => figures
            .into_iter()
            .map(|(name, result)| Case::new(name, result))
            .collect(),
        Err(error) => vec![Case::broken("run the benchmark", &error)],
    }
}

/// Adds the scenario runner with this word of settings.
fn load_runner(images: &Path, command: &mut Command, settings: u64) {
    let settings = format!("loader,addr={SETTINGS:#x},data={settings},data-len=8");
    command.args(["-device", &settings]);
    qemu::load(command, &images.join(SCENARIO_RUNNER.file), qemu::PAYLOAD);
}

/// The scenarios in the runner's output. Its own count at the end tells that none is missing.
fn tell_scenarios(output: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut count = None;
    for line in output.lines().map(str::trim_end) {
        if let Some(scenario) = line.strip_prefix("scenario ") {
            if let Some((name, why)) = scenario.split_once(": FAILED: ") {
                cases.push(Case::new(name, Err(why.to_owned())));
            } else if let Some(name) = scenario.strip_suffix(": ok") {
                cases.push(Case::new(name, Ok(())));
            }
        } else if let Some(sum) = line.strip_prefix("scenarios: ") {
            let numbers = sum
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|number| number.parse::<usize>().ok());
            count = Some(numbers.sum::<usize>());
        }
    }
    if cases.is_empty() || count != Some(cases.len()) {
        let told = cases.len();
        let tail: Vec<_> = output.lines().rev().take(10).collect();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        cases.push(Case::new(
            "all scenarios",
            Err(format!(
                "{told} of {count:?} are there; the end was:\n{tail}"
            )),
        ));
    }
    cases
}

/// A machine with the images of a workspace.
pub(crate) struct Bench {
    qemu: Qemu,
    folder: PathBuf,
    images: PathBuf,
}

impl Bench {
    fn set_up(workspace: &Workspace) -> Result<Self, Error> {
        Self::new(setup::qemu(workspace, &Lines)?, workspace)
    }

    /// With the firmware that is built now.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be copied.
    pub(crate) fn new(qemu: Qemu, workspace: &Workspace) -> Result<Self, Error> {
        let bench = Self {
            qemu,
            folder: workspace.target().join("boots"),
            images: workspace.images(),
        };
        bench.install(FIRMWARE)?;
        Ok(bench)
    }

    /// Puts firmware into the flash.
    fn install(&self, firmware: &str) -> Result<(), Error> {
        let flash = self.flash();
        let image = self.images.join(firmware);
        if !image.exists() {
            let advice = "build the images first: cargo xtask images";
            return Err(Error::new(format!("there is no {}", image.display())).advise(advice));
        }
        fs::create_dir_all(&self.folder)
            .and_then(|()| fs::copy(&image, &flash))
            .and_then(|_| {
                File::options()
                    .write(true)
                    .open(&flash)?
                    .set_len(FLASH_SIZE)
            })
            .map_err(|error| Error::io("write", &flash, &error))
    }

    /// Runs the scenario of this name, or all if it is empty: what the runner printed.
    fn run_scenarios(&self, settings: u64, name: &str, limit: Duration) -> Result<String, Error> {
        let mut command = self.scenario_machine(settings, name)?;
        Ok(child::run(&mut command, Some(limit), |_| {})?.all)
    }

    /// A machine that runs the scenario of this name, or all if it is empty.
    fn scenario_machine(&self, settings: u64, name: &str) -> Result<Command, Error> {
        let page = self.folder.join("settings");
        let mut content = settings.to_le_bytes().to_vec();
        content.extend_from_slice(name.as_bytes());
        content.resize(4096, 0);
        fs::write(&page, content).map_err(|error| Error::io("write", &page, &error))?;
        let mut command = self.machine(2, 1 << 30);
        qemu::load(&mut command, &page, SETTINGS);
        let runner = self.images.join(SCENARIO_RUNNER.file);
        qemu::load(&mut command, &runner, qemu::PAYLOAD);
        Ok(command)
    }

    /// What EL3 and the RMM of `workspace` have in their registers. What is wrong, a line each.
    pub(crate) fn registers(
        &self,
        workspace: &Workspace,
        toolchain: &Toolchain,
        limit: Duration,
    ) -> Result<(), String> {
        let machine = |name: &str| self.scenario_machine(0, name);
        registers::check(workspace, toolchain, &machine, limit)
    }

    /// A case for each way to a reset in the middle of a realm's life.
    fn resets(&self) -> Vec<Case> {
        reset::cases(&|settings| {
            let mut command = self.machine(2, 1 << 30);
            load_runner(&self.images, &mut command, settings);
            command
        })
    }

    /// Resets the machine in the middle of a realm's life. What went wrong, a line each.
    pub(crate) fn reset(&self) -> Result<(), String> {
        tell_wrong(self.resets())
    }

    /// Runs the scenario of this name, or all if it is empty. What went wrong, a line each.
    pub(crate) fn scenario(&self, name: &str, limit: Duration) -> Result<(), String> {
        let cases = match self.run_scenarios(0, name, limit) {
            Ok(output) => tell_scenarios(&output),
            Err(error) => vec![Case::broken("run", &error)],
        };
        tell_wrong(cases)
    }

    fn flash(&self) -> PathBuf {
        self.folder.join("flash")
    }

    /// Takes the identity out of the firmware in the flash.
    fn take_identity(&self) -> Result<(), Error> {
        let path = self.flash();
        let failed = |error: &io::Error| Error::io("change", &path, error);
        let mut flash = fs::read(&path).map_err(|error| failed(&error))?;
        without_identity(&mut flash);
        fs::write(&path, flash).map_err(|error| failed(&error))
    }

    /// A machine of this shape with the firmware in its flash.
    fn machine(&self, cpus: u64, memory: u64) -> Command {
        let mut command = qemu::machine(&self.qemu, cpus, memory);
        qemu::flash(&mut command, &self.flash());
        command
    }

    /// A machine of this shape with the payload, which turns on all other CPUs, or `some` and then stays.
    fn payload(&self, cpus: u64, memory: u64, some: Option<u64>) -> Command {
        let mut command = self.machine(cpus, memory);
        qemu::load(&mut command, &self.images.join(PAYLOAD.file), qemu::PAYLOAD);
        let words = [MEMORY_START + memory, some.unwrap_or(0)];
        for (address, word) in (MEMORY_END..).step_by(8).zip(words) {
            let word = format!("loader,addr={address:#x},data={word:#x},data-len=8");
            command.args(["-device", &word]);
        }
        command
    }

    /// In a machine of eight CPUs of which three were on, are off again and were disturbed, four have never been on, and one
    /// waits for an interrupt: what each thread of the emulator uses of a core.
    pub(crate) fn rest(&self) -> Result<(), String> {
        let command = self.payload(8, 1 << 30, Some(4));
        let uses = rest::measure(command, "payload: idle", LIMIT)?;
        let shown: Vec<_> = uses
            .iter()
            .map(|(thread, part)| format!("{thread} {:.2} %", 100.0 * part))
            .collect();
        let shown = shown.join(", ");
        println!("  of a core: {shown}");
        let cpus = uses.iter().filter(|(thread, _)| thread.starts_with("CPU "));
        if cpus.clone().count() == 8 && cpus.into_iter().all(|&(_, part)| part < 0.01) {
            Ok(())
        } else {
            Err(shown)
        }
    }

    /// The machine has no device that reads or writes memory by itself; each of those that it could have is found when it is there.
    fn masters(&self) -> Vec<Case> {
        let found = |options: &[&str]| {
            let mut command = self.machine(1, 1 << 30);
            load_runner(&self.images, &mut command, MASTERS);
            command.args(options);
            let finished = child::run(&mut command, Some(LIMIT), |_| {});
            finished.map_err(|error| error.to_string())
        };
        let none = ["false", "false", "false", "0", "0"];
        // A later option takes the place of an earlier one: a type of machine that has them.
        let cases = [
            ("there is no bus master", [].as_slice(), none),
            (
                "fw_cfg's DMA interface is found",
                &["-global", "fw_cfg.dma_enabled=on"],
                ["true", "false", "false", "0", "0"],
            ),
            (
                "LPIs are found",
                &["-machine", "virt"],
                ["false", "false", "true", "0", "0"],
            ),
            (
                "an ITS is found",
                &["-machine", "virt,its=on"],
                ["false", "true", "true", "0", "0"],
            ),
            (
                "a virtio device is found",
                &["-device", "virtio-rng-device"],
                ["false", "false", "false", "1", "0"],
            ),
            (
                "a PCI device is found",
                &["-device", "pci-testdev"],
                ["false", "false", "false", "0", "1"],
            ),
        ];
        let case = |(name, options, [dma, its, lpis, virtio, pci]): (&str, &[&str], [&str; 5])| {
            let line = format!(
                "bus masters: Some(Masters {{ firmware_configuration: {dma}, translation_service: {its}, lpis: {lpis}, virtio: {virtio}, pci: {pci} }})"
            );
            let result = found(options).and_then(|finished| {
                let good = finished.status.success() && finished.stdout.contains(&line);
                good.then_some(()).ok_or(finished.all)
            });
            Case::new(name, result)
        };
        cases.into_iter().map(case).collect()
    }

    /// Boots the payload in a machine of this shape and looks at what it says.
    pub(crate) fn boot(&self, cpus: u64, memory: u64, limit: Duration) -> Result<(), String> {
        let mut command = self.payload(cpus, memory, None);
        let finished = child::run(&mut command, Some(limit), |_| {});
        let finished = finished.map_err(|error| {
            format!("{error}: {}", error.details().unwrap_or("it said nothing"))
        })?;
        if finished.status.success() && finished.stdout.contains(&format!("payload: {cpus} CPUs\n"))
        {
            return Ok(());
        }
        Err(format!("{}: {}", finished.status, finished.all))
    }
}

/// What went wrong in `cases`, a line each.
fn tell_wrong(cases: Vec<Case>) -> Result<(), String> {
    let wrong = cases.into_iter().filter_map(|case| match case.verdict {
        Verdict::Failed(why) => Some(format!("{}: {why}", case.name)),
        Verdict::Passed | Verdict::Skipped(_) => None,
    });
    let wrong: Vec<_> = wrong.collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}

/// Makes the firmware table say that there is no identity.
fn without_identity(flash: &mut [u8]) {
    let place = firmware::TABLE_OFFSET as usize;
    let Some(table) = flash.get_mut(place..place + 8 * firmware::TABLE_WORDS) else {
        return;
    };
    let mut words = [0; firmware::TABLE_WORDS];
    for (word, bytes) in words.iter_mut().zip(table.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    if let Some(found) = firmware::Table::read(&words) {
        let bare = firmware::Table {
            identity: None,
            ..found
        };
        for (bytes, word) in table.chunks_exact_mut(8).zip(bare.words()) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_counted() {
        let good = "boot\nscenario A/b (c): ok\r\nscenario D: FAILED: x0 is 1: bad\nscenarios: 1 passed, 1 failed\n";
        let cases = tell_scenarios(good);
        assert_eq!(cases.len(), 2);
        assert_eq!(
            (cases[0].name.as_str(), &cases[0].verdict),
            ("A/b (c)", &Verdict::Passed)
        );
        assert_eq!(
            (cases[1].name.as_str(), &cases[1].verdict),
            ("D", &Verdict::Failed("x0 is 1: bad".to_owned()))
        );
        for bad in [
            "",
            "scenario A: ok\n",
            "scenario A: ok\nscenarios: 2 passed, 0 failed\n",
        ] {
            assert!(
                tell_scenarios(bad).iter().any(|case| !case.passed()),
                "{bad}"
            );
        }
    }
}
