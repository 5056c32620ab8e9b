//! A PE whose realm does what a script says.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use realm_monitor::attestation::{Signature, Signing};
use realm_monitor::platform::{Exception, ProcessingElement, RecContext, Stage2};

type Step = Box<dyn FnOnce(RecContext<'_>, &mut u64) -> Exception>;

/// Each run of the realm is one step of the script; running past its end is an error.
#[derive(Default)]
pub struct ScriptedPe {
    pub script: VecDeque<Step>,
    pub counter: u64,
    pub runs: usize,
    pub last_stage2: Option<Stage2>,
    /// What the next questions for a pending interrupt are answered; "no" once they are used up.
    pub pending: RefCell<VecDeque<bool>>,
    /// How often an interrupt comes while a signature is made.
    pub interruptions: usize,
    /// What was interrupted, by its place.
    pub suspended: HashMap<usize, Signing>,
    /// How many signatures were begun.
    pub begun: usize,
}

impl ScriptedPe {
    fn sign(&mut self, place: usize, signing: Signing) -> Option<Signature> {
        if self.interruptions == 0 {
            return Some(signing.sign());
        }
        self.interruptions -= 1;
        self.suspended.insert(place, signing);
        None
    }
}

impl ProcessingElement for ScriptedPe {
    fn run(&mut self, rec: RecContext<'_>, stage2: &Stage2) -> Exception {
        self.runs += 1;
        self.last_stage2 = Some(*stage2);
        let step = self
            .script
            .pop_front()
            .expect("the realm runs once more than the script says");
        step(rec, &mut self.counter)
    }

    fn start_signing(&mut self, place: usize, signing: Signing) -> Option<Signature> {
        self.begun += 1;
        self.sign(place, signing)
    }

    fn resume_signing(&mut self, place: usize) -> Option<Signature> {
        let signing = self.suspended.remove(&place);
        self.sign(place, signing.expect("something was suspended there"))
    }

    fn interrupt_pending(&self) -> bool {
        self.pending.borrow_mut().pop_front().unwrap_or(false)
    }

    fn counter(&self) -> u64 {
        self.counter
    }
}
