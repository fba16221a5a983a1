'use strict'

// Owns what an executor is put together from beside its lane: the signal that closes it, and the threads of its
// handlers.

// A signal that outlives its executors must not keep them alive.
function closeOnAbort(signal, weak) {
  if (signal.aborted) weak.deref().close()
  else signal.addEventListener('abort', () => weak.deref()?.close(), { once: true })
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

module.exports = { closeOnAbort, poolOf }
