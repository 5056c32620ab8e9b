//! `suzerain`: boots and runs Arm CCA realms.

#![forbid(unsafe_code)]

mod arguments;
mod attest;
mod bundle;
mod evidence;
mod failure;
mod hex;
mod key;
mod measure;
mod model;
mod prepare;
mod qemu;
mod records;
mod run;
mod screen;
mod size;
mod summary;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let handler = ctrlc::set_handler(|| {
        if xtask::child::interrupted() {
            // The second request: whoever should have reacted to the first does not.
            std::process::exit(failure::INTERRUPTED.into());
        }
        xtask::child::interrupt();
    });
    if let Err(error) = handler {
        eprintln!("warning: Ctrl-C will not clean up: {error}");
    }
    match arguments.command {
        Command::Run(options) => ExitCode::from(run::run(&options)),
        Command::Measure(arguments) => ExitCode::from(measure::run(arguments)),
        Command::Attest(arguments) => ExitCode::from(attest::run(&arguments)),
    }
}
