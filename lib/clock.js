'use strict'

// Owns what this side asks of the time: the date, and a call after a while. That of the machine, unless a test moves
// another one (see testing).

// The longest wait of one timer; whoever wakes too early asks again.
const LONGEST = 2 ** 30

/** Under it a clock that tests move has what an executor asks of it. */
const CLOCK = Symbol('clock')

const MACHINE = Object.freeze({
  number: undefined,
  now: () => Date.now(),
  /** Calls after `wait` ms; gives a function that takes it back. */
  after(wait, call) {
    const timer = setTimeout(call, Math.min(wait, LONGEST))
    return () => clearTimeout(timer)
  },
  // Only a time that is moved has to know who lives in it.
  join() {},
  leave() {},
})

/** The time in which an executor with these options lives. */
function clockOf(options) {
  return options.clock?.[CLOCK] ?? MACHINE
}

module.exports = { CLOCK, MACHINE, clockOf }
