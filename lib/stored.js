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
const { STORED } = require('./words')
const { serialize } = require('./payload')

// What is sent at once at most: the text of a batch has to stay far below the longest string.
const BATCH_TASKS = 4096
const BATCH_CHARS = 1 << 20
// Characters of an id made by the engine.
const ID = 36
const NONE = Object.freeze({})
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

  /** The id of a task. Ids made by the engine have one length, and come as one text. */
  idOf(at) {
    return typeof this.ids === 'string' ? this.ids.slice(at * ID, at * ID + ID) : this.ids[at]
  }

  /** Whether this push made the task; throws what was wrong with it. */
  created(at) {
    const error = this.errors?.get(at)
    if (error !== undefined) throw error
    return this.found === undefined || !this.found.has(at)
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
    this.freeTokens = []
    this.arming = 0
    this.arm = resolve => {
      this.waiters[this.arming] = resolve
    }
    this.requests = new Map()
    this.requestNo = 0
    this.contexts = []
    this.listener = undefined
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
    const { batch } = this
    const text = prefix + this.lines.join('\n')
    this.batch = new Batch()
    this.lines = []
    this.chars = 0
    batch.number = this.batchNo
    this.batchNo = (batch.number + 1) >>> 0
    try {
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
    this.ask(token, batch.number, at)
    return { outcome, token }
  }

  /** Nobody waits under this token any more. */
  withdraw(token, batch, at) {
    if (this.waiters[token] === undefined) return
    this.release(token)
    this.ask((token | WITHDRAWN) >>> 0, batch.number, at)
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
    batch.ids = ids
    if (found.length > 0) batch.found = new Set(found)
    if (errors.length > 0) batch.errors = new Map(errors.map(([at, error]) => [at, storeError(error)]))
    batch.resolve()
    this.dropped.register(batch, number)
  }

  end([token, failed, value, id]) {
    const resolve = this.waiters[token]
    if (resolve === undefined) return
    this.release(token)
    resolve(failed === 0 ? value : Promise.reject(storeError(value, id)))
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
    const { name } = definition
    const context = new TaskContext(this.lane.stopped, slot, run, attempt, maxAttempts, id, name, metadata ?? NONE)
    const at = slot & ~STORED
    this.contexts[at] = context
    let end
    try {
      const checked = definition.input === undefined ? input : await definition.check(input)
      const output = await definition.handler(checked, context)
      end = `o${serialize(output, 'result', undefined, this.lane.maxPayload)}`
    } catch (error) {
      end = ending(error, definition.retry, attempt)
    }
    if (this.contexts[at] === context) this.contexts[at] = undefined
    if (this.ends + 2 > this.ended.length) this.sendReports()
    this.ended[this.ends++] = slot
    this.ended[this.ends++] = run
    this.reports.push(end)
    this.lane.wake()
  }

  stop(stops) {
    for (const [slot, , error] of stops) {
      const context = this.contexts[slot & ~STORED]
      if (context !== undefined) RunContext.abort(context, storeError(error, context.id))
    }
  }

  abortAll(reason) {
    for (const context of this.contexts) if (context !== undefined) RunContext.abort(context, reason)
  }

  /** Nothing more will come: whoever still waits is refused. */
  refuseAll() {
    const error = closedError()
    for (const batch of this.batches.values()) batch.reject(error)
    this.batch.reject(error)
    for (const resolve of this.waiters) resolve?.(Promise.reject(error))
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
