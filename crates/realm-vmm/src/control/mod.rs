//! How a tool drives a hypervisor that runs several realms: the protocol of the channel between them.
//!
//! The channel is a stream of bytes in each direction, such as two rings in memory (`suzerain_wire`). On it are frames
//! ([`frame`]): a header of 12 bytes and a payload.
//!
//! | kind | direction | `realm` | `stream` | payload |
//! |---|---|---|---|---|
//! | [`Kind::Request`] | to the host | 0 | 0 | JSON of a [`Request`](message::Request) |
//! | [`Kind::Reply`] | to the tool | 0 | 0 | JSON of a [`Reply`](message::Reply) |
//! | [`Kind::Event`] | to the tool | 0 | 0 | JSON of an [`Event`](message::Event) |
//! | [`Kind::Contents`] | to the host | realm | 0 | IPA (64 bits, a multiple of 4K), then what is there |
//! | [`Kind::Console`] | both | realm | console | bytes |
//! | [`Kind::Block`] | both | realm | disk | a request of the realm's disk, or its answer ([`block`]) |
//! | [`Kind::Network`] | both | realm | 0 | an Ethernet frame |
//!
//! All numbers are little-endian. The host speaks first: [`Event::Hello`](message::Event::Hello) names the version of the protocol. A
//! request has a number that its reply repeats; replies come in the order of the requests, but for `remove` and `shutdown`: their replies come
//! when the realms are gone, and other requests are answered meanwhile.
//!
//! A realm is made in three steps: the request `create`, contents in ascending order of address, the request
//! `activate`, whose reply has the realm's initial measurement, or says what went wrong with the contents. After that, `start` runs it.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing
)]

pub mod block;
pub mod bounds;
pub mod frame;
pub mod kept;
pub mod message;
pub mod outbox;
mod ports;
mod removal;
mod server;
mod status;

pub use frame::{Frame, FrameReader, Kind};
pub use outbox::{Outbox, Port};
pub use server::{About, Link, Server};

/// The version of this protocol. A tool and a host of different versions do not talk.
pub const VERSION: u32 = 1;
