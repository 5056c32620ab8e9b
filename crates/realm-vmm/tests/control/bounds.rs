//! Realms that make what is said of them long, and tools that ask for much.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cca_abi::smccc::Registers;
use machine::cpu::{GuestCpu, SECONDARY_OFFSET};
use machine::{Config, Machine, Time};
use realm_guest::demo::GuestPe;
use realm_guest::{Ripas, Rsi};
use realm_vmm::board;
use realm_vmm::control::frame::{self, Kind};
use realm_vmm::control::message::{Answer, Call, Details, Device, Outcome, Request, Spec};
use realm_vmm::control::outbox::MOST;
use realm_vmm::control::{Link, bounds};
use realm_vmm::report::{self, LONGEST_ERROR};
use realm_vmm::text::json_bytes;

use crate::tool::{ALIAS, RAM, Tool, spec, with_host};

const SIZE: u64 = 64 << 20;

/// Every other page of all memory but the first 4 MiB is given up. No answer had room for the map of that.
fn chequer(guest: &GuestCpu) {
    let rsi = Rsi::new(guest);
    for page in (RAM + (4 << 20)..RAM + SIZE).step_by(0x2000) {
        rsi.set_ipa_state(page, page + 0x1000, Ripas::Empty, false)
            .expect("the page is the realm's");
    }
    guest.store_device(ALIAS | board::UART, b'!'.into());
    loop {
        guest.wait_for_interrupt();
    }
}

fn inspect(tool: &mut Tool, realm: u32, from: u64) -> Details {
    match tool.call(Call::Inspect { realm, from }) {
        Ok(Answer::Realm { details }) => *details,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_map_that_no_answer_has_room_for_comes_in_parts() {
    with_host(
        |machine| machine.install(RAM, Arc::new(chequer)),
        |tool| {
            let memory = SIZE;
            let spec = Spec {
                memory,
                lines: false,
                ..spec(1)
            };
            let realm = tool.realm("chequered", spec);
            tool.done(Call::Start { realm });
            while tool.consoles.is_empty() {
                assert!(tool.receive().is_none());
            }
            let (mut from, mut regions, mut answers) = (0, 0, 0);
            loop {
                let details = inspect(tool, realm, from);
                assert!(details.map.len() <= bounds::REGIONS);
                let first = details.map.first().expect("a part of the map").base;
                assert_eq!(first, from.max(RAM), "nothing is left out");
                regions += details.map.len() as u64;
                answers += 1;
                let Some(rest) = details.rest else { break };
                assert_eq!(details.map.last().expect("a part of the map").top, rest);
                from = rest;
            }
            // 4 MiB, and pages that differ from their neighbours.
            assert!(regions >= (SIZE - (4 << 20)) / 0x1000, "{regions}");
            assert_eq!(answers, regions.div_ceil(bounds::REGIONS as u64));
            tool.done(Call::Shutdown);
        },
    );
}

/// Prints a long line of control characters that has no end, after the next vCPU has been started.
fn scribble(guest: &GuestCpu, vcpus: u64) {
    let next = (guest.mpidr() & 0xF) + 1;
    if next < vcpus {
        let mut call = Registers::default();
        call.0[..4].copy_from_slice(&[0xC400_0003, next, RAM + SECONDARY_OFFSET, vcpus]);
        guest.call(&mut call);
        assert_eq!(call.0[0], 0);
    }
    for _ in 0..1040 {
        guest.store_device(ALIAS | board::UART, 1);
    }
    loop {
        guest.wait_for_interrupt();
    }
}

#[test]
fn a_realm_whose_last_lines_are_long_is_reported_in_short() {
    with_host(
        |machine| {
            machine.install(RAM, Arc::new(|guest: &GuestCpu| scribble(guest, 8)));
            let secondary = |guest: &GuestCpu| scribble(guest, guest.register(0));
            machine.install(RAM + SECONDARY_OFFSET, Arc::new(secondary));
        },
        |tool| {
            let spec = Spec {
                time_limit_ms: 5000,
                ..spec(8)
            };
            let realm = tool.realm("scribbler", spec);
            tool.done(Call::Start { realm });
            let (outcome, error) = loop {
                match tool.events.pop_front() {
                    Some(realm_vmm::control::message::Event::Stopped {
                        outcome, error, ..
                    }) => {
                        break (outcome, error.expect("a reason"));
                    }
                    Some(other) => panic!("{other:?}"),
                    None => assert!(tool.receive().is_none()),
                }
            };
            assert_eq!(outcome, report::Outcome::Timeout);
            assert!(error.contains("vCPU 0 is waiting"), "{error}");
            assert!(error.contains("\\u{1}"), "{error}");
            assert!(json_bytes(&error) <= LONGEST_ERROR);
            let listed = tool.list().0.remove(0).error.expect("a reason");
            assert!(json_bytes(&listed) <= bounds::LISTED_ERROR);
            assert!(error.starts_with(listed.split_once("... and ").expect("it is cut").0));
            tool.done(Call::Shutdown);
        },
    );
}

#[test]
fn names_devices_and_realms_have_their_bounds() {
    with_host(
        |_| {},
        |tool| {
            let mut refused = |name: String, spec: Spec, words: &str| {
                let error = tool.call(Call::Create { name, spec }).unwrap_err();
                assert!(error.contains(words), "{words:?} in {error:?}");
            };
            let name = |bytes: usize| "\u{1}".repeat(bytes / 6);
            refused(name(bounds::NAME + 6), spec(1), "too long");
            let devices = vec![Device::Console; bounds::DEVICES + 1];
            let many = Spec { devices, ..spec(1) };
            refused("many".into(), many, "at most 8 virtio devices");
            let small = || Spec {
                memory: 1 << 20,
                ..spec(1)
            };
            for _ in 0..bounds::REALMS {
                tool.create(&name(bounds::NAME), small());
            }
            let error = tool
                .call(Call::Create {
                    name: "more".into(),
                    spec: spec(1),
                })
                .unwrap_err();
            assert!(error.contains("no more at once"), "{error}");
            assert_eq!(tool.list().0.len(), bounds::REALMS);
            tool.done(Call::Remove { realm: 7 });
            tool.create("one goes", small());
            tool.done(Call::Shutdown);
        },
    );
}

#[test]
fn a_refusal_does_not_repeat_all_of_a_request() {
    with_host(
        |_| {},
        |tool| {
            let request = format!(r#"{{"id":5,"request":"{}"}}"#, "\\u0001".repeat(40_000));
            tool.send(Kind::Request, 0, request.as_bytes());
            let reply = loop {
                if let Some(reply) = tool.receive() {
                    break reply;
                }
            };
            let Outcome::Error(error) = reply.result else {
                panic!("{reply:?}");
            };
            assert!(json_bytes(&error) <= bounds::REFUSAL, "{}", error.len());
        },
    );
}

/// A tool that says much, and fetches nothing of what it is told before it hangs up.
struct Deaf<'a> {
    saying: Vec<u8>,
    said: &'a AtomicUsize,
    /// What the host had taken at the last look. When it takes no more, the tool hangs up.
    before: AtomicUsize,
}

impl Link for Deaf<'_> {
    fn receive(&mut self, to: &mut [u8]) -> usize {
        let from = self.said.load(Ordering::Relaxed);
        let count = (self.saying.len() - from).min(to.len());
        to[..count].copy_from_slice(&self.saying[from..from + count]);
        self.said.store(from + count, Ordering::Relaxed);
        count
    }

    fn send(&mut self, _: &[u8]) -> usize {
        0
    }

    fn has_room(&self) -> bool {
        false
    }

    fn has_arrivals(&self) -> bool {
        self.said.load(Ordering::Relaxed) < self.saying.len()
    }

    fn is_closed(&self) -> bool {
        let said = self.said.load(Ordering::Relaxed);
        self.before.swap(said, Ordering::Relaxed) == said
    }
}

/// What a host takes of that.
fn taken(saying: Vec<u8>) -> usize {
    let machine = Machine::new(Config {
        pes: 1,
        dram_bytes: 64 << 20,
        time: Time::Counted { ticks: 100 },
        ..Config::default()
    });
    let said = AtomicUsize::new(0);
    assert!(machine.serve_link(Deaf {
        saying,
        said: &said,
        before: AtomicUsize::new(usize::MAX),
    }));
    said.into_inner()
}

#[test]
fn a_tool_that_fetches_no_answers_gets_no_more_of_them() {
    let request = Request {
        id: 1,
        call: Call::List,
    };
    let mut saying = Vec::new();
    let json = serde_json::to_vec(&request).unwrap();
    frame::write(Kind::Request, 0, 0, &json, &mut saying).unwrap();
    let length = saying.len();
    // Each answer has more bytes than its question.
    let saying = saying.repeat(MOST / length);
    let all = saying.len();
    let taken = taken(saying);
    assert!(
        taken > MOST / 16 && taken < all / 2 + 4096,
        "{taken} of {all}"
    );
}

#[test]
fn what_follows_bytes_that_are_no_frames_is_taken_and_ignored() {
    assert_eq!(taken(vec![0xff; 1 << 20]), 1 << 20);
}
