'use strict'

// Owns the turns between JavaScript and the engine, and the closures that run here and now.
//
// One microtask carries everything that was submitted and done since the last one to the engine, and brings back
// what may start. A plain closure waits at a gate inside its own async function: that keeps the caller's async
// context and stack, and costs two promises. What has more to it is in `guarded`, what is stored in `stored`.
//
// Invariants: this side allots slots and frees them; no user code runs while `ready` is read; `runs[slot]` counts the
// starts of a slot as the engine does; after 3 ms of own work in a row the loop is let go.

// Those of Node, also where a test has replaced the global ones since.
const { setImmediate } = require('node:timers')
const { Guarded, asks } = require('./guarded')
const { RunContext, closedError } = require('./context')
const { TaskError } = require('./errors')
const { clockOf } = require('./clock')
const { limitsOf, withNumbers } = require('./limits')
const { Stored, nativeError } = require('./stored')
const binding = require('./binding')
const probe = require('./probe')
const { ASKS, COUNT, Done, HOLDS, Ready, SLOT, Submit } = require('./words')

const ROOM = 4096
// The longest submission: its word, and one or two for each of the four flags.
const LONGEST = 6
const BURST_MS = 3
// Tasks between two looks at the clock.
const LOOK = 256

const LONG = 2 ** 32

class Lane {
  constructor(options, hold) {
    this.maxPayload = options.maxPayload
    this.durable = options.persistence !== 'memory'
    this.limits = limitsOf(options)
    this.logger = options.logger
    this.clock = clockOf(options)
    this.submitted = new Uint32Array(ROOM)
    this.done = new Uint32Array(ROOM)
    this.ready = new Uint32Array(ROOM)
    // Of stored tasks: [slot, run] of each that ended, [token, batch, place] of each whose outcome is wanted.
    this.ended = new Uint32Array(ROOM)
    this.asked = new Uint32Array(ROOM * 3)
    this.submissions = 0
    this.ends = 0
    this.scheduled = false
    // The next turn comes with the next round of the loop, and a call of the engine can wait for it.
    this.resting = false
    this.turning = false
    this.closed = false
    this.gates = []
    this.runs = []
    this.early = new Map()
    this.contexts = []
    this.tasks = []
    this.free = []
    this.live = 0
    this.after = []
    this.arming = 0
    this.work = 0
    this.started = 0
    this.since = 0
    this.hold = hold
    this.holds = false
    this.refused = undefined
    this.awaited = false
    this.arm = resolve => {
      this.gates[this.arming] = resolve
    }
    this.letGo = () => {
      this.since = 0
      this.work = 0
    }
    this.turn = this.turn.bind(this)
    this.resume = () => {
      this.resting = false
      this.turn()
    }
    this.native = open(options, this)
    this.stopped = this.native.stopped
    const { native } = this
    // A task holds its policy, so that no run can have one that is gone.
    this.policies = new FinalizationRegistry(number => native.dropPolicy(number))
    this.stored = new Stored(this)
    this.clock.join(this.stored)
  }

  /** Runs a closure that has neither timeout nor signal nor retries. */
  plain(work, priority, kind) {
    const slot = this.take()
    const outcome = this.attend(work, slot, this.gate(slot))
    this.submit(slot, priority, undefined, undefined, kind)
    return outcome
  }

  // The frame of this function is most of what a waiting closure costs: it keeps as little as it can.
  async attend(work, slot, gate) {
    const word = await gate
    const context = this.enter(slot, word)
    try {
      const value = await work(context)
      this.leave(slot, context, Done.OK)
      return value
    } catch (error) {
      if (this.limits !== undefined && this.contexts[slot] === context) {
        this.limits.look(this.native, slot, error)
      }
      this.leave(slot, context, Done.FAILED)
      throw error
    }
  }

  /** Why a gate did not let a closure wait. */
  refusedAt(slot) {
    return TaskError.from(JSON.parse(this.native.refusal(slot)))
  }

  /** Why nothing runs any more: one error for all, since thousands may wait when the executor closes. */
  get refusal() {
    this.refused ??= closedError()
    return this.refused
  }

  enter(slot, word) {
    // A word after the start can only say that the engine has closed.
    if (word !== Ready.START || (this.early.size > 0 && this.early.has(slot))) {
      const refusal = word === Ready.REFUSE ? this.refusedAt(slot) : this.refusal
      this.release(slot)
      throw refusal
    }
    const context = new RunContext(this.stopped, slot, this.runs[slot], 1, 1)
    this.contexts[slot] = context
    return context
  }

  leave(slot, context, end) {
    if (this.contexts[slot] !== context) {
      this.report(Done.LATE, 0)
      return
    }
    this.contexts[slot] = undefined
    this.release(slot)
    // Where the last turn has started this task alone, there is nothing to wait for.
    if (this.started === 1 && !this.scheduled && this.work < LOOK) {
      this.done[this.ends++] = (end << 28) | slot
      this.turn()
    } else {
      this.report(end, slot)
    }
  }

  /** Runs a closure with all that `execute` can be asked for. `options.context(task, run)` makes its context. */
  guarded(work, options) {
    const { signal, retry, timeout, priority, kind } = options
    if (signal?.aborted) return Promise.reject(signal.reason)
    let policy = retry !== undefined && retry.attempts > 1 ? this.policy(retry) : undefined
    if (policy !== undefined && asks(retry)) policy = (policy | ASKS) >>> 0
    const slot = this.take()
    let task
    try {
      task = new Guarded(this, slot, work, options)
    } catch (error) {
      // A signal that only looks like one.
      this.release(slot)
      return Promise.reject(error)
    }
    this.tasks[slot] = task
    task.attend()
    this.submit(slot, priority, timeout, policy, kind)
    return task.outcome
  }

  /** A slot that nobody uses. */
  take() {
    this.live += 1
    const slot = this.free.pop()
    if (slot !== undefined) return slot
    this.runs.push(0)
    return this.runs.length - 1
  }

  /** The slot is free for another task. */
  release(slot) {
    this.live -= 1
    this.tasks[slot] = undefined
    if (this.early.size > 0) this.early.delete(slot)
    this.gates[slot] = undefined
    this.free.push(slot)
  }

  /** Resolves with the next word about this slot. */
  gate(slot) {
    if (this.early.size > 0 && this.early.has(slot)) {
      const word = this.early.get(slot)
      this.early.delete(slot)
      return Promise.resolve(word)
    }
    this.arming = slot
    return new Promise(this.arm)
  }

  /** Opens the gate of a slot; the word waits where the gate is not closed yet. */
  open(slot, word) {
    const gate = this.gates[slot]
    if (gate === undefined) {
      this.early.set(slot, word)
      return
    }
    this.gates[slot] = undefined
    gate(word)
  }

  /** There is something to carry over. */
  wake() {
    if (!this.scheduled) this.schedule()
  }

  submit(slot, priority, timeout, policy, kind) {
    if (this.submissions > ROOM - LONGEST) this.turn()
    const { submitted } = this
    const at = this.submissions
    let n = at + 1
    let flags = 0
    if (priority !== undefined && priority !== 0) {
      flags |= Submit.PRIORITY
      submitted[n++] = priority
    }
    if (timeout !== undefined) {
      flags |= Submit.TIMEOUT
      submitted[n++] = timeout % LONG
      submitted[n++] = timeout / LONG
    }
    if (policy !== undefined) {
      flags |= Submit.POLICY
      submitted[n++] = policy
    }
    if (kind !== undefined) {
      flags |= Submit.KIND
      submitted[n++] = kind
    }
    submitted[at] = (flags << 28) | slot
    this.submissions = n
    if (!this.scheduled) this.schedule()
  }

  report(kind, slot) {
    if (this.ends > ROOM - 3) this.turn()
    this.done[this.ends++] = (kind << 28) | slot
    if (!this.scheduled) this.schedule()
  }

  reportDelay(kind, slot, delay) {
    this.report(kind, slot)
    this.done[this.ends++] = delay % LONG
    this.done[this.ends++] = delay / LONG
  }

  /** Carries everything over within this tick, or in the next one when this has lasted long enough. */
  schedule() {
    this.scheduled = true
    if (this.since !== 0 && this.work >= LOOK) {
      this.work = 0
      if (performance.now() - this.since > BURST_MS) {
        this.since = 0
        this.rest()
        return
      }
    }
    queueMicrotask(this.turn)
  }

  rest() {
    this.resting = true
    setImmediate(this.resume)
  }

  /** The engine has something to fetch. */
  called() {
    if (!this.resting) this.turn()
  }

  /** Runs `step` after the words have been read: it may call user code. */
  later(step) {
    this.after.push(step)
  }

  turn() {
    // An abort listener may fill an array again while a turn is at work: the loop below sees to it.
    if (this.turning) return
    this.turning = true
    if (probe.state.on) probe.begin()
    if (this.since === 0) {
      this.since = performance.now()
      setImmediate(this.letGo).unref()
    }
    let began = 0
    let more
    let late = false
    try {
      do {
        this.scheduled = true
        this.stored.send()
        const { submissions, ends, ready } = this
        this.submissions = 0
        this.ends = 0
        const answer = this.native.turn(submissions, ends)
        const n = answer & COUNT
        this.work += n + 1
        this.started = 0
        more = n === ROOM
        for (let i = 0; i < n; i += 1) more = this.read(ready[i]) || more
        if (more) {
          began ||= performance.now()
          late = performance.now() - began > BURST_MS
        } else {
          this.setHolds((answer & HOLDS) !== 0)
        }
      } while (more && !late)
    } catch (error) {
      // A defect that throws here must not end all turns to come.
      this.turning = false
      this.rest()
      throw error
    }
    this.scheduled = late || this.submissions > 0 || this.ends > 0
    this.turning = false
    if (late) this.rest()
    else if (this.scheduled) queueMicrotask(this.turn)
    if (probe.state.on) probe.end()
    if (this.after.length > 0) this.runLater()
  }

  // One word; true when there is more to fetch.
  read(word) {
    const slot = word & SLOT
    const kind = word >>> 28
    if (kind === Ready.START) {
      this.started += 1
      this.runs[slot] = (this.runs[slot] + 1) >>> 0
      this.open(slot, Ready.START)
      return false
    }
    switch (kind) {
      case Ready.MAIL:
        return this.stored.fetch()
      case Ready.RETRY:
        this.tasks[slot]?.told(kind)
        return false
      // Handlers that go on after the end are told too, also where the grace was too short for a warning.
      case Ready.END:
      case Ready.ABORT_ALL:
        this.later(() => this.abortAll())
        return false
    }
    const task = this.tasks[slot]
    if (task !== undefined) task.told(kind)
    else if (this.contexts[slot] !== undefined) this.giveUp(slot)
    else this.open(slot, kind)
    return false
  }

  // A plain closure that the engine gives up: its promise stays with its own function.
  giveUp(slot) {
    const context = this.contexts[slot]
    this.later(() => RunContext.abort(context, this.refusal))
    this.contexts[slot] = undefined
    this.release(slot)
  }

  abortAll() {
    const reason = this.refusal
    for (const context of this.contexts) {
      if (context !== undefined) RunContext.abort(context, reason)
    }
    this.stored.abortAll(reason)
  }

  runLater() {
    const steps = this.after
    this.after = []
    for (const step of steps) {
      try {
        step()
      } catch (error) {
        // Nobody can be told but the process, and the steps behind this one belong to others.
        process.nextTick(() => {
          throw error
        })
      }
    }
  }

  setHolds(holds) {
    const { isAwaited } = this.stored
    if (holds === this.holds && isAwaited === this.awaited) return
    this.holds = holds
    this.updateHold()
  }

  /** Keeps the process alive while the engine, or somebody who waits for it, needs that. */
  updateHold() {
    this.awaited = this.stored.isAwaited
    this.hold(this.holds || this.awaited)
  }

  policy(retry) {
    let number = POLICIES.get(retry)?.get(this)
    if (number === undefined) {
      number = this.native.policy(JSON.stringify(retry.wire))
      this.policies.register(retry, number)
      if (!POLICIES.has(retry)) POLICIES.set(retry, new WeakMap())
      POLICIES.get(retry).set(this, number)
    }
    return number
  }
}

/** Ends the engine of a lane that nobody holds any more. */
const LEFT = new FinalizationRegistry(leave => leave())

/** Numbers of retry policies, for each lane. */
const POLICIES = new WeakMap()

// The engine calls back through a weak reference: an executor that nobody holds can be collected, and its engine ends.
function open(options, lane) {
  const weak = new WeakRef(lane)
  const wake = () => weak.deref()?.called()
  const { submitted, done, ready, ended, asked } = lane
  const arrays = [submitted, done, ready, ended, asked]
  let native
  try {
    const queues = options.queues?.map(withNumbers)
    const logs = options.logger !== undefined
    const clock = lane.clock.number
    const told = withNumbers({ ...options, queues, logs, clock })
    native = binding.open(JSON.stringify(told), arrays, wake)
  } catch (error) {
    throw nativeError(error)
  }
  LEFT.register(lane, native.leave)
  return native
}

module.exports = { Lane }
