//! `suzerain attest`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Which;
use crate::evidence::{Checked, Trust};
use crate::failure::{self, Failure};
use crate::keeper::{Client, Place};
use crate::key::Identity;
use crate::screen::Screen;
use crate::{file, hex};

#[derive(Args, Debug)]
#[command(after_help = failure::HELP)]
pub(crate) struct Attest {
    /// The token: bytes or hexadecimal digits, or what `suzerain run --json` prints; `-` is standard input. If there is no such
    /// file: a realm of the machine that is up, which has handed its token over to its host
    #[arg(value_name = "FILE|REALM")]
    pub(crate) file: PathBuf,

    /// The challenge that the realm was given, at most 64 bytes
    #[arg(long, value_name = "HEX")]
    pub(crate) challenge: Option<String>,

    /// The platform's attestation key: PEM, DER, JWK, or an uncompressed point [default: the development identity]
    #[arg(long, value_name = "FILE", conflicts_with = "identity_seed")]
    pub(crate) key: Option<PathBuf>,

    /// The seed of the development identity that the firmware was built with
    #[arg(long, value_name = "HEX")]
    pub(crate) identity_seed: Option<String>,

    /// The instance id of the platform that has the key, 33 bytes [default: that of the development identity]
    #[arg(long, value_name = "HEX")]
    pub(crate) instance_id: Option<String>,

    /// The implementation id of platforms of its kind, 32 bytes [default: that of the development identity]
    #[arg(long, value_name = "HEX")]
    pub(crate) implementation_id: Option<String>,

    /// The realm initial measurement that the realm must have; `suzerain measure` computes it
    #[arg(long, value_name = "HEX")]
    pub(crate) rim: Option<String>,

    /// Prints one JSON object and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) which: Which,
}

/// Decodes and verifies a token, shows what it says, and returns the exit code.
pub(crate) fn run(arguments: &Attest) -> u8 {
    let screen = Screen::new(arguments.json, false);
    let result = attest(arguments);
    screen.clear();
    let failure = match result {
        Ok(checked) => {
            screen.out(&if arguments.json {
                checked.json()
            } else {
                checked.table()
            });
            let left = checked.not_checked();
            let incomplete = (!left.is_empty()).then(|| Failure::incomplete(left));
            checked.failure().or(incomplete)
        }
        Err(failure) => Some(failure),
    };
    let Some(failure) = failure else {
        return 0;
    };
    screen.err(&format!("error: {failure}"));
    failure.code()
}

fn attest(arguments: &Attest) -> Result<Checked, Failure> {
    let option = |name: &str, text: &Option<String>| {
        text.as_deref()
            .map(hex::parse)
            .transpose()
            .map_err(|why| Failure::input(format!("{name} is {why}")))
    };
    let challenge = option("--challenge", &arguments.challenge)?;
    let rim = option("--rim", &arguments.rim)?;
    let seed = option("--identity-seed", &arguments.identity_seed)?;
    let mut identity = match &arguments.key {
        Some(path) => Identity::of_key(path)?,
        None => Identity::development(seed.as_deref())?,
    };
    if let Some(id) = option("--instance-id", &arguments.instance_id)? {
        identity.instance_id = Some(sized("--instance-id", &id)?);
    }
    if let Some(id) = option("--implementation-id", &arguments.implementation_id)? {
        identity.implementation_id = Some(sized("--implementation-id", &id)?);
    }
    let token = Token::find(arguments)?;
    let trust = Trust {
        identity,
        challenge: challenge.or(token.challenge),
        rim: rim.or(token.rim),
    };
    Checked::new(&token.bytes, &trust)
}

fn sized<const N: usize>(name: &str, bytes: &[u8]) -> Result<[u8; N], Failure> {
    let size = bytes.len();
    bytes
        .try_into()
        .map_err(|_| Failure::input(format!("{name} has {size} bytes, not {N}")))
}

/// A token, and what this tool knows of its realm: nothing of a file, whoever made that.
struct Token {
    bytes: Vec<u8>,
    /// The challenge that was drawn for the realm.
    challenge: Option<Vec<u8>>,
    /// What was computed from what the realm was made of.
    rim: Option<Vec<u8>>,
}

impl Token {
    /// The token in a file, or else that of a realm.
    fn find(arguments: &Attest) -> Result<Self, Failure> {
        let path = &arguments.file;
        let name = path.to_str().filter(|name| *name != "-" && !path.exists());
        let place = Place::new(&arguments.which.on).ok();
        let client = place.and_then(|place| Client::try_connect(&place));
        match (name, client) {
            (Some(name), Some(client)) => Self::of_realm(name, client),
            _ => Self::of_file(path),
        }
    }

    /// The token that a realm has handed over to its host.
    fn of_realm(name: &str, mut client: Client) -> Result<Self, Failure> {
        let realm = client.find(name)?.realm;
        let details = client.inspect(realm, 0)?;
        let bytes = |text: &str| {
            hex::parse(text)
                .map_err(|why| Failure::machine(format!("what the host has of `{name}` is {why}")))
        };
        let token = details.token.ok_or_else(|| {
            Failure::input(format!(
                "realm `{name}` has handed no token over to its host; the demo guest does so as it runs, in a Linux run \
                 `attest HEX`, and give what it prints to `suzerain attest -`"
            ))
        })?;
        let drawn = client.drawn(realm)?;
        Ok(Self {
            bytes: bytes(&token)?,
            challenge: Some(bytes(&drawn.challenge)?),
            rim: Some(bytes(&drawn.rim)?),
        })
    }

    fn of_file(path: &Path) -> Result<Self, Failure> {
        let bytes = Self::parse(file::read(path)?)
            .map_err(|why| Failure::input(format!("{}: {why}", path.display())))?;
        Ok(Self {
            bytes,
            challenge: None,
            rim: None,
        })
    }

    /// The token in what a file has. Nothing else in the file is believed.
    fn parse(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        if bytes.trim_ascii().is_empty() {
            return Err("there is nothing in it".to_owned());
        }
        let text = str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
        if text.starts_with('{') {
            let object: serde_json::Value = serde_json::from_str(text)
                .map_err(|error| format!("not a JSON object: {error}"))?;
            let token = object["token"].as_str().map(hex::parse).transpose()?;
            return token.ok_or_else(|| "the JSON object has no token".to_owned());
        }
        let digits: String = text.split_whitespace().collect();
        Ok(hex::parse(&digits).unwrap_or(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_however_it_was_kept() {
        for kept in [
            &[0xd9, 0x01, 0x8f][..],
            b"d9018f",
            b" D901\n8f \n",
            b"{\"outcome\":\"ok\",\"token\":\"d9018f\"}\n",
        ] {
            assert_eq!(Token::parse(kept.to_vec()).unwrap(), [0xd9, 0x01, 0x8f]);
        }
        for wrong in [&b"  \n"[..], b"{}", b"{\"token\":\"x\"}", b"{"] {
            assert!(Token::parse(wrong.to_vec()).is_err());
        }
    }
}
