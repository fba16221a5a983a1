//! `push`: what is pushed while a call is under way goes together in the next one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::Value;
use tokio::sync::oneshot;

use super::codec::{FAR, Meta, meta, text};
use super::link::Link;
use super::script::PUSH;
use super::wake::Wake;
use super::wire::{Items, corrupt};
use crate::store::plan::is_plain;
use crate::store::{Push, Pushed, Refusal, StoreError, Swap};
use crate::task::{Name, Spec, TaskId, cycle};

/// Tasks of different callers that go in one call.
const TOGETHER: usize = 1000;

/// What a call may take longer for each task.
const EACH: Duration = Duration::from_micros(100);

type Answers = Vec<Result<Vec<Pushed>, Refusal>>;

/// Sends pushes, one call at a time.
pub(super) struct Pusher {
    link: Arc<Link>,
    wake: Arc<Wake>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    is_sending: bool,
}

struct Job {
    pushes: Arc<[Push]>,
    answer: oneshot::Sender<Result<Answers, StoreError>>,
}

impl Pusher {
    pub fn new(link: Arc<Link>, wake: Arc<Wake>) -> Arc<Self> {
        Arc::new(Self { link, wake, waiting: Mutex::default() })
    }

    /// Sends these pushes, perhaps together with others.
    pub async fn push(self: &Arc<Self>, pushes: Arc<[Push]>) -> Result<Answers, StoreError> {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting();
            waiting.jobs.push_back(Job { pushes, answer });
            !std::mem::replace(&mut waiting.is_sending, true)
        };
        if is_first {
            let pusher = self.clone();
            self.link.runtime().spawn(async move { pusher.send_all().await });
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::Unreachable("the sender has ended".into())))
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send_all(self: Arc<Self>) {
        loop {
            let jobs = self.next_jobs();
            if jobs.is_empty() {
                return;
            }
            self.send(jobs).await;
        }
    }

    fn next_jobs(&self) -> Vec<Job> {
        let mut waiting = self.waiting();
        let (mut jobs, mut size) = (Vec::new(), 0);
        while let Some(job) = waiting.jobs.front() {
            size += job.pushes.iter().map(|push| push.specs.len()).sum::<usize>();
            if size > TOGETHER && !jobs.is_empty() {
                break;
            }
            jobs.extend(waiting.jobs.pop_front());
        }
        waiting.is_sending = !jobs.is_empty();
        jobs
    }

    async fn send(&self, jobs: Vec<Job>) {
        let mut batch = Batch::default();
        let mut sent = Vec::with_capacity(jobs.len());
        for job in jobs {
            match batch.take(&job.pushes) {
                Ok(()) => sent.push(job),
                Err(error) => drop(job.answer.send(Err(error))),
            }
        }
        let size: usize = batch.sizes.iter().map(|part| part.specs).sum();
        let mut command = self.link.command(&PUSH, 3 * size + 4 * batch.sizes.len() + 64, batch.bytes);
        batch.write(&mut command);
        // Whoever claims need not wait for the answer: the claim comes after the push in any case.
        let wake = self.wake.clone();
        let told = move || wake.tell();
        let answer = self.link.run_and_tell(&PUSH, command, EACH * size as u32, told).await;
        let answers = answer.and_then(|answer| batch.read(answer));
        match answers {
            Err(error) => sent.into_iter().for_each(|job| drop(job.answer.send(Err(error.clone())))),
            Ok(mut answers) => {
                for job in sent {
                    let answers = job.pushes.iter().map(|push| answers.next(push)).collect();
                    drop(job.answer.send(answers));
                }
            }
        }
    }
}

/// Pushes of one call. Neighbours that nothing can refuse are one to the script.
#[derive(Default)]
struct Batch {
    lanes: Vec<(Name, Name)>,
    lane_of: HashMap<(Name, Name), usize>,
    sizes: Vec<Part>,
    specs: Vec<(Meta, Vec<u8>)>,
    bytes: usize,
}

struct Part {
    pushes: usize,
    specs: usize,
    kind: Kind,
    bound: Option<u64>,
    guard: Option<Swap>,
}

impl Batch {
    fn take(&mut self, pushes: &[Push]) -> Result<(), StoreError> {
        let mut encoded = Vec::new();
        let kinds: Vec<Kind> = pushes.iter().map(kind).collect();
        for (push, kind) in pushes.iter().zip(&kinds) {
            for (at, spec) in push.specs.iter().enumerate() {
                let leads = matches!(kind, Kind::Closed(closed) if closed.leads[at]);
                encoded.push((meta(spec, self.lane(spec), leads)?, text(spec)?));
            }
        }
        self.bytes += encoded
            .iter()
            .map(|(meta, text)| meta.head.len() + meta.tail.len() + text.len() + 48)
            .sum::<usize>();
        self.specs.append(&mut encoded);
        for (push, kind) in pushes.iter().zip(kinds) {
            let (bound, guard) = (push.max_waiting, push.guard.clone());
            let specs = push.specs.len();
            let joins = bound.is_none() && matches!(kind, Kind::Plain);
            match self.sizes.last_mut() {
                Some(last) if joins && last.bound.is_none() && matches!(last.kind, Kind::Plain) => {
                    last.pushes += 1;
                    last.specs += specs;
                }
                _ => self.sizes.push(Part { pushes: 1, specs, kind, bound, guard }),
            }
        }
        Ok(())
    }

    fn lane(&mut self, spec: &Spec) -> usize {
        if let Some((queue, name)) = self.lanes.last()
            && *queue == spec.queue
            && *name == spec.name
        {
            return self.lanes.len();
        }
        let lane = (spec.queue.clone(), spec.name.clone());
        *self.lane_of.entry(lane.clone()).or_insert_with(|| {
            self.lanes.push(lane);
            self.lanes.len()
        })
    }

    fn write(&self, command: &mut redis::Cmd) {
        write_lanes(command, &self.lanes);
        command.arg(self.sizes.len());
        let mut specs = self.specs.iter();
        for part in &self.sizes {
            command.arg(part.specs);
            match part.bound {
                Some(bound) => command.arg(bound.min(FAR)),
                None => command.arg(""),
            };
            match &part.kind {
                Kind::Open => command.arg(0),
                Kind::Plain => command.arg(1),
                Kind::Closed(closed) => command.arg(2).arg(&closed.links[..]),
            };
            command.arg(u8::from(part.guard.is_some()));
            if let Some(guard) = &part.guard {
                super::cells::write_swap(command, guard);
            }
            for (meta, text) in specs.by_ref().take(part.specs) {
                command.arg(&meta.head[..]).arg(&meta.tail[..]).arg(&text[..]);
            }
        }
    }

    fn read(&self, answer: Value) -> Result<Read, StoreError> {
        let mut items = Items::of(answer)?;
        let mut answers = VecDeque::new();
        for part in &self.sizes {
            let answer = items.value()?;
            if answer == Value::Int(1) {
                answers.extend((0..part.pushes).map(|_| Value::Int(1)));
            } else {
                answers.push_back(answer);
            }
        }
        Ok(Read(answers))
    }
}

/// The lanes that specs of a call name, as the scripts read them.
pub(super) fn write_lanes(command: &mut redis::Cmd, lanes: &[(Name, Name)]) {
    command.arg(lanes.len());
    for (queue, name) in lanes {
        command.arg(&**queue).arg(&**name);
    }
}

/// Answers of a call, one for each push.
struct Read(VecDeque<Value>);

impl Read {
    fn next(&mut self, push: &Push) -> Result<Result<Vec<Pushed>, Refusal>, StoreError> {
        let answer = self.0.pop_front().ok_or_else(|| corrupt("too few answers"))?;
        if answer == Value::Int(1) {
            let created = |spec: &Arc<Spec>| Pushed { id: spec.id.clone(), created: true, ousted: None };
            return Ok(Ok(push.specs.iter().map(created).collect()));
        }
        let mut items = Items::of(answer)?;
        if push.specs.is_empty() && items.len() == 0 {
            return Ok(Ok(Vec::new()));
        }
        match items.value()? {
            Value::BulkString(word) => refusal(&word, items).map(Err),
            first => {
                let mut all = vec![pushed(first)?];
                all.extend(items.map(pushed)?);
                Ok(Ok(all))
            }
        }
    }
}

fn pushed(value: Value) -> Result<Pushed, StoreError> {
    let mut items = Items::of(value)?;
    let (id, created) = (TaskId::from(&*items.text()?), items.number()? == 1);
    let ousted = if items.len() > 0 { Some(TaskId::from(&*items.text()?)) } else { None };
    Ok(Pushed { id, created, ousted })
}

fn refusal(word: &[u8], mut items: Items) -> Result<Refusal, StoreError> {
    let mut id = || items.text().map(|id| TaskId::from(&*id));
    Ok(match word {
        b"moved" => Refusal::Moved,
        b"taken" => Refusal::IdTaken(id()?),
        b"held" => Refusal::KeyHeld(id()?),
        b"unknown" => Refusal::NoBlocker(id()?),
        b"circle" => Refusal::Cycle(items.texts()?.iter().map(|id| TaskId::from(&**id)).collect()),
        b"full" => Refusal::Full { waiting: items.number()? as u64, limit: items.number()? as u64 },
        _ => return Err(corrupt("an unknown refusal")),
    })
}

/// What a push can come to.
enum Kind {
    /// Whatever pushes can come to.
    Open,
    /// Nothing in it can be refused, nor stand for another task.
    Plain,
    /// The same, and its tasks wait for each other.
    Closed(Closed),
}

/// A workflow whose tasks wait for nobody outside, and not in a circle.
struct Closed {
    /// For each of them: others wait for it.
    leads: Vec<bool>,
    /// The blockers of each that waits, one after the other, by their places from 1 on.
    links: Vec<u8>,
}

fn kind(push: &Push) -> Kind {
    let specs = &push.specs;
    if push.guard.is_some() || !specs.iter().all(|spec| spec.minted && spec.key.is_none()) {
        return Kind::Open;
    }
    if specs.iter().all(|spec| is_plain(spec)) {
        return Kind::Plain;
    }
    closed(specs).map_or(Kind::Open, Kind::Closed)
}

fn closed(specs: &[Arc<Spec>]) -> Option<Closed> {
    let places: HashMap<&TaskId, usize> = specs.iter().enumerate().map(|(at, spec)| (&spec.id, at)).collect();
    if places.len() < specs.len() {
        return None;
    }
    let (mut leads, mut links, mut is_ordered) = (vec![false; specs.len()], Vec::new(), true);
    let mut latest = vec![usize::MAX; specs.len()];
    for (at, spec) in specs.iter().enumerate() {
        let Some(blockers) = &spec.blockers else { continue };
        if blockers.ids.is_empty() {
            return None;
        }
        for id in &blockers.ids {
            let blocker = *places.get(id)?;
            // Named twice, it would be waited for twice.
            if std::mem::replace(&mut latest[blocker], at) == at {
                return None;
            }
            leads[blocker] = true;
            is_ordered &= blocker < at;
            links.extend_from_slice(&u32::try_from(blocker + 1).ok()?.to_be_bytes());
        }
    }
    (is_ordered || cycle(specs).is_none()).then_some(Closed { leads, links })
}
