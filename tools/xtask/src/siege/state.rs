//! What is done already, and what was seen.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toolbox::Error;
use toolbox::workspace::Workspace;

use super::assault::Outcome;

/// The state file: everything in it is about the same images, and ways of the same length.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    digest: String,
    seconds: u64,
    outcomes: BTreeMap<String, Outcome>,
}

/// What is known, and where it and the log are.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    log: PathBuf,
    writer: File,
    known: Known,
}

impl State {
    /// What is known of these images. Outcomes of others, or of ways of another length, are forgotten.
    ///
    /// # Errors
    ///
    /// When files cannot be read or written.
    pub(super) fn read(workspace: &Workspace, digest: &str, time: Duration) -> Result<Self, Error> {
        let folder = workspace.target().join("siege");
        let path = folder.join("state.json");
        let known: Known = match fs::read(&path) {
            // A file of another version is as good as none.
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(_) if !path.exists() => Known::default(),
            Err(error) => return Err(Error::io("read", &path, &error)),
        };
        let is_same = known.digest == digest && known.seconds == time.as_secs();
        let log = folder.join("log");
        let mut options = OpenOptions::new();
        let options = options.create(true).write(true);
        let writer = options.append(is_same).truncate(!is_same).open(&log);
        let writer = writer.map_err(|error| Error::io("write", &log, &error))?;
        Ok(Self {
            path,
            log,
            writer,
            known: if is_same {
                known
            } else {
                Known {
                    digest: digest.to_owned(),
                    seconds: time.as_secs(),
                    outcomes: BTreeMap::new(),
                }
            },
        })
    }

    /// Where the log is.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// What came of a way without faults. One with faults is tried again.
    pub(super) fn outcome(&self, way: &str) -> Option<&Outcome> {
        let outcome = self.known.outcomes.get(way);
        outcome.filter(|outcome| outcome.faults.is_empty())
    }

    /// Keeps an outcome.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn keep(&mut self, outcome: &Outcome) -> Result<(), Error> {
        let way = outcome.way.clone();
        self.known.outcomes.insert(way, outcome.clone());
        let json = serde_json::to_vec_pretty(&self.known)
            .map_err(|error| Error::new(format!("cannot write the state: {error}")))?;
        // Written beside its place and moved there: nobody sees half a file.
        let partial = self.path.with_extension("partial");
        fs::write(&partial, json).map_err(|error| Error::io("write", &partial, &error))?;
        fs::rename(&partial, &self.path).map_err(|error| Error::io("write", &self.path, &error))
    }

    /// Puts a line into the log, and shows it.
    pub(super) fn note(&mut self, line: &str) {
        eprintln!("{line}");
        // A log that cannot be written keeps nobody from going on.
        let _ = writeln!(self.writer, "{line}");
    }
}
