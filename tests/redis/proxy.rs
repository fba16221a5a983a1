//! A line that misbehaves: a TCP proxy between a store and its server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the proxy does to what goes through it.
#[derive(Default)]
pub struct Weather {
    /// Answers are read and thrown away.
    pub swallows: AtomicBool,
    /// New connections are accepted and closed.
    pub refuses: AtomicBool,
    /// Every answer waits so many milliseconds.
    pub delay: AtomicU64,
    /// After so many answers the connection is cut, the last one before it arrives; 0: never.
    pub cuts_after: AtomicU64,
    /// Answers come a byte or two at a time.
    pub splits: AtomicBool,
    /// The port of the server that new connections lead to.
    pub leads_to: AtomicU16,
    answers: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Weather {
    /// Resets all connections there are.
    pub fn cut_all(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Starts a proxy to a port of the loopback; answers its own port. It lasts as long as the process.
pub fn start(to: u16) -> (u16, Arc<Weather>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let weather = Arc::new(Weather { leads_to: to.into(), ..Weather::default() });
    let sky = weather.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if sky.refuses.load(Ordering::SeqCst) {
                continue;
            }
            let Ok(server) = TcpStream::connect(("127.0.0.1", sky.leads_to.load(Ordering::SeqCst))) else {
                continue;
            };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            sky.open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
            let (from, into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || forward(from, into, None));
            let sky = sky.clone();
            std::thread::spawn(move || forward(server, client, Some(&sky)));
        }
    });
    (port, weather)
}

fn forward(mut from: TcpStream, mut into: TcpStream, weather: Option<&Weather>) {
    let mut buffer = vec![0; 65536];
    while let Ok(size) = from.read(&mut buffer) {
        if size == 0 || !deliver(&mut into, &buffer[..size], weather) {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), into.shutdown(Shutdown::Both));
}

/// Says whether the connection goes on.
fn deliver(into: &mut TcpStream, bytes: &[u8], weather: Option<&Weather>) -> bool {
    let Some(weather) = weather else { return into.write_all(bytes).is_ok() };
    if weather.swallows.load(Ordering::SeqCst) {
        return true;
    }
    std::thread::sleep(Duration::from_millis(weather.delay.load(Ordering::SeqCst)));
    let count = weather.answers.fetch_add(1, Ordering::SeqCst) + 1;
    let cuts_after = weather.cuts_after.load(Ordering::SeqCst);
    if cuts_after > 0 && count % cuts_after == 0 {
        return false;
    }
    if weather.splits.load(Ordering::SeqCst) {
        return bytes.chunks(2).all(|part| into.write_all(part).is_ok());
    }
    into.write_all(bytes).is_ok()
}
