//! Which world an SMC belongs to, and every status of every RMM-EL3 service.

mod common;

use aarch64_formats::gpt::Gpi;
use cca_abi::el3::{Command, boot_code};
use cca_abi::smccc::Registers;
use common::{DRAM, Event, PAYLOAD, RMM, ROOT, SHARED, booted, cold, normal, realm, status};
use root_monitor::psci::ProcessingElement;
use root_monitor::{Action, ConfigurationError, PowerUp, RootMonitor, World};

const RMI_VERSION: u32 = 0xC400_0150;
const REQ_COMPLETE: u32 = 0xC400_018F;
const BOOT_COMPLETE: u32 = 0xC400_01CF;
const UNKNOWN: i64 = -1;

#[test]
fn the_rmm_boots_first_on_the_primary_then_on_others() {
    let monitor = cold(3, Some(SHARED));
    let mut expected = Registers::default();
    expected.0[..4].copy_from_slice(&[0, 4, 3, SHARED]);
    assert_eq!(monitor.power_up(0), PowerUp::BootRmm(expected));
    assert!(!monitor.rmm_usable());
    assert_eq!(
        realm(&monitor, 0, BOOT_COMPLETE, &[0]).0,
        Action::StartNormalWorld(PAYLOAD)
    );
    assert!(monitor.rmm_usable());

    assert_eq!(
        status(normal(&monitor, 0, 0xC400_0003, &[2, 0x5000_0000, 77])),
        0
    );
    let mut expected = Registers::default();
    expected.0[0] = 2;
    assert_eq!(
        monitor.power_up(2),
        PowerUp::BootRmm(expected),
        "warm boot: only the index"
    );
    let Action::StartNormalWorld(start) = realm(&monitor, 2, BOOT_COMPLETE, &[0]).0 else {
        panic!()
    };
    assert_eq!((start.entry, start.argument), (0x5000_0000, 77));
}

#[test]
fn every_rmi_call_goes_to_the_rmm_and_back() {
    let monitor = booted(1);
    for fid in 0xC400_0150..=0xC400_018F {
        for hint in [0, 1 << 16] {
            let (action, registers) = normal(&monitor, 0, fid | hint, &[1, 2, 3, 4, 5, 6, 7]);
            assert_eq!(action, Action::Switch(World::Realm));
            assert_eq!(
                registers.0[..8],
                [u64::from(fid | hint), 1, 2, 3, 4, 5, 6, 7],
                "nothing changes on the way"
            );
        }
    }
    let (action, registers) = realm(&monitor, 0, REQ_COMPLETE, &[10, 11, 12, 13, 14, 15]);
    assert_eq!(action, Action::Switch(World::NonSecure));
    assert_eq!(registers.0[..5], [10, 11, 12, 13, 14]);
}

#[test]
fn calls_of_the_wrong_world_are_unknown() {
    let monitor = booted(1);
    for fid in
        (0xC400_0190..=0xC400_01CF).chain([0xC400_014F, 0x8400_0150, 0x0, 0xC300_0150, 0xC402_0150])
    {
        assert_eq!(
            status(normal(&monitor, 0, fid, &[0x5000_0000])),
            UNKNOWN,
            "{fid:#x}"
        );
    }
    let services: Vec<_> = Command::ALL
        .iter()
        .map(|command| command.function_id())
        .collect();
    for fid in (0xC400_0150..0xC400_018F).chain(0xC400_0190..=0xC400_01CF) {
        if !services.contains(&fid) {
            assert_eq!(status(realm(&monitor, 0, fid, &[0])), UNKNOWN, "{fid:#x}");
        }
    }
    for fid in [
        0x8400_0000,
        0x8000_0000,
        0x8400_0008,
        0xC400_0003,
        0x8400_0002,
    ] {
        assert_eq!(status(realm(&monitor, 0, fid, &[0])), UNKNOWN, "{fid:#x}");
    }
}

#[test]
fn boot_and_run_do_not_mix() {
    let monitor = cold(1, Some(SHARED));
    assert!(matches!(monitor.power_up(0), PowerUp::BootRmm(_)));
    assert_eq!(
        status(realm(&monitor, 0, REQ_COMPLETE, &[0])),
        UNKNOWN,
        "there is no request yet"
    );
    assert_eq!(
        status(realm(&monitor, 0, Command::El3Features.function_id(), &[0])),
        0,
        "services work in boot"
    );
    assert_eq!(
        realm(&monitor, 0, BOOT_COMPLETE, &[0]).0,
        Action::StartNormalWorld(PAYLOAD)
    );
    assert_eq!(
        status(realm(&monitor, 0, BOOT_COMPLETE, &[0])),
        UNKNOWN,
        "it has booted"
    );
}

#[test]
fn an_rmm_that_cannot_boot_is_never_entered() {
    let monitor = cold(2, Some(SHARED));
    assert!(matches!(monitor.power_up(0), PowerUp::BootRmm(_)));
    let code = boot_code::MANIFEST_DATA_ERROR;
    let (action, _) = realm(&monitor, 0, BOOT_COMPLETE, &[code.cast_unsigned()]);
    assert_eq!(
        action,
        Action::StartNormalWorld(PAYLOAD),
        "the normal world boots nevertheless"
    );
    assert_eq!(monitor.rmm_failure(), Some(code));
    assert_eq!(status(normal(&monitor, 0, RMI_VERSION, &[0])), UNKNOWN);
    assert_eq!(
        status(normal(&monitor, 0, 0xC400_0003, &[1, 0x5000_0000, 1])),
        0
    );
    assert!(matches!(monitor.power_up(1), PowerUp::StartNormalWorld(_)));
}

#[test]
fn a_failure_on_one_pe_counts_for_all() {
    let monitor = booted(2);
    assert_eq!(
        normal(&monitor, 0, RMI_VERSION, &[0]).0,
        Action::Switch(World::Realm)
    );
    assert_eq!(
        status(normal(&monitor, 0, 0xC400_0003, &[1, 0x5000_0000, 1])),
        0
    );
    assert!(matches!(monitor.power_up(1), PowerUp::BootRmm(_)));
    let (action, _) = realm(&monitor, 1, BOOT_COMPLETE, &[(-1i64).cast_unsigned()]);
    assert!(matches!(action, Action::StartNormalWorld(_)));
    assert_eq!(
        status(realm(
            &monitor,
            0,
            Command::GtsiDelegate.function_id(),
            &[0x5000_0000]
        )),
        UNKNOWN
    );
    assert_eq!(
        realm(&monitor, 0, REQ_COMPLETE, &[0]).0,
        Action::Switch(World::NonSecure),
        "the open call ends"
    );
    for pe in 0..2 {
        assert_eq!(status(normal(&monitor, pe, RMI_VERSION, &[0])), UNKNOWN);
    }
    assert_eq!(monitor.rmm_failure(), Some(-1));
}

#[test]
fn without_an_rmm_the_normal_world_starts_at_once() {
    let monitor = cold(1, None);
    assert_eq!(monitor.power_up(0), PowerUp::StartNormalWorld(PAYLOAD));
    assert_eq!(status(normal(&monitor, 0, RMI_VERSION, &[0])), UNKNOWN);
    assert_eq!(monitor.rmm_failure(), None);
}

#[test]
fn the_switch_on_demand_is_agreed_in_the_first_boot_only() {
    let fid = cca_abi::el3::SWITCH_ON_DEMAND;
    let monitor = cold(1, Some(SHARED));
    assert_eq!(status(normal(&monitor, 0, fid, &[0])), UNKNOWN);
    monitor.power_up(0);
    assert!(!monitor.switches_on_demand());
    assert_eq!(status(realm(&monitor, 0, fid, &[0])), 0);
    assert!(monitor.switches_on_demand());
    assert_eq!(status(realm(&booted(1), 0, fid, &[0])), UNKNOWN);
}

#[test]
fn the_normal_world_rings_and_nobody_else() {
    const RING_BELL: u32 = 0xC700_5A01;
    for monitor in [booted(1), cold(1, None)] {
        monitor.platform().take();
        for hint in [0, 1 << 16] {
            assert_eq!(status(normal(&monitor, 0, RING_BELL | hint, &[1, 2])), 0);
            assert_eq!(monitor.platform().take(), [Event::Ring]);
        }
        assert_eq!(status(normal(&monitor, 0, RING_BELL ^ 2, &[])), UNKNOWN);
        assert_eq!(status(realm(&monitor, 0, RING_BELL, &[])), UNKNOWN);
        assert_eq!(monitor.platform().take(), []);
    }
}

#[test]
fn granules_change_worlds() {
    let monitor = booted(1);
    let (delegate, undelegate) = (
        Command::GtsiDelegate.function_id(),
        Command::GtsiUndelegate.function_id(),
    );
    let granule = 0x5000_0000;
    assert_eq!(status(realm(&monitor, 0, delegate, &[granule])), 0);
    assert_eq!(monitor.gpt().lookup(granule), Some(Gpi::Realm));
    assert_eq!(status(realm(&monitor, 0, delegate, &[granule])), -3);
    assert_eq!(status(realm(&monitor, 0, undelegate, &[granule])), 0);
    assert_eq!(monitor.gpt().lookup(granule), Some(Gpi::NonSecure));
    assert_eq!(status(realm(&monitor, 0, undelegate, &[granule])), -3);
    for fid in [delegate, undelegate] {
        assert_eq!(status(realm(&monitor, 0, fid, &[granule + 1])), -2);
        assert_eq!(status(realm(&monitor, 0, fid, &[1 << 32])), -2);
        assert_eq!(
            status(realm(&monitor, 0, fid, &[DRAM.end() + 0x4000_0000])),
            -2
        );
        assert_eq!(status(realm(&monitor, 0, fid, &[ROOT.base])), -3);
    }
    assert_eq!(status(realm(&monitor, 0, delegate, &[RMM.base])), -3);
    assert_eq!(
        (monitor.delegate(granule), monitor.delegate(granule)),
        (0, -3)
    );
    assert_eq!(
        (monitor.undelegate(granule), monitor.undelegate(granule)),
        (0, -3)
    );
    assert_eq!((monitor.delegate(1), monitor.undelegate(1)), (-2, -2));
}

#[test]
fn features_announce_nothing() {
    let monitor = booted(1);
    let fid = Command::El3Features.function_id();
    let (action, registers) = realm(&monitor, 0, fid, &[0]);
    assert_eq!(
        (action, registers.0[0], registers.0[1]),
        (Action::Return, 0, 0)
    );
    let (_, registers) = realm(&monitor, 0, fid, &[1]);
    assert_eq!(
        (registers.0[0].cast_signed(), registers.0[1]),
        (-5, 1),
        "no result with an error"
    );
    assert_eq!(
        status(realm(
            &monitor,
            0,
            Command::El3TokenSign.function_id(),
            &[1, SHARED, 64, 0]
        )),
        UNKNOWN
    );
}

#[test]
fn attestation_checks_its_arguments_before_it_says_that_there_is_no_key() {
    let monitor = booted(1);
    for (fid, bad_last) in [
        (Command::AttestGetRealmKey.function_id(), 1),
        (Command::AttestGetPlatToken.function_id(), 31),
    ] {
        for (buffer, size, last, code) in [
            (SHARED - 8, 48, 0, -2),
            (SHARED + 4096, 48, 0, -2),
            (0, 48, 0, -2),
            (u64::MAX, 48, 0, -2),
            (SHARED, 0, 0, -5),
            (SHARED, 4097, 0, -5),
            (SHARED + 4095, 2, 0, -5),
            (SHARED + 8, u64::MAX, 0, -5),
            (SHARED, 4096, bad_last, -5),
            (SHARED, 4096, 0, UNKNOWN),
            (SHARED + 4095, 1, 0, UNKNOWN),
        ] {
            let answer = realm(&monitor, 0, fid, &[buffer, size, last]);
            assert_eq!(
                answer.1.0[1..4],
                [buffer, size, last],
                "no output with an error"
            );
            assert_eq!(status(answer), code, "{fid:#x} {buffer:#x} {size} {last}");
        }
    }
}

#[test]
fn unusable_configurations_are_refused() {
    let pes: &[_] = vec![ProcessingElement::new(0)].leak();
    let make = |primary, shared| {
        RootMonitor::new(
            common::Recorder::default(),
            common::gpt(),
            pes,
            primary,
            PAYLOAD,
            shared,
        )
        .err()
    };
    assert_eq!(make(1, None), Some(ConfigurationError::Primary));
    assert_eq!(
        make(0, Some(DRAM.end() - 0x1000)),
        Some(ConfigurationError::SharedBuffer)
    );
    let pes: &[_] = vec![ProcessingElement::new(0)].leak();
    let error = RootMonitor::new(
        common::Recorder::default(),
        common::gpt(),
        pes,
        0,
        PAYLOAD,
        Some(SHARED + 8),
    )
    .err();
    assert_eq!(error, Some(ConfigurationError::SharedBuffer));
}

#[test]
fn no_call_makes_the_monitor_panic() {
    let monitor = booted(2);
    let values = [
        0,
        1,
        2,
        0xFFF,
        0x1000,
        0x5000_0000,
        SHARED,
        1 << 31,
        1 << 32,
        u64::MAX - 0xFFF,
        u64::MAX,
    ];
    let fids = (0x8400_0000..0x8400_0020)
        .chain(0xC400_0000..0xC400_0020)
        .chain(0xC400_0140..0xC400_01E0)
        .chain([0x8000_0000, 0x8000_0001, 0xC700_5A00, u32::MAX]);
    for fid in fids {
        for first in values {
            for second in values {
                for third in [0, 48, u64::MAX] {
                    for world in [World::NonSecure, World::Realm] {
                        let mut registers = Registers::call(fid, &[first, second, third]);
                        monitor.smc(0, world, &mut registers);
                    }
                }
            }
        }
    }
}
