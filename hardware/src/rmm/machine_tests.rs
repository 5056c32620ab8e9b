//! What of the machine no emulator shows.

use std::boxed::Box;
use std::vec::Vec;

use core::sync::atomic::Ordering::Relaxed;
use realm_monitor::platform::Platform as _;

use super::*;
use crate::common::fake;
use crate::rmm::cpu;

/// DCZID_EL0.DZP: DC ZVA is not allowed.
const NO_ZERO_BLOCKS: u64 = 1 << 4;

/// A granule of the test's own.
#[repr(align(4096))]
struct Page(Granule);

fn machine(dczid: u64) -> Machine {
    fake::reset();
    fake::set("dczid_el0", dczid);
    Machine::new(cpu::features(), &[], None)
}

#[test]
fn a_granule_is_wiped_word_by_word_where_blocks_cannot_be() {
    let machine = machine(NO_ZERO_BLOCKS);
    let page = Box::new(Page(core::array::from_fn(|n| AtomicU64::new(n as u64 + 1))));
    machine.zero_granule(page.0.as_ptr() as u64);
    let left: Vec<_> = page
        .0
        .iter()
        .filter(|word| word.load(Relaxed) != 0)
        .collect();
    assert!(left.is_empty(), "{} words are left", left.len());
}

#[test]
fn tables_are_published_by_a_barrier() {
    let machine = machine(4);
    fake::log();
    machine.publish_tables();
    assert_eq!(fake::effects(), ["dsb ishst"]);
}
