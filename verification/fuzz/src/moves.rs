//! What a hostile host does: commands in any order with any operands, over a few granules that it shares with others.

use cca_abi::mpidr::rec_mpidr_from_index;
use cca_abi::rmi::params::{REC_FLAG_RUNNABLE, RealmParams, RecParams};
use cca_abi::rmi::run::{ENTER, EXIT, EXIT_WORDS, RecEnter};
use cca_abi::rmi::{Command, DATA_FLAG_MEASURE};
use cca_abi::smccc::Registers;
use machine::HostPe;

use crate::Hand;
use crate::script::{self, CODE, SECRET, UNPROTECTED};
use crate::stage::{self, POOL, POOL_GRANULES};

/// Two realms fit into the pool: the granules of the second begin here.
const REALM_GRANULES: u64 = 24;
/// Pages of the host's, for parameters and for runs.
const PAGES: u64 = 56;

fn granule(n: u64) -> u64 {
    POOL + ((n % POOL_GRANULES) << 12)
}

/// A granule, or something that is none.
fn physical(hand: &mut Hand<'_>) -> u64 {
    match hand.below(32) {
        0 => 0x0900_0000,
        1 => 0x40_0000_0000,
        2 => 0x4010_0000,
        3 => granule(hand.byte().into()) | 1 << hand.below(12),
        4 => hand.value(),
        _ => granule(hand.byte().into()),
    }
}

/// The descriptor of one of the two realms, usually.
fn descriptor(hand: &mut Hand<'_>) -> u64 {
    match hand.below(16) {
        0 => physical(hand),
        n => granule(n as u64 % 2 * REALM_GRANULES),
    }
}

fn ipa(hand: &mut Hand<'_>) -> u64 {
    match hand.below(12) {
        0..5 => CODE + (u64::from(hand.byte() % 16) << 12),
        5 => CODE + (u64::from(hand.byte() % 4) << 21),
        6 | 7 => UNPROTECTED | CODE | u64::from(hand.byte() % 4) << 12,
        8 => UNPROTECTED | u64::from(hand.byte() % 4) << 21,
        9 => 0,
        10 => u64::from(hand.byte() % 8) << 30,
        _ => hand.value(),
    }
}

fn level(hand: &mut Hand<'_>) -> u64 {
    match hand.below(8) {
        0..4 => 3,
        4 => 2,
        5 => 1,
        6 => 0,
        _ => hand.value(),
    }
}

fn end(base: u64, hand: &mut Hand<'_>) -> u64 {
    if hand.seldom(4) {
        ipa(hand)
    } else {
        base.wrapping_add(0x1000 << hand.below(12))
    }
}

/// A host with a PE, whose calls go through [`Player::issue`]. The rest is what it does.
pub(crate) trait Player {
    /// Its PE.
    fn pe(&mut self) -> &mut HostPe;

    /// Makes a call; X0 to X4.
    fn issue(&mut self, registers: Registers) -> [u64; 5];

    /// Stores a word, where it may.
    fn write(&mut self, pa: u64, value: u64);

    fn step(&mut self, hand: &mut Hand<'_>) {
        match hand.below(16) {
            0 => {
                let from = u64::from(hand.byte());
                for n in 0..u64::from(hand.byte() % 16) {
                    self.call(Command::GranuleDelegate, &[granule(from + n)]);
                }
            }
            1 => self.build(hand),
            2 => {
                // Memory of the host's, at any time.
                let pa = physical(hand) & !7;
                self.write(pa, hand.value());
            }
            3 => {
                let mut registers = Registers([0; 18]);
                registers.0[0] = 0xC400_0150 + u64::from(hand.byte() % 64);
                let count = hand.below(18);
                registers.0[1..=count].fill_with(|| {
                    if hand.seldom(4) {
                        hand.value()
                    } else {
                        physical(hand)
                    }
                });
                self.issue(registers);
            }
            4..6 => self.enter(hand),
            _ => {
                let command = Command::ALL[hand.below(Command::ALL.len())];
                let arguments = self.arguments(command, hand);
                self.call(command, &arguments);
            }
        }
    }

    fn arguments(&mut self, command: Command, hand: &mut Hand<'_>) -> Vec<u64> {
        let rd = descriptor(hand);
        match command {
            Command::Version | Command::Features => vec![hand.value()],
            Command::GranuleDelegate | Command::GranuleUndelegate | Command::RecDestroy => {
                vec![physical(hand)]
            }
            Command::DataCreate => vec![
                rd,
                physical(hand),
                ipa(hand),
                physical(hand),
                if hand.seldom(8) {
                    hand.value()
                } else {
                    DATA_FLAG_MEASURE
                },
            ],
            Command::DataCreateUnknown => vec![rd, physical(hand), ipa(hand)],
            Command::DataDestroy => vec![rd, ipa(hand)],
            Command::RealmActivate | Command::RealmDestroy | Command::RecAuxCount => vec![rd],
            Command::RealmCreate => {
                let page = self.realm_params(rd, hand);
                vec![rd, page]
            }
            Command::RecCreate => {
                let rec = physical(hand);
                let page = self.rec_params(hand);
                vec![rd, rec, page]
            }
            Command::RecEnter => vec![physical(hand), physical(hand)],
            Command::RttCreate => vec![rd, physical(hand), ipa(hand), level(hand)],
            Command::RttDestroy
            | Command::RttFold
            | Command::RttReadEntry
            | Command::RttUnmapUnprotected => vec![rd, ipa(hand), level(hand)],
            Command::RttMapUnprotected => {
                let attributes = if hand.seldom(4) { hand.value() } else { 0x3D8 };
                vec![rd, ipa(hand), level(hand), physical(hand) | attributes]
            }
            Command::PsciComplete => vec![
                physical(hand),
                physical(hand),
                if hand.seldom(2) { hand.value() } else { 0 },
            ],
            Command::RttInitRipas => {
                let base = ipa(hand);
                vec![rd, base, end(base, hand)]
            }
            Command::RttSetRipas => {
                let base = ipa(hand);
                vec![rd, physical(hand), base, end(base, hand)]
            }
        }
    }

    /// A page of the host's with these words, if it still is the host's.
    fn page(&mut self, n: u64, words: &[u64; 512]) -> u64 {
        let pa = granule(PAGES + n);
        let _ = self.pe().write_granule(pa, words);
        pa
    }

    fn realm_params(&mut self, rd: u64, hand: &mut Hand<'_>) -> u64 {
        let mut params = RealmParams {
            flags: 0,
            s2sz: 40,
            sve_vl: 0,
            num_bps: 1,
            num_wps: 1,
            pmu_num_ctrs: 0,
            hash_algo: hand.byte() & 1,
            rpv: [7; 8],
            vmid: (rd >> 12) as u16,
            rtt_base: rd.wrapping_add(0x2000) & !0x1FFF,
            rtt_level_start: 1,
            rtt_num_start: 2,
        };
        match hand.below(12) {
            0 => params.flags = hand.value(),
            1 => params.s2sz = hand.byte(),
            2 => params.sve_vl = hand.byte(),
            3 => params.num_bps = hand.byte(),
            4 => params.vmid = hand.value() as u16,
            5 => params.rtt_base = physical(hand),
            6 => params.rtt_level_start = hand.value().cast_signed(),
            7 => params.rtt_num_start = hand.value() as u32,
            8 => (params.s2sz, params.rtt_level_start, params.rtt_num_start) = (48, 0, 1),
            _ => {}
        }
        let mut words = [0; 512];
        params.write(&mut words);
        if hand.seldom(16) {
            words[hand.below(256) * 2] = hand.value();
        }
        self.page(0, &words)
    }

    fn rec_params(&mut self, hand: &mut Hand<'_>) -> u64 {
        let mut params = RecParams {
            flags: REC_FLAG_RUNNABLE,
            mpidr: rec_mpidr_from_index(u64::from(hand.byte() % 4)).unwrap_or(0),
            pc: CODE,
            num_aux: u64::from(hand.byte() % 3),
            ..RecParams::default()
        };
        params.aux.fill_with(|| physical(hand));
        match hand.below(8) {
            0 => params.flags = hand.value(),
            1 => params.mpidr = hand.value(),
            2 => params.pc = ipa(hand),
            3 => params.num_aux = hand.value(),
            _ => {}
        }
        let mut words = [0; 512];
        params.write(&mut words);
        self.page(1, &words)
    }

    /// A realm as a host that means well would build it, up to some point.
    fn build(&mut self, hand: &mut Hand<'_>) {
        let first = hand.byte() as u64 % 2 * REALM_GRANULES;
        let rd = granule(first);
        let until = hand.below(8);
        for n in 0..REALM_GRANULES {
            self.call(Command::GranuleDelegate, &[granule(first + n)]);
        }
        let params = self.realm_params(rd, hand);
        self.call(Command::RealmCreate, &[rd, params]);
        let at = |n| granule(first + n);
        for (n, (ipa, level)) in [
            (CODE, 2),
            (CODE, 3),
            (UNPROTECTED | CODE, 2),
            (UNPROTECTED | CODE, 3),
        ]
        .into_iter()
        .enumerate()
        {
            let arguments = [rd, at(4 + n as u64), ipa & !0x3FFF_FFFF, level];
            self.call(Command::RttCreate, &arguments);
        }
        if until == 0 {
            return;
        }
        self.call(
            Command::RttInitRipas,
            &[rd, CODE, CODE + script::MEMORY / 2],
        );
        for n in 0..until.min(3) as u64 {
            let source = granule(PAGES + 3);
            let arguments = [rd, at(8 + n), CODE + (n << 12), source, DATA_FLAG_MEASURE];
            self.call(Command::DataCreate, &arguments);
        }
        for index in 0..until as u64 / 3 {
            let count = self.call(Command::RecAuxCount, &[rd])[1].min(4);
            let mut params = RecParams {
                flags: REC_FLAG_RUNNABLE,
                mpidr: rec_mpidr_from_index(index).unwrap_or(0),
                pc: CODE,
                num_aux: count,
                ..RecParams::default()
            };
            for (n, aux) in params.aux.iter_mut().take(count as usize).enumerate() {
                *aux = at(14 + 4 * index + n as u64);
            }
            let mut words = [0; 512];
            params.write(&mut words);
            let page = self.page(1, &words);
            self.call(Command::RecCreate, &[rd, at(12 + index), page]);
        }
        if until > 3 {
            self.call(Command::RealmActivate, &[rd]);
            for _ in 0..hand.below(8) {
                self.enter_rec(at(12), hand);
            }
        }
    }

    fn enter(&mut self, hand: &mut Hand<'_>) {
        let first = hand.byte() as u64 % 2 * REALM_GRANULES;
        let rec = granule(first + 12 + u64::from(hand.byte() % 2));
        for _ in 0..hand.below(8) {
            self.enter_rec(rec, hand);
        }
    }

    fn enter_rec(&mut self, rec: u64, hand: &mut Hand<'_>) {
        let run = granule(PAGES + 2);
        let mut enter = RecEnter::default();
        if hand.seldom(2) {
            enter.flags = u64::from(hand.byte() % 32);
            enter.gprs.fill_with(|| hand.value());
            enter.gicv3_hcr = hand.value() & 0x40FE;
            if hand.seldom(4) {
                enter.gicv3_hcr = hand.value();
                enter.flags = hand.value();
                enter.gicv3_lrs.fill_with(|| hand.value());
            }
        }
        let mut words = [0; 256];
        enter.write(&mut words);
        let mut page = [0; 512];
        page[ENTER / 8..][..256].copy_from_slice(&words);
        let given = self.pe().write_granule(run, &page).is_ok();
        stage::arm(self.pe());
        let results = self.call(Command::RecEnter, &[rec, run]);
        stage::disarm(self.pe());
        if given && results[0] == 0 {
            let page = self.pe().read_granule(run).expect("the host's page");
            let exit = &page[EXIT / 8..][..EXIT_WORDS];
            assert!(
                !exit.contains(&SECRET),
                "a secret of the realm's: {exit:x?}"
            );
        }
        // What a realm asks for with PSCI, and what it says of its memory, is answered now and then.
        if hand.seldom(4) {
            let target = rec ^ 0x1000;
            self.call(Command::PsciComplete, &[rec, target, 0]);
        } else if hand.seldom(4)
            && let Ok(page) = self.pe().read_granule(run)
        {
            let [base, top] = [0x500, 0x508].map(|at| page[(EXIT + at) / 8]);
            let rd = granule((rec - POOL) / 0x1000 / REALM_GRANULES * REALM_GRANULES);
            self.call(Command::RttSetRipas, &[rd, rec, base, top]);
        }
    }

    fn call(&mut self, command: Command, arguments: &[u64]) -> [u64; 5] {
        self.issue(Registers::call(command.function_id(), arguments))
    }
}
