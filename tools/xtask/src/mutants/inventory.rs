//! The inventory: what each mutation takes away, and which test has to notice. The format is in `verification/mutants/README.md`.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toolbox::Error;
use toolbox::workspace::Workspace;

/// What kind of line a mutation concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Content is erased.
    Wipe,
    /// Cached translations are dropped.
    Tlbi,
    /// A barrier or a context synchronisation.
    Barrier,
    /// A register is saved, loaded, restored or set.
    Register,
    /// A bit that makes something trap.
    Trap,
    /// A step of granule protection.
    Gpt,
    /// The order of two steps.
    Order,
    /// A window between processors.
    Race,
    /// Something that a caller must not get past.
    Check,
}

/// The test that a mutation must not pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Test {
    /// A scenario of this name on the emulated machine.
    Scenario(String),
    /// The payload that checks how it is entered, on a machine with this many CPUs.
    Firmware(u64),
    /// What a debugger finds in the registers of EL3 and of the RMM.
    Registers,
    /// A reset in the middle of a realm's life.
    Reset,
    /// What CPUs that are off use of the computer.
    Rest,
    /// A sequence of instructions in the built image.
    Sequence(String),
    /// `cargo test -p PACKAGE NAME`.
    Cargo(String, String),
}

impl Test {
    /// From `scenario NAME`, `firmware CPUS`, `registers`, `reset`, `rest`, `sequence NAME` or `cargo PACKAGE NAME`.
    fn read(text: &str) -> Option<Self> {
        match text {
            "registers" => return Some(Self::Registers),
            "reset" => return Some(Self::Reset),
            "rest" => return Some(Self::Rest),
            _ => {}
        }
        let (kind, rest) = text.split_once(' ')?;
        match kind {
            "scenario" => Some(Self::Scenario(rest.to_owned())),
            "firmware" => rest.parse().ok().map(Self::Firmware),
            "sequence" => Some(Self::Sequence(rest.to_owned())),
            "cargo" => {
                let (package, name) = rest.split_once(' ')?;
                Some(Self::Cargo(package.to_owned(), name.to_owned()))
            }
            _ => None,
        }
    }

    /// Whether it runs the mutated program, on the emulated machine.
    pub(crate) fn boots(&self) -> bool {
        !matches!(self, Self::Sequence(_) | Self::Cargo(..))
    }
}

/// As it is written in a row.
impl std::fmt::Display for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scenario(name) => write!(f, "scenario {name}"),
            Self::Firmware(cpus) => write!(f, "firmware {cpus}"),
            Self::Registers => f.write_str("registers"),
            Self::Reset => f.write_str("reset"),
            Self::Rest => f.write_str("rest"),
            Self::Sequence(name) => write!(f, "sequence {name}"),
            Self::Cargo(package, name) => write!(f, "cargo {package} {name}"),
        }
    }
}

/// One mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Unique: the file of the inventory without its ending, and the row's own name.
    pub(crate) name: String,
    /// The mutated source, relative to the workspace.
    pub(crate) file: String,
    pub(crate) kind: Kind,
    /// Occurs once in the source.
    pub(crate) find: String,
    /// What stands there instead.
    pub(crate) replace: String,
    pub(crate) test: Test,
    /// Why no run shows the absence; the test shows the sequence then.
    pub(crate) argued: Option<String>,
}

impl Row {
    /// Where the mutation is in its source.
    ///
    /// # Errors
    ///
    /// When the snippet is not there, or more than once.
    pub(crate) fn place(&self, source: &str) -> Result<Range<usize>, Error> {
        let mut found = source.match_indices(&self.find);
        match (found.next(), found.next()) {
            (Some((start, _)), None) => Ok(start..start + self.find.len()),
            (first, _) => {
                let how = if first.is_some() {
                    "is not unique"
                } else {
                    "is not there"
                };
                Err(Error::new(format!(
                    "{}: {:?} {how} in {}",
                    self.name, self.find, self.file
                ))
                .advise("correct the row"))
            }
        }
    }

    /// The source with the mutation.
    ///
    /// # Errors
    ///
    /// As [`Row::place`].
    pub(crate) fn mutate(&self, source: &str) -> Result<String, Error> {
        let place = self.place(source)?;
        Ok(format!(
            "{}{}{}",
            &source[..place.start],
            self.replace,
            &source[place.end..]
        ))
    }

    /// Everything that the outcome depends on besides the sources.
    pub(crate) fn identity(&self) -> String {
        format!("{:?} {}", self.kind, self.name)
            + &[
                &self.file,
                &self.find,
                &self.replace,
                &self.test.to_string(),
            ]
            .map(|part| format!("\0{part}"))
            .concat()
    }
}

/// A file of the inventory.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    file: String,
    /// For rows that name none.
    test: Option<String>,
    #[serde(default)]
    row: Vec<Written>,
}

/// A row as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    kind: Kind,
    find: String,
    #[serde(default)]
    replace: String,
    test: Option<String>,
    argued: Option<String>,
    /// One row for each, which stands for `{}` in `name`, `find` and `replace`.
    #[serde(default)]
    each: Vec<String>,
}

/// Folder of the inventory.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root().join("verification/mutants")
}

/// Every row, in the order of the files' paths.
///
/// # Errors
///
/// When a file cannot be read or is not in the format, or two rows have the same name.
pub(crate) fn read(workspace: &Workspace) -> Result<Vec<Row>, Error> {
    let folder = folder(workspace);
    let mut rows = Vec::new();
    for path in files(&folder)? {
        let text = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
        let stem = path.with_extension("");
        let stem = stem.strip_prefix(&folder).unwrap_or(&stem);
        rows.extend(parse(&stem.display().to_string(), &text)?);
    }
    let mut names: Vec<_> = rows.iter().map(|row| &row.name).collect();
    names.sort();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::new(format!("two rows are called {}", pair[0])));
    }
    Ok(rows)
}

/// The files with rows: below a folder with the name of a ring.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut places = vec![folder.join("hardware"), folder.join("crates")];
    while let Some(place) = places.pop() {
        if place.is_dir() {
            let unread = |error| Error::io("read", &place, &error);
            for entry in fs::read_dir(&place).map_err(unread)? {
                places.push(entry.map_err(unread)?.path());
            }
        } else if place
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            found.push(place);
        }
    }
    found.sort();
    Ok(found)
}

fn parse(stem: &str, text: &str) -> Result<Vec<Row>, Error> {
    let file: File =
        toml::from_str(text).map_err(|error| Error::new(format!("{stem}.toml: {error}")))?;
    let mut rows = Vec::new();
    for written in file.row {
        let name = format!("{stem}/{}", written.name);
        let test = written.test.or_else(|| file.test.clone());
        let test = test.as_deref().and_then(Test::read).ok_or_else(|| {
            Error::new(format!("{name} names no test")).advise(
                "`test` is scenario NAME, firmware CPUS, sequence NAME or cargo PACKAGE NAME",
            )
        })?;
        let each = if written.each.is_empty() {
            vec![None]
        } else {
            written.each.iter().map(Some).collect()
        };
        for element in each {
            let filled = |text: &str| match element {
                Some(element) => text.replace("{}", element),
                None => text.to_owned(),
            };
            rows.push(Row {
                name: filled(&name),
                file: file.file.clone(),
                kind: written.kind,
                find: filled(&written.find),
                replace: filled(&written.replace),
                test: test.clone(),
                argued: written.argued.clone(),
            });
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        file = "hardware/src/a.rs"
        test = "firmware 2"
        [[row]]
        name = "first"
        kind = "tlbi"
        find = 'asm!("tlbi vmalle1");'
        [[row]]
        name = "register-{}"
        kind = "register"
        each = ["a", "b"]
        find = "{} = 1;"
        replace = "_{} = 1;"
        test = "scenario REC: something: more"
    "#;

    #[test]
    fn rows_are_read() {
        let rows = parse("hardware/a", TEXT).unwrap();
        let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "hardware/a/first",
                "hardware/a/register-a",
                "hardware/a/register-b"
            ]
        );
        assert_eq!(rows[0].test, Test::Firmware(2));
        assert_eq!(
            rows[2].test,
            Test::Scenario("REC: something: more".to_owned())
        );
        assert_eq!(rows[2].mutate("a = 1; b = 1;").unwrap(), "a = 1; _b = 1;");
    }

    #[test]
    fn a_mutation_that_does_not_apply_is_an_error() {
        let row = &parse("hardware/a", TEXT).unwrap()[1];
        for source in ["", "a = 1; a = 1;"] {
            assert!(row.mutate(source).is_err(), "{source}");
        }
    }

    #[test]
    fn a_row_without_a_test_is_an_error() {
        let text = TEXT.replace("test = \"firmware 2\"", "");
        assert!(parse("hardware/a", &text).is_err());
        let text = TEXT.replace("firmware 2", "nothing at all");
        assert!(parse("hardware/a", &text).is_err());
    }
}
