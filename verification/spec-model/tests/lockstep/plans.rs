//! Longer plans of a host: to build a realm, to fill a table, to take a realm down.

use cca_abi::rmi;
use spec_model::{Granule, Model, entry_size};

use crate::driver::{CODE, Step};
use crate::generator::{Generator, delegate};
use crate::simulate::{play, succeeds};

impl Generator<'_> {
    /// A realm that can run, as far as there are granules; some of the steps may be left out.
    pub(crate) fn build(&mut self, model: &Model) -> Vec<Step> {
        let mut scratch = model.clone();
        let mut steps = Vec::new();
        for &pa in self.pool {
            if model.is_non_secure(pa) && self.random.percent(70) {
                play(&mut scratch, &mut steps, vec![delegate(pa)]);
            }
        }
        let known = model.realms.clone();
        for _ in 0..10 {
            let create = self.realm_create(&scratch);
            if succeeds(&scratch, &create) {
                play(&mut scratch, &mut steps, create);
                break;
            }
        }
        let Some((&rd, realm)) = scratch
            .realms
            .iter()
            .find(|(rd, _)| !known.contains_key(*rd))
        else {
            return steps;
        };
        let start = realm.start_level;
        let code = self.random.of(&CODE[..2]);
        for level in start + 1..=3 {
            let rtt = self.granule(&scratch, Some(Granule::Delegated));
            let call = rmi::rtt_create::Input {
                rd,
                rtt,
                ipa: 0,
                level,
            };
            play(&mut scratch, &mut steps, vec![Step::Call(call.encode())]);
        }
        let call = rmi::rtt_init_ripas::Input {
            rd,
            base: 0,
            top: 0x4000,
        };
        play(&mut scratch, &mut steps, vec![Step::Call(call.encode())]);
        let src = self.granule(&scratch, None);
        let data = self.granule(&scratch, Some(Granule::Delegated));
        let flags = self.random.below(2);
        let call = rmi::data_create::Input {
            rd,
            data,
            ipa: code,
            src,
            flags,
        };
        play(&mut scratch, &mut steps, vec![Step::Call(call.encode())]);
        for _ in 0..self.random.below(3) + 1 {
            let create = self.rec_create(&scratch, rd, code);
            play(&mut scratch, &mut steps, create);
        }
        if self.random.percent(80) {
            steps.push(Step::Call(rmi::realm_activate::Input { rd }.encode()));
        }
        if !self.polite && self.random.percent(40) {
            steps.remove(self.random.below(steps.len() as u64) as usize);
        }
        steps
    }

    /// A table of 512 pages becomes a block, and a table again; protected or not.
    pub(crate) fn fill(&mut self, model: &Model) -> Vec<Step> {
        let rd = self.granule(model, Some(Granule::Rd));
        let Some(realm) = model.realms.get(&rd) else {
            return Vec::new();
        };
        let protected = self.random.percent(50);
        let empty = |table: &&spec_model::Table| {
            table.level == 3
                && table.entries.iter().all(|entry| !entry.is_live())
                && (table.base < realm.unprotected()) == protected
        };
        let tables: Vec<_> = realm.all_tables().into_iter().filter(empty).collect();
        if tables.is_empty() {
            return Vec::new();
        }
        let base = self.random.of(&tables).base;
        // Now and then, one page is out of line.
        let odd = self.random.below(2048);
        let mut steps = Vec::new();
        for n in 0..512 {
            let ipa = base + n * 4096;
            let pa = self.block + (if n == odd { n ^ 1 } else { n }) * 4096;
            let call = if protected {
                if model.is_non_secure(pa) {
                    steps.push(Step::Quick(
                        rmi::granule_delegate::Input { addr: pa }.encode(),
                    ));
                }
                rmi::data_create_unknown::Input { rd, data: pa, ipa }.encode()
            } else {
                let desc = pa | 0b110 << 2 | 0b11 << 6;
                let level = 3;
                rmi::rtt_map_unprotected::Input {
                    rd,
                    ipa,
                    level,
                    desc,
                }
                .encode()
            };
            steps.push(Step::Quick(call));
        }
        let fold = rmi::rtt_fold::Input {
            rd,
            ipa: base,
            level: 3,
        }
        .encode();
        steps.push(Step::Call(fold));
        let rtt = self.granule(model, Some(Granule::Delegated));
        let unfold = rmi::rtt_create::Input {
            rd,
            rtt,
            ipa: base,
            level: 3,
        }
        .encode();
        if self.random.percent(50) {
            // On a block, or on the table if it could not be folded.
            let destroy = rmi::data_destroy::Input {
                rd,
                ipa: base + 0x1000,
            }
            .encode();
            steps.push(Step::Call(destroy));
        }
        steps.push(Step::Call(unfold));
        for n in 0..512 {
            let ipa = base + n * 4096;
            let call = if protected {
                rmi::data_destroy::Input { rd, ipa }.encode()
            } else {
                rmi::rtt_unmap_unprotected::Input { rd, ipa, level: 3 }.encode()
            };
            steps.push(Step::Quick(call));
        }
        for n in 0..512 {
            let addr = self.block + n * 4096;
            let give_back = rmi::granule_undelegate::Input { addr }.encode();
            if protected {
                steps.push(Step::Quick(give_back));
            }
        }
        steps.push(Step::Call(fold));
        steps
    }

    /// Everything that a realm has is taken away from it, in any order that works, and then the realm.
    pub(crate) fn teardown(&mut self, model: &Model) -> Vec<Step> {
        let rd = self.granule(model, Some(Granule::Rd));
        let Some(realm) = model.realms.get(&rd) else {
            return Vec::new();
        };
        let mut steps = Vec::new();
        let call = |registers| Step::Call(registers);
        for (&rec, _) in model.recs_of(rd) {
            steps.push(call(rmi::rec_destroy::Input { rec }.encode()));
        }
        let mut tables = realm.all_tables();
        tables.sort_by_key(|table| -table.level);
        for table in &tables {
            for n in 0..table.entries.len() {
                let ipa = table.base + n as u64 * entry_size(table.level);
                if matches!(table.entries[n], spec_model::Entry::Assigned { .. }) {
                    steps.push(call(rmi::data_destroy::Input { rd, ipa }.encode()));
                }
            }
        }
        for table in tables {
            if table.level > realm.start_level {
                let (ipa, level) = (table.base, table.level);
                steps.push(call(rmi::rtt_destroy::Input { rd, ipa, level }.encode()));
            }
        }
        if steps.len() > 100 {
            // A full table is for whoever has filled it.
            return Vec::new();
        }
        steps.push(call(rmi::realm_destroy::Input { rd }.encode()));
        steps
    }
}
