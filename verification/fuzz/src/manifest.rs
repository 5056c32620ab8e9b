//! The boot manifest, as a realm monitor reads it from a page that another root monitor wrote.

use cca_abi::el3::manifest::{self, Manifest};
use realm_monitor::granule::{Bank, Banks};

use crate::Hand;

const PAGE: u64 = 0x418F_F000;

/// Reads a page of these bytes, or a manifest that was sound before these bytes damaged it.
///
/// # Panics
///
/// If what was accepted is not as the interface has it.
pub fn run(data: &[u8]) {
    let mut hand = Hand::new(data);
    let mut words = [0; 512];
    if hand.seldom(4) {
        words.iter_mut().for_each(|word| *word = hand.word());
    } else {
        let ranges: Vec<_> = (0..hand.below(4) as u64 + 1)
            .map(|n| {
                root_monitor::memory::Range::new(n << 36 | 0x4000_0000, 0x1000 << hand.below(20))
            })
            .collect();
        root_monitor::manifest::write(&mut words, PAGE, &ranges, &[])
            .expect("a few banks fit into a page");
        Manifest::read(&words, PAGE).expect("what we write we read");
        while !hand.is_empty() {
            // The beginning of the page is the interesting one.
            let reach = if hand.seldom(8) { 256 } else { 32 };
            let at = hand.below(reach);
            words[at] = if hand.seldom(2) {
                words[at] ^ hand.value()
            } else {
                hand.value()
            };
        }
    }
    let Ok(read) = Manifest::read(&words, PAGE) else {
        return;
    };
    let banks = read.banks();
    assert!(!banks.is_empty() && banks.len() <= manifest::MAX_BANKS);
    assert!(read.consoles().len() <= manifest::MAX_CONSOLES);
    for bank in banks {
        assert!((bank.base | bank.size).is_multiple_of(4096), "{bank:?}");
        assert!(bank.end() >= bank.base, "{bank:?} wraps around");
    }
    for pair in banks.windows(2) {
        assert!(pair[0].end() <= pair[1].base, "{pair:?}");
    }
    let banks: Vec<_> = banks
        .iter()
        .map(|bank| Bank {
            base: bank.base,
            size: bank.size,
        })
        .collect();
    let table = Banks::new(&banks).expect("the monitor takes every manifest that is sound");
    for bank in &banks {
        assert_eq!(table.contains(bank.base), bank.size != 0);
        assert!(bank.size == 0 || table.contains(bank.base + bank.size - 1));
    }
}
