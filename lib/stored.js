'use strict'

// Owns the traffic of stored tasks: batches of enqueues out, one mail in.
//
// Invariants: an input is made into text when `enqueue` is called, so a later change of the object changes nothing;
// a handler runs in the async context of `register`, never in that of whoever happened to enqueue; a report about a
// run that has been taken back or settled meanwhile is dropped by the engine.

const { RunContext, TaskContext, closedError, idAt, isSnooze } = require('./context')
const { TaskError, describeFailure, isTaskError } = require('./errors')
const { toMillis } = require('./duration')
const { asks, wrap } = require('./guarded')
const { STORED } = require('./words')
const { serialize } = require('./payload')
const tracing = require('./tracing')

// What is sent at once at most: the text of a batch has to stay far below the longest string.
const BATCH_TASKS = 4096
const BATCH_CHARS = 1 << 20
// Entries of a start.
const START = 8
const NONE = Object.freeze({})
// Waits under a token that was withdrawn: its number is free again only when the engine has answered.
const NOBODY = () => {}
// Bit of a token: its waiter does not wait any more.
const WITHDRAWN = 0x80000000

/**
 * Tasks that were enqueued together. All of them wait for one promise; their handles hold the batch, and when the last
 * of them is gone the engine forgets the outcomes.
 */
class Batch {
  constructor() {
    this.number = -1
    this.size = 0
    this.ids = undefined
    this.found = undefined
    this.errors = undefined
    this.acked = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    // Whoever waits for one of its tasks is told; nobody may, where the executor closes meanwhile.
    this.acked.catch(() => {})
  }

  /** The id of a task. */
  idOf(at) {
    return idAt(this.ids, at)
  }

  /** Whether this push made the task; throws what was wrong with it. */
  created(at) {
    const error = this.errors?.get(at)
    if (error !== undefined) throw error
    return this.found === undefined || !this.found.has(at)
  }

  /** Throws what was wrong with a push of all or nothing. */
  requireAll() {
    for (const error of this.errors?.values() ?? []) throw error
  }
}

class Stored {
  constructor(lane) {
    this.lane = lane
    this.native = lane.native
    this.definitions = []
    this.lines = []
    this.chars = 0
    this.batch = new Batch()
    this.batches = new Map()
    this.batchNo = 0
    this.reports = []
    this.ended = lane.ended
    this.ends = 0
    this.asked = lane.asked
    this.questions = 0
    this.waiters = []
    this.waiting = 0
    this.freeTokens = []
    this.arming = 0
    this.arm = resolve => {
      this.waiters[this.arming] = resolve
    }
    this.requests = new Map()
    this.requestNo = 0
    this.contexts = []
    // Makes a task of what `ctx.spawn` is given; the executor knows how.
    this.draft = undefined
    this.listener = undefined
    this.troubled = undefined
    this.gated = undefined
    this.jumped = undefined
    this.stalled = undefined
    this.logger = lane.logger
    const { native } = this
    this.dropped = new FinalizationRegistry(batch => native.forget(batch))
  }

  /** Puts a task in the next batch; its place is the batch's size before. */
  add(head, input) {
    const { batch } = this
    this.lines.push(head, input)
    this.chars += input.length
    batch.size += 1
    if (batch.size >= BATCH_TASKS || this.chars >= BATCH_CHARS) this.flush()
    this.lane.wake()
    return batch
  }

  /** Pushes tasks all or nothing; `lines` are pairs of head and input. */
  addTogether(lines) {
    this.flush()
    const { batch } = this
    this.lines = lines
    batch.size = lines.length / 2
    this.flush('*\n')
    this.lane.wake()
    return batch
  }

  /** Sends the batch that has been collected. */
  flush(prefix = '') {
    if (this.lines.length === 0) return
    const { batch, lines } = this
    this.batch = new Batch()
    this.lines = []
    this.chars = 0
    batch.number = this.batchNo
    this.batchNo = (batch.number + 1) >>> 0
    try {
      // All inputs of one `enqueueMany` may be more than the longest string.
      const text = prefix + lines.join('\n')
      this.native.enqueue(batch.number, batch.size, text)
      this.batches.set(batch.number, batch)
    } catch (error) {
      batch.reject(nativeError(error))
    }
  }

  /** Sends everything that waits: part of every turn. */
  send() {
    if (this.lines.length > 0) this.flush()
    if (this.ends > 0) this.sendReports()
    if (this.questions > 0) this.sendQuestions()
  }

  sendReports() {
    const { ends } = this
    const text = this.reports.join('\n')
    this.reports = []
    this.ends = 0
    this.native.report(ends, text)
  }

  sendQuestions() {
    const { questions } = this
    this.questions = 0
    this.native.watch(questions)
  }

  ask(token, batch, at) {
    if (this.questions + 3 > this.asked.length) this.sendQuestions()
    this.asked[this.questions++] = token
    this.asked[this.questions++] = batch
    this.asked[this.questions++] = at
    this.lane.wake()
  }

  /** The outcome of a task of a batch; `withdraw` of the token ends the waiting. */
  watch(batch, at) {
    const token = this.freeTokens.pop() ?? this.waiters.length
    this.waiters[token] = undefined
    this.arming = token
    const outcome = new Promise(this.arm)
    this.waiting += 1
    this.ask(token, batch.number, at)
    return { outcome, token }
  }

  /** Nobody waits under this token any more. */
  withdraw(token, batch, at) {
    if (this.waiters[token] === undefined) return
    this.waiters[token] = NOBODY
    this.waiting -= 1
    this.ask((token | WITHDRAWN) >>> 0, batch.number, at)
  }

  release(token) {
    this.waiters[token] = undefined
    this.freeTokens.push(token)
  }

  /** Asks the engine; resolves with its reply. `holds`: the process stays alive for it, or a function that says so. */
  request(question, holds = true) {
    this.lane.turn()
    this.requestNo = (this.requestNo + 1) >>> 0 || 1
    const number = this.requestNo
    return new Promise((resolve, reject) => {
      this.requests.set(number, { resolve, reject, holds })
      try {
        this.native.request(number, JSON.stringify(question))
      } catch (error) {
        this.requests.delete(number)
        reject(nativeError(error))
      }
      this.lane.updateHold()
    })
  }

  /** Asks the engine for a task; `question` gets the number under which it is held. Gives a batch of it alone. */
  async obtain(question) {
    const batch = new Batch()
    batch.number = this.batchNo
    this.batchNo = (batch.number + 1) >>> 0
    const [id, created] = await this.request(question(batch.number))
    batch.size = 1
    batch.ids = [id]
    if (!created) batch.found = new Set([0])
    batch.resolve()
    this.dropped.register(batch, batch.number)
    return batch
  }

  /** Closes the engine; resolves when it has closed. */
  close(grace) {
    return new Promise((resolve, reject) => {
      this.requests.set(0, { resolve, reject, holds: true })
      this.native.close(grace)
      this.lane.updateHold()
    })
  }

  /** A reply, an acknowledgement or an outcome is on its way that must not be missed. */
  get isAwaited() {
    // In memory an outcome may never come; of a store somebody else may see to it.
    if (this.batches.size > 0 || (this.lane.durable && this.waiting > 0)) return true
    for (const { holds } of this.requests.values())
      if (typeof holds === 'function' ? holds() : holds) return true
    return false
  }

  /** Fetches the mail; true when there is more. Runs no user code before the turn is over. */
  fetch() {
    const mail = JSON.parse(this.native.mail())
    this.lane.work += weight(mail, this.batches)
    if (mail.acks !== undefined) for (const ack of mail.acks) this.acknowledge(ack)
    // A start may have the slot of a run that is stopped.
    if (mail.stops !== undefined) this.lane.later(() => this.stop(mail.stops))
    if (mail.starts !== undefined) this.lane.later(() => this.begin(mail.starts, mail.ids))
    if (mail.ends !== undefined) this.end(mail.ends)
    if (mail.events !== undefined) this.lane.later(() => this.listener?.(mail.events))
    if (mail.gates !== undefined) this.lane.later(() => this.gated?.(mail.gates))
    if (mail.trouble !== undefined) this.lane.later(() => this.troubled?.(storeError(mail.trouble)))
    if (mail.clockJump !== undefined) this.lane.later(() => this.jumped?.(mail.clockJump))
    if (mail.stalled !== undefined) this.lane.later(() => this.stalled?.(mail.stalled))
    if (mail.logs !== undefined) for (const record of mail.logs) this.lane.later(() => this.logger?.(record))
    if (mail.warning !== undefined) process.emitWarning(mail.warning, 'TaskWarning')
    if (mail.replies !== undefined) for (const reply of mail.replies) this.reply(reply)
    return mail.more === 1
  }

  acknowledge([number, ids, found, errors]) {
    const batch = this.batches.get(number)
    if (!this.batches.delete(number)) return
    batch.ids = ids
    if (found.length > 0) batch.found = new Set(found)
    if (errors.length > 0) batch.errors = new Map(errors.map(([at, error]) => [at, storeError(error)]))
    batch.resolve()
    this.dropped.register(batch, number)
  }

  // Triples of a token, whether the task failed, and its output or `[error, id]`.
  end(ends) {
    for (let i = 0; i < ends.length; i += 3) {
      const token = ends[i]
      const resolve = this.waiters[token]
      if (resolve === undefined) continue
      this.release(token)
      if (resolve === NOBODY) continue
      this.waiting -= 1
      const value = ends[i + 2]
      resolve(ends[i + 1] === 0 ? value : Promise.reject(storeError(...value)))
    }
  }

  reply([number, failed, value]) {
    const request = this.requests.get(number)
    this.requests.delete(number)
    if (failed === 0) request?.resolve(value)
    else request?.reject(storeError(value))
  }

  // Runs of one kind that follow each other enter its async context once.
  begin(starts, ids) {
    let from = 0
    while (from < starts.length) {
      const kind = starts[from + 2]
      let to = from + START
      while (to < starts.length && starts[to + 2] === kind) to += START
      const definition = this.definitions[kind]
      definition.resource.runInAsyncScope(this.beginAll, this, definition, starts, from, to, ids)
      from = to
    }
  }

  beginAll(definition, starts, from, to, ids) {
    for (let i = from; i < to; i += START) this.run(definition, starts, i, ids)
  }

  // One run: slot, run, kind, attempt, attempts, own, metadata, input; own: its retry policy is not that of its kind;
  // `[own, queue]` where the queue is another one, too.
  async run(definition, starts, i, ids) {
    const slot = starts[i]
    const run = starts[i + 1]
    const { pool } = definition
    const wait = pool?.place()
    // It begins when a thread has room for it.
    if (wait !== undefined) await wait
    if (!this.native.begin(slot, run)) {
      pool?.leave()
      return
    }
    const attempt = starts[i + 3]
    const maxAttempts = starts[i + 4]
    const about = starts[i + 5]
    const own = about === 1 || about[0] === 1
    const input = starts[i + 7]
    const { name } = definition
    const metadata = starts[i + 6] ?? NONE
    const { stopped } = this.lane
    const at = slot & ~STORED
    const context = new TaskContext(
      stopped,
      slot,
      run,
      attempt,
      maxAttempts,
      name,
      metadata,
      this,
      ids,
      i / START,
    )
    this.contexts[at] = context
    let end
    try {
      const checked = definition.input === undefined ? input : await definition.check(input)
      const handle = () => definition.handler(checked, context)
      const output = await (tracing.isOn()
        ? tracing.run(context, about[1] ?? definition.queue, handle)
        : handle())
      const text = serialize(output, 'result', undefined, this.lane.maxPayload)
      const desk = TaskContext.deskOf(context)
      end = desk === undefined || desk.lines.length === 0 ? `o${text}` : await spawning(text, desk)
    } catch (error) {
      const { limits } = definition
      if (limits !== undefined && this.contexts[at] === context) limits.heed(this.native, slot, error)
      end = ending(error, attempt < maxAttempts && !own ? definition.retry : undefined, attempt, limits)
    }
    if (this.contexts[at] === context) this.contexts[at] = undefined
    this.report(slot, run, end)
  }

  stop(stops) {
    for (const [slot, run, error, kind, attempt] of stops) {
      const context = this.contexts[slot & ~STORED]
      const reason = storeError(error, context?.id)
      if (kind !== undefined) this.report(slot, run, this.judge(reason, kind, attempt))
      if (context !== undefined) RunContext.abort(context, reason)
    }
  }

  // What follows an attempt that has timed out, as the functions of its retry policy have it.
  judge(error, kind, attempt) {
    error.attempt = attempt
    // It would tell of this file.
    error.stack = ''
    return `t${ending(error, this.definitions[kind].retry, attempt).slice(1)}`
  }

  report(slot, run, line) {
    if (this.ends + 2 > this.ended.length) this.sendReports()
    this.ended[this.ends++] = slot
    this.ended[this.ends++] = run
    this.reports.push(line)
    this.lane.wake()
  }

  abortAll(reason) {
    for (const context of this.contexts) if (context !== undefined) RunContext.abort(context, reason)
  }

  /** Nothing more will come: whoever still waits is refused. */
  refuseAll() {
    const error = closedError()
    this.lane.clock.leave(this)
    for (const batch of this.batches.values()) batch.reject(error)
    this.batch.reject(error)
    for (const resolve of this.waiters) if (resolve !== NOBODY) resolve?.(Promise.reject(error))
    for (const request of this.requests.values()) request.reject(error)
    this.batches.clear()
    this.requests.clear()
    this.waiters = []
    this.waiting = 0
  }
}

// A success that spawns tasks, as a line of a report.
async function spawning(output, desk) {
  await desk.ready()
  return `w${JSON.stringify({ output, spawn: desk.lines })}`
}

// What a handler threw, as a line of a report; `retry` only where there is a run left.
function ending(error, retry, attempt, limits) {
  if (isSnooze(error)) return `s${error.delay}`
  const { name, message, stack, code, foreign } = describeFailure(error)
  const failure = { name, message, stack, code: foreign ?? code, blames: limits?.blames(error) }
  try {
    const known = isTaskError(error)
    if (known && !error.retryable) failure.fatal = true
    if (known && error.retryAfter !== undefined) failure.retryAfter = toMillis(error.retryAfter, 'retryAfter')
    if (retry === undefined || failure.fatal || !asks(retry)) return `e${JSON.stringify(failure)}`
    const view = known ? error : wrap(error)
    if (retry.retryIf !== undefined && !retry.retryIf(view)) failure.fatal = true
    if (retry.next !== undefined && failure.retryAfter === undefined) {
      const delay = retry.next(view, attempt)
      if (delay === false) failure.fatal = true
      else failure.retryAfter = toMillis(delay, 'delay of RetryPolicy.custom()')
    }
  } catch (thrown) {
    return `e${JSON.stringify({ ...describeFailure(thrown), fatal: true })}`
  }
  return `e${JSON.stringify(failure)}`
}

/** How many pieces of work a mail brings: code of users follows each of them before the loop is let go. */
function weight({ acks, starts, ends }, batches) {
  let pieces = ((starts?.length ?? 0) / START + (ends?.length ?? 0) / 3) | 0
  if (acks !== undefined) for (const [number] of acks) pieces += batches.get(number)?.size ?? 0
  return pieces
}

function storeError(record, taskId) {
  return TaskError.from({ ...record, taskId })
}

/** An error of a native call: `CODE: message`. */
function nativeError(error) {
  const match = /^(ERR_[A-Z_]+): ([\s\S]*)$/.exec(error.message)
  return new TaskError(match?.[2] ?? error.message, { code: match?.[1] ?? 'ERR_ENGINE', cause: error })
}

module.exports = { Stored, nativeError }
