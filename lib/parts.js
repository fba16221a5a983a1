'use strict'

// Owns what an executor is put together from beside its lane: the closures of a call, the signal that closes it, and
// the threads of its handlers.

const { describe, optionError } = require('./errors')

// A signal that outlives its executors must not keep them alive.
function closeOnAbort(signal, weak) {
  if (signal.aborted) weak.deref().close()
  else signal.addEventListener('abort', () => weak.deref()?.close(), { once: true })
}

function closuresOf(tasks) {
  if (typeof tasks?.[Symbol.iterator] !== 'function') {
    throw optionError(`executeAll() takes an iterable of functions; got ${describe(tasks)}`)
  }
  const all = Array.from(tasks)
  const at = all.findIndex(task => typeof task !== 'function')
  if (at !== -1) throw optionError(`executeAll() takes functions; number ${at} is ${describe(all[at])}`)
  return all
}

/** A pool of threads, ended with an executor that nobody holds any more. */
function poolOf(executor, limits) {
  // Most programs need none, and load faster without.
  const { Pool } = require('./threads/pool')
  const pool = new Pool(limits)
  LEFT.register(executor, pool)
  return pool
}

const LEFT = new FinalizationRegistry(pool => pool.close())

module.exports = { closeOnAbort, closuresOf, poolOf }
