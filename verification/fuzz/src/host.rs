//! A hostile host: commands in any order with any operands over a few granules, and realms that do as they like.

use std::cell::RefCell;

use cca_abi::rmi::Command;
use cca_abi::smccc::Registers;
use machine::{Gpi, HostPe, Snapshot};

use crate::Hand;
use crate::moves::Player;
use crate::stage::{self, Stage, pool};

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// Plays the host that these bytes describe, and takes everything down.
///
/// # Panics
///
/// If a rule of the specification is broken, or something cannot be taken down.
pub fn run(data: &[u8]) {
    // After a panic the next run begins with a machine of its own.
    let stage = STAGE.take().unwrap_or_else(Stage::new);
    let (commands, script) = data.split_at(data.len() - data.len() / 3);
    stage.set_script(script);
    let mut host = Host {
        snapshot: stage.machine.snapshot(),
        stage,
    };
    let mut hand = Hand::new(commands);
    while !hand.is_empty() {
        host.step(&mut hand);
    }
    host.stage.clear();
    STAGE.set(Some(host.stage));
}

struct Host {
    stage: Stage,
    /// The state after the last command.
    snapshot: Snapshot,
}

impl Player for Host {
    fn pe(&mut self) -> &mut HostPe {
        &mut self.stage.pe
    }

    fn write(&mut self, pa: u64, value: u64) {
        let written = self.stage.pe.write(pa, value);
        let gpi = self.stage.machine.gpi(pa);
        assert!(
            written.is_err() || gpi == Gpi::NON_SECURE,
            "{pa:#x}: {gpi:?}"
        );
    }

    /// Makes a call, and looks at the state afterwards.
    fn issue(&mut self, registers: Registers) -> [u64; 5] {
        let command = Command::from_function_id(registers.0[0] as u32);
        if command == Some(Command::RecEnter) {
            stage::arm(&mut self.stage.pe);
        }
        let results = self.stage.smc(registers);
        let snapshot = self.stage.machine.snapshot();
        let failed = results.0[0] != 0;
        if failed && command != Some(Command::RecEnter) {
            let changes = snapshot.differences(&self.snapshot);
            assert!(
                changes.is_empty(),
                "{command:?} {:x?} failed with {:#x}, and yet: {changes:?}",
                &registers.0[1..6],
                results.0[0]
            );
        }
        self.stage.check(&snapshot);
        self.snapshot = snapshot;
        assert!(
            pool().all(|pa| {
                self.stage.machine.gpi(pa) == Gpi::NON_SECURE || self.stage.pe.read(pa).is_err()
            }),
            "the host reads what is not its own"
        );
        std::array::from_fn(|n| results.0[n])
    }
}
