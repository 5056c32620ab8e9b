//! The arrows between the workspace's members: dependencies point one way.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use toolbox::workspace::Workspace;
use toolbox::{Error, child};

use crate::source;

/// The rings of the workspace, from what knows nothing to what knows everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ring {
    /// What numbers, bits and bytes mean: `cca-abi`, `aarch64-formats`, `suzerain-wire`.
    Format,
    /// What one world decides: the other members of `crates/`.
    World,
    /// Instructions, device addresses, linker symbols.
    Hardware,
    /// Bootable binaries.
    Image,
    /// The in-process machine.
    Machine,
    /// Programs of others, toolchains and builds: what the tool and xtask stand on.
    Toolbox,
    /// The command-line tool.
    Tool,
    /// Checks.
    Verification,
    /// What runs checks.
    Xtask,
}

impl Ring {
    /// The ring of the member with this name and folder (relative to the workspace).
    fn of(name: &str, folder: &str) -> Option<Self> {
        Some(match (name, folder.split('/').next()?) {
            ("cca-abi" | "aarch64-formats" | "suzerain-wire", "crates") => Self::Format,
            (_, "crates") => Self::World,
            (_, "hardware") => Self::Hardware,
            (_, "images") => Self::Image,
            (_, "machine") => Self::Machine,
            (_, "verification") => Self::Verification,
            ("toolbox", "tools") => Self::Toolbox,
            ("suzerain", "tools") => Self::Tool,
            ("xtask", "tools") => Self::Xtask,
            _ => return None,
        })
    }

    /// Whether a member of this ring may depend on `other`, which is in `ring`. What is not named here may not: so nothing
    /// of the product depends on [`Verification`](Self::Verification) or [`Xtask`](Self::Xtask), by whatever way.
    fn may_use(self, name: &str, other: &str, ring: Self) -> bool {
        match (self, ring) {
            // Numbers depend on nothing; bits may depend on numbers never: they are the architecture's.
            (Self::Format, _) => false,
            (Self::World, Self::Format) => true,
            // The host's machine is built on the host's library, and both monitors mint tokens. No world knows another.
            (Self::World, Self::World) => {
                matches!(
                    (name, other),
                    ("realm-vmm", "realm-host") | ("realm-monitor" | "root-monitor", "realm-token")
                )
            }
            (Self::Hardware | Self::Machine, Self::Format | Self::World) => true,
            (Self::Machine, Self::Machine) => other == "machine-eyes",
            (Self::Image, Self::Format | Self::World | Self::Hardware) => true,
            // The scenarios run on hardware, too.
            (Self::Image, Self::Verification) => {
                name == "image-scenario-runner" && other == "scenarios"
            }
            (
                Self::Verification,
                Self::Format | Self::World | Self::Machine | Self::Verification,
            ) => true,
            // A fuzz target is a hypervisor that the tool hears.
            (Self::Verification, Self::Tool) => name == "fuzz",
            // The layout of the firmware's flash, and the seed of the development identity.
            (Self::Toolbox, Self::Format | Self::World) => {
                matches!(other, "cca-abi" | "realm-token")
            }
            (Self::Tool, Self::Machine | Self::Toolbox) => true,
            (Self::Tool, Self::Format | Self::World) => {
                matches!(
                    other,
                    "cca-abi" | "realm-token" | "realm-vmm" | "suzerain-wire"
                )
            }
            (Self::Xtask, Self::Toolbox) => true,
            (Self::Xtask, Self::Format) => other == "cca-abi",
            // The seed of the development identity; what the realms of a siege are told, and compute.
            (Self::Xtask, Self::World) => matches!(other, "realm-token" | "realm-guest"),
            _ => false,
        }
    }
}

/// One dependency of one member on another.
#[derive(Debug, PartialEq, Eq)]
struct Arrow {
    from: String,
    to: String,
    is_dev: bool,
}

/// Every broken rule, one line each; empty if the layering holds.
///
/// # Errors
///
/// When cargo does not tell the members, or a source file cannot be read.
pub(crate) fn broken_rules(workspace: &Workspace) -> Result<Vec<String>, Error> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(workspace.root());
    let metadata = child::output(&mut command)?;
    let metadata: Value = serde_json::from_str(&metadata)
        .map_err(|error| Error::new(format!("cannot read what cargo metadata says: {error}")))?;
    let (members, arrows) = read(&metadata, workspace.root());
    let mut broken = check(&members, &arrows);
    for (name, folder) in &members {
        if folder.starts_with("crates/") {
            broken.extend(core_crate(name, &workspace.root().join(folder))?);
        }
    }
    Ok(broken)
}

/// The members with their folders, and the dependencies among them.
fn read(metadata: &Value, root: &Path) -> (Vec<(String, String)>, Vec<Arrow>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let members: Vec<_> = packages
        .iter()
        .map(|package| {
            let manifest = text(&package["manifest_path"]);
            let folder = Path::new(&manifest)
                .parent()
                .and_then(|folder| folder.strip_prefix(root).ok());
            (
                text(&package["name"]),
                folder
                    .map(|folder| folder.display().to_string())
                    .unwrap_or_default(),
            )
        })
        .collect();
    let mut arrows = Vec::new();
    for package in packages {
        for dependency in package["dependencies"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
        {
            let to = text(&dependency["name"]);
            if members.iter().any(|(name, _)| *name == to) {
                arrows.push(Arrow {
                    from: text(&package["name"]),
                    to,
                    is_dev: dependency["kind"] == "dev",
                });
            }
        }
    }
    (members, arrows)
}

fn check(members: &[(String, String)], arrows: &[Arrow]) -> Vec<String> {
    let ring = |name: &str| {
        let (name, folder) = members.iter().find(|(member, _)| member == name)?;
        Ring::of(name, folder)
    };
    let homeless = members
        .iter()
        .filter(|(name, folder)| Ring::of(name, folder).is_none());
    let mut broken: Vec<_> = homeless
        .map(|(name, folder)| format!("{name}: {folder} is in no ring"))
        .collect();
    for Arrow { from, to, is_dev } in arrows {
        let (Some(from_ring), Some(to_ring)) = (ring(from), ring(to)) else {
            continue;
        };
        // The tests and examples of a world may use the other ends of its interfaces, and the in-process machine.
        let test_only = *is_dev
            && from_ring == Ring::World
            && matches!(to_ring, Ring::Format | Ring::World | Ring::Machine);
        // A crate may ask for features of itself in its tests.
        let own_features = *is_dev && from == to;
        if !test_only && !own_features && !from_ring.may_use(from, to, to_ring) {
            broken.push(format!(
                "{from} ({from_ring:?}) must not depend on {to} ({to_ring:?})"
            ));
        }
    }
    broken
}

/// What holds for every crate that decides for a world: no unsafe code, no std, nothing that depends on the processor
/// that it is compiled for, nothing that differs between test and product.
fn core_crate(name: &str, folder: &Path) -> Result<Vec<String>, Error> {
    let mut broken = Vec::new();
    for (path, code) in source::files(&folder.join("src"))? {
        let shown = path.display();
        let squeezed: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
        if path.ends_with("src/lib.rs") {
            for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
                if !squeezed.contains(attribute) {
                    broken.push(format!("{name}: {shown} does not say {attribute}"));
                }
            }
        }
        for word in ["target_arch", "target_os", "asm!", "global_asm!"] {
            if source::words(&code).any(|found| found == word.trim_end_matches('!'))
                && code.contains(word)
            {
                broken.push(format!(
                    "{name}: {shown} has {word}, which belongs into hardware"
                ));
            }
        }
        let tests = squeezed.matches("cfg(test)").count();
        let modules = squeezed.matches("#[cfg(test)] mod ").count()
            + squeezed.matches("#[cfg(test)] extern crate").count();
        if tests > modules {
            broken.push(format!("{name}: {shown} behaves differently in tests: cfg(test) may only stand before `mod`"));
        }
    }
    Ok(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(arrows: &[(&str, &str, bool)]) -> Vec<String> {
        let members = [
            ("cca-abi", "crates/cca-abi"),
            ("realm-host", "crates/realm-host"),
            ("realm-vmm", "crates/realm-vmm"),
            ("realm-monitor", "crates/realm-monitor"),
            ("hardware", "hardware"),
            ("image-hypervisor", "images/hypervisor"),
            ("machine", "machine"),
            ("scenarios", "verification/scenarios"),
            ("image-scenario-runner", "images/scenario-runner"),
            ("fuzz", "verification/fuzz"),
            ("toolbox", "tools/toolbox"),
            ("suzerain", "tools/suzerain"),
            ("xtask", "tools/xtask"),
        ];
        let members: Vec<_> = members
            .map(|(name, folder)| (name.to_owned(), folder.to_owned()))
            .into();
        let arrow = |(from, to, is_dev): &(&str, &str, bool)| Arrow {
            from: (*from).to_owned(),
            to: (*to).to_owned(),
            is_dev: *is_dev,
        };
        check(&members, &arrows.iter().map(arrow).collect::<Vec<_>>())
    }

    #[test]
    fn arrows_that_point_inwards_hold() {
        let good = [
            ("realm-host", "cca-abi", false),
            ("realm-vmm", "realm-host", false),
            ("hardware", "realm-monitor", false),
            ("image-hypervisor", "hardware", false),
            ("machine", "realm-monitor", false),
            ("scenarios", "machine", false),
            ("suzerain", "machine", false),
            ("suzerain", "toolbox", false),
            ("xtask", "toolbox", false),
            ("toolbox", "cca-abi", false),
            ("fuzz", "suzerain", false),
            ("image-scenario-runner", "scenarios", false),
            ("realm-host", "realm-monitor", true),
            ("realm-host", "machine", true),
        ];
        assert_eq!(broken(&good), Vec::<String>::new());
    }

    #[test]
    fn arrows_that_point_outwards_or_sideways_are_named() {
        let bad = [
            ("cca-abi", "realm-host", false),
            ("realm-monitor", "realm-host", false),
            ("realm-host", "realm-vmm", false),
            ("realm-host", "hardware", false),
            ("hardware", "image-hypervisor", false),
            ("machine", "hardware", false),
            ("suzerain", "hardware", false),
            ("toolbox", "suzerain", false),
            ("toolbox", "machine", false),
            ("scenarios", "suzerain", false),
            ("xtask", "suzerain", false),
            ("realm-host", "machine", false),
            ("realm-host", "hardware", true),
        ];
        for arrow in bad {
            let lines = broken(&[arrow]);
            assert_eq!(lines.len(), 1, "{arrow:?}");
            assert!(
                lines[0].starts_with(arrow.0) && lines[0].contains(arrow.1),
                "{lines:?}"
            );
        }
    }
    #[test]
    fn the_product_depends_on_no_check() {
        for from in [
            "cca-abi",
            "realm-host",
            "realm-monitor",
            "hardware",
            "image-hypervisor",
            "machine",
            "toolbox",
            "suzerain",
        ] {
            for to in ["scenarios", "fuzz", "xtask"] {
                for is_dev in [false, true] {
                    let lines = broken(&[(from, to, is_dev)]);
                    assert_eq!(lines.len(), 1, "{from} on {to}, for tests: {is_dev}");
                }
            }
        }
    }
}
