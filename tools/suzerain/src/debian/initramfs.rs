//! The file system that a kernel begins with: busybox, the kernel's modules for a realm's devices, and a first process.

use std::collections::BTreeSet;
use std::fs;

use toolbox::Error;

use super::Kernel;
use super::cpio::Writer;

/// The first process.
const INIT: &[u8] = include_bytes!("init");
/// Writes an attestation token.
const ATTEST: &[u8] = include_bytes!("attest");

/// Where the first process looks for a command to run instead of a shell.
const COMMAND: &str = "suzerain/command";
/// Tells the first process that there should be a network device.
const NETWORK: &str = "suzerain/network";

/// Folders that are there from the start.
const FOLDERS: [&str; 12] = [
    "bin",
    "dev",
    "etc",
    "lib",
    "lib/modules",
    "mnt",
    "proc",
    "root",
    "run",
    "suzerain",
    "sys",
    "tmp",
];

/// What an initramfs has besides the usual.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Options<'a> {
    /// A shell command to run instead of a shell. Its standard output goes to `/dev/hvc0`, its standard error to
    /// `/dev/hvc1`, and its exit status, in decimal digits and a newline, to `/dev/hvc2`.
    pub(crate) exec: Option<&'a str>,
    /// Whether there is a network, so that somebody who finds no device for it is told why.
    pub(crate) network: bool,
    /// More files.
    pub(crate) files: &'a [ExtraFile<'a>],
}

/// A file for the initramfs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExtraFile<'a> {
    /// Where it is in the initramfs, such as `/etc/motd`. Folders are made as needed.
    pub(crate) path: &'a str,
    /// Its content.
    pub(crate) content: &'a [u8],
    /// Whether it can be run.
    pub(crate) executable: bool,
}

/// An initramfs for `kernel`, a cpio archive that is not compressed. The same input gives the same bytes.
///
/// # Errors
///
/// When the cached files of the kernel cannot be read.
pub(crate) fn initramfs(kernel: &Kernel, options: &Options<'_>) -> Result<Vec<u8>, Error> {
    let read = |path| fs::read(path).map_err(|error| Error::io("read", path, &error));
    let mut writer = Writer::default();
    let mut folders: BTreeSet<String> = FOLDERS.iter().map(|name| (*name).to_owned()).collect();
    for name in FOLDERS {
        writer.directory(name);
    }
    // The kernel opens the console before the first process can mount what makes devices.
    writer.device("dev/console", 5, 1);
    writer.device("dev/null", 1, 3);
    writer.file("bin/busybox", true, &read(&kernel.busybox)?);
    writer.link("bin/sh", "busybox");
    writer.file("bin/attest", true, ATTEST);
    writer.file("init", true, INIT);
    writer.file("etc/passwd", false, b"root:x:0:0:root:/root:/bin/sh\n");
    writer.file("etc/group", false, b"root:x:0:\n");
    writer.file("etc/resolv.conf", false, b"nameserver 10.0.2.3\n");
    for (index, module) in kernel.modules.iter().enumerate() {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        writer.file(
            &format!("lib/modules/{index:02}-{name}"),
            false,
            &read(module)?,
        );
    }
    if let Some(command) = options.exec {
        writer.file(COMMAND, false, format!("{command}\n").as_bytes());
    }
    if options.network {
        writer.file(NETWORK, false, b"");
    }
    for file in options.files {
        let path = file.path.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            if folders.insert(path[..at].to_owned()) {
                writer.directory(&path[..at]);
            }
        }
        writer.file(path, file.executable, file.content);
    }
    Ok(writer.finish())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::debian::cpio::reader;

    fn kernel() -> (TempDir, Kernel) {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| -> PathBuf {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            path
        };
        let kernel = Kernel {
            release: "1.2.3".to_owned(),
            suite: "sid".to_owned(),
            image: file("Image"),
            busybox: file("busybox"),
            modules: vec![file("configfs.ko"), file("arm-cca-guest.ko")],
        };
        (folder, kernel)
    }

    fn content(archive: &[u8], name: &str) -> Option<Vec<u8>> {
        let entry = reader::read(archive)
            .into_iter()
            .find(|entry| entry.name == name);
        entry.map(|entry| entry.content)
    }

    #[test]
    fn everything_is_in_its_place() {
        let (_folder, kernel) = kernel();
        let files = [
            ExtraFile {
                path: "/opt/tools/probe",
                content: b"probe",
                executable: true,
            },
            ExtraFile {
                path: "opt/tools/data",
                content: b"data",
                executable: false,
            },
        ];
        let options = Options {
            exec: Some("echo 'a  b' \"$HOME\""),
            network: true,
            files: &files,
        };
        let archive = initramfs(&kernel, &options).unwrap();
        assert_eq!(content(&archive, "bin/busybox").unwrap(), b"busybox");
        assert_eq!(
            content(&archive, "lib/modules/00-configfs.ko").unwrap(),
            b"configfs.ko"
        );
        assert!(content(&archive, "lib/modules/01-arm-cca-guest.ko").is_some());
        assert_eq!(
            content(&archive, "suzerain/command").unwrap(),
            b"echo 'a  b' \"$HOME\"\n"
        );
        assert_eq!(content(&archive, "opt/tools/data").unwrap(), b"data");
        assert_eq!(content(&archive, "suzerain/network").unwrap(), b"");
        let entries = reader::read(&archive);
        let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), unique.len());
        for (index, name) in names.iter().enumerate() {
            if let Some((folder, _)) = name.rsplit_once('/') {
                assert!(names[..index].contains(&folder), "{name} has no folder");
            }
        }
        let init = entries.iter().find(|entry| entry.name == "init").unwrap();
        assert_eq!(init.mode, 0o100755);
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let (_first, one) = kernel();
        let (_second, other) = kernel();
        let options = Options::default();
        let archive = initramfs(&one, &options).unwrap();
        assert_eq!(archive, initramfs(&other, &options).unwrap());
        assert_eq!(content(&archive, "suzerain/command"), None);
        assert_eq!(content(&archive, "suzerain/network"), None);
        let exec = Options {
            exec: Some("nproc"),
            ..Options::default()
        };
        assert_ne!(archive, initramfs(&one, &exec).unwrap());
    }

    #[test]
    fn a_missing_file_is_named() {
        let (folder, kernel) = kernel();
        drop(folder);
        let error = initramfs(&kernel, &Options::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("busybox"), "{error}");
    }
}
