//! Notes of tasks: a table beside them. A task that has any is flagged, so that the others are forgotten without a
//! look at it.

use rusqlite::{Connection, Result, params};

use crate::task::{KEPT_LINES, MAX_STEPS, Name, Note, NoteKind, Noted, Notes, TaskId, Text, Unnoted};

use super::ledger::Ledger;
use super::row::{NOTED, Task, all, first};

fn number(kind: NoteKind) -> i64 {
    match kind {
        NoteKind::Progress => 0,
        NoteKind::Steps => 1,
        NoteKind::Lines => 2,
    }
}

impl Ledger<'_> {
    pub fn note_all(&mut self, notes: &[Noted]) -> Result<Vec<std::result::Result<(), Unnoted>>> {
        let mut written = Vec::new();
        let said = notes.iter().map(|noted| self.note(noted, &mut written)).collect();
        for serial in written {
            self.sql.trim_lines.execute([serial, KEPT_LINES as i64])?;
        }
        said
    }

    /// `written`: tasks whose logs have grown.
    fn note(&mut self, noted: &Noted, written: &mut Vec<i64>) -> Result<std::result::Result<(), Unnoted>> {
        let Noted { id, epoch, note } = noted;
        let Some(mut task) = self.find(id)?.filter(|task| note.is_of(&task.status, *epoch)) else {
            return Ok(Err(Unnoted::Stale));
        };
        let (key, value) = match note {
            Note::Step { key, value } => (key.to_string(), value),
            Note::Progress(value) => (String::new(), value),
            // In this form texts sort like numbers.
            Note::Line { no, text } => (format!("{epoch:020}{no:010}"), text),
        };
        let (serial, kind) = (task.serial, number(note.kind()));
        if self.sql.set_note.execute(params![serial, kind, key, &**value])? == 0 {
            if note.kind() == NoteKind::Steps {
                let count = first(&mut self.sql.count_notes, [serial, kind], |row| row.get::<_, i64>(0))?;
                if count.unwrap_or(0) as usize >= MAX_STEPS {
                    return Ok(Err(Unnoted::Full));
                }
            }
            self.sql.add_note.execute(params![serial, kind, key, &**value])?;
        }
        if note.kind() == NoteKind::Lines && !written.contains(&serial) {
            written.push(serial);
        }
        if !task.has(NOTED) {
            task.flags |= NOTED;
            self.save_flags(&task)?;
        }
        Ok(Ok(()))
    }

    /// The task goes, or begins anew.
    pub fn drop_notes(&mut self, task: &Task) -> Result<()> {
        if task.has(NOTED) {
            self.sql.drop_notes.execute([task.serial])?;
        }
        Ok(())
    }

    /// What it has memoised counts no more.
    pub fn drop_steps(&mut self, task: &Task) -> Result<()> {
        if task.has(NOTED) {
            self.sql.drop_steps.execute([task.serial])?;
        }
        Ok(())
    }
}

pub(super) fn read(db: &Connection, ids: &[TaskId], kind: NoteKind) -> Result<Vec<Notes>> {
    let sql = "SELECT n.key, n.value FROM task t JOIN note n ON n.task = t.serial
        WHERE t.id = ?1 AND n.kind = ?2 ORDER BY n.key";
    let mut sql = db.prepare_cached(sql)?;
    let named = kind == NoteKind::Steps;
    let read = |row: &rusqlite::Row<'_>| {
        let key = if named { row.get(0)? } else { Name::from("") };
        Ok((key, row.get::<_, Text>(1)?))
    };
    ids.iter().map(|id| all(&mut sql, params![id.as_str(), number(kind)], read)).collect()
}
