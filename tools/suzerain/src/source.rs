//! Where a realm comes from: the demo guest, a raw guest, or a Linux.

use std::fs;
use std::path::Path;

use realm_vmm::control::message::Device;
use realm_vmm::linux::Linux;
use toolbox::Progress;

use crate::blueprint::{Blueprint, Contents};
use crate::debian;
use crate::failure::Failure;
use crate::network;
use crate::options::RealmOptions;
use crate::prepare;
use crate::random;
use crate::session::Disk;

/// The console of a realm's PL011: the kernel's own.
pub(crate) const KERNEL: u8 = 0;
/// The consoles of a command: hvc0, hvc1, hvc2.
pub(crate) const OUTPUT: u8 = 1;
pub(crate) const ERRORS: u8 = 2;
pub(crate) const STATUS: u8 = 3;

/// The kernel's command line, before what the user adds. A realm's devices reach shared memory only, so that all of their data goes
/// through the kernel's bounce buffers: 16M of them (in units of 2K), where arm64 kernels take a 1024th of memory by themselves,
/// which a few queues of virtio devices exhaust.
const COMMAND_LINE: &str = "console=ttyAMA0 swiotlb=8192";

/// The realm of the raw guest or the kernel that the user names; `None` for the demo guest, which has to be built.
///
/// # Errors
///
/// Bad files, and a kernel that cannot be had.
pub(crate) fn named(
    options: &RealmOptions,
    progress: &dyn Progress,
) -> Result<Option<Blueprint>, Failure> {
    if let Some(path) = &options.raw {
        let image = prepare::read_image(path, options.memory())?;
        let consoles = (0..options.consoles).map(|_| Device::Console).collect();
        let (devices, disks) = devices(options, consoles)?;
        return Ok(Some(Blueprint {
            devices,
            disks,
            ..raw(options, image)
        }));
    }
    let Some(path) = &options.kernel else {
        return Ok(None);
    };
    let initrd = options.initrd.as_deref().map(|path| read("initrd", path));
    let mut initrd = initrd.transpose()?;
    let kernel = if options.is_debian() {
        let debian = debian::kernel(progress)?;
        progress.note(&format!(
            "Linux {} of Debian {}",
            debian.release, debian.suite
        ));
        if initrd.is_none() {
            let exec = options.exec.as_deref();
            let wanted = debian::Options {
                exec,
                network: options.network().is_some(),
                files: &[],
            };
            initrd = Some(debian::initramfs(&debian, &wanted)?);
        }
        read("kernel", &debian.image)?
    } else {
        read("kernel", path)?
    };
    linux(options, &kernel, initrd.as_deref()).map(Some)
}

/// A Linux in its place, with its device tree.
fn linux(
    options: &RealmOptions,
    kernel: &[u8],
    initrd: Option<&[u8]>,
) -> Result<Blueprint, Failure> {
    let mut words = vec![COMMAND_LINE.to_owned()];
    let consoles = match options.exec {
        Some(_) => vec![Device::Console, Device::Console, Device::Console],
        None => Vec::new(),
    };
    let (mut devices, disks) = devices(options, consoles)?;
    // It is no part of the measurement.
    let seed = random::words(&random::bytes::<32>()?);
    devices.push(Device::Entropy { seed });
    words.extend(options.append.clone());
    let command_line = words.join(" ");
    let placed = Linux {
        kernel,
        initrd,
        command_line: &command_line,
        vcpus: usize::try_from(options.vcpus).unwrap_or(usize::MAX),
        memory: options.memory(),
        virtio: devices.len(),
        seed: None,
    }
    .place()
    .map_err(|error| Failure::input(format!("--kernel: {error}")))?;
    let contents = placed.segments().into_iter().map(|segment| Contents {
        ipa: segment.ipa,
        bytes: segment.bytes.to_vec(),
    });
    let contents = contents.collect();
    Ok(Blueprint {
        vcpus: options.vcpus,
        memory: options.memory(),
        sve_bits: options.sve,
        contents,
        entry: placed.entry(),
        arguments: placed.arguments(),
        lines: false,
        devices,
        disks,
    })
}

/// The consoles, the disk and the network that the user wants, and what is behind them.
fn devices(
    options: &RealmOptions,
    consoles: Vec<Device>,
) -> Result<(Vec<Device>, Vec<Disk>), Failure> {
    let mut devices = consoles;
    let mut disks = Vec::new();
    if let Some(file) = &options.disk {
        let disk = Disk::open(&file.path, file.read_only)?;
        devices.push(Device::Disk {
            sectors: disk.sectors(),
            read_only: disk.read_only(),
        });
        disks.push(disk);
    }
    if options.network().is_some() {
        devices.push(Device::Network {
            mac: network::REALM_HARDWARE,
        });
    }
    Ok((devices, disks))
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    prepare::check_file(what, path)?;
    fs::read(path).map_err(|error| {
        let shown = path.display();
        Failure::input(format!("cannot read the {what} {shown}: {error}"))
    })
}

/// The realm of the demo guest's image.
///
/// # Errors
///
/// When the realm is too small for it.
pub(crate) fn demo(options: &RealmOptions, image: Vec<u8>) -> Result<Blueprint, Failure> {
    let blueprint = raw(options, image);
    if blueprint.length() > blueprint.memory {
        return Err(Failure::input("--memory is too small for the demo guest"));
    }
    Ok(blueprint)
}

/// Refuses a realm that its host measured to be another one.
///
/// # Errors
///
/// When the measurements differ.
pub(crate) fn check_rim(expected: &str, found: &str) -> Result<(), Failure> {
    if expected == found {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "the host says that the realm measured {found}, not {expected}: it built something else than it was given"
    )))
}

fn raw(options: &RealmOptions, image: Vec<u8>) -> Blueprint {
    Blueprint::raw(options.vcpus, options.memory(), options.sve, image)
}
