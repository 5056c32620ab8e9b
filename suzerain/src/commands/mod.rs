//! The command line: a file per command.

mod attest;
mod host;
mod measure;
mod run;

use clap::{Parser, Subcommand};

use self::attest::Attest;
use self::host::Host;
use self::measure::Measure;
use crate::failure;
use crate::options::Options;

/// Boots and runs Arm CCA realms.
#[derive(Parser)]
#[command(name = "suzerain", version, after_help = failure::HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs a realm to its end, shows what it did, and takes everything back.
    Run(Options),
    /// Prints what a realm will measure, before it is launched; takes the options of `run`.
    Measure(Measure),
    /// Decodes and verifies an attestation token, and shows what it says.
    Attest(Attest),
    /// Boots a host of your own (Linux, or a raw payload at EL2) on the firmware, with its console here.
    Host(Host),
}

impl Command {
    /// Carries the command out and returns the exit code.
    pub(crate) fn run(self) -> u8 {
        match self {
            Self::Run(options) => run::run(&options),
            Self::Measure(arguments) => measure::run(arguments),
            Self::Attest(arguments) => attest::run(&arguments),
            Self::Host(options) => host::run(&options),
        }
    }
}
