//! The network with a realm that is another TCP/IP, and sockets of the host that are real.

mod hostile;
mod services;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use smoltcp::wire::EthernetAddress;

use super::peer::Peer;
use super::stack::{Place, Stack};
use super::*;

/// Both stations.
struct Network {
    peer: Peer,
    realm: Stack,
}

impl Network {
    fn new(doors: Doors) -> Self {
        let place = Place {
            hardware: EthernetAddress(REALM_HARDWARE),
            address: REALM,
        };
        Self {
            peer: Peer::new(doors),
            realm: Stack::new(place, GATEWAY),
        }
    }

    /// What the peer answers to a frame.
    fn answers(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        self.peer.receive(frame.to_vec());
        sent(self.peer.stack())
    }

    /// Lets both do what there is to do.
    fn step(&mut self) {
        for frame in sent(&mut self.realm) {
            self.peer.receive(frame);
        }
        self.peer.serve();
        let frames = sent(self.peer.stack());
        self.peer.reap();
        for frame in frames {
            self.realm.receive(frame);
        }
    }

    /// Goes on until something is so.
    fn until(&mut self, mut is_so: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !is_so(self) {
            assert!(Instant::now() < end, "nothing comes of it");
            self.step();
            thread::sleep(Duration::from_micros(100));
        }
    }

    fn state(&mut self, handle: SocketHandle) -> State {
        self.realm.socket(handle).state()
    }

    /// Sends bytes from the realm, and returns what comes until the other end has said all.
    fn converse(&mut self, handle: SocketHandle, mut bytes: &[u8]) -> Vec<u8> {
        let mut got = Vec::new();
        self.until(|network| {
            let socket = network.realm.socket(handle);
            if socket.can_send() && !bytes.is_empty() {
                bytes = &bytes[socket.send_slice(bytes).unwrap()..];
                if bytes.is_empty() {
                    socket.close();
                }
            }
            while socket.can_recv() {
                socket
                    .recv(|data| {
                        got.extend_from_slice(data);
                        (data.len(), ())
                    })
                    .unwrap();
            }
            matches!(socket.state(), State::Closed | State::TimeWait)
        });
        got
    }
}

fn sent(stack: &mut Stack) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    stack.flush(&mut |frame| {
        frames.push(frame.to_vec());
        true
    });
    frames
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

/// The host's side of a port that the realm may connect to.
fn to_host(port: u16) -> Doors {
    Doors {
        listeners: Vec::new(),
        host_ports: vec![port],
    }
}

/// A published port, and where it is.
fn published(port: u16) -> (Doors, SocketAddr) {
    let (listener, at) = listener();
    listener.set_nonblocking(true).unwrap();
    let doors = Doors {
        listeners: vec![(listener, port)],
        host_ports: Vec::new(),
    };
    (doors, at)
}

/// Bytes that are nowhere the same.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B1).to_le_bytes())
        .take(length)
        .collect()
}

#[test]
fn the_realm_talks_to_a_server_of_the_host() {
    let (listener, at) = listener();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        // To the end of what the realm says, which can still hear.
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
        stream.write_all(b"the end").unwrap();
    });
    let mut network = Network::new(to_host(at.port()));
    let handle = network.realm.connect(1234, at.port()).unwrap();
    let all = pattern(1_000_000);
    let got = network.converse(handle, &all);
    assert_eq!(got.len(), all.len() + 7);
    assert!(got.starts_with(&all) && got.ends_with(b"the end"));
    server.join().unwrap();
    network.until(|network| network.peer.connections() == 0);
}

#[test]
fn somebody_on_the_host_talks_to_the_realm() {
    let (doors, at) = published(80);
    let mut network = Network::new(doors);
    let server = network.realm.listen(80).unwrap();
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(b"question").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    let mut asked = Vec::new();
    network.until(|network| {
        let socket = network.realm.socket(server);
        if socket.can_recv() {
            socket
                .recv(|data| {
                    asked.extend_from_slice(data);
                    (data.len(), ())
                })
                .unwrap();
        }
        asked == b"question"
    });
    let answer = pattern(300_000);
    assert_eq!(network.converse(server, &answer), b"");
    assert_eq!(client.join().unwrap(), answer);
    network.until(|network| network.peer.connections() == 0);
}

#[test]
fn ports_that_nobody_opened_are_refused_and_their_servers_hear_nothing() {
    let (open, at) = listener();
    let (closed, other) = listener();
    closed.set_nonblocking(true).unwrap();
    let mut network = Network::new(to_host(at.port()));
    for port in [other.port(), 22, 80] {
        let handle = network.realm.connect(1000, port).unwrap();
        network.until(|network| network.state(handle) == State::Closed);
        network.realm.remove(handle);
    }
    assert_eq!(
        closed.accept().unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "the realm may not connect there"
    );
    // A port that may be connected to, where nobody listens, is refused as well.
    drop(open);
    let handle = network.realm.connect(1001, at.port()).unwrap();
    network.until(|network| network.state(handle) == State::Closed);
    assert_eq!(network.peer.connections(), 0);
}

#[test]
fn who_connects_to_a_port_where_the_realm_does_not_listen_is_cut_off() {
    let (doors, at) = published(81);
    let mut network = Network::new(doors);
    let client = thread::spawn(move || TcpStream::connect(at).unwrap().read(&mut [0; 1]));
    network.until(|_| client.is_finished());
    let error = client.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(network.peer.connections(), 0);
}

#[test]
fn an_end_that_is_cut_off_cuts_the_other_off() {
    let (listener, at) = listener();
    let mut network = Network::new(to_host(at.port()));
    let handle = network.realm.connect(1000, at.port()).unwrap();
    network.until(|network| network.state(handle) == State::Established);
    let (mut stream, _) = listener.accept().unwrap();
    // Before the realm has agreed, and after.
    network.realm.socket(handle).abort();
    network.until(|network| network.peer.connections() == 0);
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let handle = network.realm.connect(1002, at.port()).unwrap();
    network.until(|network| network.state(handle) == State::Established);
    network.step();
    network.realm.socket(handle).abort();
    network.until(|network| network.peer.connections() == 0);
    drop(listener.accept().unwrap());
    // The other way round: a stream that is dropped with bytes that nobody has read is reset.
    let handle = network.realm.connect(1001, at.port()).unwrap();
    network.until(|network| network.state(handle) == State::Established);
    let (stream, _) = listener.accept().unwrap();
    network.realm.socket(handle).send_slice(b"unread").unwrap();
    for _ in 0..10 {
        network.step();
    }
    stream.peek(&mut [0; 1]).unwrap();
    drop(stream);
    network.until(|network| network.state(handle) == State::Closed);
}

#[test]
fn a_network_that_is_closed_gives_its_ports_back() {
    let (doors, at) = published(80);
    let (mailbox, thread) = start(doors, |_| true).unwrap();
    // The realm does not answer, so that this waits.
    let _client = TcpStream::connect(at).unwrap();
    assert!(TcpListener::bind(at).is_err());
    mailbox.close();
    thread.join().unwrap();
    TcpListener::bind(at).unwrap();
}

#[test]
fn a_network_ends_when_nobody_takes_its_frames_any_more() {
    let (mailbox, thread) = start(Doors::default(), |_| false).unwrap();
    mailbox.push(services::ARP.to_vec());
    thread.join().unwrap();
}
