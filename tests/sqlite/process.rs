//! Processes that take part in a test: this very binary, run again with the name of a part in its environment.
//!
//! A part tells what it does line by line on its standard output, each line in one write, so that what it said
//! outlives a kill at any instant. It ends when its standard input does, that is, with the test that began it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::parts;

/// The test by whose name parts are begun.
const STAGE: &str = "process::a_part_is_played_in_a_process_of_its_own";
const PART: &str = "TASK_TEST_PART";
const WORDS: &str = "TASK_TEST_WORDS";

/// A line of a part.
#[derive(Clone, Debug)]
pub struct Line {
    /// Which actor said it: counted over all that share a log.
    pub actor: usize,
    pub text: String,
}

/// What all actors of a test have said.
#[derive(Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<Line>>>,
    born: Arc<Mutex<usize>>,
}

impl Log {
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().expect("the lines").clone()
    }

    /// Waits for a line that begins like this; `from` is how many lines were known before.
    pub fn wait_for(&self, from: usize, start: &str) -> Line {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let found = self.lines().into_iter().skip(from).find(|line| line.text.starts_with(start));
            if let Some(line) = found {
                return line;
            }
            assert!(Instant::now() < until, "nobody says {start:?}: {:?}", self.lines());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A process that plays a part.
pub struct Actor {
    pub no: usize,
    child: Child,
    input: Option<ChildStdin>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Actor {
    pub fn begin(log: &Log, part: &str, words: &[&str]) -> Self {
        let no = {
            let mut born = log.born.lock().expect("the count");
            *born += 1;
            *born - 1
        };
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args([STAGE, "--exact", "--nocapture", "--quiet"])
            .env(PART, part)
            .env(WORDS, words.join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let (output, lines) = (child.stdout.take().expect("a pipe"), log.lines.clone());
        let reader = std::thread::spawn(move || {
            for text in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&text).into_owned();
                lines.lock().expect("the lines").push(Line { actor: no, text });
            }
        });
        Self { no, input: child.stdin.take(), child, reader: Some(reader) }
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: kill has no memory of ours to harm; the child has not been waited for, so its id is its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Kills it, and waits until it is gone and all that it said is heard.
    pub fn kill(mut self) -> usize {
        self.signal(libc::SIGKILL);
        self.gone();
        self.no
    }

    pub fn tell(&mut self, word: &str) {
        writeln!(self.input.as_mut().expect("a pipe"), "{word}").expect("it listens");
    }

    /// Waits for its own end, which must be a good one.
    pub fn finish(mut self) {
        let status = self.gone();
        assert!(status.success(), "actor {} ended with {status}", self.no);
    }

    fn gone(&mut self) -> std::process::ExitStatus {
        let status = self.child.wait().expect("a child");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader");
        }
        status
    }
}

impl Drop for Actor {
    /// A test that fails leaves nobody behind.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a part has to work with.
pub struct Stage {
    words: Vec<String>,
    heard: Receiver<String>,
}

impl Stage {
    pub fn word(&self, at: usize) -> &str {
        &self.words[at]
    }

    pub fn number(&self, at: usize) -> u64 {
        self.words[at].parse().expect("a number")
    }

    /// What the test has told it since.
    pub fn heard(&self) -> Option<String> {
        self.heard.try_recv().ok()
    }

    /// Waits to be told.
    pub fn listen(&self) -> String {
        self.heard.recv().expect("the test lives")
    }
}

/// Says a line.
pub fn say(text: &str) {
    let line = format!("{text}\n");
    // Who does not listen any more need not hear it.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

fn play(part: &str) -> ! {
    // What the harness has printed ends here.
    say("");
    let words = std::env::var(WORDS).expect("words").split('\n').map(String::from).collect();
    let (told, heard) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = told.send(line);
        }
        std::process::exit(3);
    });
    let stage = Stage { words, heard };
    match part {
        "echo" => say(&format!("{} {}", stage.word(0), stage.listen())),
        other => parts::play(other, &stage),
    }
    std::process::exit(0);
}

#[test]
fn a_part_is_played_in_a_process_of_its_own() {
    if let Ok(part) = std::env::var(PART) {
        play(&part);
    }
    let log = Log::default();
    let mut actor = Actor::begin(&log, "echo", &["hears"]);
    actor.tell("this");
    actor.finish();
    assert_eq!(log.wait_for(0, "hears").text, "hears this");
    let held = Actor::begin(&log, "echo", &["hears"]);
    assert_eq!(held.kill(), 1);
}
