//! What a call may be answered with.

use std::fmt;

/// What a failure condition reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// RMI_ERROR_INPUT.
    Input,
    /// RMI_ERROR_REALM with an index.
    Realm(u8),
    /// RMI_ERROR_REC.
    Rec,
    /// RMI_ERROR_RTT with a level.
    Rtt(i64),
}

impl Code {
    /// X0.
    #[must_use]
    pub fn x0(self) -> u64 {
        match self {
            Self::Input => 1,
            Self::Realm(index) => 2 | u64::from(index) << 8,
            Self::Rec => 3,
            Self::Rtt(level) => 4 | (level.cast_unsigned() & 0xFF) << 8,
        }
    }
}

/// A failure condition that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The specification's name.
    pub name: &'static str,
    /// What it reports.
    pub code: Code,
    /// X1 to X4 beside it.
    pub results: [u64; 4],
}

/// The failure conditions that hold for a call, and which of them exclude others.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    found: Vec<Failure>,
    precedences: Vec<(&'static [&'static str], &'static [&'static str])>,
    /// A monitor may refuse the call for limits of its own.
    refusable: bool,
}

impl Judgement {
    /// Condition `name` reports `code` if `trigger` holds. Says whether it does.
    pub(crate) fn when(&mut self, name: &'static str, code: Code, trigger: bool) -> bool {
        self.when_with(name, code, trigger, [0; 4])
    }

    /// As [`Self::when`], with results beside the status.
    pub(crate) fn when_with(
        &mut self,
        name: &'static str,
        code: Code,
        trigger: bool,
        results: [u64; 4],
    ) -> bool {
        if trigger {
            self.found.push(Failure {
                name,
                code,
                results,
            });
        }
        trigger
    }

    /// If one of `earlier` holds, none of `later` is reported.
    pub(crate) fn precedence(
        &mut self,
        earlier: &'static [&'static str],
        later: &'static [&'static str],
    ) {
        self.precedences.push((earlier, later));
    }

    /// The specification leaves it to the monitor whether it supports this: RMI_ERROR_INPUT is fine as well.
    pub(crate) fn refusable_if(&mut self, limit: bool) {
        self.refusable |= limit;
    }

    /// The failures that may be reported.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        let holds = |names: &[&str]| self.found.iter().any(|found| names.contains(&found.name));
        self.found.iter().filter(move |failure| {
            !self
                .precedences
                .iter()
                .any(|(earlier, later)| later.contains(&failure.name) && holds(earlier))
        })
    }

    /// Whether the call has to succeed (but for limits of the monitor's own).
    #[must_use]
    pub fn succeeds(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether a monitor may refuse with these X0 and X1 to X4.
    #[must_use]
    pub fn permits_failure(&self, x0: u64, results: [u64; 4]) -> bool {
        self.refusable && x0 == Code::Input.x0() && results == [0; 4]
            || self
                .failures()
                .any(|failure| failure.code.x0() == x0 && failure.results == results)
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.succeeds() {
            return write!(f, "success");
        }
        for (n, failure) in self.failures().enumerate() {
            let separator = if n == 0 { "" } else { " or " };
            write!(
                f,
                "{separator}{} ({:?}, results {:x?})",
                failure.name, failure.code, failure.results
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precedence_excludes_only_while_the_earlier_condition_holds() {
        let mut judgement = Judgement::default();
        judgement.precedence(&["a"], &["b"]);
        judgement.when("b", Code::Rec, true);
        judgement.when("c", Code::Realm(1), true);
        assert!(judgement.permits_failure(3, [0; 4]));
        assert!(!judgement.permits_failure(3, [1, 0, 0, 0]));
        judgement.when("a", Code::Rtt(-1), true);
        assert!(!judgement.permits_failure(3, [0; 4]));
        assert!(judgement.permits_failure(0xFF04, [0; 4]));
        assert!(judgement.permits_failure(0x102, [0; 4]));
        assert!(!judgement.succeeds());
    }
}
