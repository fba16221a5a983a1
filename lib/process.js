'use strict'

// Owns what keeps the process alive: one timer that is there while it has to stay, and nothing otherwise.

const { clearInterval, setInterval } = require('node:timers')

const LONG = 2 ** 30

/** A function that holds the process, and `owner` with it, or lets both go. */
function keepAlive(owner) {
  const weak = new WeakRef(owner)
  let timer
  return holds => {
    if (holds && timer === undefined) {
      // The argument is what keeps the owner from being collected while there is work.
      timer = setInterval(() => {}, LONG, weak.deref())
    } else if (!holds && timer !== undefined) {
      clearInterval(timer)
      timer = undefined
    }
  }
}

module.exports = { keepAlive }
