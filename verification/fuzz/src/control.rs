//! A hostile tool: requests in any order, frames that are damaged, and ends of the channel that are never read, against the control
//! server of a hypervisor.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use cca_abi::psci::Function;
use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use machine::{Config, HostPe, Machine, Supply, Time, Transport};
use realm_guest::demo::GuestPe;
use realm_host::Host;
use realm_vmm::HostPe as AnyPe;
use realm_vmm::board;
use realm_vmm::control::block::Answer as BlockAnswer;
use realm_vmm::control::frame::{self, HEADER, MAX_PAYLOAD};
use realm_vmm::control::message::{Answer, Call, Device, Event, Outcome, Reply, Request, Spec};
use realm_vmm::control::outbox::MOST;
use realm_vmm::control::{About, FrameReader, Kind, Link, Outbox, Server, bounds};
use realm_vmm::fleet::{Fleet, Service};

use crate::Hand;

const RAM: u64 = 0x4000_0000;
const ALIAS: u64 = 1 << 39;
/// Where programs are.
const ENTRIES: [u64; 3] = [RAM, RAM + 0x1000, RAM + 0x2000];
/// Messages come through although consoles fill the outbox: the reply to one request, a report, and the ends of all realms.
const BESIDES: usize = 2 * (HEADER + MAX_PAYLOAD) + bounds::REALMS * (16 << 10);

/// The channel, as the hypervisor sees it.
#[derive(Default)]
struct Wire {
    arriving: Vec<u8>,
    taken: usize,
    /// The tool takes so many bytes before it has to be asked again.
    room: usize,
    sent: Vec<u8>,
    closed: bool,
}

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Wire>>);

impl Link for Shared {
    fn receive(&mut self, to: &mut [u8]) -> usize {
        let wire = &mut *self.0.borrow_mut();
        let waiting = &wire.arriving[wire.taken..];
        let count = waiting.len().min(to.len());
        to[..count].copy_from_slice(&waiting[..count]);
        wire.taken += count;
        count
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        let wire = &mut *self.0.borrow_mut();
        let count = wire.room.min(bytes.len());
        wire.room -= count;
        wire.sent.extend_from_slice(&bytes[..count]);
        count
    }

    fn has_room(&self) -> bool {
        self.0.borrow().room > 0
    }

    fn has_arrivals(&self) -> bool {
        let wire = self.0.borrow();
        wire.taken < wire.arriving.len()
    }

    fn is_closed(&self) -> bool {
        self.0.borrow().closed && !self.has_arrivals()
    }
}

thread_local! {
    static MACHINE: RefCell<Option<(Machine, HostPe)>> = const { RefCell::new(None) };
}

/// Has a tool say what these bytes make of it, and hang up.
///
/// # Panics
///
/// If the host says something that is no frame, answers what nobody has asked, keeps more than it may, promises memory that it has not
/// got, or leaves something behind.
pub fn run(data: &[u8]) {
    // After a panic the next run begins with a machine of its own.
    let (machine, mut pe) = MACHINE.take().unwrap_or_else(start);
    pe.run_with(|pe| serve(&machine, pe, data));
    assert_eq!(machine.failure(), None);
    assert_eq!(machine.guest_failures(), Vec::<String>::new());
    assert_eq!(machine.supply().in_use(), 0, "memory is left behind");
    MACHINE.set(Some((machine, pe)));
}

fn start() -> (Machine, HostPe) {
    let machine = Machine::new(Config {
        pes: 1,
        dram_bytes: 64 << 20,
        time: Time::Counted { ticks: 100 },
        ..Config::default()
    });
    let off = |guest: &GuestCpu| {
        let mut call = Registers::call(Function::SystemOff.function_id(), &[]);
        guest.call(&mut call);
    };
    machine.install(ENTRIES[0], Arc::new(off));
    let talk = |guest: &GuestCpu| {
        for byte in b"\x1b[2Jhello\n$ " {
            guest.store_device(ALIAS | board::UART, (*byte).into());
        }
        loop {
            guest.wait_for_interrupt();
        }
    };
    machine.install(ENTRIES[1], Arc::new(talk));
    let flood = |guest: &GuestCpu| {
        for page in 0_u64.. {
            guest.write(RAM + 0x10_0000 + (page % 1024) * 4096, page);
            for _ in 0..100 {
                guest.store_device(ALIAS | board::UART, 1);
            }
        }
    };
    machine.install(ENTRIES[2], Arc::new(flood));
    let pe = machine.host_pe(0);
    (machine, pe)
}

fn serve(machine: &Machine, pe: &mut HostPe, data: &[u8]) {
    let host = Host::new(machine.transport(), machine.supply()).expect("a monitor");
    let outbox = Outbox::default();
    let fleet = Fleet::default();
    let wire = Shared::default();
    let about = About {
        pes: 1,
        free: Box::new(|| machine.supply().free_bytes()),
        heap: Box::new(|| None),
        keep: realm_vmm::control::kept::KEEP,
    };
    let server = Server::new(&host, &fleet, &outbox, wire.clone(), about);
    let mut tool = Tool {
        server,
        host: &host,
        outbox: &outbox,
        wire,
        hand: Hand::new(data),
        reader: FrameReader::default(),
        asked: BTreeMap::new(),
        may_be_wrong: false,
    };
    fleet.run_pe(pe, &mut tool);
    drop(tool);
    let account = host.account();
    assert_eq!(account.delegated, account.returned, "{account:?}");
}

type Realms<'a> = Host<Transport, &'a Supply>;

/// The tool, which acts before each turn of the server and looks after it.
struct Tool<'f, 'a, 'd> {
    server: Server<'f, 'a, Transport, &'a Supply, Shared>,
    host: &'a Realms<'a>,
    outbox: &'a Outbox,
    wire: Shared,
    hand: Hand<'d>,
    reader: FrameReader,
    /// How often each number was asked.
    asked: BTreeMap<u64, u64>,
    /// Bytes were sent that are no frames: anything may be in them.
    may_be_wrong: bool,
}

impl Service for Tool<'_, '_, '_> {
    fn serve(&mut self, pe: &mut impl AnyPe) -> bool {
        if self.hand.is_empty() {
            let mut wire = self.wire.0.borrow_mut();
            wire.closed = true;
            wire.room = usize::MAX;
        } else {
            self.act();
        }
        self.server.serve(pe);
        self.look();
        true
    }

    fn is_wanted(&self) -> bool {
        // Asked all the same: it must not panic.
        self.server.is_wanted();
        true
    }
}

impl Tool<'_, '_, '_> {
    fn act(&mut self) {
        let hand = &mut self.hand;
        let realm = u32::from(hand.byte() % 6);
        match hand.below(16) {
            0..=5 => {
                let call = call(hand, realm);
                self.ask(&call);
            }
            6 => {
                // The same, many times.
                let call = if hand.seldom(2) {
                    Call::List
                } else {
                    call(hand, realm)
                };
                for _ in 0..16 * hand.below(64) {
                    self.ask(&call);
                }
            }
            7 => {
                let ipa = hand.pick(&[RAM, RAM + 0x1000, 0, u64::MAX - 0xFFF, RAM + (8 << 20)]);
                let mut payload = ipa.to_le_bytes().to_vec();
                payload.resize(hand.pick(&[0, 7, 8, 9, 5000, 70_000]), hand.byte());
                self.say(Kind::Contents, realm, &payload);
            }
            8 => {
                // A whole realm that runs, most likely.
                let spec = spec(hand);
                self.ask(&Call::Create {
                    name: "whole".to_owned(),
                    spec,
                });
                for realm in 1..6 {
                    let payload = [&RAM.to_le_bytes()[..], &[7; 100]].concat();
                    self.say(Kind::Contents, realm, &payload);
                    self.ask(&Call::Activate { realm });
                    self.ask(&Call::Start { realm });
                }
            }
            9 => {
                let kind = hand.pick(&[Kind::Console, Kind::Network, Kind::Block, Kind::Reply]);
                let payload = vec![hand.byte(); hand.pick(&[0, 1, 14, 60, 1518, 4096, 200_000])];
                self.say(kind, realm, &payload);
            }
            10 => {
                let answer = BlockAnswer {
                    tag: hand.below(40) as u64,
                    done: hand.seldom(2),
                    data: vec![1; hand.pick(&[0, 512, 65536, 100_000])],
                };
                self.say(Kind::Block, realm, &answer.encode());
            }
            11 => {
                let mut json = serde_json::to_vec(&Request {
                    id: 1,
                    call: call(hand, realm),
                })
                .expect("a request");
                let at = hand.below(256) % json.len();
                json[at] = hand.byte();
                self.may_be_wrong = true;
                self.say(Kind::Request, realm, &json);
            }
            12 => {
                let text = ["[", "{\"id\":", "\"", "\\u0000", "9"][hand.below(5)];
                let json = text.repeat(usize::from(hand.byte()) * 100);
                self.may_be_wrong = true;
                self.say(Kind::Request, 0, json.as_bytes());
            }
            13 if hand.seldom(8) => {
                let noise: Vec<_> = (0..hand.below(30)).map(|_| hand.byte()).collect();
                self.may_be_wrong = true;
                self.wire.0.borrow_mut().arriving.extend(noise);
            }
            _ => {
                let room = hand.pick(&[0, 1, 100, 5000, 1 << 20]);
                self.wire.0.borrow_mut().room = room;
            }
        }
    }

    fn ask(&mut self, call: &Call) {
        let id = u64::from(self.hand.byte());
        *self.asked.entry(id).or_default() += 1;
        let request = serde_json::to_vec(&Request {
            id,
            call: call.clone(),
        });
        self.say(Kind::Request, 0, &request.expect("a request"));
    }

    fn say(&mut self, kind: Kind, realm: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::write(kind, realm, self.hand.byte() % 4, payload, &mut bytes).expect("it fits");
        let cut = if self.hand.seldom(32) {
            self.may_be_wrong = true;
            bytes.len() / 2
        } else {
            bytes.len()
        };
        let mut wire = self.wire.0.borrow_mut();
        if wire.taken == wire.arriving.len() {
            wire.arriving.clear();
            wire.taken = 0;
        }
        // What a ring has no room for waits with the tool.
        if wire.arriving.len() < 1 << 20 {
            wire.arriving.extend(&bytes[..cut]);
        } else {
            self.may_be_wrong = true;
        }
    }

    /// What has to hold between two turns of the server.
    fn look(&mut self) {
        let waiting = self.outbox.waiting();
        assert!(
            waiting <= MOST + BESIDES,
            "{waiting} bytes wait for the tool"
        );
        let (owed, supply) = (self.host.pages_owed(), self.host.supply());
        let free = supply.free_bytes() / 4096;
        assert!(
            owed.get() <= free,
            "{owed:?} of {free} free pages are promised"
        );
        self.reader
            .push(&mem::take(&mut self.wire.0.borrow_mut().sent));
        while let Some(frame) = self.reader.take().expect("a frame") {
            match frame.kind {
                Kind::Reply => {
                    let reply: Reply = serde_json::from_slice(&frame.payload).expect("a reply");
                    self.hear(&reply);
                }
                Kind::Event => {
                    let event: Event = serde_json::from_slice(&frame.payload).expect("an event");
                    let is_failure = matches!(event, Event::Failed { .. });
                    assert!(!is_failure || self.may_be_wrong, "{event:?}");
                }
                Kind::Console | Kind::Block | Kind::Network => {}
                kind => panic!("a host sends {kind:?}"),
            }
        }
    }

    fn hear(&mut self, reply: &Reply) {
        let asked = self.asked.get_mut(&reply.id).filter(|asked| **asked > 0);
        match asked {
            Some(asked) => *asked -= 1,
            None => assert!(self.may_be_wrong, "nobody has asked: {reply:?}"),
        }
        if let Outcome::Ok(Answer::Realms { realms, .. }) = &reply.result {
            assert!(realms.len() <= bounds::REALMS);
        }
    }
}

fn call(hand: &mut Hand<'_>, realm: u32) -> Call {
    match hand.below(12) {
        0 | 1 => Call::Create {
            name: hand
                .pick(&["", "a", "\u{1}"])
                .repeat(hand.pick(&[1, 21, 22, 2000])),
            spec: spec(hand),
        },
        2 => Call::Activate { realm },
        3 => Call::Start { realm },
        4 => Call::Pause { realm },
        5 => Call::Resume { realm },
        6 => Call::Stop { realm },
        7 => Call::Remove { realm },
        8 => Call::List,
        9 | 10 => Call::Inspect {
            realm,
            from: hand.pick(&[0, RAM, RAM + 0x1001, RAM + (8 << 20), u64::MAX]),
        },
        _ if hand.seldom(8) => Call::Shutdown,
        _ => Call::List,
    }
}

fn spec(hand: &mut Hand<'_>) -> Spec {
    let odd = hand.seldom(4);
    let memory = match odd {
        true => hand.value(),
        false => hand.pick(&[2 << 20, 8 << 20, 40 << 20]),
    };
    let device = |hand: &mut Hand<'_>| match hand.below(4) {
        0 => Device::Console,
        1 => Device::Disk {
            sectors: hand.value(),
            read_only: hand.seldom(2),
        },
        2 => Device::Network {
            mac: [hand.byte(); 6],
        },
        _ => Device::Entropy { seed: [1; 4] },
    };
    Spec {
        vcpus: match odd {
            true => hand.value() as u32,
            false => 1 + hand.below(3) as u32,
        },
        memory,
        sve_bits: match hand.seldom(8) {
            true => hand.value() as u32,
            false => hand.pick(&[0, 128]),
        },
        entry: match hand.seldom(8) {
            true => hand.value(),
            false => hand.pick(&ENTRIES),
        },
        arguments: [hand.value(); 8],
        lines: hand.seldom(2),
        time_limit_ms: hand.pick(&[0, 1, 1000, u64::MAX]),
        challenge: [0; 8],
        overcommit: hand.seldom(3),
        devices: (0..hand.pick(&[0, 1, 4, 8, 9, 200]))
            .map(|_| device(hand))
            .collect(),
    }
}
