//! RSI and PSCI as a realm sees them.

mod rig;

use std::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::run::{RecEnter, RecExit, enter_flags};
use cca_abi::rmi::{self, HashAlgorithm};
use cca_abi::rsi::Command;
use realm_monitor::measurement::digest;
use realm_monitor::platform::Exception;
use realm_monitor::rec::layout;
use rig::*;

const ERROR_INPUT: u64 = 1;
const NOT_SUPPORTED: u64 = u64::MAX;
const FILL: u64 = 0x7777;

fn fid(command: Command) -> u64 {
    command.function_id().into()
}

/// Makes a call with junk in all registers that are not operands, which must keep their values from X4 on unless they
/// are results.
fn answer<const N: usize>(rig: &mut Rig, call: &[u64]) -> [u64; N] {
    let mut registers = [FILL; 31];
    registers[..call.len()].copy_from_slice(call);
    let out = rig.answered(&registers);
    for n in N.max(4)..31 {
        assert_eq!(out[n], registers[n], "X{n}");
    }
    for (n, value) in out.iter().enumerate().take(4).skip(N) {
        assert_eq!(*value, 0, "X{n}");
    }
    core::array::from_fn(|n| out[n])
}

#[test]
fn version_is_1_0() {
    let mut rig = Rig::active();
    let version = 0x1_0000;
    assert_eq!(
        answer(&mut rig, &[fid(Command::Version), version]),
        [0, version, version]
    );
    // The hint bit of SMCCC is not part of the identifier, nor is the upper half.
    let hinted = fid(Command::Version) | 1 << 16 | 5 << 32;
    assert_eq!(answer(&mut rig, &[hinted, version]), [0, version, version]);
    for other in [0, 0x1_0001, 0x2_0000, 1 << 31 | version, 1 << 63 | version] {
        assert_eq!(
            answer(&mut rig, &[fid(Command::Version), other]),
            [ERROR_INPUT, version, version]
        );
    }
}

#[test]
fn there_are_no_features() {
    let mut rig = Rig::active();
    for index in [0, 1, u64::MAX] {
        assert_eq!(answer(&mut rig, &[fid(Command::Features), index]), [0, 0]);
    }
}

#[test]
fn other_calls_are_not_supported_and_change_one_register() {
    let mut rig = Rig::active();
    let others = [
        0x8000_0001,
        0x8400_0050,
        0xC400_0150,
        0xC400_01B0,
        0x8400_0190,
        0xC400_019A,
        0xC400_01A0,
        0,
        u32::MAX,
    ];
    let psci = [
        0x8400_0006,
        0x8400_000B,
        0xC400_0000,
        0xC400_001F,
        0x8400_001F,
    ];
    for function in others.into_iter().chain(psci) {
        let registers: [u64; 31] =
            core::array::from_fn(|n| if n == 0 { function.into() } else { FILL });
        let out = rig.answered(&registers);
        assert_eq!(out[0], NOT_SUPPORTED, "{function:#x}");
        assert_eq!(out[1..], registers[1..], "{function:#x}");
    }
    assert_eq!(rig.answered(&[0x8000_0000])[0], 0x1_0003, "SMCCC_VERSION");
}

#[test]
fn measurements_are_read_and_extended() {
    let mut rig = Rig::active();
    let read = |rig: &mut Rig, index| answer::<9>(rig, &[fid(Command::MeasurementRead), index]);
    let rim = read(&mut rig, 0);
    let stored = realm_monitor::realm::layout::MEASUREMENTS;
    let expected: Vec<_> = (0..8)
        .map(|n| rig.host_page(RD)[stored + n].load(Relaxed))
        .collect();
    assert_eq!((rim[0], &rim[1..]), (0, &expected[..]));
    assert_eq!(rim[5..], [0; 4], "SHA-256 has 32 bytes");
    for index in 1..=4 {
        assert_eq!(read(&mut rig, index), [0; 9]);
    }
    for index in [5, 64, u64::MAX] {
        assert_eq!(read(&mut rig, index), [ERROR_INPUT, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    // New = H(old digest without padding || first `size` bytes).
    let value: [u64; 8] = core::array::from_fn(|n| 0x1111_1111_1111_1111 * (n as u64 + 1));
    let mut old = vec![0; 32];
    for size in [64, 0, 5] {
        let mut call = vec![fid(Command::MeasurementExtend), 3, size];
        call.extend(value);
        assert_eq!(answer::<1>(&mut rig, &call), [0]);
        old.extend(
            value
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .take(size as usize),
        );
        let new = digest(rig.monitor.platform(), HashAlgorithm::Sha256, &old);
        let words: Vec<_> = new
            .chunks(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        assert_eq!(read(&mut rig, 3)[1..], words[..]);
        old = new[..32].to_vec();
    }
    assert_eq!(read(&mut rig, 2), [0; 9]);
    assert_eq!(read(&mut rig, 0), rim);
    for (index, size) in [(0, 1), (5, 1), (1, 65), (1, u64::MAX)] {
        assert_eq!(
            answer(&mut rig, &[fid(Command::MeasurementExtend), index, size]),
            [ERROR_INPUT]
        );
    }
    assert_eq!(read(&mut rig, 1), [0; 9]);
}

#[test]
fn the_configuration_fills_a_page() {
    let mut rig = Rig::active();
    let call = fid(Command::RealmConfig);
    for word in rig.host_page(DATA + 0x1000) {
        word.store(u64::MAX, Relaxed);
    }
    assert_eq!(answer(&mut rig, &[call, RAM + 0x1000]), [0]);
    for (n, word) in rig.host_page(DATA + 0x1000).iter().enumerate() {
        let expected = match n {
            0 => IPA_BITS.into(),
            64..72 => 0x5255_4250_0000 + n as u64 - 64,
            _ => 0,
        };
        assert_eq!(word.load(Relaxed), expected, "word {n}");
    }
    for address in [RAM + 8, UNPROTECTED, 1 << IPA_BITS, !0xFFF, EMPTY] {
        assert_eq!(
            answer(&mut rig, &[call, address]),
            [ERROR_INPUT],
            "{address:#x}"
        );
    }
}

#[test]
fn a_call_waits_for_its_page() {
    let mut rig = Rig::active();
    let calls = [fid(Command::RealmConfig), fid(Command::HostCall)];
    for (call, page) in [
        (calls[0], UNPOPULATED),
        (calls[1], DESTROYED),
        (calls[1], UNPOPULATED),
    ] {
        let before = rig.rec(REC0).pc();
        rig.smc(&[call, page]);
        let expected = RecExit {
            esr: 0x9000_0007,
            hpfar: page >> 8,
            ..RecExit::default()
        };
        assert_eq!(rig.run(), expected);
        assert_eq!(rig.rec(REC0).pc(), before, "the call is made again");
        assert_eq!(rig.rec(REC0).gpr(0), call);
        rig.refused_enter(
            &RecEnter {
                flags: enter_flags::EMUL_MMIO,
                ..RecEnter::default()
            },
            "rec_mmio",
            3,
        );
    }
    // The level is that of the entry where the walk ended.
    rig.host_page(TABLES)[9].store(1 << 2, Relaxed);
    rig.smc(&[calls[0], 9 << 21]);
    assert_eq!(rig.run().esr, 0x9000_0006);
}

#[test]
fn a_host_call_needs_a_structure_in_memory() {
    let mut rig = Rig::active();
    let call = fid(Command::HostCall);
    for address in [RAM + 8, RAM + 0x80, UNPROTECTED, 1 << IPA_BITS, EMPTY] {
        assert_eq!(
            answer(&mut rig, &[call, address]),
            [ERROR_INPUT],
            "{address:#x}"
        );
    }
}

#[test]
fn ranges_have_the_ripas_of_their_base() {
    let mut rig = Rig::active();
    let get = |rig: &mut Rig, base, top| answer::<3>(rig, &[fid(Command::IpaStateGet), base, top]);
    assert_eq!(
        get(&mut rig, RAM, RAM + 0x20_0000),
        [0, EMPTY, 1],
        "with and without memory"
    );
    assert_eq!(
        get(&mut rig, RAM + 0x1000, RAM + 0x2000),
        [0, RAM + 0x2000, 1]
    );
    assert_eq!(get(&mut rig, EMPTY, RAM + 0x20_0000), [0, DESTROYED, 0]);
    assert_eq!(
        get(&mut rig, DESTROYED, RAM + 0x20_0000),
        [0, DESTROYED + 0x1000, 2]
    );
    // Above the table at level 3: an entry of 2 MiB, of which the range is a part.
    let above = RAM + 0x20_0000;
    assert_eq!(
        get(&mut rig, above + 0x3000, above + 0x5000),
        [0, above + 0x5000, 0]
    );
    assert_eq!(get(&mut rig, above, 1 << 30), [0, 1 << 30, 0]);
    // In front of it: the scan stops at the table.
    assert_eq!(get(&mut rig, RAM - 0x20_0000, 1 << 30), [0, RAM, 0]);
    for (base, top) in [
        (RAM + 1, RAM + 0x1000),
        (RAM, RAM + 0x800),
        (RAM, RAM),
        (RAM, RAM - 0x1000),
        (UNPROTECTED - 0x1000, UNPROTECTED + 0x1000),
        (UNPROTECTED, UNPROTECTED + 0x1000),
        (RAM, 0),
    ] {
        let out = answer::<1>(&mut rig, &[fid(Command::IpaStateGet), base, top]);
        assert_eq!(out, [ERROR_INPUT], "{base:#x} {top:#x}");
    }
}

const SET: u64 = Command::IpaStateSet.function_id() as u64;

#[test]
fn a_change_of_ripas_is_checked_before_the_host_hears_of_it() {
    let mut rig = Rig::active();
    for (base, top, ripas) in [
        (RAM, RAM + 0x1000, 2),
        (RAM, RAM + 0x1000, 3),
        (RAM, RAM + 0x1000, 0x100),
        (RAM + 1, RAM + 0x1000, 1),
        (RAM, RAM + 0xFFF, 1),
        (RAM, RAM, 1),
        (RAM, RAM - 0x1000, 0),
        (UNPROTECTED - 0x1000, UNPROTECTED + 0x1000, 0),
        (RAM, 0, 0),
    ] {
        assert_eq!(
            answer(&mut rig, &[SET, base, top, ripas, 0]),
            [ERROR_INPUT],
            "{base:#x} {top:#x} {ripas}"
        );
        assert_eq!(rig.rec(REC0).get(layout::RIPAS_TOP), 0);
    }
}

/// Asks for a change of RIPAS, has the host carry out a part of it, and returns X0 to X4 after the next entry.
fn change(rig: &mut Rig, ripas: u64, host: Option<u64>, enter: &RecEnter) -> [u64; 5] {
    let (base, top) = (UNPOPULATED, UNPOPULATED + 0x2000);
    let before = rig.rec(REC0).pc();
    rig.smc(&[SET, base, top, ripas, 1]);
    let expected = RecExit {
        exit_reason: 4,
        ripas_base: base,
        ripas_top: top,
        ripas_value: ripas as u8,
        ..RecExit::default()
    };
    assert_eq!(rig.run(), expected);
    assert_eq!(rig.rec(REC0).pc(), before + 4);
    if let Some(top) = host {
        rig.ok(&rmi::rtt_set_ripas::Input {
            rd: RD,
            rec: REC0,
            base,
            top,
        }
        .encode());
    }
    rig.script([Exception::Irq]);
    assert_eq!(rig.enter(REC0, enter), irq());
    assert_eq!(rig.rec(REC0).get(layout::RIPAS_ADDR), 0);
    // The request is closed.
    let late = rmi::rtt_set_ripas::Input {
        rd: RD,
        rec: REC0,
        base,
        top,
    }
    .encode();
    assert_eq!(rig.call(&late).0[0], 1);
    core::array::from_fn(|n| rig.rec(REC0).gpr(n))
}

#[test]
fn a_change_of_ripas_reports_how_far_the_host_went() {
    let (base, top) = (UNPOPULATED, UNPOPULATED + 0x2000);
    let accept = RecEnter::default();
    let reject = RecEnter {
        flags: enter_flags::RIPAS_REJECT,
        ..accept
    };
    for ripas in [0, 1] {
        let rejected = ripas;
        let mut rig = Rig::active();
        assert_eq!(change(&mut rig, ripas, None, &accept), [0, base, 0, 0, 1]);
        assert_eq!(
            change(&mut rig, ripas, Some(base + 0x1000), &accept),
            [0, base + 0x1000, 0, 0, 1]
        );
        assert_eq!(
            change(&mut rig, ripas, Some(top), &accept),
            [0, top, 0, 0, 1]
        );
        // EMPTY cannot be refused, nor what has been done.
        assert_eq!(
            change(&mut rig, ripas, None, &reject),
            [0, base, rejected, 0, 1]
        );
        assert_eq!(
            change(&mut rig, ripas, Some(base + 0x1000), &reject),
            [0, base + 0x1000, rejected, 0, 1]
        );
        assert_eq!(
            change(&mut rig, ripas, Some(top), &reject),
            [0, top, 0, 0, 1]
        );
    }
}
