'use strict'

// Owns the limits that hold for some runs of an executor, as far as this side has to know of them: whose judgement a
// failure is put to, and whether a handler's wish to come back later holds a rate.

const { clockOf } = require('./clock')
const { describeFailure, isTaskError } = require('./errors')
const breakers = require('./circuit-breaker')
const limiters = require('./rate-limiter')

const FAILED = 1
const UNKNOWN = 2

class Limits {
  constructor(sources) {
    const given = sources.filter(source => source !== undefined)
    this.breakers = given.flatMap(({ circuitBreaker }) => circuitBreaker ?? [])
    this.heeds = given.some(({ rateLimit }) => rateLimit?.heedRetryAfter)
  }

  /** Whether a failure speaks against what was called; undefined where nobody wants to know. */
  blames(error) {
    if (this.breakers.length === 0) return undefined
    try {
      return this.breakers.some(breaker => breaker.judge(error))
    } catch (thrown) {
      // What judges has failed itself: the call has failed all the same.
      process.emitWarning(describeFailure(thrown).message, 'TaskWarning')
      return true
    }
  }

  /** Tells the engine what there is to know of the failure of a closure, before its outcome is reported. */
  look(native, slot, error) {
    const blames = this.blames(error)
    if (blames !== undefined) native.judged(slot, blames ? FAILED : UNKNOWN)
    this.heed(native, slot, error)
  }

  /** A handler that says when to come back holds the rates that heed that. */
  heed(native, slot, error) {
    if (!this.heeds || !isTaskError(error) || error.retryAfter === undefined) return
    const { retryAfter } = error
    if (Number.isSafeInteger(retryAfter) && retryAfter >= 0) native.heed(slot, retryAfter)
  }
}

/** The limits of these sources together, the executor's first, or undefined where nothing has to be known of them. */
function limitsOf(...sources) {
  const clock = clockOf(sources[0])
  for (const source of sources) {
    if (source?.rateLimit !== undefined) limiters.liveIn(source.rateLimit, clock)
  }
  const limits = new Limits(sources)
  return limits.breakers.length > 0 || limits.heeds ? limits : undefined
}

/** Options as the engine reads them: limits by their numbers. */
function withNumbers({ rateLimit, circuitBreaker, ...rest }) {
  return {
    ...rest,
    rateLimit: rateLimit === undefined ? undefined : limiters.numberOf(rateLimit),
    circuitBreaker: circuitBreaker === undefined ? undefined : breakers.numberOf(circuitBreaker),
  }
}

module.exports = { limitsOf, withNumbers }
