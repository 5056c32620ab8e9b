//! RMI_RTT_MAP_UNPROTECTED and RMI_RTT_UNMAP_UNPROTECTED.

use cca_abi::rmi::{rtt_map_unprotected, rtt_unmap_unprotected};

use crate::judgement::{Code, Judgement};
use crate::state::{Model, Read, Realm};
use crate::tables::{Entry, Table, is_level_aligned};

/// MemAttr[2:0] and S2AP.
const ATTRIBUTES: u64 = 0b111 << 2 | 0b11 << 6;
/// Address bits of a descriptor without and with LPA2; the latter has bits 51:50 of the address in 9:8.
const ADDRESS: [u64; 2] = [0x0000_FFFF_FFFF_F000, 0x0003_FFFF_FFFF_F000];

/// An address at its place in a descriptor.
pub(super) fn address_bits(pa: u64, lpa2: bool) -> u64 {
    let low = pa & ADDRESS[usize::from(lpa2)];
    if lpa2 { low | (pa >> 50 & 3) << 8 } else { low }
}

fn address_of(desc: u64, lpa2: bool) -> u64 {
    let low = desc & ADDRESS[usize::from(lpa2)];
    if lpa2 {
        low | (desc >> 8 & 3) << 50
    } else {
        low
    }
}

/// The rows about the place, but for the walk. Gives the table in which the walk ends, if there is a walk.
fn judge_place<'m>(
    judgement: &mut Judgement,
    realm: Option<&'m Realm>,
    ipa: u64,
    level: i64,
) -> Option<&'m Table> {
    judgement.precedence(&["rd_bound", "rd_state"], &["rtt_walk", "rtte_state"]);
    judgement.precedence(&["level_bound", "ipa_bound"], &["rtt_walk", "rtte_state"]);
    let realm = realm?;
    let leaf = realm.level_leaf(level);
    judgement.when("level_bound", Code::Input, !leaf);
    judgement.when("ipa_align", Code::Input, !is_level_aligned(ipa, level));
    let outside = !realm.is_inside(ipa) || realm.is_protected(ipa);
    judgement.when("ipa_bound", Code::Input, outside);
    (leaf && !outside).then(|| realm.walk(ipa, level))
}

pub(super) fn judge_map(
    model: &Model,
    input: &rtt_map_unprotected::Input,
    _: Read<'_>,
) -> Judgement {
    let mut judgement = Judgement::default();
    let realm = model.judge_rd(&mut judgement, input.rd);
    if let Some(realm) = realm {
        let packed = if realm.lpa2 { 0b11 << 8 } else { 0 };
        let defined = ATTRIBUTES | ADDRESS[usize::from(realm.lpa2)] | packed;
        let reserved = input.desc >> 2 & 0b111 == 0b100;
        judgement.when(
            "attr_valid",
            Code::Input,
            reserved || input.desc & !defined != 0,
        );
        let address = address_of(input.desc, realm.lpa2);
        judgement.when(
            "addr_align",
            Code::Input,
            !is_level_aligned(address, input.level),
        );
        judgement.when("addr_bound", Code::Input, realm.is_too_high(address));
    }
    if let Some(table) = judge_place(&mut judgement, realm, input.ipa, input.level) {
        let code = Code::Rtt(table.level);
        if !judgement.when("rtt_walk", code, table.level < input.level) {
            let free = *table.entry(input.ipa) == Entry::UnassignedNs;
            judgement.when("rtte_state", code, !free);
        }
    }
    judgement
}

pub(super) fn map(model: &mut Model, input: &rtt_map_unprotected::Input, _: Read<'_>) -> [u64; 4] {
    let realm = model.realm_mut(input.rd);
    let pa = address_of(input.desc, realm.lpa2);
    let table = realm.walk_mut(input.ipa, input.level);
    let index = table.index(input.ipa);
    table.entries[index] = Entry::AssignedNs {
        pa,
        attributes: input.desc & ATTRIBUTES,
    };
    [0; 4]
}

pub(super) fn judge_unmap(
    model: &Model,
    input: &rtt_unmap_unprotected::Input,
    _: Read<'_>,
) -> Judgement {
    let mut judgement = Judgement::default();
    let realm = model.judge_rd(&mut judgement, input.rd);
    if let Some(table) = judge_place(&mut judgement, realm, input.ipa, input.level) {
        let code = Code::Rtt(table.level);
        let results = [table.skip_live(input.ipa), 0, 0, 0];
        if !judgement.when_with("rtt_walk", code, table.level < input.level, results) {
            let mapped = matches!(table.entry(input.ipa), Entry::AssignedNs { .. });
            judgement.when_with("rtte_state", code, !mapped, results);
        }
    }
    judgement
}

pub(super) fn unmap(
    model: &mut Model,
    input: &rtt_unmap_unprotected::Input,
    _: Read<'_>,
) -> [u64; 4] {
    let table = model.realm_mut(input.rd).walk_mut(input.ipa, input.level);
    let index = table.index(input.ipa);
    table.entries[index] = Entry::UnassignedNs;
    [table.skip_live(input.ipa), 0, 0, 0]
}
