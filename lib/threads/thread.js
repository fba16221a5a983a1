'use strict'

// The program of a worker thread: begins what it is given one after the other, and answers each at once, since the
// next one may never end.

const { parentPort, workerData: words } = require('node:worker_threads')
const { TaskError, describe } = require('../errors')
const { Snooze } = require('../context')
const { LONGEST, toMillis } = require('../duration')
const { endOf, errorOf, failureOf } = require('./failure')
const { End, ENTRY, STATE, STOP, WORDS } = require('./words')

const handlers = new Map()
let queue = []
let next = 0
let running = false
/** The context of what is run. */
let current

class ThreadContext {
  #stop
  #serial
  #controller
  #reason

  #place
  #results
  #answer

  constructor(place, serial, id, attempt, maxAttempts, name, metadata, schedule) {
    this.#place = place
    this.#stop = place * WORDS + STOP
    this.#serial = serial
    this.id = id
    this.attempt = attempt
    this.maxAttempts = maxAttempts
    this.name = name
    this.metadata = metadata
    this.schedule = schedule
  }

  get signal() {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  get cancelled() {
    return Atomics.load(words, this.#stop) === this.#serial
  }

  snooze(delay) {
    throw new Snooze(toMillis(delay, 'delay of ctx.snooze()', { max: LONGEST }))
  }

  results() {
    this.#results ??= new Promise((resolve, reject) => {
      this.#answer = (value, ok) => (ok ? resolve(value) : reject(errorOf(value)))
      this.#call('results')
    })
    return this.#results
  }

  progress(value) {
    this.#call('progress', value)
  }

  log(...args) {
    this.#call('log', ...args)
  }

  step() {
    throw onlyInline('step')
  }

  spawn() {
    throw onlyInline('spawn')
  }

  #call(name, ...args) {
    parentPort.postMessage([this.#place, this.#serial, End.CALL, name, args])
  }

  static answer(context, serial, value, ok) {
    if (context?.#serial === serial) context.#answer(value, ok)
  }

  static abort(context, serial, failure) {
    if (context?.#serial !== serial) return
    context.#reason = errorOf(failure)
    context.#controller?.abort(context.#reason)
  }
}

function onlyInline(name) {
  return new TaskError(`ctx.${name}() takes functions of the executor, and is not there in a thread`, {
    code: 'ERR_OPTION',
  })
}

/** The handler of a module: its default export, or what a CommonJS module exports. */
async function load(module) {
  let exported = (await import(module)).default
  // A CommonJS module that a compiler made of an ES module.
  if (exported?.__esModule === true) exported = exported.default
  if (typeof exported === 'function') return exported
  throw new TaskError(`the default export of ${module} must be a function; got ${describe(exported)}`, {
    code: 'ERR_OPTION',
  })
}

async function run(at) {
  const [place, serial, module, id, attempt, maxAttempts, name, metadata, schedule, input] = queue.slice(
    at,
    at + ENTRY,
  )
  const state = place * WORDS + STATE
  // Taken back meanwhile.
  if (Atomics.compareExchange(words, state, serial, -serial) !== serial) return
  const context = new ThreadContext(place, serial, id, attempt, maxAttempts, name, metadata, schedule)
  current = context
  const since = performance.now()
  let end = End.OK
  let value
  try {
    let handler = handlers.get(module)
    if (handler === undefined) {
      handler = await load(module)
      handlers.set(module, handler)
    }
    value = await handler(input, context)
  } catch (thrown) {
    ;[end, value] = endOf(thrown)
  }
  current = undefined
  answer(place, serial, end, value, performance.now() - since)
}

function answer(place, serial, end, value, ms) {
  try {
    parentPort.postMessage([place, serial, end, value, ms])
  } catch (error) {
    const what = end === End.OK ? 'the result' : 'what the handler threw'
    const refusal = new TaskError(`${what} cannot be sent from its thread: ${error.message}`, {
      code: 'ERR_TASK_SERIALIZE',
    })
    parentPort.postMessage([place, serial, End.FAILURE, failureOf(refusal), ms])
  }
}

async function runAll() {
  running = true
  while (next < queue.length) {
    await run(next)
    next += ENTRY
  }
  queue = []
  next = 0
  running = false
}

parentPort.on('message', message => {
  if (message.length === 3) {
    ThreadContext.abort(current, message[1], message[2])
    return
  }
  if (message.length === 4) {
    ThreadContext.answer(current, ...message.slice(1))
    return
  }
  queue = next === 0 ? queue.concat(message) : queue.slice(next).concat(message)
  if (running) next = 0
  else runAll()
})
