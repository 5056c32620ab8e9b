//! Both ends of a realm's network on the host: a server that the realm gets a page from, which then gets it back from the realm's
//! own server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Bytes of the page: more than fits into any buffer on the way.
const PAGE: usize = 400_000;
/// Gives up somebody who says nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a realm with a network is asked to do; it prints `name=value` lines.
const COMMANDS: &str = r#"
echo address=$(ip -4 -o address show dev eth0 | awk '{ print $4 }')
echo lease=$(udhcpc -i eth0 -n -q -f -s /bin/true 2>&1 | grep -o 'lease of [0-9.]* obtained' | cut -d ' ' -f 3)
ping -c 2 -W 10 10.0.2.2 >/dev/null && echo ping=answered
mkdir /tmp/site
wget -q -O /tmp/site/page http://10.0.2.2:PORT/page
httpd -p 80 -h /tmp/site
echo page=$(wget -q -O - http://10.0.2.2:PORT/back)
wget -O /dev/null http://10.0.2.2:ENTRANCE/ 2>&1 | grep -q refused && echo other=refused
"#;

/// What it prints then.
pub(super) const EXPECTED: [(&str, &str); 5] = [
    ("address", "10.0.2.15/24"),
    ("lease", "10.0.2.15"),
    ("ping", "answered"),
    ("page", "same"),
    ("other", "refused"),
];

/// The server. It ends when it is dropped.
pub(super) struct Web {
    port: u16,
    entrance: u16,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    pub(super) fn new() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        // Free now, and with some luck still when the tool takes it.
        let entrance = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let over = Arc::new(AtomicBool::new(false));
        let ending = over.clone();
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                // Who does not get an answer says so.
                let _ = serve(&stream, entrance);
            }
        });
        Ok(Self {
            port,
            entrance,
            over,
            thread: Some(thread),
        })
    }

    /// The options of the realm's network.
    pub(super) fn options(&self) -> [String; 4] {
        let (port, entrance) = (self.port, self.entrance);
        [
            "--host-port".to_owned(),
            port.to_string(),
            "--publish".to_owned(),
            format!("{entrance}:80"),
        ]
    }

    /// What the realm is asked to do.
    pub(super) fn script(&self) -> String {
        COMMANDS
            .replace("PORT", &self.port.to_string())
            .replace("ENTRANCE", &self.entrance.to_string())
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

fn page() -> Vec<u8> {
    (0..PAGE as u32)
        .map(|n| (n.wrapping_mul(0x9E37_79B1) >> 24) as u8)
        .collect()
}

/// Answers a request: with the page, or with whether the realm has the same one.
fn serve(stream: &TcpStream, entrance: u16) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let answer = match request.split(' ').nth(1) {
        Some("/page") => page(),
        Some("/back") => match fetch(entrance) {
            Ok(body) if body == page() => b"same".to_vec(),
            Ok(body) => format!("{} other bytes", body.len()).into_bytes(),
            Err(error) => error.to_string().into_bytes(),
        },
        _ => Vec::new(),
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n",
        answer.len()
    )?;
    stream.write_all(&answer)
}

/// The realm's page.
fn fetch(entrance: u16) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, entrance))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /page HTTP/1.0\r\n\r\n")?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    Ok(all.split_off(end.map_or(all.len(), |end| end + 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_tells_whether_its_page_comes_back() {
        let web = Web::new().unwrap();
        assert_eq!(fetch(web.port).unwrap(), page());
        let back = |entrance| {
            let (listener, mut client) = {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                let at = listener.local_addr().unwrap();
                (listener, TcpStream::connect(at).unwrap())
            };
            let (server, _) = listener.accept().unwrap();
            client.write_all(b"GET /back HTTP/1.1\r\n\r\n").unwrap();
            serve(&server, entrance).unwrap();
            drop(server);
            let mut all = String::new();
            client.read_to_string(&mut all).unwrap();
            all.rsplit('\n').next().unwrap_or_default().to_owned()
        };
        assert_eq!(back(web.port), "same");
        // Nobody is there yet.
        assert_ne!(back(web.entrance), "same");
    }
}
