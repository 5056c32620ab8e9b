//! A host that has nothing to do rests, whatever its tool has said.

use std::cell::Cell;

use machine::{Config, Machine, Time};
use realm_host::Host;
use realm_vmm::HostPe;
use realm_vmm::control::frame::{self, Kind};
use realm_vmm::control::kept::KEEP;
use realm_vmm::control::message::{Call, Request};
use realm_vmm::control::outbox::{MOST, Outbox};
use realm_vmm::control::{About, Link, Server};
use realm_vmm::fleet::Fleet;

/// Bytes that are no frames.
const NOISE: [u8; 64] = [0xff; 64];
/// Requests that are taken at once, before the noise.
const AT_ONCE: usize = 50;
/// Their answers have so many bytes at least.
const ANSWERS: usize = 50 * 100;

/// What happens between a PE and the tool.
#[derive(Default)]
struct Course {
    turns: Cell<u32>,
    rests: Cell<u32>,
    noisy: Cell<bool>,
}

/// Fetches nothing until the host rests; makes noise where the host has to stop taking requests, and hangs up at the next rest.
struct Noisy<'a> {
    course: &'a Course,
    outbox: &'a Outbox,
}

impl Link for Noisy<'_> {
    fn receive(&mut self, to: &mut [u8]) -> usize {
        if self.course.noisy.get() {
            return 0;
        }
        let request = Request {
            id: 1,
            call: Call::List,
        };
        let json = serde_json::to_vec(&request).unwrap();
        let mut saying = Vec::new();
        frame::write(Kind::Request, 0, 0, &json, &mut saying).unwrap();
        if self.outbox.waiting() + ANSWERS >= MOST / 2 {
            saying = saying.repeat(AT_ONCE);
            saying.extend(NOISE);
            self.course.noisy.set(true);
        }
        to[..saying.len()].copy_from_slice(&saying);
        saying.len()
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        if self.has_room() { bytes.len() } else { 0 }
    }

    fn has_room(&self) -> bool {
        self.course.rests.get() > 0
    }

    fn has_arrivals(&self) -> bool {
        !self.course.noisy.get()
    }

    fn is_closed(&self) -> bool {
        self.course.rests.get() > 1
    }
}

/// A PE on which nothing runs.
struct Idle<'a>(&'a Course);

impl HostPe for Idle<'_> {
    fn index(&self) -> usize {
        0
    }

    fn counter(&self) -> u64 {
        self.0.turns.get().into()
    }

    fn frequency(&self) -> u64 {
        1
    }

    fn arm_slice(&mut self, _deadline: u64) {}

    fn disarm_slice(&mut self) {}

    fn acknowledge_interrupts(&mut self) {
        self.0.turns.set(self.0.turns.get() + 1);
        assert!(self.0.turns.get() < 100_000, "the host never rests");
    }

    fn wait(&mut self, _deadline: Option<u64>) {
        self.0.rests.set(self.0.rests.get() + 1);
    }

    fn kick(&mut self, _index: usize) {}

    fn kick_others(&mut self) {}
}

#[test]
fn a_host_rests_when_bytes_that_are_no_frames_have_followed_what_it_held_back() {
    let machine = Machine::new(Config {
        pes: 1,
        dram_bytes: 64 << 20,
        time: Time::Counted { ticks: 100 },
        ..Config::default()
    });
    let course = Course::default();
    machine.host_pe(0).run(|| {
        let host = Host::new(machine.transport(), machine.supply()).expect("a monitor");
        let (outbox, fleet) = (Outbox::default(), Fleet::default());
        let link = Noisy {
            course: &course,
            outbox: &outbox,
        };
        let about = About {
            pes: 1,
            free: Box::new(|| 0),
            heap: Box::new(|| None),
            keep: KEEP,
        };
        let mut server = Server::new(&host, &fleet, &outbox, link, about);
        fleet.run_pe(&mut Idle(&course), &mut server);
    });
    assert!(course.noisy.get());
    assert_eq!(course.rests.get(), 2);
}
