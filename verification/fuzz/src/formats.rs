//! Decoders of words: syndromes, descriptors, records, parameters, tables in flash and memory.

use aarch64_formats::esr::Esr;
use aarch64_formats::gpt::{Granules, L0Entry};
use cca_abi::explain::{FunctionName, PsciResult, RmiResult, RsiResult, Syndrome};
use cca_abi::rmi::params::{RealmParams, RecParams};
use cca_abi::rmi::run::{ENTER_WORDS, EXIT_WORDS, RecEnter, RecExit};
use cca_abi::rmi::{Command, ReturnCode};
use cca_abi::{firmware, launch, mpidr};
use realm_monitor::rtt::Entry;

use crate::Hand;

/// Gives these bytes to one decoder.
///
/// # Panics
///
/// If a decoder does, or if what it says does not lead back to where it came from.
pub fn run(data: &[u8]) {
    let mut hand = Hand::new(data);
    match hand.below(9) {
        0 => syndrome(hand.word(), hand.word()),
        1 => entry(hand.word()),
        2 => protection(hand.word(), hand.word()),
        3 => records(&mut hand),
        4 => parameters(&mut hand),
        5 => flash(&mut hand),
        6 => bundle(&mut hand),
        7 => codes(hand.word()),
        _ => identities(hand.word()),
    }
}

fn syndrome(bits: u64, value: u64) {
    let esr = Esr::from_bits(bits);
    assert_eq!(esr.bits(), bits);
    let access = esr.access();
    assert!(access.register < 32);
    let _ = (access.truncate(value), access.loaded(value));
    let _ = (esr.class(), esr.fault_status(), esr.synchronous_error());
    let _ = (esr.access_valid(), esr.system_register());
    assert!(!Syndrome(bits).to_string().is_empty());
}

fn entry(bits: u64) {
    let entry = Entry(bits);
    for level in -1..=3 {
        let kinds = [
            entry.is_table(level),
            entry.is_assigned(level),
            entry.is_assigned_ns(level),
        ];
        assert!(
            kinds.into_iter().filter(|kind| *kind).count() <= 1,
            "{bits:#x} is several things at {level:?}"
        );
        let _ = entry.ripas(level);
    }
    for lpa2 in [false, true] {
        for pa in [
            entry.address(lpa2),
            Entry::host_descriptor_address(bits, lpa2),
        ] {
            assert!(pa.is_multiple_of(4096), "{bits:#x} is at {pa:#x}");
            assert_eq!(pa >> 52, 0, "{bits:#x} is at {pa:#x}");
        }
    }
}

fn protection(level0: u64, level1: u64) {
    if let Some(entry) = L0Entry::decode(level0) {
        assert_eq!(L0Entry::decode(entry.encode()), Some(entry));
    }
    for slot in 0..16 {
        if let Some(gpi) = Granules(level1).get(slot) {
            assert_eq!(Granules(level1).with(slot, gpi).0, level1);
        }
    }
}

fn records(hand: &mut Hand<'_>) {
    let enter: Vec<_> = (0..ENTER_WORDS).map(|_| hand.word()).collect();
    let enter = RecEnter::read(&enter);
    let mut words = [0; ENTER_WORDS];
    enter.write(&mut words);
    assert_eq!(RecEnter::read(&words), enter);
    let exit: Vec<_> = (0..EXIT_WORDS).map(|_| hand.word()).collect();
    let exit = RecExit::read(&exit);
    let mut words = [0; EXIT_WORDS];
    exit.write(&mut words);
    assert_eq!(RecExit::read(&words), exit);
}

fn parameters(hand: &mut Hand<'_>) {
    let page: Vec<_> = (0..512).map(|_| hand.word()).collect();
    let mut words = [0; 512];
    let realm = RealmParams::read(&page);
    realm.write(&mut words);
    assert_eq!(RealmParams::read(&words), realm);
    let mut words = [0; 512];
    let rec = RecParams::read(&page);
    rec.write(&mut words);
    assert_eq!(RecParams::read(&words), rec);
}

fn flash(hand: &mut Hand<'_>) {
    let mut words = firmware::Table::new(0x1000, None).words();
    for _ in 0..hand.below(8) {
        words[hand.below(firmware::TABLE_WORDS)] = hand.value();
    }
    if let Some(table) = firmware::Table::read(&words) {
        assert_eq!(firmware::Table::read(&table.words()), Some(table));
    }
}

fn bundle(hand: &mut Hand<'_>) {
    let mut words = [0; launch::WORDS];
    words[0] = launch::MAGIC;
    words[1] = launch::VERSION;
    words[2..].iter_mut().for_each(|word| *word = hand.value());
    if hand.seldom(4) {
        words[hand.below(2)] = hand.value();
    }
    if let Some(launch) = launch::Launch::read(&words) {
        assert_eq!(launch::Launch::read(&launch.words()), Some(launch));
    }
}

fn codes(value: u64) {
    if let Some(code) = ReturnCode::decode(value) {
        assert_eq!(code.encode(), value);
    }
    if let Some(command) = Command::from_function_id(value as u32) {
        assert_eq!(command.function_id(), value as u32);
    }
    for text in [
        RmiResult(value).to_string(),
        RsiResult(value).to_string(),
        PsciResult(value.cast_signed()).to_string(),
        FunctionName(value as u32).to_string(),
    ] {
        assert!(!text.is_empty());
    }
}

fn identities(value: u64) {
    let masked = value & mpidr::REC_MPIDR_MASK;
    let index = mpidr::index_from_rec_mpidr(masked);
    assert_eq!(mpidr::rec_mpidr_from_index(index), Some(masked));
    let index = value % mpidr::MAX_INDEX;
    let architectural = mpidr::architectural_from_index(index);
    assert_eq!(mpidr::index_from_architectural(architectural), index);
}
