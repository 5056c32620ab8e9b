//! Finds the tools that images and machine need, and installs those that are missing.

use std::path::PathBuf;

use crate::debian::{self, Release};
use crate::qemu::{self, Qemu, Unusable};
use crate::toolchain::{self, TARGET, Toolchain};
use crate::workspace::Workspace;
use crate::{Error, Progress};

/// The emulator: the one that is here, or Debian's, installed now.
///
/// # Errors
///
/// When there is none and none can be installed; the error says what to install by hand.
pub fn qemu(workspace: &Workspace, progress: &dyn Progress) -> Result<Qemu, Error> {
    let why = match qemu::find() {
        Ok(qemu) => return Ok(qemu),
        Err(Unusable::Chosen(error)) => return Err(error),
        Err(unusable) => unusable.into_error(),
    };
    let suite = match Release::of_this_system() {
        Some(Release::Bookworm) => "bookworm-backports",
        // Newer releases have a QEMU that is new enough, in the sources that the user has anyway.
        Some(Release::Newer) | None => return Err(why),
    };
    let reason = "it emulates a processor with the Realm Management Extension";
    debian::install(
        &apt_folder(workspace),
        &["qemu-system-arm"],
        Some(suite),
        reason,
        progress,
    )?;
    qemu::find().map_err(Unusable::into_error)
}

/// The bare-metal compiler: the user's own if it has the target, else with the target that rustup adds to it, else
/// Debian's. One that is complete on this machine is taken before anything is downloaded.
///
/// # Errors
///
/// When there is none and none can be installed; the error says what to install by hand.
pub fn toolchain(workspace: &Workspace, progress: &dyn Progress) -> Result<Toolchain, Error> {
    let only_debian = std::env::var(toolchain::OVERRIDE).is_ok_and(|value| value == "debian");
    let user = if only_debian { None } else { Toolchain::user() };
    if let Some(found) = user.or_else(Toolchain::debian) {
        return Ok(found);
    }
    let by_hand = format!("run `rustup target add {TARGET}`");
    let mut why = Error::new(format!("no compiler for {TARGET} is here")).advise(&by_hand);
    if !only_debian {
        progress.note(&format!(
            "adding the target {TARGET} to the Rust toolchain: the images are built for it"
        ));
        progress.step("downloading the target with rustup");
        match toolchain::add_target(|line| progress.detail(line)) {
            Ok(()) => {
                if let Some(found) = Toolchain::user() {
                    return Ok(found);
                }
            }
            Err(error) => {
                progress.note(&error.to_string());
                why = error.advise(&by_hand);
            }
        }
    }
    match debian(workspace, progress)? {
        Some(found) => Ok(found),
        None => Err(why),
    }
}

/// Debian's compiler, installed now if it is missing; `None` on a system that setup cannot bring it to.
///
/// # Errors
///
/// When it cannot be installed; the error says what to install by hand.
pub fn debian(workspace: &Workspace, progress: &dyn Progress) -> Result<Option<Toolchain>, Error> {
    if let Some(found) = Toolchain::debian() {
        return Ok(Some(found));
    }
    if Release::of_this_system() != Some(Release::Bookworm) {
        return Ok(None);
    }
    let packages = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];
    let reason = "Debian's compiler builds the bare-metal images; your own Rust stays as it is";
    debian::install(&apt_folder(workspace), &packages, None, reason, progress)?;
    let found = Toolchain::debian().ok_or_else(|| {
        Error::new("Debian's compiler is not complete after its installation")
            .advise(format!("run `rustup target add {TARGET}`"))
    })?;
    Ok(Some(found))
}

fn apt_folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("apt")
}
