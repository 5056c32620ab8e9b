//! What a realm gets from RSI.

use cca_abi::rmi::run::ExitReason;
use cca_abi::rsi::{self, CHANGE_DESTROYED, ERROR_INPUT, SUCCESS};
use cca_abi::smccc::{self, NOT_SUPPORTED, Registers};
use realm_guest::puppet::{Operation, SMC_REGISTERS};

use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::{FREE_PAGE, MEMORY, Puppet};
use crate::realm::{IPA_BITS, UNPROTECTED};

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "RSI_VERSION/success and incompatible",
        covers: &["RSI_VERSION/success", "RSI_VERSION/incompatible"],
        needs: Needs::Nothing,
        tell: version,
    },
    Story {
        name: "RSI_FEATURES/every index reads zero",
        covers: &["RSI_FEATURES/success"],
        needs: Needs::Nothing,
        tell: features,
    },
    Story {
        name: "RSI_MEASUREMENT_READ/index",
        covers: &["RSI_MEASUREMENT_READ/success", "RSI_MEASUREMENT_READ/index"],
        needs: Needs::Nothing,
        tell: measurement_read,
    },
    Story {
        name: "RSI_MEASUREMENT_EXTEND/index, size and effect",
        covers: &[
            "RSI_MEASUREMENT_EXTEND/success",
            "RSI_MEASUREMENT_EXTEND/index",
            "RSI_MEASUREMENT_EXTEND/size",
        ],
        needs: Needs::Nothing,
        tell: measurement_extend,
    },
    Story {
        name: "RSI_REALM_CONFIG/addr_align, addr_bound and content",
        covers: &[
            "RSI_REALM_CONFIG/success",
            "RSI_REALM_CONFIG/addr_align",
            "RSI_REALM_CONFIG/addr_bound",
            "RSI_REALM_CONFIG/empty",
        ],
        needs: Needs::Nothing,
        tell: realm_config,
    },
    Story {
        name: "RSI_IPA_STATE_GET/ranges",
        covers: &[
            "RSI_IPA_STATE_GET/success",
            "RSI_IPA_STATE_GET/base_align",
            "RSI_IPA_STATE_GET/top_align",
            "RSI_IPA_STATE_GET/size_valid",
            "RSI_IPA_STATE_GET/rgn_bound",
        ],
        needs: Needs::Nothing,
        tell: ipa_state_get,
    },
    Story {
        name: "RSI_IPA_STATE_SET/refused without an exit",
        covers: &[
            "RSI_IPA_STATE_SET/ripas_valid",
            "RSI_IPA_STATE_SET/base_align",
            "RSI_IPA_STATE_SET/top_align",
            "RSI_IPA_STATE_SET/size_valid",
            "RSI_IPA_STATE_SET/rgn_bound",
        ],
        needs: Needs::Nothing,
        tell: ipa_state_set_refused,
    },
    Story {
        name: "RSI_HOST_CALL/addr_align and addr_bound",
        covers: &[
            "RSI_HOST_CALL/addr_align",
            "RSI_HOST_CALL/addr_bound",
            "RSI_HOST_CALL/empty",
        ],
        needs: Needs::Nothing,
        tell: host_call_refused,
    },
    Story {
        name: "SMC/unknown functions are not supported",
        covers: &["SMC/success"],
        needs: Needs::Nothing,
        tell: unknown,
    },
];

/// Has REC 0 make an SMC that does not leave the realm.
fn smc(fixture: &mut Fixture<'_>, puppet: &Puppet, call: Registers) -> [u64; SMC_REGISTERS] {
    let results = puppet.perform(fixture, 0, Operation::Smc, &call.0[..SMC_REGISTERS]);
    core::array::from_fn(|i| results[i])
}

fn version(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let table = [
        (0x1_0000, SUCCESS),
        (0x1_0001, ERROR_INPUT),
        (0x2_0000, ERROR_INPUT),
        (0, ERROR_INPUT),
        (0x8001_0000, ERROR_INPUT),
    ];
    for (req, status) in table {
        let mut call = rsi::version::Input { req }.encode();
        call.0[4] = 0x44;
        let results = smc(fixture, &puppet, call);
        fixture.equal(
            "X0 to X4",
            results[..5].to_vec(),
            [status, 0x1_0000, 0x1_0000, 0, 0x44].to_vec(),
        );
    }
}

fn features(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    for index in [0, 1, u64::MAX] {
        let results = smc(fixture, &puppet, rsi::features::Input { index }.encode());
        fixture.equal("X0 and X1", results[..2].to_vec(), [SUCCESS, 0].to_vec());
    }
}

fn measurement_read(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    for index in 0..=4 {
        let results = smc(
            fixture,
            &puppet,
            rsi::measurement_read::Input { index }.encode(),
        );
        fixture.equal("X0", results[0], SUCCESS);
        fixture.equal(
            "the initial measurement is set, the others are zero",
            results[1] != 0,
            index == 0,
        );
        fixture.equal(
            "the padding of a SHA-256 digest",
            results[5..9].to_vec(),
            [0; 4].to_vec(),
        );
    }
    for index in [5, u64::MAX] {
        let results = smc(
            fixture,
            &puppet,
            rsi::measurement_read::Input { index }.encode(),
        );
        fixture.equal("X0", results[0], ERROR_INPUT);
    }
}

fn measurement_extend(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let value = [1; 8];
    for (index, size) in [(0, 32), (5, 32), (1, 65), (u64::MAX, 0)] {
        let call = rsi::measurement_extend::Input { index, size, value }.encode();
        let results = smc(fixture, &puppet, call);
        fixture.equal("X0", results[0], ERROR_INPUT);
    }
    let mut last = [0; 4];
    for size in [0, 1, 32, 64] {
        let call = rsi::measurement_extend::Input {
            index: 4,
            size,
            value,
        }
        .encode();
        let results = smc(fixture, &puppet, call);
        fixture.equal("X0", results[0], SUCCESS);
        let results = smc(
            fixture,
            &puppet,
            rsi::measurement_read::Input { index: 4 }.encode(),
        );
        fixture.equal(
            "whether the measurement changed",
            results[1..5] != last,
            true,
        );
        last.copy_from_slice(&results[1..5]);
    }
}

fn realm_config(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    for addr in [
        FREE_PAGE + 1,
        FREE_PAGE + 0x100,
        UNPROTECTED,
        UNPROTECTED + MEMORY,
        !0xFFF,
        0,
    ] {
        let results = smc(fixture, &puppet, rsi::realm_config::Input { addr }.encode());
        fixture.equal("X0", results[0], ERROR_INPUT);
    }
    puppet.perform(fixture, 0, Operation::Write, &[FREE_PAGE + 0x800, u64::MAX]);
    let results = smc(
        fixture,
        &puppet,
        rsi::realm_config::Input { addr: FREE_PAGE }.encode(),
    );
    fixture.equal("X0", results[0], SUCCESS);
    let width = puppet.perform(fixture, 0, Operation::Read, &[FREE_PAGE])[0];
    fixture.equal("the IPA width", width, IPA_BITS.into());
    let rest = puppet.perform(fixture, 0, Operation::Read, &[FREE_PAGE + 0x800])[0];
    fixture.equal("the rest of the page", rest, 0);
}

fn ipa_state_get(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let table = [
        (MEMORY + 1, MEMORY + 0x1000),
        (MEMORY, MEMORY + 1),
        (MEMORY, MEMORY),
        (MEMORY + 0x1000, MEMORY),
        (UNPROTECTED - 0x1000, UNPROTECTED + 0x1000),
        (UNPROTECTED, UNPROTECTED + 0x1000),
        (0, !0xFFF),
    ];
    for (base, top) in table {
        let results = smc(
            fixture,
            &puppet,
            rsi::ipa_state_get::Input { base, top }.encode(),
        );
        fixture.equal("X0", results[0], ERROR_INPUT);
    }
    let ram = smc(
        fixture,
        &puppet,
        rsi::ipa_state_get::Input {
            base: MEMORY,
            top: FREE_PAGE,
        }
        .encode(),
    );
    fixture.equal("X0", ram[0], SUCCESS);
    fixture.equal("RIPAS of memory", ram[2], 1);
    fixture.equal(
        "out_top in the range",
        ram[1] > MEMORY && ram[1] <= FREE_PAGE,
        true,
    );
    let empty = smc(
        fixture,
        &puppet,
        rsi::ipa_state_get::Input {
            base: 0,
            top: MEMORY,
        }
        .encode(),
    );
    fixture.equal("X0", empty[0], SUCCESS);
    fixture.equal("RIPAS of nothing", empty[2], 0);
}

fn ipa_state_set_refused(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let table = [
        (FREE_PAGE, FREE_PAGE + 0x1000, 2),
        (FREE_PAGE, FREE_PAGE + 0x1000, 3),
        (FREE_PAGE + 8, FREE_PAGE + 0x1000, 1),
        (FREE_PAGE, FREE_PAGE + 8, 1),
        (FREE_PAGE, FREE_PAGE, 1),
        (FREE_PAGE + 0x1000, FREE_PAGE, 1),
        (UNPROTECTED - 0x1000, UNPROTECTED + 0x1000, 0),
        (UNPROTECTED, UNPROTECTED + 0x1000, 0),
    ];
    for (base, top, ripas) in table {
        let call = rsi::ipa_state_set::Input {
            base,
            top,
            ripas,
            flags: CHANGE_DESTROYED,
        }
        .encode();
        let results = smc(fixture, &puppet, call);
        fixture.equal("X0", results[0], ERROR_INPUT);
    }
}

fn host_call_refused(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    for addr in [
        FREE_PAGE + 8,
        FREE_PAGE + 0x80,
        UNPROTECTED,
        UNPROTECTED + FREE_PAGE,
        0,
    ] {
        let results = smc(fixture, &puppet, rsi::host_call::Input { addr }.encode());
        fixture.equal("X0", results[0], ERROR_INPUT);
    }
    // A page of memory that is not there yet: the host first populates it, then gets the call.
    let call = rsi::host_call::Input {
        addr: FREE_PAGE + 0x5100,
    }
    .encode();
    let exit = puppet.provoke(fixture, 0, Operation::Smc, &call.0[..SMC_REGISTERS]);
    fixture.reason(&exit, ExitReason::HostCall);
}

fn unknown(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let functions = [
        0xC400_0150, // RMI_VERSION
        0xC400_019A,
        0xC400_01A0,
        0xC400_01B0, // RMM_GTSI_DELEGATE
        0x8400_0050, // TRNG_VERSION
        0x8400_0190, // SMC32 alias of RSI_VERSION
        0x8400_000B,
        0x8600_0000,
        0,
    ];
    for function in functions {
        let mut call = Registers::call(function, &[1, 2, 3, 4, 5]);
        call.0[0] |= 0xFFFF_FFFF << 32;
        let results = smc(fixture, &puppet, call);
        fixture.equal("X0", results[0], NOT_SUPPORTED);
        fixture.equal("X4 and X5", results[4..6].to_vec(), [4, 5].to_vec());
    }
    let results = smc(fixture, &puppet, Registers::call(smccc::VERSION, &[]));
    fixture.equal(
        "SMCCC 1.2 or later",
        results[0] >= 0x1_0002 && results[0] < 0x2_0000,
        true,
    );
}
