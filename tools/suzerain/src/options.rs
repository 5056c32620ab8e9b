//! The options of a realm, and of the machine that it runs on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

use crate::failure::{self, Failure};
use crate::keeper::DiskFile;
use crate::name;
use crate::network::{self, Plan, Publish};
use crate::prepare::Install;
use crate::size;

/// The most vCPUs of a realm. The architecture allows more; nobody emulates them in reasonable time.
pub(crate) const MAX_VCPUS: u64 = 64;
/// The most processors of the machine that the firmware serves.
pub(crate) const MAX_CPUS: u64 = 8;
/// The most memory of the emulated machine.
const MAX_HOST_MEMORY: u64 = 8 << 30;
/// Memory of the machine that no realm can have: firmware, the host itself, what tables a realm needs, and the host's books, which grow
/// with the machine.
const fn host_overhead(machine: u64) -> u64 {
    (448 << 20) + machine / 16
}
/// How long a machine may run that is told nothing else.
pub(crate) const USUAL_LIMIT: Duration = Duration::from_secs(120);
/// How long a machine may run in which a command runs.
const EXEC_LIMIT: Duration = Duration::from_secs(600);
/// The usual memory of a realm with the demo guest.
const DEMO_MEMORY: u64 = 64 << 20;
/// The usual memory of a realm with Linux.
const LINUX_MEMORY: u64 = 512 << 20;

/// What kind of machine the realm runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Machine {
    /// The Realm Management Extension as QEMU emulates it: firmware, RMM and hypervisor are booted.
    Qemu,
    /// The in-process machine: the same RMM and host code in threads of this process, with a scripted guest.
    Model,
}

impl Machine {
    /// Its name on the command line and in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Model => "model",
        }
    }
}

/// The size of the pages in which the host hands out memory. Granules always have 4K.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PageSize {
    /// 4096 bytes.
    #[value(name = "4k")]
    Four,
    /// 16384 bytes.
    #[value(name = "16k")]
    Sixteen,
    /// 65536 bytes.
    #[value(name = "64k")]
    SixtyFour,
}

impl PageSize {
    /// In bytes.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Four => 4 << 10,
            Self::Sixteen => 16 << 10,
            Self::SixtyFour => 64 << 10,
        }
    }

    /// As the in-process machine says it.
    pub(crate) fn of_model(self) -> machine::PageSize {
        match self {
            Self::Four => machine::PageSize::Size4K,
            Self::Sixteen => machine::PageSize::Size16K,
            Self::SixtyFour => machine::PageSize::Size64K,
        }
    }
}

/// How a realm is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    /// Not at all.
    None,
    /// To 10.0.2.2 by TCP, at the ports that --publish and --host-port name; without them, to nobody.
    Ports,
}

/// What a realm is made of.
#[derive(Args, Debug, Clone)]
pub(crate) struct RealmOptions {
    /// The realm's name: letters, digits, and any of -_. [default: one that is made up; with `run`: realm]
    #[arg(long, value_name = "REALM")]
    pub(crate) name: Option<String>,

    /// How many vCPUs the realm has, each with its REC (1 to 64)
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) vcpus: u64,

    /// The realm's memory, such as 64M or 1G [default: 64M, or 512M with a kernel]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) memory: Option<u64>,

    /// The realm's SVE vector length in bits (a multiple of 128, at most 2048); 0 for a realm without SVE
    #[arg(long, value_name = "BITS", default_value_t = 0)]
    pub(crate) sve: u32,

    /// A raw guest (loaded and entered at the start of its memory) instead of the demo guest
    #[arg(long, value_name = "FILE", group = "guest", conflicts_with = "kernel")]
    pub(crate) raw: Option<PathBuf>,

    /// A Linux for the realm instead of the demo guest: an arm64 Image, or `debian` for Debian's kernel
    #[arg(long, value_name = "FILE|debian", group = "guest")]
    pub(crate) kernel: Option<PathBuf>,

    /// Linux's first file system [default with `debian`: a busybox]
    #[arg(
        long,
        value_name = "FILE",
        requires = "kernel",
        conflicts_with = "exec"
    )]
    pub(crate) initrd: Option<PathBuf>,

    /// More words for Linux's command line
    #[arg(long, value_name = "STR", requires = "kernel")]
    pub(crate) append: Option<String>,

    /// A file that is Linux's disk /dev/vda; `:ro` refuses to have it written. With `create`, also the disk of a raw guest
    #[arg(
        long,
        value_name = "FILE[:ro]",
        requires = "guest",
        value_parser = OsStringValueParser::new().try_map(DiskFile::parse)
    )]
    pub(crate) disk: Option<DiskFile>,

    /// Linux's network; `ports` is eth0 with 10.0.2.15, and 10.0.2.2, which answers DHCP and ping. With `create`, also that of a raw
    /// guest [default: none, or `ports` with --publish or --host-port]
    #[arg(long, value_name = "KIND", value_enum, requires_if("ports", "guest"))]
    pub(crate) network: Option<Network>,

    /// Takes connections at a port of this host, and passes them on to one of the realm [ADDRESS: 127.0.0.1 unless given; makes
    /// the network `ports`; may be repeated]
    #[arg(
        long,
        value_name = "[ADDRESS:]PORT:REALMPORT",
        requires = "guest",
        value_parser = Publish::parse
    )]
    pub(crate) publish: Vec<Publish>,

    /// Lets the realm connect to 10.0.2.2:PORT, which is 127.0.0.1:PORT of this host [makes the network `ports`; may
    /// be repeated]
    #[arg(
        long = "host-port",
        value_name = "PORT",
        requires = "guest",
        value_parser = network::parse_port
    )]
    pub(crate) host_ports: Vec<u16>,

    /// So many virtio consoles for a raw guest, besides the PL011 (with `create`) [default: 0]
    #[arg(
        long,
        value_name = "N",
        requires = "raw",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) consoles: u8,

    /// Runs a command in Debian's Linux instead of a shell; its exit status is that of the tool
    #[arg(long, value_name = "COMMAND", requires = "kernel")]
    pub(crate) exec: Option<String>,
}

impl RealmOptions {
    /// Bytes of memory.
    pub(crate) fn memory(&self) -> u64 {
        let linux = self.kernel.is_some();
        let usual = if linux { LINUX_MEMORY } else { DEMO_MEMORY };
        self.memory.unwrap_or(usual)
    }

    /// Refuses what no realm can be.
    ///
    /// # Errors
    ///
    /// One line that names the option and what it may be.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if let Some(name) = &self.name {
            name::check(name)?;
        }
        if !(1..=MAX_VCPUS).contains(&self.vcpus) {
            return Err(Failure::input(format!(
                "--vcpus is {}; a realm has 1 to {MAX_VCPUS}",
                self.vcpus
            )));
        }
        if !self.sve.is_multiple_of(128) || self.sve > 2048 {
            return Err(Failure::input(format!(
                "--sve is {}; vectors have a multiple of 128 bits, at most 2048",
                self.sve
            )));
        }
        let memory = self.memory();
        let demo = self.raw.is_none() && self.kernel.is_none();
        if demo && memory < machine::DEMO_MEMORY {
            let (memory, least) = (size::show(memory), size::show(machine::DEMO_MEMORY));
            return Err(Failure::input(format!(
                "--memory is {memory}; the demo guest needs {least}"
            )));
        }
        if self.exec.is_some() && !self.is_debian() {
            return Err(Failure::input(
                "--exec needs --kernel debian: the command runs in the file system that the tool makes for that",
            ));
        }
        if self.network == Some(Network::None) && self.has_ports() {
            return Err(Failure::input(
                "--network is none; --publish and --host-port need `--network ports`, which is what they make it without that option",
            ));
        }
        Ok(())
    }

    /// Its name on a machine of its own, where no other realm can have it.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(name::USUAL)
    }

    fn has_ports(&self) -> bool {
        !self.publish.is_empty() || !self.host_ports.is_empty()
    }

    /// The realm's network, if it is to have one.
    pub(crate) fn network(&self) -> Option<Plan> {
        let wanted = self.network == Some(Network::Ports) || self.has_ports();
        wanted.then(|| Plan {
            publish: self.publish.clone(),
            host_ports: self.host_ports.clone(),
        })
    }

    /// Whether the kernel is Debian's.
    pub(crate) fn is_debian(&self) -> bool {
        self.kernel.as_deref() == Some(Path::new("debian"))
    }
}

#[derive(Args, Debug)]
#[command(after_help = failure::HELP)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) realm: RealmOptions,

    /// What kind of machine the realm runs on
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Machine::Qemu)]
    pub(crate) machine: Machine,

    /// How many processors the machine has (1 to 8) [default: one per vCPU, at most 4]
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<u64>,

    /// The machine's memory, at most 8G [default: 1G, or what the realm needs]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) host_memory: Option<u64>,

    /// The size of the host's pages
    #[arg(long, value_enum, default_value_t = PageSize::Four)]
    pub(crate) page_size: PageSize,

    /// Ends a machine that runs longer than this [default: 120, 600 with --exec, none for a Linux with a console]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,

    /// Prints one JSON object and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,

    /// Shows what firmware and tools say, too
    #[arg(long, short)]
    pub(crate) verbose: bool,

    /// Firmware for flash 0 instead of Suzerain's root monitor and RMM
    #[arg(long, value_name = "FILE")]
    pub(crate) firmware: Option<PathBuf>,

    /// The attestation key of the platform that the firmware makes (PEM, DER, JWK, or an uncompressed point) [default: the
    /// development identity, that of SUZERAIN_IDENTITY_SEED or the public one]
    #[arg(long, value_name = "FILE", requires = "firmware")]
    pub(crate) key: Option<PathBuf>,

    /// Raw payload for normal-world EL2 instead of Suzerain's hypervisor; it must report like that one
    #[arg(long, value_name = "FILE")]
    pub(crate) hypervisor: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) install: Install,
}

impl Options {
    /// Refuses what no machine can do, before anything is installed or built.
    ///
    /// # Errors
    ///
    /// One line that names the option and what it may be.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.realm.check()?;
        check_cpus(self.cpus)?;
        if self.timeout == Some(0) {
            return Err(Failure::input(
                "--timeout is 0; give the machine at least a second",
            ));
        }
        let files = [
            ("--raw", &self.realm.raw),
            ("--kernel", &self.realm.kernel),
            ("--firmware", &self.firmware),
            ("--hypervisor", &self.hypervisor),
        ];
        if let Some((name, _)) = files
            .iter()
            .find(|(_, file)| self.machine == Machine::Model && file.is_some())
        {
            let message = format!(
                "{name} needs --machine qemu; the in-process machine runs the demo guest only"
            );
            return Err(Failure::input(message));
        }
        let realm = &self.realm;
        let wants = realm.disk.is_some() || realm.network().is_some() || realm.consoles > 0;
        if realm.raw.is_some() && wants {
            return Err(Failure::input(
                "--raw has no disk, network or consoles with `run`; `suzerain create` gives it some",
            ));
        }
        let (page, memory) = (self.page_size.bytes(), self.realm.memory());
        if memory == 0 || !memory.is_multiple_of(page) {
            let pages = size::show(page);
            return Err(Failure::input(format!(
                "--memory must be a multiple of the page size {pages}, and not 0"
            )));
        }
        let host_memory = self.host_memory();
        check_machine_memory("--host-memory", host_memory)?;
        let most = host_memory - host_overhead(host_memory);
        if memory > most {
            let wanted = size::show(memory);
            let (machine, most) = (size::show(host_memory), size::show(most));
            let message = format!(
                "--memory is {wanted}, but a machine of {machine} can give a realm {most} at most"
            );
            return Err(Failure::input(message));
        }
        Ok(())
    }

    /// Processors of the machine.
    pub(crate) fn cpus(&self) -> u64 {
        self.cpus.unwrap_or(self.realm.vcpus.min(4))
    }

    /// Memory of the machine in bytes: what the user says, or the smallest power of two that holds the realm.
    pub(crate) fn host_memory(&self) -> u64 {
        self.host_memory.unwrap_or_else(|| {
            let memory = self.realm.memory();
            let sizes = (30..).map(|bits| 1 << bits);
            let mut sizes = sizes.take_while(|&size| size < MAX_HOST_MEMORY);
            let fits = |size: &u64| memory.saturating_add(host_overhead(*size)) <= *size;
            sizes.find(fits).unwrap_or(MAX_HOST_MEMORY)
        })
    }

    /// After how long the machine is ended; `None` for a person who sits at a console.
    pub(crate) fn limit(&self) -> Option<Duration> {
        let usual = match (&self.realm.kernel, &self.realm.exec) {
            (None, _) => Some(USUAL_LIMIT),
            (Some(_), Some(_)) => Some(EXEC_LIMIT),
            (Some(_), None) => None,
        };
        self.timeout.map(Duration::from_secs).or(usual)
    }

    /// After how long the host in the machine should give up by itself: early enough to take the realm apart and
    /// to report before the machine is ended.
    pub(crate) fn host_limit(&self) -> Option<Duration> {
        let limit = self.limit()?;
        let early = limit.saturating_sub(Duration::from_secs(10));
        Some(limit.mul_f64(0.75).max(early))
    }
}

/// Refuses a number of processors that no machine has.
///
/// # Errors
///
/// One line that says what it may be.
pub(crate) fn check_cpus(cpus: Option<u64>) -> Result<(), Failure> {
    match cpus.filter(|cpus| !(1..=MAX_CPUS).contains(cpus)) {
        Some(cpus) => Err(Failure::input(format!(
            "--cpus is {cpus}; the machine has 1 to {MAX_CPUS}"
        ))),
        None => Ok(()),
    }
}

/// Refuses an amount of memory that no machine has; `name` is the option.
///
/// # Errors
///
/// One line that says what it may be.
pub(crate) fn check_machine_memory(name: &str, memory: u64) -> Result<(), Failure> {
    if (1 << 30..=MAX_HOST_MEMORY).contains(&memory) && memory.is_multiple_of(1 << 20) {
        return Ok(());
    }
    Err(Failure::input(format!(
        "{name} is {}; it may be 1G to 8G, in steps of 1M",
        size::show(memory)
    )))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::commands::{Arguments, Command};

    fn options(arguments: &[&str]) -> Options {
        let all = ["suzerain", "run"].iter().chain(arguments);
        match Arguments::parse_from(all).command {
            Command::Run(options) => options,
            _ => panic!("this is `run`"),
        }
    }

    #[test]
    fn the_defaults_are_accepted() {
        let options = options(&[]);
        options.check().unwrap();
        assert_eq!(
            (options.realm.vcpus, options.cpus(), options.host_memory()),
            (4, 4, 1 << 30)
        );
    }

    #[test]
    fn the_machine_grows_with_the_realm() {
        for (memory, host) in [
            ("512M", 1 << 30),
            ("513M", 2 << 30),
            ("3G", 4 << 30),
            ("7G", 8 << 30),
        ] {
            let options = options(&["--memory", memory]);
            options.check().unwrap();
            assert_eq!(options.host_memory(), host, "{memory}");
        }
    }

    #[test]
    fn a_linux_has_more_memory_and_a_person_has_all_the_time() {
        let linux = options(&["--kernel", "debian"]);
        linux.check().unwrap();
        assert_eq!(
            (linux.realm.memory(), linux.host_memory()),
            (512 << 20, 1 << 30)
        );
        assert_eq!((linux.limit(), linux.host_limit()), (None, None));
        let exec = options(&["--kernel", "debian", "--exec", "nproc"]);
        assert_eq!(exec.limit(), Some(Duration::from_secs(600)));
        assert_eq!(exec.host_limit(), Some(Duration::from_secs(590)));
        let quick = options(&["--kernel", "debian", "--timeout", "4"]);
        assert_eq!(quick.host_limit(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_realm_has_a_network_when_one_is_asked_for() {
        let linux = |arguments: &[&str]| options(&[&["--kernel", "debian"], arguments].concat());
        assert_eq!(linux(&[]).realm.network(), None);
        assert_eq!(linux(&["--network", "none"]).realm.network(), None);
        options(&["--network", "none"]).check().unwrap();
        let closed = linux(&["--network", "ports"]).realm.network();
        assert_eq!(closed, Some(Plan::default()));
        let arguments = [
            "--publish",
            "8080:80",
            "--host-port",
            "1",
            "--host-port",
            "2",
        ];
        let open = linux(&arguments).realm.network().unwrap();
        assert_eq!(open.publish, [Publish::parse("8080:80").unwrap()]);
        assert_eq!(open.host_ports, [1, 2]);
        for bad in [
            ["--network", "ports"],
            ["--publish", "8080:80"],
            ["--host-port", "80"],
        ] {
            let all = ["suzerain", "run"].iter().chain(&bad);
            assert!(
                Arguments::try_parse_from(all).is_err(),
                "no kernel: {bad:?}"
            );
        }
    }

    #[test]
    fn bad_values_are_named() {
        for (arguments, name) in [
            (["--vcpus", "0"].as_slice(), "--vcpus"),
            (&["--vcpus", "65"], "--vcpus"),
            (&["--cpus", "0"], "--cpus"),
            (&["--cpus", "9"], "--cpus"),
            (&["--memory", "0"], "--memory"),
            (&["--memory", "1000"], "--memory"),
            (&["--memory", "4100K", "--page-size", "64k"], "--memory"),
            (&["--memory", "1M"], "--memory"),
            (&["--memory", "8G"], "--memory"),
            (&["--memory", "99999G"], "--memory"),
            (&["--memory", "1G", "--host-memory", "1G"], "--memory"),
            (&["--host-memory", "16G"], "--host-memory"),
            (&["--timeout", "0"], "--timeout"),
            (&["--sve", "100"], "--sve"),
            (&["--name", "12"], "`12` is no name of a realm"),
            (&["--sve", "2176"], "--sve"),
            (&["--machine", "model", "--raw", "x"], "--raw"),
            (&["--machine", "model", "--kernel", "debian"], "--kernel"),
            (&["--kernel", "Image", "--exec", "nproc"], "--exec"),
            (&["--raw", "x", "--network", "ports"], "--raw"),
            (&["--raw", "x", "--disk", "y"], "--raw"),
            (&["--raw", "x", "--consoles", "1"], "--raw"),
            (
                &["--kernel=x", "--network=none", "--publish=1:1"],
                "--network",
            ),
            (
                &["--kernel=x", "--network=none", "--host-port=1"],
                "--network",
            ),
        ] {
            let failure = options(arguments).check().unwrap_err();
            assert!(failure.to_string().starts_with(name), "{failure}");
            assert_eq!(failure.code(), failure::INPUT);
        }
    }
}
