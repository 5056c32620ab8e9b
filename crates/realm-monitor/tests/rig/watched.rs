//! Calls of the host with the eyes of the machine open.

use cca_abi::rmi;
use cca_abi::smccc::Registers;
use realm_monitor::Monitor;
use realm_monitor::attestation::{Signature, Signing};
use realm_monitor::platform::{Exception, ProcessingElement, RecContext, Stage2};

use super::Machine;

/// A PE of which the eyes of its machine are told when a realm runs.
struct Watched<'m, E> {
    pe: &'m mut E,
    machine: &'m Machine,
}

impl<E: ProcessingElement> ProcessingElement for Watched<'_, E> {
    fn run(&mut self, rec: RecContext<'_>, stage2: &Stage2) -> Exception {
        self.machine.eyes.leave(self.machine, rec.0);
        let exception = self.pe.run(rec, stage2);
        self.machine.eyes.come_back();
        exception
    }

    fn start_signing(&mut self, place: usize, signing: Signing) -> Option<Signature> {
        self.pe.start_signing(place, signing)
    }

    fn resume_signing(&mut self, place: usize) -> Option<Signature> {
        self.pe.resume_signing(place)
    }

    fn interrupt_pending(&self) -> bool {
        self.pe.interrupt_pending()
    }

    fn counter(&self) -> u64 {
        self.pe.counter()
    }
}

/// A call of the host, which the eyes of the machine look at.
pub fn handle_rmi(
    monitor: &Monitor<Machine>,
    pe: &mut impl ProcessingElement,
    registers: &mut Registers,
) -> rmi::Dispatched {
    let machine = monitor.platform();
    machine.eyes.begin();
    let done = monitor.handle_rmi(&mut Watched { pe, machine }, registers);
    machine.eyes.end(machine);
    done
}
