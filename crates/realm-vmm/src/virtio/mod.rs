//! Virtio devices (virtio 1.2) over MMIO, version 2, with split virtqueues.
//!
//! | device | offers | queues | host's side |
//! |---|---|---|---|
//! | [`console()`] | `VIRTIO_CONSOLE_F_SIZE`; one port | receive 64, transmit 64 | [`ConsolePort`]: bytes out and in, the terminal's size |
//! | [`block()`] | `VIRTIO_BLK_F_FLUSH`, `F_RO`, `F_BLK_SIZE`, `F_SEG_MAX`; read, write, flush, get id | 128 | [`DiskPort`]: requests with tags, answered later, in any order |
//! | [`network()`] | `VIRTIO_NET_F_MAC`; no offloads | receive 128, transmit 128 | [`NetworkPort`]: frames out and in |
//! | [`entropy()`] | | 16 | an [`EntropySource`], such as [`Seeded`] |
//!
//! All of them offer `VIRTIO_F_VERSION_1`, without which none works, and `VIRTIO_F_ACCESS_PLATFORM`: a realm's driver can only share what it
//! has copied to memory that it has made shared. A driver that does not accept it works if its memory is shared anyway. Not
//! offered are tables of indirect descriptors (each would be copied to shared memory, too), event indices, packed
//! rings, and resets of single queues.
//!
//! # How to use it
//!
//! A constructor makes a device, to put into [`Slots`], and a port, which is the host's side of it. Accesses of the realm go to
//! [`Slots::read`] and [`Slots::write`]. Whoever gave a port something, or took output from it, calls [`Slots::poll`] afterwards,
//! and only then does the realm see it. Both tell the levels of interrupt lines.
//!
//! A device tree says `dma-coherent` of each device: what a driver shares is cached memory for the host, too.
//!
//! No device calls the host, but for an [`EntropySource`]: what goes out waits in its port. The lock of a device is taken before that of its
//! port, nothing is called while a port is locked, and users of ports hold no device, so the order of locks has no circle.
//!
//! # Trust
//!
//! What a driver writes to registers, rings and descriptors is an allegation: read once, checked, bounded, and used only to
//! address memory that the realm shares. After nonsense ([`Fault`]), a device sets `DEVICE_NEEDS_RESET` and does nothing until it
//! is reset; nobody else notices. What one call costs is bounded by the sizes of the queue, of the port, and of a transfer. How
//! accesses are ordered against the realm's is said in `queue.rs`.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable
)]

mod block;
mod chain;
mod console;
mod disk_port;
mod entropy;
mod fault;
mod network;
mod queue;
mod slots;
mod transport;

pub use block::{
    Block, Disk, IN_FLIGHT as TRANSFERS_IN_FLIGHT, LONGEST as LONGEST_TRANSFER, SECTOR, block,
};
pub use chain::{Buffer, Chain};
pub use console::{Console, ConsolePort, Overflow, ROOM as CONSOLE_ROOM, console};
pub use disk_port::{DiskAnswer, DiskError, DiskPort, DiskRequest, Operation};
pub use entropy::{Entropy, EntropySource, LARGEST_ANSWER, Seeded, entropy};
pub use fault::Fault;
pub use network::{
    FrameCounts, LONGEST_FRAME, Network, NetworkPort, SHORTEST_FRAME, WAITING_FRAMES, network,
};
pub use queue::{Batch, Queue};
pub use slots::{FIRST_INTID, Lines, SLOTS, SLOTS_BASE, Slots, slot_base, slot_intid};
pub use transport::{Device, SIZE, Transport};
