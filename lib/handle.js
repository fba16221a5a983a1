'use strict'

// Owns the handle of a stored task.

const { checkDate, checkPriority, resultOptions } = require('./options')
const { checkName } = require('./names')

class TaskHandle {
  #executor
  // Held so that the engine keeps the outcome as long as somebody can ask for it.
  #batch
  #result

  constructor(executor, batch, id, created) {
    this.#executor = executor
    this.#batch = batch
    this.id = id
    this.created = created
  }

  result(options = undefined) {
    const { signal } = resultOptions(options)
    if (signal === undefined) {
      this.#result ??= this.#executor.outcome(this.id).outcome
      return this.#result
    }
    if (signal.aborted) return Promise.reject(signal.reason)
    const { outcome, withdraw } = this.#executor.outcome(this.id)
    return new Promise((resolve, reject) => {
      const stop = () => {
        withdraw()
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
    return this.#executor.amend(this.id, { cancel: reason === undefined ? 'on request' : checkName(reason, 'reason') })
  }

  retry() {
    this.#result = undefined
    return this.#executor.amend(this.id, 'retry')
  }

  promote() {
    return this.#executor.amend(this.id, 'promote')
  }

  reschedule(runAt) {
    return this.#executor.amend(this.id, { reschedule: checkDate(runAt, 'runAt') })
  }

  setPriority(priority) {
    return this.#executor.amend(this.id, { prioritise: checkPriority(priority, 'priority') })
  }
}

module.exports = { TaskHandle }
