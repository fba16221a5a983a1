//! Readers: threads with a connection of their own, for questions that need no transaction of the writer.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::StoreError;

use super::connection;
use super::error::translate;
use super::files;

type Question = Box<dyn FnOnce(Result<&Connection, StoreError>) + Send>;

/// A thread that answers questions, one after the other.
pub(super) struct Reader {
    questions: Sender<Question>,
}

impl Reader {
    pub fn start(name: &str, path: std::path::PathBuf) -> std::io::Result<Self> {
        let (questions, asked) = channel();
        std::thread::Builder::new().name(name.into()).spawn(move || answer(&path, &asked))?;
        Ok(Self { questions })
    }

    /// The answer to a question, on one snapshot of the file.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, StoreError>> {
        let (sender, answer) = oneshot::channel();
        let question: Question = Box::new(move |db| {
            let answer = db.and_then(|db| on_a_snapshot(db, question).map_err(|error| translate(&error)));
            // Who does not wait any more need not be told.
            let _ = sender.send(answer);
        });
        // Where it has ended the answer is that there is none.
        let _ = self.questions.send(question);
        answer
    }
}

fn on_a_snapshot<T>(
    db: &Connection,
    question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let snapshot = db.unchecked_transaction()?;
    let answer = question(&snapshot);
    // It has written nothing: how it ends does not matter, but it has to end.
    let _ = snapshot.finish();
    answer
}

fn answer(path: &std::path::Path, asked: &Receiver<Question>) {
    let mut db: Option<Connection> = None;
    let mut inode = None;
    while let Ok(question) = asked.recv() {
        if db.is_some() && files::is_elsewhere(path, inode) {
            db = None;
        }
        if db.is_none() {
            match connection::reader(path) {
                Ok(opened) => (db, inode) = (Some(opened), files::inode(path)),
                Err(error) => {
                    question(Err(error));
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                }
            }
        }
        if let Some(open) = &db {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| question(Ok(open))));
            if done.is_err() {
                db = None;
            }
        }
    }
}
