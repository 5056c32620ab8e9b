//! A hostile realm with a host that means well: whatever the realm does, the host serves it and takes it down.

use std::cell::RefCell;

use machine::{HostPe, Machine, Supply, Transport};
use realm_host::realm::Active;
use realm_host::rec::{Decision, EnterError, Entry, Exit, PsciRequest};
use realm_host::{Host, Ipa, IpaRange, Realm, RealmConfig, VcpuConfig};

use crate::Hand;
use crate::script::{CODE, MEMORY, UNPROTECTED};
use crate::stage::{self, Stage};

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// How often the realm may come back.
const PATIENCE: usize = 300;
/// What it costs of that if it comes back only because the host wants a word with it: it may do so for ever.
const SLICE: usize = 30;

/// Runs a realm that does what these bytes say.
///
/// # Panics
///
/// If a monitor or the host's library does, if they do not agree, or if something is left behind.
pub fn run(data: &[u8]) {
    let mut stage = STAGE.take().unwrap_or_else(Stage::new);
    let (answers, script) = data.split_at(data.len() / 4);
    stage.set_script(script);
    serve(&mut stage.pe, &stage.machine, &mut Hand::new(answers));
    stage.check(&stage.machine.snapshot());
    stage.clear();
    STAGE.set(Some(stage));
}

type ActiveRealm<'h, 's> = Realm<'h, Transport, &'s Supply, Active>;

fn serve(pe: &mut HostPe, machine: &Machine, hand: &mut Hand<'_>) {
    let host = pe.run(|| Host::new(machine.transport(), machine.supply()).expect("a monitor"));
    let realm = pe.run(|| build(&host));
    let mut runnable = vec![0];
    let mut patience = PATIENCE;
    while patience > 0 && !realm.is_off() && !runnable.is_empty() {
        stage::arm(pe);
        let cost = pe.run(|| turn(&realm, &mut runnable, hand));
        stage::disarm(pe);
        patience = patience.saturating_sub(cost);
    }
    pe.run(|| {
        if let Err(failed) = realm.destroy() {
            panic!("the realm is not destroyed: {}", failed.error);
        }
    });
    let account = host.account();
    assert_eq!(account.delegated, account.returned);
    drop(host);
    assert_eq!(machine.supply().in_use(), 0);
}

/// A realm with two vCPUs, of which the first may run.
fn build<'h, 's>(host: &'h Host<Transport, &'s Supply>) -> ActiveRealm<'h, 's> {
    let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
    let ram = IpaRange::new(Ipa::new(CODE), Ipa::new(CODE + MEMORY)).expect("a range");
    realm.init_ripas(ram).expect("RAM");
    realm
        .populate(Ipa::new(CODE), b"a program", true)
        .expect("an image");
    let first = VcpuConfig {
        index: 0,
        gprs: [0; 8],
        pc: CODE,
        runnable: true,
    };
    realm.add_vcpu(first).expect("vCPU 0");
    realm.add_vcpu(VcpuConfig::secondary(1)).expect("vCPU 1");
    realm.activate().expect("active")
}

/// Enters the vCPU whose turn it is, and does what it leaves for. How much patience that has cost.
fn turn(realm: &ActiveRealm<'_, '_>, runnable: &mut Vec<usize>, hand: &mut Hand<'_>) -> usize {
    let index = runnable.remove(0);
    let mut session = realm.rec(index).expect("a REC");
    let entry = Entry {
        trap_wfi: true,
        trap_wfe: hand.seldom(2),
        ..Entry::default()
    };
    let left = match session.enter(&entry) {
        Ok(left) => left,
        Err(EnterError::RealmOff) => return 1,
        Err(error) => panic!("a REC that may run is not entered: {error}"),
    };
    let (mut again, mut cost) = (true, 1);
    match left.exit {
        Exit::Interrupt => cost = SLICE,
        Exit::Wait(_) => again = !hand.is_empty(),
        // No memory, or none that belongs there: the realm does not get on.
        Exit::Abort(abort) => again = abort.back().is_ok() && !hand.seldom(16),
        Exit::UnprotectedAbort(abort) if abort.ipa().get() < UNPROTECTED | 1 << 32 => {
            if hand.seldom(2) {
                abort.abort();
            } else {
                abort.share().expect("memory to share");
            }
        }
        Exit::UnprotectedAbort(abort) => abort.abort(),
        Exit::Mmio(mmio) => match hand.below(4) {
            0 => mmio.abort(),
            1 if mmio.ipa().get() < UNPROTECTED | 1 << 32 => {
                mmio.share().expect("memory to share");
            }
            _ => mmio.complete(hand.value()),
        },
        Exit::Register(access) => access.complete(hand.value()),
        Exit::HostCall(call) => {
            let mut gprs = call.gprs();
            gprs[hand.below(31)] = hand.value();
            call.complete(gprs);
        }
        Exit::RipasChange(change) => {
            if hand.seldom(4) {
                change.reject();
            } else {
                // It may be more than there is memory for tables.
                let _ = change.apply();
            }
        }
        Exit::Psci(call) => {
            again = !matches!(
                call.request(),
                PsciRequest::CpuOff | PsciRequest::SystemOff | PsciRequest::SystemReset
            ) && !hand.seldom(32);
            let decision = if hand.seldom(4) {
                Decision::Deny
            } else {
                Decision::Accept
            };
            let completed = call.complete(decision).expect("completed");
            if let Some(completion) = completed.filter(|completion| completion.may_run) {
                let target = completion.target as usize;
                if !runnable.contains(&target) {
                    runnable.push(target);
                }
            }
        }
        Exit::SError { esr } => panic!("an SError that nobody made: {esr:#x}"),
        Exit::Unknown { reason, esr } => panic!("exit {reason} with {esr:#x}"),
    }
    if again && !runnable.contains(&index) {
        runnable.push(index);
    }
    cost
}
