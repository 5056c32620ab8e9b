//! Everything that must be there before a machine can be started.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use toolbox::images;
use toolbox::qemu::{self, Qemu};
use toolbox::workspace::Workspace;
use toolbox::{Consent, Progress, setup};

use crate::bundle;
use crate::failure::Failure;
use crate::size;

/// What may be done to this computer.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Install {
    /// Installs what is missing at once; else, a person at a terminal has ten seconds to stop it
    #[arg(long)]
    yes: bool,

    /// Installs nothing: what is missing is an error that says what to install
    #[arg(long, conflicts_with = "yes")]
    no_install: bool,
}

impl Install {
    /// Holds for this process from now on.
    pub(crate) fn choose(self) {
        Consent::of_options(self.yes, self.no_install).choose();
    }
}

/// What a machine is started with.
#[derive(Debug)]
pub(crate) struct Parts {
    /// For flash 0.
    pub(crate) firmware: PathBuf,
    /// For the normal world.
    pub(crate) hypervisor: PathBuf,
    /// The demo guest, if it was wanted.
    pub(crate) demo: Vec<u8>,
    /// The emulator, where one is needed.
    pub(crate) qemu: Option<Qemu>,
    /// How long it took to find or install tools.
    pub(crate) setup: Duration,
    /// How long it took to build images.
    pub(crate) images: Duration,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// An emulator, firmware and a hypervisor.
    pub(crate) machine: bool,
    /// The demo guest.
    pub(crate) demo: bool,
    /// The user's own firmware.
    pub(crate) firmware: Option<&'a Path>,
    /// The user's own hypervisor.
    pub(crate) hypervisor: Option<&'a Path>,
}

/// Finds what the user named, installs tools and builds images as far as they are wanted.
///
/// # Errors
///
/// Bad files, and whatever setup and build cannot do.
pub(crate) fn prepare(wanted: Wanted<'_>, progress: &dyn Progress) -> Result<Parts, Failure> {
    // What the user named is looked at first: nobody should wait for a build to hear of a wrong name.
    for (what, path) in [
        ("firmware", wanted.firmware),
        ("hypervisor", wanted.hypervisor),
    ] {
        if let Some(path) = path {
            check_file(what, path)?;
        }
    }
    let started = Instant::now();
    let own = wanted.firmware.is_some() && wanted.hypervisor.is_some();
    let complete = !wanted.demo && (!wanted.machine || own);
    let workspace = Workspace::find();
    progress.step("looking for tools");
    let emulator = match (&workspace, wanted.machine) {
        (Ok(workspace), true) => Some(setup::qemu(workspace, progress)?),
        (Err(_), true) => Some(qemu::find().map_err(qemu::Unusable::into_error)?),
        (_, false) => None,
    };
    if let Some(warning) = emulator.as_ref().and_then(Qemu::warning) {
        progress.note(&format!("warning: {warning}"));
    }
    // The scripted guest of the in-process machine is measured as the demo guest's bytes.
    let all = match wanted.machine {
        true => images::RELEASE.as_slice(),
        false => &[images::DEMO_GUEST],
    };
    let builder = match &workspace {
        Ok(workspace) if !complete => setup::builder(workspace, all, progress)?,
        _ => None,
    };
    let setup = started.elapsed();
    let started = Instant::now();
    let built = |name: &str| {
        workspace
            .as_ref()
            .map(|workspace| workspace.images().join(name))
            .unwrap_or_default()
    };
    if !complete {
        let workspace = workspace.as_ref().map_err(Clone::clone)?;
        images::bring(workspace, builder.as_ref(), all, progress)?;
    }
    let demo = match wanted.demo {
        true => read_image(&built(images::DEMO_GUEST.file), u64::MAX)?,
        false => Vec::new(),
    };
    let or_built = |own: Option<&Path>, name| own.map_or_else(|| built(name), Path::to_path_buf);
    Ok(Parts {
        firmware: or_built(wanted.firmware, images::FIRMWARE),
        hypervisor: or_built(wanted.hypervisor, images::HYPERVISOR.file),
        demo,
        qemu: emulator,
        setup,
        images: started.elapsed(),
    })
}

/// Refuses what is not a file with something in it; returns its size.
pub(crate) fn check_file(what: &str, path: &Path) -> Result<u64, Failure> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| {
        Failure::input(format!(
            "cannot read the {what} {shown}: {error}; name a raw image that exists"
        ))
    })?;
    if !metadata.is_file() {
        return Err(Failure::input(format!(
            "the {what} {shown} is not a file; name a raw image"
        )));
    }
    if metadata.len() == 0 {
        return Err(Failure::input(format!(
            "the {what} {shown} is empty; name a raw image"
        )));
    }
    Ok(metadata.len())
}

/// Reads a raw image for a realm with so much memory.
///
/// # Errors
///
/// When there is none, or it is too large.
pub(crate) fn read_image(path: &Path, memory: u64) -> Result<Vec<u8>, Failure> {
    let size = check_file("image", path)?;
    let shown = path.display();
    if size > memory {
        let memory = size::show(memory);
        let message =
            format!("the image {shown} has {size} bytes and the realm {memory}; raise --memory");
        return Err(Failure::input(message));
    }
    if size > bundle::MAX_IMAGE {
        let most = size::show(bundle::MAX_IMAGE);
        return Err(Failure::input(format!(
            "the image {shown} has {size} bytes; the most is {most}"
        )));
    }
    fs::read(path)
        .map_err(|error| Failure::input(format!("cannot read the image {shown}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_images_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image");
        for (content, why) in [
            (None, "cannot read"),
            (Some(0), "empty"),
            (Some(4097), "--memory"),
        ] {
            if let Some(length) = content {
                fs::write(&file, vec![1; length]).unwrap();
            }
            let failure = read_image(&file, 4096).unwrap_err();
            assert!(failure.to_string().contains(why), "{failure}");
            assert!(failure.to_string().contains("image"), "{failure}");
        }
        fs::write(&file, [7; 4096]).unwrap();
        assert_eq!(read_image(&file, 4096).unwrap(), [7; 4096]);
        assert!(
            read_image(folder.path(), 4096)
                .unwrap_err()
                .to_string()
                .contains("not a file")
        );
    }
}
