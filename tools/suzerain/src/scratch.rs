//! Folders for files that a machine is started with, which go with this process, or, if it is killed, with the next one that needs one.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use toolbox::Error;

/// How the names of all such folders begin. `suzerain-` and a number is where sockets are without a home ([`keeper`](crate::keeper)).
const PREFIX: &str = "suzerain-machine-";

/// A folder that nobody else can enter.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    /// The folder itself, locked as long as this process lives: it is in use.
    _lock: File,
}

impl Scratch {
    /// A new one among those for temporary files. What processes that were killed have left there goes.
    ///
    /// # Errors
    ///
    /// When nothing can be made there.
    pub(crate) fn new() -> Result<Self, Error> {
        let place = env::temp_dir();
        clean(&place);
        Self::new_in(&place).map_err(|error| Error::io("create a folder in", &place, &error))
    }

    fn new_in(place: &Path) -> io::Result<Self> {
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
            // Somebody who cleans up may be faster: then this one is gone.
            let lock = match File::open(folder.path()) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match lock.lock() {
                // Where there are no locks, nobody takes the folder for left behind either.
                Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
                _ => {}
            }
            let is_there = |there: fs::Metadata| {
                let own = lock.metadata();
                own.is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()))
            };
            if fs::symlink_metadata(folder.path()).is_ok_and(is_there) {
                return Ok(Self {
                    folder,
                    _lock: lock,
                });
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes folders of this user that no living process has locked. What cannot be removed stays.
fn clean(place: &Path) {
    let own = rustix::process::geteuid().as_raw();
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let left = entries.filter(|entry| {
        let name = entry.file_name();
        let is_ours = |metadata: fs::Metadata| metadata.is_dir() && metadata.uid() == own;
        name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && entry.metadata().is_ok_and(is_ours)
    });
    for path in left.map(|entry| entry.path()).collect::<Vec<PathBuf>>() {
        if let Ok(folder) = File::open(&path)
            && folder.try_lock().is_ok()
        {
            // The lock is held until it is gone.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_a_process_that_was_killed_has_left_goes_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        let used = Scratch::new_in(place.path()).unwrap();
        fs::write(used.path().join("flash"), "of a machine that runs").unwrap();
        // A lock goes with its process; so this is what is left of one that was killed.
        fs::create_dir(path("suzerain-machine-left")).unwrap();
        fs::write(path("suzerain-machine-left/flash"), "of one that does not").unwrap();
        for others in ["others", "suzerain-1000"] {
            fs::create_dir(path(others)).unwrap();
        }
        fs::write(path("suzerain-machine-file"), "no folder").unwrap();
        symlink(path("others"), path("suzerain-machine-link")).unwrap();
        clean(place.path());
        assert!(!path("suzerain-machine-left").exists());
        assert!(used.path().join("flash").exists());
        for name in [
            "others",
            "suzerain-1000",
            "suzerain-machine-file",
            "suzerain-machine-link",
        ] {
            assert!(path(name).symlink_metadata().is_ok(), "{name}");
        }
        let own = used.path().to_owned();
        drop(used);
        assert!(!own.exists());
    }

    #[test]
    fn who_makes_a_folder_while_others_clean_up_has_one() {
        let place = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        clean(place.path());
                        let folder = Scratch::new_in(place.path()).unwrap();
                        fs::write(folder.path().join("flash"), "x").unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
