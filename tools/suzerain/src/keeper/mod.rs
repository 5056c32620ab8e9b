//! A machine that stays up: a process in the background owns it, and commands talk to that over a Unix socket.
//!
//! On the socket are frames like those of the control channel ([`realm_vmm::control::frame`]), with what is said in
//! [`protocol`]. The socket is in a folder that only its user can enter; whoever can connect may do everything.

mod attend;
mod client;
mod keep;
mod place;
mod protocol;

pub(crate) use self::client::{Client, Ended, Typist};
pub(crate) use self::keep::{Keep, run};
pub(crate) use self::place::Place;
pub(crate) use self::protocol::{Backing, DiskFile};
