//! RMI_RTT_MAP_UNPROTECTED and RMI_RTT_UNMAP_UNPROTECTED.

use alloc::vec::Vec;

use cca_abi::rmi::{Command, rtt_map_unprotected, rtt_unmap_unprotected};
use cca_abi::smccc::Registers;

use super::{IPA, Of};
use crate::Fixture;
use crate::case::{Case, Change};
use crate::realm::{IPA_BITS, UNPROTECTED};

/// Normal write-back memory that may be read and written.
const ATTRIBUTES: u64 = 0b110 << 2 | 0b11 << 6;

fn map_call(fixture: &mut Fixture<'_>, rd: u64, ipa: u64) -> Registers {
    let desc = fixture.non_secure() | ATTRIBUTES;
    rtt_map_unprotected::Input {
        rd,
        ipa,
        level: 3,
        desc,
    }
    .encode()
}

fn mapped(fixture: &mut Fixture<'_>) -> u64 {
    let realm = fixture.realm();
    fixture.tables(realm.rd, UNPROTECTED);
    let call = map_call(fixture, realm.rd, UNPROTECTED);
    fixture.call(Command::RttMapUnprotected, call);
    realm.rd
}

pub(super) fn cases(cases: &mut Vec<Case>) {
    Of::new(cases, Command::RttMapUnprotected, |fixture| {
        let realm = fixture.realm();
        fixture.tables(realm.rd, UNPROTECTED);
        map_call(fixture, realm.rd, UNPROTECTED)
    })
    .succeeds("page")
    .succeeds_with("2 MiB", |fixture| {
        let realm = fixture.realm();
        fixture.table(realm.rd, UNPROTECTED, 2);
        let desc = 0x6000_0000 | ATTRIBUTES;
        rtt_map_unprotected::Input {
            rd: realm.rd,
            ipa: UNPROTECTED,
            level: 2,
            desc,
        }
        .encode()
    })
    .succeeds_with("1 GiB at the start level", |fixture| {
        let realm = fixture.realm();
        let desc = 0x4000_0000 | ATTRIBUTES;
        rtt_map_unprotected::Input {
            rd: realm.rd,
            ipa: UNPROTECTED,
            level: 1,
            desc,
        }
        .encode()
    })
    .realm_descriptor(1)
    .fails("level_bound", "level 0", 3, Change::Value(0))
    .fails("level_bound", "level 4", 3, Change::Value(4))
    .fails("attr_valid", "MemAttr 4", 4, Change::Flip(0b010 << 2))
    .fails("attr_valid", "valid bit", 4, Change::Flip(1))
    .fails("attr_valid", "access flag", 4, Change::Flip(1 << 10))
    .fails("attr_valid", "NS bit", 4, Change::Flip(1 << 55))
    .fails("attr_valid", "execute never", 4, Change::Flip(1 << 54))
    .fails("attr_valid", "shareability", 4, Change::Flip(3 << 8))
    .fails("addr_bound", "2^48", 4, Change::Flip(1 << 48))
    .fails("ipa_align", "", 2, Change::Unaligned)
    .fails("ipa_bound", "protected", 2, Change::Value(IPA))
    .fails("ipa_bound", "outside", 2, Change::Value(1 << IPA_BITS))
    .fails_at(
        "rtt_walk",
        "no table of level 3",
        2,
        Change::Value(UNPROTECTED + (1 << 21)),
        2,
    )
    .fails_after_at(
        "rtte_state",
        "mapped",
        |fixture| {
            let rd = mapped(fixture);
            map_call(fixture, rd, UNPROTECTED)
        },
        3,
    )
    .fails_after("addr_align", "2 MiB", |fixture| {
        let realm = fixture.realm();
        fixture.table(realm.rd, UNPROTECTED, 2);
        let desc = 0x6000_1000 | ATTRIBUTES;
        rtt_map_unprotected::Input {
            rd: realm.rd,
            ipa: UNPROTECTED,
            level: 2,
            desc,
        }
        .encode()
    });

    Of::new(cases, Command::RttUnmapUnprotected, |fixture| {
        let rd = mapped(fixture);
        rtt_unmap_unprotected::Input {
            rd,
            ipa: UNPROTECTED,
            level: 3,
        }
        .encode()
    })
    .succeeds("page")
    .realm_descriptor(1)
    .fails("level_bound", "level 0", 3, Change::Value(0))
    .fails("level_bound", "level 4", 3, Change::Value(4))
    .fails("ipa_align", "", 2, Change::Unaligned)
    .fails("ipa_bound", "protected", 2, Change::Value(IPA))
    .fails("ipa_bound", "outside", 2, Change::Value(1 << IPA_BITS))
    .fails_at(
        "rtt_walk",
        "no table of level 3",
        2,
        Change::Value(UNPROTECTED + (1 << 21)),
        2,
    )
    .fails_at(
        "rtte_state",
        "not mapped",
        2,
        Change::Value(UNPROTECTED + 4096),
        3,
    );
}
