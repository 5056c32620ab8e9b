//! `cargo xtask`: setup, images, tests and checks of the project.

#![forbid(unsafe_code)]

mod bench;
mod fuzz;
mod images;
mod layering;
mod mutants;
mod picture;
mod promises;
mod screen;
mod siege;
mod source;
mod stress;
mod turn;
mod unsafety;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use toolbox::images::{Image, REALM_MONITOR, RELEASE, ROOT_MONITOR};
use toolbox::progress::{Lines, Progress};
use toolbox::workspace::Workspace;
use toolbox::{Consent, Error, child, setup};

use verify::Depth;

/// Setup, images, tests and checks of Suzerain.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    /// Installs what is missing at once; else, a person at a terminal has ten seconds to stop it.
    #[arg(long, global = true)]
    yes: bool,
    /// Installs nothing: what is missing is an error that says what to install.
    #[arg(long, global = true, conflicts_with = "yes")]
    no_install: bool,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Finds the emulator and the bare-metal compiler; installs what is missing, and says before that what, how much and why.
    Setup,
    /// Builds the bootable images into target/images.
    Images {
        /// Only these: demo-guest, root-monitor, realm-monitor, hypervisor (these four if none is named), firmware (root-monitor
        /// and realm-monitor, packed), or for tests: puppet, scenario-runner, payload, bench, strict-monitor, siege-guest.
        names: Vec<String>,
    },
    /// Runs the checks that every change must pass, in about ten minutes; says first what it will do.
    Test {
        /// Runs everything: all cases of each suite, and the suites that a change does without.
        #[arg(long)]
        all: bool,
        /// Only these suites: layering, style, unit, images, lints, compilers, firmware, scenarios, budgets, runs, hosts, linux,
        /// samples.
        suites: Vec<String>,
    },
    /// Counts the instructions that the firmware spends on each call, and times calls on the in-process machine.
    Bench(bench::Options),
    /// Looks for input that breaks a rule of the monitors, the decoders or the host's library, guided by coverage.
    ///
    /// Goes on from the corpus of earlier runs in target/fuzz/corpus. What breaks a rule is left in
    /// target/fuzz/findings, and the exit code is not zero then.
    Fuzz(fuzz::Options),
    /// Creates, runs and destroys realms on several threads at once on the in-process machine, then lets hostile hosts
    /// make random calls on several PEs at once.
    Stress {
        /// How long, in all.
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u64,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Has a realm do its worst beside one that computes, in a dozen ways, and looks that the second one loses nothing but its share of
    /// time, and that the hypervisor and the tool stay below the bounds of memory that are printed.
    ///
    /// Says first how long it will take. Can be stopped: the next call goes on with the ways that are not done for these images.
    Siege(siege::Options),
    /// Makes copies of the firmware with one instruction less, and looks which tests notice.
    ///
    /// The list is in verification/mutants. Fails if nobody notices one, or if something in hardware/ that protects a
    /// world is not in the list. Can be stopped: the next call goes on with what has no outcome yet.
    Mutants(mutants::Options),
    /// Records `suzerain top` while realms run, and makes docs/pictures/top.svg of it.
    Picture,
    /// Checks that dependencies point one way and unsafe code is where it may be.
    Layering,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    Consent::of_options(arguments.yes, arguments.no_install).choose();
    // What runs in a process group of its own does not hear Ctrl-C.
    if let Err(error) = ctrlc::set_handler(child::interrupt) {
        eprintln!("warning: what this starts goes on after Ctrl-C: {error}");
    }
    match run(arguments.task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(details) = error.details() {
                eprintln!("{}", details.trim_end());
            }
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), Error> {
    let workspace = Workspace::find()?;
    match task {
        Task::Setup => {
            let qemu = setup::qemu(&workspace, &Lines)?;
            Lines.note(&format!(
                "emulator: {} (QEMU {})",
                qemu.path.display(),
                qemu.version
            ));
            let toolchain = setup::toolchain(&workspace, &Lines)?;
            Lines.note(&format!("bare-metal compiler: {toolchain}"));
            Ok(())
        }
        Task::Test { all, suites } => {
            let depth = if all { Depth::All } else { Depth::Change };
            verify::test(&workspace, &suites, depth)
        }
        Task::Bench(options) => bench::bench(&workspace, &options),
        Task::Stress { seconds, json } => stress::stress(&workspace, seconds, json),
        Task::Siege(options) => siege::siege(&workspace, &options),
        Task::Fuzz(options) => fuzz::fuzz(&workspace, &options),
        Task::Mutants(options) => mutants::mutants(&workspace, &options),
        Task::Picture => picture::picture(&workspace),
        Task::Layering => verify::test(&workspace, &["layering".to_owned()], Depth::All),
        Task::Images { names } => {
            let toolchain = setup::toolchain(&workspace, &Lines)?;
            images::build(&workspace, &toolchain, &chosen(&names)?, &Lines)?;
            Lines.note(&format!("images are in {}", workspace.images().display()));
            Ok(())
        }
    }
}

/// The images with these names, in the order in which they must be built.
fn chosen(names: &[String]) -> Result<Vec<Image>, Error> {
    if names.is_empty() {
        return Ok(RELEASE.to_vec());
    }
    for name in names {
        if name != images::FIRMWARE_NAME && images::ALL.iter().all(|image| image.name != name) {
            let known: Vec<_> = images::ALL.iter().map(|image| image.name).collect();
            let advice = format!(
                "choose among {}, {}",
                images::FIRMWARE_NAME,
                known.join(", ")
            );
            return Err(Error::new(format!("there is no image {name}")).advise(advice));
        }
    }
    let wanted = |image: &Image| {
        let packed = [ROOT_MONITOR, REALM_MONITOR].contains(image);
        names
            .iter()
            .any(|name| name == image.name || (packed && name == images::FIRMWARE_NAME))
    };
    Ok(images::ALL.into_iter().filter(wanted).collect())
}
