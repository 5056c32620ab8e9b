//! What is booted: Linux by its boot protocol, or a raw payload, each at its place in memory.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use cca_abi::firmware::{DEVICE_TREE, PAYLOAD_BASE};
use realm_vmm::linux::{Header, Unusable};

use super::Host;
use crate::debian;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::size;

/// Names Debian's kernel in place of a file.
const DEBIAN: &str = "debian";
/// What Linux is told if nothing else is asked for.
const APPEND: &str = "console=ttyAMA0";
/// arm64 Linux cuts off what is longer, together with the byte that ends it.
const MAX_APPEND: usize = 2047;
/// What follows the kernel begins at such a boundary.
const ALIGNMENT: u64 = 2 << 20;

/// What the firmware enters.
#[derive(Debug)]
pub(super) struct Payload {
    /// The file for [`PAYLOAD_BASE`].
    pub(super) file: PathBuf,
    /// What it is, for people.
    pub(super) what: String,
    /// More, if it is Linux.
    pub(super) linux: Option<Linux>,
}

/// What Linux is given.
#[derive(Debug)]
pub(super) struct Linux {
    /// Its command line.
    pub(super) append: String,
    /// Its first file system.
    pub(super) initrd: Option<Initrd>,
}

/// A first file system and its place.
#[derive(Debug)]
pub(super) struct Initrd {
    /// Where its bytes come from.
    pub(super) content: Content,
    /// Where they are in memory.
    pub(super) place: Range<u64>,
}

/// Bytes that go into memory.
#[derive(Debug)]
pub(super) enum Content {
    /// A file of the user's.
    File(PathBuf),
    /// What was made for this run.
    Bytes(Vec<u8>),
}

impl Payload {
    /// Looks at what the user named, or gets Debian's kernel.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or does not fit, or options do not go together.
    pub(super) fn new(options: &Host, screen: &Screen) -> Result<Self, Failure> {
        if let Some(path) = &options.initrd {
            length("initrd", path)?;
        }
        let debian = if options.kernel == Path::new(DEBIAN) {
            Some(debian::kernel(screen)?)
        } else {
            None
        };
        let file = debian
            .as_ref()
            .map_or(&options.kernel, |kernel| &kernel.image);
        let size = length("kernel", file)?;
        let unusable = |why: Unusable| Failure::input(format!("{}: {why}", file.display()));
        let header = match Header::read(&start(file)?) {
            Ok(header) => header,
            Err(Unusable::Unknown) => return raw(options, file, size),
            Err(why) => return Err(unusable(why)),
        };
        if header.offset != 0 {
            let message = format!(
                "the kernel {} must be {:#x} bytes off a 2M boundary, and the firmware enters {PAYLOAD_BASE:#x}; \
                 name Linux 5.8 or newer",
                file.display(),
                header.offset
            );
            return Err(Failure::input(message));
        }
        let footprint = header.footprint(size).map_err(unusable)?;
        let end = DEVICE_TREE + options.memory;
        let kernel_end = place("kernel", PAYLOAD_BASE, footprint, end)?.end;
        let (content, size) = match (&options.initrd, &debian) {
            (Some(path), _) => (Some(Content::File(path.clone())), length("initrd", path)?),
            (None, Some(kernel)) => {
                let bytes = debian::initramfs(kernel, &debian::Options::default())?;
                let size = bytes.len() as u64;
                (Some(Content::Bytes(bytes)), size)
            }
            (None, None) => (None, 0),
        };
        let at = kernel_end.next_multiple_of(ALIGNMENT);
        let initrd = content
            .map(|content| {
                let place = place("initrd", at, size, end)?;
                Ok::<_, Failure>(Initrd { content, place })
            })
            .transpose()?;
        let append = options.append.as_deref().unwrap_or(APPEND);
        if append.len() > MAX_APPEND {
            let message = format!(
                "--append has {} bytes; Linux takes {MAX_APPEND}",
                append.len()
            );
            return Err(Failure::input(message));
        }
        Ok(Self {
            file: file.clone(),
            what: match &debian {
                Some(kernel) => format!("Linux {} of Debian ({})", kernel.release, kernel.suite),
                None => format!("the Linux Image {}", file.display()),
            },
            linux: Some(Linux {
                append: append.to_owned(),
                initrd,
            }),
        })
    }
}

/// A payload that is no Linux. Nothing can be said to it but where the device tree is.
fn raw(options: &Host, file: &Path, size: u64) -> Result<Payload, Failure> {
    let given = [
        ("--initrd", options.initrd.is_some()),
        ("--append", options.append.is_some()),
    ];
    if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
        let message = format!(
            "{name} is for Linux, and {} is no arm64 Linux Image; without it, it is booted as a raw payload",
            file.display()
        );
        return Err(Failure::input(message));
    }
    place("kernel", PAYLOAD_BASE, size, DEVICE_TREE + options.memory)?;
    Ok(Payload {
        file: file.to_path_buf(),
        what: format!("the raw payload {}", file.display()),
        linux: None,
    })
}

/// The memory of something that begins at `at`, if it ends before `end`.
fn place(what: &str, at: u64, size: u64, end: u64) -> Result<Range<u64>, Failure> {
    match at.checked_add(size) {
        Some(last) if last <= end => Ok(at..last),
        _ => {
            let memory = size::show(end - DEVICE_TREE);
            let message = format!(
                "the {what} needs {size} bytes from {at:#x} on, and the machine has {memory}; raise --memory"
            );
            Err(Failure::input(message))
        }
    }
}

/// The length of a file that must have something in it.
pub(super) fn length(what: &str, path: &Path) -> Result<u64, Failure> {
    let shown = path.display();
    let metadata = path
        .metadata()
        .map_err(|error| Failure::input(format!("cannot read the {what} {shown}: {error}")))?;
    if metadata.is_file() && metadata.len() > 0 {
        return Ok(metadata.len());
    }
    let why = if metadata.is_file() {
        "is empty"
    } else {
        "is not a file"
    };
    Err(Failure::input(format!("the {what} {shown} {why}")))
}

/// The first bytes of a file.
pub(super) fn start(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(Header::START as u64).read_to_end(&mut bytes))
        .map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::super::tests::options;
    use super::*;
    use crate::debian::image;

    struct Files(TempDir);

    impl Files {
        fn write(&self, name: &str, content: &[u8]) -> String {
            let path = self.0.path().join(name);
            fs::write(&path, content).unwrap();
            path.to_string_lossy().into_owned()
        }
    }

    fn files() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn payload(arguments: &[&str]) -> Result<Payload, Failure> {
        Payload::new(&options(arguments), &Screen::new(true, false))
    }

    #[test]
    fn linux_gets_its_command_line_and_its_initrd_behind_it() {
        let files = files();
        let kernel = files.write("Image", &image(0x28d_0000, 100));
        let initrd = files.write("initrd", &[1; 777]);
        let linux = payload(&["--kernel", &kernel]).unwrap().linux.unwrap();
        assert_eq!(linux.append, "console=ttyAMA0");
        assert!(linux.initrd.is_none());
        let arguments = [
            "--kernel", &kernel, "--initrd", &initrd, "--append", "quiet",
        ];
        let linux = payload(&arguments).unwrap().linux.unwrap();
        assert_eq!(linux.append, "quiet");
        assert_eq!(linux.initrd.unwrap().place, 0x62a0_0000..0x62a0_0309);
    }

    #[test]
    fn anything_else_is_a_raw_payload() {
        let files = files();
        let kernel = files.write("payload", &[0; 100]);
        assert!(payload(&["--kernel", &kernel]).unwrap().linux.is_none());
        for arguments in [["--append", "x"], ["--initrd", &kernel]] {
            let all = [&["--kernel", &kernel], &arguments[..]].concat();
            let failure = payload(&all).unwrap_err().to_string();
            assert!(
                failure.contains(arguments[0]) && failure.contains("raw payload"),
                "{failure}"
            );
        }
    }

    #[test]
    fn what_cannot_be_booted_is_refused() {
        let files = files();
        let good = image(0x1000, 100);
        let mut offset = good.clone();
        offset[10] = 8;
        let long = "x".repeat(2048);
        let small = files.write("good", &good);
        for (kernel, more, why) in [
            (files.write("offset", &offset), [].as_slice(), "5.8"),
            (files.write("elf", b"\x7fELF\x02"), &[], "ELF"),
            (files.write("gz", b"\x1f\x8b\x08"), &[], "gunzip"),
            (files.write("large", &image(1 << 30, 100)), &[], "--memory"),
            (
                files.write("most", &image(1 << 29, 100)),
                &["--initrd", &small],
                "the initrd needs",
            ),
            (files.write("empty", &[]), &[], "is empty"),
            (
                files.0.path().to_string_lossy().into_owned(),
                &[],
                "is not a file",
            ),
            ("/nowhere/kernel".to_owned(), &[], "/nowhere/kernel"),
            (small.clone(), &["--append", &long], "--append"),
            (
                small.clone(),
                &["--initrd", "/nowhere/initrd"],
                "/nowhere/initrd",
            ),
        ] {
            let all = [&["--kernel", &kernel], more].concat();
            let failure = payload(&all).unwrap_err();
            assert!(failure.to_string().contains(why), "{failure}");
            assert_eq!(failure.code(), crate::failure::INPUT);
        }
    }
}
