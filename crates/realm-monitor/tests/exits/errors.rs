//! System errors.

use super::*;

#[test]
fn system_errors_go_to_the_host_and_if_they_must_to_the_realm() {
    let mut rig = Rig::active();
    let error = |kind: u64| 0x2F << 26 | 1 << 25 | kind << 10 | 1 << 9 | 0x11;
    for kind in [2, 6] {
        let exit = exit_of(&mut rig, Exception::SError { esr: error(kind) });
        assert_eq!(
            exit,
            RecExit {
                exit_reason: 6,
                esr: error(kind) & !(1 << 25),
                ..RecExit::default()
            }
        );
        assert_eq!(rig.rec(REC0).get(layout::HCR_EL2) & 1 << 8, 0);
    }
    for kind in [1, 3] {
        let exit = exit_of(&mut rig, Exception::SError { esr: error(kind) });
        assert_eq!(
            exit,
            RecExit {
                exit_reason: 6,
                esr: error(kind) & !(1 << 25),
                ..RecExit::default()
            }
        );
    }
    rig.step(move |rec| {
        assert_ne!(
            rec.get(layout::HCR_EL2) & 1 << 8,
            0,
            "a virtual SError is pending"
        );
        assert_eq!(rec.get(layout::VSESR_EL2), error(3) & 0x1FF_FFFF);
        rec.set(layout::HCR_EL2, rec.get(layout::HCR_EL2) & !(1 << 8));
        Exception::Irq
    });
    rig.run();
    rig.step(|rec| {
        assert_eq!(rec.get(layout::HCR_EL2) & 1 << 8, 0, "it was taken");
        Exception::Irq
    });
    rig.run();
}

/// The realm's HCR_EL2.VSE and VSESR_EL2 at its next entry; it takes the virtual SError.
fn virtual_error(rig: &mut Rig) -> (bool, u64) {
    const VSE: u64 = 1 << 8;
    let seen = std::rc::Rc::new(std::cell::Cell::new((false, 0)));
    let see = seen.clone();
    rig.step(move |rec| {
        let hcr = rec.get(layout::HCR_EL2);
        see.set((hcr & VSE != 0, rec.get(layout::VSESR_EL2)));
        rec.set(layout::HCR_EL2, hcr & !VSE);
        rec.set(layout::VSESR_EL2, 0);
        Exception::Irq
    });
    rig.run();
    seen.get()
}

#[test]
fn a_system_error_that_nobody_can_contain_stops_nobody() {
    let mut rig = Rig::active();
    let error = |rest: u64| 0x2F << 26 | 1 << 25 | rest;
    for (esr, shown, virtual_syndrome) in [
        // Uncontainable, and a kind that does not exist.
        (error(0x211), error(0x211), 0x211),
        (error(0x1211), error(0x1211), 0x1211),
        // Of the implementation's own, and not asynchronous.
        (
            error(1 << 24 | 0xABCDEF),
            error(1 << 24 | 0xABCDEF & 0x1E3F),
            1 << 24,
        ),
        (error(0x610), error(0x610), 1 << 24),
    ] {
        let exit = exit_of(&mut rig, Exception::SError { esr });
        let expected = RecExit {
            exit_reason: 6,
            esr: shown & !(1 << 25),
            ..RecExit::default()
        };
        assert_eq!(exit, expected, "{esr:#x}");
        assert_eq!(
            virtual_error(&mut rig),
            (true, virtual_syndrome),
            "{esr:#x}"
        );
    }
}

#[test]
fn an_error_from_before_the_entry_is_not_the_realms() {
    let mut rig = Rig::active();
    // Kinds of which the realm would get each one if it were its own.
    for kind in [0, 1, 3, 1 << 14] {
        let esr = 0x2F << 26 | kind << 10 | 1 << 9 | 0x11;
        let exit = exit_of(&mut rig, Exception::EarlierSError { esr });
        let expected = RecExit {
            exit_reason: 6,
            esr,
            ..RecExit::default()
        };
        assert_eq!(exit, expected, "{esr:#x}");
        assert_eq!(virtual_error(&mut rig), (false, 0), "{esr:#x}");
    }
}
