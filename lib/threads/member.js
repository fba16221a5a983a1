'use strict'

// Owns one worker thread and the jobs that it has been given.
//
// For each place two words of shared memory: the serial number of its job while that waits, which whoever begins it
// or takes it back swaps for another; and the serial of the job that is to stop.

const { join } = require('node:path')
const { Worker } = require('node:worker_threads')
const { RunContext, closedError } = require('../context')
const { TaskError, describe } = require('../errors')
const { failureOf, thrownBy } = require('./failure')
const { End, STATE, STOP, TAKEN, WORDS } = require('./words')

/** How long a handler whose attempt is over may go on before its thread is ended. */
const GRACE_MS = 250
/** Serial numbers start anew beyond this. */
const SERIALS = 2 ** 29

class Member {
  constructor(pool, places) {
    this.pool = pool
    this.words = new Int32Array(new SharedArrayBuffer(places * WORDS * 4))
    this.free = Array.from({ length: places }, (_, place) => places - 1 - place)
    this.jobs = new Array(places).fill(undefined)
    this.order = []
    this.load = 0
    this.serial = 0
    this.batch = []
    this.sending = false
    this.answered = false
    this.error = undefined
    this.gone = false
    const { resourceLimits } = pool.limits
    this.worker = new Worker(join(__dirname, 'thread.js'), {
      workerData: this.words,
      resourceLimits,
      name: 'task',
    })
    this.worker.on('message', message => this.hear(message))
    this.worker.on('error', error => {
      this.error = error
    })
    this.exited = new Promise(resolve => {
      this.worker.on('exit', code => {
        this.over(code)
        resolve()
      })
    })
    this.worker.unref()
  }

  add(job) {
    // Work in a thread keeps the process alive, as work in the event loop does.
    if (this.load === 0) this.worker.ref()
    this.load += 1
    this.serial = (this.serial % SERIALS) + 1
    job.member = this
    job.place = this.free.pop()
    job.serial = this.serial
    this.jobs[job.place] = job
    this.order.push(job)
    Atomics.store(this.words, job.place * WORDS + STATE, job.serial)
    this.batch.push(job)
    this.sendSoon()
    RunContext.onAbort(job.context, reason => job.member?.abort(job, reason))
  }

  // While the thread has more to do than waits here it is not told of more: a message costs as much as ten entries.
  sendSoon() {
    const { length } = this.batch
    if (this.sending || length === 0 || length < this.load - length) return
    this.sending = true
    queueMicrotask(() => this.send())
  }

  send() {
    const { batch } = this
    this.batch = []
    this.sending = false
    const mine = batch.filter(job => job.member === this)
    try {
      this.worker.postMessage(mine.flatMap(entryOf))
    } catch {
      for (const job of mine) this.sendAlone(job)
    }
  }

  sendAlone(job) {
    try {
      this.worker.postMessage(entryOf(job))
    } catch (error) {
      const message = `the input of ${describe(job.context.name)} cannot be sent to a thread: ${error.message}`
      this.remove(job)
      job.reject(new TaskError(message, { code: 'ERR_TASK_SERIALIZE', cause: error }))
      this.pool.ended(this)
    }
  }

  remove(job) {
    clearTimeout(job.timer)
    this.jobs[job.place] = undefined
    this.free.push(job.place)
    this.order.splice(this.order.indexOf(job), 1)
    this.load -= 1
    job.member = undefined
    if (this.load === 0 && !this.gone) this.worker.unref()
  }

  /** The job that came last, if the thread has not begun it. */
  takeBack() {
    const job = this.order.at(-1)
    if (job === undefined || !this.recall(job)) return undefined
    this.remove(job)
    return job
  }

  // True where the thread will not begin it any more.
  recall(job) {
    const at = job.place * WORDS + STATE
    return Atomics.compareExchange(this.words, at, job.serial, TAKEN) === job.serial
  }

  hear([place, serial, end, value, ms]) {
    this.answered = true
    const job = this.jobs[place]
    if (job?.serial !== serial) return
    if (end === End.CALL) {
      this.call(job, value, ms)
      return
    }
    this.remove(job)
    if (job.error !== undefined) job.reject(job.error)
    else if (end === End.OK) job.resolve(value)
    else job.reject(thrownBy(job.context, end, value))
    this.pool.ended(this, ms)
    this.sendSoon()
  }

  // What its context is asked for; a refusal fails the attempt, since nobody waits for an answer to most of them.
  async call(job, name, args) {
    const { serial, place } = job
    try {
      const answer = await job.context[name](...args)
      if (name === 'results') this.worker.postMessage([place, serial, answer, true])
    } catch (error) {
      job.error ??= error
      if (name === 'results') this.worker.postMessage([place, serial, failureOf(error), false])
    }
  }

  /** The run is over for the engine, or is asked to end. */
  abort(job, reason) {
    if (this.recall(job)) {
      this.remove(job)
      job.reject(reason)
      this.pool.ended(this)
      return
    }
    Atomics.store(this.words, job.place * WORDS + STOP, job.serial)
    this.worker.postMessage([job.place, job.serial, failureOf(reason)])
    // Until the executor has closed, which ends all threads.
    if (reason?.code === 'ERR_EXECUTOR_CLOSED') return
    const grace = reason?.code === 'ERR_TASK_CANCELLED' ? this.pool.limits.cancelGrace : GRACE_MS
    job.timer = setTimeout(() => this.worker.terminate(), grace)
  }

  // What the thread had begun has failed with it. One that never began anything could not, nor could the next.
  over(code) {
    this.gone = true
    const orphans = []
    const waiting = new Set(this.order.filter(job => this.recall(job)))
    const isBroken = this.error !== undefined && !this.answered && waiting.size === this.order.length
    for (const job of [...this.order]) {
      this.remove(job)
      if (waiting.has(job) && !isBroken) {
        orphans.push(job)
        continue
      }
      job.reject(this.pool.closing === undefined ? this.lossOf(code) : closedError())
      this.pool.leave()
    }
    this.pool.lost(this, orphans)
  }

  lossOf(code) {
    const { error } = this
    const why = error === undefined ? `ended with code ${code}` : `ended: ${failureOf(error).message}`
    return new TaskError(`the thread that ran it ${why}`, { cause: error })
  }

  /** Ends the thread. */
  async end() {
    await this.worker.terminate()
    await this.exited
  }
}

// As the thread reads it: flat, since that is the cheapest to send.
function entryOf({ place, serial, module, input, context }) {
  const { id, attempt, maxAttempts, name, metadata, schedule } = context
  return [place, serial, module, id, attempt, maxAttempts, name, metadata, schedule, input]
}

module.exports = { Member }
