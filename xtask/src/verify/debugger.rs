//! A debugger on the emulated machine: as much of GDB's remote protocol as the tests need.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

/// A stop may take as long as a boot on a busy computer.
const PATIENCE: Duration = Duration::from_secs(100);
/// The protocol's number of SP, that of the exception level at which the CPU stands.
const SP: u32 = 31;
/// Stops a CPU that runs.
const INTERRUPT: u8 = 3;

/// Where the emulator is to connect to.
pub(super) struct Waiting(TcpListener);

impl Waiting {
    /// Makes `command` start a machine that waits for the debugger before its first instruction.
    pub(super) fn attach_to(command: &mut Command) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        command.args(["-S", "-gdb", "chardev:debugger", "-chardev"]);
        command.arg(format!(
            "socket,id=debugger,host=127.0.0.1,port={port},server=off"
        ));
        Ok(Self(listener))
    }

    /// Waits for the machine that was started.
    pub(super) fn connected(self) -> io::Result<Debugger> {
        let (stream, _) = self.0.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Debugger(stream))
    }
}

/// A connection to a machine that stands still.
pub(super) struct Debugger(TcpStream);

impl Debugger {
    /// Lets a machine with one CPU run until that comes to `address` at any exception level.
    pub(super) fn run_to(&mut self, address: u64) -> io::Result<()> {
        self.order(&format!("Z1,{address:x},4"))?;
        let stop = self.ask("c")?;
        if !stop.starts_with(['S', 'T']) {
            return Err(io::Error::other(format!("stopped with {stop:?}")));
        }
        self.order(&format!("z1,{address:x},4"))
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
    pub(super) fn leave(mut self) -> io::Result<()> {
        self.order("D")
    }

    /// Ends the machine.
    pub(super) fn end(mut self) -> io::Result<()> {
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
