//! The images that only checks have, and what is looked at in all of them.

use toolbox::images::{
    self, DEMO_GUEST, HYPERVISOR, Image, REALM_MONITOR, ROOT_MONITOR, RUSTFLAGS,
};
use toolbox::toolchain::Toolchain;
use toolbox::workspace::Workspace;
use toolbox::{Error, Progress, child};

/// The RMM as a strict one, for tests of hosts.
pub(crate) const STRICT_MONITOR: Image = Image {
    name: "strict-monitor",
    package: REALM_MONITOR.package,
    binary: "image-strict-monitor",
    file: "strict-monitor.img",
    embeds: &[],
};
/// The payload that runs the test scenarios in place of a hypervisor.
pub(crate) const SCENARIO_RUNNER: Image = Image {
    name: "scenario-runner",
    package: "image-scenario-runner",
    binary: "image-scenario-runner",
    file: "scenario-runner.bin",
    embeds: &[("SUZERAIN_PUPPET", PUPPET.file)],
};
/// The realm of the test scenarios: it does what its host says.
pub(crate) const PUPPET: Image = Image {
    name: "puppet",
    package: "image-puppet",
    binary: "image-puppet",
    file: "puppet.bin",
    embeds: &[],
};
/// The realms of a siege: one that computes, and one that does its worst.
pub(crate) const SIEGE_GUEST: Image = Image {
    name: "siege-guest",
    package: "image-siege-guest",
    binary: "image-siege-guest",
    file: "siege-guest.bin",
    embeds: &[],
};
/// A payload that checks how the firmware enters it.
pub(crate) const PAYLOAD: Image = Image {
    name: "payload",
    package: "image-payload",
    binary: "image-payload",
    file: "payload.bin",
    embeds: &[],
};
/// The payload that counts what the firmware spends on each call.
pub(crate) const BENCH: Image = Image {
    name: "bench",
    package: "image-bench",
    binary: "image-bench",
    file: "bench.bin",
    embeds: &[],
};

/// Everything that can be built, in an order in which each finds what it embeds.
pub(crate) const ALL: [Image; 10] = [
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
/// The firmware's flash with [`STRICT_MONITOR`] as the RMM.
pub(crate) const STRICT_FIRMWARE: &str = "strict-firmware.bin";
/// The flash's name where an image is asked for by name.
pub(crate) const FIRMWARE_NAME: &str = "firmware";

/// Builds `images` as [`images::build`] does, and the flash with the strict monitor, if both of its parts are among them.
///
/// # Errors
///
/// As [`images::build`].
pub(crate) fn build(
    workspace: &Workspace,
    toolchain: &Toolchain,
    images: &[Image],
    progress: &dyn Progress,
) -> Result<(), Error> {
    images::build(workspace, toolchain, images, progress)?;
    if images.contains(&ROOT_MONITOR) && images.contains(&STRICT_MONITOR) {
        images::assemble(workspace, STRICT_MONITOR, STRICT_FIRMWARE)?;
    }
    Ok(())
}

/// Checks the code of `image` and of `hardware` as this image takes it, as they are compiled for bare metal: with clippy, or
/// with Debian's compiler, whose clippy is of another version and cannot read what it compiles, with the compiler's own lints.
/// The images that it embeds must be there.
///
/// # Errors
///
/// When there is a warning (the details hold it), or this toolchain has no clippy.
pub(crate) fn lint(
    workspace: &Workspace,
    toolchain: &Toolchain,
    image: Image,
) -> Result<(), Error> {
    let subcommand = match toolchain {
        Toolchain::User => "clippy",
        Toolchain::Debian { .. } => "check",
    };
    let mut command = images::cargo(workspace, toolchain, subcommand, image);
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
pub(crate) fn document(
    workspace: &Workspace,
    toolchain: &Toolchain,
    image: Image,
) -> Result<(), Error> {
    let mut command = images::cargo(workspace, toolchain, "doc", image);
    command.args(["--quiet", "--no-deps", "--package", "hardware"]);
    let flags = [RUSTFLAGS.as_slice(), &["-D", "warnings"]].concat();
    command.env("CARGO_ENCODED_RUSTDOCFLAGS", flags.join("\x1f"));
    child::output(&mut command).map(drop)
}
