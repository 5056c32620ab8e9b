//! Debian's archive for arm64, read by apt with a configuration, lists and a package database of its own.
//!
//! What the system has installed, its sources and its preferences play no part, and nothing needs root. Only how to
//! reach the network (`Acquire::http`, `Acquire::https`) is taken from the system's configuration. apt checks what it
//! gets against Debian's signatures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use toolbox::child;
use toolbox::debian::{ARCHIVE, KEYRING, mirrors};
use toolbox::{Error, Progress};

/// What to do where packages cannot be had.
const ADVICE: &str = "or name a kernel of your own with --kernel FILE";

/// A source of packages below a folder.
#[derive(Debug)]
pub(super) struct Apt {
    folder: PathBuf,
    configuration: PathBuf,
}

impl Apt {
    /// Prepares `folder` for apt.
    ///
    /// # Errors
    ///
    /// When there is no apt or no keyring of Debian's here, or the folder cannot be written.
    pub(super) fn new(folder: &Path) -> Result<Self, Error> {
        let version = child::output(Command::new("apt-get").arg("--version"));
        if version.is_err() {
            return Err(
                Error::new("there is no apt-get here to get Debian's kernel with")
                    .advise(format!("use a Debian or Ubuntu system, {ADVICE}")),
            );
        }
        if !Path::new(KEYRING).is_file() {
            return Err(
                Error::new(format!("Debian's keys ({KEYRING}) are not here")).advise(format!(
                    "install the package debian-archive-keyring, {ADVICE}"
                )),
            );
        }
        for name in [
            "lists/partial",
            "cache/archives/partial",
            "sources",
            "empty",
        ] {
            let path = folder.join(name);
            fs::create_dir_all(&path).map_err(|error| Error::io("create", &path, &error))?;
        }
        let apt = Self {
            folder: folder.to_path_buf(),
            configuration: folder.join("apt.conf"),
        };
        apt.write("status", "")?;
        let reach =
            child::output(Command::new("apt-config").args(["dump", "--no-empty", "Acquire"]));
        apt.write(
            "apt.conf",
            &configuration(folder, &reach.unwrap_or_default())?,
        )?;
        Ok(apt)
    }

    /// Makes `suites` the ones that packages come from, and gets their lists.
    ///
    /// # Errors
    ///
    /// When they cannot be had, or are not signed as they should be; from a mirror of the user's and from Debian.
    pub(super) fn update(&self, suites: &[&str], progress: &dyn Progress) -> Result<(), Error> {
        let (mirror, _) = mirrors();
        let result = self.update_from(&mirror, suites, progress);
        if result.is_err() && mirror != ARCHIVE && !child::interrupted() {
            return self.update_from(ARCHIVE, suites, progress);
        }
        result
    }

    fn update_from(
        &self,
        archive: &str,
        suites: &[&str],
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let suites = suites.join(" ");
        self.write(
            "sources/debian.sources",
            &format!("Types: deb\nURIs: {archive}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n"),
        )?;
        progress.step(&format!("reading Debian's package lists ({suites})"));
        let mut command = self.command("apt-get");
        // Without this, apt is content with some of the lists.
        command.args(["update", "--error-on=any"]);
        self.run(
            &mut command,
            progress,
            &format!("read the package lists of {suites} from {archive}"),
        )
        .map(drop)
    }

    /// The names of all packages that begin with `prefix`.
    ///
    /// # Errors
    ///
    /// When apt fails.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let names = child::output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(|name| name.trim().to_owned()).collect())
    }

    /// Downloads packages into a folder; the files are returned in the order of the names.
    ///
    /// # Errors
    ///
    /// When one cannot be had, or is not what the signed lists say.
    pub(super) fn download(
        &self,
        packages: &[&str],
        into: &Path,
        progress: &dyn Progress,
    ) -> Result<Vec<PathBuf>, Error> {
        let mut command = self.command("apt-get");
        command.arg("download").args(packages).current_dir(into);
        self.run(
            &mut command,
            progress,
            &format!("download {}", packages.join(", ")),
        )?;
        let files = fs::read_dir(into).map_err(|error| Error::io("read", into, &error))?;
        let files: Vec<_> = files.flatten().map(|entry| entry.path()).collect();
        let find = |package: &&str| {
            let start = format!("{package}_");
            let found = files.iter().find(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&start)
            });
            found.cloned().ok_or_else(|| {
                Error::new(format!(
                    "apt-get says nothing wrong, but {package} is not there"
                ))
            })
        };
        packages.iter().map(find).collect()
    }

    fn run(
        &self,
        command: &mut Command,
        progress: &dyn Progress,
        doing: &str,
    ) -> Result<String, Error> {
        let finished = child::run(command, None, |line| match status(line) {
            Some(percent) => progress.detail(&format!("{percent} %")),
            None if line.starts_with("dlstatus:") => {}
            None => progress.detail(line),
        })?;
        if finished.status.success() {
            return Ok(finished.stdout);
        }
        let said = finished
            .all
            .lines()
            .filter(|line| !line.starts_with("dlstatus:"));
        let said: Vec<_> = said.collect();
        Err(Error::new(format!("cannot {doing}"))
            .advise(format!("see that this machine reaches Debian's archive (and that debian-archive-keyring is up to date), {ADVICE}"))
            .with_details(said.join("\n")))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", &self.configuration)
            .env("LC_ALL", "C.UTF-8");
        command
    }

    fn write(&self, name: &str, content: &str) -> Result<(), Error> {
        let path = self.folder.join(name);
        fs::write(&path, content).map_err(|error| Error::io("write", &path, &error))
    }
}

/// apt's configuration. `reach` is what the system says of `Acquire`, as `apt-config dump` prints it.
fn configuration(folder: &Path, reach: &str) -> Result<String, Error> {
    let shown = folder.to_string_lossy();
    if shown.contains(['"', '\n']) {
        return Err(Error::new(format!("apt cannot use the folder {shown}"))
            .advise("name one without quotes in XDG_CACHE_HOME"));
    }
    let mut text = String::new();
    for (name, value) in [
        ("Dir::State", ""),
        ("Dir::State::Lists", "lists"),
        ("Dir::State::status", "status"),
        ("Dir::Cache", "cache"),
        ("Dir::Etc::SourceList", "none"),
        ("Dir::Etc::SourceParts", "sources"),
        // Neither hooks nor preferences nor other settings of the system's.
        ("Dir::Etc::Main", "none"),
        ("Dir::Etc::Parts", "empty"),
        ("Dir::Etc::Preferences", "none"),
        ("Dir::Etc::PreferencesParts", "empty"),
    ] {
        text += &format!("{name} \"{shown}/{value}\";\n");
    }
    text += "APT::Architecture \"arm64\";\nAPT::Architectures { \"arm64\"; };\n";
    // There is no dpkg database to be changed, and the user of downloads could not write here.
    text += "APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\n";
    // Percentages on standard output.
    text += "APT::Status-Fd \"1\";\n";
    for line in reach.lines() {
        let setting = line.to_ascii_lowercase();
        if setting.starts_with("acquire::http::") || setting.starts_with("acquire::https::") {
            text += line;
            text.push('\n');
        }
    }
    Ok(text)
}

/// The percentage in a line such as `dlstatus:1:45.3:Retrieving file 1 of 2`.
fn status(line: &str) -> Option<u32> {
    let (_, rest) = line.strip_prefix("dlstatus:")?.split_once(':')?;
    let percent: f64 = rest.split(':').next()?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_way_to_the_network_is_the_systems() {
        let reach = "Acquire \"\";\nAcquire::http::Proxy \"http://proxy:3128\";\nAcquire::https::Verify-Peer \"1\";\n\
                     Acquire::AllowInsecureRepositories \"1\";\nAcquire::IndexTargets::deb \"\";\n";
        let text = configuration(Path::new("/cache/apt"), reach).unwrap();
        assert!(text.contains("Acquire::http::Proxy \"http://proxy:3128\";\n"));
        assert!(text.contains("Verify-Peer"));
        assert!(!text.contains("Insecure") && !text.contains("IndexTargets"));
        assert!(text.contains("Dir::State::Lists \"/cache/apt/lists\";\n"));
        assert!(configuration(Path::new("/a\"b"), "").is_err());
    }

    #[test]
    fn percentages_are_read() {
        assert_eq!(status("dlstatus:1:45.3:Retrieving file 1 of 2"), Some(45));
        assert_eq!(status("dlstatus:2:100.0000:Retrieving"), Some(100));
        for other in [
            "Get:1 http://x",
            "dlstatus:",
            "dlstatus:1:x:",
            "dlstatus:1:-3:",
            "dlstatus:1:900:",
        ] {
            assert_eq!(status(other), None);
        }
    }
}
