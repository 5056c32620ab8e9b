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
    match choice(built_by.as_deref(), is_debian_chosen(), Toolchain::of_name) {
        Choice::Builder(builder) => Ok(Some(builder)),
        Choice::Any => toolchain(workspace, progress).map(Some),
        Choice::AsTheyAre => {
            progress.note(
                "the compiler that built the images is not here: they are used as they are; \
                 `cargo xtask images` builds them anew",
            );
            Ok(None)
        }
    }
}

/// Who is to build images.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// Whoever did it before.
    Builder(Toolchain),
    /// Whoever is found or can be installed.
    Any,
    /// Nobody: they are there, and their compiler is not.
    AsTheyAre,
}

/// Who is to build images of this builder, or that are not there, where `find` finds compilers by name. Who chooses a compiler gets it.
fn choice(
    built_by: Option<&str>,
    is_chosen: bool,
    find: impl Fn(&str) -> Option<Toolchain>,
) -> Choice {
    match built_by {
        Some(name) if !is_chosen => find(name).map_or(Choice::AsTheyAre, Choice::Builder),
        _ => Choice::Any,
    }
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
        let debian = || Toolchain::Debian {
            linker: "/usr/bin/ld.lld-22".into(),
        };
        let has_debian = |name: &str| (name == "debian").then(debian);
        let has_both = |name: &str| match name {
            "user" => Some(Toolchain::User),
            _ => Some(debian()),
        };
        // Without a home, the user's own compiler is not found: nothing is built or installed in its place.
        assert_eq!(choice(Some("user"), false, |_| None), Choice::AsTheyAre);
        assert_eq!(choice(Some("user"), false, has_debian), Choice::AsTheyAre);
        // Whoever built them does it again, also where another one has come.
        assert_eq!(
            choice(Some("debian"), false, has_both),
            Choice::Builder(debian())
        );
        // Who is chosen does it, and what is not there must be built.
        assert_eq!(choice(Some("user"), true, has_both), Choice::Any);
        assert_eq!(choice(None, false, |_| None), Choice::Any);
    }
}
