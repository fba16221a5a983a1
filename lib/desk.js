'use strict'

// Owns what a handler can do beside returning: steps, results of blockers, spawned tasks, progress, log.
// Invariants: made only for runs that ask for it; what is spawned is checked when `spawn` is called and sent with the
// success of the attempt, or dropped with it; progress and lines go to the engine at once, which gathers them.

const { describe, optionError } = require('./errors')
const { checkName } = require('./names')
const { headOf } = require('./kind')
const { serialize } = require('./payload')
const { uuid } = require('./uuid')

const KIB = 1_024
/** Bounds on what one run may note down, in bytes of JSON. */
const BOUNDS = Object.freeze({ step: 256 * KIB, progress: 16 * KIB, fields: 16 * KIB, message: 4 * KIB })
const MAX_STEPS = 1_000
const MAX_SPAWNED = 10_000
const LEVELS = ['debug', 'info', 'warn', 'error']

/** What both kinds of desk have in common. `draft` makes a task of the arguments of `spawn`. */
class Desk {
  #keys = new Set()
  #checks = []
  /** Pairs of a head and an input, as for a batch. */
  lines = []

  constructor(draft) {
    this.draft = draft
  }

  async step(key, run) {
    checkName(key, 'key of ctx.step()')
    if (typeof run !== 'function') {
      throw optionError(`ctx.step() takes a key and a function; got ${describe(run)}`)
    }
    if (this.#keys.has(key)) {
      throw optionError(`ctx.step() was called twice with the key ${describe(key)} in one run`)
    }
    if (this.#keys.size >= MAX_STEPS) throw optionError(`a task may have at most ${MAX_STEPS} steps`)
    this.#keys.add(key)
    try {
      const known = await this.known()
      if (known.has(key)) return known.get(key)
      const value = await run()
      const text = serialize(
        value,
        `result of step ${describe(key)}`,
        undefined,
        BOUNDS.step,
        'a step may have',
      )
      await this.keep(key, text)
      // What the runs to come will see.
      return JSON.parse(text)
    } catch (error) {
      // A step that failed may be tried again by its own run.
      this.#keys.delete(key)
      throw error
    }
  }

  spawn(task, input, given) {
    if (this.lines.length >= 2 * MAX_SPAWNED) {
      throw optionError(`ctx.spawn() takes at most ${MAX_SPAWNED} tasks in one run`)
    }
    const { kind, options, text, checked } = this.draft(task, input, given, 'ctx.spawn()')
    const id = options.id ?? uuid()
    const head = headOf(kind, { ...options, id, minted: options.id === undefined })
    if (checked instanceof Promise) {
      // Told at the end of the run.
      checked.catch(() => {})
      this.#checks.push(checked)
    }
    this.lines.push(head, text)
    return id
  }

  /** What was spawned fits its schemas: to be awaited before it is sent. */
  async ready() {
    await Promise.all(this.#checks)
  }

  progress(value) {
    if (value === undefined) throw optionError('ctx.progress() takes what JSON can carry; got undefined')
    this.show(serialize(value, 'progress', undefined, BOUNDS.progress, 'progress may have'))
  }

  log(message, fields, level = 'info') {
    if (typeof message !== 'string') {
      throw optionError(`the message of ctx.log() must be text; got ${describe(message)}`)
    }
    if (!LEVELS.includes(level)) {
      throw optionError(`the level of ctx.log() must be one of ${LEVELS.join(', ')}; got ${describe(level)}`)
    }
    const text =
      fields === undefined
        ? ''
        : serialize(fields, 'fields of a line', undefined, BOUNDS.fields, 'they may have')
    if (text !== '' && !text.startsWith('{')) {
      throw optionError(`the fields of ctx.log() must be an object; got ${describe(fields)}`)
    }
    this.write(level, cut(message).toWellFormed(), text)
  }
}

/** Of a task of a store. */
class StoredDesk extends Desk {
  #stored
  #slot
  #run
  #known

  constructor(stored, slot, run) {
    super(stored.draft)
    this.#stored = stored
    this.#slot = slot
    this.#run = run
  }

  #ask(question) {
    return this.#stored.request({ ...question, slot: this.#slot, run: this.#run })
  }

  results() {
    return this.#ask({ op: 'results' })
  }

  known() {
    this.#known ??= this.#ask({ op: 'steps' }).then(steps => new Map(Object.entries(steps)))
    return this.#known
  }

  keep(key, value) {
    return this.#ask({ op: 'step', key, value })
  }

  show(text) {
    this.#stored.native.progress(this.#slot, this.#run, text)
  }

  write(level, message, fields) {
    this.#stored.native.log(this.#slot, this.#run, level, message, fields)
  }
}

/** Of a definition that is executed here and now, without a store: nobody can read its notes. */
class LocalDesk extends Desk {
  #steps

  /** `steps` are those of all attempts. */
  constructor(draft, steps) {
    super(draft)
    this.#steps = steps
  }

  async results() {
    return []
  }

  known() {
    return new Map(Array.from(this.#steps, ([key, text]) => [key, JSON.parse(text)]))
  }

  keep(key, text) {
    this.#steps.set(key, text)
  }

  show() {}

  write() {}
}

// A line that is too long is worth more than none.
function cut(message) {
  return message.length <= BOUNDS.message ? message : `${message.slice(0, BOUNDS.message - 3)}...`
}

module.exports = { LEVELS, LocalDesk, MAX_STEPS, StoredDesk }
