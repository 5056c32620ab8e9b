//! A conduit that plays an RMM from a script.

use core::cell::RefCell;
use std::collections::VecDeque;
use std::vec::Vec;

use cca_abi::smccc::Registers;

use crate::Conduit;

/// Answers each call with the next line of a script, and remembers the calls.
pub(crate) struct Script {
    answers: RefCell<VecDeque<Vec<u64>>>,
    calls: RefCell<Vec<[u64; 18]>>,
}

impl Script {
    /// From the registers, X0 first, of each answer. Registers that a line leaves out keep the caller's values.
    pub(crate) fn new(answers: Vec<Vec<u64>>) -> Self {
        Self {
            answers: RefCell::new(answers.into()),
            calls: RefCell::default(),
        }
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<[u64; 18]> {
        self.calls.borrow().clone()
    }
}

impl Conduit for Script {
    fn smc(&self, registers: &mut Registers) {
        self.calls.borrow_mut().push(registers.0);
        let answer = self
            .answers
            .borrow_mut()
            .pop_front()
            .expect("the script has ended");
        registers.0[..answer.len()].copy_from_slice(&answer);
    }
}
