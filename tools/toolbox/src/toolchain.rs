//! The compiler for the bare-metal images: which one, and how it is called.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::child;

/// The target of every image: AArch64 without floating point, since a world's own code must never touch the
/// registers that belong to whom it serves.
pub const TARGET: &str = "aarch64-unknown-none-softfloat";
/// Set to `debian` to use Debian's compiler without looking at others.
pub(crate) const OVERRIDE: &str = "SUZERAIN_TOOLCHAIN";

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_RUSTDOC: &str = "/usr/bin/rustdoc";
/// The oldest compiler that builds the workspace (`rust-version` in `Cargo.toml`).
const MINIMUM: (u32, u32) = (1, 89);

/// A compiler that can build the images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// The user's own cargo and rustc, with the target's precompiled `core`.
    User,
    /// Debian's cargo and rustc, which build `core` from its sources and link with LLVM's linker.
    Debian {
        /// The linker.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// The user's own toolchain, if it has the target.
    pub fn user() -> Option<Self> {
        let mut command = Command::new("rustc");
        command.args(["--print", "target-libdir", "--target", TARGET]);
        let folder = PathBuf::from(child::output(&mut command).ok()?.trim());
        let has_core = folder.read_dir().ok()?.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libcore-") && name.ends_with(".rlib")
        });
        has_core.then_some(Self::User)
    }

    /// Debian's compiler, if it is here with everything that it needs.
    pub fn debian() -> Option<Self> {
        let sysroot =
            child::output(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"])).ok()?;
        let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
        let version = child::output(Command::new(DEBIAN_RUSTC).arg("--version")).ok()?;
        let complete =
            Path::new(DEBIAN_CARGO).is_file() && library.join("core/Cargo.toml").is_file();
        if !complete || parse_version(&version)? < MINIMUM {
            return None;
        }
        Some(Self::Debian {
            linker: debian_linker()?,
        })
    }

    /// A call of this toolchain's cargo that compiles for [`TARGET`] with `rustflags` for the target's crates only.
    ///
    /// The caller adds the subcommand's other arguments. The environment that a surrounding cargo or a user's
    /// shell sets for host builds is taken away.
    pub fn cargo(&self, subcommand: &str, rustflags: &[&str]) -> Command {
        let mut command = match self {
            Self::User => Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
            Self::Debian { .. } => Command::new(DEBIAN_CARGO),
        };
        for name in [
            "RUSTFLAGS",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "RUSTC_WORKSPACE_WRAPPER",
        ] {
            command.env_remove(name);
        }
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_PROFILE_")
                || name.starts_with("CARGO_MANIFEST_")
            {
                command.env_remove(&*name);
            }
        }
        // The separator that cargo documents for this variable is the unit separator.
        command.env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\x1f"));
        command.args([subcommand, "--target", TARGET]);
        if let Self::Debian { linker } = self {
            for name in ["RUSTC_WRAPPER", "RUSTUP_TOOLCHAIN"] {
                command.env_remove(name);
            }
            command
                .env("CARGO", DEBIAN_CARGO)
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTDOC", DEBIAN_RUSTDOC)
                .env("RUSTC_BOOTSTRAP", "1");
            command.env("CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_LINKER", linker);
            command.arg("-Zbuild-std=core,alloc,compiler_builtins");
        }
        command
    }

    /// The toolchain of this [`name`](Self::name), if it is complete on this computer.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        match name {
            "user" => Self::user(),
            "debian" => Self::debian(),
            _ => None,
        }
    }

    /// Folder name for this toolchain's build products, which the other toolchain cannot use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Debian { .. } => "debian",
        }
    }
}

/// For people: whose compiler it is.
impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => write!(f, "your own Rust, with the target {TARGET}"),
            Self::Debian { linker } => write!(
                f,
                "Debian's {DEBIAN_RUSTC}, with the linker {}",
                linker.display()
            ),
        }
    }
}

/// Whether the user's toolchain is rustup's, and that is here.
pub(crate) fn has_rustup() -> bool {
    child::output(Command::new("rustup").arg("--version")).is_ok()
}

/// Adds the target to the user's toolchain with rustup.
///
/// # Errors
///
/// When there is no rustup, or it cannot download the target.
pub(crate) fn add_target(on_line: impl FnMut(&str)) -> Result<(), Error> {
    let finished = child::run(
        Command::new("rustup").args(["target", "add", TARGET]),
        None,
        on_line,
    )?;
    if finished.status.success() {
        return Ok(());
    }
    let last = finished
        .all
        .lines()
        .rev()
        .find(|line| line.contains("error"))
        .unwrap_or("it does not say why");
    Err(Error::new(format!("rustup cannot add the target: {last}"))
        .with_details(finished.all.clone()))
}

/// The LLVM linker with the highest version that Debian installed.
fn debian_linker() -> Option<PathBuf> {
    let entries = Path::new("/usr/bin").read_dir().ok()?.flatten();
    let versions = entries.filter_map(|entry| {
        entry
            .file_name()
            .to_str()?
            .strip_prefix("ld.lld-")?
            .parse::<u32>()
            .ok()
    });
    versions
        .max()
        .map(|version| PathBuf::from(format!("/usr/bin/ld.lld-{version}")))
}

fn parse_version(output: &str) -> Option<(u32, u32)> {
    let mut numbers = output
        .strip_prefix("rustc ")?
        .split('.')
        .map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(
            parse_version("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"),
            Some((1, 96))
        );
        assert_eq!(parse_version("clang 19"), None);
    }

    #[test]
    fn flags_for_images_do_not_come_from_the_users_environment() {
        let toolchain = Toolchain::Debian {
            linker: "/usr/bin/ld.lld-22".into(),
        };
        let command = toolchain.cargo("build", &["--cfg", "a"]);
        let value = |name: &str| {
            command
                .get_envs()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        assert_eq!(value("RUSTFLAGS"), Some(None));
        assert_eq!(
            value("CARGO_ENCODED_RUSTFLAGS"),
            Some(Some("--cfg\x1fa".as_ref()))
        );
        assert_eq!(value("RUSTC_BOOTSTRAP"), Some(Some("1".as_ref())));
        assert!(
            Toolchain::User
                .cargo("build", &[])
                .get_envs()
                .all(|(key, _)| key != "RUSTC_BOOTSTRAP")
        );
    }
}
