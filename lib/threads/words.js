'use strict'

// The words that an executor and its threads share.

/** Words of shared memory for each place. */
const WORDS = 2
/** The serial number of the job that waits there; `TAKEN` when its executor has it back, negative once it is begun. */
const STATE = 0
const TAKEN = 0
/** The serial number of the job that is to stop. */
const STOP = 1

/** Values of a batch for each job. */
const ENTRY = 10

/** How a job ended; `CALL`: it has not, and calls a function of its context. */
const End = Object.freeze({ OK: 0, FAILURE: 1, SNOOZE: 2, VALUE: 3, CALL: 4 })

module.exports = { End, ENTRY, STATE, STOP, TAKEN, WORDS }
