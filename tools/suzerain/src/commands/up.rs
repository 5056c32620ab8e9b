//! `suzerain up` and `suzerain down`.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use clap::Args;
use serde::Serialize;
use toolbox::Progress;

use super::{Which, conclude, json};
use crate::failure::{self, Failure};
use crate::keeper::{Client, Place};
use crate::options::{self, Machine, PageSize};
use crate::prepare::{self, Install, Wanted};
use crate::screen::Screen;
use crate::session::Hello;
use crate::size;

/// The process in the background has this long to listen.
const LISTEN: Duration = Duration::from_secs(20);

#[derive(Args, Debug)]
#[command(after_help = failure::HELP)]
pub(crate) struct Up {
    /// How many processors the machine has (1 to 8)
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) cpus: u64,

    /// The machine's memory, 1G to 8G
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = size::parse)]
    pub(crate) memory: u64,

    /// What kind of machine; in the in-process machine every realm runs the demo guest's program
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Machine::Qemu)]
    pub(crate) machine: Machine,

    /// The size of the host's pages
    #[arg(long, value_enum, default_value_t = PageSize::Four)]
    pub(crate) page_size: PageSize,

    /// Firmware for flash 0 instead of Suzerain's root monitor and RMM
    #[arg(long, value_name = "FILE")]
    pub(crate) firmware: Option<PathBuf>,

    /// Raw payload for normal-world EL2 instead of Suzerain's hypervisor; it must serve the control channel like that one
    #[arg(long, value_name = "FILE")]
    pub(crate) hypervisor: Option<PathBuf>,

    /// Prints one JSON object and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,

    /// Shows what tools say, too
    #[arg(long, short)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) install: Install,

    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Args, Debug)]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) which: Which,
}

/// The object that `--json` prints.
#[derive(Serialize)]
struct Ready<'a> {
    machine: &'a str,
    pes: u32,
    free: u64,
    rmi: &'a str,
    log: PathBuf,
}

/// Boots a machine that stays up, and returns the exit code.
pub(crate) fn up(options: &Up) -> u8 {
    let screen = Screen::new(options.json, options.verbose);
    let result = boot(options, &screen);
    conclude(result, &screen)
}

fn boot(options: &Up, screen: &Screen) -> Result<(), Failure> {
    options::check_cpus(Some(options.cpus))?;
    options::check_machine_memory("--memory", options.memory)?;
    let place = Place::new(&options.which.on)?;
    if Client::try_connect(&place).is_some() {
        return Err(Failure::input(format!(
            "the machine `{}` is up already; `suzerain down` ends it, --on names another one",
            place.name
        )));
    }
    let wanted = Wanted {
        machine: options.machine == Machine::Qemu,
        demo: false,
        firmware: options.firmware.as_deref(),
        hypervisor: options.hypervisor.as_deref(),
    };
    options.install.choose();
    let parts = prepare::prepare(wanted, screen)?;
    screen.step("booting");
    let io = |error| toolbox::Error::io("write", &place.log(), &error);
    let log = File::create(place.log()).map_err(io)?;
    let program = env::current_exe()
        .map_err(|error| Failure::machine(format!("cannot find this program: {error}")))?;
    let mut command = Command::new(&program);
    command.arg("keep");
    let qemu = parts.qemu.as_ref();
    let files = qemu.map(|qemu| {
        [
            ("--firmware", &parts.firmware),
            ("--hypervisor", &parts.hypervisor),
            ("--qemu", &qemu.path),
        ]
    });
    for (option, path) in files.into_iter().flatten() {
        let absolute = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        command.arg(option).arg(absolute);
    }
    if let Some(qemu) = qemu {
        command.args(["--machine-type", &qemu.machine_type]);
    }
    command
        .args(["--on", &place.name])
        .args(["--machine", options.machine.name()])
        .args(["--cpus", &options.cpus.to_string()])
        .args(["--memory", &options.memory.to_string()])
        .args([
            "--page-size",
            &size::show(options.page_size.bytes()).to_lowercase(),
        ])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(io)?)
        .stderr(log);
    let mut child = command
        .spawn()
        .map_err(|error| toolbox::Error::io("start", &program, &error))?;
    let end = Instant::now() + LISTEN;
    let mut client = loop {
        if let Some(client) = Client::try_connect(&place) {
            break client;
        }
        let ended = !matches!(child.try_wait(), Ok(None));
        if ended || Instant::now() > end {
            let why = place.last_error();
            let why = why.unwrap_or_else(|| format!("see {}", place.log().display()));
            return Err(Failure::machine(format!(
                "the machine did not come up: {why}"
            )));
        }
        if toolbox::child::interrupted() {
            return Err(Failure::interrupted());
        }
        thread::sleep(Duration::from_millis(20));
    };
    let result = client.ready();
    if toolbox::child::interrupted() {
        // Nobody waits for it any more. It fails only when the process has ended.
        let _ = child.kill();
        let _ = fs::remove_file(place.socket());
    }
    let Hello { pes, free, rmi } = result?;
    screen.clear();
    let name = place.name.as_str();
    screen.out(&match options.json {
        true => json(&Ready {
            machine: name,
            pes,
            free,
            rmi: &rmi,
            log: place.log(),
        })?,
        false => format!(
            "machine `{name}` is up: {pes} processors, {} for realms, RMI {rmi}",
            size::about(free)
        ),
    });
    Ok(())
}

/// Ends the machine, and returns the exit code.
pub(crate) fn down(options: &Down) -> u8 {
    let screen = Screen::new(false, false);
    let result = options.which.connect().and_then(|mut client| {
        screen.step("taking the machine down");
        client.down()
    });
    conclude(result, &screen)
}
