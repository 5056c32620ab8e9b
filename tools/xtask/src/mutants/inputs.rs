//! What the outcome of a mutation depends on besides its row, as digests: an outcome counts as long as they are the same.
//!
//! A row that runs on the emulated machine depends on the firmware and on the program that boots beside it, byte by byte as they
//! are without a mutation; one that cargo runs, on the sources of the tested package and of those that it depends on, as cargo
//! names them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use toolbox::images::{Image, REALM_MONITOR, ROOT_MONITOR};
use toolbox::workspace::Workspace;
use toolbox::{Error, child};

use super::inventory::{Row, Test};
use super::sequence::Sequence;
use crate::images::{PAYLOAD, PUPPET, SCENARIO_RUNNER};
use crate::verify;

/// Booted beside the firmware, by scenarios and by the suite `firmware`.
pub(super) const BESIDE: [Image; 3] = [PAYLOAD, PUPPET, SCENARIO_RUNNER];
/// What a mutation of the firmware is built into.
pub(super) const FIRMWARE: [Image; 2] = [ROOT_MONITOR, REALM_MONITOR];

/// Digests of what tests depend on.
#[derive(Debug)]
pub(crate) struct Inputs {
    firmware: String,
    /// What scenarios boot beside it.
    runner: String,
    /// What the suite `firmware` boots beside it.
    payload: String,
    /// By the name of the package that cargo tests.
    packages: BTreeMap<String, String>,
    /// By name.
    sequences: BTreeMap<String, String>,
}

impl Inputs {
    /// Of the sources as they are in `workspace`, where the images have been built from them without a mutation.
    ///
    /// # Errors
    ///
    /// When cargo cannot tell what a package depends on, or an image is not there.
    pub(crate) fn read(
        workspace: &Workspace,
        sources: &BTreeMap<PathBuf, Vec<u8>>,
        sequences: &[Sequence],
        rows: &[Row],
    ) -> Result<Self, Error> {
        let profile = profile(sources)?;
        let package = |name: &str| {
            let tree = tree(workspace, name)?;
            let digest = of_closure(workspace.root(), &tree, sources, &profile);
            Ok::<_, Error>((name.to_owned(), digest))
        };
        let bytes = |images: &[Image]| {
            let mut digest = Sha256::new();
            for image in images {
                let path = workspace.images().join(image.file);
                let bytes = fs::read(&path).map_err(|error| Error::io("read", &path, &error))?;
                add(&mut digest, image.name, &bytes);
            }
            Ok::<_, Error>(hexadecimal(digest))
        };
        let tested: BTreeSet<_> = rows
            .iter()
            .filter_map(|row| match &row.test {
                Test::Cargo(package, _) => Some(package.as_str()),
                _ => None,
            })
            .collect();
        Ok(Self {
            firmware: bytes(&FIRMWARE)?,
            runner: bytes(&[PUPPET, SCENARIO_RUNNER])?,
            payload: bytes(&[PAYLOAD])?,
            packages: tested
                .into_iter()
                .map(package)
                .collect::<Result<_, Error>>()?,
            sequences: sequences
                .iter()
                .map(|one| (one.name.clone(), format!("{one:?}")))
                .collect(),
        })
    }

    #[cfg(test)]
    pub(crate) fn fake(firmware: &str) -> Self {
        Self {
            firmware: firmware.to_owned(),
            runner: String::new(),
            payload: String::new(),
            packages: BTreeMap::new(),
            sequences: BTreeMap::new(),
        }
    }

    /// What it depends on whether `test` catches a mutation.
    pub(crate) fn of(&self, test: &Test) -> String {
        let nothing = String::new();
        let registers;
        let beside = match test {
            Test::Cargo(package, _) => {
                return self.packages.get(package).unwrap_or(&nothing).clone();
            }
            Test::Sequence(name) => self.sequences.get(name).unwrap_or(&nothing),
            Test::Scenario(_) | Test::Reset => &self.runner,
            Test::Registers => {
                registers = self.runner.clone() + &verify::registers::expected();
                &registers
            }
            Test::Firmware(_) | Test::Rest => &self.payload,
        };
        let mut digest = Sha256::new();
        add(&mut digest, &self.firmware, beside.as_bytes());
        hexadecimal(digest)
    }
}

/// What cargo would compile for the tests of `package`: a line each, with version, features and, of a member, its folder.
fn tree(workspace: &Workspace, package: &str) -> Result<BTreeSet<String>, Error> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(workspace.root())
        .args(["tree", "--locked", "--prefix", "none", "--color", "never"])
        .args(["--edges", "normal,build,dev", "--no-dedupe"])
        .args(["--format", "{p} [{f}]", "--package", package]);
    let lines = child::output(&mut command)?;
    Ok(lines.lines().map(str::to_owned).collect())
}

/// The digest of the packages in the lines of [`tree`]: the sources of members, version and features of others.
fn of_closure(
    root: &Path,
    tree: &BTreeSet<String>,
    sources: &BTreeMap<PathBuf, Vec<u8>>,
    profile: &str,
) -> String {
    let mut digest = Sha256::new();
    add(&mut digest, profile, &[]);
    let mut members = BTreeSet::new();
    for line in tree {
        let folder = line
            .split_once(" (")
            .and_then(|(_, rest)| rest.split_once(')'))
            .and_then(|(folder, _)| Path::new(folder).strip_prefix(root).ok());
        match folder {
            Some(folder) => {
                members.insert(folder);
                let named = line.replace(&*root.to_string_lossy(), "");
                add(&mut digest, &named, &[]);
            }
            None => add(&mut digest, line, &[]),
        }
    }
    for (path, content) in sources {
        if package_of(path, sources).is_some_and(|folder| members.contains(folder)) {
            add(&mut digest, &path.to_string_lossy(), content);
        }
    }
    hexadecimal(digest)
}

/// The folder of the package that a source belongs to: the nearest one with a manifest.
fn package_of<'p>(path: &'p Path, sources: &BTreeMap<PathBuf, Vec<u8>>) -> Option<&'p Path> {
    path.ancestors()
        .skip(1)
        .find(|folder| sources.contains_key(&folder.join("Cargo.toml")))
}

/// What the workspace's manifest says about how everything is compiled. What it says about dependencies is in their tree.
fn profile(sources: &BTreeMap<PathBuf, Vec<u8>>) -> Result<String, Error> {
    let manifest = sources
        .get(Path::new("Cargo.toml"))
        .map(Vec::as_slice)
        .unwrap_or_default();
    let manifest: toml::Table = toml::from_str(&String::from_utf8_lossy(manifest))
        .map_err(|error| Error::new(format!("Cargo.toml: {error}")))?;
    let package = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("package"));
    Ok(format!("{:?} {package:?}", manifest.get("profile")))
}

/// Adds a name and what has it, each with its length.
fn add(digest: &mut Sha256, name: &str, content: &[u8]) {
    for part in [name.as_bytes(), content] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
}

fn hexadecimal(digest: Sha256) -> String {
    let bytes = digest.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(changed: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        [
            "Cargo.toml",
            "crates/a/Cargo.toml",
            "crates/a/src/lib.rs",
            "crates/b/Cargo.toml",
            "crates/b/src/lib.rs",
            "hardware/Cargo.toml",
            "hardware/src/lib.rs",
            "hardware/peer/Cargo.toml",
            "hardware/peer/src/lib.rs",
        ]
        .into_iter()
        .map(|path| {
            let content = if path == changed { "changed" } else { "" };
            (PathBuf::from(path), content.into())
        })
        .collect()
    }

    fn digest(tree: &[&str], changed: &str) -> String {
        let tree = tree.iter().map(|line| (*line).to_owned()).collect();
        of_closure(Path::new("/w"), &tree, &sources(changed), "")
    }

    const TREE: [&str; 3] = [
        "a v0.1.0 (/w/crates/a) [x]",
        "hardware v0.1.0 (/w/hardware) [el3]",
        "sha2 v0.11.1 []",
    ];

    #[test]
    fn sources_of_what_is_compiled_count_and_no_others() {
        let is = |changed| digest(&TREE, changed) == digest(&TREE, "");
        for counts in [
            "crates/a/src/lib.rs",
            "crates/a/Cargo.toml",
            "hardware/src/lib.rs",
        ] {
            assert!(!is(counts), "{counts}");
        }
        // `peer` is a package of its own inside the folder of another.
        for other in [
            "crates/b/src/lib.rs",
            "Cargo.toml",
            "hardware/peer/src/lib.rs",
        ] {
            assert!(is(other), "{other}");
        }
    }

    #[test]
    fn versions_and_features_count() {
        for (n, other) in [
            (0, "a v0.1.0 (/w/crates/a) [y]"),
            (2, "sha2 v0.11.2 []"),
            (2, "sha2 v0.11.1 [soft]"),
        ] {
            let mut tree = TREE;
            tree[n] = other;
            assert_ne!(digest(&tree, ""), digest(&TREE, ""), "{other}");
        }
    }

    #[test]
    fn tests_of_a_package_depend_on_what_cargo_compiles_for_them() {
        let workspace = Workspace::find().unwrap();
        let root = format!("({}/", workspace.root().display());
        let tree = tree(&workspace, "realm-monitor").unwrap();
        let members: BTreeSet<_> = tree
            .iter()
            .filter(|line| line.contains(&root))
            .filter_map(|line| line.split(' ').next())
            .collect();
        for needed in ["realm-monitor", "cca-abi", "realm-token"] {
            assert!(members.contains(needed), "{members:?}");
        }
        for other in ["realm-vmm", "suzerain", "hardware"] {
            assert!(!members.contains(other), "{members:?}");
        }
    }

    #[test]
    fn what_boots_beside_the_firmware_counts_for_the_tests_that_boot_it() {
        let of = |runner: &str, payload: &str| {
            let inputs = Inputs {
                runner: runner.to_owned(),
                payload: payload.to_owned(),
                ..Inputs::fake("")
            };
            let tests = [Test::Scenario("REC".to_owned()), Test::Firmware(2)];
            tests.map(|test| inputs.of(&test))
        };
        let [scenario, firmware] = of("a", "b");
        assert_eq!(of("a", "c")[0], scenario);
        assert_ne!(of("a", "c")[1], firmware);
        assert_ne!(of("b", "b")[0], scenario);
        assert_eq!(of("b", "b")[1], firmware);
    }

    #[test]
    fn how_everything_is_compiled_counts_and_who_is_a_member_does_not() {
        let of = |manifest: &str| {
            let sources = [(PathBuf::from("Cargo.toml"), manifest.as_bytes().to_vec())];
            profile(&sources.into()).unwrap()
        };
        let usual = of("[workspace]\nmembers = []\n[profile.image]\nopt-level = 3\n");
        let member = of("[workspace]\nmembers = [\"a\"]\n[profile.image]\nopt-level = 3\n");
        let level = of("[workspace]\nmembers = []\n[profile.image]\nopt-level = 1\n");
        assert_eq!(usual, member);
        assert_ne!(usual, level);
    }
}
