'use strict'

// Owns one measurement, for the benchmark: how long the library's own work has held the event loop in one go, that
// is the sum of all turns between two points where the loop is let go. Handlers and callers that run in between are
// not the library's work and do not count.

const state = { on: false, max: 0 }
let sum = 0
let since = 0
let reset = false

/** Begins to measure. */
function enable() {
  state.on = true
  state.max = 0
}

/** A turn begins. */
function begin() {
  since = performance.now()
  if (reset) return
  reset = true
  setImmediate(yielded)
}

/** A turn has ended. */
function end() {
  sum += performance.now() - since
  state.max = Math.max(state.max, sum)
}

/** The loop has been let go. */
function yielded() {
  sum = 0
  reset = false
}

/** The longest time in milliseconds. */
function maxTurn() {
  return state.max
}

module.exports = { begin, enable, end, maxTurn, state }
