//! Whether this computer may be changed: what will be installed is said first, with time to stop it.
//!
//! Nobody is ever asked for an answer: what runs unattended goes on.

use std::io::{IsTerminal, stderr, stdin};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, Progress, child};

/// A person at a terminal has so many seconds to stop what was said.
const SECONDS: u64 = 10;

static CHOSEN: OnceLock<Consent> = OnceLock::new();

/// What the person who started this process has said about installing what is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consent {
    /// Nothing: it is installed, at a terminal ten seconds after it was said.
    #[default]
    Tacit,
    /// `--yes`: it is installed at once.
    Given,
    /// `--no-install`: it is not.
    Refused,
}

impl Consent {
    /// What the options `--yes` and `--no-install` mean.
    pub fn of_options(yes: bool, no_install: bool) -> Self {
        match (yes, no_install) {
            (_, true) => Self::Refused,
            (true, false) => Self::Given,
            (false, false) => Self::Tacit,
        }
    }

    /// Holds for this process from now on. Who says it again is not heard.
    pub fn choose(self) {
        let _ = CHOSEN.set(self);
    }
}

/// Whether nothing may be installed.
pub(crate) fn is_refused() -> bool {
    CHOSEN.get() == Some(&Consent::Refused)
}

/// Says `what` is going to be installed and `why`, and gives a person time to stop it.
///
/// # Errors
///
/// When nothing may be installed, with what to do by hand; when somebody stops it.
pub(crate) fn announce(
    what: &str,
    why: &str,
    by_hand: &str,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let consent = CHOSEN.get().copied().unwrap_or_default();
    let somebody_is_there = || stdin().is_terminal() || stderr().is_terminal();
    if announced(consent, what, why, by_hand, progress)? && somebody_is_there() {
        pause(Duration::from_secs(SECONDS), &child::interrupted, progress)?;
    }
    Ok(())
}

/// Whether there is to be time to stop it.
fn announced(
    consent: Consent,
    what: &str,
    why: &str,
    by_hand: &str,
    progress: &dyn Progress,
) -> Result<bool, Error> {
    if consent == Consent::Refused {
        let message = format!("--no-install refuses to install {what} ({why})");
        return Err(Error::new(message).advise(by_hand));
    }
    progress.note(&format!("installing {what}: {why}"));
    Ok(consent == Consent::Tacit)
}

fn pause(time: Duration, stopped: &dyn Fn() -> bool, progress: &dyn Progress) -> Result<(), Error> {
    let end = Instant::now() + time;
    let seconds = time.as_secs();
    progress.step(&format!(
        "installing that in {seconds} seconds; Ctrl-C stops it"
    ));
    let mut told = None;
    loop {
        if stopped() {
            return Err(Error::new("stopped before anything was installed"));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let seconds = left.as_secs() + 1;
        if told.replace(seconds) != Some(seconds) {
            progress.detail(&format!("{seconds} s"));
        }
        thread::sleep(left.min(Duration::from_millis(100)));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[derive(Default)]
    struct Said(RefCell<Vec<String>>);

    impl Progress for Said {
        fn step(&self, what: &str) {
            self.0.borrow_mut().push(what.to_owned());
        }
        fn note(&self, line: &str) {
            self.0.borrow_mut().push(line.to_owned());
        }
        fn detail(&self, _line: &str) {}
    }

    #[test]
    fn what_is_installed_is_said_before_and_can_be_refused() {
        let said = Said::default();
        let announced = |consent| announced(consent, "3 packages", "for fun", "by hand", &said);
        assert_eq!(announced(Consent::Tacit).ok(), Some(true));
        assert_eq!(announced(Consent::Given).ok(), Some(false));
        assert_eq!(*said.0.borrow(), ["installing 3 packages: for fun"; 2]);
        let error = announced(Consent::Refused).unwrap_err().to_string();
        assert_eq!(said.0.borrow().len(), 2);
        for part in ["--no-install", "3 packages", "for fun", "by hand"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_person_can_stop_it_and_need_not_say_anything() {
        let said = Said::default();
        assert!(pause(Duration::from_secs(3600), &|| true, &said).is_err());
        assert!(pause(Duration::from_millis(1), &|| false, &said).is_ok());
        assert!(said.0.borrow()[0].contains("3600 seconds; Ctrl-C"));
    }

    #[test]
    fn options_mean_what_they_say() {
        assert_eq!(Consent::of_options(false, false), Consent::default());
        assert_eq!(Consent::of_options(true, false), Consent::Given);
        assert_eq!(Consent::of_options(false, true), Consent::Refused);
    }
}
