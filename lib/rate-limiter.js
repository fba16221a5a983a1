'use strict'

// Owns the public rate limiter: one limit, wherever the object is used in this process, by executors and by any code.
// Invariants: those who wait for one key are served in the order in which they came, by one timer; who gives up leaves
// no trace; the arithmetic and the clock are those of the engine.

const binding = require('./binding')
const { MACHINE } = require('./clock')
const check = require('./options/check')
const { checkName } = require('./names')
const { TaskError, describe } = require('./errors')

const DEFAULTS = Object.freeze({ limit: 100, per: 1_000 })
const CALL = 'RateLimiter()'

const limit = check.whole(1, 2 ** 32 - 1)
const per = check.duration(1)
const RATE = [
  ['limit', limit],
  ['per', per],
  ['burst', limit],
]
const SHAPE = new Map([
  ...RATE,
  ['by', check.oneOf(['group'])],
  ['shared', check.flag],
  ['name', checkName],
  ['onExcess', check.oneOf(['wait', 'reject'])],
  ['heedRetryAfter', check.flag],
])
const CHANGE = new Map(RATE)
const BURST = new Map([['burst', limit]])
const ACQUIRE = new Map([
  ['key', checkName],
  ['signal', check.signal],
])

/** The number by which an executor names a limiter to the engine. */
let numberOf
/** An executor in the time of a test has been given this limiter; it takes up one such time. */
let liveIn

class RateLimiter {
  #native
  #options
  #lines = new Map()
  #clock = MACHINE

  static {
    numberOf = limiter => limiter.#native.number
    liveIn = (limiter, clock) => {
      if (limiter.#clock === MACHINE) limiter.#clock = clock
    }
  }

  constructor(options) {
    const given = check.readOptions(options, SHAPE, CALL)
    limit(given.limit, 'limit')
    per(given.per, 'per')
    this.#options = { burst: given.limit, ...given }
    this.#native = binding.limiter(JSON.stringify(wireOf(this.#options)))
  }

  /** 100 starts a second, 100 at once. */
  static withDefaults() {
    return new RateLimiter(DEFAULTS)
  }

  /** So many starts a second. */
  static perSecond(count, options = undefined) {
    const call = 'RateLimiter.perSecond()'
    const { burst } = check.readOptions(options, BURST, call)
    return new RateLimiter({ limit: limit(count, 'limit'), per: 1_000, burst })
  }

  /** A limiter as it is, or one from plain options; `option` names it in errors. Internal. */
  static from(value, option = 'rateLimit', call = 'a rate limit') {
    if (typeof value === 'object' && value !== null && #native in value) return value
    if (typeof value !== 'object' || value === null) {
      throw check.refuse(option, 'a RateLimiter or its options, such as { limit: 10, per: "1s" }', value)
    }
    const given = check.readOptions(value, SHAPE, call, `${option}.`)
    limit(given.limit, `${option}.limit`)
    per(given.per, `${option}.per`)
    return new RateLimiter({ ...given })
  }

  get limit() {
    return this.#options.limit
  }

  get per() {
    return this.#options.per
  }

  get burst() {
    return this.#options.burst
  }

  /** What an executor has to know of it. Internal. */
  get heedRetryAfter() {
    return this.#options.heedRetryAfter === true
  }

  /** Another limit from now on. */
  update(options) {
    const given = check.readOptions(options, CHANGE, 'update()')
    const next = { ...this.#options, ...given }
    // A burst that nobody wrote goes with the limit.
    const { burst = this.#options.burst === this.#options.limit ? next.limit : next.burst } = given
    next.burst = burst
    this.#native.change(JSON.stringify(wireOf(next)))
    this.#options = next
    for (const line of this.#lines.values()) line.serve()
  }

  /** Nothing starts before. */
  pause(duration) {
    this.#native.hold(check.duration(0)(duration, 'duration'))
  }

  tryAcquire(key = undefined) {
    const known = this.#keyOf(key === undefined ? undefined : checkName(key, 'key'))
    if (this.#lines.has(known)) return false
    return this.#take(known) === 0
  }

  acquire(options = undefined) {
    try {
      const { key, signal } = check.readOptions(options, ACQUIRE, 'acquire()')
      if (signal?.aborted) return Promise.reject(signal.reason)
      return this.#acquire(this.#keyOf(key), signal)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #acquire(key, signal) {
    let line = this.#lines.get(key)
    if (line === undefined) {
      const wait = this.#take(key)
      if (wait === 0) return Promise.resolve()
      if (this.#options.onExcess === 'reject') throw this.#excess(wait)
      line = new Line(
        () => this.#take(key),
        () => this.#lines.delete(key),
        this.#clock,
      )
      this.#lines.set(key, line)
      line.sleep(wait)
    }
    return line.join(signal)
  }

  #keyOf(key) {
    return this.#options.by === 'group' ? key : undefined
  }

  #take(key) {
    const wait = this.#native.take(key)
    if (wait >= 0) return wait
    throw new TaskError(
      `a limiter has at most 1000000 keys in use at once; ${describe(key)} is one too many`,
      {
        code: 'ERR_RATE_LIMITED',
      },
    )
  }

  #excess(retryAfter) {
    const { name } = this.#options
    const subject = name === undefined ? 'a rate limit' : `the rate limit ${describe(name)}`
    const message = `${subject} lets nothing more start; it may be asked again in ${retryAfter} ms`
    return new TaskError(message, { code: 'ERR_RATE_LIMITED', retryAfter })
  }
}

/** Those who wait for one key, and the timer that serves them. */
class Line {
  #take
  #over
  #waiting = new Set()
  #clock
  #stop = () => {}

  constructor(take, over, clock) {
    this.#take = take
    this.#over = over
    this.#clock = clock
  }

  join(signal) {
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject, signal, leave: undefined }
      if (signal !== undefined) {
        waiter.leave = () => {
          this.#waiting.delete(waiter)
          if (this.#waiting.size === 0) this.#end()
          reject(signal.reason)
        }
        signal.addEventListener('abort', waiter.leave, { once: true })
      }
      this.#waiting.add(waiter)
    })
  }

  sleep(wait) {
    this.#stop()
    this.#stop = this.#clock.after(wait, () => this.serve())
  }

  /** Lets through whom there is room for. */
  serve() {
    for (const waiter of this.#waiting) {
      let wait
      try {
        wait = this.#take()
      } catch (error) {
        this.#pass(waiter)
        waiter.reject(error)
        continue
      }
      if (wait > 0) return this.sleep(wait)
      this.#pass(waiter)
      waiter.resolve()
    }
    this.#end()
  }

  #pass(waiter) {
    this.#waiting.delete(waiter)
    waiter.signal?.removeEventListener('abort', waiter.leave)
  }

  #end() {
    this.#stop()
    this.#over()
  }
}

function wireOf({ limit, per, burst, name, by, shared, onExcess, heedRetryAfter }) {
  return {
    limit,
    per,
    burst,
    name,
    byGroup: by === 'group',
    shared,
    rejects: onExcess === 'reject',
    heedsRetryAfter: heedRetryAfter === true,
  }
}

module.exports = {
  RateLimiter,
  liveIn: (limiter, clock) => liveIn(limiter, clock),
  numberOf: limiter => numberOf(limiter),
}
