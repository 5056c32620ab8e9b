//! A realm that sends what it likes.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, IpProtocol, Ipv4Address, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use super::super::peer::MOST;
use super::services::{ARP, dhcp, packet, ping};
use super::*;

fn segment(from: u16, to: u16, control: TcpControl) -> Vec<u8> {
    let segment = TcpRepr {
        src_port: from,
        dst_port: to,
        control,
        seq_number: TcpSeqNumber(i32::from(from)),
        ack_number: None,
        window_len: 1000,
        window_scale: Some(3),
        max_seg_size: Some(1460),
        sack_permitted: true,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let mut bytes = vec![0; segment.buffer_len()];
    segment.emit(
        &mut TcpPacket::new_unchecked(&mut bytes),
        &REALM.into(),
        &GATEWAY.into(),
        &ChecksumCapabilities::default(),
    );
    packet(GATEWAY, IpProtocol::Tcp, &bytes)
}

fn frames(port: u16) -> Vec<Vec<u8>> {
    let far = Ipv4Address::new(192, 0, 2, 1);
    vec![
        ARP.to_vec(),
        ping(b"data"),
        dhcp(DhcpMessageType::Discover, None),
        dhcp(DhcpMessageType::Request, Some(REALM)),
        packet(far, IpProtocol::Tcp, &[0; 30]),
        packet(GATEWAY, IpProtocol::Udp, &[0, 1, 0, 2, 0, 8, 0, 0]),
        packet(GATEWAY, IpProtocol::Unknown(200), &[1; 1480]),
        segment(1, port, TcpControl::Syn),
        segment(1, 9, TcpControl::Fin),
        segment(1, port, TcpControl::Psh),
        segment(1, port, TcpControl::Rst),
    ]
}

/// The network still works.
fn works(network: &mut Network) {
    network.answers(&ARP);
    // Connections that nobody completes have things sent again meanwhile.
    let answers = network.answers(&ping(b"still there?"));
    let is_reply = |frame: &&Vec<u8>| frame[23] == 1 && frame[34] == 0;
    assert_eq!(answers.iter().filter(is_reply).count(), 1);
}

#[test]
fn damaged_frames_do_no_harm() {
    let (_listener, at) = listener();
    let mut network = Network::new(to_host(at.port()));
    for frame in frames(at.port()) {
        for length in 0..frame.len() {
            network.peer.receive(frame[..length].to_vec());
            network.step();
        }
        for at in 0..frame.len().min(400) {
            for change in [0x01, 0x80, 0xff, frame[at]] {
                let mut damaged = frame.clone();
                damaged[at] ^= change;
                network.peer.receive(damaged);
            }
            network.step();
        }
        for longer in [1, 1000, 1514, 1518, 256 << 10] {
            let mut longer_frame = frame.clone();
            longer_frame.resize(frame.len() + longer, 0xff);
            network.peer.receive(longer_frame);
            network.step();
        }
    }
    works(&mut network);
}

#[test]
fn noise_with_a_good_beginning_does_no_harm() {
    let (_listener, at) = listener();
    let mut network = Network::new(to_host(at.port()));
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let frames = frames(at.port());
    for _ in 0..20_000 {
        let mut frame = frames[random() as usize % frames.len()].clone();
        for _ in 0..1 + random() % 8 {
            let at = random() as usize % frame.len();
            frame[at] = random() as u8;
        }
        // A checksum that is right leads further.
        if frame.len() > 34 && random() % 2 == 0 {
            frame[24] = 0;
            frame[25] = 0;
            let sum: u32 = frame[14..34]
                .chunks(2)
                .map(|half| u32::from(u16::from_be_bytes([half[0], half[1]])))
                .sum();
            let sum = (sum & 0xffff) + (sum >> 16);
            let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        network.peer.receive(frame);
        assert!(sent(network.peer.stack()).len() <= 2 * MOST);
    }
    network.step();
    works(&mut network);
}

#[test]
fn a_flood_of_connections_is_bounded_and_others_get_theirs() {
    let (listener, at) = listener();
    let (mut doors, entrance) = published(80);
    doors.host_ports.push(at.port());
    let mut network = Network::new(doors);
    works(&mut network);
    let mut answers = 0;
    for from in 1..10_000 {
        answers += network
            .answers(&segment(from, at.port(), TcpControl::Syn))
            .len();
        assert!(network.peer.connections() <= MOST);
    }
    assert_eq!(network.peer.connections(), MOST);
    assert!(answers >= MOST);
    // Ports that are refused cost no connection at all.
    for from in 1..10_000 {
        let refused = network.answers(&segment(from, 7, TcpControl::Syn));
        assert!((1..=1 + MOST).contains(&refused.len()));
    }
    assert_eq!(network.peer.connections(), MOST);
    // Who wants to connect to the realm still can.
    let server = network.realm.listen(80).unwrap();
    let client = TcpStream::connect(entrance).unwrap();
    network.until(|network| network.state(server) == State::Established);
    drop((client, listener));
}
