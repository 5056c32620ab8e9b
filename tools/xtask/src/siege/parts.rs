//! What a siege runs: copies, so that nobody who builds meanwhile changes it.

use std::fs;
use std::path::PathBuf;

use realm_guest::siege::{MARK, ORDER, Order};
use sha2::{Digest, Sha256};
use toolbox::images::{self, FIRMWARE, HYPERVISOR, RELEASE};
use toolbox::progress::Lines;
use toolbox::workspace::Workspace;
use toolbox::{Error, setup};

use crate::images::SIEGE_GUEST;
use crate::verify::runs;

/// The tool, the images, and the program of both realms.
#[derive(Debug)]
pub(super) struct Parts {
    /// Where they are, and where anything else of a siege is.
    pub(super) folder: PathBuf,
    /// Of tool and images.
    pub(super) digest: String,
    guest: Vec<u8>,
    order: usize,
}

impl Parts {
    /// Builds everything, and copies it.
    ///
    /// # Errors
    ///
    /// When something does not compile, or cannot be read or written.
    pub(super) fn build(workspace: &Workspace) -> Result<Self, Error> {
        let toolchain = setup::toolchain(workspace, &Lines)?;
        let all = [RELEASE.as_slice(), &[SIEGE_GUEST]].concat();
        images::build(workspace, &toolchain, &all, &Lines)?;
        let program = runs::program(workspace)
            .map_err(|case| Error::new(format!("the tool does not compile: {case:?}")))?;
        let folder = workspace.target().join("siege");
        fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, &error))?;
        let mut digest = Sha256::new();
        let images = [HYPERVISOR.file, FIRMWARE, SIEGE_GUEST.file];
        let images = images.map(|file| workspace.images().join(file));
        let mut guest = Vec::new();
        for from in [&program].into_iter().chain(&images) {
            let bytes = fs::read(from).map_err(|error| Error::io("read", from, &error))?;
            digest.update(&bytes);
            let to = folder.join(from.file_name().unwrap_or_default());
            // A program that runs cannot be written to, but another one can take its place.
            let _ = fs::remove_file(&to);
            fs::copy(from, &to).map_err(|error| Error::io("write", &to, &error))?;
            guest = bytes;
        }
        let order = guest.windows(MARK.len()).position(|bytes| *bytes == MARK);
        let order =
            order.ok_or_else(|| Error::new("the siege's program has no place for orders"))?;
        let digest = digest
            .finalize()
            .into_iter()
            .map(|byte| format!("{byte:02x}"));
        Ok(Self {
            folder,
            digest: digest.collect(),
            guest,
            order: order + MARK.len(),
        })
    }

    /// The program with an order in it, as a file of that name.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn realm(&self, name: &str, order: Order) -> Result<PathBuf, Error> {
        let mut image = self.guest.clone();
        let place = image.get_mut(self.order..self.order + ORDER);
        let place = place.ok_or_else(|| Error::new("the siege's program ends within its order"))?;
        place.copy_from_slice(&order.encode());
        let path = self.folder.join(name);
        fs::write(&path, image).map_err(|error| Error::io("write", &path, &error))?;
        Ok(path)
    }

    /// The tool.
    pub(super) fn program(&self) -> PathBuf {
        self.folder.join("suzerain")
    }
}
