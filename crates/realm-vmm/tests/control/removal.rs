//! A realm that is taken apart, and another one that runs meanwhile.

use std::sync::Arc;

use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use machine::{Config, Machine, Time};
use realm_guest::demo::GuestPe;
use realm_vmm::control::Link;
use realm_vmm::control::frame::{self, FrameReader, Kind};
use realm_vmm::control::message::{
    Answer, Call, Event, Outcome, Reply, Request, Spec, State, Status,
};

use crate::tool::{RAM, spec};

const SECOND: u64 = RAM + 0x10_0000;
/// The number of the request that takes the first realm apart.
const REMOVE: u64 = 1000;

/// Uses 6M of memory, then ends.
fn large(guest: &GuestCpu) {
    for page in (RAM + 0x20_0000..RAM + 0x80_0000).step_by(0x1000) {
        guest.write(page, 1);
    }
    let mut call = Registers::default();
    call.0[0] = 0x8400_0008;
    guest.call(&mut call);
}

fn spin(guest: &GuestCpu) {
    loop {
        guest.read(SECOND);
    }
}

/// A tool that asks for one thing each time that the host looks at the channel.
struct Script {
    said: FrameReader,
    pending: Vec<u8>,
    /// Whether the host has been given something since it was last given nothing.
    given: bool,
    next: u64,
    stopped: bool,
    over: bool,
    seen: Vec<Vec<Status>>,
    refused: Vec<String>,
}

impl Script {
    fn new() -> Self {
        let mut script = Self {
            said: FrameReader::default(),
            pending: Vec::new(),
            given: false,
            next: 1,
            stopped: false,
            over: false,
            seen: Vec::new(),
            refused: Vec::new(),
        };
        for (realm, entry) in [(1, RAM), (2, SECOND)] {
            let spec = Spec { entry, ..spec(1) };
            let name = format!("realm {realm}");
            script.ask(Call::Create { name, spec });
            let contents = [&entry.to_le_bytes()[..], &[7; 5000]].concat();
            frame::write(Kind::Contents, realm, 0, &contents, &mut script.pending).unwrap();
            script.ask(Call::Activate { realm });
            script.ask(Call::Start { realm });
        }
        script
    }

    fn ask(&mut self, call: Call) {
        let id = match call {
            Call::Remove { realm: 1 } if self.next < REMOVE => REMOVE,
            _ => self.next,
        };
        self.next = self.next.max(id) + 1;
        let request = serde_json::to_vec(&Request { id, call }).unwrap();
        frame::write(Kind::Request, 0, 0, &request, &mut self.pending).unwrap();
    }

    fn hear(&mut self, reply: Reply) {
        match reply.result {
            Outcome::Ok(Answer::Realms { realms, .. }) => self.seen.push(realms),
            Outcome::Ok(Answer::Removed { report }) => {
                assert_eq!(reply.id, REMOVE);
                assert_eq!(report.granules.delegated, report.granules.returned);
                assert!(report.granules.delegated > 1536);
                self.over = true;
            }
            Outcome::Ok(_) => {}
            Outcome::Error(error) => self.refused.push(error),
        }
    }
}

impl Link for &mut Script {
    fn receive(&mut self, to: &mut [u8]) -> usize {
        if self.given && self.pending.is_empty() {
            self.given = false;
            return 0;
        }
        if self.pending.is_empty() {
            match (self.stopped, self.over, self.next) {
                (false, ..) => return 0,
                (true, true, _) => self.ask(Call::Shutdown),
                (true, false, ..REMOVE) => {
                    self.ask(Call::Remove { realm: 1 });
                    // It is on its way out.
                    self.ask(Call::Start { realm: 1 });
                    self.ask(Call::Remove { realm: 1 });
                    self.ask(Call::List);
                }
                (true, false, _) => self.ask(Call::List),
            }
        }
        self.given = true;
        let count = self.pending.len().min(to.len());
        to[..count].copy_from_slice(&self.pending[..count]);
        self.pending.drain(..count);
        count
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        // It takes a little at a time.
        let count = bytes.len().min(100);
        self.said.push(&bytes[..count]);
        while let Some(frame) = self.said.take().unwrap() {
            match frame.kind {
                Kind::Reply => self.hear(serde_json::from_slice(&frame.payload).unwrap()),
                Kind::Event => {
                    let event = serde_json::from_slice(&frame.payload).unwrap();
                    self.stopped |= matches!(event, Event::Stopped { realm: 1, .. });
                }
                _ => {}
            }
        }
        count
    }

    fn has_room(&self) -> bool {
        true
    }

    fn has_arrivals(&self) -> bool {
        // Once the host takes the realm apart, it looks at the channel by itself.
        self.stopped && self.next < REMOVE || self.over
    }
}

#[test]
fn a_realm_is_taken_apart_bit_by_bit_while_another_runs_and_the_host_answers() {
    let machine = Machine::new(Config {
        pes: 1,
        dram_bytes: 256 << 20,
        time: Time::Real,
        ..Config::default()
    });
    machine.install(RAM, Arc::new(large));
    machine.install(SECOND, Arc::new(spin));
    let mut script = Script::new();
    assert!(machine.serve_link(&mut script), "{:?}", machine.failure());
    assert_eq!(machine.failure(), None);
    assert_eq!(machine.supply().in_use(), 0);

    let why = "realm 1 is being taken apart";
    assert_eq!(script.refused, [why, why]);
    let looks: Vec<_> = script
        .seen
        .iter()
        .filter_map(|realms| match realms.as_slice() {
            [first, second] => Some((first, second)),
            _ => None,
        })
        .collect();
    assert!(
        looks
            .iter()
            .all(|(first, _)| first.state == State::Removing)
    );
    let left = |status: &Status| status.granules.values().sum::<u64>();
    let counts: Vec<_> = looks.iter().map(|(first, _)| left(first)).collect();
    assert!(
        counts.is_sorted_by(|more, fewer| more >= fewer),
        "{counts:?}"
    );
    // One look for each bit, of which there are several even if whole blocks go at once.
    let mut different = counts.clone();
    different.dedup();
    assert!(different.len() > 5, "{counts:?}");
    let ran = |look: Option<&(&Status, &Status)>| look.map(|(_, second)| second.run_us);
    assert!(ran(looks.last()) > ran(looks.first()));
    assert!(
        looks
            .iter()
            .all(|(_, second)| second.state == State::Running)
    );
}
