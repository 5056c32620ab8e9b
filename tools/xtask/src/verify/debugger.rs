//! A debugger on the emulated machine: as much of GDB's remote protocol as the tests need.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use toolbox::child::Finished;
use toolbox::{Error, child};

/// A stop may take as long as a boot on a busy computer.
const PATIENCE: Duration = Duration::from_secs(100);
/// The protocol's number of SP, that of the exception level at which the CPU stands.
const SP: u32 = 31;
/// Stops a CPU that runs.
const INTERRUPT: u8 = 3;

/// Runs `command`, a machine that waits for a debugger before its first instruction, while `work` is done to it by one; `line` is
/// told each line that it says. What the machine said, and what the work gives.
///
/// # Errors
///
/// When the work fails, and then the machine is ended; when the machine ends before a debugger is there or not in `limit`.
pub(super) fn attend<T: Send + 'static>(
    command: &mut Command,
    limit: Duration,
    line: impl FnMut(&str),
    work: impl FnOnce(&mut Debugger) -> io::Result<T> + Send + 'static,
) -> Result<(Finished, T), Error> {
    let failed = |error: io::Error| Error::new(format!("the debugger: {error}"));
    let listener = listen_for(command).map_err(failed)?;
    let has_ended = Arc::new(AtomicBool::new(false));
    let ended = has_ended.clone();
    let debugging = thread::spawn(move || {
        let mut debugger = Debugger::accept(&listener, &ended)?;
        let done = work(&mut debugger);
        if done.is_err() {
            // It would stand still until its time is over.
            let _ = debugger.end();
        }
        done
    });
    let finished = child::run(command, Some(limit), line);
    has_ended.store(true, Ordering::Relaxed);
    match (debugging.join(), finished) {
        (Ok(Ok(done)), Ok(finished)) => Ok((finished, done)),
        (Ok(Ok(_)), Err(error)) => Err(error),
        (Ok(Err(error)), finished) => {
            let said = match finished {
                Ok(finished) => finished.all,
                Err(error) => format!("{error}\n{}", error.details().unwrap_or_default()),
            };
            Err(failed(error).with_details(said))
        }
        (Err(_), _) => Err(Error::new("the debugger panicked")),
    }
}

/// Makes `command` start a machine that connects to what is returned and waits before its first instruction.
fn listen_for(command: &mut Command) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    command.args(["-S", "-gdb", "chardev:debugger", "-chardev"]);
    command.arg(format!(
        "socket,id=debugger,host=127.0.0.1,port={port},server=off"
    ));
    Ok(listener)
}

/// A connection to a machine that stands still.
pub(super) struct Debugger(TcpStream);

impl Debugger {
    /// Waits for the machine that was started, until it `has_ended`.
    fn accept(listener: &TcpListener, has_ended: &AtomicBool) -> io::Result<Self> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_nodelay(true)?;
                    return Ok(Self(stream));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if has_ended.load(Ordering::Relaxed) {
                return Err(io::Error::other("the machine ended before it began"));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lets the machine run until a CPU, the one that is looked at from then on, comes to `address` at any exception level.
    pub(super) fn run_to(&mut self, address: u64) -> io::Result<()> {
        self.order(&format!("Z1,{address:x},4"))?;
        let stop = self.ask("c")?;
        if !stop.starts_with(['S', 'T']) {
            return Err(io::Error::other(format!("stopped with {stop:?}")));
        }
        self.order(&format!("z1,{address:x},4"))
    }

    /// The numbers of the CPU's registers of at most 64 bits, by name.
    pub(super) fn registers(&mut self) -> io::Result<BTreeMap<String, u32>> {
        let target = self.description("target.xml")?;
        let mut numbers = BTreeMap::new();
        let mut next = 0;
        for file in values(&target, "href") {
            for register in self.description(file)?.split("<reg ").skip(1) {
                let attribute = |name| values(register, name).next();
                let number = attribute("regnum").and_then(|number| number.parse().ok());
                let number = number.unwrap_or(next);
                next = number + 1;
                if let Some(name) = attribute("name") {
                    numbers.insert(name.to_owned(), number);
                }
            }
        }
        Ok(numbers)
    }

    /// A register of the CPU that stands at the stop.
    pub(super) fn register(&mut self, number: u32) -> io::Result<u64> {
        let answer = self.ask(&format!("p{number:x}"))?;
        let value = u64::from_str_radix(&answer, 16).ok();
        match (answer.len(), value) {
            // The bytes come in the order of memory.
            (8, Some(value)) => Ok(value.swap_bytes() >> 32),
            (16, Some(value)) => Ok(value.swap_bytes()),
            _ => Err(io::Error::other(format!("register {number} is {answer:?}"))),
        }
    }

    /// A part of the machine's description.
    fn description(&mut self, name: &str) -> io::Result<String> {
        let mut text = String::new();
        loop {
            let offset = text.len();
            let answer = self.ask(&format!("qXfer:features:read:{name}:{offset:x},ffb"))?;
            match answer.split_at_checked(1) {
                Some(("m", part)) => text.push_str(part),
                Some(("l", part)) => return Ok(text + part),
                _ => return Err(io::Error::other(format!("{name}: {answer:?}"))),
            }
        }
    }

    /// Sets the stack pointer.
    pub(super) fn set_sp(&mut self, value: u64) -> io::Result<()> {
        self.order(&format!("P{SP:x}={:016x}", value.swap_bytes()))
    }

    /// Lets the machine run until `ended` returns.
    pub(super) fn run_until(&mut self, ended: impl FnOnce()) -> io::Result<()> {
        self.send("c")?;
        ended();
        self.0.write_all(&[INTERRUPT])?;
        self.receive().map(drop)
    }

    /// Gives the emulator's monitor a command.
    pub(super) fn monitor(&mut self, command: &str) -> io::Result<()> {
        let hexadecimal: String = command.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.order(&format!("qRcmd,{hexadecimal}"))
    }

    /// Lets the machine run, for good.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        self.order("D")
    }

    /// Ends the machine.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.send("k")
    }

    fn order(&mut self, packet: &str) -> io::Result<()> {
        match self.ask(packet)?.as_str() {
            "OK" => Ok(()),
            answer => Err(io::Error::other(format!("{packet}: {answer:?}"))),
        }
    }

    fn ask(&mut self, packet: &str) -> io::Result<String> {
        self.send(packet)?;
        self.receive()
    }

    fn send(&mut self, packet: &str) -> io::Result<()> {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        write!(self.0, "${packet}#{sum:02x}")
    }

    fn receive(&mut self) -> io::Result<String> {
        // Before an answer comes a "+" for the question.
        while self.byte()? != b'$' {}
        let mut answer = String::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => answer.push(char::from(byte)),
            }
        }
        // Two digits of a sum: the connection is reliable.
        self.byte()?;
        self.byte()?;
        self.0.write_all(b"+")?;
        Ok(answer)
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.0.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

/// The values of an attribute, wherever it is in `xml`.
fn values<'x>(xml: &'x str, attribute: &str) -> impl Iterator<Item = &'x str> {
    let key = format!("{attribute}=\"");
    xml.split_whitespace().filter_map(move |word| {
        let (_, value) = word.split_once(&key)?;
        value.split_once('"').map(|(value, _)| value)
    })
}
