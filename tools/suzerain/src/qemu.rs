//! The emulated machine: starts QEMU, listens to its UART, and never leaves it behind.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use toolbox::firmware::FLASH_SIZE;
use toolbox::qemu::{Qemu, listen};

use crate::bundle;
use crate::channel::{self, ChannelMemory, MachineMemory, Reader, Writer};
use crate::failure::Failure;
use crate::foreign::printable;
use crate::prepare::Parts;
use crate::records::Parser;
use crate::scratch::Scratch;
use crate::screen::Screen;
use crate::watch::{Machine, Message};

/// The emulator has this long to connect to the bell of the control channel.
const CONNECT: Duration = Duration::from_secs(20);
/// So many messages of a machine wait to be shown: then the machine waits, not the memory of this process.
const MESSAGES: usize = 64;

/// A machine that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    messages: Receiver<Message>,
    started: Instant,
}

/// The emulator's process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    // Hold flash, bundle and memory for as long as the emulator may open them.
    _files: Scratch,
    _memory: Option<MachineMemory>,
}

impl Running {
    /// What it says, apart from the process.
    pub(crate) fn into_parts(self) -> (Receiver<Message>, Process) {
        (self.messages, self.process)
    }
}

impl Machine for Running {
    fn messages(&self) -> &Receiver<Message> {
        &self.messages
    }

    fn started(&self) -> Instant {
        self.started
    }

    fn how_it_ended(&mut self) -> String {
        self.process.how_it_ended()
    }
}

impl Process {
    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, such as `exit status: 1`; waits a moment for that.
    pub(crate) fn how_it_ended(&mut self) -> String {
        // Its output is closed, so it is about to be gone.
        for _ in 0..20 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.to_string();
            }
            thread::sleep(Duration::from_millis(50));
        }
        "it closed its output".to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only when the emulator has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Size of a machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Processors.
    pub(crate) cpus: u64,
    /// Bytes of memory.
    pub(crate) memory: u64,
}

/// Starts a machine with the firmware and the payload of `parts` and a launch bundle in its memory.
///
/// # Errors
///
/// When a file cannot be read or written, or the emulator cannot be started.
pub(crate) fn start(
    qemu: &Qemu,
    shape: Shape,
    parts: &Parts,
    bundle: &[u8],
    screen: &Screen,
) -> Result<Running, Failure> {
    start_with(qemu, shape, parts, bundle, screen, |_, _| Ok(())).map(|(running, ())| running)
}

/// As [`start`], with a control channel to the hypervisor.
///
/// # Errors
///
/// As [`start`], and when there is no memory for the machine, or the emulator does not open the channel.
pub(crate) fn start_with_channel(
    qemu: &Qemu,
    shape: Shape,
    parts: &Parts,
    bundle: &[u8],
    screen: &Screen,
) -> Result<(Running, Reader<ChannelMemory>, Writer<ChannelMemory>), Failure> {
    let none = |error| Failure::machine(format!("no memory for the machine: {error}"));
    let memory = MachineMemory::new(shape.memory).map_err(none)?;
    let shared = memory.channel().map_err(none)?;
    let add = |command: &mut Command, folder: &Path| {
        let path = folder.join("bell");
        let listener = UnixListener::bind(&path)
            .map_err(|error| toolbox::Error::io("listen at", &path, &error))?;
        toolbox::qemu::channel(command, &memory.path(), shape.memory, &path);
        Ok(listener)
    };
    let (mut running, listener) = start_with(qemu, shape, parts, bundle, screen, add)?;
    running.process._memory = Some(memory);
    let bell = accept(&listener, &mut running)
        .map_err(|error| Failure::machine(format!("no channel to the machine: {error}")))?;
    let (reader, writer) = channel::open(shared, bell);
    Ok((running, reader, writer))
}

/// The emulator connects as soon as it starts, or never.
fn accept(listener: &UnixListener, running: &mut Running) -> io::Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let end = Instant::now() + CONNECT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) => {}
        }
        if !running.process.runs() {
            let said: Vec<_> = running.messages.try_iter().filter_map(emulator).collect();
            let how = running.how_it_ended();
            return Err(io::Error::other(format!("{how}: {}", said.join("; "))));
        }
        if Instant::now() > end || toolbox::child::interrupted() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn emulator(message: Message) -> Option<String> {
    match message {
        Message::Emulator(text) => Some(printable(&text)),
        _ => None,
    }
}

fn start_with<T>(
    qemu: &Qemu,
    shape: Shape,
    parts: &Parts,
    bundle: &[u8],
    screen: &Screen,
    add: impl FnOnce(&mut Command, &Path) -> Result<T, Failure>,
) -> Result<(Running, T), Failure> {
    let failed = |doing: &str, path: &Path, error: std::io::Error| {
        Failure::from(toolbox::Error::io(doing, path, &error))
    };
    let files = Scratch::new()?;
    let flash = files.path().join("flash");
    let launch = files.path().join("launch");
    // The flash device has a fixed size; what the firmware does not fill stays a hole in the file.
    fs::copy(&parts.firmware, &flash).map_err(|error| failed("copy", &parts.firmware, error))?;
    let file = File::options()
        .write(true)
        .open(&flash)
        .map_err(|error| failed("open", &flash, error))?;
    let length = file
        .metadata()
        .map_err(|error| failed("read", &flash, error))?
        .len();
    if length == 0 || length > FLASH_SIZE {
        let shown = parts.firmware.display();
        return Err(Failure::input(format!(
            "firmware {shown} has {length} bytes; flash 0 holds 1 to {FLASH_SIZE}"
        )));
    }
    file.set_len(FLASH_SIZE)
        .map_err(|error| failed("extend", &flash, error))?;
    fs::write(&launch, bundle).map_err(|error| failed("write", &launch, error))?;

    let mut command = toolbox::qemu::machine(qemu, shape.cpus, shape.memory);
    toolbox::qemu::flash(&mut command, &flash);
    toolbox::qemu::load(&mut command, &parts.hypervisor, toolbox::qemu::PAYLOAD);
    toolbox::qemu::load(&mut command, &launch, bundle::ADDRESS);
    let added = add(&mut command, files.path())?;
    screen.text(&format!("{command:?}"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command
        .spawn()
        .map_err(|error| failed("start", &qemu.path, error))?;
    let (sender, messages) = mpsc::sync_channel(MESSAGES);
    let stderr = child.stderr.take().map(|stderr| {
        let sender = sender.clone();
        thread::spawn(move || listen_emulator(stderr, &sender))
    });
    let stdout = child.stdout.take();
    thread::spawn(move || {
        if let Some(stdout) = stdout {
            listen_uart(stdout, &sender);
        }
        if let Some(stderr) = stderr {
            // All of the emulator's own words come before the news that it is gone.
            let _ = stderr.join();
        }
        let _ = sender.send(Message::Ended);
    });
    let process = Process {
        child,
        _files: files,
        _memory: None,
    };
    let running = Running {
        process,
        messages,
        started,
    };
    Ok((running, added))
}

fn listen_uart(mut uart: impl Read, to: &SyncSender<Message>) {
    let mut parser = Parser::default();
    let mut bytes = [0; 4096];
    while let Ok(read) = uart.read(&mut bytes) {
        if read == 0 {
            break;
        }
        // Nobody listens any more once the run is over.
        parser.push(&bytes[..read], |line| drop(to.send(Message::Line(line))));
    }
    if let Some(line) = parser.finish() {
        let _ = to.send(Message::Line(line));
    }
}

fn listen_emulator(stderr: impl Read, to: &SyncSender<Message>) {
    listen(stderr, |line| {
        let _ = to.send(Message::Emulator(line.to_owned()));
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use toolbox::qemu::LONGEST_LINE;

    use super::*;

    /// Bytes that may wait.
    const MOST: usize = (MESSAGES + 2) * LONGEST_LINE as usize;

    /// A machine that prints the same again and again.
    #[derive(Clone)]
    struct Chatter {
        text: &'static [u8],
        read: Arc<AtomicUsize>,
        over: Arc<AtomicBool>,
    }

    impl Read for Chatter {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            if self.over.load(Ordering::Relaxed) {
                return Ok(0);
            }
            for (to, from) in to.iter_mut().zip(self.text.iter().cycle()) {
                *to = *from;
            }
            self.read.fetch_add(to.len(), Ordering::Relaxed);
            Ok(to.len())
        }
    }

    /// How much of it is read although nobody takes what was said.
    fn read(text: &'static [u8], listen: fn(Chatter, &SyncSender<Message>)) -> usize {
        let chatter = Chatter {
            text,
            read: Arc::default(),
            over: Arc::default(),
        };
        let (sender, messages) = mpsc::sync_channel(MESSAGES);
        let said = chatter.clone();
        let listening = thread::spawn(move || listen(said, &sender));
        // Until no more is read.
        let mut before = usize::MAX;
        while before != chatter.read.load(Ordering::Relaxed)
            && chatter.read.load(Ordering::Relaxed) < 4 * MOST
        {
            before = chatter.read.load(Ordering::Relaxed);
            thread::sleep(Duration::from_millis(300));
        }
        chatter.over.store(true, Ordering::Relaxed);
        drop(messages);
        listening.join().unwrap();
        before
    }

    #[test]
    fn a_machine_that_prints_more_than_anybody_reads_waits() {
        for read in [
            read(b"x\n", listen_uart),
            read(b"x\n", listen_emulator),
            // A line without end is cut.
            read(b"x", listen_emulator),
        ] {
            assert!(read <= MOST, "{read} bytes");
        }
    }
}
