//! Scans of the rest of a table, from the entry where a walk ended: how far the host can skip.

use aarch64_formats::stage2;
use cca_abi::rmi::Ripas;

use super::{Entry, Walk};
use crate::platform::Platform;

impl Walk<'_> {
    /// IPA of the first live entry at or above `ipa` in the table, or of the end of the table if there is none.
    /// Exactly `ipa` if the entry that covers it is live.
    #[must_use]
    pub fn skip_live(&self, platform: &impl Platform, ipa: u64) -> u64 {
        if self.entry.is_live() {
            return ipa;
        }
        self.scan(platform, ipa, |entry| entry.is_live())
    }

    /// The end of the range from `base` on in which every entry of the table passes `include`, but not beyond `top`,
    /// rounded down to whole entries.
    #[must_use]
    pub fn skip_while(
        &self,
        platform: &impl Platform,
        base: u64,
        top: u64,
        include: impl Fn(Entry) -> bool,
    ) -> u64 {
        let size = stage2::entry_size(self.level);
        let top = top & !(size - 1);
        let start = base & !(size - 1);
        let (mut at, mut index) = (start, self.index());
        while at < top
            && index < stage2::entries(self.level)
            && include(self.entry_at(platform, index))
        {
            at += size;
            index += 1;
        }
        at.min(top)
    }

    /// The end of the range from `base` to at most `top` that a RIPAS change can process: it stops in front of a
    /// TABLE entry and, unless `change_destroyed`, of one whose RIPAS is DESTROYED.
    #[must_use]
    pub fn skip_ripas(
        &self,
        platform: &impl Platform,
        base: u64,
        top: u64,
        change_destroyed: bool,
    ) -> u64 {
        self.skip_while(platform, base, top, |entry| {
            !entry.is_table(self.level)
                && (change_destroyed || entry.ripas(self.level) != Ripas::Destroyed)
        })
    }

    fn scan(&self, platform: &impl Platform, ipa: u64, stop: impl Fn(Entry) -> bool) -> u64 {
        let size = stage2::entry_size(self.level);
        let end = stage2::entries(self.level);
        let index = (self.index()..end)
            .find(|&index| stop(self.entry_at(platform, index)))
            .unwrap_or(end);
        (ipa & !(size - 1)) + (index - self.index()) as u64 * size
    }
}
