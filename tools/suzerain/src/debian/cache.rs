//! Where Debian's kernel is kept between runs: either whole or not at all.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use toolbox::{Error, Progress, child};

use super::Kernel;

/// Of [`Manifest`] and of what is in the folder; a cache of another format is replaced.
const FORMAT: u32 = 1;
/// Beginning of the names of folders that are being filled.
const UNFINISHED: &str = "unfinished-";
const KERNEL: &str = "kernel";
const MANIFEST: &str = "manifest.json";

/// What is in a kernel's folder. Written last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// The kernel's release, such as `7.3.4+deb13-cloud-arm64`.
    pub(super) release: String,
    /// Debian's suite that it is from.
    pub(super) suite: String,
    /// The modules' files in the order in which they are loaded.
    pub(super) modules: Vec<String>,
    /// Each file with its size.
    sizes: Vec<(String, u64)>,
}

/// A folder of the user's that may be deleted at any time.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

/// The right to change a cache.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Cache {
    /// The folder for Debian's files below the user's cache folder: `$XDG_CACHE_HOME`, or `~/.cache`.
    ///
    /// # Errors
    ///
    /// When there is neither.
    pub(super) fn of_the_user() -> Result<Self, Error> {
        let absolute = |name: &str| {
            let path = PathBuf::from(env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        let home = || absolute("HOME").map(|home| home.join(".cache"));
        let cache = absolute("XDG_CACHE_HOME").or_else(home).ok_or_else(|| {
            Error::new("there is no folder to keep Debian's kernel in")
                .advise("set HOME or XDG_CACHE_HOME")
        })?;
        Ok(Self::at(&cache.join("suzerain").join("debian")))
    }

    pub(super) fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    /// The folder for apt's files.
    pub(super) fn apt(&self) -> PathBuf {
        self.folder.join("apt")
    }

    /// The kernel that is kept here, if there is a whole one.
    pub(super) fn kernel(&self) -> Option<Kernel> {
        let folder = self.folder.join(KERNEL);
        let manifest = fs::read(folder.join(MANIFEST)).ok()?;
        let manifest: Manifest = serde_json::from_slice(&manifest).ok()?;
        let whole = manifest.format == FORMAT
            && manifest.sizes.iter().all(|(name, size)| {
                fs::metadata(folder.join(name)).is_ok_and(|metadata| metadata.len() == *size)
            });
        whole.then(|| Kernel {
            image: folder.join(Kernel::IMAGE),
            busybox: folder.join(Kernel::BUSYBOX),
            modules: manifest
                .modules
                .iter()
                .map(|name| folder.join(name))
                .collect(),
            release: manifest.release,
            suite: manifest.suite,
        })
    }

    /// Waits until nobody else fills this cache.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written, or the person does not want to wait any longer.
    pub(super) fn lock(&self, progress: &dyn Progress) -> Result<Lock, Error> {
        fs::create_dir_all(&self.folder)
            .map_err(|error| Error::io("create", &self.folder, &error))?;
        let path = self.folder.join("lock");
        let file = File::create(&path).map_err(|error| Error::io("create", &path, &error))?;
        let mut waits = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path, &error)),
            }
            if child::interrupted() {
                return Err(Error::new("interrupted"));
            }
            if !waits {
                progress.step("waiting for another suzerain that gets Debian's kernel");
                waits = true;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// A new folder in which a kernel's files can be gathered; also removes what an end in the middle left here.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub(super) fn begin(&self, _lock: &Lock) -> Result<TempDir, Error> {
        let failed = |error| Error::io("write in", &self.folder, &error);
        for entry in fs::read_dir(&self.folder).map_err(failed)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_dir_all(entry.path()).map_err(failed)?;
            }
        }
        let folder = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&self.folder);
        folder.map_err(failed)
    }

    /// Makes the files in `folder` the kernel that is kept here. `modules` are their names in the order of loading.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub(super) fn commit(
        &self,
        _lock: &Lock,
        folder: TempDir,
        release: &str,
        suite: &str,
        modules: Vec<String>,
    ) -> Result<(), Error> {
        let path = folder.path();
        let mut sizes = Vec::new();
        for name in [Kernel::IMAGE, Kernel::BUSYBOX]
            .into_iter()
            .chain(modules.iter().map(String::as_str))
        {
            let file = path.join(name);
            let opened = File::open(&file).and_then(|opened| {
                // On the disk before the name is: a machine that loses its power must not leave an empty kernel.
                opened.sync_all()?;
                opened.metadata()
            });
            let metadata = opened.map_err(|error| Error::io("read", &file, &error))?;
            sizes.push((name.to_owned(), metadata.len()));
        }
        let manifest = Manifest {
            format: FORMAT,
            release: release.to_owned(),
            suite: suite.to_owned(),
            modules,
            sizes,
        };
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| Error::new(format!("cannot write {MANIFEST}: {error}")))?;
        let file = path.join(MANIFEST);
        fs::write(&file, text)
            .and_then(|()| File::open(&file)?.sync_all())
            .map_err(|error| Error::io("write", &file, &error))?;
        let kept = self.folder.join(KERNEL);
        let failed = |error| Error::io("write", &kept, &error);
        if kept.exists() {
            fs::remove_dir_all(&kept).map_err(failed)?;
        }
        fs::rename(path, &kept).map_err(failed)?;
        // Its files have another name now.
        let _ = folder.keep();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use toolbox::progress::Lines;

    use super::*;

    fn fill(cache: &Cache, release: &str) {
        let lock = cache.lock(&Lines).unwrap();
        let folder = cache.begin(&lock).unwrap();
        for name in [Kernel::IMAGE, Kernel::BUSYBOX, "a.ko"] {
            fs::write(folder.path().join(name), release).unwrap();
        }
        let modules = vec!["a.ko".to_owned()];
        cache
            .commit(&lock, folder, release, "sid", modules)
            .unwrap();
    }

    #[test]
    fn a_kernel_is_kept_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("deep/down"));
        assert!(cache.kernel().is_none());
        fill(&cache, "1.0");
        let kernel = cache.kernel().unwrap();
        assert_eq!(
            (kernel.release.as_str(), kernel.suite.as_str()),
            ("1.0", "sid")
        );
        assert_eq!(fs::read(&kernel.modules[0]).unwrap(), b"1.0");
        fill(&cache, "2.0");
        assert_eq!(cache.kernel().unwrap().release, "2.0");
        fs::write(&kernel.image, "shorter").unwrap();
        assert!(cache.kernel().is_none());
        fill(&cache, "3.0");
        fs::remove_file(&kernel.modules[0]).unwrap();
        assert!(cache.kernel().is_none());
    }

    #[test]
    fn what_an_interrupted_download_leaves_is_no_kernel_and_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let left = {
            let lock = cache.lock(&Lines).unwrap();
            let unfinished = cache.begin(&lock).unwrap();
            fs::write(unfinished.path().join(Kernel::IMAGE), "half").unwrap();
            unfinished.keep()
        };
        assert!(cache.kernel().is_none());
        assert!(left.exists());
        fill(&cache, "1.0");
        assert!(!left.exists());
        assert!(cache.kernel().is_some());
    }

    #[test]
    fn a_damaged_manifest_is_no_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        fill(&cache, "1.0");
        let manifest = folder.path().join(KERNEL).join(MANIFEST);
        let text = fs::read_to_string(&manifest).unwrap();
        for wrong in ["", "{}", &text.replace("\"format\": 1", "\"format\": 99")] {
            fs::write(&manifest, wrong).unwrap();
            assert!(cache.kernel().is_none(), "{wrong}");
        }
    }
}
