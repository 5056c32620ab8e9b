//! One connection: what the realm sends on it goes to a socket of the host, and the other way round.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::net::sockopt::set_socket_linger;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};

/// A connection.
#[derive(Debug)]
pub(super) struct Flow {
    /// The realm's end.
    pub(super) handle: SocketHandle,
    /// Whether it was the realm that opened it.
    pub(super) by_realm: bool,
    /// The other end. It never waits.
    pub(super) host: TcpStream,
    /// The host says no more.
    host_ended: bool,
    /// The realm says no more, and the host was told.
    realm_ended: bool,
}

impl Flow {
    /// Joins both ends.
    ///
    /// # Errors
    ///
    /// When the host's end is of no use.
    pub(super) fn new(handle: SocketHandle, by_realm: bool, host: TcpStream) -> io::Result<Self> {
        host.set_nonblocking(true)?;
        host.set_nodelay(true)?;
        Ok(Self {
            handle,
            by_realm,
            host,
            host_ended: false,
            realm_ended: false,
        })
    }

    /// Copies what there is, as far as there is room for it.
    pub(super) fn pump(&mut self, socket: &mut Socket<'_>) {
        if is_opening(socket.state()) {
            return;
        }
        // From now on, silence is nobody's fault.
        socket.set_timeout(None);
        if self
            .copy_out(socket)
            .and_then(|()| self.copy_in(socket))
            .is_err()
        {
            socket.abort();
        }
    }

    fn copy_out(&mut self, socket: &mut Socket<'_>) -> io::Result<()> {
        while socket.can_recv() {
            let written = socket.recv(|bytes| match self.host.write(bytes) {
                Ok(written) => (written, Ok(written)),
                Err(error) => (0, Err(error)),
            });
            match written {
                Ok(Ok(0)) | Err(_) => return Err(ErrorKind::WriteZero.into()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return or_wait(error),
            }
        }
        let ended = matches!(
            socket.state(),
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait
        );
        if ended && !self.realm_ended {
            self.host.shutdown(std::net::Shutdown::Write)?;
            self.realm_ended = true;
        }
        Ok(())
    }

    fn copy_in(&mut self, socket: &mut Socket<'_>) -> io::Result<()> {
        while !self.host_ended && socket.can_send() {
            let read = socket.send(|room| match self.host.read(room) {
                Ok(read) => (read, Ok(read)),
                Err(error) => (0, Err(error)),
            });
            match read {
                Ok(Ok(0)) => {
                    self.host_ended = true;
                    socket.close();
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return or_wait(error),
                Err(_) => return Err(ErrorKind::BrokenPipe.into()),
            }
        }
        Ok(())
    }

    /// What this flow waits for at the host's end. Where that is nothing, the host's end must not be looked at: that it has ended
    /// would be told again and again.
    pub(super) fn interest(&self, socket: &Socket<'_>) -> PollFlags {
        let mut interest = PollFlags::empty();
        if !self.host_ended && socket.can_send() {
            interest |= PollFlags::IN;
        }
        if socket.can_recv() {
            interest |= PollFlags::OUT;
        }
        interest
    }

    /// Ends the host's end: as a whole if both ends have said all, otherwise as one that was cut off.
    pub(super) fn finish(self) {
        if !(self.host_ended && self.realm_ended) {
            // If that fails, it just looks like an end.
            let _ = set_socket_linger(&self.host, Some(Duration::ZERO));
        }
    }
}

/// Whether the realm has not agreed to the connection yet.
pub(super) fn is_opening(state: State) -> bool {
    matches!(state, State::Listen | State::SynSent | State::SynReceived)
}

/// No failure if it only means that there is nothing to do now.
fn or_wait(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}
