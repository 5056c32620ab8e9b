//! The copy of the sources that mutations are made in, with build products of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toolbox::images::{self, Image};
use toolbox::toolchain::Toolchain;
use toolbox::workspace::Workspace;
use toolbox::{Error, Progress};

use super::inputs;
use super::inventory::Row;

/// What a build reads, relative to the workspace.
const COPIED: [&str; 10] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "crates",
    "docs",
    "hardware",
    "images",
    "machine",
    "tools",
    "verification",
];
/// The profile of the images, and what becomes of it: a copy is built again for each row.
/// Routines in assembly code are local to their unit, so there is one unit for each crate.
const PROFILE: [(&str, &str); 2] = [
    ("opt-level = 3\n", "opt-level = 1\n"),
    ("lto = \"fat\"\n", "lto = \"off\"\nincremental = true\n"),
];
/// The heading that [`PROFILE`] is found below.
const PROFILE_HEADING: &str = "[profile.image]\n";

/// The copy.
pub(crate) struct Copy {
    pub(crate) workspace: Workspace,
    /// Every source as it is without a mutation, by its path.
    pub(crate) sources: BTreeMap<PathBuf, Vec<u8>>,
    /// The source that a mutation has changed.
    changed: Option<PathBuf>,
    /// The images of the firmware that may not be as they are without a mutation.
    mutated: &'static [Image],
}

impl Copy {
    /// Makes or refreshes the copy.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written.
    pub(crate) fn make(of: &Workspace) -> Result<Self, Error> {
        let folder = of.target().join("mutants");
        let root = folder.join("sources");
        let mut sources = BTreeMap::new();
        for place in COPIED {
            read(of.root(), Path::new(place), &mut sources)?;
        }
        quicken(&mut sources)?;
        let mut present = BTreeMap::new();
        if root.is_dir() {
            read(&root, Path::new(""), &mut present)?;
        }
        for path in present.keys().filter(|path| !sources.contains_key(*path)) {
            let path = root.join(path);
            fs::remove_file(&path).map_err(|error| Error::io("remove", &path, &error))?;
        }
        for (path, content) in &sources {
            if present.get(path) != Some(content) {
                write(&root.join(path), content)?;
            }
        }
        Ok(Self {
            workspace: Workspace::with_target(&root, &folder.join("target")),
            sources,
            changed: None,
            mutated: &inputs::FIRMWARE,
        })
    }

    /// Takes the last mutation back, and makes that of `row`, if there is one.
    ///
    /// # Errors
    ///
    /// When the mutation does not apply, or a file cannot be written.
    pub(crate) fn apply(&mut self, row: Option<&Row>) -> Result<(), Error> {
        let next = row
            .map(|row| {
                let path = PathBuf::from(&row.file);
                let source = self
                    .sources
                    .get(&path)
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                let source = String::from_utf8_lossy(source);
                Ok::<_, Error>((path, row.mutate(&source)?))
            })
            .transpose()?;
        let next_path = next.as_ref().map(|(path, _)| path.clone());
        if let Some(path) = self
            .changed
            .take()
            .filter(|path| Some(path) != next_path.as_ref())
        {
            write(&self.workspace.root().join(&path), &self.sources[&path])?;
        }
        if let Some((path, content)) = next {
            write(&self.workspace.root().join(&path), content.as_bytes())?;
            self.changed = Some(path);
        }
        Ok(())
    }

    /// Builds the programs that tests put in the place of a hypervisor and of a realm. Not with a mutation in place: it
    /// would be in them as well.
    ///
    /// # Errors
    ///
    /// When one does not compile.
    pub(crate) fn build_tests(&self, toolchain: &Toolchain) -> Result<(), Error> {
        self.build(toolchain, &inputs::BESIDE)
    }

    /// Builds the firmware as it is now: of its images those that the mutation is in, and those that the last one was in.
    ///
    /// # Errors
    ///
    /// When it does not compile.
    pub(crate) fn build_firmware(&mut self, toolchain: &Toolchain) -> Result<(), Error> {
        let own = self.changed.as_deref().map_or(&[][..], monitors_of);
        let stale: Vec<_> = inputs::FIRMWARE
            .into_iter()
            .filter(|image| own.contains(image) || self.mutated.contains(image))
            .collect();
        self.mutated = &inputs::FIRMWARE;
        self.build(toolchain, &stale)?;
        self.mutated = own;
        images::assemble(&self.workspace, images::REALM_MONITOR, images::FIRMWARE)
    }

    fn build(&self, toolchain: &Toolchain, images: &[Image]) -> Result<(), Error> {
        images::build(&self.workspace, toolchain, images, &Quiet)
    }
}

/// The images of the firmware that have this source in them.
fn monitors_of(source: &Path) -> &'static [Image] {
    let is_in = |ring: &str, monitor: &str| {
        source.starts_with(Path::new("hardware/src").join(ring))
            || source.starts_with(Path::new("crates").join(monitor))
    };
    if is_in("el3", "root-monitor") {
        &[images::ROOT_MONITOR]
    } else if is_in("rmm", "realm-monitor") {
        &[images::REALM_MONITOR]
    } else {
        &inputs::FIRMWARE
    }
}

/// Makes builds of the images quick rather than the images.
fn quicken(sources: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<(), Error> {
    let manifest = sources
        .get_mut(Path::new("Cargo.toml"))
        .ok_or_else(|| Error::new("there is no Cargo.toml"))?;
    let text = String::from_utf8_lossy(manifest).into_owned();
    let start = text.find(PROFILE_HEADING);
    let start = start.ok_or_else(|| Error::new("Cargo.toml has no profile of the images"))?;
    let (before, profile) = text.split_at(start);
    let mut profile = profile.to_owned();
    for (usual, quick) in PROFILE {
        if !profile.contains(usual) {
            return Err(Error::new(format!(
                "the images' profile does not say {usual:?}"
            )));
        }
        profile = profile.replacen(usual, quick, 1);
    }
    *manifest = (before.to_owned() + &profile).into_bytes();
    Ok(())
}

/// Adds `place` below `root`, a file or a folder with everything in it.
fn read(root: &Path, place: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<(), Error> {
    let path = root.join(place);
    let unread = |error| Error::io("read", &path, &error);
    if !path.is_dir() {
        if path.exists() {
            into.insert(place.to_path_buf(), fs::read(&path).map_err(unread)?);
        }
        return Ok(());
    }
    for entry in fs::read_dir(&path).map_err(unread)? {
        let name = entry.map_err(unread)?.file_name();
        if name != "target" {
            read(root, &place.join(name), into)?;
        }
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, content))
        .map_err(|error| Error::io("write", path, &error))
}

/// Says nothing.
struct Quiet;

impl Progress for Quiet {
    fn step(&self, _what: &str) {}
    fn note(&self, _line: &str) {}
    fn detail(&self, _line: &str) {}
}
