'use strict'

// Owns the events of an executor.
// Invariants: nothing is made while nobody listens; an `error` without listener never crashes the process, and a
// listener that throws fails as a listener of any emitter does, without harm to the engine; an iterator that is not
// read loses the oldest events and says how many.

const { TaskError } = require('./errors')

const KEPT = 10_000
const STORED = new Set(['waiting', 'running', 'completed', 'failed', 'cancelled', 'lost', 'abandoned'])
const INNER = new Set(['newListener', 'removeListener'])

let serial = 0

class Events {
  #executor
  #lane
  #iterators = new Set()
  #idle = false
  /** Somebody wants to hear of single tasks. */
  active = false

  constructor(executor, lane) {
    this.#executor = executor
    this.#lane = lane
    // A weak way back: an emitter must not be kept alive by its own engine.
    const weak = new WeakRef(this)
    lane.stored.listener = events => weak.deref()?.deliver(events)
    executor.on('newListener', name => this.#changed(name, 1))
    executor.on('removeListener', name => this.#changed(name, 0))
  }

  #changed(name, more) {
    if (INNER.has(name)) return
    if (name === 'idle' && more > 0) queueMicrotask(() => this.busy())
    const heard = [...STORED].some(word => this.#executor.listenerCount(word) + (word === name ? more : 0) > 0)
    this.#activate(heard || this.#iterators.size > 0)
  }

  #activate(active) {
    if (this.active === active) return
    this.active = active
    this.#lane.native.listen(active)
  }

  /** There is work: whoever listens for `idle` is told when it is over. */
  busy() {
    if (this.#idle || this.#executor.listenerCount('idle') === 0) return
    this.#idle = true
    this.#lane.stored.request({ op: 'idle' }, false).then(
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
    for (const iterator of this.#iterators) iterator.push({ ...event, type })
    if (type === 'error' && this.#executor.listenerCount('error') === 0) return
    try {
      this.#executor.emit(type, event)
    } catch (error) {
      process.nextTick(() => {
        throw error
      })
    }
  }

  /** `work`, with its run told to listeners. */
  told(work, kind = undefined) {
    if (!this.active) return work
    const id = `local-${++serial}`
    const about = { id, name: kind?.name ?? work.name, queue: kind?.queue ?? 'default' }
    return async context => {
      const event = more => ({ ...about, attempt: context.attempt, at: Date.now(), ...more })
      const since = performance.now()
      this.emit('running', event())
      try {
        const output = await work(context)
        this.emit('completed', event({ output, duration: performance.now() - since }))
        return output
      } catch (error) {
        this.emit('failed', event({ error, willRetry: context.attempt < context.maxAttempts }))
        throw error
      }
    }
  }

  /** An iterator over all events from now on. */
  iterate({ signal }) {
    const waiting = []
    let wake
    let ended = signal?.aborted ?? false
    const push = event => {
      if (waiting.length >= KEPT) waiting.shift()
      waiting.push(event)
      wake?.()
    }
    const source = { push }
    const end = () => {
      ended = true
      this.#iterators.delete(source)
      this.#changed('', 0)
      signal?.removeEventListener('abort', end)
      wake?.()
    }
    if (!ended) {
      this.#iterators.add(source)
      this.#activate(true)
      signal?.addEventListener('abort', end, { once: true })
    }
    return {
      next: async () => {
        while (waiting.length === 0) {
          if (ended) return { done: true, value: undefined }
          await new Promise(resolve => {
            wake = resolve
          })
        }
        return { done: false, value: waiting.shift() }
      },
      return: async () => {
        waiting.length = 0
        end()
        return { done: true, value: undefined }
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }
}

module.exports = { Events }
