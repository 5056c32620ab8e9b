//! The code for bare metal under the eyes of every compiler that builds it: lints, documentation, images.

use toolbox::Error;
use toolbox::progress::Lines;
use toolbox::setup;
use toolbox::toolchain::Toolchain;
use toolbox::workspace::Workspace;

use super::{Case, Depth};
use crate::images;

/// Lints and documentation of `hardware` and all images, with the compiler that builds the images here.
pub(super) fn lints(workspace: &Workspace, _depth: Depth) -> Vec<Case> {
    match setup::toolchain(workspace, &Lines) {
        Ok(toolchain) => looked_at(workspace, &toolchain),
        Err(error) => vec![Case::broken("set up the compiler", &error)],
    }
}

/// The other compiler that setup knows builds all images, lints and documents them.
pub(super) fn others(workspace: &Workspace, _depth: Depth) -> Vec<Case> {
    let name = "another compiler";
    let other = setup::toolchain(workspace, &Lines).and_then(|first| match first {
        Toolchain::User => setup::debian(workspace, &Lines),
        Toolchain::Debian { .. } => Ok(Toolchain::user()),
    });
    let other = match other {
        Ok(Some(other)) => other,
        Ok(None) => {
            let why = "only one of your own Rust with the target and Debian's compiler can be had on this computer";
            return vec![Case::skipped(name, why)];
        }
        Err(error) => return vec![Case::broken(name, &error)],
    };
    let mut cases = Vec::new();
    for image in images::ALL {
        let built = toolbox::images::compile(workspace, &other, image, &Lines);
        cases.push(case(format!("{} with {other}", image.name), built));
    }
    cases.extend(looked_at(workspace, &other));
    cases
}

fn looked_at(workspace: &Workspace, toolchain: &Toolchain) -> Vec<Case> {
    let mut cases = Vec::new();
    for image in images::ALL {
        let name = format!("of {} with {toolchain}", image.name);
        let lints = images::lint(workspace, toolchain, image);
        cases.push(case(format!("lints {name}"), lints));
        let documentation = images::document(workspace, toolchain, image);
        cases.push(case(format!("documentation {name}"), documentation));
    }
    cases
}

fn case(name: String, result: Result<(), Error>) -> Case {
    match result {
        Ok(()) => Case::new(name, Ok(())),
        Err(error) => Case::broken(name, &error),
    }
}
