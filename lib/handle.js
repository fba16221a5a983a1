'use strict'

// Owns the handle of a stored task.

const { checkDate, checkPriority, resultOptions } = require('./options')
const { checkName } = require('./names')

class TaskHandle {
  #executor
  // Held so that the engine keeps the outcome as long as somebody can ask for it.
  #batch
  #at

  constructor(executor, batch, at) {
    this.#executor = executor
    this.#batch = batch
    this.#at = at
    this.created = batch.created(at)
  }

  get id() {
    return this.#batch.idOf(this.#at)
  }

  result(options = undefined) {
    if (options === undefined) return this.#executor.stored.watch(this.#batch, this.#at).outcome
    return this.#resultUntil(resultOptions(options).signal)
  }

  #resultUntil(signal) {
    if (signal === undefined) return this.result()
    if (signal.aborted) return Promise.reject(signal.reason)
    const { stored } = this.#executor
    const { outcome, token } = stored.watch(this.#batch, this.#at)
    return new Promise((resolve, reject) => {
      const stop = () => {
        stored.withdraw(token, this.#batch, this.#at)
        reject(signal.reason)
      }
      signal.addEventListener('abort', stop, { once: true })
      outcome.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
    })
  }

  status() {
    return this.#executor.status(this.id)
  }

  cancel(reason = undefined) {
    return this.#executor.amend(this.id, {
      cancel: reason === undefined ? 'on request' : checkName(reason, 'reason'),
    })
  }

  retry() {
    return this.#executor.amend(this.id, 'retry')
  }

  promote() {
    return this.#executor.amend(this.id, 'promote')
  }

  reschedule(runAt) {
    return this.#executor.amend(this.id, { reschedule: checkDate(runAt, 'runAt') })
  }

  async *progress() {
    let seen
    for (;;) {
      const [value, over] = await this.#executor.ask({ op: 'follow', id: this.id, seen })
      if (value !== null) {
        seen = value
        yield JSON.parse(value)
      }
      if (over) return
    }
  }

  async logs() {
    const lines = await this.#executor.ask({ op: 'logs', id: this.id })
    for (const line of lines) line.at = new Date(line.at)
    return lines
  }

  setPriority(priority) {
    return this.#executor.amend(this.id, { prioritise: checkPriority(priority, 'priority') })
  }
}

module.exports = { TaskHandle }
