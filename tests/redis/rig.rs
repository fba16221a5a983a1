//! Private redis-servers: each with a folder of its own, ended when its `Server` is dropped or when this process
//! ends, however it does.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Ends the server and removes its folder once nothing holds the other end of its input any more.
const GUARD: &str = r#"
trap '' HUP INT TERM
folder="$1"; shift
"$@" >"$folder/log" 2>&1 & server=$!
echo $server
cat >/dev/null
kill -9 $server 2>/dev/null
wait $server 2>/dev/null
[ -e "$folder/keep" ] || rm -rf "$folder"
"#;

/// The program, as the environment names it or as Debian's package installs it.
fn program() -> String {
    std::env::var("TASK_REDIS_SERVER").unwrap_or_else(|_| "redis-server".into())
}

/// A running server.
pub struct Server {
    pub folder: PathBuf,
    pub url: String,
    /// Process of the server itself.
    pub pid: u32,
    arguments: Vec<String>,
    guard: Child,
}

impl Server {
    /// A server on a unix socket that keeps nothing on disk.
    pub fn plain() -> Self {
        Self::with(&[])
    }

    /// A server on a unix socket, with more arguments.
    pub fn with(arguments: &[&str]) -> Self {
        let folder = folder();
        let socket = folder.join("socket");
        let url = format!("redis+unix://{}", socket.display());
        let own = ["--port", "0", "--unixsocket", socket.to_str().expect("a plain path")];
        Self::start(folder, url, own.iter().chain(arguments).map(|text| (*text).to_owned()).collect())
    }

    /// A server on a free port of this machine's loopback.
    pub fn on_port(arguments: &[&str]) -> Self {
        let port = free_port().to_string();
        let own = ["--port", &port, "--bind", "127.0.0.1"];
        let arguments = own.iter().chain(arguments).map(|text| (*text).to_owned()).collect();
        Self::start(folder(), format!("redis://127.0.0.1:{port}"), arguments)
    }

    /// A server with these arguments only, which answers at `url`.
    pub fn start(folder: PathBuf, url: String, arguments: Vec<String>) -> Self {
        let (guard, pid) = spawn(&folder, &arguments);
        let server = Self { folder, url, pid, arguments, guard };
        server.wait_until_up();
        server
    }

    /// Ends the server like a crash and starts it again in the same folder after `pause`.
    pub fn crash_and_restart(&mut self, pause: Duration) {
        self.crash();
        std::thread::sleep(pause);
        self.restart();
    }

    /// Ends the server like a crash; its folder stays.
    pub fn crash(&mut self) {
        std::fs::write(self.folder.join("keep"), "").expect("a folder of our own");
        drop(self.guard.stdin.take());
        self.guard.wait().expect("our own child");
    }

    /// Starts the server again, and waits until it answers.
    pub fn restart(&mut self) {
        let _ = std::fs::remove_file(self.folder.join("keep"));
        (self.guard, self.pid) = spawn(&self.folder, &self.arguments);
        self.wait_until_up();
    }

    /// Starts the server again without waiting for it; it takes so many microseconds for every key it loads.
    pub fn restart_slowly(&mut self, each_key: u32) {
        let _ = std::fs::remove_file(self.folder.join("keep"));
        let mut arguments = self.arguments.clone();
        arguments.extend(["--key-load-delay".into(), each_key.to_string()]);
        // A server writes nothing to clients while it loads, but looks after them every so many bytes.
        arguments.extend(["--loading-process-events-interval-bytes".into(), "1024".into()]);
        (self.guard, self.pid) = spawn(&self.folder, &arguments);
    }

    /// Lets the server stand still for a while, like a machine that swaps.
    pub fn stop_for(&self, pause: Duration) {
        let signal = |name: &str| {
            let done = Command::new("kill").args([name, &self.pid.to_string()]).status();
            assert!(done.is_ok_and(|status| status.success()), "our own child takes signals");
        };
        signal("-STOP");
        std::thread::sleep(pause);
        signal("-CONT");
    }

    /// A connection beside those of the store.
    pub fn connection(&self) -> redis::Connection {
        redis::Client::open(&*self.url)
            .and_then(|client| client.get_connection())
            .expect("the server answers")
    }

    /// Runs a command that has to work.
    pub fn command(&self, words: &[&str]) -> redis::Value {
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(*word);
        });
        command.query(&mut self.connection()).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    fn wait_until_up(&self) {
        if self.url.starts_with("rediss:") {
            return;
        }
        let began = Instant::now();
        let client = redis::Client::open(&*self.url).expect("an address of our own");
        loop {
            let answer =
                client.get_connection().and_then(|mut connection| redis::cmd("PING").exec(&mut connection));
            match answer {
                Ok(()) => return,
                // It is up, and does not know us: the test has a user of its own.
                Err(error) if error.code() == Some("NOAUTH") => return,
                Err(error) if began.elapsed() > Duration::from_secs(20) => {
                    let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                    panic!("the redis-server does not come up: {error}\n{log}");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A new folder for one server.
pub fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("task-redis-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
    let folder = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
}

/// The port of a server that was started on one.
pub fn port_of(server: &Server) -> u16 {
    server.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a server on a port")
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

fn spawn(folder: &PathBuf, arguments: &[String]) -> (Child, u32) {
    let program = program();
    if Command::new(&program).arg("--version").stdout(Stdio::null()).status().is_err() {
        panic!("no {program} here: apt-get install redis-server, or name one with TASK_REDIS_SERVER");
    }
    let mut guard = Command::new("sh")
        .args(["-c", GUARD, "guard"])
        .arg(folder)
        .arg(&program)
        // A file of settings has to be the first.
        .args(arguments)
        .args(["--save", "", "--dir"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let (mut pid, mut byte) = (String::new(), [0]);
    let out = guard.stdout.as_mut().expect("it is piped");
    while out.read(&mut byte).is_ok_and(|size| size == 1) && byte[0] != b'\n' {
        pid.push(byte[0].into());
    }
    (guard, pid.parse().expect("the shell tells the process"))
}
