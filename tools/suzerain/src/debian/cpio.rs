//! The archive that Linux unpacks into its first file system: cpio in the "newc" format, as the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst` describes it.
//!
//! Owners, times and inode numbers are constants or counted, so that the same content is the same bytes: an initramfs is
//! part of what a realm is measured by.

/// Types of a file, in the mode's upper bits.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// An archive that grows.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    inodes: u32,
}

impl Writer {
    /// Adds a folder that everybody may read. Names have no leading slash; the folder around it must be there already.
    pub(super) fn directory(&mut self, name: &str) {
        self.entry(name, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// Adds a file.
    pub(super) fn file(&mut self, name: &str, executable: bool, content: &[u8]) {
        let mode = if executable { 0o755 } else { 0o644 };
        self.entry(name, REGULAR | mode, (0, 0), content);
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, name: &str, target: &str) {
        self.entry(name, LINK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub(super) fn device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, CHARACTER | 0o600, (major, minor), &[]);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.inodes += 1;
        // The memory of the machine bounds both lengths far below 4 GiB.
        let (name_size, size) = (name.len() as u32 + 1, content.len() as u32);
        // Magic; inode, mode, user, group, links, time; size; device, device that this is; length of name; check sum.
        let fields = [
            self.inodes,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            major,
            minor,
            name_size,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Reads archives back, for tests.
#[cfg(test)]
pub(super) mod reader {
    /// An entry as it stands in the archive.
    #[derive(Debug, PartialEq, Eq)]
    pub(crate) struct Entry {
        pub(crate) name: String,
        pub(crate) mode: u32,
        pub(crate) device: (u32, u32),
        pub(crate) content: Vec<u8>,
    }

    /// All entries before the trailer.
    pub(crate) fn read(bytes: &[u8]) -> Vec<Entry> {
        let (mut entries, mut at) = (Vec::new(), 0);
        loop {
            let header = &bytes[at..at + 110];
            assert_eq!(&header[..6], b"070701", "magic at {at}");
            let field = |index: usize| {
                let digits = str::from_utf8(&header[6 + 8 * index..][..8]).unwrap();
                u32::from_str_radix(digits, 16).unwrap()
            };
            let name_end = at + 110 + field(11) as usize;
            let name = str::from_utf8(&bytes[at + 110..name_end - 1]).unwrap();
            assert_eq!(bytes[name_end - 1], 0);
            let start = name_end.next_multiple_of(4);
            let end = start + field(6) as usize;
            if name == super::TRAILER {
                assert_eq!(end.next_multiple_of(4), bytes.len());
                return entries;
            }
            entries.push(Entry {
                name: name.to_owned(),
                mode: field(1),
                device: (field(9), field(10)),
                content: bytes[start..end].to_vec(),
            });
            at = end.next_multiple_of(4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::default();
        writer.directory("dev");
        writer.device("dev/console", 5, 1);
        for length in 0..9 {
            writer.file(&"n".repeat(length + 1), length % 2 == 0, &vec![7; length]);
        }
        writer.link("bin", "usr/bin");
        let entries = reader::read(&writer.finish());
        assert_eq!(entries.len(), 12);
        assert_eq!(
            (entries[0].name.as_str(), entries[0].mode),
            ("dev", 0o40755)
        );
        assert_eq!((entries[1].mode, entries[1].device), (0o20600, (5, 1)));
        for (length, entry) in entries[2..11].iter().enumerate() {
            assert_eq!(entry.content, vec![7; length]);
            let mode = if length % 2 == 0 { 0o100755 } else { 0o100644 };
            assert_eq!(entry.mode, mode);
        }
        assert_eq!(
            (entries[11].mode, &entries[11].content[..]),
            (0o120777, &b"usr/bin"[..])
        );
    }
}
