//! The one kind of failure that setup and builds have: something is wrong, and a person must do something.

use std::fmt;
use std::io;
use std::path::Path;

/// What went wrong, what to do about it, and (where there is more) the output that explains it.
#[derive(Debug, Clone)]
pub struct Error {
    message: String,
    advice: Option<String>,
    details: Option<String>,
}

impl Error {
    /// A failure with its one-line description.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            advice: None,
            details: None,
        }
    }

    /// A failure to read or write `path`.
    pub fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(format!("cannot {doing} {}: {error}", path.display()))
    }

    /// Adds what the person should do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds the output of the program that failed.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        let details = details.into();
        self.details = (!details.trim().is_empty()).then_some(details);
        self
    }

    /// The output of the program that failed, if there is any.
    pub fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }
}

/// One line: the message and, after a semicolon, the advice.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
