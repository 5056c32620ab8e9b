//! Builds the bootable images and packs them.

use std::collections::BTreeMap;
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
    /// Files of `target/images` that it has in it, each after the environment variable by which its build finds it.
    pub embeds: &'static [(&'static str, &'static str)],
}

/// The realm that `suzerain run` shows.
pub const DEMO_GUEST: Image = Image {
    name: "demo-guest",
    package: "image-demo-guest",
    binary: "image-demo-guest",
    file: "demo-guest.bin",
    embeds: &[],
};
/// The program at EL3.
pub const ROOT_MONITOR: Image = Image {
    name: "root-monitor",
    package: "image-root-monitor",
    binary: "image-root-monitor",
    file: "root-monitor.bin",
    embeds: &[],
};
/// The Realm Management Monitor.
pub const REALM_MONITOR: Image = Image {
    name: "realm-monitor",
    package: "image-realm-monitor",
    binary: "image-realm-monitor",
    file: "realm-monitor.img",
    embeds: &[],
};
/// The host of realms.
pub const HYPERVISOR: Image = Image {
    name: "hypervisor",
    package: "image-hypervisor",
    binary: "image-hypervisor",
    file: "hypervisor.bin",
    embeds: &[("SUZERAIN_DEMO_GUEST", DEMO_GUEST.file)],
};

/// What a release has, in an order in which each finds what it embeds.
pub const RELEASE: [Image; 4] = [DEMO_GUEST, ROOT_MONITOR, REALM_MONITOR, HYPERVISOR];
/// The file of `target/images` that says whose compiler built what is there: a line each, image and toolchain.
const BUILT_BY: &str = "built-by";
/// Root monitor and RMM, as flash 0 of the machine.
pub const FIRMWARE: &str = "firmware.bin";

/// Flags for the code of every image. The accelerated hashes use registers that no image may touch.
pub const RUSTFLAGS: [&str; 2] = ["--cfg", "sha2_backend=\"soft\""];

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
    note_builder(&folder, toolchain.name(), images)?;
    pack(workspace, images)
}

/// Whose compiler built what is in `folder`, by the image's name.
fn builders(folder: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(folder.join(BUILT_BY)).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(image, toolchain)| (image.to_owned(), toolchain.to_owned()))
        .collect()
}

fn note_builder(folder: &Path, toolchain: &str, images: &[Image]) -> Result<(), Error> {
    let mut builders = builders(folder);
    builders.extend(
        images
            .iter()
            .map(|image| (image.name.to_owned(), toolchain.to_owned())),
    );
    let lines: String = builders
        .iter()
        .map(|(image, toolchain)| format!("{image} {toolchain}\n"))
        .collect();
    write_if_changed(&folder.join(BUILT_BY), lines.as_bytes())
}

/// Brings `images`, and the firmware flash if both of its parts are among them, into `target/images`: has `builder`
/// ([`setup::builder`](crate::setup::builder)) build what has changed, or takes them as they are.
///
/// # Errors
///
/// As [`build`].
pub fn bring(
    workspace: &Workspace,
    builder: Option<&Toolchain>,
    images: &[Image],
    progress: &dyn Progress,
) -> Result<(), Error> {
    match builder {
        Some(toolchain) => build(workspace, toolchain, images, progress),
        None => pack(workspace, images),
    }
}

/// The name of the toolchain that built `images`, if all of them are there and it is the same for all.
pub(crate) fn built_by(workspace: &Workspace, images: &[Image]) -> Option<String> {
    let folder = workspace.images();
    let builders = builders(&folder);
    let mut names = images.iter().map(|image| {
        let is_there = folder.join(image.file).is_file();
        builders.get(image.name).filter(|_| is_there)
    });
    let first = names.next()??;
    names.all(|name| name == Some(first)).then(|| first.clone())
}

/// Puts the firmware together if both of its parts are among `images`.
fn pack(workspace: &Workspace, images: &[Image]) -> Result<(), Error> {
    if images.contains(&ROOT_MONITOR) && images.contains(&REALM_MONITOR) {
        assemble(workspace, REALM_MONITOR, FIRMWARE)?;
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

/// A call of cargo for the package of `image`, with the profile, the flags and the folder of bare-metal builds, to which the
/// caller adds what `subcommand` takes besides. Each image is a call of its own: cargo would unify the features of what they share.
pub fn cargo(
    workspace: &Workspace,
    toolchain: &Toolchain,
    subcommand: &str,
    image: Image,
) -> Command {
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
    // The compiler notes the names and the files, and builds again when either changes.
    for (name, file) in image.embeds {
        command.env(name, workspace.images().join(file));
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
