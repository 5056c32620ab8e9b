//! The order of what TLB maintenance does to the machine.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::super::entry::HCR_MONITOR;
use super::super::tlb::invalidate;
use crate::common::fake;
use realm_monitor::platform::TlbScope;

const VMID: u16 = 0x51;
const IPA: u64 = 0x8765_4000;
/// What the host's realm that may be loaded has in HCR_EL2 and VTTBR_EL2.
const LOADED: (u64, u64) = (0x8000_0001, 0x0033_0000_4567_8000);

/// Everything that `invalidate` does, with a realm loaded.
fn events(scope: TlbScope) -> Vec<String> {
    fake::reset();
    fake::set("hcr_el2", LOADED.0);
    fake::set("vttbr_el2", LOADED.1);
    invalidate(scope);
    fake::effects()
}

/// `inner` between what puts the VMID into VTTBR_EL2 and what puts everything back.
fn with_the_vmid(inner: Vec<String>) -> Vec<String> {
    let mut all = vec![
        // The stores to descriptors come first: an invalidation that runs ahead of them may be undone by a walk.
        "dsb ishst".into(),
        format!("msr hcr_el2, {HCR_MONITOR:#x}"),
        "isb".into(),
        format!("msr vttbr_el2, {:#x}", u64::from(VMID) << 48),
        "isb".into(),
    ];
    all.extend(inner);
    all.extend([
        format!("msr vttbr_el2, {:#x}", LOADED.1),
        "isb".into(),
        format!("msr hcr_el2, {:#x}", LOADED.0),
        "isb".into(),
    ]);
    all
}

/// Stage 1 of the VMID, which HCR_EL2.TGE would make the RMM's own.
fn stage_1_goes() -> [String; 6] {
    [
        format!("msr hcr_el2, {:#x}", HCR_MONITOR & !(1 << 27)),
        "isb".into(),
        "tlbi vmalle1is".into(),
        "dsb ish".into(),
        format!("msr hcr_el2, {HCR_MONITOR:#x}"),
        "isb".into(),
    ]
}

fn operand(ipa: u64) -> u64 {
    ipa >> 12
}

#[test]
fn a_page_goes_by_its_address_and_then_all_of_stage_1() {
    let mut inner = vec![
        format!("tlbi ipas2le1is, {:#x}", operand(IPA)),
        "dsb ish".into(),
    ];
    inner.extend(stage_1_goes());
    let expected = with_the_vmid(inner);
    let page = TlbScope::Page {
        vmid: VMID,
        ipa: IPA,
    };
    assert_eq!(events(page), expected);
}

#[test]
fn a_table_goes_with_its_descriptors() {
    let inner = vec![
        format!("tlbi ipas2e1is, {:#x}", operand(IPA)),
        "dsb ish".into(),
    ];
    let table = TlbScope::Table {
        vmid: VMID,
        ipa: IPA,
    };
    assert_eq!(events(table), with_the_vmid(inner));
}

#[test]
fn a_short_range_goes_page_by_page() {
    let mut inner: Vec<String> = (0..64)
        .map(|page| format!("tlbi ipas2e1is, {:#x}", operand(IPA) + page))
        .collect();
    inner.push("dsb ish".into());
    inner.extend(stage_1_goes());
    let range = TlbScope::Range {
        vmid: VMID,
        ipa: IPA,
        size: 64 * 4096,
    };
    assert_eq!(events(range), with_the_vmid(inner));
}

#[test]
fn a_long_range_and_a_vmid_go_at_once() {
    let everything = || with_the_vmid(vec!["tlbi vmalls12e1is".into(), "dsb ish".into()]);
    let range = TlbScope::Range {
        vmid: VMID,
        ipa: IPA,
        size: 65 * 4096,
    };
    assert_eq!(events(range), everything());
    assert_eq!(events(TlbScope::Vmid(VMID)), everything());
}
