//! Debian packages, brought in with an apt configuration of our own so that the user's stays as it is.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child;
use crate::consent;
use crate::{Error, Progress};

/// The archive's signing keys, part of every Debian installation.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A Debian release that setup knows how to bring packages to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// Debian 12: QEMU from its backports, the bare-metal compiler from its security suite.
    Bookworm,
    /// Debian 13 or newer: QEMU from the release itself.
    Newer,
}

impl Release {
    /// The release of this system, if it is one of those.
    pub(crate) fn of_this_system() -> Option<Self> {
        Self::from_os_release(&fs::read_to_string("/etc/os-release").ok()?)
    }

    fn from_os_release(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        if value("ID")? != "debian" {
            return None;
        }
        match value("VERSION_ID").map(|version| version.parse::<u32>()) {
            Some(Ok(12)) => Some(Self::Bookworm),
            Some(Ok(13..)) | None => Some(Self::Newer),
            Some(_) => None,
        }
    }
}

/// How commands that change the system are started.
enum Privilege {
    Root,
    Sudo,
}

impl Privilege {
    fn of_this_process() -> Option<Self> {
        if rustix::process::geteuid().is_root() {
            return Some(Self::Root);
        }
        let quiet = child::run(Command::new("sudo").args(["-n", "true"]), None, |_| {});
        let works = quiet.is_ok_and(|finished| finished.status.success());
        let may_ask =
            std::io::stdin().is_terminal() && Command::new("sudo").arg("-V").output().is_ok();
        (works || may_ask).then_some(Self::Sudo)
    }

    /// A command with these rights that asks no questions of its own.
    fn command(&self, program: &str) -> Command {
        let mut command = match self {
            Self::Root => Command::new("env"),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                // Whoever must be asked for a password has been: see `install`.
                command.args(["-n", "env"]);
                command
            }
        };
        command.args(["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", program]);
        command
    }
}

/// Installs `packages`, with `suite` preferred over the release where it is given.
///
/// `folder` is where the package lists and the sources file of this project live.
///
/// # Errors
///
/// When this process may not install anything, or apt fails; the error says what to install by hand.
pub(crate) fn install(
    folder: &Path,
    packages: &[&str],
    suite: Option<&str>,
    why: &str,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let from = suite
        .map(|suite| format!("-t {suite} "))
        .unwrap_or_default();
    let by_hand = format!(
        "install it as root: apt-get install -y --no-install-recommends {from}{} (from Debian 12 with its security \
         and backports suites)",
        packages.join(" ")
    );
    if consent::is_refused() {
        let packages = packages.join(", ");
        return Err(Error::new(format!(
            "--no-install refuses to install {packages} ({why})"
        ))
        .advise(by_hand));
    }
    let Some(privilege) = Privilege::of_this_process() else {
        let message = format!(
            "{} is missing ({why}), and this user may not install packages",
            packages[0]
        );
        return Err(Error::new(message).advise(by_hand));
    };
    let options = options(folder)?;
    let step = |what: &str, command: &mut Command, arguments: &[&str]| {
        progress.step(what);
        command.args(&options).args(["-y", "-q"]).args(arguments);
        let finished = child::run(command, None, |line| progress.detail(line))?;
        if finished.status.success() {
            return Ok(finished.stdout);
        }
        Err(Error::new(format!("apt-get failed while {what}"))
            .advise(by_hand.clone())
            .with_details(finished.all))
    };
    // To know what there is to install, nobody needs any rights: the lists are in a folder of ours.
    let unprivileged = || {
        let mut command = Command::new("apt-get");
        // What is read below is English. In a locale other than C, LANGUAGE would win.
        command.env("LC_ALL", "C");
        command
    };
    let reading = "reading Debian's package lists";
    step(reading, &mut unprivileged(), &["update"])?;
    let planning = "finding out what there is to install";
    let mut arguments = vec!["install", "--no-install-recommends", "--no-remove"];
    arguments.extend(suite.iter().flat_map(|suite| ["-t", *suite]));
    arguments.extend(packages);
    let dry = [&["--print-uris"], &*arguments].concat();
    let planned = step(planning, &mut unprivileged(), &dry)?;
    if planned.contains("\n0 upgraded, 0 newly installed, 0 to remove") {
        // They are here; whoever wanted them says why they do not do.
        return Ok(());
    }
    let Some(what) = planned_changes(&planned) else {
        return Err(Error::new("apt-get does not say what it would install")
            .advise(by_hand)
            .with_details(planned));
    };
    consent::announce(&what, why, &by_hand, progress)?;
    if let Privilege::Sudo = privilege {
        // Asks for the password, if it must, before any output is captured.
        let asked = Command::new("sudo").arg("-v").status();
        if !asked.is_ok_and(|status| status.success()) {
            return Err(Error::new("sudo does not let this user install packages").advise(by_hand));
        }
    }
    let mut command = privilege.command("apt-get");
    step("installing packages", &mut command, &arguments).map(drop)
}

/// What `apt-get install --print-uris` would do, in words: how many packages, which, and how large they are.
fn planned_changes(said: &str) -> Option<String> {
    let listed = |head: &str| {
        let lines = said.lines().skip_while(|line| *line != head).skip(1);
        let lines = lines.take_while(|line| line.starts_with("  "));
        lines.flat_map(str::split_whitespace).collect::<Vec<_>>()
    };
    let between = |start: &str, end: &str| {
        let found = |line: &str| Some(line.strip_prefix(start)?.split_once(end)?.0.to_owned());
        said.lines().find_map(found)
    };
    let mut names = listed("The following NEW packages will be installed:");
    names.extend(listed("The following packages will be upgraded:"));
    // Of what is here already, apt-get says how much is left: `0 B/5 MB`.
    let download = between("Need to get ", " of archives")?;
    let download = download.rsplit('/').next()?;
    let disk = between("After this operation, ", " of additional disk space");
    let disk = disk.map_or_else(String::new, |disk| format!(" and {disk} on disk"));
    let count = names.len();
    let noun = if count == 1 { "package" } else { "packages" };
    (count > 0).then(|| {
        let names = names.join(", ");
        format!("{count} {noun} of Debian ({names}), {download} to download{disk}")
    })
}

/// Writes the sources file and returns the options that make apt use it, and nothing of the user's, for its lists.
///
/// What is installed is recorded in the system's own dpkg database, and the user's proxy settings hold.
fn options(folder: &Path) -> Result<Vec<String>, Error> {
    let create = |path: PathBuf| {
        fs::create_dir_all(&path).map_err(|error| Error::io("create", &path, &error))?;
        Ok::<_, Error>(path)
    };
    let sources = folder.join("suzerain.list");
    create(folder.to_path_buf())?;
    create(folder.join("sources.d"))?;
    create(folder.join("lists/partial"))?;
    create(folder.join("cache/archives/partial"))?;
    let (archive, security) = mirrors();
    fs::write(&sources, source_list(&archive, &security))
        .map_err(|error| Error::io("write", &sources, &error))?;
    let option =
        |name: &str, value: &Path| ["-o".to_owned(), format!("{name}={}", value.display())];
    let mut options = Vec::new();
    options.extend(option("Dir::Etc::SourceList", &sources));
    options.extend(option("Dir::Etc::SourceParts", &folder.join("sources.d")));
    options.extend(option("Dir::State::Lists", &folder.join("lists")));
    options.extend(option("Dir::Cache", &folder.join("cache")));
    for setting in [
        "Acquire::Languages=none",
        "APT::Sandbox::User=root",
        "DPkg::Lock::Timeout=600",
        "APT::Keep-Downloaded-Packages=false",
    ] {
        options.extend(["-o".to_owned(), setting.to_owned()]);
    }
    Ok(options)
}

/// Debian's own archive, which has every suite.
pub const ARCHIVE: &str = "http://deb.debian.org/debian";

/// The mirrors that the user's own configuration takes Debian (first) and its security updates from, or Debian's own.
pub fn mirrors() -> (String, String) {
    let listed =
        child::output(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]));
    let listed = listed.unwrap_or_default();
    let find = |name: &str, default: &str| {
        let mut uris = listed.lines().map(|line| line.trim().trim_end_matches('/'));
        uris.find(|uri| uri.starts_with("http") && uri.ends_with(name))
            .unwrap_or(default)
            .to_owned()
    };
    (
        find("/debian", ARCHIVE),
        find("/debian-security", "http://deb.debian.org/debian-security"),
    )
}

fn source_list(archive: &str, security: &str) -> String {
    let entry = |uri: &str, suite: &str| format!("deb [signed-by={KEYRING}] {uri} {suite} main\n");
    [
        entry(archive, "bookworm"),
        entry(archive, "bookworm-updates"),
        entry(archive, "bookworm-backports"),
        entry(security, "bookworm-security"),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_apart() {
        let release = |text: &str| Release::from_os_release(text);
        assert_eq!(
            release("ID=debian\nVERSION_ID=\"12\"\n"),
            Some(Release::Bookworm)
        );
        assert_eq!(
            release("VERSION_ID=\"13\"\nID=debian\n"),
            Some(Release::Newer)
        );
        assert_eq!(
            release("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux trixie/sid\"\n"),
            Some(Release::Newer)
        );
        assert_eq!(release("ID=debian\nVERSION_ID=\"11\"\n"), None);
        assert_eq!(release("ID=ubuntu\nVERSION_ID=\"24.04\"\n"), None);
    }

    /// As apt-get of Debian 12 says it.
    const PLANNED: &str = "Reading package lists...\nSuggested packages:\n  filters cowsay-off\n\
        The following NEW packages will be installed:\n  cowsay hello\n  libtext-charwidth-perl\n\
        0 upgraded, 3 newly installed, 0 to remove and 163 not upgraded.\nNeed to get 83.9 kB of archives.\n\
        After this operation, 420 kB of additional disk space will be used.\n\
        'http://deb.debian.org/debian/pool/main/h/hello/hello_2.10-3_amd64.deb' hello_2.10-3_amd64.deb 53080 MD5Sum:d0\n";

    #[test]
    fn what_will_be_installed_is_said_with_names_number_and_size() {
        assert_eq!(
            planned_changes(PLANNED).as_deref(),
            Some(
                "3 packages of Debian (cowsay, hello, libtext-charwidth-perl), 83.9 kB to download and 420 kB on disk"
            )
        );
        let other = PLANNED.replace("get 83.9 kB of", "get 0 B/83.9 kB of");
        let other = planned_changes(&other).unwrap();
        assert!(other.contains(" 83.9 kB to download"), "{other}");
        assert_eq!(planned_changes("E: no such package"), None);
    }

    #[test]
    fn every_source_is_signed_by_debian() {
        let list = source_list("http://mirror/debian", "http://mirror/debian-security");
        assert_eq!(list.lines().count(), 4);
        assert!(
            list.lines()
                .all(|line| line.starts_with("deb [signed-by=/usr/share/keyrings/debian-archive"))
        );
        assert!(list.contains("http://mirror/debian bookworm-backports main"));
    }
}
