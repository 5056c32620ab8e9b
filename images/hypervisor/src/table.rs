//! The report for people.

use core::fmt;

use realm_vmm::report::{Outcome, Report};

/// A report as lines of text.
pub(crate) struct Table<'r>(pub(crate) &'r Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let outcome = match report.outcome {
            Outcome::Ok => "ok",
            Outcome::GuestFailed => "the realm failed",
            Outcome::Timeout => "out of time",
            Outcome::Stopped => "stopped",
            Outcome::Error => "error",
        };
        write!(f, "\nhypervisor: {outcome}")?;
        if let Some(error) = &report.error {
            write!(f, ": {error}")?;
        }
        writeln!(f)?;
        if !report.rim.is_empty() {
            writeln!(f, "realm initial measurement {}", report.rim)?;
        }
        if !report.recs.is_empty() {
            writeln!(
                f,
                "{:>5} {:>12} {:>8} {:>4} {:>8}  exits",
                "REC", "MPIDR", "state", "aux", "entries"
            )?;
        }
        for rec in &report.recs {
            let (mpidr, state, aux) = (rec.mpidr, rec.state.as_str(), rec.aux_granules);
            write!(
                f,
                "{:>5} {mpidr:>#12x} {state:>8} {aux:>4} {:>8} ",
                rec.index, rec.entries
            )?;
            for (reason, count) in rec.exits.iter().filter(|&(_, &count)| count > 0) {
                write!(f, " {reason} {count}")?;
            }
            writeln!(f)?;
        }
        let granules = report.granules;
        writeln!(
            f,
            "granules: {} delegated, {} returned, {} in quarantine",
            granules.delegated, granules.returned, granules.quarantined
        )
    }
}
