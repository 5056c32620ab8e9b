//! Takes files out of Debian packages: an `ar` archive with a compressed `tar` archive in it (`deb(5)`).

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use lzma_rust2::XzReader;
use object::read::archive::ArchiveFile;
use toolbox::Error;

/// The member with the files; the text after it says how they are compressed.
const DATA: &str = "data.tar";

/// Gives every regular file of a package to `take`, by its path without the leading `./`.
///
/// # Errors
///
/// When the package cannot be read, or is not of a kind that Debian makes.
pub(super) fn unpack(
    package: &Path,
    mut take: impl FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Error> {
    let bytes = fs::read(package).map_err(|error| Error::io("read", package, &error))?;
    let bad = |why: String| {
        Error::new(format!("{} is no Debian package: {why}", package.display())).advise(
            "try again; if it stays like this, name a kernel of your own with --kernel FILE",
        )
    };
    let archive = ArchiveFile::parse(&*bytes).map_err(|error| bad(error.to_string()))?;
    for member in archive.members() {
        let member = member.map_err(|error| bad(error.to_string()))?;
        let name = String::from_utf8_lossy(member.name()).into_owned();
        let Some(compression) = name.strip_prefix(DATA) else {
            continue;
        };
        let data = member
            .data(&*bytes)
            .map_err(|error| bad(error.to_string()))?;
        let data: Box<dyn Read> = match compression.trim_end_matches('/') {
            ".xz" => Box::new(XzReader::new(data, true)),
            "" => Box::new(data),
            other => {
                return Err(bad(format!(
                    "its files are compressed as {other}, not as .xz"
                )));
            }
        };
        return entries(data, &mut take).map_err(|error| bad(error.to_string()));
    }
    Err(bad(format!("it has no {DATA}")))
}

fn entries(
    data: impl Read,
    take: &mut impl FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = tar::Archive::new(data);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?.to_string_lossy().into_owned();
        take(path.strip_prefix("./").unwrap_or(&path), &mut entry)?;
    }
    // Decompression checks its sums where a block ends, which is behind the last file.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

/// Decompresses what `xz` made.
///
/// # Errors
///
/// When it is damaged.
pub(super) fn decompress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    XzReader::new(bytes, true).read_to_end(&mut content)?;
    Ok(content)
}

/// Makes packages, for tests.
#[cfg(test)]
pub(super) mod writer {
    use std::io::Write;

    use lzma_rust2::{XzOptions, XzWriter};

    /// What `xz` makes of `bytes`.
    pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
        let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    /// A package with these files; `member` is the name of the archive in it.
    pub(crate) fn package(member: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("./{path}"), *content)
                .unwrap();
        }
        let tar = tar.into_inner().unwrap();
        let data = if member.ends_with(".xz") {
            compress(&tar)
        } else {
            tar
        };
        let mut package = b"!<arch>\n".to_vec();
        for (name, content) in [
            ("debian-binary", b"2.0\n".as_slice()),
            ("control.tar.xz", b"odd"),
            (member, &data),
        ] {
            writeln!(
                package,
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`",
                0,
                0,
                0,
                100_644,
                content.len()
            )
            .unwrap();
            package.extend_from_slice(content);
            if content.len() % 2 == 1 {
                package.push(b'\n');
            }
        }
        package
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &[u8]); 2] = [
        ("usr/bin/tool", b"program"),
        ("usr/share/doc/x", &[3; 5000]),
    ];

    fn unpacked(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.deb");
        fs::write(&path, bytes).unwrap();
        let mut files = Vec::new();
        unpack(&path, |path, content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            files.push((path.to_owned(), bytes));
            Ok(())
        })?;
        Ok(files)
    }

    #[test]
    fn files_come_out_of_packages() {
        for member in ["data.tar.xz", "data.tar"] {
            let files = unpacked(&writer::package(member, &FILES)).unwrap();
            assert_eq!(files.len(), FILES.len());
            for ((path, content), (wanted_path, wanted)) in files.iter().zip(FILES) {
                assert_eq!((path.as_str(), content.as_slice()), (wanted_path, wanted));
            }
        }
    }

    #[test]
    fn what_is_no_package_is_refused() {
        let good = writer::package("data.tar.xz", &FILES);
        let mut damaged = good.clone();
        let middle = good.len() - 40;
        damaged[middle] ^= 0x10;
        for (bytes, why) in [
            (b"hello".to_vec(), "no Debian package"),
            (Vec::new(), "no Debian package"),
            (good[..good.len() / 2].to_vec(), "no Debian package"),
            (damaged, "no Debian package"),
            (writer::package("data.tar.zst", &FILES), ".zst"),
            (writer::package("other", &FILES), "no data.tar"),
        ] {
            let error = unpacked(&bytes)
                .map(|files| files.len())
                .unwrap_err()
                .to_string();
            assert!(error.contains(why) && error.contains("test.deb"), "{error}");
        }
    }

    #[test]
    fn modules_are_decompressed() {
        assert_eq!(decompress(&writer::compress(b"module")).unwrap(), b"module");
        assert!(decompress(b"module").is_err());
    }
}
