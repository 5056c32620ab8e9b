//! A realm's network, all of it in this process: an Ethernet with two stations, the realm's interface and this one.
//!
//! The realm is 10.0.2.15, and this side of it is 10.0.2.2, as in QEMU's user network. No packet leaves: the TCP of the realm
//! ends here, and what its connections carry is copied from and to sockets of the host. Which connections there may be is a
//! [`Plan`]; without one, this side answers ARP, DHCP and ping, and refuses everything else.
//!
//! What the realm sends is hostile. A [`Mailbox`] takes its frames from whoever reads the channel, drops those that are too many,
//! and never waits; one thread for each realm does the rest. It has at most so many connections, and each has buffers of a fixed size.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable
)]

mod dhcp;
mod flow;
mod frames;
mod mailbox;
mod peer;
mod plan;
mod stack;
#[cfg(test)]
mod tests;

use smoltcp::wire::{EthernetAddress, Ipv4Address};

pub use self::mailbox::{MOST_BYTES, Mailbox};
pub use self::peer::Peer;
pub(crate) use self::peer::start;
pub use self::plan::Doors;
pub(crate) use self::plan::{Plan, Publish, parse_port};

/// The realm's address.
pub(crate) const REALM: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
/// The address of this side.
pub(crate) const GATEWAY: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// Bits of both that are the network's.
const PREFIX: u8 = 24;
/// The hardware address of the realm's interface. Every realm has a network of its own, so that all of them have the same.
pub(crate) const REALM_HARDWARE: [u8; 6] = [0x02, 0x00, 10, 0, 2, 15];
/// The hardware address of this side.
const GATEWAY_HARDWARE: EthernetAddress = EthernetAddress([0x02, 0x00, 10, 0, 2, 2]);
