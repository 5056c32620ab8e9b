//! PSCI and the queries of the SMC calling convention.

mod common;

use common::{Event, PAYLOAD, RMM, ROOT, booted, cold, normal, realm, status};
use root_monitor::{Action, PowerUp};

const CPU_SUSPEND: [u32; 2] = [0x8400_0001, 0xC400_0001];
const CPU_OFF: u32 = 0x8400_0002;
const CPU_ON: [u32; 2] = [0x8400_0003, 0xC400_0003];
const AFFINITY_INFO: [u32; 2] = [0x8400_0004, 0xC400_0004];
const FEATURES: u32 = 0x8400_000A;
const BOOT_COMPLETE: u32 = 0xC400_01CF;

#[test]
fn versions() {
    let monitor = booted(1);
    assert_eq!(status(normal(&monitor, 0, 0x8400_0000, &[])), 0x1_0001);
    assert_eq!(status(normal(&monitor, 0, 0x8000_0000, &[])), 0x1_0003);
    assert_eq!(status(normal(&monitor, 0, 0x8400_0006, &[])), 2);
}

#[test]
fn features() {
    let monitor = booted(1);
    for fid in [
        0x8400_0000,
        0x8400_0001,
        0xC400_0001,
        0x8400_0002,
        0x8400_0003,
        0xC400_0003,
        0x8400_0004,
        0xC400_0004,
        0x8400_0006,
        0x8400_0008,
        0x8400_0009,
        0x8400_000A,
        0x8000_0000,
    ] {
        assert_eq!(status(normal(&monitor, 0, FEATURES, &[fid])), 0, "{fid:#x}");
    }
    for fid in [
        0x8400_0005,
        0xC400_0000,
        0x8400_0012,
        0xC400_0150,
        0x8000_0001,
    ] {
        assert_eq!(
            status(normal(&monitor, 0, FEATURES, &[fid])),
            -1,
            "{fid:#x}"
        );
    }
    for (fid, answer) in [
        (0x8000_0000, 0),
        (0x8000_0001, 0),
        (0x8000_8000, -1),
        (0x8000_0002, -1),
    ] {
        assert_eq!(
            status(normal(&monitor, 0, 0x8000_0001, &[fid])),
            answer,
            "{fid:#x}"
        );
    }
}

#[test]
fn a_pe_goes_on_and_off() {
    let monitor = booted(2);
    for (on, info) in CPU_ON.into_iter().zip(AFFINITY_INFO) {
        assert_eq!(status(normal(&monitor, 0, info, &[1, 0])), 1);
        assert_eq!(status(normal(&monitor, 0, on, &[1, 0x5000_1000, 42])), 0);
        assert_eq!(monitor.platform().take(), [Event::Wake(1)]);
        assert_eq!(status(normal(&monitor, 0, info, &[1, 0])), 2);
        assert_eq!(status(normal(&monitor, 0, on, &[1, 0x5000_2000, 43])), -5);

        assert!(matches!(monitor.power_up(1), PowerUp::BootRmm(_)));
        assert_eq!(
            status(normal(&monitor, 0, info, &[1, 0])),
            2,
            "until it is in the normal world"
        );
        let Action::StartNormalWorld(start) = realm(&monitor, 1, BOOT_COMPLETE, &[0]).0 else {
            panic!()
        };
        assert_eq!(
            (start.entry, start.argument),
            (0x5000_1000, 42),
            "of the call that succeeded"
        );
        assert_eq!(status(normal(&monitor, 0, info, &[1, 0])), 0);
        assert_eq!(status(normal(&monitor, 0, on, &[1, 0x5000_1000, 42])), -4);
        assert_eq!(monitor.platform().take(), [], "nobody is woken twice");

        assert_eq!(normal(&monitor, 1, CPU_OFF, &[]).0, Action::PowerDown);
    }
    assert_eq!(
        status(normal(&monitor, 0, CPU_ON[1], &[0, 0x5000_0000, 0])),
        -4,
        "the caller itself"
    );
}

#[test]
fn one_of_many_turns_a_pe_on() {
    for _ in 0..100 {
        let monitor = booted(5);
        let codes: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|n| {
                    let monitor = &monitor;
                    scope.spawn(move || {
                        (
                            n,
                            status(normal(monitor, 0, CPU_ON[1], &[4, 0x5000_0000, n])),
                        )
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let winners: Vec<_> = codes.iter().filter(|(_, code)| *code == 0).collect();
        assert_eq!(winners.len(), 1);
        assert!(codes.iter().all(|(_, code)| [0, -5].contains(code)));
        assert_eq!(monitor.platform().take(), [Event::Wake(4)]);
        monitor.power_up(4);
        let Action::StartNormalWorld(start) = realm(&monitor, 4, BOOT_COMPLETE, &[0]).0 else {
            panic!()
        };
        assert_eq!(start.argument, winners[0].0, "the winner's argument");
    }
}

#[test]
fn targets_that_do_not_exist() {
    let monitor = booted(18);
    for target in [16, 0x10, 0x102, 0x1_0000, 1 << 31, 1 << 40, u64::MAX] {
        assert_eq!(
            status(normal(&monitor, 0, CPU_ON[1], &[target, 0x5000_0000, 0])),
            -2,
            "{target:#x}"
        );
        assert_eq!(
            status(normal(&monitor, 0, AFFINITY_INFO[1], &[target, 0])),
            -2,
            "{target:#x}"
        );
    }
    assert_eq!(
        status(normal(&monitor, 0, CPU_ON[1], &[0x101, 0x5000_0000, 0])),
        0
    );
    assert_eq!(monitor.platform().take(), [Event::Wake(17)]);
    for level in [1, 2, 3, u64::MAX] {
        assert_eq!(
            status(normal(&monitor, 0, AFFINITY_INFO[1], &[0, level])),
            -2
        );
    }
}

#[test]
fn entry_points_that_the_normal_world_cannot_reach() {
    let monitor = booted(2);
    for entry in [RMM.base, ROOT.base, 0x5000_0002, 1 << 32, !3] {
        assert_eq!(
            status(normal(&monitor, 0, CPU_ON[1], &[1, entry, 0])),
            -9,
            "{entry:#x}"
        );
    }
    assert_eq!(status(realm(&monitor, 0, 0xC400_01B0, &[0x5000_0000])), 0);
    assert_eq!(
        status(normal(&monitor, 0, CPU_ON[1], &[1, 0x5000_0000, 0])),
        -9,
        "delegated"
    );
    assert_eq!(
        status(normal(&monitor, 0, AFFINITY_INFO[1], &[1, 0])),
        1,
        "still off"
    );
    assert_eq!(
        status(normal(&monitor, 0, CPU_ON[1], &[1, 0x0400_0000, 0])),
        0,
        "flash of the normal world"
    );
}

#[test]
fn arguments_of_the_32_bit_forms_are_32_bits_wide() {
    let monitor = booted(2);
    let high = 0xFFFF_FFFF_0000_0000;
    assert_eq!(
        status(normal(
            &monitor,
            0,
            CPU_ON[0],
            &[high | 1, high | 0x5000_0000, high | 5]
        )),
        0
    );
    monitor.power_up(1);
    let Action::StartNormalWorld(start) = realm(&monitor, 1, BOOT_COMPLETE, &[0]).0 else {
        panic!()
    };
    assert_eq!((start.entry, start.argument), (0x5000_0000, 5));
    assert_eq!(
        status(normal(&monitor, 0, AFFINITY_INFO[0], &[high | 1, high])),
        0
    );
}

#[test]
fn suspend_is_standby() {
    let monitor = booted(1);
    for fid in CPU_SUSPEND {
        for state in [0, 1, 0xFFFF] {
            let (action, registers) = normal(&monitor, 0, fid, &[state, 0x5000_0000, 0]);
            assert_eq!((action, registers.0[0]), (Action::Suspend, 0));
        }
        for state in [1 << 16, 1 << 17, 1 << 24, 1 << 30, 0xFFFF_FFFF] {
            assert_eq!(
                status(normal(&monitor, 0, fid, &[state, 0x5000_0000, 0])),
                -2,
                "{state:#x}"
            );
        }
    }
}

#[test]
fn the_machine_goes_off_and_resets() {
    let monitor = booted(1);
    assert_eq!(normal(&monitor, 0, 0x8400_0008, &[]).0, Action::SystemOff);
    assert_eq!(normal(&monitor, 0, 0x8400_0009, &[]).0, Action::SystemReset);
}

#[test]
fn psci_needs_no_rmm() {
    let monitor = cold(2, None);
    assert_eq!(monitor.power_up(0), PowerUp::StartNormalWorld(PAYLOAD));
    assert_eq!(status(normal(&monitor, 0, AFFINITY_INFO[1], &[0, 0])), 0);
    assert_eq!(
        status(normal(&monitor, 0, CPU_ON[1], &[1, 0x5000_0000, 9])),
        0
    );
    let PowerUp::StartNormalWorld(start) = monitor.power_up(1) else {
        panic!()
    };
    assert_eq!((start.entry, start.argument), (0x5000_0000, 9));
    assert_eq!(status(normal(&monitor, 0, AFFINITY_INFO[1], &[1, 0])), 0);
}
