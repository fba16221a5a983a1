'use strict'

// Owns what a handler is told about its run.
// Invariants: the AbortController is made only when somebody asks for the signal; `cancelled` asks the engine, so
// that it turns true even while the event loop is blocked by the very handler that reads it.

const { TaskError } = require('./errors')
const { toMillis } = require('./duration')

let serial = 0

/** Thrown by `ctx.snooze`; never seen by anybody but the shim, unless a handler catches it. */
class Snooze extends Error {
  constructor(delay) {
    super('ctx.snooze() ends the attempt by throwing; let it through')
    this.name = 'Snooze'
    this.delay = delay
  }
}

class RunContext {
  #stopped
  #slot
  #run
  #controller
  #reason
  #id

  constructor(stopped, slot, run, attempt, maxAttempts, id) {
    this.#stopped = stopped
    this.#slot = slot
    this.#run = run
    this.#id = id
    this.attempt = attempt
    this.maxAttempts = maxAttempts
  }

  get id() {
    this.#id ??= `local-${++serial}`
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

  /** Stops the run `context` belongs to: runs user code where somebody listens to its signal. */
  static abort(context, reason) {
    if (context.#reason !== undefined) return
    context.#reason = reason
    context.#controller?.abort(reason)
  }
}

class TaskContext extends RunContext {
  constructor(stopped, slot, run, attempt, maxAttempts, id, name, metadata) {
    super(stopped, slot, run, attempt, maxAttempts, id)
    this.name = name
    this.metadata = metadata
  }

  snooze(delay) {
    throw new Snooze(toMillis(delay, 'delay of ctx.snooze()'))
  }
}

/** The reason given to a run that is stopped because its executor closes. */
function closedError() {
  return new TaskError('the executor is closed', { code: 'ERR_EXECUTOR_CLOSED' })
}

module.exports = { RunContext, Snooze, TaskContext, closedError }
