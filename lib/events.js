'use strict'

// Owns the events of an executor.
// Invariants: nothing is made while nobody listens; an `error` without listener never crashes the process, and a
// listener that throws fails as a listener of any emitter does, without harm to the engine; an iterator that is not
// read loses the oldest events.

const { TaskError } = require('./errors')

const KEPT = 10_000
const STORED = new Set([
  'waiting',
  'running',
  'completed',
  'failed',
  'cancelled',
  'lost',
  'abandoned',
  'gate',
])
// What is about no task: iterators are not told.
const OF_THE_EXECUTOR = new Set(['error', 'gate', 'loopStalled'])
const INNER = new Set(['newListener', 'removeListener'])

const LAST = Object.freeze({ done: true, value: undefined })

class Events {
  #executor
  #lane
  #iterators = new Set()
  #idle = false
  #wantsIdle = false
  /** Somebody wants to hear of single tasks. */
  active = false

  constructor(executor, lane) {
    this.#executor = executor
    this.#lane = lane
    // A weak way back: an emitter must not be kept alive by its own engine.
    const weak = new WeakRef(this)
    lane.stored.listener = events => weak.deref()?.deliver(events)
    lane.stored.gated = gates => {
      for (const gate of gates) weak.deref()?.emit('gate', gate)
    }
    lane.stored.stalled = stall => weak.deref()?.emit('loopStalled', stall)
    lane.stored.troubled = error => weak.deref()?.emit('error', error)
    lane.stored.jumped = by => weak.deref()?.emit('clockJump', { by })
    executor.on('newListener', name => this.#changed(name, 1))
    executor.on('removeListener', name => this.#changed(name, 0))
  }

  #changed(name, more) {
    if (INNER.has(name)) return
    // The listener is there only after this.
    if (name === 'idle') this.#wantsIdle = this.#executor.listenerCount('idle') + more > 0
    if (name === 'idle' && more > 0) queueMicrotask(() => this.busy())
    const heard = [...STORED].some(
      word => this.#executor.listenerCount(word) + (word === name ? more : 0) > 0,
    )
    this.#activate(heard || this.#iterators.size > 0)
  }

  #activate(active) {
    if (this.active === active) return
    this.active = active
    this.#lane.native.listen(active)
  }

  /** There is work: whoever listens for `idle` is told when it is over. */
  busy() {
    if (!this.#wantsIdle || this.#idle) return
    this.#idle = true
    // Whoever calls this has yet to send the work.
    queueMicrotask(() => this.#awaitIdle())
  }

  #awaitIdle() {
    // While closures run they decide whether the process stays; after the last of them the answer must not be missed.
    this.#lane.stored
      .request({ op: 'idle' }, () => this.#lane.live === 0)
      .then(
        () => {
          this.#idle = false
          this.emit('idle')
        },
        () => {
          this.#idle = false
        },
      )
  }

  /** Events of stored tasks, from the engine. */
  deliver(events) {
    for (const event of events) {
      const { type, ...rest } = event
      if (type === 'failed') {
        rest.error = TaskError.from({ ...rest.error, taskId: rest.id })
        if (rest.retryAt !== undefined) rest.retryAt = new Date(rest.retryAt)
      }
      this.emit(type, rest)
    }
  }

  emit(type, event) {
    if (!OF_THE_EXECUTOR.has(type)) for (const iterator of this.#iterators) iterator.push({ ...event, type })
    if (type === 'error' && this.#executor.listenerCount('error') === 0) return
    try {
      this.#executor.emit(type, event)
    } catch (error) {
      process.nextTick(() => {
        throw error
      })
    }
  }

  /** What the runs of a closure are told with; undefined while nobody listens. */
  teller(name, queue) {
    if (!this.active) return undefined
    return (type, id, attempt, more) =>
      this.emit(type, { id, name, queue, attempt, at: this.#lane.clock.now(), ...more })
  }

  /** An iterator over all events from now on. */
  iterate({ signal }) {
    const waiting = []
    const readers = []
    let ended = signal?.aborted ?? false
    const end = () => {
      ended = true
      this.#iterators.delete(source)
      this.#changed('', 0)
      signal?.removeEventListener('abort', end)
      for (const reader of readers.splice(0)) reader(LAST)
    }
    const push = event => {
      if (readers.length > 0) return readers.shift()({ done: false, value: event })
      if (waiting.length >= KEPT) waiting.shift()
      waiting.push(event)
    }
    const source = { push, end }
    if (!ended) {
      this.#iterators.add(source)
      this.#activate(true)
      signal?.addEventListener('abort', end, { once: true })
    }
    return {
      next() {
        if (waiting.length > 0) return Promise.resolve({ done: false, value: waiting.shift() })
        if (ended) return Promise.resolve(LAST)
        return new Promise(resolve => readers.push(resolve))
      },
      async return() {
        waiting.length = 0
        end()
        return LAST
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  /** Nothing more will happen. */
  end() {
    for (const source of this.#iterators) source.end()
  }
}

module.exports = { Events }
