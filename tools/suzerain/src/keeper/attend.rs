//! One connection of a command.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use realm_vmm::control::message::{Answer, Call, Spec};
use realm_vmm::control::{Frame, Kind};

use super::keep::Keeper;
use super::protocol::{Ask, Backing, Drawn, Reply, Said, Wire, parse};
use crate::failure::Failure;
use crate::hex;
use crate::network::Plan;
use crate::random::{self, CHALLENGE};
use crate::session::{Disk, Session};

/// How often a console looks whether its reader is still there.
const LOOK: Duration = Duration::from_millis(100);

/// Does what a command asks for, until it leaves.
pub(super) fn attend(keeper: &Keeper, stream: UnixStream) {
    keeper.attending.fetch_add(1, Ordering::SeqCst);
    // A command that goes away in the middle has nobody to tell.
    let _ = converse(keeper, &mut Wire::new(stream));
    keeper.attending.fetch_sub(1, Ordering::SeqCst);
}

fn converse(keeper: &Keeper, wire: &mut Wire) -> io::Result<()> {
    while let Some(frame) = wire.next()? {
        let result = match parse::<Ask>(&frame)? {
            Ask::Ready => keeper.machine().map(|(_, hello)| Said::Ready {
                pes: hello.pes,
                free: hello.free,
                rmi: hello.rmi,
            }),
            Ask::Call { call } => keeper.machine().and_then(|(session, _)| {
                let answer = carry_out(keeper, &session, call)?;
                Ok(Said::Answer { answer })
            }),
            Ask::Create {
                name,
                spec,
                backing,
                rim,
            } => match begin(keeper, &name, (spec, rim), &backing) {
                Ok((session, realm)) => {
                    let created = Reply::Ok(Said::Created { realm });
                    wire.say(Kind::Reply, &created)?;
                    let made = fill(&session, realm, wire);
                    if !matches!(made, Ok(Ok(_))) {
                        session.abandon(realm);
                        keeper.forget(realm);
                    }
                    made?.map(|rim| Said::Activated { rim })
                }
                Err(failure) => Err(failure),
            },
            Ask::Drawn { realm } => keeper.drawn(realm).map(Said::Drawn),
            Ask::Activate => Err(Failure::machine("there is no realm to activate")),
            Ask::Console {
                realm,
                stream,
                recent,
                follow,
            } => match keeper.machine() {
                Ok((session, _)) => Ok(console(&session, (realm, stream), recent, follow, wire)?),
                Err(failure) => Err(failure),
            },
            Ask::Down => keeper.down().map(|()| Said::Done),
        };
        let reply = match result {
            Ok(said) => Reply::Ok(said),
            Err(failure) => Reply::Failed {
                code: failure.code(),
                message: failure.to_string(),
                details: failure.details().map(str::to_owned),
            },
        };
        match wire.say(Kind::Reply, &reply) {
            // A host may have said just so much that it fits no more with what is added here.
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                let failure = Failure::machine("the host's answer is too long");
                let reply = Reply::Failed {
                    code: failure.code(),
                    message: failure.to_string(),
                    details: None,
                };
                wire.say(Kind::Reply, &reply)?;
            }
            said => said?,
        }
    }
    Ok(())
}

/// A call of the host; one that removes a realm also makes this process forget it.
fn carry_out(keeper: &Keeper, session: &Session, call: Call) -> Result<Answer, Failure> {
    match call {
        Call::Remove { realm } => {
            let report = Box::new(session.remove(realm)?);
            keeper.forget(realm);
            Ok(Answer::Removed { report })
        }
        Call::Shutdown => Err(Failure::input("`suzerain down` ends the machine")),
        call => session.call(call),
    }
}

fn begin(
    keeper: &Keeper,
    name: &str,
    (mut spec, rim): (Spec, String),
    backing: &Backing,
) -> Result<(Session, u32), Failure> {
    let (session, _) = keeper.machine()?;
    let disks = backing
        .disks
        .iter()
        .map(|disk| Disk::open(&disk.path, disk.read_only))
        .collect::<Result<Vec<_>, _>>()?;
    let doors = backing.network.as_ref().map(Plan::open).transpose()?;
    let _naming = keeper.naming.lock().unwrap_or_else(PoisonError::into_inner);
    if session
        .list()?
        .realms
        .iter()
        .any(|realm| realm.name == name)
    {
        return Err(Failure::input(format!(
            "there is a realm `{name}` already; choose another name, or `suzerain rm {name}` first"
        )));
    }
    let challenge = random::bytes::<CHALLENGE>()?;
    spec.challenge = random::words(&challenge);
    let realm = session.create(name, spec)?;
    let challenge = hex::show(&challenge);
    keeper.remember(realm, Drawn { challenge, rim });
    for (index, disk) in disks.into_iter().enumerate() {
        session.add_disk(realm, u8::try_from(index).unwrap_or(u8::MAX), disk);
    }
    if let Some(doors) = doors
        && let Err(failure) = session.add_network(realm, doors)
    {
        session.abandon(realm);
        keeper.forget(realm);
        return Err(failure);
    }
    Ok((session, realm))
}

/// Passes contents on, and activates the realm. The outer failure is that of the command's connection.
fn fill(session: &Session, realm: u32, wire: &mut Wire) -> io::Result<Result<String, Failure>> {
    loop {
        let Some(frame) = wire.next()? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        match frame.kind {
            Kind::Contents => {
                let Some((ipa, bytes)) = frame.payload.split_first_chunk() else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                if let Err(failure) = session.contents(realm, u64::from_le_bytes(*ipa), bytes) {
                    return Ok(Err(failure));
                }
            }
            _ => match parse(&frame)? {
                Ask::Activate => return Ok(session.activate(realm)),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            },
        }
    }
}

/// Sends what a console prints until it ends, or its reader leaves; types what comes.
fn console(
    session: &Session,
    (realm, stream): (u32, u8),
    recent: u64,
    follow: bool,
    wire: &mut Wire,
) -> io::Result<Said> {
    let left = Arc::new(AtomicBool::new(false));
    if follow {
        let (mut typed, session, left) = (wire.another()?, session.clone(), left.clone());
        thread::spawn(move || {
            while let Ok(Some(Frame {
                kind: Kind::Console,
                payload,
                ..
            })) = typed.next()
            {
                if session.input(realm, stream, &payload).is_err() {
                    break;
                }
            }
            left.store(true, Ordering::SeqCst);
        });
    }
    let consoles = session.consoles();
    let mut next = consoles.end(realm, stream).saturating_sub(recent);
    let wait = if follow { LOOK } else { Duration::ZERO };
    while let Some((bytes, after)) = consoles.read(realm, stream, next, wait) {
        for piece in bytes.chunks(64 << 10) {
            wire.send(Kind::Console, realm, piece)?;
        }
        next = after;
        if left.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !follow && bytes.is_empty() {
            break;
        }
    }
    let stopped = session.stopped(realm);
    Ok(Said::Ended {
        outcome: stopped.as_ref().map(|stopped| stopped.outcome),
        error: stopped.and_then(|stopped| stopped.error),
    })
}
