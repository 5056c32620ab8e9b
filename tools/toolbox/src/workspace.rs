//! Where the project's sources and build products are.

use std::env;
use std::path::{Path, PathBuf};

use crate::Error;

/// The folders of one source checkout.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The checkout that this program was built from, or the one around the current folder.
    ///
    /// # Errors
    ///
    /// When neither of the two is there.
    pub fn find() -> Result<Self, Error> {
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .map(Path::to_path_buf);
        let current = env::current_dir().ok();
        let candidates = built_from
            .iter()
            .map(PathBuf::as_path)
            .chain(current.iter().flat_map(|path| path.ancestors()));
        for root in candidates {
            if root.join("Cargo.toml").is_file()
                && root.join("images/hypervisor/Cargo.toml").is_file()
            {
                return Ok(Self::at(root));
            }
        }
        Err(Error::new("the sources of Suzerain are not here")
            .advise("run this inside a clone of the project"))
    }

    /// The checkout at `root`. Build products go where cargo puts them: `CARGO_TARGET_DIR`, or `target`.
    pub fn at(root: &Path) -> Self {
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir));
        Self {
            root: root.to_path_buf(),
            target,
        }
    }

    /// The checkout at `root`, with build products in `target`.
    pub fn with_target(root: &Path, target: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            target: target.to_path_buf(),
        }
    }

    /// The top folder of the sources.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Everything built.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The images of the project.
    pub fn images(&self) -> PathBuf {
        self.target.join("images")
    }

    /// Cargo's folder for bare-metal builds: a separate one, so that host builds and image builds never wait for each
    /// other and never rebuild each other's crates. The ELF files with symbols stay in it.
    pub fn bare_metal(&self) -> PathBuf {
        self.target.join("bare-metal")
    }
}
