//! The in-process machine: its events as messages, like those of the emulated one.

use std::panic;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use machine::{Machine as Simulated, RunOptions};
use realm_vmm::Config;
use realm_vmm::console::Console;
use realm_vmm::report::Event;

use crate::failure::Failure;
use crate::options::Options;
use crate::random::{self, CHALLENGE};
use crate::records::{Line, owned};
use crate::watch::{Machine, Message};

/// A machine that runs in threads of this process.
#[derive(Debug)]
pub(crate) struct Running {
    messages: Receiver<Message>,
    started: Instant,
}

impl Machine for Running {
    fn messages(&self) -> &Receiver<Message> {
        &self.messages
    }

    fn started(&self) -> Instant {
        self.started
    }

    fn how_it_ended(&mut self) -> String {
        "its threads are gone".to_owned()
    }
}

/// Starts a machine of the shape that `options` ask for, with the demo guest's program, measured as `image`.
///
/// Its threads end with the run, or else with the process: there is nothing that could outlive it.
///
/// # Errors
///
/// When no thread can be started.
pub(crate) fn start(
    options: &Options,
    image: Vec<u8>,
    challenge: [u8; CHALLENGE],
) -> Result<Running, Failure> {
    let config = machine::Config {
        pes: options.cpus() as usize,
        dram_bytes: options.host_memory(),
        page_size: options.page_size.of_model(),
        time: machine::Time::Real,
    };
    let (vcpus, memory, sve_bits) = (
        options.realm.vcpus as usize,
        options.realm.memory(),
        options.realm.sve,
    );
    let time_limit_ms = options.host_limit().map_or(0, |limit| {
        u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
    });
    let (sender, messages) = mpsc::channel();
    // A panic ends in the report, or in an early end; its text is for who debugs.
    let said = Mutex::new(sender.clone());
    panic::set_hook(Box::new(move |panic| {
        tell(
            &said,
            Message::Emulator(panic.to_string().replace('\n', " ")),
        )
    }));
    let started = Instant::now();
    let run = move || {
        let events = Events(Mutex::new(sender));
        let simulated = Simulated::new(config);
        let slice_us = Config::DEFAULT_SLICE_US;
        let options = RunOptions {
            vcpus,
            memory,
            sve_bits,
            image: &image,
            time_limit_ms,
            slice_us,
            challenge: random::words(&challenge),
        };
        let report = simulated.run_demo(&options, &events);
        tell(
            &events.0,
            Message::Line(Line::Record(Event::Report(report))),
        );
        tell(&events.0, Message::Ended);
    };
    let thread = thread::Builder::new().name("machine".to_owned()).spawn(run);
    thread.map_err(|error| {
        Failure::machine(format!("cannot start a thread for the machine: {error}"))
    })?;
    Ok(Running { messages, started })
}

struct Events(Mutex<Sender<Message>>);

impl Console for Events {
    fn event(&self, event: &Event<'_>) {
        // The report counts once the machine itself has had its say about it.
        if !matches!(event, Event::Report(_)) {
            tell(&self.0, Message::Line(Line::Record(owned(event.clone()))));
        }
    }
}

fn tell(to: &Mutex<Sender<Message>>, message: Message) {
    if let Ok(to) = to.lock() {
        // Nobody listens any more once the run is over.
        let _ = to.send(message);
    }
}
