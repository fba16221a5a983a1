//! The hot call: words in, words out.
//!
//! A word is a kind in the upper 4 bits and a slot in the lower 28. `lib/words.js` is the other side.

use napi::Result;
use napi::bindgen_prelude::Uint32Array;

use crate::engine::{Core, Done, MAX_SLOTS, Submission, Word};

use super::session::Session;
use super::{malformed, upto};

pub(super) struct Arrays {
    pub submitted: Uint32Array,
    pub done: Uint32Array,
    pub ready: Uint32Array,
}

const SLOT: u32 = (1 << 28) - 1;

/// Flags of a submitted word; each is followed by its words, in this order.
const PRIORITY: u32 = 1;
const TIMEOUT: u32 = 2;
const POLICY: u32 = 4;
const KIND: u32 = 8;
/// Bit of a policy: after a timeout too, the host decides.
const ASKS: u32 = 1 << 31;

impl Session {
    /// Takes what was submitted and done, starts what may start; gives the number of words in `ready`.
    pub fn turn(&self, arrays: &mut Arrays, submitted: u32, done: u32) -> Result<u32> {
        self.wake.seen();
        let Arrays { submitted: submissions, done: ends, ready } = arrays;
        let (submissions, ends) = (upto(submissions, submitted)?, upto(ends, done)?);
        // SAFETY: JavaScript does not run while this call does, and no other thread knows the array.
        let ready = unsafe { ready.as_mut() };
        let now = self.engine.now();
        let (n, wake_at, calm, stored, holds) = {
            let mut core = self.engine.core();
            self.engine.stamp(&mut core);
            if core.host_turned(now) {
                self.engine.nudge();
            }
            take_done(&mut core, ends, now)?;
            take_submitted(&mut core, submissions)?;
            core.poll(now);
            let n = fill(&mut core, ready);
            // Closures have made room for stored tasks.
            if done > 0 && core.is_to_look(now) {
                self.engine.nudge();
            }
            let mail =
                !core.outbox.starts.is_empty() || !core.outbox.stops.is_empty() || !core.events.is_empty();
            let calm = core.local_live() == 0 && done > 0;
            (n, core.wake_at(), calm, mail, self.engine.holds(&core))
        };
        if calm {
            self.engine.calm();
        }
        self.engine.expect(wake_at);
        let mail = stored || self.post.is_full() || self.engine.watch().has_notices();
        let mut n = n as u32;
        if mail && (n as usize) < ready.len() {
            ready[n as usize] = MAIL << 28;
            n += 1;
        }
        Ok(if holds { n | HOLDS } else { n })
    }
}

fn take_submitted(core: &mut Core, words: &[u32]) -> Result<()> {
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or_else(|| malformed("a word is missing"));
        let (flags, slot) = (word >> 28, word & SLOT);
        if slot >= MAX_SLOTS {
            return Err(malformed("no such slot"));
        }
        let mut task = Submission { slot, ..Submission::default() };
        if flags & PRIORITY != 0 {
            task.priority = next()? as i32;
        }
        if flags & TIMEOUT != 0 {
            task.timeout = Some(long(next()?, next()?));
        }
        if flags & POLICY != 0 {
            let word = next()?;
            task.asks = word & ASKS != 0;
            task.policy = Some(word & !ASKS);
        }
        if flags & KIND != 0 {
            task.kind = Some(next()?);
        }
        if !core.takes(&task) {
            return Err(malformed("a task that cannot be submitted"));
        }
        core.submit(task);
    }
    Ok(())
}

fn take_done(core: &mut Core, words: &[u32], now: u64) -> Result<()> {
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let slot = word & SLOT;
        match word >> 28 {
            0 => core.done(slot, Done::Ok, now),
            1 => core.done(slot, Done::Error { retry_after: None }, now),
            2 => core.done(slot, Done::Failed, now),
            kind @ (3 | 6) => {
                let (Some(low), Some(high)) = (words.next(), words.next()) else {
                    return Err(malformed("a word is missing"));
                };
                let delay = long(low, high);
                core.done(
                    slot,
                    if kind == 3 { Done::Error { retry_after: Some(delay) } } else { Done::Snoozed(delay) },
                    now,
                );
            }
            4 => core.late_end(),
            5 => core.withdraw(slot, now),
            _ => return Err(malformed("a done word of an unknown kind")),
        }
    }
    Ok(())
}

fn long(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn fill(core: &mut Core, ready: &mut [u32]) -> usize {
    let n = core.outbox.words.len().min(ready.len());
    for (word, to) in core.outbox.words.drain(..n).zip(ready.iter_mut()) {
        *to = encode(word);
    }
    n
}

const MAIL: u32 = 10;
/// Bit of what `turn` returns: the engine has work that the process must not leave.
const HOLDS: u32 = 1 << 16;

fn encode(word: Word) -> u32 {
    let (kind, slot) = match word {
        Word::Start(slot) => (0, slot),
        Word::Fail(slot) => (1, slot),
        Word::Timeout(slot) => (2, slot),
        Word::Expire(slot) => (3, slot),
        Word::Retry(slot) => (4, slot),
        Word::Cancel(slot) => (5, slot),
        Word::Closed(slot) => (6, slot),
        Word::Abandon(slot) => (7, slot),
        Word::AbortAll => (8, 0),
        Word::End => (9, 0),
        // 10 is MAIL.
        Word::Refuse(slot) => (11, slot),
    };
    kind << 28 | slot
}
