//! A DHCP server with one address to give.

use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, Ipv4Address, Ipv4Cidr,
};

use super::frames;
use super::{GATEWAY, PREFIX, REALM};

/// Nobody else wants the address.
const LEASE: u32 = u32::MAX;

/// The frame that answers a client's message, if it asks for something.
pub(super) fn answer(message: &[u8]) -> Option<Vec<u8>> {
    let packet = DhcpPacket::new_checked(message).ok()?;
    let asked = DhcpRepr::parse(&packet).ok()?;
    if !asked.client_hardware_address.is_unicast() {
        return None;
    }
    // A client that has chosen another server waits for that one.
    if asked.server_identifier.is_some_and(|id| id != GATEWAY) {
        return None;
    }
    let wanted = asked.requested_ip.unwrap_or(asked.client_ip);
    let kind = match asked.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request if wanted == REALM => DhcpMessageType::Ack,
        DhcpMessageType::Request => DhcpMessageType::Nak,
        _ => return None,
    };
    let good = kind != DhcpMessageType::Nak;
    let told = DhcpRepr {
        message_type: kind,
        transaction_id: asked.transaction_id,
        secs: 0,
        client_hardware_address: asked.client_hardware_address,
        client_ip: Ipv4Address::UNSPECIFIED,
        your_ip: if good {
            REALM
        } else {
            Ipv4Address::UNSPECIFIED
        },
        server_ip: Ipv4Address::UNSPECIFIED,
        router: good.then_some(GATEWAY),
        subnet_mask: good.then(|| Ipv4Cidr::new(GATEWAY, PREFIX).netmask()),
        relay_agent_ip: Ipv4Address::UNSPECIFIED,
        broadcast: asked.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(GATEWAY),
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: good.then_some(LEASE),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let (to, address) = match asked.broadcast || !good {
        true => (EthernetAddress::BROADCAST, Ipv4Address::BROADCAST),
        false => (asked.client_hardware_address, REALM),
    };
    let mut written = Ok(());
    let frame = frames::dhcp(to, address, told.buffer_len(), |bytes| {
        written = told.emit(&mut DhcpPacket::new_unchecked(bytes));
    });
    written.ok().map(|()| frame)
}
