//! How a run can fail, and with which exit code.

use std::fmt;

use realm_vmm::report::Outcome;

use crate::foreign::printable;

/// Exit code of a run in which the realm failed.
pub(crate) const REALM: u8 = 1;
/// Exit code for bad input (the argument parser uses the same).
pub(crate) const INPUT: u8 = 2;
/// Exit code for a machine that cannot be set up: a tool or an image is missing or does not do.
pub(crate) const SETUP: u8 = 3;
/// Exit code for a machine, or the host in it, that failed.
pub(crate) const MACHINE: u8 = 4;
/// Exit code of a run that took longer than its limit.
pub(crate) const TIMEOUT: u8 = 5;
/// Exit code for a token that is refused, or a measurement that is not the one expected.
pub(crate) const REFUSED: u8 = 6;
/// Exit code for a token that nothing is wrong with, as far as it could be checked.
pub(crate) const INCOMPLETE: u8 = 7;
/// Exit code of a run that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// What `--help` says about exit codes.
pub(crate) const HELP: &str = "Exit codes: 0 the realm ran and everything was returned; 1 the realm failed; 2 bad \
input; 3 a tool or an image is missing or does not do; 4 the machine or the host in it failed; 5 the time limit \
passed; 6 a token is refused, or a measurement is not the one expected; 7 (attest) nothing is wrong with the token, but not \
everything was given that it has to be compared with; 130 interrupted. With --exec, a run that succeeds ends with the \
exit status of the command.";

/// Why a run has no good end.
#[derive(Debug, Clone)]
pub struct Failure {
    code: u8,
    message: String,
    details: Option<String>,
}

impl Failure {
    /// Something that the user asked for and cannot have.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self {
            code: INPUT,
            message: message.into(),
            details: None,
        }
    }

    /// The machine ended, or the host in it did what it should not.
    pub fn machine(message: impl Into<String>) -> Self {
        Self {
            code: MACHINE,
            message: message.into(),
            details: None,
        }
    }

    /// The realm did what it should not.
    pub(crate) fn realm(message: impl Into<String>) -> Self {
        Self {
            code: REALM,
            message: message.into(),
            details: None,
        }
    }

    /// A token that does not verify, or a measurement that is another one.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self {
            code: REFUSED,
            message: message.into(),
            details: None,
        }
    }

    /// A token that may be a good one: what is named was not checked.
    pub(crate) fn incomplete(not_checked: &[&str]) -> Self {
        Self {
            code: INCOMPLETE,
            message: format!(
                "nothing is wrong with the token, but not everything was checked: {}",
                not_checked.join(", ")
            ),
            details: None,
        }
    }

    /// The limit of `--timeout` passed.
    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self {
            code: TIMEOUT,
            message: message.into(),
            details: None,
        }
    }

    /// Somebody pressed Ctrl-C or sent a signal.
    pub(crate) fn interrupted() -> Self {
        Self {
            code: INTERRUPTED,
            message: "interrupted; the machine is stopped".to_owned(),
            details: None,
        }
    }

    /// The failure that a report tells of, if its outcome is one.
    pub fn of_report(outcome: Outcome, error: Option<&str>) -> Option<Self> {
        let error = error.unwrap_or("no reason given");
        let (code, message) = match outcome {
            Outcome::Ok => return None,
            Outcome::GuestFailed => (REALM, format!("the realm failed: {error}")),
            Outcome::Timeout => (
                TIMEOUT,
                format!("{error}; give it more time with --timeout"),
            ),
            Outcome::Stopped => (INTERRUPTED, format!("the realm was stopped: {error}")),
            Outcome::Error => (MACHINE, format!("the host failed: {error}")),
        };
        Some(Self {
            code,
            message,
            details: None,
        })
    }

    /// A failure that another process tells of.
    pub(crate) fn with_code(code: u8, message: String) -> Self {
        Self {
            code,
            message,
            details: None,
        }
    }

    /// Adds words to the line.
    pub(crate) fn with_context(mut self, words: &str) -> Self {
        self.message += words;
        self
    }

    /// Adds output that explains the failure.
    pub(crate) fn with_details(mut self, details: impl Into<String>) -> Self {
        let details = details.into();
        self.details = (!details.trim().is_empty()).then_some(details);
        self
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// Output that explains the failure, where there is some.
    pub(crate) fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }

    /// The outcome as `--json` names it.
    pub(crate) fn outcome(&self) -> &'static str {
        match self.code {
            REALM => "guest-failed",
            TIMEOUT => "timeout",
            INTERRUPTED => "interrupted",
            _ => "error",
        }
    }
}

/// One line, in which nothing is left that a terminal obeys, whatever its words came from.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.message))
    }
}

impl From<toolbox::Error> for Failure {
    fn from(error: toolbox::Error) -> Self {
        if toolbox::child::interrupted() {
            return Self::interrupted();
        }
        let failure = Self {
            code: SETUP,
            message: error.to_string(),
            details: None,
        };
        failure.with_details(error.details().unwrap_or_default())
    }
}
