'use strict'

// Owns one closure that has a timeout, a signal or retries: its outcome stands beside its handler, since nothing can
// settle a promise that is suspended in user code.
//
// Invariants: the outcome is settled once; a handler reports only while its run is the current one, and otherwise
// only that it has ended after all; the slot is given back when the engine and the shim are both done with it.

const { AsyncResource } = require('node:async_hooks')
const { RunContext, isSnooze, localId } = require('./context')
const { TaskError, describeFailure, isTaskError } = require('./errors')
const { join, leave } = require('./signals')
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
    // A failure that has been reported, before the engine has said what follows.
    this.untold = false
    this.settled = false
    this.resource = undefined
    this.localId = undefined
    this.memo = undefined
    this.outcome = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    const { retry, timeout, signal } = options
    this.maxAttempts = retry === undefined ? 1 : retry.attempts
    this.isBounded = timeout !== undefined || signal !== undefined
    // A second attempt that starts while the first still hangs needs the caller's context once more.
    if (timeout !== undefined && this.maxAttempts > 1) this.resource = new AsyncResource('TaskAttempt')
    if (signal !== undefined) join(signal, this)
  }

  /** Of all its runs; made when somebody asks for it. */
  get id() {
    this.localId ??= localId()
    return this.localId
  }

  /** Results of steps, for all its runs. */
  get steps() {
    this.memo ??= new Map()
    return this.memo
  }

  tell(type, more) {
    const { tell } = this.options
    if (tell !== undefined) tell(type, this.id, this.attempt, more)
  }

  /** Waits for its turn and runs, again and again while attempts fail in time. */
  async attend() {
    const { lane, slot } = this
    for (;;) {
      const verdict = await lane.gate(slot)
      if (verdict === Ready.FAIL) this.tellFailed(false)
      if (verdict !== Ready.START) return this.refuse(verdict)
      const run = lane.runs[slot]
      const { pool } = this.options
      // It begins when a thread has room for it.
      if (pool !== undefined) await pool.place()
      // Withdrawn since it was started: the answer to that comes through the gate.
      if (this.settled || !lane.native.begin(slot, run)) {
        pool?.leave()
        continue
      }
      // The time of the attempt runs from here on, and the last turn knew nothing of it.
      if (this.options.timeout !== undefined && !lane.holds) lane.setHolds(true)
      this.attempt += 1
      const context = this.options.context(this, run)
      this.context = context
      lane.contexts[slot] = context
      let value
      let failed = false
      const since = this.options.tell === undefined ? 0 : performance.now()
      this.tell('running')
      try {
        value = await this.work(context)
      } catch (error) {
        value = error
        failed = true
      }
      if (this.context !== context) return lane.report(Done.LATE, 0)
      // The engine may have ended the run by itself while the loop was blocked: a word about it is on its way, and
      // what `told` makes of that word needs the context and the slot.
      if (this.isBounded && !lane.native.finish(slot, run)) return lane.report(Done.LATE, 0)
      this.context = undefined
      lane.contexts[slot] = undefined
      if (this.end(value, failed, since)) return
    }
  }

  /** What the engine says about it, other than START; runs no user code. */
  told(word) {
    const { lane, slot } = this
    switch (word) {
      case Ready.RETRY:
        lane.later(() => this.tellFailed(true))
        return
      case Ready.EXPIRE: {
        const error = this.abandon(this.timeoutError())
        lane.later(() => {
          this.tell('abandoned')
          this.again(error)
        })
        return
      }
      case Ready.TIMEOUT: {
        const error = this.abandon(this.timeoutError())
        lane.later(() => {
          this.tell('abandoned')
          this.tell('failed', { error, willRetry: false })
        })
        this.settle(error, true)
        return lane.release(slot)
      }
      case Ready.ABANDON:
        this.abandon(undefined)
        return lane.release(slot)
      case Ready.CLOSED:
        if (this.context !== undefined) {
          this.settle(this.abandon(lane.refusal), true)
          return lane.release(slot)
        }
    }
    lane.open(slot, word)
  }

  /** The user's signal has aborted. */
  aborted(reason) {
    // The engine has to know the task before it can be told to withdraw it.
    this.lane.turn()
    const { context } = this
    this.settle(reason, true)
    this.lane.report(Done.WITHDRAW, this.slot)
    this.tell('cancelled')
    if (context !== undefined) RunContext.abort(context, reason)
  }

  // An attempt has timed out, and another may follow: where the policy has functions, they are asked first.
  again(error) {
    if (!asks(this.options.retry)) this.tell('failed', { error, willRetry: true })
    else if (!this.decide(error)) return
    if (this.resource === undefined) this.attend()
    else this.resource.runInAsyncScope(this.attend, this)
  }

  // The handler of the current run has ended; true when the task has.
  end(value, failed, since) {
    const { lane, slot } = this
    if (!failed) {
      lane.report(Done.OK, slot)
      if (!this.settled) this.tell('completed', { output: value, duration: performance.now() - since })
      this.settle(value, false)
      lane.release(slot)
      return true
    }
    if (!this.settled && isSnooze(value)) {
      lane.reportDelay(Done.SNOOZED, slot, value.delay)
      this.attempt -= 1
      return false
    }
    return !this.decide(value)
  }

  // Tells the engine what follows a failure; true when another attempt does.
  decide(error) {
    const { lane, slot } = this
    this.error = error
    if (this.options.limits !== undefined && !this.settled) this.options.limits.look(lane.native, slot, error)
    const delay = this.settled ? false : this.nextDelay(error)
    this.untold = !this.settled
    if (delay === false) {
      this.tellFailed(false)
      lane.report(Done.FAILED, slot)
      this.settle(this.error, true)
      lane.release(slot)
      return false
    }
    if (delay === undefined) lane.report(Done.ERROR, slot)
    else lane.reportDelay(Done.DELAYED, slot, delay)
    return true
  }

  // Only the engine knows whether the next attempt would come too late.
  tellFailed(willRetry) {
    if (!this.untold) return
    this.untold = false
    this.tell('failed', { error: this.error, willRetry })
  }

  // False: no more; undefined: as the policy says; a number: after so long.
  nextDelay(error) {
    const { retry } = this.options
    if (retry === undefined || this.attempt >= retry.attempts) return false
    const known = isTaskError(error)
    try {
      if (known && !error.retryable) return false
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
    if (verdict === Ready.CLOSED) this.settle(lane.refusal, true)
    if (verdict === Ready.REFUSE) this.refused(lane.refusedAt(slot))
    lane.release(slot)
  }

  // A gate lets it not wait; what its last attempt has failed with is why it came to the gate again.
  refused(error) {
    if (this.error !== undefined) error.cause = this.error
    error.attempt = this.attempt + 1
    this.tell('failed', { error, willRetry: false })
    this.settle(error, true)
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
    const { signal } = this.options
    if (signal !== undefined) leave(signal, this)
    if (failed) this.reject(value)
    else this.resolve(value)
  }
}

/** Whether a failure is put to functions of the user. */
function asks(retry) {
  return retry !== undefined && (retry.retryIf !== undefined || retry.next !== undefined)
}

/** A failure as `retryIf` sees it: a TaskError with the original as its cause. */
function wrap(error) {
  return new TaskError(describeFailure(error).message, { cause: error })
}

module.exports = { Guarded, asks, wrap }
