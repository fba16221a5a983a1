'use strict'

// Owns the public executor: checks arguments, then hands over to the lane.
// Invariants: an argument error leaves nothing behind; a closed executor refuses everything new with
// ERR_EXECUTOR_CLOSED and answers everything it had accepted.

const { EventEmitter } = require('node:events')
const { RunContext, TaskContext, closedError } = require('./context')
const { Events } = require('./events')
const { Kind, headOf } = require('./kind')
const { Lane } = require('./lane')
const { TaskError, describe, optionError } = require('./errors')
const { TaskHandle } = require('./handle')
const { checkDefinition } = require('./definition')
const { checkName } = require('./names')
const { serialize } = require('./payload')
const options = require('./options')
const { information } = require('./record')
const { keepAlive } = require('./process')

const plainContext = (task, run) =>
  new RunContext(task.lane.stopped, task.slot, run, task.attempt, task.maxAttempts, task)

class TaskExecutor extends EventEmitter {
  #options
  #durable
  #lane
  #hold
  #kinds = new Map()
  #byDefinition = new WeakMap()
  #events
  #started = false
  #closing
  #unheld = false
  #inner

  constructor(given = undefined) {
    super()
    const checked = options.executorOptions(given)
    this.#options = checked
    this.#durable = checked.persistence !== 'memory'
    this.#hold = keepAlive(this)
    this.#lane = new Lane(checked, holds => this.#hold(holds && !this.#unheld))
    this.#events = new Events(this, this.#lane)
    this.#inner = {
      stored: this.#lane.stored,
      status: id => this.#status(id),
      amend: async (id, change) => (await this.#ask({ op: 'amend', ids: [id], change })) === 1,
    }
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
        undefined,
        0,
        task,
      )
    }
    const work = context => kind.handler(checked, context)
    const tell = this.#events.teller(kind.name, kind.queue)
    const { number, limits } = kind
    return this.#lane.guarded(work, {
      priority,
      timeout,
      retry,
      signal,
      kind: number,
      limits,
      context,
      tell,
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
      return Promise.all(closuresOf(tasks).map(task => this.#execute(task, given, 'executeAll()')))
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
      const text = this.#payload(kind, input)
      const head = headOf(kind, checked)
      if (kind.input === undefined) return this.#add(head, text)
      return Promise.resolve(kind.check(input)).then(() => this.#add(head, text))
    } catch (error) {
      return Promise.reject(error)
    }
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
      const checked = given === undefined ? undefined : options.enqueueOptions(given, 'enqueueMany()')
      const kind = this.#kind(task, 'enqueueMany()')
      const head = headOf(kind, checked)
      const all = Array.from(inputs)
      const lines = all.flatMap(input => [head, this.#payload(kind, input)])
      if (kind.input === undefined) return this.#addTogether(lines)
      const checks = all.map(async input => kind.check(input))
      return Promise.all(checks).then(() => this.#addTogether(lines))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async #addTogether(lines) {
    this.#accept()
    if (lines.length === 0) return []
    const batch = this.#lane.stored.addTogether(lines)
    await batch.acked
    return Array.from({ length: batch.size }, (_, at) => new TaskHandle(this.#inner, batch, at))
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
      if (known?.handler !== undefined && known.handler !== definition.handler) {
        throw optionError(`a task named ${describe(definition.name)} is registered already`)
      }
      this.#byDefinition.set(task, this.#define(new Kind(definition, this.#options)))
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
    if (this.#started) return
    if (!this.#durable) return this.#begin()
    await this.#ask({ op: 'start' })
    this.#started = true
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
    return this.#status(checkName(id, 'id'), false)
  }

  async #status(id, must = true) {
    const record = await this.#ask({ op: 'get', id })
    if (record !== null) return information(record)
    if (!must) return undefined
    throw new TaskError(`there is no task ${describe(id)}`, { code: 'ERR_TASK_NOT_FOUND' })
  }

  list(given = undefined) {
    const filter = options.taskFilter(given, 'list()')
    return this.#pages(filter)
  }

  async *#pages({ limit = Number.POSITIVE_INFINITY, cursor, ...filter }) {
    let left = limit
    let next = cursor
    if (cursor !== undefined) await this.#status(cursor)
    while (left > 0) {
      const page = await this.#ask({
        op: 'list',
        filter: { ...filter, limit: Math.min(left, 100), cursor: next },
      })
      for (const record of page.records) yield information(record)
      left -= page.records.length
      next = page.cursor
      if (next === null) return
    }
  }

  async counts(queue = undefined) {
    return this.#ask({ op: 'counts', queue: queue === undefined ? undefined : checkName(queue, 'queue') })
  }

  async nodes() {
    const nodes = await this.#ask({ op: 'nodes' })
    return nodes.map(node => ({ ...node, lastBeat: new Date(node.lastBeat) }))
  }

  async retryAll(filter) {
    const { state = UNDONE, ...rest } = options.taskFilter(filter, 'retryAll()', true)
    return this.#ask({ op: 'amend', filter: { ...rest, state }, change: 'retry' })
  }

  async cancelAll(filter) {
    const change = { cancel: 'on request' }
    return this.#ask({ op: 'amend', filter: options.taskFilter(filter, 'cancelAll()', true), change })
  }

  async prune(filter) {
    const checked = options.taskFilter(filter, 'prune()', true)
    const state = (checked.state ?? FINAL).filter(word => FINAL.includes(word))
    if (state.length === 0) return 0
    return this.#ask({ op: 'amend', filter: { ...checked, state }, change: 'remove' })
  }

  events(given = undefined) {
    return this.#events.iterate(options.resultOptions(given, 'events()'))
  }

  #ask(question) {
    this.#requireOpen()
    return this.#lane.stored.request(question)
  }

  #requireOpen() {
    if (this.#closing !== undefined) throw closedError()
  }
}

// A signal that outlives its executors must not keep them alive.
function closeOnAbort(signal, weak) {
  if (signal.aborted) weak.deref().close()
  else signal.addEventListener('abort', () => weak.deref()?.close(), { once: true })
}

function closuresOf(tasks) {
  if (typeof tasks?.[Symbol.iterator] !== 'function') {
    throw optionError(`executeAll() takes an iterable of functions; got ${describe(tasks)}`)
  }
  const all = Array.from(tasks)
  const at = all.findIndex(task => typeof task !== 'function')
  if (at !== -1) throw optionError(`executeAll() takes functions; number ${at} is ${describe(all[at])}`)
  return all
}

const NOTHING = Object.freeze({})
const FINAL = ['completed', 'failed', 'cancelled']
const UNDONE = ['failed', 'cancelled']

module.exports = { TaskExecutor }
