//! Several realms on the in-process machine, driven through the control channel as the tool does it.

mod bounds;
mod faults;
mod kept;
mod overcommit;
mod removal;
mod rest;
mod tool;
mod turns;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cca_abi::smccc::Registers;
use machine::Machine;
use machine::cpu::{GuestCpu, names};
use realm_guest::demo::GuestPe;
use realm_vmm::board;
use realm_vmm::control::frame::Kind;
use realm_vmm::control::message::{Answer, Call, Event, Outcome, Spec, State};
use realm_vmm::report;

use crate::tool::{ALIAS, RAM, Tool, spec, with_host};

fn spin(guest: &GuestCpu) {
    loop {
        guest.read(RAM);
    }
}

#[test]
fn demonstration_realms_run_side_by_side_and_leave_nothing() {
    with_host(Machine::install_demo, |tool| {
        let realms = [1, 2, 4].map(|vcpus| tool.realm("demo", spec(vcpus)));
        assert_eq!(realms, [1, 2, 3]);
        for realm in realms {
            tool.done(Call::Start { realm });
        }
        let mut ended = Vec::new();
        for _ in realms {
            match tool.event() {
                Event::Stopped {
                    realm,
                    outcome: report::Outcome::Ok,
                    error: None,
                } => ended.push(realm),
                other => panic!("{other:?}"),
            }
        }
        ended.sort_unstable();
        assert_eq!(ended, realms);
        for realm in realms {
            let text: String = tool
                .consoles
                .iter()
                .filter(|(from, _)| *from == realm)
                .map(|(_, text)| text.as_str())
                .collect();
            assert!(text.contains("demo: done"), "{text}");
            let details = tool.inspect(realm);
            assert_eq!(details.status.state, State::Stopped);
            assert!(details.token.is_some());
            match tool.call(Call::Remove { realm }) {
                Ok(Answer::Removed { report }) => {
                    assert_eq!(report.outcome, report::Outcome::Ok);
                    assert_eq!(report.recs.len(), details.spec.vcpus as usize);
                }
                other => panic!("{other:?}"),
            }
        }
        let (realms, granules) = tool.list();
        assert_eq!(realms, []);
        assert_eq!(granules.delegated, granules.returned);
        tool.done(Call::Shutdown);
    });
}

#[test]
fn a_realm_that_never_rests_is_paused_inspected_stopped_and_removed_while_others_run() {
    with_host(
        |machine| machine.install(RAM, Arc::new(spin)),
        |tool| {
            let (first, second) = (tool.realm("first", spec(1)), tool.realm("second", spec(1)));
            assert!(
                tool.call(Call::Pause { realm: first })
                    .unwrap_err()
                    .contains("not started")
            );
            tool.done(Call::Start { realm: first });
            tool.done(Call::Start { realm: second });
            assert!(
                tool.call(Call::Start { realm: first })
                    .unwrap_err()
                    .contains("already")
            );
            assert!(
                tool.call(Call::Remove { realm: first })
                    .unwrap_err()
                    .contains("running")
            );
            tool.done(Call::Pause { realm: first });
            let before = tool.inspect(first);
            let other = tool.inspect(second);
            thread::sleep(Duration::from_millis(100));
            let after = tool.inspect(first);
            assert_eq!(after.status.state, State::Paused);
            assert_eq!(before.status.entries, after.status.entries);
            assert!(tool.inspect(second).status.run_us > other.status.run_us);
            tool.done(Call::Resume { realm: first });
            thread::sleep(Duration::from_millis(100));
            assert!(tool.inspect(first).status.run_us > after.status.run_us);

            let details = tool.inspect(first);
            assert_eq!(details.status.granules["rec"], 1);
            assert_eq!(details.status.granules["data"], 2);
            assert_eq!(details.map.len(), 1);
            assert_eq!(
                (
                    details.map[0].base,
                    details.map[0].top,
                    details.map[0].present
                ),
                (RAM, RAM + (8 << 20), 8192)
            );
            assert_eq!(details.map[0].ripas, "ram");

            tool.done(Call::Stop { realm: first });
            assert_eq!(tool.stopped(first).0, report::Outcome::Stopped);
            assert!(matches!(
                tool.call(Call::Remove { realm: first }),
                Ok(Answer::Removed { .. })
            ));
            let (realms, granules) = tool.list();
            assert_eq!(realms.len(), 1);
            assert_eq!(realms[0].state, State::Running);
            assert!(granules.returned < granules.delegated);
            tool.done(Call::Shutdown);
        },
    );
}

/// As a driver of the PL011 does it: an interrupt for each batch of bytes, routed to vCPU 1, while both vCPUs wait. Says in capitals what it hears; "q" ends
/// the realm.
fn listen(guest: &GuestCpu) {
    let device = |offset: u64| ALIAS | offset;
    let (uart, distributor) = (device(board::UART), device(board::DISTRIBUTOR));
    guest.store_device(distributor, 0b10010);
    guest.store_device(distributor + 0x84, !0);
    guest.store_device(distributor + 0x420, 0xA0A0_A0A0);
    guest.store_device(distributor + 0x6000 + 8 * 33, 1);
    guest.store_device(distributor + 0x104, 0b10);
    guest.store_device(uart + 0x2C, 0x70);
    guest.store_device(uart + 0x38, 0x50);
    guest.store_device(uart + 0x30, 0x301);
    let mut call = Registers::default();
    call.0[..4].copy_from_slice(&[0xC400_0003, 1, RAM + 0x1000, 0]);
    guest.call(&mut call);
    assert_eq!(call.0[0], 0);
    loop {
        guest.wait_for_interrupt();
    }
}

fn answer(guest: &GuestCpu) {
    let uart = ALIAS | board::UART;
    guest
        .write_system(names::ICC_PMR_EL1, 0xF0)
        .expect("a register");
    guest
        .write_system(names::ICC_IGRPEN1_EL1, 1)
        .expect("a register");
    "?".bytes()
        .for_each(|byte| guest.store_device(uart, byte.into()));
    loop {
        let Some(intid) = guest.acknowledge_interrupt() else {
            guest.wait_for_interrupt();
            continue;
        };
        assert_eq!(intid, 33);
        while guest.load_device(uart + 0x18) & 0x10 == 0 {
            let byte = guest.load_device(uart) as u8;
            guest.store_device(uart, byte.to_ascii_uppercase().into());
            if byte == b'q' {
                let mut call = Registers::default();
                call.0[0] = 0x8400_0008;
                guest.call(&mut call);
            }
        }
        guest.end_of_interrupt(intid);
    }
}

#[test]
fn what_is_typed_reaches_a_vcpu_that_waits() {
    with_host(
        |machine| {
            machine.install(RAM, Arc::new(listen));
            machine.install(RAM + 0x1000, Arc::new(answer));
        },
        |tool| {
            let streamed = Spec {
                lines: false,
                ..spec(2)
            };
            let realm = tool.realm("listener", streamed);
            tool.done(Call::Start { realm });
            let long = "x".repeat(300);
            for (typed, heard) in [("", "?"), ("hello", "?HELLO"), (&long, ""), ("q", "")] {
                tool.send(Kind::Console, realm, typed.as_bytes());
                while !heard.is_empty() && said(tool) != heard {
                    assert!(tool.receive().is_none());
                }
            }
            assert_eq!(tool.stopped(realm), (report::Outcome::Ok, None));
            assert_eq!(said(tool), format!("?HELLO{}Q", "X".repeat(300)));
            assert!(matches!(
                tool.call(Call::Remove { realm }),
                Ok(Answer::Removed { .. })
            ));
            tool.done(Call::Shutdown);
        },
    );
}

/// Takes what was typed, once, and says how much that was.
fn count(guest: &GuestCpu) {
    let uart = ALIAS | board::UART;
    for (register, value) in [(0x2C, 0x70), (0x38, 0x50), (0x30, 0x301)] {
        guest.store_device(uart + register, value);
    }
    let (mut bytes, mut idle) = (0_u32, 0);
    while idle < 10_000 {
        // Without a look at the flags, each of which is an exit: what is read where nothing has arrived is zero.
        if guest.load_device(uart) & 0xFF == u32::from(b'x') {
            (bytes, idle) = (bytes + 1, 0);
        } else {
            idle += 1;
        }
    }
    for byte in format!("{bytes}.").bytes() {
        guest.store_device(uart, byte.into());
    }
    let mut call = Registers::default();
    call.0[0] = 0x8400_0008;
    guest.call(&mut call);
}

#[test]
fn what_is_typed_and_not_taken_is_bounded() {
    with_host(
        |machine| machine.install(RAM, Arc::new(count)),
        |tool| {
            let spec = Spec {
                lines: false,
                time_limit_ms: 0,
                ..spec(1)
            };
            let realm = tool.realm("slow", spec);
            for _ in 0..50 {
                tool.send(Kind::Console, realm, &[b'x'; 4096]);
            }
            tool.done(Call::Start { realm });
            assert_eq!(tool.stopped(realm), (report::Outcome::Ok, None));
            let bytes: usize = said(tool).trim_end_matches('.').parse().expect("a number");
            // As much in the device as before it.
            let kept = 2 * (64 << 10);
            assert_eq!(bytes, kept);
            tool.done(Call::Shutdown);
        },
    );
}

fn said(tool: &Tool) -> String {
    tool.consoles
        .iter()
        .map(|(_, text)| text.as_str())
        .collect()
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    with_host(Machine::install_demo, |tool| {
        let refused = |tool: &mut Tool, call: Call, words: &str| {
            let error = tool.call(call).unwrap_err();
            assert!(error.contains(words), "{words:?} in {error:?}");
        };
        refused(tool, Call::Start { realm: 9 }, "no realm 9");
        let create = |spec| Call::Create {
            name: String::new(),
            spec,
        };
        refused(tool, create(spec(0)), "at least one vCPU");
        let too_large = Spec {
            memory: 1 << 50,
            ..spec(1)
        };
        refused(tool, create(too_large), "no size");
        // Contents that overlap, or lie outside, make the realm useless.
        for (first, second) in [
            (RAM + 4096, RAM),
            (RAM, RAM),
            (RAM, RAM + (8 << 20)),
            (0, 0),
        ] {
            let realm = tool.create("bad", spec(1));
            tool.contents(realm, first, &[1; 100]);
            tool.contents(realm, second, &[1; 100]);
            refused(tool, Call::Activate { realm }, "an image of 100 bytes");
            refused(tool, Call::Activate { realm }, "no realm");
        }
        // One that is never completed goes, too.
        let realm = tool.create("unfinished", spec(1));
        refused(tool, Call::Start { realm }, "not active");
        tool.done(Call::Remove { realm });
        tool.send(Kind::Request, 0, br#"{"id":77,"request":"dance"}"#);
        let reply = loop {
            if let Some(reply) = tool.receive() {
                break reply;
            }
        };
        assert_eq!(reply.id, 77);
        assert!(matches!(reply.result, Outcome::Error(error) if error.contains("dance")));
        let (realms, granules) = tool.list();
        assert_eq!((realms.len(), granules.delegated), (0, granules.returned));
    });
}

#[test]
fn a_tool_that_hangs_up_leaves_no_realm_behind() {
    with_host(
        |machine| machine.install(RAM, Arc::new(spin)),
        |tool| {
            let realm = tool.realm("lost", spec(1));
            tool.done(Call::Start { realm });
            tool.create("half", spec(2));
        },
    );
}
