'use strict'

// Owns the worker threads that run the handlers of `isolation: 'thread'`, on the side of the executor.
//
// The engine's turns stay where they are: a run is handed over once a thread has room for it, and begins only then.
// Each thread runs one task at a time. Where tasks are so short that the way there and back would be most of their
// time, a thread is given several; what it has not begun is taken back for a thread that has nothing to do.
//
// Invariants: a task is begun by at most one thread (both sides swap its word in shared memory); a thread that ends,
// whatever the reason, fails the one task that it was running, and the others go to another thread.

const { closedError } = require('../context')
const { Member } = require('./member')

/** Tasks that one thread has at most, the one that it runs included. */
const DEPTH = 32
/** What a thread is given ahead takes about so long. */
const AHEAD_MS = 1
// How fast the memory of a long task fades.
const FADE = 0.1

class Pool {
  /** `limits`: `{ count, resourceLimits, cancelGrace }`. */
  constructor(limits) {
    this.limits = limits
    this.members = []
    this.taken = 0
    this.mean = AHEAD_MS
    this.waiting = []
    this.next = 0
    this.closing = undefined
  }

  get depth() {
    return Math.min(DEPTH, Math.max(1, Math.floor(AHEAD_MS / this.mean)))
  }

  /** Takes a place for one run; a promise where it has to be waited for. */
  place() {
    if (this.closing !== undefined) return undefined
    if (this.taken < this.limits.count * this.depth && this.next === this.waiting.length) {
      this.taken += 1
      return undefined
    }
    return new Promise(resolve => this.waiting.push(resolve))
  }

  /** Gives a place back. */
  leave() {
    this.taken -= 1
    const room = this.limits.count * this.depth
    while (this.next < this.waiting.length && this.taken < room) {
      this.taken += 1
      this.waiting[this.next++]()
    }
    if (this.next < this.waiting.length) return
    this.waiting = []
    this.next = 0
  }

  /** Runs the handler of a module in the place that was taken; gives it back when that has ended. */
  run(module, input, context) {
    return new Promise((resolve, reject) => {
      this.assign({
        module,
        input,
        context,
        resolve,
        reject,
        serial: 0,
        place: -1,
        error: undefined,
        member: undefined,
        timer: undefined,
      })
    })
  }

  /** Gives a job to the thread with the least to do. */
  assign(job) {
    if (this.closing !== undefined) return job.reject(closedError())
    let least
    for (const member of this.members) if (least === undefined || member.load < least.load) least = member
    if (least === undefined || (least.load > 0 && this.members.length < this.limits.count)) {
      least = new Member(this, DEPTH)
      this.members.push(least)
    }
    least.add(job)
  }

  /** A job has ended, after so many milliseconds of its own where that is known. */
  ended(member, ms) {
    // One long task is enough to give nothing ahead any more; many short ones bring it back.
    if (ms !== undefined) this.mean = Math.max(ms, this.mean + FADE * (ms - this.mean))
    this.leave()
    if (member.load === 0) this.relieve(member)
  }

  /** Takes jobs that wait behind another one over to a thread without any. */
  relieve(idle) {
    let busiest
    for (const member of this.members) if (member.load > (busiest?.load ?? 1)) busiest = member
    if (busiest === undefined) return
    for (let left = busiest.load >> 1; left > 0; left -= 1) {
      const job = busiest.takeBack()
      if (job === undefined) return
      idle.add(job)
    }
  }

  /** A thread has ended: `orphans` are the jobs that it had not begun. */
  lost(member, orphans) {
    this.members.splice(this.members.indexOf(member), 1)
    for (const job of orphans) this.assign(job)
  }

  /** Ends all threads, whatever they do; resolves when they have ended. */
  close() {
    this.closing ??= Promise.all(this.members.map(member => member.end()))
    for (const resolve of this.waiting.slice(this.next)) resolve()
    this.waiting = []
    this.next = 0
    return this.closing
  }
}

module.exports = { Pool }
