//! What a frame of the realm is, before anything is done about it; and frames that are made here.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, IpAddress, IpProtocol, Ipv4Address, Ipv4Packet,
    Ipv4Repr, TcpControl, TcpPacket, TcpRepr, UdpPacket, UdpRepr,
};

use super::{GATEWAY, GATEWAY_HARDWARE, REALM};

/// The longest frame: 1500 bytes behind the header.
pub(super) const LONGEST: usize = 1514;
/// Bytes of a packet behind its header that a complaint about it repeats.
const REPEATED: usize = 8;
const HOPS: u8 = 64;
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;

/// What a frame is about.
#[derive(Debug, PartialEq)]
pub(super) enum About<'a> {
    /// Nothing that concerns this side: damaged, of another protocol, or not from the realm's address.
    Nothing,
    /// An ARP packet, or a packet for this side.
    Gateway,
    /// One for this side that begins a connection.
    Opening {
        /// The realm's port.
        from: u16,
        /// The port that it wants.
        to: u16,
    },
    /// A message of a DHCP client.
    Dhcp(&'a [u8]),
    /// A packet for somewhere that does not exist: its header and what is behind.
    Elsewhere(Ipv4Repr, &'a [u8]),
}

/// Looks at a frame.
pub(super) fn about(frame: &[u8]) -> About<'_> {
    look(frame).unwrap_or(About::Nothing)
}

fn look(frame: &[u8]) -> Option<About<'_>> {
    let checksums = ChecksumCapabilities::default();
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if frame.len() > LONGEST || !ethernet.src_addr().is_unicast() {
        return None;
    }
    match ethernet.ethertype() {
        EthernetProtocol::Arp => {
            let packet = ArpPacket::new_checked(ethernet.payload()).ok()?;
            let ArpRepr::EthernetIpv4 {
                source_protocol_addr,
                ..
            } = ArpRepr::parse(&packet).ok()?
            else {
                return None;
            };
            return (source_protocol_addr == REALM).then_some(About::Gateway);
        }
        EthernetProtocol::Ipv4 => {}
        _ => return None,
    }
    let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    let header = Ipv4Repr::parse(&packet, &checksums).ok()?;
    if packet.more_frags() || packet.frag_offset() != 0 {
        return None;
    }
    let (source, destination) = (header.src_addr.into(), header.dst_addr.into());
    if header.next_header == IpProtocol::Udp
        && let Ok(datagram) = UdpPacket::new_checked(packet.payload())
        && let Ok(ports) = UdpRepr::parse(&datagram, &source, &destination, &checksums)
        && (ports.src_port, ports.dst_port) == (DHCP_CLIENT, DHCP_SERVER)
    {
        return Some(About::Dhcp(datagram.payload()));
    }
    if header.src_addr != REALM {
        return None;
    }
    if header.dst_addr != GATEWAY {
        let is_reply_due = ethernet.dst_addr() == GATEWAY_HARDWARE
            && header.next_header != IpProtocol::Icmp
            && !header.dst_addr.is_multicast()
            && !header.dst_addr.is_broadcast();
        return is_reply_due.then_some(About::Elsewhere(header, packet.payload()));
    }
    if header.next_header == IpProtocol::Tcp {
        let segment = TcpPacket::new_checked(packet.payload()).ok()?;
        let segment = TcpRepr::parse(&segment, &source, &destination, &checksums).ok()?;
        if segment.control == TcpControl::Syn && segment.ack_number.is_none() {
            return Some(About::Opening {
                from: segment.src_port,
                to: segment.dst_port,
            });
        }
    }
    Some(About::Gateway)
}

/// Tells the realm that there is nobody where it wanted to send something.
pub(super) fn unreachable(to: EthernetAddress, header: Ipv4Repr, payload: &[u8]) -> Vec<u8> {
    let complaint = Icmpv4Repr::DstUnreachable {
        reason: Icmpv4DstUnreachable::NetProhibited,
        header,
        data: &payload[..payload.len().min(REPEATED)],
    };
    packet(
        to,
        REALM,
        IpProtocol::Icmp,
        complaint.buffer_len(),
        |bytes| {
            complaint.emit(
                &mut Icmpv4Packet::new_unchecked(bytes),
                &ChecksumCapabilities::default(),
            );
        },
    )
}

/// A frame with a message of the DHCP server, `length` bytes of it.
pub(super) fn dhcp(
    to: EthernetAddress,
    address: Ipv4Address,
    length: usize,
    write: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let ports = UdpRepr {
        src_port: DHCP_SERVER,
        dst_port: DHCP_CLIENT,
    };
    let all = ports.header_len() + length;
    packet(to, address, IpProtocol::Udp, all, |bytes| {
        ports.emit(
            &mut UdpPacket::new_unchecked(bytes),
            &IpAddress::Ipv4(GATEWAY),
            &IpAddress::Ipv4(address),
            length,
            write,
            &ChecksumCapabilities::default(),
        );
    })
}

fn packet(
    to: EthernetAddress,
    address: Ipv4Address,
    next_header: IpProtocol,
    payload_len: usize,
    write: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let ethernet = EthernetRepr {
        src_addr: GATEWAY_HARDWARE,
        dst_addr: to,
        ethertype: EthernetProtocol::Ipv4,
    };
    let header = Ipv4Repr {
        src_addr: GATEWAY,
        dst_addr: address,
        next_header,
        payload_len,
        hop_limit: HOPS,
    };
    let mut frame = vec![0; ethernet.buffer_len() + header.buffer_len() + payload_len];
    let mut outer = EthernetFrame::new_unchecked(&mut frame[..]);
    ethernet.emit(&mut outer);
    let mut inner = Ipv4Packet::new_unchecked(outer.payload_mut());
    header.emit(&mut inner, &ChecksumCapabilities::default());
    write(inner.payload_mut());
    frame
}
