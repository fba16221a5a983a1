'use strict'

// Owns one closure that has a timeout, a signal or retries: its outcome stands beside its handler, since nothing can
// settle a promise that is suspended in user code.
//
// Invariants: the outcome is settled once; a handler reports only while its run is the current one, and otherwise
// only that it has ended after all; the slot is given back when the engine and the shim are both done with it.

const { AsyncResource } = require('node:async_hooks')
const { RunContext, Snooze, closedError } = require('./context')
const { TaskError, isTaskError } = require('./errors')
const { toMillis } = require('./duration')
const { Done, Ready } = require('./words')

class Guarded {
  constructor(lane, slot, work, options) {
    this.lane = lane
    this.slot = slot
    this.work = work
    this.options = options
    this.attempt = 0
    this.context = undefined
    this.error = undefined
    this.settled = false
    this.resource = undefined
    this.outcome = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    const { retry, timeout, signal } = options
    this.maxAttempts = retry === undefined ? 1 : retry.attempts
    // A second attempt that starts while the first still hangs needs the caller's context once more.
    if (timeout !== undefined && this.maxAttempts > 1) this.resource = new AsyncResource('TaskAttempt')
    signal?.addEventListener('abort', this, { once: true })
  }

  /** Waits for its turn and runs, again and again while attempts fail in time. */
  async attend() {
    const { lane, slot } = this
    for (;;) {
      const verdict = await lane.gate(slot)
      if (verdict !== Ready.START) return this.refuse(verdict)
      const run = lane.runs[slot]
      if (!lane.native.begin(slot, run)) continue
      this.attempt += 1
      const context = this.options.context(this, run)
      this.context = context
      lane.contexts[slot] = context
      let value
      let failed = false
      try {
        value = await this.work(context)
      } catch (error) {
        value = error
        failed = true
      }
      if (this.context !== context) return lane.report(Done.LATE, 0)
      this.context = undefined
      lane.contexts[slot] = undefined
      if (this.end(value, failed)) return
    }
  }

  /** What the engine says about it, other than START; runs no user code. */
  told(word) {
    const { lane, slot } = this
    switch (word) {
      case Ready.EXPIRE:
        this.abandon(this.timeoutError())
        lane.later(() => (this.resource === undefined ? this.attend() : this.resource.runInAsyncScope(this.attend, this)))
        return
      case Ready.TIMEOUT:
        this.settle(this.abandon(this.timeoutError()), true)
        return lane.release(slot)
      case Ready.ABANDON:
        this.abandon(undefined)
        return lane.release(slot)
      case Ready.CLOSED:
        if (this.context !== undefined) {
          this.settle(this.abandon(closedError()), true)
          return lane.release(slot)
        }
    }
    lane.open(slot, word)
  }

  /** The user's signal has aborted. */
  handleEvent() {
    const { reason } = this.options.signal
    this.settle(reason, true)
    this.lane.report(Done.WITHDRAW, this.slot)
    if (this.context !== undefined) RunContext.abort(this.context, reason)
  }

  // The handler of the current run has ended; true when the task has.
  end(value, failed) {
    const { lane, slot } = this
    if (!failed) {
      lane.report(Done.OK, slot)
      this.settle(value, false)
      lane.release(slot)
      return true
    }
    this.error = value
    if (!this.settled && value instanceof Snooze) {
      lane.reportDelay(Done.SNOOZED, slot, value.delay)
      this.attempt -= 1
      return false
    }
    const delay = this.settled ? false : this.nextDelay(value)
    if (delay !== false) {
      if (delay === undefined) lane.report(Done.ERROR, slot)
      else lane.reportDelay(Done.DELAYED, slot, delay)
      return false
    }
    lane.report(Done.FAILED, slot)
    this.settle(value, true)
    lane.release(slot)
    return true
  }

  // False: no more; undefined: as the policy says; a number: after so long.
  nextDelay(error) {
    const { retry } = this.options
    if (retry === undefined || this.attempt >= retry.attempts) return false
    const known = isTaskError(error)
    if (known && !error.retryable) return false
    try {
      const view = known ? error : undefined
      if (retry.retryIf !== undefined && !retry.retryIf(view ?? wrap(error))) return false
      if (known && error.retryAfter !== undefined) return toMillis(error.retryAfter, 'retryAfter')
      if (retry.next === undefined) return undefined
      const delay = retry.next(view ?? wrap(error), this.attempt)
      return delay === false ? false : toMillis(delay, 'delay of RetryPolicy.custom()')
    } catch (thrown) {
      // What decides about a failure has failed itself: that is the newest error, and nobody can retry it.
      this.error = thrown
      return false
    }
  }

  // No more attempts, for a reason that is not the handler's end.
  refuse(verdict) {
    const { lane, slot } = this
    if (verdict === Ready.FAIL) this.settle(this.error, true)
    if (verdict === Ready.CLOSED) this.settle(closedError(), true)
    lane.release(slot)
  }

  // The run is over for the engine, whatever its handler does; gives the reason back.
  abandon(reason) {
    const { context, lane, slot } = this
    this.context = undefined
    lane.contexts[slot] = undefined
    if (context !== undefined && reason !== undefined) lane.later(() => RunContext.abort(context, reason))
    return reason
  }

  timeoutError() {
    const { timeout } = this.options
    const error = new TaskError(`the attempt did not end within ${timeout} ms`, { code: 'ERR_TASK_TIMEOUT' })
    error.attempt = this.attempt
    return error
  }

  settle(value, failed) {
    if (this.settled) return
    this.settled = true
    this.options.signal?.removeEventListener('abort', this)
    if (failed) this.reject(value)
    else this.resolve(value)
  }
}

/** A failure as `retryIf` sees it: a TaskError with the original as its cause. */
function wrap(error) {
  const message = error instanceof Error ? String(error.message) : 'the handler threw something that is no Error'
  return new TaskError(message, { cause: error })
}

module.exports = { Guarded, wrap }
