//! What runs have noted down and the store has not heard yet: steps at once, progress and lines of a log gathered
//! for a tenth of a second.
//!
//! Invariants: of the progress of a run the newest value is sent, also after its end; a note that was taken out
//! belongs to whoever took it. Pages are found by epoch, which no two runs share. Pure: `now` is an argument.

use std::collections::HashMap;
use std::fmt::Write;

use tokio::sync::oneshot;

use crate::error::TaskError;
use crate::store::StoreError;
use crate::task::{KEPT_LINES, MAX_STEPS, Name, Note, Noted, TaskId, Text, Unnoted};
use crate::time::Millis;

/// Time between two notes of one run that are not steps.
const GATHER: Millis = 100;

/// What is told to whoever made a step, or waits for what a run has said last.
type Reply = oneshot::Sender<Result<(), TaskError>>;

/// How much somebody should care about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks for a mistake.
    Debug,
    /// What happens.
    Info,
    /// What should not happen.
    Warn,
    /// What went wrong.
    Error,
}

impl Level {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }

    /// The level with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Level::Debug, Level::Info, Level::Warn, Level::Error]
            .into_iter()
            .find(|level| level.as_str() == word)
    }
}

/// A run, as notes name it.
#[derive(Clone, Debug)]
pub(super) struct Author {
    pub id: TaskId,
    pub epoch: u64,
    pub attempt: u32,
}

/// Notes that wait to be sent.
#[derive(Default)]
pub(super) struct Notebook {
    steps: Vec<(Noted, Reply)>,
    pages: HashMap<u64, Page>,
}

struct Page {
    id: TaskId,
    progress: Option<Text>,
    lines: Vec<Note>,
    next_line: u32,
    due_at: Millis,
    sent_at: Option<Millis>,
    /// The run is over: the page goes with what is on it.
    over: Option<Vec<Reply>>,
}

impl Page {
    fn is_full(&self) -> bool {
        self.progress.is_some() || !self.lines.is_empty()
    }
}

/// Notes for one call, and who waits for its answer.
#[derive(Default)]
pub(super) struct Sheet {
    pub notes: Vec<Noted>,
    /// By place among the notes.
    steps: Vec<(usize, Reply)>,
    flushed: Vec<Reply>,
}

impl Notebook {
    fn page(&mut self, author: &Author, now: Millis) -> &mut Page {
        let new = || Page {
            id: author.id.clone(),
            progress: None,
            lines: Vec::new(),
            next_line: 0,
            due_at: now,
            sent_at: None,
            over: None,
        };
        let page = self.pages.entry(author.epoch).or_insert_with(new);
        if !page.is_full() {
            page.due_at = page.sent_at.map_or(now, |at| now.max(at.saturating_add(GATHER)));
        }
        page
    }

    pub fn progress(&mut self, author: &Author, value: Text, now: Millis) {
        self.page(author, now).progress = Some(value);
    }

    /// `fields`: JSON text of an object. `at`: on the wall clock.
    pub fn line(
        &mut self,
        author: &Author,
        level: Level,
        message: &str,
        fields: Option<&str>,
        at: Millis,
        now: Millis,
    ) {
        let message = serde_json::to_string(message).unwrap_or_else(|_| "\"\"".into());
        let (attempt, level) = (author.attempt, level.as_str());
        let mut text =
            format!("{{\"at\":{at},\"attempt\":{attempt},\"level\":\"{level}\",\"message\":{message}");
        if let Some(fields) = fields {
            let _ = write!(text, ",\"fields\":{fields}");
        }
        text.push('}');
        let page = self.page(author, now);
        let no = page.next_line;
        page.next_line = no.saturating_add(1);
        page.lines.push(Note::Line { no, text: text.into() });
        // Those that the store would not keep need not be sent.
        if page.lines.len() > 2 * KEPT_LINES {
            page.lines.drain(..KEPT_LINES);
        }
    }

    pub fn step(&mut self, author: &Author, key: Name, value: Text, reply: Reply) {
        let note = Note::Step { key, value };
        self.steps.push((Noted { id: author.id.clone(), epoch: author.epoch, note }, reply));
    }

    /// A run has ended. `None`: the store has heard all it has said; else whom it will be told.
    pub fn end(&mut self, epoch: u64, now: Millis) -> Option<oneshot::Receiver<Result<(), TaskError>>> {
        let page = self.pages.get_mut(&epoch)?;
        if !page.is_full() {
            self.pages.remove(&epoch);
            return None;
        }
        let (reply, flushed) = oneshot::channel();
        page.due_at = now;
        page.over.get_or_insert_default().push(reply);
        Some(flushed)
    }

    /// Nobody has noted anything.
    pub fn is_blank(&self) -> bool {
        self.pages.is_empty()
    }

    /// When there is something to send.
    pub fn next_at(&self) -> Option<Millis> {
        if !self.steps.is_empty() {
            return Some(0);
        }
        self.pages.values().filter(|page| page.is_full()).map(|page| page.due_at).min()
    }

    /// What is to be sent now.
    pub fn take(&mut self, now: Millis) -> Sheet {
        let mut sheet = Sheet::default();
        for (noted, reply) in self.steps.drain(..) {
            sheet.steps.push((sheet.notes.len(), reply));
            sheet.notes.push(noted);
        }
        self.pages.retain(|&epoch, page| {
            if !page.is_full() || page.due_at > now {
                return true;
            }
            page.sent_at = Some(now);
            let said = page.lines.drain(..).chain(page.progress.take().map(Note::Progress));
            sheet.notes.extend(said.map(|note| Noted { id: page.id.clone(), epoch, note }));
            match page.over.take() {
                Some(replies) => sheet.flushed.extend(replies),
                None => return true,
            }
            false
        });
        sheet
    }
}

impl Sheet {
    /// What the store said to it.
    pub fn answer(self, answer: &Result<Vec<Result<(), Unnoted>>, StoreError>) {
        for (at, reply) in self.steps {
            let said = match answer {
                Err(error) => Err(error.clone().into()),
                Ok(said) => match said.get(at) {
                    Some(Ok(())) => Ok(()),
                    Some(Err(Unnoted::Full)) => {
                        Err(TaskError::option(format!("a task may have at most {MAX_STEPS} steps")))
                    }
                    _ => Err(TaskError::Lost(1)),
                },
            };
            // Who has stopped waiting need not be told.
            let _ = reply.send(said);
        }
        self.flushed.into_iter().for_each(|reply| {
            let _ = reply.send(Ok(()));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author(epoch: u64) -> Author {
        Author { id: TaskId::from("task"), epoch, attempt: 2 }
    }

    fn said(sheet: &Sheet) -> Vec<String> {
        let text = |noted: &Noted| match &noted.note {
            Note::Progress(value) => format!("{}:{value}", noted.epoch),
            Note::Line { no, text } => format!("{}:{no}:{text}", noted.epoch),
            Note::Step { key, .. } => format!("{}:{key}", noted.epoch),
        };
        sheet.notes.iter().map(text).collect()
    }

    #[test]
    fn ten_a_second_and_the_last_one_in_any_case() {
        let (mut book, one) = (Notebook::default(), author(1));
        let mut sent = Vec::new();
        for now in 0..1000 {
            book.progress(&one, now.to_string().into(), now);
            if book.next_at().is_some_and(|at| at <= now) {
                sent.extend(said(&book.take(now)));
            }
        }
        let wanted: Vec<String> = (0..10).map(|n| format!("1:{}", n * 100)).collect();
        assert_eq!(sent, wanted);
        assert_eq!(book.next_at(), Some(1000), "the last one waits for its time");
        let flushed = book.end(1, 999);
        assert_eq!(said(&book.take(999)), ["1:999"], "or for the end of the run");
        assert!(flushed.is_some() && book.is_blank() && book.next_at().is_none());
    }

    #[test]
    fn a_run_that_has_said_nothing_new_keeps_nobody_waiting() {
        let (mut book, one) = (Notebook::default(), author(1));
        book.progress(&one, "1".into(), 0);
        let _ = book.take(0);
        assert!(book.end(1, 5).is_none() && book.end(2, 5).is_none());
        assert!(book.is_blank());
    }

    #[test]
    fn lines_are_numbered_and_bounded() {
        let (mut book, one) = (Notebook::default(), author(1));
        book.line(&one, Level::Warn, "a \"b\"", Some("{\"c\":1}"), 77, 0);
        let text =
            "{\"at\":77,\"attempt\":2,\"level\":\"warn\",\"message\":\"a \\\"b\\\"\",\"fields\":{\"c\":1}}";
        assert_eq!(said(&book.take(0)), [format!("1:0:{text}")]);
        for _ in 0..5 * KEPT_LINES {
            book.line(&one, Level::Info, "m", None, 0, 1);
        }
        let sheet = book.take(1000);
        assert!(sheet.notes.len() >= KEPT_LINES && sheet.notes.len() <= 2 * KEPT_LINES);
        assert!(said(&sheet).last().unwrap().starts_with(&format!("1:{}:", 5 * KEPT_LINES)), "the newest");
    }

    #[test]
    fn steps_go_at_once_and_hear_what_became_of_them() {
        let mut book = Notebook::default();
        let mut replies = Vec::new();
        for key in ["a", "b", "c"] {
            let (reply, answer) = oneshot::channel();
            book.step(&author(1), key.into(), "1".into(), reply);
            replies.push(answer);
        }
        assert_eq!(book.next_at(), Some(0));
        let sheet = book.take(0);
        assert_eq!(said(&sheet), ["1:a", "1:b", "1:c"]);
        sheet.answer(&Ok(vec![Ok(()), Err(Unnoted::Stale), Err(Unnoted::Full)]));
        let codes: Vec<_> = replies
            .into_iter()
            .map(|mut answer| answer.try_recv().unwrap().map_err(|error| error.code().to_owned()))
            .collect();
        assert_eq!(codes, [Ok(()), Err("ERR_TASK_LOST".into()), Err("ERR_OPTION".into())]);
    }
}
