//! `suzerain`: boots and runs Arm CCA realms. A library for its own program, and for who attacks it ([`heard`]).

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod blueprint;
mod bundle;
mod channel;
mod commands;
mod debian;
mod evidence;
mod failure;
mod file;
mod foreign;
pub mod heard;
mod hex;
mod keeper;
mod key;
mod model;
mod network;
mod options;
mod prepare;
mod qemu;
mod random;
mod records;
mod scratch;
mod screen;
mod session;
mod size;
mod source;
mod summary;
mod table;
mod terminal;
mod view;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Arguments;
use crate::screen::Screen;

/// Does what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let handler = ctrlc::set_handler(|| {
        if toolbox::child::interrupted() {
            // The second request: whoever should have reacted to the first does not.
            terminal::restore_all();
            std::process::exit(failure::INTERRUPTED.into());
        }
        toolbox::child::interrupt();
    });
    if let Err(error) = handler {
        Screen::new(false, false).err(&format!("warning: Ctrl-C will not clean up: {error}"));
    }
    ExitCode::from(arguments.command.run())
}
