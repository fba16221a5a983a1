'use strict'

// Owns one measurement, for the benchmark: how long the turns of an engine have kept the event loop busy in one
// go, from the first turn to the point where the loop is let go.

const state = { on: false, max: 0, since: 0 }

/** Begins to measure. */
function enable() {
  state.on = true
  state.max = 0
  state.since = 0
}

/** A turn begins. */
function begin() {
  if (state.since !== 0) return
  state.since = performance.now()
  setImmediate(yielded)
}

/** A turn has ended. */
function end() {
  state.max = Math.max(state.max, performance.now() - state.since)
}

/** The loop has been let go. */
function yielded() {
  state.since = 0
}

/** The longest time in milliseconds. */
function maxTurn() {
  return state.max
}

module.exports = { begin, enable, end, maxTurn, state }
