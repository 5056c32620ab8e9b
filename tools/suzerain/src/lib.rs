//! `suzerain`: boots and runs Arm CCA realms. A library for its own program, and for who looks for a way past its [`parts`].

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
mod hex;
mod keeper;
mod key;
mod model;
mod name;
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

/// The parts that meet what a hypervisor, a realm or a token says, as commands use them.
pub mod parts {
    pub use crate::commands::inspect::tables as realm_tables;
    pub use crate::commands::ps::tables as listing_tables;
    pub use crate::commands::top::frame as top_frame;
    pub use crate::evidence::{Checked, Trust};
    pub use crate::failure::Failure;
    pub use crate::foreign::{Filter, Mode, json_or_error};
    pub use crate::hex::parse as parse_hex;
    pub use crate::key::Identity;
    pub use crate::network::{Doors, MOST_BYTES as MOST_NETWORK_BYTES, Mailbox, Peer};
    pub use crate::session::{
        Consoles, Disk, KEPT as KEPT_OF_CONSOLE, Listing, Patience, Session, Stopped,
    };
}

use std::env;
use std::process::ExitCode;

use crate::screen::Screen;

/// Does what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = commands::parse(env::args_os()).unwrap_or_else(|error| error.exit());
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
