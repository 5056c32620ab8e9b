//! The realm that computes.

use super::ground::Attacker;
use crate::puppet::PuppetPe;

/// Steps of a round.
pub const STEPS: u64 = 1 << 21;
/// The last so many numbers of a round stand in memory and are added up.
pub const LAST: u64 = 1 << 13;

/// One step: a linear congruence (the constants are those of Knuth's MMIX), so that there is another way to the same numbers.
#[must_use]
pub const fn step(number: u64) -> u64 {
    number
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

/// Computes rounds for that many seconds, says what each comes to, and ends the realm.
///
/// A round starts from its own number, keeps its numbers in memory, and adds up what memory holds at the end.
pub(super) fn run<P: PuppetPe>(attacker: &Attacker<'_, P>, seconds: u32) {
    let pe = attacker.pe;
    let memory = attacker.slice();
    let end = pe.counter() + u64::from(seconds) * pe.frequency();
    let mut round = 0;
    while pe.counter() < end {
        let mut number = round;
        for at in 0..STEPS {
            number = step(number);
            pe.write(memory.start + 8 * (at % LAST), number);
        }
        let places = (memory.start..).step_by(8).take(LAST as usize);
        let sum = places.fold(0, |sum: u64, place| sum.wrapping_add(pe.read(place)));
        attacker.say(format_args!("round {round} {sum:x}"));
        round += 1;
    }
    attacker.say(format_args!("done {round}"));
    attacker.psci().system_off();
}
