//! What a host does next: a polite one, which knows what it may do, and a hostile one.

use cca_abi::mpidr::rec_mpidr_from_index;
use cca_abi::psci::code;
use cca_abi::rmi::params::RecParams;
use cca_abi::rmi::run::{RecEnter, enter_flags};
use cca_abi::rmi::{self, Command};
use cca_abi::smccc::Registers;
use spec_model::{Granule, Model, Operation, PsciRequest, RealmState, entry_size};

use crate::driver::{CODE, Step};
use crate::parameters;
use crate::random::Random;
use crate::simulate::succeeds;

/// What belongs to nobody who may be asked: a device, the monitor's own memory, nothing, and addresses that are none.
const NOWHERE: [u64; 6] = [0x0900_0000, 0x4010_0000, 0x40_0000_0000, 0, 1 << 52, !0xFFF];

pub(crate) struct Generator<'d> {
    pub(crate) random: Random,
    pub(crate) polite: bool,
    pub(crate) pool: &'d [u64],
    pub(crate) block: u64,
}

impl Generator<'_> {
    /// What comes next.
    pub(crate) fn next(&mut self, model: &Model) -> Vec<Step> {
        let runs = model
            .realms
            .values()
            .any(|realm| realm.state == RealmState::Active);
        match self.random.below(100) {
            0..2 => self.build(model),
            2..8 if !runs => self.build(model),
            8 => self.teardown(model),
            9 if self.random.percent(5) => self.fill(model),
            10..35 if model.recs.values().any(|rec| rec.psci.is_some()) => {
                vec![Step::Call(self.psci_complete(model))]
            }
            10..35 if model.recs.values().any(|rec| rec.ripas.is_some()) => {
                vec![Step::Call(self.set_ripas(model))]
            }
            35..50 if runs => vec![self.enter(model)],
            _ if self.polite => {
                // Whatever the model lets pass, or the last try.
                for _ in 0..20 {
                    let steps = self.command(model);
                    if succeeds(model, &steps) {
                        return steps;
                    }
                }
                self.command(model)
            }
            _ => self.command(model),
        }
    }

    fn wild(&mut self) -> bool {
        !self.polite && self.random.percent(6)
    }

    /// The address of a granule in this state, if there is one and this host cares.
    pub(crate) fn granule(&mut self, model: &Model, wanted: Option<Granule>) -> u64 {
        if self.wild() {
            let pa = self.random.of(&NOWHERE);
            return pa.wrapping_add(self.random.of(&[0, 8, 0x800]));
        }
        let fitting: Vec<_> = self
            .pool
            .iter()
            .copied()
            .filter(|pa| model.granule(*pa) == wanted)
            .collect();
        if fitting.is_empty() || !self.polite && self.random.percent(8) {
            let pa = self.random.of(self.pool);
            return pa + if self.wild() { 0x10 } else { 0 };
        }
        self.random.of(&fitting)
    }

    /// An IPA of a realm, a multiple of what an entry at `level` describes unless the host does not care.
    fn ipa(&mut self, model: &Model, rd: u64, level: i64) -> u64 {
        let bits = model.realms.get(&rd).map_or(40, |realm| realm.ipa_bits);
        let unprotected = 1u64 << (bits - 1);
        if self.wild() {
            let odd = [unprotected * 2, !0xFFF, 8, 0x1001, unprotected - 1];
            return self.random.of(&odd);
        }
        let programs: Vec<_> = model.recs_of(rd).map(|(_, rec)| rec.code).collect();
        if level == 3 && !programs.is_empty() && self.random.percent(30) {
            return self.random.of(&programs);
        }
        let near = [
            0,
            0x1000,
            0x2000,
            0x1F_F000,
            0x20_0000,
            0x20_1000,
            0x40_0000,
            0x4000_0000,
            0x4020_0000,
            unprotected - 0x1000,
            unprotected - 0x20_0000,
        ];
        let near = near[..if self.random.percent(60) {
            6
        } else {
            near.len()
        }]
            .to_vec();
        let side = if self.random.percent(35) {
            unprotected
        } else {
            0
        };
        let ipa = (self.random.of(&near) % unprotected) | side;
        if !self.polite && self.random.percent(5) || !(-1..=3).contains(&level) {
            ipa
        } else {
            ipa & !(entry_size(level) - 1)
        }
    }

    /// Unprotected in most cases.
    fn unprotected_ipa(&mut self, model: &Model, rd: u64, level: i64) -> u64 {
        let ipa = self.ipa(model, rd, level);
        match model.realms.get(&rd) {
            Some(realm) if self.random.percent(90) => ipa | realm.unprotected(),
            _ => ipa,
        }
    }

    fn level(&mut self) -> i64 {
        if self.wild() {
            self.random.of(&[i64::MIN, -2, -1, 0, 4, 200, i64::MAX])
        } else {
            self.random.of(&[-1, 0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3])
        }
    }

    /// A REC, and its realm.
    fn rec(&mut self, model: &Model) -> (u64, u64) {
        let rec = self.granule(model, Some(Granule::Rec));
        let rd = match model.recs.get(&rec) {
            Some(owned) if !self.wild() => owned.owner,
            _ => self.granule(model, Some(Granule::Rd)),
        };
        (rd, rec)
    }

    /// One command with its structures.
    fn command(&mut self, model: &Model) -> Vec<Step> {
        const RD: Option<Granule> = Some(Granule::Rd);
        const FREE: Option<Granule> = Some(Granule::Delegated);
        let rd = self.granule(model, RD);
        let call = match self.random.below(130) {
            0..12 => rmi::granule_delegate::Input {
                addr: self.granule(model, None),
            }
            .encode(),
            12..18 => rmi::granule_undelegate::Input {
                addr: self.granule(model, FREE),
            }
            .encode(),
            18..21 => return self.realm_create(model),
            21..23 => rmi::realm_activate::Input { rd }.encode(),
            23..25 => rmi::realm_destroy::Input { rd }.encode(),
            25..26 => rmi::rec_aux_count::Input { rd }.encode(),
            26..31 => {
                let pc = self.random.of(&CODE);
                return self.rec_create(model, rd, pc);
            }
            31..33 => rmi::rec_destroy::Input {
                rec: self.rec(model).1,
            }
            .encode(),
            33..52 => return vec![self.enter(model)],
            52..57 => self.psci_complete(model),
            57..62 => return self.data_create(model, rd),
            62..69 => rmi::data_create_unknown::Input {
                rd,
                data: self.granule(model, FREE),
                ipa: self.ipa(model, rd, 3),
            }
            .encode(),
            69..75 => rmi::data_destroy::Input {
                rd,
                ipa: self.ipa(model, rd, 3),
            }
            .encode(),
            75..90 => {
                let level = self.level();
                rmi::rtt_create::Input {
                    rd,
                    rtt: self.granule(model, FREE),
                    ipa: self.ipa(model, rd, level.saturating_sub(1)),
                    level,
                }
                .encode()
            }
            90..94 => {
                let level = self.level();
                let ipa = self.ipa(model, rd, level.saturating_sub(1));
                rmi::rtt_destroy::Input { rd, ipa, level }.encode()
            }
            94..99 => {
                let level = self.level();
                let ipa = self.ipa(model, rd, level.saturating_sub(1));
                rmi::rtt_fold::Input { rd, ipa, level }.encode()
            }
            99..101 => {
                let level = self.level();
                let ipa = self.ipa(model, rd, level);
                rmi::rtt_read_entry::Input { rd, ipa, level }.encode()
            }
            101..107 => self.map(model, rd),
            107..112 => {
                let level = self.level();
                let ipa = self.unprotected_ipa(model, rd, level);
                rmi::rtt_unmap_unprotected::Input { rd, ipa, level }.encode()
            }
            112..117 => {
                let base = self.ipa(model, rd, 3);
                rmi::rtt_init_ripas::Input {
                    rd,
                    base,
                    top: self.end(base),
                }
                .encode()
            }
            117..128 => self.set_ripas(model),
            128 => {
                let req = self.random.of(&[0x1_0000, 0x1_0001, 0, 0x2_0000]);
                rmi::version::Input { req }.encode()
            }
            _ => {
                let mut call = Registers::call(0xC400_0150 + self.random.below(0x40) as u32, &[]);
                if Command::from_function_id(call.0[0] as u32).is_some() {
                    let index = self.random.below(3);
                    call = rmi::features::Input { index }.encode();
                }
                call
            }
        };
        vec![Step::Call(call)]
    }

    fn end(&mut self, base: u64) -> u64 {
        let sizes = [
            0x1000,
            0x1000,
            0x3000,
            0x20_0000,
            0x20_0000,
            0x4000_0000,
            1 << 39,
            0,
            0x800,
        ];
        base.wrapping_add(self.random.of(&sizes))
    }

    pub(crate) fn realm_create(&mut self, model: &Model) -> Vec<Step> {
        let shape = self.random.of(&parameters::SHAPES);
        let count = u64::from(shape.2);
        let rtt_base = self
            .pool
            .iter()
            .copied()
            .filter(|pa| {
                pa.is_multiple_of(count * 4096) && pa + count * 4096 <= self.pool[31] + 4096
            })
            .collect::<Vec<_>>();
        let rtt_base = self.random.of(&rtt_base);
        let rd = self.granule(model, Some(Granule::Delegated));
        let params_ptr = self.granule(model, None);
        let mut params = parameters::realm(&mut self.random, shape, rtt_base);
        if !self.polite && self.random.percent(40) {
            parameters::spoil(&mut self.random, &mut params);
        }
        let mut steps = Vec::new();
        if self.polite || self.random.percent(70) {
            let missing = (0..count).map(|n| rtt_base + n * 4096);
            steps.extend(missing.filter(|pa| model.is_non_secure(*pa)).map(delegate));
        }
        let mut words = [0; 512];
        params.write(&mut words);
        steps.push(write(params_ptr, &words));
        let input = rmi::realm_create::Input { rd, params_ptr };
        steps.push(Step::Call(input.encode()));
        steps
    }

    pub(crate) fn rec_create(&mut self, model: &Model, rd: u64, pc: u64) -> Vec<Step> {
        let realm = model.realms.get(&rd);
        let count = realm.and_then(|realm| realm.aux_count).unwrap_or(0);
        let index = realm.map_or(0, |realm| realm.rec_index);
        let mut params = RecParams {
            flags: self.random.percent(70).into(),
            mpidr: rec_mpidr_from_index(index).unwrap_or(0),
            pc,
            gprs: [self.random.next(); 8],
            num_aux: count,
            ..RecParams::default()
        };
        for slot in &mut params.aux {
            *slot = self.granule(model, Some(Granule::Delegated));
        }
        if !self.polite && self.random.percent(30) {
            let value = self.random.of(&[0, 1, 2, 0x10, 0x100, 17, u64::MAX]);
            match self.random.below(3) {
                0 => params.mpidr = value,
                1 => params.num_aux = value,
                _ => params.flags = value,
            }
        }
        let mut words = [0; 512];
        params.write(&mut words);
        let params_ptr = self.granule(model, None);
        let rec = self.granule(model, Some(Granule::Delegated));
        let input = rmi::rec_create::Input {
            rd,
            rec,
            params_ptr,
        };
        vec![write(params_ptr, &words), Step::Call(input.encode())]
    }

    fn data_create(&mut self, model: &Model, rd: u64) -> Vec<Step> {
        let src = self.granule(model, None);
        let wild = self.wild();
        let input = rmi::data_create::Input {
            rd,
            data: self.granule(model, Some(Granule::Delegated)),
            ipa: self.ipa(model, rd, 3),
            src,
            flags: if wild {
                self.random.next()
            } else {
                self.random.below(2)
            },
        };
        let words = vec![(self.random.below(512) as usize, self.random.next())];
        vec![Step::Write { pa: src, words }, Step::Call(input.encode())]
    }

    fn map(&mut self, model: &Model, rd: u64) -> Registers {
        let level = self.level();
        let ipa = self.unprotected_ipa(model, rd, level);
        let pa = if level == 3 && !self.wild() {
            self.random.of(self.pool)
        } else {
            self.random
                .of(&[self.block, 0x4000_0000, 0x8000_0000, 1 << 47, 1 << 51])
        };
        let address = pa & 0x0003_FFFF_FFFF_F000 | (pa >> 50 & 3) << 8;
        let attributes =
            self.random.of(&[0b000, 0b101, 0b110, 0b111]) << 2 | self.random.below(4) << 6;
        let wrong = if self.wild() {
            1 << self.random.below(64)
        } else {
            0
        };
        let desc = (address | attributes) ^ wrong;
        rmi::rtt_map_unprotected::Input {
            rd,
            ipa,
            level,
            desc,
        }
        .encode()
    }

    fn set_ripas(&mut self, model: &Model) -> Registers {
        let asking: Vec<_> = model
            .recs
            .iter()
            .filter_map(|(pa, rec)| Some((pa, rec.ripas?)))
            .collect();
        if asking.is_empty() || self.wild() {
            let (rd, rec) = self.rec(model);
            let base = self.ipa(model, rd, 3);
            let top = self.end(base);
            return rmi::rtt_set_ripas::Input { rd, rec, base, top }.encode();
        }
        let (&rec, request) = self.random.of(&asking);
        let rd = if self.wild() {
            self.granule(model, Some(Granule::Rd))
        } else {
            model.recs[&rec].owner
        };
        let base = request.address;
        let top = if self.random.percent(70) {
            request.top
        } else {
            self.end(base)
        };
        rmi::rtt_set_ripas::Input { rd, rec, base, top }.encode()
    }

    fn psci_complete(&mut self, model: &Model) -> Registers {
        let asking: Vec<_> = model
            .recs
            .iter()
            .filter(|(_, rec)| rec.psci.is_some())
            .map(|(pa, _)| *pa)
            .collect();
        let calling_rec = if asking.is_empty() || self.wild() {
            self.rec(model).1
        } else {
            self.random.of(&asking)
        };
        let status = if self.random.percent(60) {
            code::SUCCESS
        } else {
            self.random
                .of(&[code::DENIED, code::ALREADY_ON, 1, i64::MIN])
        };
        let named = model.recs.get(&calling_rec).and_then(|caller| {
            let (PsciRequest::On { index, .. } | PsciRequest::Affinity { index }) = caller.psci?;
            let mut others = model.recs_of(caller.owner);
            Some(*others.find(|(_, rec)| rec.index == index)?.0)
        });
        let named = named.filter(|_| self.random.percent(80));
        rmi::psci_complete::Input {
            calling_rec,
            target_rec: named.unwrap_or_else(|| self.rec(model).1),
            status,
        }
        .encode()
    }

    fn enter(&mut self, model: &Model) -> Step {
        let ready: Vec<_> = model
            .recs
            .iter()
            .filter(|(_, rec)| {
                rec.runnable
                    && rec.psci.is_none()
                    && model.realms[&rec.owner].state == RealmState::Active
            })
            .map(|(pa, _)| *pa)
            .collect();
        let rec = if ready.is_empty() || !self.polite && self.random.percent(10) {
            self.rec(model).1
        } else {
            self.random.of(&ready)
        };
        let known = model.recs.get(&rec);
        let mut record = RecEnter::default();
        record.gprs[0] = self.random.next();
        if known.is_some_and(|rec| rec.unprotected_abort) || self.wild() {
            record.flags |=
                self.random
                    .of(&[0, enter_flags::EMUL_MMIO, enter_flags::INJECT_SEA, 3]);
        }
        if self.random.percent(20) {
            record.flags |= enter_flags::RIPAS_REJECT;
        }
        if self.wild() {
            record.gicv3_hcr = self.random.of(&[1, 1 << 8, 1 << 27]);
        }
        if self.wild() {
            record.gicv3_lrs[0] = 1 << 62 | 1 << 61 | 27;
        }
        let rd = known.map_or(0, |rec| rec.owner);
        let next = self.random.percent(85).then(|| self.operation(model, rd));
        Step::Enter {
            rec,
            run: self.granule(model, None),
            record: Box::new(record),
            next,
        }
    }

    fn operation(&mut self, model: &Model, rd: u64) -> Operation {
        let recs = model.realms.get(&rd).map_or(1, |realm| realm.rec_index) + 1;
        match self.random.below(40) {
            0 => Operation::SystemOff,
            1..3 => Operation::Off,
            3..10 => Operation::On {
                index: self.random.below(recs),
                entry: if self.random.percent(10) {
                    self.ipa(model, rd, 3)
                } else {
                    self.random.of(&CODE)
                },
            },
            10..14 => Operation::Affinity {
                index: self.random.below(recs),
                level: self.random.below(8) / 7,
            },
            14..28 => {
                let base = self.ipa(model, rd, 3);
                Operation::SetRipas {
                    base,
                    top: self.end(base),
                    ripas: self.random.of(&[0, 0, 1, 1, 1, 1, 2]),
                    flags: self.random.below(2),
                }
            }
            _ => Operation::Load {
                ipa: self.ipa(model, rd, 3) + self.random.of(&[0, 4, 0xFFC]),
            },
        }
    }
}

pub(crate) fn delegate(pa: u64) -> Step {
    Step::Call(rmi::granule_delegate::Input { addr: pa }.encode())
}

fn write(pa: u64, words: &[u64; 512]) -> Step {
    let words = words.iter().copied().enumerate();
    Step::Write {
        pa,
        words: words.filter(|(_, word)| *word != 0).collect(),
    }
}
