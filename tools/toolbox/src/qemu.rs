//! The emulator: finding it, and finding out whether it has the Realm Management Extension.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Error;
use crate::child;

/// The program that emulates the machine.
const PROGRAM: &str = "qemu-system-aarch64";
/// Names the emulator to use instead of the one on `PATH`.
const OVERRIDE: &str = "SUZERAIN_QEMU";
/// The type of the machine that every image of the project boots on. Later types have LPIs even without an ITS, and with them
/// redistributors that read and write memory.
pub const WITHOUT_LPIS: &str = "virt-6.1";
/// The type for an emulator that has no [`WITHOUT_LPIS`] any more.
const WITH_LPIS: &str = "virt";
/// What the machine is like. Its interrupt controller has no ITS, which would read and write memory.
const PROPERTIES: &str = "secure=on,virtualization=on,gic-version=3,its=off";
/// The emulator says this of the first type whenever a machine starts.
const OLD_TYPE: &str = "Machine type 'virt-6.1' is deprecated";
/// Bytes of the emulator's standard error that are a line without an end in sight.
pub const LONGEST_LINE: u64 = 64 << 10;
/// Its processor, whose counter counts nanoseconds on every type of machine.
const CPU: &str = "max,x-rme=on,cntfrq=1000000000";
/// What takes every device out of the machine that reads and writes memory by itself: the emulator checks no granule protection
/// for those. No network card, no disk, and the firmware configuration device only by its registers.
///
/// The last keeps the old type from giving the interrupt controller priorities of eight bits: then realms would have active
/// priorities registers that EL2 has no access to, so that nobody could exchange them.
const FEWER: [&str; 5] = [
    "-nodefaults",
    "-global",
    "fw_cfg.dma_enabled=off",
    "-global",
    "arm-gicv3-common.force-8-bit-prio=off",
];
const MINIMUM: (u32, u32) = (9, 0);
/// For an emulator that runs nothing.
const LIMIT: Option<Duration> = Some(Duration::from_secs(30));

/// An emulator that can run the project's images.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// The program.
    pub path: PathBuf,
    /// Its version as it prints it, such as `10.0.2`.
    pub version: String,
    /// The type of machine that it is to make, such as `virt`.
    pub machine_type: String,
}

impl Qemu {
    /// What to tell the user about this emulator's machines, if something has to be.
    pub fn warning(&self) -> Option<String> {
        (self.machine_type == WITH_LPIS).then(|| {
            format!(
                "QEMU {} has no machine of type {}: on later ones, a host can have realm memory read as the interrupt controller's \
                 (LPIs, see SECURITY.md)",
                self.version, WITHOUT_LPIS
            )
        })
    }

    fn machine(&self) -> String {
        format!("{},{PROPERTIES}", self.machine_type)
    }
}

/// Hands on what an emulator says on its standard error until it ends, line by line, but for what it always says.
pub fn listen(stderr: impl Read, mut line: impl FnMut(&str)) {
    let mut stderr = BufReader::new(stderr);
    let mut bytes = Vec::new();
    while stderr
        .by_ref()
        .take(LONGEST_LINE)
        .read_until(b'\n', &mut bytes)
        .is_ok_and(|read| read > 0)
    {
        let text = String::from_utf8_lossy(&bytes);
        if !text.contains(OLD_TYPE) {
            line(text.trim_end());
        }
        bytes.clear();
    }
}

/// Why there is no usable emulator.
#[derive(Debug)]
pub enum Unusable {
    /// None was found.
    Missing,
    /// The one that the user named does not do: nothing that setup could install changes that.
    Chosen(Error),
    /// The one that was found does not do; setup may install a newer one.
    Found(Error),
}

impl Unusable {
    /// The failure of who cannot install another one.
    pub fn into_error(self) -> Error {
        match self {
            Self::Missing => Error::new(format!("no {PROGRAM} is on PATH")).advise(format!(
                "install QEMU 9.0 or newer (package qemu-system-arm), or name it in {OVERRIDE}"
            )),
            Self::Chosen(error) | Self::Found(error) => error,
        }
    }
}

/// Looks for an emulator: the one that `SUZERAIN_QEMU` names, else the first on `PATH`.
///
/// # Errors
///
/// When there is none, or the one found is too old or has no Realm Management Extension.
pub fn find() -> Result<Qemu, Unusable> {
    if let Some(chosen) = env::var_os(OVERRIDE).filter(|path| !path.is_empty()) {
        return probe(Path::new(&chosen)).map_err(Unusable::Chosen);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|folder| folder.join(PROGRAM))
        .find(|path| path.is_file());
    probe(&found.ok_or(Unusable::Missing)?).map_err(Unusable::Found)
}

/// Asks the emulator at `path` for its version, and starts the machine, stopped, to see whether it can.
///
/// # Errors
///
/// One line that says what is wrong with it.
fn probe(path: &Path) -> Result<Qemu, Error> {
    let shown = path.display();
    let advice = format!("install QEMU 9.0 or newer, or name another one in {OVERRIDE}");
    let version = child::run(Command::new(path).arg("--version"), LIMIT, |_| {});
    let version = version.map_err(|error| error.advise(&advice))?;
    let Some((version, number)) = parse_version(&version.stdout) else {
        return Err(
            Error::new(format!("{shown} does not say which version of QEMU it is")).advise(advice),
        );
    };
    if number < MINIMUM {
        return Err(
            Error::new(format!("{shown} is QEMU {version}, which is too old")).advise(advice),
        );
    }
    let mut last = None;
    for machine_type in [WITHOUT_LPIS, WITH_LPIS] {
        let qemu = Qemu {
            path: path.to_path_buf(),
            version: version.clone(),
            machine_type: machine_type.to_owned(),
        };
        let built = try_machine(&qemu).map_err(|error| error.advise(&advice))?;
        if built.status.success() {
            return Ok(qemu);
        }
        last = Some(built.all);
    }
    let said = last.unwrap_or_default();
    let what = if said.contains("x-rme") {
        "has no Realm Management Extension"
    } else {
        "cannot build the machine"
    };
    Err(Error::new(format!("{shown} (QEMU {version}) {what}"))
        .advise(advice)
        .with_details(said))
}

/// Builds the machine without running it.
fn try_machine(qemu: &Qemu) -> Result<child::Finished, Error> {
    // `-S` keeps the processors from starting; the monitor's `quit` ends a machine that could be built.
    let mut command = Command::new(&qemu.path);
    command.args([
        "-M",
        &qemu.machine(),
        "-cpu",
        CPU,
        "-m",
        "64M",
        "-S",
        "-display",
        "none",
    ]);
    command.args(FEWER);
    command.args(["-monitor", "stdio"]);
    child::run_with_input(&mut command, "quit\n", LIMIT, |_| {})
}

/// Where the machine's loader puts the payload of the normal world.
pub const PAYLOAD: u64 = cca_abi::firmware::PAYLOAD_BASE;

/// The machine of the project, ready for its flash and its payloads: no device that reads or writes memory by itself, no display, the
/// UART on standard output. `cpus` processors, `memory` bytes.
///
/// The kernel ends it when this process is gone, however it goes, where the system has the means for that.
pub fn machine(qemu: &Qemu, cpus: u64, memory: u64) -> Command {
    machine_at(qemu, cpus, memory, "stdio")
}

/// As [`machine`], with the UART at `serial`, as QEMU's option names it.
pub fn machine_at(qemu: &Qemu, cpus: u64, memory: u64, serial: &str) -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    let setpriv = env::split_paths(&path)
        .map(|folder| folder.join("setpriv"))
        .find(|path| path.is_file());
    let mut command = match setpriv.filter(|_| cfg!(target_os = "linux")) {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(&qemu.path);
            command
        }
        None => Command::new(&qemu.path),
    };
    command.args([
        "-M",
        &qemu.machine(),
        "-cpu",
        CPU,
        "-smp",
        &cpus.to_string(),
        "-m",
        &format!("{}M", memory >> 20),
    ]);
    command.args(FEWER);
    command.args([
        "-display",
        "none",
        "-monitor",
        "none",
        "-serial",
        serial,
        "-no-reboot",
    ]);
    command
}

/// Adds the flash with the firmware, a file of [`crate::firmware::FLASH_SIZE`].
pub fn flash(command: &mut Command, file: &Path) {
    command.args([
        "-drive",
        &format!(
            "if=pflash,unit=0,format=raw,readonly=on,file={}",
            escaped(file)
        ),
    ]);
}

/// Adds a file that is in memory from the start.
pub fn load(command: &mut Command, file: &Path, address: u64) {
    command.args([
        "-device",
        &format!(
            "loader,file={},addr={address:#x},force-raw=on",
            escaped(file)
        ),
    ]);
}

/// Adds the control channel of a machine with `bytes` of memory: its memory is the file `memory`, of which whoever else opens it sees
/// the channel's part ([`cca_abi::firmware::CHANNEL_BASE`]), and the emulator connects the bell to the Unix socket `bell`.
pub fn channel(command: &mut Command, memory: &Path, bytes: u64, bell: &Path) {
    let memory = escaped(memory);
    command.args([
        "-object",
        &format!("memory-backend-file,id=memory,size={bytes},mem-path={memory},share=on"),
        "-machine",
        "memory-backend=memory",
        "-chardev",
        &format!("socket,id=bell,path={}", escaped(bell)),
        // The second UART, which is the Secure world's.
        "-serial",
        "chardev:bell",
    ]);
}

/// A comma separates the properties of an option; doubled, it is a comma.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// The version's text, and its first two numbers.
fn parse_version(output: &str) -> Option<(String, (u32, u32))> {
    let text = output.split_once("version ")?.1.split([' ', '\n']).next()?;
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((text.to_owned(), (numbers.next()??, numbers.next()??)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let debian =
            "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright (c)";
        assert_eq!(parse_version(debian), Some(("10.0.2".to_owned(), (10, 0))));
        assert_eq!(
            parse_version("QEMU emulator version 8.2.50\n"),
            Some(("8.2.50".to_owned(), (8, 2)))
        );
        assert_eq!(parse_version("hello"), None);
        assert_eq!(parse_version("version x.y"), None);
    }

    #[test]
    fn what_the_emulator_always_says_is_left_out() {
        let mut lines = Vec::new();
        let said = format!("qemu: warning: {OLD_TYPE}: for years\nqemu: no disk\r\nlast");
        listen(said.as_bytes(), |line| lines.push(line.to_owned()));
        assert_eq!(lines, ["qemu: no disk", "last"]);
        lines.clear();
        listen(std::io::repeat(b'a').take(LONGEST_LINE + 1), |line| {
            lines.push(line.to_owned())
        });
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn what_is_not_qemu_is_refused_in_one_line() {
        for program in ["/bin/true", "/nowhere/qemu"] {
            let error = probe(Path::new(program)).unwrap_err().to_string();
            assert!(
                error.contains(program) && error.contains(OVERRIDE) && !error.contains('\n'),
                "{error}"
            );
        }
    }
}
