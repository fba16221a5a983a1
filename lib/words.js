'use strict'

// Owns the language of `turn`: a word is a kind in the upper 4 bits and a slot in the lower 28.
// `src/binding/turn.rs` is the other side; the two change together.

const SLOT = 0x0fffffff

/** Bit of a slot number that tells runs of stored tasks from closures. */
const STORED = 1 << 27

/** What the engine says, in `ready`. */
const Ready = Object.freeze({
  START: 0,
  FAIL: 1,
  TIMEOUT: 2,
  EXPIRE: 3,
  RETRY: 4,
  CANCEL: 5,
  CLOSED: 6,
  ABANDON: 7,
  ABORT_ALL: 8,
  END: 9,
  MAIL: 10,
  REFUSE: 11,
})

/** What the shim says, in `done`; DELAYED and SNOOZED are followed by two words of milliseconds. */
const Done = Object.freeze({
  OK: 0,
  ERROR: 1,
  FAILED: 2,
  DELAYED: 3,
  LATE: 4,
  WITHDRAW: 5,
  SNOOZED: 6,
})

/** Flags of a submitted word; each is followed by its words, in this order. */
const Submit = Object.freeze({ PRIORITY: 1, TIMEOUT: 2, POLICY: 4, KIND: 8 })

/** Bit of a policy: after a timeout too, the shim decides. */
const ASKS = 0x80000000

/** Of what `turn` returns: the number of words, and whether the engine has work that must not be left. */
const COUNT = 0xffff
const HOLDS = 0x10000

module.exports = { ASKS, COUNT, Done, HOLDS, Ready, SLOT, STORED, Submit }
