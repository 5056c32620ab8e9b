//! The machine of `suzerain host`: firmware in its flash, the payload in its memory, the terminal at its UART.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cca_abi::firmware::{PAYLOAD_BASE, RMM_BASE, SHARED_BUFFER};
use toolbox::firmware::{self, FLASH_SIZE};
use toolbox::images::{FIRMWARE, REALM_MONITOR, ROOT_MONITOR};
use toolbox::qemu::{Qemu, listen};
use toolbox::workspace::Workspace;
use toolbox::{Error, Progress, child, images, setup};

use super::payload::{self, Content, Payload};
use super::{Host, tree};
use crate::failure::Failure;
use crate::foreign::{self, printable};
use crate::scratch::Scratch;
use crate::screen::Screen;
use crate::size;

/// Making a device tree takes the emulator a moment.
const TREE_LIMIT: Duration = Duration::from_secs(60);
/// How long the emulator may take to put the terminal in order.
const END_LIMIT: Duration = Duration::from_secs(3);

/// Files and programs that a machine is started with.
pub(super) struct Parts {
    qemu: Qemu,
    flash: PathBuf,
    tree: Option<PathBuf>,
    initrd: Option<PathBuf>,
    // Holds the files for as long as the emulator may read them.
    _files: Scratch,
}

impl Parts {
    /// Finds or installs tools, builds the firmware, writes what is to be in the machine's memory.
    ///
    /// # Errors
    ///
    /// A bad `--rmm`, and whatever setup and build cannot do.
    pub(super) fn new(options: &Host, payload: &Payload, screen: &Screen) -> Result<Self, Failure> {
        let rmm = options.rmm.as_deref().map(read_rmm).transpose()?;
        screen.step("looking for tools");
        let workspace = Workspace::find()?;
        let qemu = setup::qemu(&workspace, screen)?;
        if let Some(warning) = qemu.warning() {
            screen.note(&format!("warning: {warning}"));
        }
        let wanted = match rmm {
            Some(_) => [ROOT_MONITOR].as_slice(),
            None => &[ROOT_MONITOR, REALM_MONITOR],
        };
        let builder = setup::builder(&workspace, wanted, screen)?;
        images::bring(&workspace, builder.as_ref(), wanted, screen)?;
        let files = Scratch::new()?;
        let write = |name: &str, content: &[u8]| {
            let path = files.path().join(name);
            fs::write(&path, content).map_err(|error| Error::io("write", &path, &error))?;
            Ok::<_, Error>(path)
        };
        let read = |name: &str| {
            let path = workspace.images().join(name);
            fs::read(&path).map_err(|error| Error::io("read", &path, &error))
        };
        let firmware = match &rmm {
            Some(rmm) => firmware::assemble(&read(ROOT_MONITOR.file)?, rmm, firmware::identity()?)?,
            None => read(FIRMWARE)?,
        };
        let flash = write("flash", &firmware)?;
        // The flash device has a fixed size; what the firmware does not fill stays a hole in the file.
        File::options()
            .write(true)
            .open(&flash)
            .and_then(|file| file.set_len(FLASH_SIZE))
            .map_err(|error| Error::io("extend", &flash, &error))?;
        let (mut tree, mut initrd) = (None, None);
        if let Some(linux) = &payload.linux {
            let place = linux.initrd.as_ref().map(|initrd| &initrd.place);
            initrd = match linux.initrd.as_ref().map(|initrd| &initrd.content) {
                Some(Content::File(path)) => Some(path.clone()),
                Some(Content::Bytes(bytes)) => Some(write("initrd", bytes)?),
                None => None,
            };
            let machines = machines_tree(options, &qemu, &flash, files.path())?;
            tree = Some(write(
                "tree",
                &tree::with_chosen(&machines, &linux.append, place)?,
            )?);
        }
        Ok(Self {
            qemu,
            flash,
            tree,
            initrd,
            _files: files,
        })
    }

    fn command(&self, options: &Host, payload: &Payload, serial: &str) -> Command {
        let (cpus, memory) = (options.cpus, options.memory);
        let mut command = toolbox::qemu::machine_at(&self.qemu, cpus, memory, serial);
        toolbox::qemu::flash(&mut command, &self.flash);
        toolbox::qemu::load(&mut command, &payload.file, PAYLOAD_BASE);
        let linux = payload.linux.as_ref();
        let initrd = linux.and_then(|linux| linux.initrd.as_ref());
        if let (Some(initrd), Some(file)) = (initrd, &self.initrd) {
            toolbox::qemu::load(&mut command, file, initrd.place.start);
        }
        if let Some(tree) = &self.tree {
            command.arg("-dtb").arg(tree);
        }
        command.args(&options.qemu);
        command
    }
}

/// Another RMM: a raw image whose first instruction is its entry.
fn read_rmm(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let length = payload::length("RMM", path)?;
    // Its place in memory, without the page that it shares with the root monitor.
    let most = SHARED_BUFFER - RMM_BASE;
    if length > most {
        let most = size::show(most);
        return Err(Failure::input(format!(
            "the RMM {shown} has {length} bytes; there are {most} for it"
        )));
    }
    if payload::start(path)?.starts_with(b"\x7fELF") {
        return Err(Failure::input(format!(
            "the RMM {shown} is an ELF file; name its raw image (such as rmm.img)"
        )));
    }
    fs::read(path).map_err(|error| Failure::input(format!("cannot read the RMM {shown}: {error}")))
}

/// The device tree that QEMU makes for the machine.
///
/// With `flash`, as it is to run: a machine with firmware has other devices than one without.
fn machines_tree(
    options: &Host,
    qemu: &Qemu,
    flash: &Path,
    folder: &Path,
) -> Result<Vec<u8>, Error> {
    let file = folder.join("machine");
    let mut command = toolbox::qemu::machine(qemu, options.cpus, options.memory);
    toolbox::qemu::flash(&mut command, flash);
    let escaped = file.to_string_lossy().replace(',', ",,");
    command.args(&options.qemu);
    command.args(["-machine", &format!("dumpdtb={escaped}")]);
    let finished = child::run(&mut command, Some(TREE_LIMIT), |_| {})?;
    if !finished.status.success() {
        return Err(Error::new("QEMU refuses to build the machine")
            .advise("look at the options after `--`")
            .with_details(finished.all));
    }
    fs::read(&file).map_err(|error| Error::io("read", &file, &error))
}

/// Runs the machine until it is switched off, the limit passes, or the person ends it.
///
/// # Errors
///
/// When it ends in another way.
pub(super) fn run(
    options: &Host,
    payload: &Payload,
    parts: &Parts,
    screen: &Screen,
) -> Result<(), Failure> {
    // At a terminal, keys such as Ctrl-C are the machine's, and the emulator needs a key of its own.
    let keys = io::stdin().is_terminal();
    let serial = if keys { "mon:stdio" } else { "stdio" };
    let mut command = parts.command(options, payload, serial);
    if options.json {
        command.stdout(Stdio::from(foreign::stderr()));
    }
    command.stderr(Stdio::piped());
    screen.text(&format!("{command:?}"));
    screen.clear();
    if !options.json {
        let memory = size::show(options.memory);
        let key = if keys {
            "; Ctrl-A X ends the machine"
        } else {
            ""
        };
        let (what, cpus) = (&payload.what, options.cpus);
        screen.err(&format!(
            "booting {what} at NS-EL2 with {cpus} CPUs and {memory}{key}"
        ));
    }
    let started = Instant::now();
    let mut machine = Running(
        command
            .spawn()
            .map_err(|error| Error::io("start", &parts.qemu.path, &error))?,
    );
    let said = machine.0.stderr.take();
    let said = said.map(|stderr| {
        thread::spawn(move || {
            listen(stderr, |line| {
                let _ = writeln!(foreign::stderr(), "{}", printable(line));
            });
        })
    });
    let status = loop {
        if child::interrupted() {
            return Err(Failure::interrupted());
        }
        if let Some(limit) = options.limit().filter(|limit| started.elapsed() > *limit) {
            let message = format!("the machine still runs after {} s", limit.as_secs());
            return Err(Failure::timeout(message));
        }
        let status = machine.0.try_wait();
        match status.map_err(|error| Failure::machine(format!("lost the machine: {error}")))? {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    // All of the emulator's own words come before what is made of its end.
    let _ = said.map(thread::JoinHandle::join);
    // A signal from the terminal goes to the emulator as well, which then ends as if all were well.
    if child::interrupted() {
        Err(Failure::interrupted())
    } else if status.success() {
        Ok(())
    } else {
        Err(Failure::machine(format!("the emulator failed ({status})")))
    }
}

/// A machine that ends with this value, and leaves the terminal as it was.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        child::terminate(&self.0);
        let asked = Instant::now();
        while asked.elapsed() < END_LIMIT {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        // Fails only when the emulator has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rmm_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rmm");
        for (content, why) in [
            (b"".as_slice(), "is empty"),
            (b"\x7fELF\x02\x01\x01", "ELF"),
            (
                &vec![1; (SHARED_BUFFER - RMM_BASE) as usize + 1],
                "there are",
            ),
        ] {
            fs::write(&path, content).unwrap();
            let failure = read_rmm(&path).unwrap_err();
            assert!(failure.to_string().contains(why), "{failure}");
        }
        fs::write(&path, b"rmm").unwrap();
        assert_eq!(read_rmm(&path).unwrap(), b"rmm");
    }
}
