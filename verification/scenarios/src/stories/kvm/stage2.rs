//! KVM's part in a realm's translation tables: which calls it makes to map and unmap, and what it makes of the answers.

use alloc::format;
use core::ops::Range;

use cca_abi::explain::RmiResult;
use cca_abi::rmi::{
    Command, data_create_unknown, data_destroy, granule_delegate, rtt_create, rtt_destroy,
    rtt_fold, rtt_map_unprotected, rtt_unmap_unprotected,
};
use cca_abi::smccc::Registers;

use super::vm::Vm;
use super::{Answer, invoke, must};
use crate::fixture::Fixture;

/// Deepest level.
const PAGES: i64 = 3;
/// Level of the only blocks that KVM uses.
pub(super) const BLOCKS: i64 = 2;
/// A command may be repeated this often for one step; what does not come to its end by then never does.
const PATIENCE: usize = 10_000;

/// Level of the tables that a realm is created with: what resolves the IPA width with up to 16 tables in a row.
pub(super) fn start_level(bits: u32) -> i64 {
    4 - i64::from((bits - 8) / 9)
}

/// Number of these tables.
pub(super) fn roots(bits: u32) -> u64 {
    let resolved = 12 + 9 * (4 - start_level(bits)) as u32;
    1 << bits.saturating_sub(resolved)
}

/// What one entry at a level maps, in bytes.
pub(super) fn size(level: i64) -> u64 {
    1 << (12 + 9 * (PAGES - level))
}

fn up(ipa: u64, level: i64) -> u64 {
    ipa.next_multiple_of(size(level))
}

fn down(ipa: u64, level: i64) -> u64 {
    ipa / size(level) * size(level)
}

impl Vm {
    /// The bit that makes a guest address a shared one.
    pub(super) fn shared_bit(&self) -> u64 {
        1 << (self.bits - 1)
    }

    /// The level whose entries fit a range best: as near to the root as its alignment and length permit.
    pub(super) fn map_level(&self, range: &Range<u64>) -> i64 {
        let mut level = PAGES;
        while level > start_level(self.bits)
            && range.start.is_multiple_of(size(level - 1))
            && range.start + size(level - 1) <= range.end
        {
            level -= 1;
        }
        level
    }

    /// Creates the tables below one at level `from`, down to level `to`, for an IPA.
    pub(super) fn create_tables(&self, fixture: &mut Fixture<'_>, ipa: u64, from: i64, to: i64) {
        for level in from + 1..=to {
            let rtt = fixture.delegated();
            let input = rtt_create::Input {
                rd: self.rd,
                rtt,
                ipa: down(ipa, level - 1),
                level,
            };
            let answer = invoke(fixture, Command::RttCreate, input.encode());
            if answer.done() {
                continue;
            }
            // v7 expects the level of the new table here, its successors that of the one above: it exists.
            if answer.rtt() != Some(level - 1) {
                fixture.fail(&format!(
                    "KVM would warn: RMI_RTT_CREATE at level {level}: {}",
                    RmiResult(answer.x(0))
                ));
            }
            Self::give_back(fixture, rtt);
        }
    }

    /// Changes RIPAS of a range with RMI_RTT_INIT_RIPAS or RMI_RTT_SET_RIPAS, as `call` has it.
    pub(super) fn change_ripas(
        &self,
        fixture: &mut Fixture<'_>,
        range: Range<u64>,
        command: Command,
        call: impl Fn(u64, u64) -> Registers,
    ) {
        let mut rest = range;
        for _ in 0..PATIENCE {
            if rest.is_empty() {
                return;
            }
            let answer = invoke(fixture, command, call(rest.start, rest.end));
            if let Some(level) = answer.rtt() {
                let wanted = self.map_level(&rest);
                if level >= wanted {
                    fixture.fail(&format!(
                        "KVM would give up: {} at {:#x} ends at level {level}, level {wanted} is needed",
                        command.name(),
                        rest.start
                    ));
                    return;
                }
                self.create_tables(fixture, rest.start, level, wanted);
            } else if answer.done() {
                rest.start = answer.x(1);
            } else {
                fixture.fail(&format!(
                    "KVM would warn: {}: {}",
                    command.name(),
                    RmiResult(answer.x(0))
                ));
                return;
            }
        }
        fixture.fail(&format!("{} does not get further", command.name()));
    }

    /// Maps Realm memory of unknown content at a private address: a page, or 512 of them that become a block.
    pub(super) fn map_private(&self, fixture: &mut Fixture<'_>, ipa: u64, level: i64) {
        let pages = size(level) / size(PAGES);
        let base = fixture.delegated_contiguous(pages);
        if level < PAGES {
            // A table for the time being. If a table above it is missing too, the first page brings that up.
            let rtt = fixture.delegated();
            let input = rtt_create::Input {
                rd: self.rd,
                rtt,
                ipa: down(ipa, BLOCKS),
                level: PAGES,
            };
            if !invoke(fixture, Command::RttCreate, input.encode()).done() {
                Self::give_back(fixture, rtt);
            }
        }
        for page in 0..pages {
            let at = ipa + page * size(PAGES);
            let call = data_create_unknown::Input {
                rd: self.rd,
                data: base + page * size(PAGES),
                ipa: at,
            }
            .encode();
            let mut answer = invoke(fixture, Command::DataCreateUnknown, call);
            if let Some(walked) = answer.rtt() {
                fixture.equal("whether a table is missing", walked < PAGES, true);
                self.create_tables(fixture, at, walked, PAGES);
                answer = invoke(fixture, Command::DataCreateUnknown, call);
            }
            fixture.equal("RMI_DATA_CREATE_UNKNOWN", answer.x(0), 0);
        }
        if level < PAGES {
            let answer = self.fold_table(fixture, ipa, PAGES);
            fixture.equal("RMI_RTT_FOLD of a whole block", answer.x(0), 0);
        }
    }

    /// Maps a page of the VMM's own at a shared address: Normal write-back memory to be read and written.
    pub(super) fn map_shared(&self, fixture: &mut Fixture<'_>, ipa: u64, pa: u64) {
        let call = rtt_map_unprotected::Input {
            rd: self.rd,
            ipa,
            level: PAGES,
            desc: pa | 6 << 2 | 1 << 6 | 1 << 7,
        }
        .encode();
        let mut answer = invoke(fixture, Command::RttMapUnprotected, call);
        if let Some(level) = answer.rtt() {
            self.create_tables(fixture, ipa, level, PAGES);
            answer = invoke(fixture, Command::RttMapUnprotected, call);
        }
        // Somebody else may have mapped it meanwhile.
        let mapped = answer.done() || answer.rtt().is_some();
        fixture.equal("whether the page is mapped", mapped, true);
    }

    /// Takes guest memory away: its shared half, and its private half if that is wanted.
    pub(super) fn unmap(&self, fixture: &mut Fixture<'_>, range: Range<u64>, private: bool) {
        let range = range.start..range.end.min(self.shared_bit());
        self.unmap_shared(fixture, self.map_level(&range), range.clone());
        if private {
            self.unmap_private(fixture, range);
        }
    }

    pub(super) fn unmap_private(&self, fixture: &mut Fixture<'_>, range: Range<u64>) {
        let mut ipa = range.start;
        while ipa < range.end && fixture.check().is_ok() {
            let top = self.destroy_private(fixture, ipa);
            if top <= ipa {
                fixture.fail(&format!(
                    "KVM would not get further: top {top:#x} at {ipa:#x}"
                ));
                return;
            }
            ipa = top;
        }
        self.fold(fixture, start_level(self.bits) + 1, range);
    }

    /// Destroys what is mapped at a private address, if there is something: where to go on.
    fn destroy_private(&self, fixture: &mut Fixture<'_>, ipa: u64) -> u64 {
        let call = data_destroy::Input { rd: self.rd, ipa }.encode();
        let mut answer = invoke(fixture, Command::DataDestroy, call);
        if let Some(level) = answer.rtt() {
            if answer.x(2) > ipa {
                return answer.x(2);
            }
            fixture.equal("level of the block that KVM splits", level, BLOCKS);
            let rtt = fixture.delegated();
            let input = rtt_create::Input {
                rd: self.rd,
                rtt,
                ipa: down(ipa, BLOCKS),
                level: PAGES,
            };
            must(fixture, Command::RttCreate, input.encode());
            answer = invoke(fixture, Command::DataDestroy, call);
        }
        fixture.equal("RMI_DATA_DESTROY", answer.x(0), 0);
        if answer.done() {
            Self::give_back(fixture, answer.x(1));
        }
        answer.x(2)
    }

    /// As KVM has it, the shared bit is put into both ends: of the whole half, nothing remains.
    pub(super) fn unmap_shared(&self, fixture: &mut Fixture<'_>, level: i64, range: Range<u64>) {
        if level > PAGES {
            fixture.fail("KVM would warn: there is no level 4");
            return;
        }
        let bit = self.shared_bit();
        let range = range.start | bit..range.end | bit;
        let mut ipa = range.start;
        while ipa < range.end && fixture.check().is_ok() {
            let aligned = up(ipa, level);
            let mut next = up(ipa + 1, level);
            if aligned != ipa || next > range.end {
                self.unmap_shared(fixture, level + 1, ipa..next.min(range.end));
                ipa = next;
                continue;
            }
            let input = rtt_unmap_unprotected::Input {
                rd: self.rd,
                ipa,
                level,
            };
            let answer = invoke(fixture, Command::RttUnmapUnprotected, input.encode());
            if answer.done() || answer.rtt().is_some_and(|_| answer.x(1) != ipa) {
                next = answer.x(1);
            } else if answer.rtt().is_some() {
                self.unmap_shared(fixture, level + 1, ipa..next);
            } else {
                fixture.fail(&format!(
                    "KVM would warn: RMI_RTT_UNMAP_UNPROTECTED: {}",
                    RmiResult(answer.x(0))
                ));
                return;
            }
            if next <= ipa {
                fixture.fail(&format!("KVM would not get further: {next:#x} at {ipa:#x}"));
                return;
            }
            ipa = next;
        }
        self.fold(fixture, start_level(self.bits) + 1, range);
    }

    fn fold_table(&self, fixture: &mut Fixture<'_>, ipa: u64, level: i64) -> Answer {
        let input = rtt_fold::Input {
            rd: self.rd,
            ipa,
            level,
        };
        let answer = invoke(fixture, Command::RttFold, input.encode());
        if answer.done() {
            Self::give_back(fixture, answer.x(1));
        }
        answer
    }

    /// Folds the tables at a level, and below it if that helps: how many could not be. KVM rounds the start of the range
    /// up, so that the table which it starts in is left out.
    pub(super) fn fold(&self, fixture: &mut Fixture<'_>, level: i64, range: Range<u64>) -> usize {
        let mut left = 0;
        let mut ipa = range.start;
        let mut steps = 0;
        while ipa < range.end && fixture.check().is_ok() {
            steps += 1;
            if steps > PATIENCE {
                fixture.fail("KVM would fold for ever");
                break;
            }
            let next = up(ipa + 1, level - 1);
            let answer = self.fold_table(fixture, up(ipa, level - 1), level);
            match answer.rtt() {
                None if answer.done() => ipa = next,
                Some(walked) if level == PAGES || walked < level => {
                    left += 1;
                    ipa = next;
                }
                // If everything below could be folded, once more.
                Some(_) => {
                    if self.fold(fixture, level + 1, ipa..next) != 0 {
                        ipa = next;
                    }
                }
                None => {
                    fixture.fail(&format!(
                        "KVM would warn: RMI_RTT_FOLD: {}",
                        RmiResult(answer.x(0))
                    ));
                    break;
                }
            }
        }
        left
    }

    /// Destroys all tables from a level on.
    pub(super) fn tear_down(&self, fixture: &mut Fixture<'_>, level: i64, range: Range<u64>) {
        let mut ipa = range.start;
        let mut steps = 0;
        while ipa < range.end && fixture.check().is_ok() {
            steps += 1;
            if steps > PATIENCE {
                fixture.fail("KVM would tear down for ever");
                return;
            }
            let next = up(ipa + 1, level - 1);
            if next > range.end || !ipa.is_multiple_of(size(level - 1)) {
                fixture.equal("whether there are levels left", level < PAGES, true);
                self.tear_down(fixture, level + 1, ipa..next.min(range.end));
                ipa = next;
                continue;
            }
            let input = rtt_destroy::Input {
                rd: self.rd,
                ipa,
                level,
            };
            let answer = invoke(fixture, Command::RttDestroy, input.encode());
            if answer.done() {
                Self::give_back(fixture, answer.x(1));
                fixture.equal("whether top lies ahead", answer.x(2) > ipa, true);
                ipa = answer.x(2);
            } else if answer.rtt().is_some() && answer.x(2) > ipa {
                ipa = answer.x(2);
            } else if answer.rtt() == Some(level) && level < PAGES {
                // Something is left below; then this one once more.
                self.tear_down(fixture, level + 1, ipa..next);
            } else {
                fixture.fail(&format!(
                    "KVM would warn: RMI_RTT_DESTROY at level {level}, {ipa:#x}: {}",
                    RmiResult(answer.x(0))
                ));
            }
        }
    }

    /// What a vCPU meets that lost a race for the same private page: it is delegated, and that ends the fault.
    pub(super) fn lost_race(fixture: &mut Fixture<'_>, addr: u64) {
        let input = granule_delegate::Input { addr };
        let answer = invoke(fixture, Command::GranuleDelegate, input.encode());
        fixture.equal("whether the page is taken", answer.done(), false);
    }
}
