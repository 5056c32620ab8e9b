//! The process that keeps a machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use toolbox::qemu::Qemu;

use super::attend;
use super::place::Place;
use super::protocol::Drawn;
use crate::failure::Failure;
use crate::options::{Machine, PageSize};
use crate::prepare::Parts;
use crate::qemu::Shape;
use crate::screen::Screen;
use crate::session::boot::Booted;
use crate::session::{Hello, Session};

/// How often the process looks after its machine.
const LOOK: Duration = Duration::from_millis(100);
/// At its end, it waits so long for commands to hear of it.
const FAREWELL: Duration = Duration::from_secs(2);

/// What `suzerain up` starts in the background.
#[derive(Args, Debug)]
pub(crate) struct Keep {
    #[arg(long)]
    pub(crate) on: String,
    #[arg(long)]
    pub(crate) cpus: u64,
    /// In bytes.
    #[arg(long)]
    pub(crate) memory: u64,
    #[arg(long, value_enum)]
    pub(crate) page_size: PageSize,
    #[arg(long, value_enum)]
    pub(crate) machine: Machine,
    #[arg(long)]
    pub(crate) firmware: Option<PathBuf>,
    #[arg(long)]
    pub(crate) hypervisor: Option<PathBuf>,
    #[arg(long)]
    pub(crate) qemu: Option<PathBuf>,
    /// The emulator's, such as `virt`.
    #[arg(long, default_value = "")]
    pub(crate) machine_type: String,
}

/// What the threads of the process share.
pub(super) struct Keeper {
    phase: Mutex<Phase>,
    changed: Condvar,
    /// Names are given one after another.
    pub(super) naming: Mutex<()>,
    /// What the tokens of realms are compared with.
    drawn: Mutex<BTreeMap<u32, Drawn>>,
    /// Commands that are being attended to.
    pub(super) attending: AtomicUsize,
}

#[derive(Clone)]
enum Phase {
    Booting,
    Up(Session, Hello),
    /// Somebody wants it down.
    Leaving,
    Over(Result<(), Failure>),
}

impl Keeper {
    /// The machine, once it is up.
    ///
    /// # Errors
    ///
    /// When it cannot be, or is up no more.
    pub(super) fn machine(&self) -> Result<(Session, Hello), Failure> {
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let booting = |phase: &mut Phase| matches!(phase, Phase::Booting);
        let phase = self
            .changed
            .wait_while(phase, booting)
            .unwrap_or_else(PoisonError::into_inner);
        match &*phase {
            Phase::Up(session, hello) => Ok((session.clone(), hello.clone())),
            Phase::Over(Err(failure)) => Err(failure.clone()),
            _ => Err(Failure::machine("the machine is going down")),
        }
    }

    /// Has the machine ended, and waits for that.
    ///
    /// # Errors
    ///
    /// When it did not end as it should.
    pub(super) fn down(&self) -> Result<(), Failure> {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*phase {
                Phase::Up(..) => self.set(&mut phase, Phase::Leaving),
                Phase::Over(result) => return result.clone(),
                Phase::Booting | Phase::Leaving => {}
            }
            phase = self
                .changed
                .wait(phase)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What the token of a realm is compared with.
    ///
    /// # Errors
    ///
    /// When there is no such realm.
    pub(super) fn drawn(&self, realm: u32) -> Result<Drawn, Failure> {
        let drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let found = drawn.get(&realm).cloned();
        found.ok_or_else(|| Failure::input(format!("there is no realm {realm}")))
    }

    /// Keeps that for as long as there is the realm.
    pub(super) fn remember(&self, realm: u32, what: Drawn) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        drawn.insert(realm, what);
    }

    /// There is that realm no more.
    pub(super) fn forget(&self, realm: u32) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        drawn.remove(&realm);
    }

    fn set(&self, phase: &mut Phase, to: Phase) {
        *phase = to;
        self.changed.notify_all();
    }

    fn enter(&self, to: Phase) {
        self.set(
            &mut self.phase.lock().unwrap_or_else(PoisonError::into_inner),
            to,
        );
    }

    fn leaving(&self) -> bool {
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*phase, Phase::Leaving)
    }
}

/// Keeps a machine until it ends, and returns the exit code.
pub(crate) fn run(options: &Keep) -> u8 {
    // The terminal's signals are not for this process. It fails only when there is none already.
    let _ = rustix::process::setsid();
    // Everything goes to the log.
    let screen = Screen::new(false, true);
    let result = keep(options, &screen);
    match result {
        Ok(()) => 0,
        Err(failure) => {
            if let Some(details) = failure.details() {
                screen.err(details.trim_end());
            }
            screen.err(&format!("error: {failure}"));
            failure.code()
        }
    }
}

fn keep(options: &Keep, screen: &Screen) -> Result<(), Failure> {
    let place = Place::new(&options.on)?;
    let socket = place.socket();
    // Whoever started this process found nobody there: what is left is of a machine that was killed.
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)
        .map_err(|error| Failure::machine(format!("{}: {error}", socket.display())))?;
    let keeper = Arc::new(Keeper {
        phase: Mutex::new(Phase::Booting),
        changed: Condvar::new(),
        naming: Mutex::new(()),
        drawn: Mutex::default(),
        attending: AtomicUsize::new(0),
    });
    let attending = keeper.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let keeper = attending.clone();
            thread::spawn(move || attend::attend(&keeper, stream));
        }
    });
    let result = boot(options, screen).and_then(|booted| look_after(booted, &keeper));
    let _ = fs::remove_file(&socket);
    keeper.enter(Phase::Over(result.clone()));
    let end = Instant::now() + FAREWELL;
    while keeper.attending.load(Ordering::SeqCst) > 0 && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
    result
}

fn boot(options: &Keep, screen: &Screen) -> Result<Booted, Failure> {
    let parts = Parts {
        firmware: options.firmware.clone().unwrap_or_default(),
        hypervisor: options.hypervisor.clone().unwrap_or_default(),
        demo: Vec::new(),
        qemu: options.qemu.clone().map(|path| Qemu {
            path,
            version: String::new(),
            machine_type: options.machine_type.clone(),
        }),
        setup: Duration::ZERO,
        images: Duration::ZERO,
    };
    let shape = Shape {
        cpus: options.cpus,
        memory: options.memory,
    };
    if options.machine == Machine::Model {
        return Booted::model(shape, options.page_size);
    }
    Booted::new(&parts, shape, options.page_size.bytes(), screen)
}

fn look_after(mut booted: Booted, keeper: &Keeper) -> Result<(), Failure> {
    keeper.enter(Phase::Up(booted.session.clone(), booted.hello.clone()));
    loop {
        if keeper.leaving() {
            return booted.shutdown();
        }
        if toolbox::child::interrupted() {
            return Err(Failure::machine("the machine's process was told to end"));
        }
        if !booted.runs() {
            let why = booted.session.gone();
            let why = why.unwrap_or_else(|| "the machine has ended".to_owned());
            return Err(booted.explain(Failure::machine(why)));
        }
        thread::sleep(LOOK);
    }
}
