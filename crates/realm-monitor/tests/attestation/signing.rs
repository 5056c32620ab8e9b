//! Signatures that are interrupted.

use super::*;

/// A CONTINUE during which the signature is interrupted.
fn interrupted(rig: &mut Rig) {
    rig.pe.interruptions = 1;
    let pc = rig.rec(REC0).pc();
    rig.smc(&[CONTINUE, PAGE_IPA, 0, 4096, 0x44]);
    assert_eq!(rig.run(), irq());
    let rec = rig.rec(REC0);
    assert_eq!(rec.pc(), pc + 4, "the call is over");
    let registers: [u64; 5] = core::array::from_fn(|n| rec.gpr(n));
    assert_eq!(registers, [rsi::INCOMPLETE, 0, 0, 0, 0x44]);
    assert_eq!(rig.pe.suspended.len(), 1);
}

#[test]
fn a_signature_that_is_interrupted_is_resumed() {
    let mut rig = active();
    init(&mut rig, challenge(10));
    for _ in 0..5 {
        interrupted(&mut rig);
    }
    let (status, length) = more(&mut rig, 0, 4096, true);
    assert_eq!(status, rsi::SUCCESS);
    check(&page(&rig, 0, length), challenge(10));
    assert_eq!((rig.pe.begun, rig.pe.suspended.len()), (1, 0));
}

#[test]
fn a_new_challenge_forgets_the_signature_that_was_suspended() {
    let mut rig = active();
    init(&mut rig, challenge(11));
    interrupted(&mut rig);
    init(&mut rig, challenge(12));
    rig.pe.suspended.clear();
    let (status, length) = more(&mut rig, 0, 4096, true);
    assert_eq!(status, rsi::SUCCESS);
    check(&page(&rig, 0, length), challenge(12));
    assert_eq!(rig.pe.begun, 2);
}

#[test]
fn a_rec_that_is_destroyed_leaves_no_signature_behind() {
    let mut rig = active();
    init(&mut rig, challenge(13));
    interrupted(&mut rig);
    rig.ok(&cca_abi::rmi::rec_destroy::Input { rec: REC0 }.encode());
    rig.ok(&cca_abi::rmi::granule_undelegate::Input { addr: REC0 }.encode());
    rig.pe.suspended.clear();
    // The REC of another realm, in the same granule.
    rig.create_realm(RD_B, ROOT_B, 2);
    rig.create_rec(RD_B, REC0, 0, true);
    rig.ok(&cca_abi::rmi::realm_activate::Input { rd: RD_B }.encode());
    init(&mut rig, challenge(14));
    interrupted(&mut rig);
    assert_eq!(rig.pe.begun, 2);
}

#[test]
fn the_place_of_a_rec_that_is_gone_is_anybodys() {
    let mut rig = active();
    init(&mut rig, challenge(15));
    interrupted(&mut rig);
    let first: Vec<_> = rig.pe.suspended.drain().map(|(place, _)| place).collect();
    rig.ok(&cca_abi::rmi::rec_destroy::Input { rec: REC0 }.encode());
    // Another REC of the realm.
    rig.rec(REC1).set(layout::RUNNABLE, 1);
    let mut call = vec![INIT];
    call.extend(challenge(16));
    rig.smc(&call);
    rig.script([Exception::Irq]);
    rig.enter(REC1, &RecEnter::default());
    rig.pe.interruptions = 1;
    rig.smc(&[CONTINUE, PAGE_IPA, 0, 4096]);
    rig.enter(REC1, &RecEnter::default());
    let second: Vec<_> = rig.pe.suspended.keys().copied().collect();
    assert_eq!(first, second);
}
