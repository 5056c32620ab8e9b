//! `cargo xtask picture`: the picture of `suzerain top` in the README, from a session that really takes place.
//!
//! A machine is brought up, two realms with Debian's Linux boot in it and one with the demo guest comes and goes, while `suzerain top` runs
//! on a pseudo terminal. What it writes there is interpreted and drawn as an animated SVG.

mod record;
mod svg;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use toolbox::progress::{Lines, Progress};
use toolbox::workspace::Workspace;
use toolbox::{Error, child};

use record::{Act, Size};

/// Gives a command up that does not end: the first may have to download a kernel and to build everything.
const LIMIT: Duration = Duration::from_secs(1800);
/// A terminal of a usual kind, wide enough for all that `top` shows of three realms.
const SIZE: Size = Size {
    columns: 110,
    lines: 30,
};
/// How long `top` is watched.
const SECONDS: u64 = 48;

/// Makes the picture.
///
/// # Errors
///
/// When a command of the session fails, or the picture cannot be written.
pub(crate) fn picture(workspace: &Workspace) -> Result<(), Error> {
    Lines.step("building the command");
    let mut build = Command::new("cargo");
    build.current_dir(workspace.root());
    build.args(["build", "--release", "--package", "suzerain"]);
    child::output(&mut build)?;
    let tool = Tool {
        program: workspace.target().join("release").join("suzerain"),
        folder: workspace.target().join("picture"),
    };
    fs::create_dir_all(&tool.folder).map_err(|error| Error::io("create", &tool.folder, &error))?;

    Lines.step("bringing a machine up");
    // One that an earlier attempt has left is in the way; mostly there is none, which is an error of the command.
    let _ = child::output(&mut tool.command(&["down"]));
    tool.done(&["up", "--cpus", "4"])?;
    let frames = session(&tool);
    Lines.step("taking the machine down");
    let down = tool.done(&["down"]);
    let frames = frames.and_then(|frames| down.map(|()| frames))?;

    let drawn = svg::draw(&frames, SIZE);
    let path = workspace.root().join("docs/pictures/top.svg");
    let folder = path.with_file_name("");
    fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, &error))?;
    fs::write(&path, &drawn).map_err(|error| Error::io("write", &path, &error))?;
    Lines.note(&format!(
        "{}: {} frames, {} bytes",
        path.display(),
        frames.len(),
        drawn.len()
    ));
    Ok(())
}

/// What is shown: realms that boot, one that comes and goes, and a look at each.
fn session(tool: &Tool) -> Result<Vec<record::Frame>, Error> {
    let linux = ["--kernel", "debian"];
    tool.done(
        &[
            &[
                "create", "--name", "web", "--vcpus", "2", "--memory", "256M",
            ],
            linux.as_slice(),
        ]
        .concat(),
    )?;
    tool.done(
        &[
            &["create", "--name", "database", "--vcpus", "4"],
            linux.as_slice(),
        ]
        .concat(),
    )?;
    tool.done(&["create", "--name", "demo", "--vcpus", "2"])?;
    tool.done(&["start", "web"])?;
    Lines.step(&format!("watching `suzerain top` for {SECONDS} seconds"));
    let acts = [
        (4, Act::Run(tool.command(&["start", "database"]))),
        (10, Act::Type("j")),
        (20, Act::Run(tool.command(&["start", "demo"]))),
        (24, Act::Type("j")),
        (32, Act::Type("k")),
        (SECONDS, Act::Type("q")),
    ];
    let frames = record::record(tool.command(&["top"]), SIZE, acts)?;
    tool.done(&["rm", "--force", "web", "database", "demo"])?;
    Ok(frames)
}

struct Tool {
    program: PathBuf,
    folder: PathBuf,
}

impl Tool {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("XDG_RUNTIME_DIR", &self.folder)
            .env("SUZERAIN_MACHINE", "picture");
        command
    }

    fn done(&self, arguments: &[&str]) -> Result<(), Error> {
        let finished = child::run(&mut self.command(arguments), Some(LIMIT), |_| {})?;
        if finished.status.success() {
            Ok(())
        } else {
            let what = arguments.join(" ");
            Err(Error::new(format!("suzerain {what}: {}", finished.status))
                .with_details(finished.all))
        }
    }
}
