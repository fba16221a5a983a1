'use strict'

// Owns what others see of single enqueues and runs: two channels of node:diagnostics_channel, and one wrapper, which is
// how `otel` makes its span the current one for what runs inside.
// Invariant: while nobody looks, all of this costs one check.
//
// Messages say what a task is, never what is in it: `{ name, queue, id, attempt, metadata }` of a run,
// `{ name, queue, count, carrier }` of an enqueue. What a subscriber puts into `carrier` becomes metadata of the tasks.

const { tracingChannel } = require('node:diagnostics_channel')

const RUN = tracingChannel('wterminal.task.run')
const ENQUEUE = tracingChannel('wterminal.task.enqueue')

let wrapper

/** Somebody looks. */
function isOn() {
  return wrapper !== undefined || RUN.start.hasSubscribers || ENQUEUE.start.hasSubscribers
}

/** `{ run(message, work), enqueue(message, work) }` is called around everything from now on; undefined: nothing is. */
function wrap(next) {
  wrapper = next
}

/** Runs a handler. */
function run({ id, name, attempt, metadata }, queue, work) {
  const message = { name, queue, id, attempt, metadata }
  const told = () => RUN.tracePromise(async () => work(), message)
  return wrapper === undefined ? told() : wrapper.run(message, told)
}

/** Pushes tasks by `send`, which gets what they are to carry. */
function enqueue(kind, queue, count, send) {
  const message = { name: kind.name, queue: queue ?? kind.queue, count, carrier: {} }
  const told = () => ENQUEUE.tracePromise(async () => send(message.carrier), message)
  return wrapper === undefined ? told() : wrapper.enqueue(message, told)
}

/** The options of a task that carries this as well; what the user has written into its metadata stays. */
function withCarrier(options, carrier) {
  if (carrier === undefined || Object.keys(carrier).length === 0) return options
  return { __proto__: null, ...options, metadata: { ...carrier, ...options?.metadata } }
}

module.exports = { enqueue, isOn, run, withCarrier, wrap }
