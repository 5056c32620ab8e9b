//! How long work tells a person what it does.

/// Receives what is going on while tools are installed and images are built.
pub trait Progress {
    /// A step begins that a person may have to wait for, such as "building hypervisor".
    fn step(&self, what: &str);
    /// A line that should stay readable after the step, such as what is installed and why.
    fn note(&self, line: &str);
    /// The newest line of output of the running step; shown only where it can be replaced by the next one.
    fn detail(&self, line: &str);
}

/// Steps and notes as lines on standard error; details are dropped.
#[derive(Debug, Default, Clone, Copy)]
pub struct Lines;

impl Progress for Lines {
    fn step(&self, what: &str) {
        eprintln!("{what}");
    }

    fn note(&self, line: &str) {
        eprintln!("{line}");
    }

    fn detail(&self, _line: &str) {}
}
