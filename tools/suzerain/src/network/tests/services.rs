//! What the peer answers by itself: ARP, ping, DHCP, and complaints.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress,
    EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv4DstUnreachable, Icmpv4Message,
    Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, UdpPacket,
};

use super::super::*;
use super::Network;

/// The realm asks who has 10.0.2.2.
pub(super) const ARP: [u8; 42] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 10, 0, 2, 15, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 10,
    0, 2, 15, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2,
];

/// A packet from the realm.
pub(super) fn packet(to: Ipv4Address, next_header: IpProtocol, payload: &[u8]) -> Vec<u8> {
    packet_from(REALM, to, next_header, payload)
}

fn packet_from(
    src_addr: Ipv4Address,
    dst_addr: Ipv4Address,
    next_header: IpProtocol,
    payload: &[u8],
) -> Vec<u8> {
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(REALM_HARDWARE),
        dst_addr: GATEWAY_HARDWARE,
        ethertype: EthernetProtocol::Ipv4,
    };
    let header = Ipv4Repr {
        src_addr,
        dst_addr,
        next_header,
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let mut frame = vec![0; ethernet.buffer_len() + header.buffer_len() + payload.len()];
    let mut outer = EthernetFrame::new_unchecked(&mut frame[..]);
    ethernet.emit(&mut outer);
    let mut inner = Ipv4Packet::new_unchecked(outer.payload_mut());
    header.emit(&mut inner, &ChecksumCapabilities::default());
    inner.payload_mut().copy_from_slice(payload);
    frame
}

/// An echo request of the realm.
pub(super) fn ping(data: &[u8]) -> Vec<u8> {
    let request = Icmpv4Repr::EchoRequest {
        ident: 7,
        seq_no: 9,
        data,
    };
    let mut bytes = vec![0; request.buffer_len()];
    request.emit(
        &mut Icmpv4Packet::new_unchecked(&mut bytes),
        &ChecksumCapabilities::default(),
    );
    packet(GATEWAY, IpProtocol::Icmp, &bytes)
}

/// A message of a DHCP client that has no address yet.
pub(super) fn dhcp(kind: DhcpMessageType, wanted: Option<Ipv4Address>) -> Vec<u8> {
    let none = Ipv4Address::UNSPECIFIED;
    let message = DhcpRepr {
        message_type: kind,
        transaction_id: 0x1234_5678,
        secs: 3,
        client_hardware_address: EthernetAddress(REALM_HARDWARE),
        client_ip: none,
        your_ip: none,
        server_ip: none,
        router: None,
        subnet_mask: None,
        relay_agent_ip: none,
        broadcast: false,
        requested_ip: wanted,
        client_identifier: Some(EthernetAddress(REALM_HARDWARE)),
        server_identifier: None,
        parameter_request_list: Some(&[1, 3]),
        dns_servers: None,
        max_size: Some(1500),
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let mut bytes = vec![0; 8 + message.buffer_len()];
    let length = bytes.len() as u16;
    let mut datagram = UdpPacket::new_unchecked(&mut bytes);
    datagram.set_src_port(68);
    datagram.set_dst_port(67);
    datagram.set_len(length);
    message
        .emit(&mut DhcpPacket::new_unchecked(datagram.payload_mut()))
        .unwrap();
    datagram.fill_checksum(&none.into(), &Ipv4Address::BROADCAST.into());
    packet_from(none, Ipv4Address::BROADCAST, IpProtocol::Udp, &bytes)
}

/// A packet in a frame, which must be whole.
fn opened(frame: &[u8]) -> (EthernetAddress, Ipv4Repr, &[u8]) {
    let ethernet = EthernetFrame::new_checked(frame).unwrap();
    assert_eq!(ethernet.src_addr(), GATEWAY_HARDWARE);
    let packet = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
    let header = Ipv4Repr::parse(&packet, &ChecksumCapabilities::default()).unwrap();
    assert_eq!(header.src_addr, GATEWAY);
    (ethernet.dst_addr(), header, packet.payload())
}

#[test]
fn the_gateway_says_where_it_is() {
    let mut network = Network::new(Doors::default());
    let answers = network.answers(&ARP);
    assert_eq!(answers.len(), 1);
    let ethernet = EthernetFrame::new_checked(&answers[0]).unwrap();
    assert_eq!(ethernet.dst_addr(), EthernetAddress(REALM_HARDWARE));
    let answer = ArpRepr::parse(&ArpPacket::new_checked(ethernet.payload()).unwrap());
    let expected = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: GATEWAY_HARDWARE,
        source_protocol_addr: GATEWAY,
        target_hardware_addr: EthernetAddress(REALM_HARDWARE),
        target_protocol_addr: REALM,
    };
    assert_eq!(answer, Ok(expected));
    // Nobody else is there, and it is nobody's business but the realm's.
    for (at, byte) in [(41, 3), (31, 16)] {
        let mut other = ARP;
        other[at] = byte;
        assert_eq!(network.answers(&other), [[0; 0]; 0]);
    }
}

#[test]
fn the_gateway_answers_ping() {
    let mut network = Network::new(Doors::default());
    network.answers(&ARP);
    for length in [0, 56, 1472] {
        let data = vec![0x5a; length];
        let answers = network.answers(&ping(&data));
        assert_eq!(answers.len(), 1, "{length}");
        let (to, header, payload) = opened(&answers[0]);
        assert_eq!(to, EthernetAddress(REALM_HARDWARE));
        assert_eq!(header.dst_addr, REALM);
        let reply = Icmpv4Repr::parse(
            &Icmpv4Packet::new_checked(payload).unwrap(),
            &ChecksumCapabilities::default(),
        );
        let expected = Icmpv4Repr::EchoReply {
            ident: 7,
            seq_no: 9,
            data: &data,
        };
        assert_eq!(reply, Ok(expected));
    }
}

#[test]
fn a_dhcp_client_gets_the_one_address_that_there_is() {
    use DhcpMessageType::{Ack, Decline, Discover, Nak, Offer, Request};
    let mut network = Network::new(Doors::default());
    let other = Ipv4Address::new(10, 0, 2, 16);
    for (kind, wanted, answer) in [
        (Discover, None, Some(Offer)),
        (Discover, Some(other), Some(Offer)),
        (Request, Some(REALM), Some(Ack)),
        (Request, Some(other), Some(Nak)),
        (Request, None, Some(Nak)),
        (Decline, Some(REALM), None),
    ] {
        let answers = network.answers(&dhcp(kind, wanted));
        assert_eq!(answers.len(), usize::from(answer.is_some()), "{kind:?}");
        let Some(expected) = answer else { continue };
        let (to, header, payload) = opened(&answers[0]);
        let datagram = UdpPacket::new_checked(payload).unwrap();
        assert!(datagram.verify_checksum(&GATEWAY.into(), &header.dst_addr.into()));
        assert_eq!((datagram.src_port(), datagram.dst_port()), (67, 68));
        let message = DhcpPacket::new_checked(datagram.payload()).unwrap();
        let message = DhcpRepr::parse(&message).unwrap();
        assert_eq!(message.message_type, expected, "{kind:?}");
        assert_eq!(message.transaction_id, 0x1234_5678);
        assert_eq!(message.server_identifier, Some(GATEWAY));
        if expected == Nak {
            assert_eq!(to, EthernetAddress::BROADCAST);
            assert_eq!(message.your_ip, Ipv4Address::UNSPECIFIED);
            continue;
        }
        assert_eq!(
            (to, header.dst_addr),
            (EthernetAddress(REALM_HARDWARE), REALM)
        );
        assert_eq!(message.your_ip, REALM);
        assert_eq!(message.router, Some(GATEWAY));
        assert_eq!(
            message.subnet_mask,
            Some(Ipv4Address::new(255, 255, 255, 0))
        );
        assert_eq!(message.lease_duration, Some(u32::MAX));
    }
}

#[test]
fn there_is_no_other_host() {
    let mut network = Network::new(Doors::default());
    network.answers(&ARP);
    let far = Ipv4Address::new(192, 0, 2, 1);
    let answers = network.answers(&packet(far, IpProtocol::Udp, &[9; 100]));
    assert_eq!(answers.len(), 1);
    let (_, _, payload) = opened(&answers[0]);
    let complaint = Icmpv4Packet::new_checked(payload).unwrap();
    assert!(complaint.verify_checksum());
    assert_eq!(complaint.msg_type(), Icmpv4Message::DstUnreachable);
    let code = u8::from(Icmpv4DstUnreachable::NetProhibited);
    assert_eq!(complaint.msg_code(), code);
    // The packet's header as it was, and the first bytes behind it.
    let repeated = Ipv4Packet::new_unchecked(complaint.data());
    assert!(repeated.verify_checksum());
    assert_eq!((repeated.src_addr(), repeated.dst_addr()), (REALM, far));
    assert_eq!(repeated.total_len(), 120);
    assert_eq!(complaint.data()[20..], [9; 8]);
    // Complaints are no reason to complain, and nobody is told of what went to many.
    for (to, protocol) in [
        (far, IpProtocol::Icmp),
        (Ipv4Address::new(224, 0, 0, 251), IpProtocol::Udp),
        (Ipv4Address::BROADCAST, IpProtocol::Udp),
    ] {
        let answers = network.answers(&packet(to, protocol, &[9; 100]));
        assert!(answers.is_empty(), "{to}");
    }
}
