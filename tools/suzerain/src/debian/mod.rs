//! Debian's current arm64 kernel that can be a realm's guest, and an initramfs for it.
//!
//! Both come from Debian's archive by name, whatever this machine runs and without root, and are kept in the user's cache
//! folder. Which suite has such a kernel changes: the suites are asked in turn, and the kernel's own configuration
//! decides, not its version.

mod apt;
mod cache;
mod cpio;
mod initramfs;
mod modules;
mod package;

use std::fs;
use std::path::{Path, PathBuf};

use realm_vmm::linux::Header;
use toolbox::{Error, Progress};

use self::apt::Apt;
use self::cache::{Cache, Lock};
use self::modules::Modules;

pub(crate) use self::initramfs::{Options, initramfs};

/// The suites that may have a kernel, most stable first. Each entry has all packages that are needed.
const SUITES: [&[&str]; 3] = [&["trixie-backports", "trixie"], &["forky"], &["sid"]];
/// So many kernels of a suite are looked at, newest first.
const ATTEMPTS: usize = 3;
/// The kernel's package, before its release.
const BINARY: &str = "linux-binary-";
/// The packages with its configuration and its modules.
const BASE: &str = "linux-base-";
const MODULES: &str = "linux-modules-";
/// The flavour: virtual machines need no drivers for boards.
const FLAVOUR: &str = "-cloud-arm64";
/// All of user space.
const BUSYBOX: &str = "busybox-static";

/// A kernel and what its initramfs is made of, as files in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// The kernel's `Image`.
    pub(crate) image: PathBuf,
    /// Its release, such as `7.3.4+deb13-cloud-arm64`.
    pub(crate) release: String,
    /// The suite of Debian that it is from.
    pub(crate) suite: String,
    /// A statically linked busybox.
    busybox: PathBuf,
    /// Modules, not compressed, in the order of loading.
    modules: Vec<PathBuf>,
}

impl Kernel {
    const IMAGE: &str = "Image";
    const BUSYBOX: &str = "busybox";
}

/// Debian's kernel: the one that is kept since the last time, or else the newest, downloaded now.
///
/// # Errors
///
/// When there is no apt or no network, or no suite has a kernel that can be a realm's guest; the error says what to do.
pub(crate) fn kernel(progress: &dyn Progress) -> Result<Kernel, Error> {
    let cache = Cache::of_the_user()?;
    if let Some(kernel) = cache.kernel() {
        progress.detail(&format!("Debian's Linux {} from the cache", kernel.release));
        return Ok(kernel);
    }
    let lock = cache.lock(progress)?;
    // Somebody else may have been quicker.
    if let Some(kernel) = cache.kernel() {
        return Ok(kernel);
    }
    let apt = Apt::new(&cache.apt())?;
    let mut failed = None;
    for suites in SUITES {
        match from_suite(&apt, &cache, &lock, suites, progress) {
            Ok(true) => {
                let kernel = cache.kernel();
                return kernel
                    .ok_or_else(|| Error::new("the kernel went away as soon as it was here"));
            }
            Ok(false) => {}
            Err(error) if toolbox::child::interrupted() => return Err(error),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| {
        Error::new("no suite of Debian has an arm64 kernel that can be a realm's guest")
            .advise("name one that has CONFIG_ARM_CCA_GUEST with --kernel FILE")
    }))
}

/// Fills the cache from the newest kernel of a suite that does; false if there is none.
fn from_suite(
    apt: &Apt,
    cache: &Cache,
    lock: &Lock,
    suites: &[&str],
    progress: &dyn Progress,
) -> Result<bool, Error> {
    apt.update(suites, progress)?;
    let suite = suites.first().copied().unwrap_or_default();
    for release in newest(&apt.names(BINARY)?).into_iter().take(ATTEMPTS) {
        let folder = cache.begin(lock)?;
        progress.step(&format!("looking at Debian's Linux {release}"));
        let base = apt.download(&[&format!("{BASE}{release}")], folder.path(), progress)?;
        if !is_cca_guest(&configuration(&base[0])?) {
            continue;
        }
        progress.note(&format!(
            "taking Debian's Linux {release} from {suite}, and busybox"
        ));
        progress.step(&format!("downloading Linux {release} (30 MB)"));
        let packages = [
            &format!("{BINARY}{release}"),
            &format!("{MODULES}{release}"),
            BUSYBOX,
        ];
        let files = apt.download(&packages, folder.path(), progress)?;
        progress.step(&format!("unpacking Linux {release}"));
        let modules = unpack(&files, folder.path())?;
        for file in files.iter().chain(&base) {
            fs::remove_file(file).map_err(|error| Error::io("remove", file, &error))?;
        }
        cache.commit(lock, folder, &release, suite, modules)?;
        return Ok(true);
    }
    Ok(false)
}

/// The releases of kernels of our flavour among packages' names, newest first.
fn newest(names: &[String]) -> Vec<String> {
    let release = |name: &String| {
        let release = name.strip_prefix(BINARY)?;
        // Others are variants of the same: linux-binary-unsigned-VERSION.
        let numeric = release.starts_with(|c: char| c.is_ascii_digit());
        (numeric && release.ends_with(FLAVOUR)).then(|| release.to_owned())
    };
    let mut releases: Vec<_> = names.iter().filter_map(release).collect();
    releases.sort_by_cached_key(|release| {
        let numbers = release.split(|c: char| !c.is_ascii_digit());
        let numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
        std::cmp::Reverse((numbers, release.clone()))
    });
    releases
}

/// The configuration in a kernel's base package.
fn configuration(base: &Path) -> Result<String, Error> {
    let mut configuration = String::new();
    package::unpack(base, |path, content| {
        let file = path.rsplit('/').next().unwrap_or(path);
        if path.starts_with("usr/lib/modules/") && file == "config" {
            content.read_to_string(&mut configuration)?;
        }
        Ok(())
    })?;
    Ok(configuration)
}

fn is_cca_guest(configuration: &str) -> bool {
    configuration
        .lines()
        .any(|line| line == "CONFIG_ARM_CCA_GUEST=m" || line == "CONFIG_ARM_CCA_GUEST=y")
}

/// Unpacks kernel, modules and busybox, in the order of `packages`, into `folder`; returns the modules' names.
fn unpack(packages: &[PathBuf], folder: &Path) -> Result<Vec<String>, Error> {
    let [binary, modules, busybox] = packages else {
        return Err(Error::new("there must be three packages"));
    };
    let mut image = Vec::new();
    package::unpack(binary, |path, content| {
        if path.ends_with("/vmlinuz") {
            content.read_to_end(&mut image)?;
        }
        Ok(())
    })?;
    Header::read(&image).map_err(|why| Error::new(format!("{}: {why}", binary.display())))?;
    write(folder, Kernel::IMAGE, &image)?;
    let mut program = Vec::new();
    package::unpack(busybox, |path, content| {
        if path.ends_with("bin/busybox") {
            content.read_to_end(&mut program)?;
        }
        Ok(())
    })?;
    if program.is_empty() {
        return Err(Error::new(format!("there is no busybox in {BUSYBOX}")));
    }
    write(folder, Kernel::BUSYBOX, &program)?;
    let mut all = Modules::default();
    package::unpack(modules, |path, content| all.take(path, content))?;
    let mut names = Vec::new();
    for module in all.wanted()? {
        let name = format!("{}.ko", module.name);
        write(folder, &name, &module.bytes)?;
        names.push(name);
    }
    Ok(names)
}

fn write(folder: &Path, name: &str, content: &[u8]) -> Result<(), Error> {
    let path = folder.join(name);
    fs::write(&path, content).map_err(|error| Error::io("write", &path, &error))
}

/// The start of an `Image` that says nothing but its size, for tests.
#[cfg(test)]
pub(crate) fn image(size: u64, length: usize) -> Vec<u8> {
    let mut image = vec![0; length];
    image[16..24].copy_from_slice(&size.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_release_comes_first() {
        let names = [
            "linux-binary-7.2.9+deb13-cloud-arm64",
            "linux-binary-7.10.1+deb13-cloud-arm64",
            "linux-binary-7.10.1+deb13-arm64-16k",
            "linux-binary-unsigned-9.0.0+deb13-cloud-arm64",
            "linux-binary-7.2.12+deb13-cloud-arm64",
        ];
        let names = names.map(str::to_owned);
        let expected =
            ["7.10.1", "7.2.12", "7.2.9"].map(|version| format!("{version}+deb13-cloud-arm64"));
        assert_eq!(newest(&names), expected);
    }

    #[test]
    fn the_configuration_decides() {
        assert!(is_cca_guest("CONFIG_X=y\nCONFIG_ARM_CCA_GUEST=m\n"));
        assert!(is_cca_guest("CONFIG_ARM_CCA_GUEST=y"));
        for other in [
            "",
            "# CONFIG_ARM_CCA_GUEST is not set\n",
            "CONFIG_ARM_CCA_GUEST_X=y\n",
        ] {
            assert!(!is_cca_guest(other), "{other}");
        }
    }

    #[test]
    fn packages_become_files() {
        let folder = tempfile::tempdir().unwrap();
        let release = "usr/lib/modules/7.0-cloud-arm64";
        let package = |name: &str, files: &[(&str, &[u8])]| {
            let path = folder.path().join(name);
            fs::write(&path, package::writer::package("data.tar.xz", files)).unwrap();
            path
        };
        let image = image(0x10000, 0x1000);
        let base = package(
            "base.deb",
            &[
                ("usr/share/config", b"CONFIG_ARM_CCA_GUEST=n"),
                (&format!("{release}/config"), b"CONFIG_ARM_CCA_GUEST=m\n"),
            ],
        );
        assert!(is_cca_guest(&configuration(&base).unwrap()));
        let module = |depends| package::writer::compress(&modules::writer::module(depends));
        let binary = package("binary.deb", &[(&format!("{release}/vmlinuz"), &image)]);
        let modules = package(
            "modules.deb",
            &[
                (
                    &format!("{release}/kernel/arm-cca-guest.ko.xz"),
                    &module("tsm_report"),
                ),
                (&format!("{release}/kernel/tsm_report.ko.xz"), &module("")),
            ],
        );
        let busybox = package("busybox.deb", &[("usr/bin/busybox", b"busybox")]);
        let other = package("other.deb", &[("usr/bin/other", b"other")]);
        let into = tempfile::tempdir().unwrap();
        let names = unpack(
            &[binary.clone(), modules.clone(), busybox.clone()],
            into.path(),
        )
        .unwrap();
        assert_eq!(names, ["tsm_report.ko", "arm-cca-guest.ko"]);
        let read = |name: &str| fs::read(into.path().join(name)).unwrap();
        assert_eq!(
            (read("Image"), read("busybox")),
            (image, b"busybox".to_vec())
        );
        assert_eq!(read("tsm_report.ko"), modules::writer::module(""));
        for (packages, why) in [
            (
                [binary.clone(), modules.clone(), other.clone()],
                "no busybox",
            ),
            ([other, modules, busybox], "kernel"),
        ] {
            let error = unpack(&packages, into.path()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
