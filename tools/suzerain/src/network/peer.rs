//! The other station of a realm's network, and the thread that it runs in.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{EthernetAddress, EthernetFrame};

use super::flow::Flow;
use super::frames::{self, About};
use super::mailbox::Mailbox;
use super::plan::Doors;
use super::stack::{Place, Stack};
use super::{GATEWAY, GATEWAY_HARDWARE, REALM, REALM_HARDWARE, dhcp};

/// So many connections there are at most that the realm has opened, and as many that others have.
pub(super) const MOST: usize = 128;
/// A server of the host that has no room for another connection gets so long to make some. The realm waits, nobody else.
const CONNECT: Duration = Duration::from_secs(1);
/// A host that cannot take connections, such as for lack of file descriptors, is asked again after this.
const REST: Duration = Duration::from_millis(100);
/// The first of the ports from which connections to the realm come.
const PORTS: u16 = 49152;

/// This side of a realm's network.
pub struct Peer {
    stack: Stack,
    doors: Doors,
    flows: Vec<Flow>,
    /// The port from which the last connection to the realm came.
    port: u16,
    /// No connections are taken before this.
    resting: Option<Instant>,
}

impl Peer {
    /// The station behind these doors, without a connection.
    pub fn new(doors: Doors) -> Self {
        let place = Place {
            hardware: GATEWAY_HARDWARE,
            address: GATEWAY,
        };
        Self {
            stack: Stack::new(place, REALM),
            doors,
            flows: Vec::new(),
            port: u16::MAX,
            resting: None,
        }
    }

    /// Serves the network until its mailbox is closed, or `send`, which sends a frame to the realm, returns false.
    fn run(mut self, mailbox: &Mailbox, mut send: impl FnMut(&[u8]) -> bool) {
        while !mailbox.is_closed() && self.turn(mailbox.take(), &mut send) && self.wait(mailbox) {}
    }

    /// Does all that these frames of the realm ask for, and that there is to do besides. False once `send` is.
    pub fn turn(
        &mut self,
        frames: impl IntoIterator<Item = Vec<u8>>,
        send: &mut impl FnMut(&[u8]) -> bool,
    ) -> bool {
        for frame in frames {
            self.receive(frame);
            if !self.stack.flush(send) {
                return false;
            }
        }
        self.serve();
        if !self.stack.flush(send) {
            return false;
        }
        self.reap();
        true
    }

    /// Takes a frame of the realm.
    pub(super) fn receive(&mut self, frame: Vec<u8>) {
        match frames::about(&frame) {
            About::Nothing => {}
            About::Gateway => self.stack.receive(frame),
            About::Opening { from, to } => self.open(from, to, frame),
            About::Dhcp(message) => {
                if let Some(answer) = dhcp::answer(message) {
                    self.stack.transmit(answer);
                }
            }
            About::Elsewhere(header, payload) => {
                let source = EthernetFrame::new_checked(&frame).map(|frame| frame.src_addr());
                let to = source.unwrap_or(EthernetAddress(REALM_HARDWARE));
                let complaint = frames::unreachable(to, header, payload);
                self.stack.transmit(complaint);
            }
        }
    }

    /// The realm wants a connection. Only when the host's end is there does the realm hear of it, so that a refusal is a refusal.
    fn open(&mut self, from: u16, to: u16, frame: Vec<u8>) {
        let known = self.flows.iter().any(|flow| {
            let socket = self.stack.socket(flow.handle);
            let ports = |end: Option<smoltcp::wire::IpEndpoint>| end.map(|end| end.port);
            socket.state() != State::Closed
                && ports(socket.remote_endpoint()) == Some(from)
                && ports(socket.local_endpoint()) == Some(to)
        });
        if !known && self.doors.host_ports.contains(&to) {
            if !self.has_room(true) {
                // The realm asks again, and perhaps there is room then.
                return;
            }
            let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), to);
            if let Ok(host) = TcpStream::connect_timeout(&at, CONNECT)
                && let Some(handle) = self.stack.listen(to)
            {
                self.stack.receive(frame);
                let accepted = self.stack.socket(handle).state() == State::SynReceived;
                match Flow::new(handle, true, host) {
                    Ok(flow) if accepted => self.flows.push(flow),
                    _ => self.stack.remove(handle),
                }
                return;
            }
        }
        // Nobody listens, so that it is refused; or it belongs to a connection that there is.
        self.stack.receive(frame);
    }

    /// Takes connections to published ports, and copies what there is to copy.
    pub(super) fn serve(&mut self) {
        if self.resting.is_some_and(|until| Instant::now() >= until) {
            self.resting = None;
        }
        for index in 0..self.doors.listeners.len() {
            while self.resting.is_none() && self.has_room(false) {
                let (listener, port) = &self.doors.listeners[index];
                match listener.accept() {
                    Ok((host, _)) => {
                        let port = *port;
                        self.admit(host, port);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => self.resting = Some(Instant::now() + REST),
                }
            }
        }
        for flow in &mut self.flows {
            flow.pump(self.stack.socket(flow.handle));
        }
    }

    /// Connects somebody to the realm's port.
    fn admit(&mut self, host: TcpStream, port: u16) {
        let from = self.free_port();
        let Some(handle) = self.stack.connect(from, port) else {
            return;
        };
        match Flow::new(handle, false, host) {
            Ok(flow) => self.flows.push(flow),
            Err(_) => self.stack.remove(handle),
        }
    }

    /// A port that no connection has. There are more ports than connections.
    fn free_port(&mut self) -> u16 {
        loop {
            self.port = self.port.checked_add(1).unwrap_or(PORTS);
            let taken = self.flows.iter().any(|flow| {
                let local = self.stack.socket(flow.handle).local_endpoint();
                local.is_some_and(|local| local.port == self.port)
            });
            if !taken {
                return self.port;
            }
        }
    }

    fn has_room(&self, by_realm: bool) -> bool {
        let flows = self.flows.iter();
        flows.filter(|flow| flow.by_realm == by_realm).count() < MOST
    }

    /// Forgets connections that are over. Before, everything must have been sent.
    pub(super) fn reap(&mut self) {
        let stack = &mut self.stack;
        // A socket goes back to listening when the realm takes its first word back.
        let over = |flow: &mut Flow| {
            let state = stack.socket(flow.handle).state();
            matches!(state, State::Closed | State::Listen)
        };
        let over: Vec<_> = self.flows.extract_if(.., over).collect();
        for flow in over {
            self.stack.remove(flow.handle);
            flow.finish();
        }
    }

    /// Waits until there is something to do; false if nobody can tell.
    fn wait(&mut self, mailbox: &Mailbox) -> bool {
        let mut delay = self.stack.delay();
        if let Some(until) = self.resting {
            let rest = until.saturating_duration_since(Instant::now());
            delay = Some(delay.map_or(rest, |delay| delay.min(rest)));
        }
        let mut ends = vec![PollFd::from_borrowed_fd(mailbox.sleeper(), PollFlags::IN)];
        if self.resting.is_none() && self.has_room(false) {
            let listeners = self.doors.listeners.iter();
            ends.extend(listeners.map(|(listener, _)| PollFd::new(listener, PollFlags::IN)));
        }
        for flow in &self.flows {
            let interest = flow.interest(self.stack.socket(flow.handle));
            if !interest.is_empty() {
                ends.push(PollFd::new(&flow.host, interest));
            }
        }
        // Somewhat later rather than again and again.
        let delay = delay.map(|delay| delay.max(Duration::from_millis(1)));
        let delay = delay.and_then(|delay| Timespec::try_from(delay).ok());
        matches!(poll(&mut ends, delay.as_ref()), Ok(_) | Err(Errno::INTR))
    }

    #[cfg(test)]
    pub(super) fn stack(&mut self) -> &mut Stack {
        &mut self.stack
    }

    #[cfg(test)]
    pub(super) fn connections(&self) -> usize {
        self.flows.len()
    }
}

/// Starts a network. Frames of the realm go into the mailbox; `send` sends one to it, and returns false when that is over.
///
/// # Errors
///
/// When the process has no file descriptors or threads left.
pub(crate) fn start(
    doors: Doors,
    send: impl FnMut(&[u8]) -> bool + Send + 'static,
) -> io::Result<(Arc<Mailbox>, JoinHandle<()>)> {
    let mailbox = Arc::new(Mailbox::new()?);
    let own = mailbox.clone();
    let thread = thread::Builder::new()
        .name("network".to_owned())
        .spawn(move || Peer::new(doors).run(&own, send))?;
    Ok((mailbox, thread))
}
