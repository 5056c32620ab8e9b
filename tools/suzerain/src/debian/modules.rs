//! Which modules of a kernel a realm needs, and in which order they are loaded.

use std::collections::BTreeMap;
use std::io;

use object::{Object, ObjectSection};
use toolbox::Error;

use super::package;

/// What makes a kernel one that knows how to be a realm's guest, and attests itself.
pub(super) const CCA_GUEST: &str = "arm-cca-guest";

/// What a realm uses. A module that is not in the package is a part of the kernel itself.
const WANTED: [&str; 8] = [
    "configfs",
    "tsm_report",
    CCA_GUEST,
    "virtio_mmio",
    "virtio_console",
    "virtio_blk",
    "virtio_net",
    "virtio-rng",
];

/// All modules of a kernel, by their names.
#[derive(Debug, Default)]
pub(super) struct Modules(BTreeMap<String, Packed>);

#[derive(Debug)]
struct Packed {
    /// As its file is called, without the endings.
    name: String,
    compressed: bool,
    bytes: Vec<u8>,
}

/// A module that can be loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// Its name.
    pub(super) name: String,
    /// The object file.
    pub(super) bytes: Vec<u8>,
}

impl Modules {
    /// Adds the module of a file of the package, if it is one. Reads it from `content` only then.
    ///
    /// # Errors
    ///
    /// What reading brings.
    pub(super) fn take(&mut self, path: &str, content: &mut dyn io::Read) -> io::Result<()> {
        let file = path.rsplit('/').next().unwrap_or(path);
        let (name, compressed) = match (file.strip_suffix(".ko.xz"), file.strip_suffix(".ko")) {
            (Some(name), _) => (name, true),
            (None, Some(name)) => (name, false),
            (None, None) => return Ok(()),
        };
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        let name = name.to_owned();
        self.0.insert(
            key(&name),
            Packed {
                name,
                compressed,
                bytes,
            },
        );
        Ok(())
    }

    /// The modules that a realm needs, each after those that it depends on.
    ///
    /// # Errors
    ///
    /// When a module is damaged, or one depends on another that is not here.
    pub(super) fn wanted(&self) -> Result<Vec<Module>, Error> {
        let mut order = Vec::new();
        for name in WANTED.iter().filter(|name| self.0.contains_key(&key(name))) {
            self.add(name, &mut Vec::new(), &mut order)?;
        }
        Ok(order)
    }

    /// Adds a module after its dependencies. `path` are those that wait for it.
    fn add(
        &self,
        name: &str,
        path: &mut Vec<String>,
        order: &mut Vec<Module>,
    ) -> Result<(), Error> {
        let bad = |why: String| Error::new(format!("the kernel's module {name} {why}"));
        let name_key = key(name);
        if order.iter().any(|module| key(&module.name) == name_key) {
            return Ok(());
        }
        if path.contains(&name_key) {
            return Err(bad("depends on itself".to_owned()));
        }
        let Some(packed) = self.0.get(&name_key) else {
            return Err(bad(
                "is needed by another one and not in the package".to_owned()
            ));
        };
        let bytes = if packed.compressed {
            package::decompress(&packed.bytes)
                .map_err(|error| bad(format!("is damaged: {error}")))?
        } else {
            packed.bytes.clone()
        };
        path.push(name_key);
        for dependency in
            dependencies(&bytes).map_err(|error| bad(format!("is damaged: {error}")))?
        {
            self.add(&dependency, path, order)?;
        }
        path.pop();
        order.push(Module {
            name: packed.name.clone(),
            bytes,
        });
        Ok(())
    }
}

/// Names of modules are the same with `-` and with `_`.
fn key(name: &str) -> String {
    name.replace('-', "_")
}

/// What a module says that it needs: the value of `depends` in its section `.modinfo`.
fn dependencies(module: &[u8]) -> Result<Vec<String>, object::Error> {
    let file = object::File::parse(module)?;
    let Some(section) = file.section_by_name(".modinfo") else {
        return Ok(Vec::new());
    };
    let information = section.data()?;
    let mut values = information.split(|byte| *byte == 0);
    let depends = values.find_map(|value| value.strip_prefix(b"depends="));
    let names = String::from_utf8_lossy(depends.unwrap_or_default()).into_owned();
    let names = names.split(',').filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}

/// Makes modules, for tests.
#[cfg(test)]
pub(super) mod writer {
    /// An object file with nothing but a section `.modinfo` that says on what it depends.
    pub(crate) fn module(depends: &str) -> Vec<u8> {
        let information = format!("license=GPL\0depends={depends}\0name=x\0");
        let names = b"\0.modinfo\0.shstrtab\0";
        let (header, names_at) = (64u64, 64 + information.len() as u64);
        let sections_at = (names_at + names.len() as u64).next_multiple_of(8);
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend([1u16, 183].iter().flat_map(|half| half.to_le_bytes()));
        file.extend(1u32.to_le_bytes());
        file.extend(
            [0, 0, sections_at]
                .iter()
                .flat_map(|word: &u64| word.to_le_bytes()),
        );
        file.extend(0u32.to_le_bytes());
        file.extend(
            [64u16, 0, 0, 64, 3, 2]
                .iter()
                .flat_map(|half| half.to_le_bytes()),
        );
        file.extend(information.as_bytes());
        file.extend(names);
        file.resize(sections_at as usize, 0);
        for (name, kind, at, size) in [
            (0u32, 0u32, 0, 0),
            (1, 1, header, information.len() as u64),
            (10, 3, names_at, names.len() as u64),
        ] {
            file.extend([name, kind].iter().flat_map(|word| word.to_le_bytes()));
            let words = [0, 0, at, size, 0, 1, 0];
            file.extend(words.iter().flat_map(|word: &u64| word.to_le_bytes()));
        }
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(files: &[(&str, &str)]) -> Modules {
        let mut modules = Modules::default();
        for (path, depends) in files {
            let module = writer::module(depends);
            let content = if path.ends_with(".xz") {
                package::writer::compress(&module)
            } else {
                module
            };
            modules.take(path, &mut &content[..]).unwrap();
        }
        modules
    }

    fn names(modules: &Modules) -> Vec<String> {
        let wanted = modules.wanted().unwrap();
        wanted.into_iter().map(|module| module.name).collect()
    }

    #[test]
    fn modules_come_after_what_they_need() {
        let modules = modules(&[
            ("kernel/a/virtio_net.ko.xz", "net-failover"),
            ("kernel/b/net_failover.ko.xz", "failover"),
            ("kernel/c/failover.ko", ""),
            ("kernel/d/arm-cca-guest.ko.xz", "tsm_report"),
            ("kernel/d/tsm_report.ko.xz", "configfs"),
            ("kernel/d/configfs.ko.xz", ""),
            ("kernel/e/unused.ko.xz", "nowhere"),
            ("modules.dep", ""),
        ]);
        let wanted = [
            "configfs",
            "tsm_report",
            "arm-cca-guest",
            "failover",
            "net_failover",
            "virtio_net",
        ];
        assert_eq!(names(&modules), wanted);
        assert_eq!(modules.wanted().unwrap()[0].bytes, writer::module(""));
    }

    #[test]
    fn modules_that_cannot_be_loaded_are_named() {
        for (files, why) in [
            (
                [("virtio_net.ko", "failover"), ("x.ko", "")],
                "module failover",
            ),
            (
                [("virtio_net.ko", "failover"), ("failover.ko", "virtio_net")],
                "depends on itself",
            ),
        ] {
            let error = modules(&files).wanted().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let mut damaged = Modules::default();
        for file in ["virtio_net.ko.xz", "virtio_net.ko"] {
            damaged.take(file, &mut &b"damaged"[..]).unwrap();
            let error = damaged.wanted().unwrap_err().to_string();
            assert!(error.contains("virtio_net is damaged"), "{error}");
        }
    }
}
