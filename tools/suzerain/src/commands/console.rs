//! `suzerain console` and `suzerain logs`.

use std::thread;

use clap::Args;
use realm_vmm::control::message::State;
use realm_vmm::report::Outcome;

use super::{Which, conclude};
use crate::failure::Failure;
use crate::foreign::{Mode, Printer};
use crate::keeper::{Ended, Typist};
use crate::screen::Screen;
use crate::terminal::{self, Raw, Typed};

/// Who attaches sees so many bytes of what came before.
const RECENT: u64 = 2 << 10;

#[derive(Args, Debug)]
pub(crate) struct Console {
    /// Name or number of a realm
    #[arg(value_name = "REALM")]
    pub(crate) realm: String,

    /// Which of its consoles; 0 is that of the PL011
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) stream: u8,

    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Args, Debug)]
pub(crate) struct Logs {
    /// Name or number of a realm
    #[arg(value_name = "REALM")]
    pub(crate) realm: String,

    /// Goes on with what comes, until the realm has stopped
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Which of its consoles; 0 is that of the PL011
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) stream: u8,

    #[command(flatten)]
    pub(crate) which: Which,
}

/// Attaches to a console, and returns the exit code.
pub(crate) fn console(options: &Console) -> u8 {
    let screen = Screen::new(false, false);
    let result = attach(options, &screen);
    conclude(result, &screen)
}

fn attach(options: &Console, screen: &Screen) -> Result<(), Failure> {
    let name = &options.realm;
    let mut client = options.which.connect()?;
    let status = client.find(name)?;
    if matches!(status.state, State::Stopped | State::Removing) {
        return Err(Failure::input(format!(
            "realm `{name}` has stopped; `suzerain logs {name}` shows what it printed"
        )));
    }
    screen.err(&format!("attached to `{name}`; Ctrl-] leaves"));
    let raw = Raw::take();
    let type_all = |mut typist: Typist| {
        let typed = terminal::typed(false);
        thread::spawn(move || {
            for typed in typed {
                let sent = match typed {
                    Typed::Bytes(bytes) => typist.type_in(&bytes),
                    Typed::Leave => {
                        typist.leave();
                        false
                    }
                };
                if !sent {
                    return;
                }
            }
        });
    };
    let console = (status.realm, options.stream);
    let mut printer = Printer::stdout(Mode::Console);
    let mut print = |bytes: &[u8]| printer.print(bytes);
    let ended = client.console(console, (RECENT, true), type_all, &mut print);
    drop(printer);
    drop(raw);
    screen.err("");
    match ended? {
        Some(ended) => {
            screen.err(&how(name, &ended));
            Ok(())
        }
        None => {
            screen.err(&format!("left `{name}`"));
            Ok(())
        }
    }
}

fn how(name: &str, ended: &Ended) -> String {
    match (ended.outcome, &ended.error) {
        (Some(Outcome::Ok), _) => format!("realm `{name}` has switched itself off"),
        (_, Some(error)) => format!("realm `{name}` has stopped: {error}"),
        (_, None) => format!("realm `{name}` has stopped"),
    }
}

/// Prints what a console has printed, and returns the exit code.
pub(crate) fn logs(options: &Logs) -> u8 {
    let screen = Screen::new(false, false);
    let result = options.which.connect().and_then(|mut client| {
        let realm = client.find(&options.realm)?.realm;
        let console = (realm, options.stream);
        let amount = (u64::MAX, options.follow);
        let mut printer = Printer::stdout(Mode::Lines);
        let mut print = |bytes: &[u8]| printer.print(bytes);
        client.console(console, amount, drop, &mut print).map(drop)
    });
    conclude(result, &screen)
}
