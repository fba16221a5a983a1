'use strict'

// Owns the subpath ./testing: a clock that tests move. What sleeps in the engine and what sleeps on this side are moved
// together; the time goes on when the loop has turned a few times and nothing has happened.
// Invariants: the time never goes back; it stops at each moment at which something happens by itself; tests that have
// replaced the timers of the environment do not stop it.

const { setImmediate, setTimeout } = require('node:timers')
const binding = require('./binding')
const check = require('./options/check')
const { CLOCK } = require('./clock')
const { LONGEST } = require('./duration')
const { TaskError, describe } = require('./errors')

const DEFAULTS = Object.freeze({ patience: 10, within: 366 * 86_400_000 })
// Turns of the loop without any work, after which there is none. A wake of the engine takes one, what a handler does
// with it can take another.
const TURNS = 3
const UNFINISHED = Object.freeze(['scheduled', 'blocked', 'waiting', 'running'])

const SHAPE = new Map([
  ['now', date],
  ['patience', check.duration(0)],
])
const RUN = new Map([['within', check.duration(1)]])

function date(value, option) {
  const at = typeof value === 'string' || value instanceof Date ? new Date(value).getTime() : value
  if (Number.isInteger(at) && at >= 0 && at <= 8.64e15) return at
  throw check.refuse(option, 'a Date, epoch milliseconds or the text of a date, from 1970 on', value)
}

const turn = () => new Promise(resolve => setImmediate(resolve))
const pause = length => new Promise(resolve => setTimeout(resolve, length))

class TestClock {
  #native
  #patience
  #timers = new Set()
  // Of executors, weak: one that nobody holds any more ends as others do.
  #members = new Set()
  // Handlers that wait for this clock.
  #asleep = 0
  // Up to here it has been waited for handlers that did nothing; so many, and so long will be waited for them again.
  #waited = -1
  #unmoved = 0
  #rest

  constructor(options = undefined) {
    const given = check.readOptions(options, SHAPE, 'TestClock()')
    const { now = Date.now(), patience = DEFAULTS.patience } = given
    this.#native = binding.clock(now)
    this.#patience = patience
    this.#rest = patience
    this[CLOCK] = {
      number: this.#native.number,
      now: () => this.now(),
      after: (wait, call) => this.#after(wait, call),
      join: stored => this.#members.add(new WeakRef(stored)),
      leave: stored => this.#leave(stored),
    }
  }

  now() {
    return this.#native.date()
  }

  async advance(duration) {
    const until = this.#native.moment() + check.duration(0)(duration, 'duration')
    await this.settle()
    for (let at = this.#next(); at <= until; at = this.#next()) {
      this.#move(at)
      await this.settle()
    }
    this.#move(until)
    await this.settle()
  }

  async runUntilIdle(options = undefined) {
    const { within = DEFAULTS.within } = check.readOptions(options, RUN, 'runUntilIdle()')
    const until = this.#native.moment() + within
    for (;;) {
      await this.settle()
      if (await this.#isIdle()) return
      const at = this.#next()
      if (at <= until) this.#move(at)
      else if (at < Infinity) throw await this.#stuck(`after ${within} ms`)
      else if (this.#native.running() > this.#asleep) await this.#lookOn(Infinity)
      else throw await this.#stuck('and nothing will happen by itself')
    }
  }

  async settle() {
    for (let seen = -1, calm = 0; calm < TURNS; ) {
      await turn()
      const beats = this.#native.beats()
      const isCalm = beats >= 0 && beats === seen
      calm = isCalm ? calm + 1 : 0
      seen = beats
      if (calm === TURNS && this.#waited !== beats && (await this.#giveTime(beats))) calm = 0
    }
  }

  /** Gives handlers that wait for something else a chance to go on; whether one has. */
  async #giveTime(beats) {
    const running = this.#native.running()
    if (running <= this.#asleep) return false
    // One more than those that are known to do nothing. Others may have taken the place of one of them.
    if (running > this.#unmoved) this.#rest = this.#patience
    const hasGoneOn = await this.#lookOn(this.#rest)
    this.#rest = hasGoneOn ? this.#patience : Math.floor(this.#rest / 2)
    this.#unmoved = hasGoneOn ? 0 : running
    this.#waited = hasGoneOn ? -1 : beats
    return hasGoneOn
  }

  sleep(duration) {
    const length = check.duration(0)(duration, 'duration', { max: LONGEST })
    this.#asleep += 1
    return new Promise(resolve => {
      this.#after(length, () => {
        this.#asleep -= 1
        resolve()
      })
    })
  }

  /** Waits until something happens, at most so long by the machine's clock; whether it has. */
  async #lookOn(length) {
    const beats = this.#native.beats()
    for (let left = length; left > 0; left -= 1) {
      await pause(1)
      if (this.#native.beats() !== beats) return true
    }
    return false
  }

  #after(wait, call) {
    const timer = { at: this.#native.moment() + wait, call }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** The next moment at which something happens by itself; Infinity where there is none. */
  #next() {
    let next = this.#native.next()
    if (next < 0) next = Infinity
    for (const { at } of this.#timers) next = Math.min(next, at)
    return next
  }

  #move(at) {
    this.#native.move(at)
    const due = [...this.#timers].filter(timer => timer.at <= at).sort((one, other) => one.at - other.at)
    for (const timer of due) {
      this.#timers.delete(timer)
      timer.call()
    }
  }

  #leave(stored) {
    for (const weak of this.#members) {
      const member = weak.deref()
      if (member === undefined || member === stored) this.#members.delete(weak)
    }
  }

  /** What those who live in it answer, where they have not closed meanwhile. */
  async #ask(question) {
    const members = Array.from(this.#members, weak => weak.deref())
    const asked = members.map(stored => stored?.request(question).catch(ifOpen))
    return (await Promise.all(asked)).filter(answer => answer !== undefined)
  }

  async #isIdle() {
    return (await this.#ask({ op: 'isIdle' })).every(Boolean)
  }

  async #stuck(why) {
    const filter = { state: UNFINISHED, limit: 1_000 }
    const pages = await this.#ask({ op: 'list', filter })
    const left = pages.flatMap(({ records }) => records)
    const [first] = left
    if (first === undefined) return stuck(`closures are left ${why}`)
    const { id, name, state, waitingFor } = first
    const reason = waitingFor === undefined ? 'is running' : `is held by ${waitingFor.reason}`
    return stuck(`${left.length} tasks are left ${why}; ${describe(name)} (${id}) is ${state}, ${reason}`)
  }
}

function ifOpen(error) {
  if (error.code !== 'ERR_EXECUTOR_CLOSED') throw error
}

function stuck(message) {
  return new TaskError(message, { code: 'ERR_STUCK' })
}

module.exports = { TestClock }
