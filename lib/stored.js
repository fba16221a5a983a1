'use strict'

// Owns the traffic of stored tasks: batches of enqueues out, one mail in.
//
// Invariants: an input is made into text when `enqueue` is called, so a later change of the object changes nothing;
// a handler runs in the async context of `register`, never in that of whoever happened to enqueue; a report about a
// run that has been taken back or settled meanwhile is dropped by the engine.

const { RunContext, Snooze, TaskContext, closedError } = require('./context')
const { TaskError, describeFailure, isTaskError } = require('./errors')
const { toMillis } = require('./duration')
const { wrap } = require('./guarded')
const { serialize } = require('./payload')

// What is sent at once at most: the text of a batch has to stay far below the longest string.
const BATCH_TASKS = 4096
const BATCH_CHARS = 1 << 20

/** The tasks of one batch; their handles hold it, and when all are gone the engine forgets the outcomes. */
class Batch {
  constructor() {
    this.resolves = []
    this.rejects = []
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
    this.watches = []
    this.waiters = []
    this.freeTokens = []
    this.requests = new Map()
    this.requestNo = 0
    this.contexts = new Map()
    this.listener = undefined
    const { native } = this
    this.dropped = new FinalizationRegistry(batch => native.forget(batch))
  }

  /** Puts a task in the next batch; resolves with `[batch, id, created]`. */
  enqueue(head, input) {
    return new Promise((resolve, reject) => {
      this.lines.push(head, input)
      this.chars += input.length
      this.batch.resolves.push(resolve)
      this.batch.rejects.push(reject)
      if (this.batch.resolves.length >= BATCH_TASKS || this.chars >= BATCH_CHARS) this.flush()
      this.lane.wake()
    })
  }

  /** Pushes tasks all or nothing; `lines` are pairs of head and input. */
  enqueueTogether(lines) {
    this.flush()
    const all = []
    for (let i = 0; i < lines.length; i += 2) all.push(this.enqueueNext(lines[i], lines[i + 1]))
    this.flush('*\n')
    this.lane.wake()
    return Promise.all(all)
  }

  enqueueNext(head, input) {
    return new Promise((resolve, reject) => {
      this.lines.push(head, input)
      this.batch.resolves.push(resolve)
      this.batch.rejects.push(reject)
    })
  }

  /** Sends the batch that has been collected. */
  flush(prefix = '') {
    if (this.lines.length === 0) return
    const { batch } = this
    const text = prefix + this.lines.join('\n')
    this.batch = new Batch()
    this.lines = []
    this.chars = 0
    const number = this.batchNo
    this.batchNo = (number + 1) >>> 0
    try {
      this.native.enqueue(number, text)
      this.batches.set(number, batch)
    } catch (error) {
      const refusal = nativeError(error)
      for (const reject of batch.rejects) reject(refusal)
    }
  }

  /** Sends everything that waits: part of every turn. */
  send() {
    if (this.lines.length > 0) this.flush()
    if (this.reports.length > 0) {
      const text = this.reports.join('\n')
      this.reports = []
      this.native.report(text)
    }
    if (this.watches.length > 0) {
      const text = this.watches.join('\n')
      this.watches = []
      this.native.watch(text)
    }
  }

  /** The outcome of a task; `withdraw` of what is returned ends the waiting. */
  watch(id) {
    const token = this.freeTokens.pop() ?? this.waiters.length
    const outcome = new Promise((resolve, reject) => {
      this.waiters[token] = { resolve, reject, id }
    })
    this.watches.push(`${token} ${id}`)
    this.lane.wake()
    const withdraw = () => {
      if (this.waiters[token]?.id !== id) return
      this.release(token)
      this.watches.push(`-${token} ${id}`)
      this.lane.wake()
    }
    return { outcome, withdraw }
  }

  release(token) {
    this.waiters[token] = undefined
    this.freeTokens.push(token)
  }

  /** Asks the engine; resolves with its reply. `holds`: the process stays alive for it. */
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
    if (this.batches.size > 0) return true
    for (const request of this.requests.values()) if (request.holds) return true
    return false
  }

  /** Fetches the mail; true when there is more. Runs no user code before the turn is over. */
  fetch() {
    const mail = JSON.parse(this.native.mail())
    if (mail.acks !== undefined) for (const ack of mail.acks) this.acknowledge(ack)
    if (mail.starts !== undefined) this.lane.later(() => this.begin(mail.starts))
    if (mail.stops !== undefined) this.lane.later(() => this.stop(mail.stops))
    if (mail.ends !== undefined) for (const end of mail.ends) this.end(end)
    if (mail.events !== undefined) this.lane.later(() => this.listener?.(mail.events))
    if (mail.replies !== undefined) for (const reply of mail.replies) this.reply(reply)
    return mail.more === 1
  }

  acknowledge([number, ids, found, errors]) {
    const batch = this.batches.get(number)
    this.batches.delete(number)
    const { resolves, rejects } = batch
    const existed = found.length > 0 ? new Set(found) : undefined
    for (const [at, error] of errors) rejects[at](storeError(error))
    for (let at = 0; at < ids.length; at += 1) {
      if (ids[at] !== null) resolves[at]([batch, ids[at], existed === undefined || !existed.has(at)])
    }
    batch.resolves = undefined
    batch.rejects = undefined
    this.dropped.register(batch, number)
  }

  end([token, failed, value]) {
    const waiter = this.waiters[token]
    if (waiter === undefined) return
    this.release(token)
    if (failed === 0) waiter.resolve(value)
    else waiter.reject(storeError(value, waiter.id))
  }

  reply([number, failed, value]) {
    const request = this.requests.get(number)
    this.requests.delete(number)
    if (failed === 0) request?.resolve(value)
    else request?.reject(storeError(value))
  }

  begin(starts) {
    for (const start of starts) {
      const definition = this.definitions[start[2]]
      definition.resource.runInAsyncScope(this.run, this, definition, start)
    }
  }

  async run(definition, [slot, run, , attempt, maxAttempts, id, , metadata, input]) {
    if (!this.native.begin(slot, run)) return
    const about = { attempt, maxAttempts, id, name: definition.name, metadata: Object.freeze(metadata ?? {}) }
    const context = new TaskContext(this.lane.stopped, slot, run, about)
    this.contexts.set(slot, context)
    let end
    try {
      const checked = definition.input === undefined ? input : await definition.check(input)
      const output = await definition.handler(checked, context)
      end = `o${serialize(output, 'the result', this.lane.maxPayload)}`
    } catch (error) {
      end = ending(error, definition.retry, attempt)
    }
    if (this.contexts.get(slot) === context) this.contexts.delete(slot)
    this.reports.push(`${slot} ${run} ${end}`)
    this.lane.wake()
  }

  stop(stops) {
    for (const [slot, , error] of stops) {
      const context = this.contexts.get(slot)
      if (context !== undefined) RunContext.abort(context, storeError(error, context.id))
    }
  }

  abortAll(reason) {
    for (const context of this.contexts.values()) RunContext.abort(context, reason)
  }

  /** Nothing more will come: whoever still waits is refused. */
  refuseAll() {
    const error = closedError()
    for (const batch of this.batches.values()) for (const reject of batch.rejects) reject(error)
    for (const reject of this.batch.rejects) reject(error)
    for (const waiter of this.waiters) waiter?.reject(error)
    for (const request of this.requests.values()) request.reject(error)
    this.batches.clear()
    this.requests.clear()
    this.waiters = []
  }
}

// What a handler threw, as a line of a report.
function ending(error, retry, attempt) {
  if (error instanceof Snooze) return `s${error.delay}`
  const { name, message, stack, code } = describeFailure(error)
  const failure = { name, message, stack, code }
  try {
    const known = isTaskError(error)
    if (known && !error.retryable) failure.fatal = true
    if (known && error.retryAfter !== undefined) failure.retryAfter = toMillis(error.retryAfter, 'retryAfter')
    const view = known ? error : wrap(error)
    if (retry?.retryIf !== undefined && !retry.retryIf(view)) failure.fatal = true
    if (retry?.next !== undefined && failure.retryAfter === undefined) {
      const delay = retry.next(view, attempt)
      if (delay === false) failure.fatal = true
      else failure.retryAfter = toMillis(delay, 'delay of RetryPolicy.custom()')
    }
  } catch (thrown) {
    return `e${JSON.stringify({ ...describeFailure(thrown), fatal: true })}`
  }
  return `e${JSON.stringify(failure)}`
}

function storeError(record, taskId) {
  return TaskError.from({ ...record, taskId })
}

/** An error of a native call: `CODE: message`. */
function nativeError(error) {
  const match = /^(ERR_[A-Z_]+): ([^]*)$/.exec(error.message)
  return new TaskError(match?.[2] ?? error.message, { code: match?.[1] ?? 'ERR_ENGINE', cause: error })
}

module.exports = { Stored, nativeError }
