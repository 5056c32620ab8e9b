//! A processing element as the realm monitor drives it.

use std::borrow::Borrow;
use std::sync::Arc;

use realm_monitor::attestation::{Signature, Signing};
use realm_monitor::platform::{Exception, ProcessingElement, RecContext, Stage2};

use crate::board::Board;
use crate::cpu::core::Resume;
use crate::cpu::stage2::Regime;
use crate::cpu::state::State;
use crate::guests::Identity;
use crate::monitor_platform::RealmPlatform;

/// One processing element while the realm monitor has it.
///
/// It keeps as much of a realm's context to itself as it may, until it is told to save it: a monitor that looks at
/// a register before that sees an old value, as it would on hardware.
pub(crate) struct Element<B> {
    board: B,
    index: usize,
    // Most calls are not about a realm's context, and do not carry room for one around.
    kept: Option<Box<(Identity, State)>>,
}

impl<B: Borrow<Arc<Board>>> Element<B> {
    /// Processing element `index` of the board.
    pub(crate) fn new(board: B, index: usize) -> Self {
        Self {
            board,
            index,
            kept: None,
        }
    }
}

impl<B: Borrow<Arc<Board>>> ProcessingElement for Element<B> {
    fn run(&mut self, rec: RecContext<'_>, stage2: &Stage2) -> Exception {
        let board: &Arc<Board> = self.board.borrow();
        // Entering takes time, too: a realm that cannot fetch its first instruction is not there for ever.
        board.clock.tick();
        let identity = Identity::of(rec.0);
        let state = match self.kept.take().map(|kept| *kept) {
            Some((kept, mut state)) if kept == identity => {
                state.reload(rec);
                state
            }
            Some(_) => {
                panic!("the realm monitor runs another REC before it has saved the last one")
            }
            None => State::load(rec),
        };
        let regime = Regime {
            vttbr: stage2.vttbr,
            vtcr: stage2.vtcr,
        };
        let stop = board.guests.run(
            board,
            identity,
            Resume {
                state,
                regime,
                pe: self.index,
            },
        );
        stop.state.store_first(rec, board.clock.now());
        self.kept = Some(Box::new((identity, stop.state)));
        stop.exception
    }

    fn save(&mut self, rec: RecContext<'_>) {
        if let Some((identity, state)) = self.kept.take().map(|kept| *kept) {
            assert_eq!(
                identity,
                Identity::of(rec.0),
                "the realm monitor saves one REC's registers in another"
            );
            state.store_rest(rec);
        }
    }

    fn start_signing(&mut self, place: usize, signing: Signing) -> Option<Signature> {
        let board: &Arc<Board> = self.board.borrow();
        *board.suspended[place].lock().expect("no panic") = Some(signing);
        self.resume_signing(place)
    }

    fn resume_signing(&mut self, place: usize) -> Option<Signature> {
        // All or nothing: an interrupt that is pending first is all that interrupts.
        if self.interrupt_pending() {
            return None;
        }
        let board: &Arc<Board> = self.board.borrow();
        let signing = board.suspended[place].lock().expect("no panic").take();
        Some(signing.expect("nothing was suspended there").sign())
    }

    fn interrupt_pending(&self) -> bool {
        let board = self.board.borrow();
        board.pes[self.index].lines.pending(&board.clock)
    }

    fn counter(&self) -> u64 {
        self.board.borrow().clock.now()
    }
}

impl<B> Drop for Element<B> {
    fn drop(&mut self) {
        // A panic on the way is a failure that is told already.
        assert!(
            self.kept.is_none() || std::thread::panicking(),
            "the realm monitor goes back to the host with a realm's registers loaded"
        );
    }
}

/// An element of which the machine's eyes are told when a realm runs.
pub(crate) struct Watched<'m, B> {
    pub(crate) element: Element<B>,
    pub(crate) platform: &'m RealmPlatform,
}

impl<B: Borrow<Arc<Board>>> ProcessingElement for Watched<'_, B> {
    fn run(&mut self, rec: RecContext<'_>, stage2: &Stage2) -> Exception {
        self.platform.eyes.leave(self.platform, rec.0);
        let exception = self.element.run(rec, stage2);
        self.platform.eyes.come_back();
        exception
    }

    fn save(&mut self, rec: RecContext<'_>) {
        self.element.save(rec);
    }

    fn start_signing(&mut self, place: usize, signing: Signing) -> Option<Signature> {
        self.element.start_signing(place, signing)
    }

    fn resume_signing(&mut self, place: usize) -> Option<Signature> {
        self.element.resume_signing(place)
    }

    fn interrupt_pending(&self) -> bool {
        self.element.interrupt_pending()
    }

    fn counter(&self) -> u64 {
        self.element.counter()
    }
}
