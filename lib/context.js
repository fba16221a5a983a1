'use strict'

// Owns what a handler is told about its run.
// Invariants: the AbortController is made only when somebody asks for the signal; `cancelled` asks the engine, so
// that it turns true even while the event loop is blocked by the very handler that reads it.

const { TaskError } = require('./errors')
const { LONGEST, toMillis } = require('./duration')
const { LocalDesk, StoredDesk } = require('./desk')

let serial = 0

/** Says without running user code whether `value` is a Snooze; `instanceof` would ask a Proxy. */
let isSnooze

/** Thrown by `ctx.snooze`; never seen by anybody but the shim, unless a handler catches it. */
class Snooze extends Error {
  #made = true

  static {
    isSnooze = value => typeof value === 'object' && value !== null && #made in value
  }

  constructor(delay) {
    super('ctx.snooze() ends the attempt by throwing; let it through')
    this.name = 'Snooze'
    this.delay = delay
  }
}

/** The id of a task that is not stored. */
function localId() {
  return `local-${++serial}`
}

class RunContext {
  #stopped
  #slot
  #run
  #controller
  #reason
  #task
  #id
  #listener

  /** `task`: whose id this is, where it has several runs. */
  constructor(stopped, slot, run, attempt, maxAttempts, task = undefined) {
    this.#stopped = stopped
    this.#task = task
    this.#slot = slot
    this.#run = run
    this.attempt = attempt
    this.maxAttempts = maxAttempts
  }

  get id() {
    this.#id ??= this.#task === undefined ? localId() : this.#task.id
    return this.#id
  }

  get signal() {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  get cancelled() {
    return this.#reason !== undefined || this.#stopped(this.#slot, this.#run)
  }

  /** Where the run `context` belongs to is kept: its slot and its number. */
  static placeOf(context) {
    return [context.#slot, context.#run]
  }

  /** Stops the run `context` belongs to: runs user code where somebody listens to its signal. */
  static abort(context, reason) {
    if (context.#reason !== undefined) return
    context.#reason = reason
    context.#controller?.abort(reason)
    context.#listener?.(reason)
  }

  /** Calls `listener` when the run `context` belongs to is stopped: without the signal, which costs more. */
  static onAbort(context, listener) {
    context.#listener = listener
    if (context.#reason !== undefined) listener(context.#reason)
  }
}

class TaskContext extends RunContext {
  #ids
  #at
  #stored
  #local
  #desk

  /** `task` has several runs, of a definition that is executed without a store. */
  constructor(stopped, slot, run, attempt, maxAttempts, name, metadata, stored, ids, at, task = undefined) {
    super(stopped, slot, run, attempt, maxAttempts, task)
    this.name = name
    this.metadata = metadata
    this.schedule = metadata.schedule === undefined ? undefined : slotOf(metadata, stored.lane.clock)
    this.#ids = ids
    this.#at = at
    this.#stored = stored
    this.#local = task
  }

  get id() {
    return this.#ids === undefined ? super.id : idAt(this.#ids, this.#at)
  }

  get #own() {
    this.#desk ??=
      this.#local === undefined
        ? new StoredDesk(this.#stored, ...RunContext.placeOf(this))
        : new LocalDesk(this.#stored.draft, this.#local.steps)
    return this.#desk
  }

  /** The desk of a run, where it has asked for one. */
  static deskOf(context) {
    return context.#desk
  }

  results() {
    return this.#own.results()
  }

  step(key, run) {
    return this.#own.step(key, run)
  }

  spawn(task, input = undefined, options = undefined) {
    return this.#own.spawn(task, input, options)
  }

  progress(value) {
    this.#own.progress(value)
  }

  log(message, fields = undefined, level = undefined) {
    this.#own.log(message, fields, level)
  }

  snooze(delay) {
    throw new Snooze(toMillis(delay, 'delay of ctx.snooze()', { max: LONGEST }))
  }
}

// What a schedule has written into the metadata of the task; somebody may have enqueued it with the like.
function slotOf({ schedule, slot, skipped }, clock) {
  if (!/^\d{1,15}$/.test(slot) || !/^\d{1,15}$/.test(skipped)) return undefined
  const late = Math.max(0, clock.now() - Number(slot))
  return Object.freeze({ key: schedule, slot: new Date(Number(slot)), late, skipped: Number(skipped) })
}

// Characters of an id made by the engine.
const ID = 36

/** One of many ids. Those made by the engine have one length, and come as one text. */
function idAt(ids, at) {
  return typeof ids === 'string' ? ids.slice(at * ID, at * ID + ID) : ids[at]
}

/** The reason given to a run that is stopped because its executor closes. */
function closedError() {
  return new TaskError('the executor is closed', { code: 'ERR_EXECUTOR_CLOSED' })
}

module.exports = { RunContext, Snooze, TaskContext, closedError, idAt, isSnooze, localId }
