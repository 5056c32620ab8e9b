//! The run loop of a REC.

use cca_abi::rmi::run::EXIT_WORDS;

use super::enter::Enter;
use super::exit::Exit;
use super::running::{Next, RunningRec};
use super::{layout, timers, trap};
use crate::platform::{Platform, ProcessingElement};
use crate::rsi;

impl<P: Platform> RunningRec<'_, P> {
    /// Completes the last exit, runs the realm until the host is needed, and says why in an exit record (which is
    /// all zero before). No lock is held while the realm runs.
    pub(crate) fn run(
        &self,
        pe: &mut impl ProcessingElement,
        enter: &Enter,
        record: &mut [u64; EXIT_WORDS],
    ) {
        let exit = enter
            .complete(self)
            .unwrap_or_else(|| self.run_until_exit(pe));
        let context = self.context;
        context.set(layout::TIMERS_REPORTED, timers::outputs(context, pe));
        exit.record(context, record);
    }

    fn run_until_exit(&self, pe: &mut impl ProcessingElement) -> Exit {
        let context = self.context;
        let stage2 = self.stage2();
        let exit = loop {
            let outputs = timers::outputs(context, pe);
            if outputs != context.get(layout::TIMERS_REPORTED) {
                break Exit::Irq;
            }
            context.set(layout::CNTHCTL_EL2, timers::control(outputs));
            let exception = pe.run(context, &stage2);
            match trap::handle(self, pe, exception) {
                Next::Resume => {}
                Next::Exit(exit) => break exit,
                Next::Sign => {
                    if let Some(exit) = rsi::sign_token(self, pe) {
                        break exit;
                    }
                }
            }
        };
        pe.save(context);
        exit
    }
}
