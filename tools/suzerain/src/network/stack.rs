//! TCP/IP of a station of the network: smoltcp, with frames that are handed over one by one.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Address};

use super::PREFIX;
use super::frames::LONGEST;

/// Bytes of each of a connection's buffers.
const BUFFER: usize = 64 << 10;
/// So many frames are made before they are sent.
const BATCH: usize = 64;
/// A connection that the other station does not complete is given up after this.
const OPENING: time::Duration = time::Duration::from_secs(30);

/// A station, where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) hardware: EthernetAddress,
    pub(super) address: Ipv4Address,
}

/// The interface and its connections.
pub(super) struct Stack {
    own: Ipv4Address,
    other: Ipv4Address,
    interface: Interface,
    sockets: SocketSet<'static>,
    wire: Wire,
    started: Instant,
}

impl Stack {
    /// The station at `place`, which has connections with `other`.
    pub(super) fn new(place: Place, other: Ipv4Address) -> Self {
        let mut wire = Wire::default();
        let mut config = Config::new(HardwareAddress::Ethernet(place.hardware));
        // Sequence numbers begin where nobody can tell.
        config.random_seed = RandomState::new().build_hasher().finish();
        let mut interface = Interface::new(config, &mut wire, time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // A new interface has room for it.
            let _ = addresses.push(IpCidr::new(place.address.into(), PREFIX));
        });
        Self {
            own: place.address,
            other,
            interface,
            sockets: SocketSet::new(Vec::new()),
            wire,
            started: Instant::now(),
        }
    }

    fn now(&self) -> time::Instant {
        let elapsed = self.started.elapsed().as_micros();
        time::Instant::from_micros(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }

    /// Takes a frame of the other station.
    pub(super) fn receive(&mut self, frame: Vec<u8>) {
        self.wire.incoming = Some(frame);
        let now = self.now();
        self.interface
            .poll_ingress_single(now, &mut self.wire, &mut self.sockets);
    }

    /// Has a frame sent that was made elsewhere.
    pub(super) fn transmit(&mut self, frame: Vec<u8>) {
        self.wire.outgoing.push_back(frame);
    }

    /// Sends everything that is to be sent now; false as soon as `send` says so.
    pub(super) fn flush(&mut self, send: &mut impl FnMut(&[u8]) -> bool) -> bool {
        loop {
            let now = self.now();
            let result = self
                .interface
                .poll_egress(now, &mut self.wire, &mut self.sockets);
            let mut frames = self.wire.outgoing.drain(..);
            if !frames.all(|frame| send(&frame)) {
                return false;
            }
            if result == PollResult::None {
                return true;
            }
        }
    }

    /// After what time something is to be sent again; `None` for when something else happens.
    pub(super) fn delay(&mut self) -> Option<Duration> {
        let now = self.now();
        let delay = self.interface.poll_delay(now, &self.sockets)?;
        Some(Duration::from_micros(delay.total_micros()))
    }

    /// A socket that waits for the other station to connect to this port.
    pub(super) fn listen(&mut self, port: u16) -> Option<SocketHandle> {
        let mut socket = socket();
        socket.listen((self.own, port)).ok()?;
        Some(self.sockets.add(socket))
    }

    /// A socket that connects to the other station's port `to`.
    pub(super) fn connect(&mut self, from: u16, to: u16) -> Option<SocketHandle> {
        let mut socket = socket();
        let context = self.interface.context();
        socket
            .connect(context, (self.other, to), (self.own, from))
            .ok()?;
        Some(self.sockets.add(socket))
    }

    pub(super) fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub(super) fn remove(&mut self, handle: SocketHandle) {
        self.sockets.remove(handle);
    }
}

fn socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_congestion_control(CongestionControl::Reno);
    // Bytes wait for others at their sources, if at all.
    socket.set_nagle_enabled(false);
    socket.set_timeout(Some(OPENING));
    socket
}

/// Frames on their way.
#[derive(Default)]
struct Wire {
    incoming: Option<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

struct Received(Vec<u8>);

struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _now: time::Instant) -> Option<(Received, Outgoing<'_>)> {
        let frame = self.incoming.take()?;
        Some((Received(frame), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _now: time::Instant) -> Option<Outgoing<'_>> {
        (self.outgoing.len() < BATCH).then_some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = LONGEST;
        capabilities
    }
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, use_it: F) -> R {
        use_it(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.push_back(frame);
        result
    }
}
