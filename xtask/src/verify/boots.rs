//! Payloads other than the hypervisor on the emulated machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use xtask::firmware::FLASH_SIZE;
use xtask::images::{FIRMWARE, PAYLOAD};
use xtask::progress::Lines;
use xtask::qemu::{self, Qemu};
use xtask::workspace::Workspace;
use xtask::{Error, child, setup};

use super::Case;

/// A boot takes a second or two; this is for a busy computer.
const LIMIT: Duration = Duration::from_secs(120);
/// Where the payload looks for the end of memory.
const MEMORY_END: u64 = 0x6300_0000;
/// Where memory starts.
const MEMORY_START: u64 = 0x4000_0000;

/// A raw payload above the firmware, in machines of many shapes.
pub(crate) fn firmware(workspace: &Workspace) -> Vec<Case> {
    let bench = match Bench::new(workspace) {
        Ok(bench) => bench,
        Err(error) => return vec![Case::broken("prepare the machine", &error)],
    };
    let shapes = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 1), (8, 8)];
    let boot = |(cpus, gigabytes): (u64, u64)| {
        let result = bench.boot(cpus, gigabytes << 30);
        Case::new(
            format!("payload with {cpus} CPUs and {gigabytes} GiB"),
            result,
        )
    };
    shapes.into_iter().map(boot).collect()
}

/// The scenarios on the emulated machine.
pub(crate) fn scenarios(_workspace: &Workspace) -> Vec<Case> {
    Vec::new()
}

struct Bench {
    qemu: Qemu,
    folder: PathBuf,
    payload: PathBuf,
}

impl Bench {
    fn new(workspace: &Workspace) -> Result<Self, Error> {
        let folder = workspace.target().join("boots");
        let qemu = setup::qemu(workspace, &Lines)?;
        let bench = Self {
            qemu,
            payload: workspace.images().join(PAYLOAD.file),
            folder,
        };
        let flash = bench.flash();
        fs::create_dir_all(&bench.folder)
            .and_then(|()| fs::copy(workspace.images().join(FIRMWARE), &flash))
            .and_then(|_| {
                File::options()
                    .write(true)
                    .open(&flash)?
                    .set_len(FLASH_SIZE)
            })
            .map_err(|error| Error::io("write", &flash, &error))?;
        Ok(bench)
    }

    fn flash(&self) -> PathBuf {
        self.folder.join("flash")
    }

    /// Boots the payload in a machine of this shape and looks at what it says.
    fn boot(&self, cpus: u64, memory: u64) -> Result<(), String> {
        let mut command = qemu::machine(&self.qemu.path, cpus, memory);
        qemu::flash(&mut command, &self.flash());
        qemu::load(&mut command, Path::new(&self.payload), qemu::PAYLOAD);
        let end = MEMORY_START + memory;
        command.args([
            "-device",
            &format!("loader,addr={MEMORY_END:#x},data={end:#x},data-len=8"),
        ]);
        let finished = child::run(&mut command, Some(LIMIT), |_| {});
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
