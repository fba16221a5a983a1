'use strict'

// Owns the listeners on users' signals: one for each signal, however many tasks share it.
// Invariant: a signal that no task waits for has no listener of ours.

const tasks = new WeakMap()

/** Calls `task.aborted(reason)` when the signal aborts, unless `leave` comes first. */
function join(signal, task) {
  let all = tasks.get(signal)
  if (all === undefined) {
    all = new Set()
    signal.addEventListener('abort', abort, { once: true })
    tasks.set(signal, all)
  }
  all.add(task)
}

function leave(signal, task) {
  const all = tasks.get(signal)
  if (all === undefined || !all.delete(task) || all.size > 0) return
  tasks.delete(signal)
  try {
    signal.removeEventListener('abort', abort)
  } catch {
    // A polyfill without it keeps a listener that does nothing.
  }
}

function abort({ target }) {
  const all = tasks.get(target)
  tasks.delete(target)
  if (all !== undefined) for (const task of all) task.aborted(target.reason)
}

module.exports = { join, leave }
