//! Memory that was promised is there; a realm that was promised none waits for it and lives.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use realm_guest::demo::GuestPe;
use realm_vmm::control::message::{Answer, Call, Spec, State};
use realm_vmm::report;

use crate::tool::{ALIAS, RAM, Tool, spec, with_host_of};

/// Where the second realm starts.
const WAITS: u64 = RAM + 0x1000;

/// Uses all of its memory, private and then shared, and ends.
fn eat(guest: &GuestCpu) {
    let size = guest.register(1);
    for page in (RAM..RAM + size).step_by(0x1000) {
        guest.write(page, page);
    }
    for page in (RAM..RAM + size).step_by(0x1000) {
        assert_eq!(guest.read(page), page);
    }
    let rsi = realm_guest::Rsi::new(guest);
    let (from, to) = (RAM + size / 2, RAM + size);
    rsi.set_ipa_state(from, to, realm_guest::Ripas::Empty, false)
        .expect("it is the realm's");
    for page in (from..to).step_by(0x1000) {
        guest.write(ALIAS | page, page);
    }
    let mut call = Registers::default();
    call.0[0] = 0x8400_0008;
    guest.call(&mut call);
}

fn free(tool: &mut Tool) -> u64 {
    match tool.call(Call::List) {
        Ok(Answer::Realms { free, .. }) => free,
        other => panic!("{other:?}"),
    }
}

fn large(memory: u64, overcommit: bool) -> Spec {
    let entry = if overcommit { WAITS } else { RAM };
    Spec {
        memory,
        entry,
        overcommit,
        time_limit_ms: 0,
        arguments: realm_vmm::Config::raw(memory, &[]).arguments,
        ..spec(1)
    }
}

#[test]
fn a_realm_has_what_it_was_promised_and_who_was_promised_nothing_waits() {
    with_host_of(
        128 << 20,
        |machine| {
            machine.install(RAM, Arc::new(eat));
            machine.install(WAITS, Arc::new(eat));
        },
        |tool| {
            let all = free(tool);
            let memory = (all * 6 / 10) & !0x1F_FFFF;
            let promised = tool.realm("promised", large(memory, false));
            let name = || "second".to_owned();
            let spec = large(memory, false);
            let error = tool.call(Call::Create { name: name(), spec }).unwrap_err();
            assert!(
                error.contains("it needs") && error.contains("are free"),
                "{error}"
            );
            // Nothing is left of it.
            let waits = tool.realm("waits", large(memory, true));

            tool.done(Call::Start { realm: waits });
            while tool.inspect(waits).status.state != State::Starved {
                thread::sleep(Duration::from_millis(20));
            }
            assert_eq!(tool.list().0[1].state, State::Starved);
            // The machine has nothing left but what the first was promised, which is all there.
            tool.done(Call::Start { realm: promised });
            assert_eq!(tool.stopped(promised), (report::Outcome::Ok, None));
            assert_eq!(tool.inspect(waits).status.state, State::Starved);
            match tool.call(Call::Remove { realm: promised }) {
                Ok(Answer::Removed { report }) => assert_eq!(report.outcome, report::Outcome::Ok),
                other => panic!("{other:?}"),
            }
            // It goes on by itself, and nothing of what it had is lost.
            assert_eq!(tool.stopped(waits), (report::Outcome::Ok, None));
            tool.done(Call::Shutdown);
        },
    );
}
