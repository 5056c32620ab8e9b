//! Where the files of a machine are that stays up: its socket and its log.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The most bytes of a socket's path, of which the system keeps the last one.
const MAX_PATH: usize = 107;

/// The files of a machine.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The machine's name.
    pub(crate) name: String,
    folder: PathBuf,
}

impl Place {
    /// The place of the machine of that name, which may not be up.
    ///
    /// # Errors
    ///
    /// When the name is none, or no folder can be had that is the user's alone.
    pub(crate) fn new(name: &str) -> Result<Self, Failure> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let is_option = name.starts_with('-');
        if name.is_empty() || name.len() > 32 || is_option || !name.chars().all(fits) {
            return Err(Failure::input(format!(
                "`{name}` (--on or SUZERAIN_MACHINE) is no name of a machine; use 1 to 32 letters, digits, _ and, but for the \
                 first, -"
            )));
        }
        let folder = folder();
        make(&folder)?;
        let place = Self {
            name: name.to_owned(),
            folder,
        };
        let socket = place.socket();
        if socket.as_os_str().len() > MAX_PATH {
            return Err(Failure::input(format!(
                "{} is too long for a socket; set XDG_RUNTIME_DIR to a shorter folder",
                socket.display()
            )));
        }
        Ok(place)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(format!("{}.socket", self.name))
    }

    /// What firmware, hypervisor and the process itself say.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// Why the last machine of this name ended, if that is in its log.
    pub(crate) fn last_error(&self) -> Option<String> {
        let log = fs::read(self.log()).ok()?;
        let text = String::from_utf8_lossy(&log);
        let error = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("error: "));
        error.map(str::to_owned)
    }
}

fn folder() -> PathBuf {
    let of = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(runtime) = of("XDG_RUNTIME_DIR") {
        return runtime.join("suzerain");
    }
    let state = of("XDG_STATE_HOME").or_else(|| Some(of("HOME")?.join(".local/state")));
    match state {
        Some(state) => state.join("suzerain"),
        // Everybody has a folder of this kind there.
        None => env::temp_dir().join(format!("suzerain-{}", user())),
    }
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes a folder that nobody else can enter, or refuses what is there: a link, a folder of somebody else's, or one that is open
/// to others. In a folder like `/tmp`, anybody may have put that there.
fn make(folder: &Path) -> Result<(), Failure> {
    let shown = folder.display();
    let failed = |error: io::Error| {
        Failure::input(format!(
            "cannot make the folder {shown}: {error}; set XDG_RUNTIME_DIR to one of yours"
        ))
    };
    if let Some(parent) = folder.parent() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(parent).map_err(failed)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // Of the name itself, not of what it may lead to. Nobody but its owner can put something else there afterwards: a folder that all
    // may write to is sticky.
    let metadata = fs::symlink_metadata(folder).map_err(failed)?;
    let refuse = |why: &str| {
        Err(Failure::input(format!(
            "{shown} {why}; remove it, or set XDG_RUNTIME_DIR to a folder of yours"
        )))
    };
    if metadata.is_symlink() {
        return refuse("is a link, which somebody else may have put there");
    }
    if !metadata.is_dir() {
        return refuse("is no folder");
    }
    if metadata.uid() != user() {
        return refuse("is somebody else's, who could drive your machine");
    }
    if metadata.mode() & 0o077 != 0 {
        return refuse("is open to others, who could drive your machine (`chmod 700` closes it)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        make(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        make(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o750)).unwrap();
        assert!(make(&folder).unwrap_err().to_string().contains("chmod"));
    }

    /// Where anybody may make files, somebody may have made a link with the name of the folder, to where it does harm.
    #[test]
    fn a_link_in_place_of_the_folder_is_not_followed() {
        let shared = tempfile::tempdir().unwrap();
        let at = |name: &str| shared.path().join(name);
        make(&at("victim")).unwrap();
        symlink(at("victim"), at("link")).unwrap();
        let failure = make(&at("link")).unwrap_err();
        assert!(failure.to_string().contains("is a link"), "{failure}");
        symlink(at("nothing"), at("dangling")).unwrap();
        assert!(make(&at("dangling")).is_err());
        assert!(!at("nothing").exists());
        fs::write(at("file"), "").unwrap();
        let failure = make(&at("file")).unwrap_err();
        assert!(failure.to_string().contains("is no folder"), "{failure}");
    }

    #[test]
    fn names_of_machines_are_plain() {
        for name in ["", "a/b", "..", "a b", "-x", &"x".repeat(33)] {
            let failure = Place::new(name).unwrap_err();
            assert!(failure.to_string().contains("no name"), "{failure}");
        }
    }

    #[test]
    fn the_reason_of_the_end_is_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            name: "m".to_owned(),
            folder: folder.path().to_owned(),
        };
        assert_eq!(place.last_error(), None);
        fs::write(place.log(), "boot\nerror: first\nerror: the end\nmore\n").unwrap();
        assert_eq!(place.last_error().as_deref(), Some("the end"));
    }
}
