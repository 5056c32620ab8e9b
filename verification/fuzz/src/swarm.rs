//! Hostile hosts on several PEs at once, over the same granules, with realms that do as they like.

use std::sync::{Mutex, MutexGuard};

use cca_abi::rmi::{Command, ReturnCode};
use cca_abi::smccc::Registers;
use machine::HostPe;
use realm_host::SmcTransport;

use crate::Hand;
use crate::moves::Player;
use crate::stage::{self, Stage};
use crate::stress::{Until, Work, together};

/// Bytes that make the moves of a round.
const ROUND: usize = 400;

/// Lets `hosts` threads make random moves at once, each on a PE of its own. After every round, when all have come to
/// the end of their moves, it looks at what they have left and takes it down.
///
/// # Panics
///
/// If anything does, or if a rule is broken.
#[must_use]
pub fn run(hosts: usize, until: Until, seed: u64) -> Work {
    let stage = Stage::with_pes(hosts + 1);
    let pes: Vec<_> = (1..=hosts)
        .map(|n| Mutex::new(stage.machine.host_pe(n)))
        .collect();
    let work = Mutex::new(Work::default());
    let over = until.begin();
    let mut rounds = 0;
    while !over(rounds) {
        let round = seed.wrapping_add(rounds);
        stage.set_script(&bytes(round, 0));
        together(&stage.machine, hosts, |n| {
            let mut host = Host {
                pe: &mut lock(&pes[n]),
                work: Work::default(),
            };
            let moves = bytes(round, n + 1);
            let mut hand = Hand::new(&moves);
            while !hand.is_empty() {
                host.step(&mut hand);
            }
            lock(&work).add(host.work);
        });
        stage.check(&stage.machine.snapshot());
        stage.clear();
        rounds += 1;
    }
    *lock(&work)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody has panicked")
}

/// What somebody does in a round.
fn bytes(round: u64, who: usize) -> Vec<u8> {
    let seed = round << 8 | who as u64;
    let mut all = crate::inputs(seed, 8, ROUND);
    all.find(|bytes| bytes.len() > ROUND / 2)
        .unwrap_or_default()
}

struct Host<'p> {
    pe: &'p mut HostPe,
    work: Work,
}

impl Player for Host<'_> {
    fn pe(&mut self) -> &mut HostPe {
        self.pe
    }

    fn write(&mut self, pa: u64, value: u64) {
        // Somebody else may have delegated it.
        let _ = self.pe.write(pa, value);
    }

    fn issue(&mut self, mut registers: Registers) -> [u64; 5] {
        let command = Command::from_function_id(registers.0[0] as u32);
        if command == Some(Command::RecEnter) {
            stage::arm(self.pe);
        }
        self.pe.smc(&mut registers);
        self.work.calls += 1;
        let status = registers.0[0];
        if let Some(command) = command {
            assert!(
                ReturnCode::decode(status).is_some(),
                "{command:?} returns {status:#x}"
            );
            let done = u64::from(status == 0);
            match command {
                Command::RealmCreate => self.work.realms += done,
                Command::RecEnter => self.work.exits += done,
                _ => {}
            }
        }
        std::array::from_fn(|n| registers.0[n])
    }
}
