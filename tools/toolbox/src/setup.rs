//! Finds the tools that images and machine need, and installs those that are missing.

use std::path::PathBuf;

use crate::consent;
use crate::debian::{self, Release};
use crate::images::{self, Image};
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
    if let Some(found) = here() {
        return Ok(found);
    }
    let only_debian = is_debian_chosen();
    let by_hand = format!("run `rustup target add {TARGET}`");
    let mut why = Error::new(format!("no compiler for {TARGET} is here")).advise(&by_hand);
    if !only_debian && toolchain::has_rustup() {
        let what = format!("1 component of your Rust (the target {TARGET}), about 70 MB on disk");
        consent::announce(&what, "the images are built for it", &by_hand, progress)?;
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

/// The compiler that is to build `images`, as [`toolchain()`] finds or installs it; `None` if they are there, and whoever built them is not:
/// then they are what is used, and nothing is installed.
///
/// # Errors
///
/// As [`toolchain()`].
pub fn builder(
    workspace: &Workspace,
    images: &[Image],
    progress: &dyn Progress,
) -> Result<Option<Toolchain>, Error> {
    let built_by = images::built_by(workspace, images);
    let found = here();
    if is_builder_away(built_by.as_deref(), found.as_ref(), is_debian_chosen()) {
        progress.note("the compiler that built the images is not here: they are used as they are");
        return Ok(None);
    }
    match found {
        Some(found) => Ok(Some(found)),
        None => toolchain(workspace, progress).map(Some),
    }
}

/// Whether there are images, and none but another compiler than theirs. Who chooses a compiler gets it.
fn is_builder_away(built_by: Option<&str>, found: Option<&Toolchain>, is_chosen: bool) -> bool {
    built_by.is_some_and(|name| {
        let may_build = |found: &Toolchain| is_chosen || found.name() == name;
        !found.is_some_and(may_build)
    })
}

/// The compiler that is complete on this computer.
fn here() -> Option<Toolchain> {
    let user = match is_debian_chosen() {
        true => None,
        false => Toolchain::user(),
    };
    user.or_else(Toolchain::debian)
}

fn is_debian_chosen() -> bool {
    std::env::var(toolchain::OVERRIDE).is_ok_and(|value| value == "debian")
}

fn apt_folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("debian")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_are_there_are_used_where_their_compiler_is_not() {
        let debian = Toolchain::Debian {
            linker: "/usr/bin/ld.lld-22".into(),
        };
        // Without a home, the user's own compiler is not found: nothing is built or installed in its place.
        assert!(is_builder_away(Some("user"), None, false));
        assert!(is_builder_away(Some("user"), Some(&debian), false));
        // Nobody is asked to build what is there.
        assert!(is_builder_away(Some("user"), None, true));
        // Whoever built them does it again, and so does who is chosen.
        assert!(!is_builder_away(
            Some("user"),
            Some(&Toolchain::User),
            false
        ));
        assert!(!is_builder_away(Some("user"), Some(&debian), true));
        // What is not there must be built.
        assert!(!is_builder_away(None, None, false));
        assert!(!is_builder_away(None, Some(&debian), false));
    }
}
