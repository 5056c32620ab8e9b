//! The realms of a siege: one that computes, and one that does its worst to everybody else on the machine.
//!
//! Which of them the program is, and for how long the one that computes goes on, is an [`Order`] that the tester writes into the image.
//! The hostile one never ends by itself, but for the way that is about ending.

mod compute;
mod ground;
mod virtio;
mod ways;

pub use compute::{LAST, STEPS, step};
pub use ground::{Ground, MINIMUM_MEMORY};

use crate::puppet::PuppetPe;
use ground::Attacker;

/// What stands before an [`Order`] in the image.
pub const MARK: [u8; 16] = *b"order of a siege";
/// Bytes of an order.
pub const ORDER: usize = 16;

/// What a realm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Way {
    /// Computes: the one that is to lose nothing.
    Compute = 0,
    /// Prints without end, on all vCPUs.
    Console = 1,
    /// Leaves the realm as often as it can, by host calls, accesses to devices and calls that nobody knows.
    Exits = 2,
    /// Makes every other page of its memory empty, and RAM again.
    Chequer = 3,
    /// Shares every other page of its memory, uses it, and takes it back.
    Share = 4,
    /// Writes to its disk as much as it can, and resets it with transfers outside.
    Disk = 5,
    /// Sends frames as fast as it can.
    Network = 6,
    /// Gives its devices descriptors and rings without sense.
    Nonsense = 7,
    /// Has its timer expire at once, and its vCPUs interrupt each other.
    Interrupts = 8,
    /// Turns its vCPUs on and off.
    Power = 9,
    /// Has itself reset, as soon as it runs.
    Reset = 10,
    /// Has attestation tokens made, and drops them half way.
    Tokens = 11,
    /// Touches all of its memory page by page, gives it back, and touches it again.
    Memory = 12,
}

impl Way {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Compute,
        Self::Console,
        Self::Exits,
        Self::Chequer,
        Self::Share,
        Self::Disk,
        Self::Network,
        Self::Nonsense,
        Self::Interrupts,
        Self::Power,
        Self::Reset,
        Self::Tokens,
        Self::Memory,
    ];
}

/// What the program is told: the way in byte 0, seconds in bytes 4 to 7 (little-endian).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What to do.
    pub way: Way,
    /// For how long, if it is something that ends.
    pub seconds: u32,
}

impl Order {
    /// As bytes in the image.
    #[must_use]
    pub fn encode(self) -> [u8; ORDER] {
        let mut bytes = [0; ORDER];
        bytes[0] = self.way as u8;
        bytes[4..8].copy_from_slice(&self.seconds.to_le_bytes());
        bytes
    }

    /// From bytes in the image; `None` for a way that there is not.
    #[must_use]
    pub fn decode(bytes: &[u8; ORDER]) -> Option<Self> {
        let way = *Way::ALL.get(usize::from(bytes[0]))?;
        let [_, _, _, _, a, b, c, d, ..] = *bytes;
        let seconds = u32::from_le_bytes([a, b, c, d]);
        Some(Self { way, seconds })
    }
}

/// What vCPU 0 does.
pub fn run<P: PuppetPe>(pe: &P, ground: Ground, order: Option<Order>) {
    let Some(attacker) = Attacker::arrive(pe, ground) else {
        return;
    };
    match order {
        Some(Order {
            way: Way::Compute,
            seconds,
        }) => compute::run(&attacker, seconds),
        Some(Order { way, .. }) => {
            attacker.say(format_args!("worst {}", way as u8));
            attacker.call_others(way);
            attack(&attacker, way);
        }
        None => attacker.say(format_args!("FAILED no order")),
    }
}

/// What every other vCPU does: the same, with other parts of memory.
pub fn run_secondary<P: PuppetPe>(pe: &P, context: u64) {
    if let Some((attacker, way)) = Attacker::follow(pe, context) {
        attack(&attacker, way);
    }
}

fn attack<P: PuppetPe>(attacker: &Attacker<'_, P>, way: Way) {
    match way {
        Way::Compute => {}
        Way::Console => attacker.print(),
        Way::Exits => attacker.leave(),
        Way::Chequer => attacker.chequer(),
        Way::Share => attacker.share(),
        Way::Disk => virtio::write_and_reset(attacker),
        Way::Network => virtio::send(attacker),
        Way::Nonsense => virtio::confuse(attacker),
        Way::Interrupts => attacker.interrupt(),
        Way::Power => attacker.turn_on_and_off(),
        Way::Reset => attacker.psci().system_reset(),
        Way::Tokens => attacker.ask_for_tokens(),
        Way::Memory => attacker.touch(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        for (number, way) in Way::ALL.into_iter().enumerate() {
            assert_eq!(way as usize, number);
            let order = Order { way, seconds: 600 };
            assert_eq!(Order::decode(&order.encode()), Some(order));
        }
        assert_eq!(Order::decode(&[0xFF; ORDER]), None);
    }
}
