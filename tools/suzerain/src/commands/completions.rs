//! `suzerain completions`.

use crate::foreign;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Arguments;

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Prints the script, and returns the exit code.
pub(crate) fn run(options: &Completions) -> u8 {
    let mut command = Arguments::command();
    clap_complete::generate(
        options.shell,
        &mut command,
        "suzerain",
        &mut foreign::stdout(),
    );
    0
}
