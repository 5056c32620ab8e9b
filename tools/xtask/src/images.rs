//! Builds the bootable images and packs them.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child;
use crate::firmware;
use crate::raw;
use crate::toolchain::{TARGET, Toolchain};
use crate::workspace::Workspace;
use crate::{Error, Progress};

/// One bare-metal program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// The name that `cargo xtask images NAME` takes.
    pub name: &'static str,
    /// Its package.
    pub package: &'static str,
    /// Its program in that package.
    pub binary: &'static str,
    /// What it becomes in `target/images`.
    pub file: &'static str,
}

/// The realm that `suzerain run` shows.
pub const DEMO_GUEST: Image = Image {
    name: "demo-guest",
    package: "image-demo-guest",
    binary: "image-demo-guest",
    file: "demo-guest.bin",
};
/// The program at EL3.
pub const ROOT_MONITOR: Image = Image {
    name: "root-monitor",
    package: "image-root-monitor",
    binary: "image-root-monitor",
    file: "root-monitor.bin",
};
/// The Realm Management Monitor.
pub const REALM_MONITOR: Image = Image {
    name: "realm-monitor",
    package: "image-realm-monitor",
    binary: "image-realm-monitor",
    file: "realm-monitor.img",
};
/// The RMM as a strict one, for tests of hosts. Not part of a release.
pub const STRICT_MONITOR: Image = Image {
    name: "strict-monitor",
    package: REALM_MONITOR.package,
    binary: "image-strict-monitor",
    file: "strict-monitor.img",
};
/// The host of realms.
pub const HYPERVISOR: Image = Image {
    name: "hypervisor",
    package: "image-hypervisor",
    binary: "image-hypervisor",
    file: "hypervisor.bin",
};
/// The payload that runs the test scenarios in place of a hypervisor. Not part of a release.
pub const SCENARIO_RUNNER: Image = Image {
    name: "scenario-runner",
    package: "image-scenario-runner",
    binary: "image-scenario-runner",
    file: "scenario-runner.bin",
};

/// The realm of the test scenarios: it does what its host says. Not part of a release.
pub const PUPPET: Image = Image {
    name: "puppet",
    package: "image-puppet",
    binary: "image-puppet",
    file: "puppet.bin",
};

/// The realms of a siege: one that computes, and one that does its worst. Not part of a release.
pub const SIEGE_GUEST: Image = Image {
    name: "siege-guest",
    package: "image-siege-guest",
    binary: "image-siege-guest",
    file: "siege-guest.bin",
};

/// A payload that checks how the firmware enters it. Not part of a release.
pub const PAYLOAD: Image = Image {
    name: "payload",
    package: "image-payload",
    binary: "image-payload",
    file: "payload.bin",
};

/// The payload that counts what the firmware spends on each call. Not part of a release.
pub const BENCH: Image = Image {
    name: "bench",
    package: "image-bench",
    binary: "image-bench",
    file: "bench.bin",
};

/// What a release has, in an order in which each finds what it embeds.
pub const RELEASE: [Image; 4] = [DEMO_GUEST, ROOT_MONITOR, REALM_MONITOR, HYPERVISOR];
/// Everything that can be built.
pub const ALL: [Image; 10] = [
    BENCH,
    PAYLOAD,
    PUPPET,
    SIEGE_GUEST,
    DEMO_GUEST,
    ROOT_MONITOR,
    REALM_MONITOR,
    STRICT_MONITOR,
    HYPERVISOR,
    SCENARIO_RUNNER,
];
/// Root monitor and RMM, as flash 0 of the machine.
pub const FIRMWARE: &str = "firmware.bin";
/// The same with [`STRICT_MONITOR`] as the RMM.
pub const STRICT_FIRMWARE: &str = "strict-firmware.bin";
/// The flash's name where an image is asked for by name.
pub const FIRMWARE_NAME: &str = "firmware";

/// Flags for the code of every image. The accelerated hashes use registers that no image may touch.
const RUSTFLAGS: [&str; 2] = ["--cfg", "sha2_backend=\"soft\""];

/// Builds `images` and leaves them, and the firmware flash if both of its parts are among them, in `target/images`.
///
/// # Errors
///
/// When an image does not compile (the details hold the compiler's output), or cannot be what its place needs.
pub fn build(
    workspace: &Workspace,
    toolchain: &Toolchain,
    images: &[Image],
    progress: &dyn Progress,
) -> Result<(), Error> {
    let folder = workspace.images();
    fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, &error))?;
    for image in images {
        progress.step(&format!("building {}", image.name));
        compile(workspace, toolchain, *image, progress)?;
        let elf = elf_path(workspace, toolchain, *image);
        let elf = fs::read(&elf).map_err(|error| Error::io("read", &elf, &error))?;
        let raw =
            raw::from_elf(&elf).map_err(|error| Error::new(format!("{}: {error}", image.name)))?;
        if raw.entry != 0 {
            let message = format!(
                "{} has its entry point at offset {:#x}, must have it at 0",
                image.name, raw.entry
            );
            return Err(Error::new(message).advise("correct its linker script"));
        }
        write_if_changed(&folder.join(image.file), &raw.bytes)?;
    }
    for (monitor, flash) in [(REALM_MONITOR, FIRMWARE), (STRICT_MONITOR, STRICT_FIRMWARE)] {
        if images.contains(&ROOT_MONITOR) && images.contains(&monitor) {
            assemble(workspace, monitor, flash)?;
        }
    }
    Ok(())
}

/// Puts the root monitor and `monitor`, as they were built last, into the firmware `flash`.
///
/// # Errors
///
/// When one of them is not there, or they do not fit.
pub fn assemble(workspace: &Workspace, monitor: Image, flash: &str) -> Result<(), Error> {
    let folder = workspace.images();
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).map_err(|error| Error::io("read", &path, &error))
    };
    let content = firmware::assemble(
        &read(ROOT_MONITOR.file)?,
        &read(monitor.file)?,
        firmware::identity()?,
    )?;
    write_if_changed(&folder.join(flash), &content)
}

/// Where the ELF file of `image`, with its symbols, is after [`build`].
pub fn elf_path(workspace: &Workspace, toolchain: &Toolchain, image: Image) -> PathBuf {
    workspace
        .bare_metal()
        .join(toolchain.name())
        .join(TARGET)
        .join("image")
        .join(image.binary)
}

/// Checks the code of `image` and of `hardware` as this image takes it, as they are compiled for bare metal: with clippy, or
/// with Debian's compiler, whose clippy is of another version and cannot read what it compiles, with the compiler's own lints.
/// The images that it embeds must be there.
///
/// # Errors
///
/// When there is a warning (the details hold it), or this toolchain has no clippy.
pub fn lint(workspace: &Workspace, toolchain: &Toolchain, image: Image) -> Result<(), Error> {
    let subcommand = match toolchain {
        Toolchain::User => "clippy",
        Toolchain::Debian { .. } => "check",
    };
    let mut command = cargo(workspace, toolchain, subcommand, image);
    command.args(["--quiet", "--bin", image.binary]);
    match toolchain {
        Toolchain::User => command.args(["--", "-D", "warnings"]),
        Toolchain::Debian { .. } => {
            command.args(["-Zwarnings", "--config", "build.warnings=\"deny\""])
        }
    };
    child::output(&mut command).map(drop)
}

/// Builds the documentation of the package of `image` and of `hardware` as this image takes it, for bare metal.
///
/// # Errors
///
/// When there is a warning; the details hold it.
pub fn document(workspace: &Workspace, toolchain: &Toolchain, image: Image) -> Result<(), Error> {
    let mut command = cargo(workspace, toolchain, "doc", image);
    command.args(["--quiet", "--no-deps", "--package", "hardware"]);
    let flags = [RUSTFLAGS.as_slice(), &["-D", "warnings"]].concat();
    command.env("CARGO_ENCODED_RUSTDOCFLAGS", flags.join("\x1f"));
    child::output(&mut command).map(drop)
}

/// Compiles `image`, without putting it into its place.
///
/// # Errors
///
/// When it does not compile; the details hold the compiler's output.
pub fn compile(
    workspace: &Workspace,
    toolchain: &Toolchain,
    image: Image,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let mut command = cargo(workspace, toolchain, "build", image);
    command.args(["--bin", image.binary]);
    let finished = child::run(&mut command, None, |line| progress.detail(line))?;
    if finished.status.success() {
        return Ok(());
    }
    Err(Error::new(format!("{} does not compile", image.name)).with_details(finished.all))
}

/// Each image is a cargo call of its own: cargo would unify the features of what they share.
fn cargo(workspace: &Workspace, toolchain: &Toolchain, subcommand: &str, image: Image) -> Command {
    let mut command = toolchain.cargo(subcommand, &RUSTFLAGS);
    command.current_dir(workspace.root());
    command.args(["--profile", "image", "--package", image.package]);
    command
        .arg("--target-dir")
        .arg(workspace.bare_metal().join(toolchain.name()));
    let color = std::io::stderr().is_terminal();
    command.args(["--color", if color { "always" } else { "never" }]);
    // Cargo's warning about the sources of `core` tells nobody here anything.
    command.env("CARGO_FUTURE_INCOMPAT_REPORT_FREQUENCY", "never");
    // What the hosts embed. The compiler notes the names and the files, and builds again when either changes.
    for (name, guest) in [
        ("SUZERAIN_DEMO_GUEST", DEMO_GUEST),
        ("SUZERAIN_PUPPET", PUPPET),
    ] {
        command.env(name, workspace.images().join(guest.file));
    }
    command
}

/// Leaves a file with the right content alone, so that what is made from it is not made again.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    // Written beside its place and moved there: nobody sees half a file.
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    fs::write(&partial, bytes).map_err(|error| Error::io("write", &partial, &error))?;
    fs::rename(&partial, path).map_err(|error| Error::io("write", path, &error))
}
