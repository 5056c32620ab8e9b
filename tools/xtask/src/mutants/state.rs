//! What is known from earlier runs, so that a run that was stopped goes on where it was.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toolbox::Error;
use toolbox::workspace::Workspace;

use super::inputs::Inputs;
use super::inventory::{Row, Test};

/// What became of a mutation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Its own test failed.
    Caught,
    /// Its own test passed, another one failed.
    CaughtBy(String),
    /// Everything passed.
    Missed,
}

impl Outcome {
    /// For machines: which test failed.
    pub(crate) fn caught_by(&self) -> Option<&str> {
        match self {
            Self::Caught => Some("its test"),
            Self::CaughtBy(other) => Some(other),
            Self::Missed => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught => f.write_str("caught"),
            Self::CaughtBy(other) => write!(f, "caught by {other}, not by its own test"),
            Self::Missed => f.write_str("MISSED"),
        }
    }
}

/// Something that is known, and of which inputs.
#[derive(Debug, Serialize, Deserialize)]
struct Noted<T> {
    /// As [`Inputs::of`] tells it.
    inputs: String,
    what: T,
}

/// The state file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    /// Milliseconds that a test took without a mutation.
    controls: BTreeMap<String, Noted<u64>>,
    /// By the rows' identities.
    outcomes: BTreeMap<String, Noted<Outcome>>,
}

/// What is known, and where it is kept.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    inputs: Inputs,
    known: Known,
}

impl State {
    /// What is known of these inputs.
    ///
    /// # Errors
    ///
    /// When there is a state file that cannot be read.
    pub(crate) fn read(workspace: &Workspace, inputs: Inputs) -> Result<Self, Error> {
        let path = workspace.target().join("mutants/state.json");
        let known = match fs::read(&path) {
            // A file of another version is as good as none.
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(_) if !path.exists() => Known::default(),
            Err(error) => return Err(Error::io("read", &path, &error)),
        };
        Ok(Self {
            path,
            inputs,
            known,
        })
    }

    pub(crate) fn outcome(&self, row: &Row) -> Option<&Outcome> {
        let noted = self.known.outcomes.get(&row.identity())?;
        (noted.inputs == self.inputs.of(&row.test)).then_some(&noted.what)
    }

    pub(crate) fn set_outcome(&mut self, row: &Row, outcome: Outcome) -> Result<(), Error> {
        let noted = Noted {
            inputs: self.inputs.of(&row.test),
            what: outcome,
        };
        self.known.outcomes.insert(row.identity(), noted);
        self.write()
    }

    /// How long a test took without a mutation, if it passed.
    pub(crate) fn control(&self, test: &Test) -> Option<Duration> {
        let noted = self.known.controls.get(&test.to_string())?;
        (noted.inputs == self.inputs.of(test)).then(|| Duration::from_millis(noted.what))
    }

    pub(crate) fn set_control(&mut self, test: &Test, took: Duration) -> Result<(), Error> {
        let noted = Noted {
            inputs: self.inputs.of(test),
            what: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        self.known.controls.insert(test.to_string(), noted);
        self.write()
    }

    /// Written beside its place and moved there: a run that is stopped leaves a whole file.
    fn write(&self) -> Result<(), Error> {
        let partial = self.path.with_extension("partial");
        let text = serde_json::to_vec_pretty(&self.known).unwrap_or_default();
        fs::write(&partial, text)
            .and_then(|()| fs::rename(&partial, &self.path))
            .map_err(|error| Error::io("write", &self.path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_other_inputs_does_not_count() {
        let (boots, cargo) = (
            Test::Firmware(2),
            Test::Cargo("hardware".to_owned(), "all".to_owned()),
        );
        let state = |firmware| State {
            path: PathBuf::new(),
            inputs: Inputs::fake(firmware),
            known: Known {
                controls: [&boots, &cargo]
                    .map(|test| {
                        let inputs = Inputs::fake("a").of(test);
                        (test.to_string(), Noted { inputs, what: 10 })
                    })
                    .into(),
                outcomes: BTreeMap::new(),
            },
        };
        assert!(state("a").control(&boots).is_some());
        // Another firmware: what cargo tests does not depend on it.
        assert!(state("b").control(&boots).is_none());
        assert!(state("b").control(&cargo).is_some());
    }
}
