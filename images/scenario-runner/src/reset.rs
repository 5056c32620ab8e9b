//! A reset in the middle of a realm's life, and what it leaves behind: the program of a machine that is reset.
//!
//! A program that resets the machine itself does it once before anything is delegated: then nobody has wiped anything for the
//! firmware that boots again, and it has to do with what it finds.
//!
//! In its first life the machine has a realm that keeps a pattern; then the program has the machine reset, or waits until
//! somebody else does it. In its second life it looks for the pattern in all memory that the normal world reaches, and makes a
//! realm once more. What tells the lives apart is a word that survives.

use core::ops::Range;
use core::sync::atomic::Ordering;

use cca_abi::GRANULE_SIZE;
use cca_abi::firmware::RMM_END;
use hardware::host::{Dram, system_reset};
use hardware::println;
use scenarios::{Failure, Fixture, Puppet};

use crate::host::{HEAP, MEMORY, SETTINGS, ScenarioHost};

/// Memory that nothing of the runner lies in, from the end of the RMM's to the end of a machine with 1 GiB. What the heap
/// and the image have is the runner's own; no granule of it was delegated.
pub(crate) fn unused() -> [Range<u64>; 3] {
    let image = Dram::image();
    [
        RMM_END..HEAP.start,
        SETTINGS.end..image.start,
        image.end.next_multiple_of(GRANULE_SIZE)..0x8000_0000,
    ]
}

/// The word of [`SETTINGS`] that counts lives.
const LIFE: usize = 256;
/// Pages of the realm that have the pattern.
const PAGES: u64 = 3;
/// Words of each that do.
const WORDS: u64 = 32;

/// Word `n` of the pattern.
fn pattern(n: u64) -> u64 {
    (n + 0x5EC2_E700).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Makes a realm and has it write its pattern.
fn live(host: &ScenarioHost) -> Result<(), Failure> {
    let mut fixture = Fixture::new(host);
    let puppet = Puppet::new(&mut fixture, 1);
    for page in 0..PAGES {
        for n in 0..WORDS {
            let address = Puppet::FREE_PAGE + page * GRANULE_SIZE + 8 * n;
            puppet.write(&mut fixture, address, pattern(n));
        }
    }
    fixture.check()
}

/// Number of pages with the pattern, or most of it.
fn search(host: &ScenarioHost) -> usize {
    unused()
        .into_iter()
        .chain([MEMORY])
        .flat_map(|range| range.step_by(GRANULE_SIZE as usize))
        .filter(|&page| {
            let words = host.granule(page);
            let same =
                (0..WORDS).filter(|&n| words[n as usize].load(Ordering::Relaxed) == pattern(n));
            same.count() as u64 >= WORDS / 4
        })
        .count()
}

/// Goes through both lives. `by_itself`: the machine is not reset by somebody else.
///
/// What it needs of the stack the scenarios do not have to spare.
#[inline(never)]
pub(crate) fn run(host: &ScenarioHost, by_itself: bool) {
    let lives = &host.granule(SETTINGS.start)[LIFE];
    let mut before = lives.fetch_add(1, Ordering::Relaxed);
    if by_itself {
        if before == 0 {
            println!("reset: nothing is delegated");
            system_reset();
        }
        before -= 1;
    }
    if before != 0 {
        println!("reset: {} pages of the realm are left", search(host));
    } else {
        // Who finds nothing must be able to find something.
        let page = host.granule(MEMORY.end - GRANULE_SIZE);
        let write = |mask: u64| {
            for n in 0..WORDS {
                page[n as usize].store(pattern(n) & mask, Ordering::Relaxed);
            }
        };
        write(u64::MAX);
        println!("reset: {} pages are found of 1", search(host));
        write(0);
    }
    match live(host) {
        Ok(()) => println!("reset: a realm runs in life {}", before + 1),
        Err(failure) => println!("reset: FAILED: {}", failure.0),
    }
    if before == 0 {
        if by_itself {
            system_reset();
        }
        println!("reset: waiting for it");
        hardware::common::barrier::halt();
    }
}
