'use strict'

// Owns the public executor: checks arguments, then hands over to the lane.
// Invariants: an argument error leaves nothing behind; a closed executor refuses everything new with
// ERR_EXECUTOR_CLOSED and answers everything it had accepted.

const { EventEmitter } = require('node:events')
const { RunContext, TaskContext, closedError } = require('./context')
const { Events } = require('./events')
const { Kind, headOf, headsOf } = require('./kind')
const { Lane } = require('./lane')
const { TaskError, describe, optionError } = require('./errors')
const { TaskFlow, flowBatch } = require('./flow')
const { TaskHandle } = require('./handle')
const { checkDefinition } = require('./definition')
const { checkName } = require('./names')
const { serialize } = require('./payload')
const { closeOnAbort, poolOf } = require('./parts')
const options = require('./options')
const { cost, examine, withKinds } = require('./metrics')
const { Records } = require('./records')
const { keepAlive } = require('./process')
const { upsert } = require('./schedules')
const tracing = require('./tracing')
const { withCarrier } = tracing

const plainContext = (task, run) =>
  new RunContext(task.lane.stopped, task.slot, run, task.attempt, task.maxAttempts, task)

/** What the scheduler may use of an executor; undefined where it is none. */
let innerOf

class TaskExecutor extends EventEmitter {
  static {
    innerOf = executor => (#inner in Object(executor) ? executor.#inner : undefined)
  }

  #options
  #durable
  #lane
  #hold
  #kinds = new Map()
  #byDefinition = new WeakMap()
  #events
  #started = false
  #scheduled
  #closing
  #unheld = false
  #inner
  #pool
  #threads = () => {
    const { threads, cancelGrace } = this.#options
    this.#pool ??= poolOf(this, { ...threads, cancelGrace })
    return this.#pool
  }
  #records

  constructor(given = undefined) {
    super()
    const checked = options.executorOptions(given)
    this.#options = checked
    this.#durable = checked.persistence !== 'memory'
    this.#hold = keepAlive(this)
    this.#lane = new Lane(checked, holds => this.#hold(holds && !this.#unheld))
    this.#events = new Events(this, this.#lane)
    this.#records = new Records(question => this.#ask(question))
    this.#inner = {
      stored: this.#lane.stored,
      status: id => this.#records.status(id),
      ask: question => this.#ask(question),
      accept: () => this.#accept(),
      kind: (task, call) => this.#kind(task, call),
      payload: (kind, input) => this.#payload(kind, input),
      amend: async (id, change) => (await this.#ask({ op: 'amend', ids: [id], change })) > 0,
      flow: id => this.getFlow(id),
    }
    this.#lane.stored.draft = (task, input, given, call) => this.#draft(task, input, given, call)
    this.register(...(checked.tasks ?? []))
    if (checked.signal !== undefined) closeOnAbort(checked.signal, new WeakRef(this))
  }

  static withPersistence(persistence) {
    return new TaskExecutor({ persistence })
  }

  static withRetry(retry) {
    return new TaskExecutor({ retry })
  }

  static withRateLimiter(rateLimit) {
    return new TaskExecutor({ rateLimit })
  }

  execute(task, ...rest) {
    return typeof task === 'function'
      ? this.#execute(task, rest[0])
      : this.#executeKind(task, rest[0], rest[1])
  }

  #execute(work, given, call = 'execute()') {
    let run
    try {
      run = options.runOptions(given, call)
    } catch (error) {
      return Promise.reject(error)
    }
    if (this.#closing !== undefined) return Promise.reject(closedError())
    this.#events.busy()
    const {
      priority = this.#options.priority,
      timeout = this.#options.timeout,
      retry = this.#options.retry,
      signal,
    } = run
    if (timeout === undefined && retry === undefined && signal === undefined && !this.#events.active) {
      return this.#lane.plain(work, priority, undefined)
    }
    const tell = this.#events.teller(work.name, this.#options.queue)
    return this.#lane.guarded(work, {
      priority,
      timeout,
      retry,
      signal,
      kind: undefined,
      limits: this.#lane.limits,
      context: plainContext,
      tell,
      pool: undefined,
    })
  }

  async #executeKind(task, input, given) {
    const run = options.runOptions(given)
    if (this.#durable) return this.#executeStored(task, input, run)
    const kind = this.#kind(task, 'execute()')
    if (kind.handler === undefined) {
      throw new TaskError(`task ${describe(kind.name)} has no handler here`, { code: 'ERR_TASK_UNKNOWN' })
    }
    const checked = kind.input === undefined ? input : await kind.check(input)
    if (this.#closing !== undefined) throw closedError()
    this.#events.busy()
    const { priority = kind.priority, timeout = kind.timeout, retry = kind.retry, signal } = run
    const context = (task, number) => {
      const { lane, slot, attempt, maxAttempts } = task
      const { name } = kind
      return new TaskContext(
        lane.stopped,
        slot,
        number,
        attempt,
        maxAttempts,
        name,
        NOTHING,
        lane.stored,
        undefined,
        0,
        task,
      )
    }
    const handle = context => kind.handler(checked, context)
    const traced = tracing.isOn()
      ? context => tracing.run(context, kind.queue, () => handle(context))
      : handle
    const work = async context => {
      const value = await traced(context)
      const desk = TaskContext.deskOf(context)
      if (desk !== undefined && desk.lines.length > 0) {
        await desk.ready()
        await this.#addTogether(desk.lines)
      }
      return value
    }
    const tell = this.#events.teller(kind.name, kind.queue)
    return this.#lane.guarded(work, {
      priority,
      timeout,
      retry,
      signal,
      kind: kind.number,
      limits: kind.limits,
      context,
      tell,
      pool: kind.pool,
    })
  }

  // A named task on a store is the store's: it goes on when this process does not.
  async #executeStored(task, input, { signal, ...rest }) {
    if (signal?.aborted) throw signal.reason
    const handle = await this.#enqueue(task, input, rest, 'execute()')
    if (signal === undefined) return handle.result()
    const cancel = () => handle.cancel().catch(() => {})
    if (signal.aborted) cancel()
    else signal.addEventListener('abort', cancel, { once: true })
    try {
      return await handle.result({ signal })
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }

  executeAll(tasks, given = undefined) {
    try {
      return Promise.all(options.closures(tasks).map(task => this.#execute(task, given, 'executeAll()')))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  enqueue(task, input = undefined, given = undefined) {
    return this.#enqueue(task, input, given, 'enqueue()')
  }

  #enqueue(task, input, given, call) {
    try {
      const checked = given === undefined ? undefined : options.enqueueOptions(given, call)
      const kind = this.#kind(task, call)
      if (!tracing.isOn()) return this.#send(kind, input, checked)
      const send = carrier => this.#send(kind, input, withCarrier(checked, carrier))
      return tracing.enqueue(kind, checked?.queue, 1, send)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #send(kind, input, checked) {
    const text = this.#payload(kind, input)
    const head = headOf(kind, checked)
    if (kind.input === undefined) return this.#add(head, text)
    return Promise.resolve(kind.check(input)).then(() => this.#add(head, text))
  }

  #add(head, text) {
    this.#accept()
    const { stored } = this.#lane
    const at = stored.batch.size
    const batch = stored.add(head, text)
    return batch.acked.then(() => new TaskHandle(this.#inner, batch, at))
  }

  enqueueMany(task, inputs, given = undefined) {
    try {
      if (typeof inputs?.[Symbol.iterator] !== 'function') {
        throw optionError(`the inputs of enqueueMany() must be iterable; got ${describe(inputs)}`)
      }
      const kind = this.#kind(task, 'enqueueMany()')
      const all = Array.from(inputs)
      if (!tracing.isOn()) return this.#sendMany(kind, all, given)
      return tracing.enqueue(kind, undefined, all.length, carrier =>
        this.#sendMany(kind, all, given, carrier),
      )
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #sendMany(kind, all, given, carrier = undefined) {
    const heads = headsOf(kind, given, carrier)
    const lines = all.flatMap((input, at) => [heads(input, at), this.#payload(kind, input)])
    if (kind.input === undefined) return this.#addTogether(lines)
    return Promise.all(all.map(async input => kind.check(input))).then(() => this.#addTogether(lines))
  }

  // A task on its way into a batch; `checked` is a promise where its schema takes time.
  #draft(task, input, given, call) {
    const checked = given === undefined ? {} : options.enqueueOptions(given, call)
    const kind = this.#kind(task, call)
    const text = this.#payload(kind, input)
    return { kind, options: checked, text, checked: kind.input === undefined ? undefined : kind.check(input) }
  }

  async enqueueFlow(tasks, given = undefined) {
    const { id, refs, lines, checks } = flowBatch(tasks, given, (...entry) => this.#draft(...entry))
    await Promise.all(checks)
    this.#accept()
    const batch = await this.#push(lines)
    return new TaskFlow(this.#inner, id, refs, batch)
  }

  async getFlow(id) {
    return this.#records.flow(checkName(id, 'id'))
  }

  async #addTogether(lines) {
    this.#accept()
    if (lines.length === 0) return []
    const batch = await this.#push(lines)
    return Array.from({ length: batch.size }, (_, at) => new TaskHandle(this.#inner, batch, at))
  }

  async #push(lines) {
    const batch = this.#lane.stored.addTogether(lines)
    await batch.acked
    batch.requireAll()
    return batch
  }

  #payload(kind, input) {
    return serialize(input, 'input', kind.name, this.#options.maxPayload)
  }

  // The last look before something is sent.
  #accept() {
    if (this.#closing !== undefined) throw closedError()
    if (!this.#started && !this.#durable) this.#begin()
    this.#events.busy()
  }

  register(...tasks) {
    for (const [at, task] of tasks.entries()) {
      const definition = checkDefinition(task, `tasks[${at}]`)
      const known = this.#kinds.get(definition.name)
      const source = definition.module ?? definition.handler
      if (known?.source !== undefined && known.source !== source) {
        throw optionError(`a task named ${describe(definition.name)} is registered already`)
      }
      this.#byDefinition.set(task, this.#define(new Kind(definition, this.#options, this.#threads)))
    }
  }

  // The kind of a definition or of a name; one that was never registered is known from its first use.
  #kind(task, call) {
    const known = typeof task === 'string' ? this.#kinds.get(task) : this.#byDefinition.get(Object(task))
    if (known !== undefined) return known
    if (typeof task === 'string')
      return this.#define(
        new Kind(checkDefinition({ name: checkName(task, `task of ${call}`) }), this.#options),
      )
    if (typeof task !== 'object' || task === null) {
      const taken =
        call === 'execute()' ? 'a function, a task definition or its name' : 'a task definition or its name'
      throw optionError(`${call} takes ${taken}; got ${describe(task)}`)
    }
    this.register(task)
    return this.#byDefinition.get(task)
  }

  #define(kind) {
    kind.number = this.#lane.native.define(JSON.stringify(kind.wire))
    this.#lane.stored.definitions[kind.number] = kind
    this.#kinds.set(kind.name, kind)
    // Tasks of this kind may wait for it: the turn asks whether they hold the process.
    if (this.#started) this.#lane.wake()
    return kind
  }

  #begin() {
    this.#started = true
    this.#lane.native.start()
  }

  async start() {
    this.#requireOpen()
    if (!this.#started && this.#durable) {
      await this.#ask({ op: 'start' })
      this.#started = true
    } else if (!this.#started) {
      this.#begin()
    }
    this.#scheduled ??= this.#scheduleAll()
    await this.#scheduled
  }

  async #scheduleAll() {
    try {
      const kinds = [...this.#kinds.values()].filter(kind => kind.schedule !== undefined)
      const ask = question => this.#ask(question)
      await Promise.all(kinds.map(kind => upsert(ask, kind, kind.schedule, 'null')))
    } catch (error) {
      // The next start tries again.
      this.#scheduled = undefined
      throw error
    }
  }

  async pause(queue = undefined) {
    await this.#pause(queue, true)
  }

  async resume(queue = undefined) {
    await this.#pause(queue, false)
  }

  async #pause(queue, paused) {
    this.#requireOpen()
    if (queue === undefined) {
      // What was asked for before starts before.
      this.#lane.turn()
      this.#lane.native.pause(paused)
      this.#lane.turn()
    } else {
      await this.#ask({ op: 'pause', queue: checkName(queue, 'queue'), paused })
    }
  }

  async onIdle() {
    if (this.#closing !== undefined) return this.#closing
    await this.#lane.stored.request({ op: 'idle' })
  }

  close(given = undefined) {
    try {
      const { gracePeriod = this.#options.gracePeriod } = options.closeOptions(given)
      this.#closing ??= this.#close(gracePeriod)
      return this.#closing
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async #close(grace) {
    const { stored, native } = this.#lane
    this.#lane.turn()
    await stored.close(grace)
    this.#lane.turn()
    stored.refuseAll()
    this.#events.end()
    native.free()
    await this.#pool?.close()
    this.#hold(false)
  }

  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.close()
  }

  ref() {
    this.#unheld = false
    this.#lane.updateHold()
    return this
  }

  unref() {
    this.#unheld = true
    this.#hold(false)
    return this
  }

  async get(id) {
    return this.#records.find(checkName(id, 'id'))
  }

  list(filter = undefined) {
    return this.#records.list(filter)
  }

  async counts(queue = undefined) {
    return this.#records.counts(queue)
  }

  async nodes() {
    return this.#records.nodes()
  }

  async retryAll(filter) {
    return this.#records.retryAll(filter)
  }

  async cancelAll(filter) {
    return this.#records.cancelAll(filter)
  }

  async prune(filter) {
    return this.#records.prune(filter)
  }

  events(given = undefined) {
    return this.#events.iterate(options.resultOptions(given, 'events()'))
  }

  async enableMetrics() {
    this.#requireOpen()
    this.#lane.native.enableMetrics()
  }

  async getMetrics() {
    return withKinds(await this.#ask({ op: 'metrics', ...cost() }))
  }

  async metricsText() {
    return this.#ask({ op: 'metricsText', ...cost() })
  }

  async doctor() {
    return examine(this.#options, await this.#ask({ op: 'doctor' }))
  }

  #ask(question) {
    this.#requireOpen()
    return this.#lane.stored.request(question)
  }

  #requireOpen() {
    if (this.#closing !== undefined) throw closedError()
  }
}

const NOTHING = Object.freeze({})

module.exports = { TaskExecutor, innerOf }
