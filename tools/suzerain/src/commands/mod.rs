//! The command line: a file per command.

mod attest;
mod completions;
mod console;
mod create;
mod host;
pub(crate) mod inspect;
mod linux;
mod lives;
mod measure;
pub(crate) mod ps;
mod run;
mod spellings;
pub(crate) mod top;
mod up;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::ps::{heap, state};
pub(crate) use self::spellings::parse;

use self::attest::Attest;
use self::host::Host;
use self::measure::Measure;
use crate::failure::{self, Failure};
use crate::foreign;
use crate::keeper::{self, Client, Keep, Place};
use crate::options::Options;
use crate::screen::Screen;

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
    /// Boots a machine that stays up, for the commands below.
    Up(up::Up),
    /// Makes a realm in the machine that is up; `start` lets it run.
    Create(create::Create),
    /// Lets a realm run that was made.
    Start(lives::One),
    /// Shows the realms of the machine that is up.
    Ps(ps::Ps),
    /// Shows the machine that is up as it goes on: realms, vCPUs, exits, granules.
    Top(top::Top),
    /// Attaches to a realm's console; Ctrl-] leaves it.
    Console(console::Console),
    /// Prints what a realm has printed.
    Logs(console::Logs),
    /// Shows everything that the host knows of a realm.
    Inspect(inspect::Inspect),
    /// Lets none of a realm's vCPUs run.
    Pause(lives::One),
    /// Lets them run again.
    Resume(lives::One),
    /// Ends a realm, whatever it does.
    Stop(lives::One),
    /// Takes a realm apart that has stopped, and takes its memory back.
    Rm(lives::Rm),
    /// Ends the machine with all of its realms.
    Down(up::Down),
    /// Prints a script that has your shell complete commands and options.
    Completions(completions::Completions),
    /// The process that keeps a machine up.
    #[command(hide = true)]
    Keep(Keep),
}

impl Command {
    /// Carries the command out and returns the exit code.
    pub(crate) fn run(self) -> u8 {
        match self {
            Self::Run(options) => run::run(&options),
            Self::Measure(arguments) => measure::run(arguments),
            Self::Attest(arguments) => attest::run(&arguments),
            Self::Host(options) => host::run(&options),
            Self::Up(options) => up::up(&options),
            Self::Create(options) => create::run(&options),
            Self::Start(one) => lives::start(&one),
            Self::Ps(options) => ps::run(&options),
            Self::Top(options) => top::run(&options),
            Self::Console(options) => console::console(&options),
            Self::Logs(options) => console::logs(&options),
            Self::Inspect(options) => inspect::run(&options),
            Self::Pause(one) => lives::pause(&one),
            Self::Resume(one) => lives::resume(&one),
            Self::Stop(one) => lives::stop(&one),
            Self::Rm(options) => lives::rm(&options),
            Self::Down(options) => up::down(&options),
            Self::Completions(options) => completions::run(&options),
            Self::Keep(options) => keeper::run(&options),
        }
    }
}

/// Which machine a command talks to.
#[derive(Args, Debug, Clone)]
pub(crate) struct Which {
    /// Which machine, where several are up
    #[arg(
        long,
        value_name = "MACHINE",
        env = "SUZERAIN_MACHINE",
        default_value = "default"
    )]
    pub(crate) on: String,
}

impl Which {
    /// Connects to it.
    ///
    /// # Errors
    ///
    /// When it is not up.
    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&Place::new(&self.on)?)
    }
}

/// Shows the failure of a command, if it is one, and returns the exit code.
pub(crate) fn conclude(result: Result<(), Failure>, screen: &Screen) -> u8 {
    screen.clear();
    let Err(failure) = result else {
        return 0;
    };
    if let Some(details) = failure.details() {
        screen.err(details.trim_end());
    }
    screen.err(&format!("error: {failure}"));
    failure.code()
}

/// A value as one line of JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    foreign::json(value).map_err(|error| Failure::machine(error.to_string()))
}
