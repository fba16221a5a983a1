'use strict'

// Owns workflows: what `enqueueFlow` is given, checked and put in the form of a batch, and the handle of a flow.
// Invariants: a mistake in one entry enqueues nothing; blockers of the same flow go by their places in the batch, so
// that nobody has to know their ids before.

const check = require('./options/check')
const { resultOptions } = require('./options')
const { describe, optionError } = require('./errors')
const { headOf } = require('./kind')
const { TaskHandle } = require('./handle')
const { MAX_NAME, checkName } = require('./names')
const { uuid } = require('./uuid')

const CALL = 'enqueueFlow()'
const MAX_TASKS = 1_000_000

const refs = check.listOf(checkName, 'refs', 0, MAX_TASKS)
const as = value => value
const ENTRY = new Map([
  ['ref', checkName],
  ['task', as],
  ['input', as],
  ['after', refs],
  ['options', as],
])
const FLOW = new Map([['id', checkName]])
const NONE = []
const STATES = ['scheduled', 'waiting', 'blocked', 'running', 'completed', 'failed', 'cancelled']

/**
 * The batch of a flow: its id, the refs in order, lines of heads and inputs, and what its inputs are still checked by.
 * `draft` makes a task of a definition, an input and options.
 */
function flowBatch(tasks, given, draft) {
  const { id: named } = check.readOptions(given, FLOW, CALL)
  const entries = entriesOf(tasks)
  const places = new Map()
  for (const [at, { ref }] of entries.entries()) {
    if (places.has(ref)) throw optionError(`"tasks[${at}].ref" of ${CALL}: ${describe(ref)} is taken already`)
    places.set(ref, at)
  }
  const parents = entries.map(({ after }, at) => (after === undefined ? NONE : placesOf(after, at, places)))
  const circle = circleOf(parents)
  if (circle !== undefined) {
    const path = circle.map(at => entries[at].ref).join(' -> ')
    throw optionError(`the tasks of ${CALL} wait for each other in a circle: ${path}`)
  }
  const id = named ?? uuid()
  const lines = []
  const checks = []
  for (const [at, { ref, task, input, options }] of entries.entries()) {
    const drafted = draft(task, input, options, CALL)
    const own = { flow: id, ...drafted.options }
    if (own.id === undefined && named !== undefined) own.id = idOf(named, ref)
    if (parents[at].length > 0) {
      own.refs = parents[at]
      own.after ??= NONE
    }
    lines.push(headOf(drafted.kind, own), drafted.text)
    if (drafted.checked instanceof Promise) checks.push(drafted.checked)
  }
  return { id, refs: entries.map(entry => entry.ref), lines, checks }
}

function entriesOf(tasks) {
  if (!Array.isArray(tasks) || tasks.length === 0 || tasks.length > MAX_TASKS) {
    throw optionError(`${CALL} takes an array of 1 to ${MAX_TASKS} entries; got ${describe(tasks)}`)
  }
  return Array.from(tasks, (task, at) => {
    const path = `tasks[${at}]`
    check.requirePlain(task, CALL, path)
    const entry = check.readOptions(task, ENTRY, CALL, `${path}.`)
    checkName(entry.ref, `${path}.ref`)
    if (entry.task === undefined)
      throw check.refuse(`${path}.task`, 'a task definition or its name', undefined)
    return entry
  })
}

// A flow that has a name gives its tasks names: the same flow again is the same tasks.
function idOf(flow, ref) {
  const id = `${flow}/${ref}`
  const bytes = Buffer.byteLength(id)
  if (bytes <= MAX_NAME) return id
  throw optionError(
    `"id" of ${CALL} and the ref ${describe(ref)} make an id of ${bytes} bytes; ${MAX_NAME} are allowed`,
  )
}

// Each place once.
function placesOf(refs, at, places) {
  const found = refs.map(ref => {
    const place = places.get(ref)
    if (place !== undefined) return place
    throw optionError(`"tasks[${at}].after" of ${CALL} names ${describe(ref)}, which is the ref of no entry`)
  })
  return found.length > 1 ? [...new Set(found)] : found
}

// Depth first without recursion: a chain may be as long as a flow.
function circleOf(parents) {
  const NEW = 0
  const OPEN = 1
  const DONE = 2
  const state = new Uint8Array(parents.length)
  const next = new Uint32Array(parents.length)
  for (let start = 0; start < parents.length; start += 1) {
    const path = state[start] === NEW ? [start] : []
    while (path.length > 0) {
      const at = path[path.length - 1]
      state[at] = OPEN
      if (next[at] === parents[at].length) {
        state[at] = DONE
        path.pop()
        continue
      }
      const parent = parents[at][next[at]++]
      if (state[parent] === OPEN) return [...path.slice(path.indexOf(parent)), parent]
      if (state[parent] === NEW) path.push(parent)
    }
  }
  return undefined
}

/** What is known of a flow, from the records of its tasks. */
function flowInformation(tasks) {
  const counts = Object.fromEntries(STATES.map(state => [state, 0]))
  const edges = []
  for (const task of tasks) {
    counts[task.state] += 1
    for (const blocker of task.after ?? []) edges.push([blocker, task.id])
  }
  const ended = counts.completed + counts.failed + counts.cancelled
  return { id: tasks[0]?.flow, tasks, edges, counts, total: tasks.length, ended }
}

class TaskFlow {
  #executor
  #refs
  #batch
  #handles

  constructor(executor, id, refs, batch) {
    this.#executor = executor
    this.id = id
    this.#refs = refs
    this.#batch = batch
  }

  // Made when they are asked for: most of a large flow is never looked at.
  get handles() {
    this.#handles ??= Object.fromEntries(
      this.#refs.map((ref, at) => [ref, new TaskHandle(this.#executor, this.#batch, at)]),
    )
    return this.#handles
  }

  async results(options = undefined) {
    const { handles } = this
    const names = Object.keys(handles)
    const outputs = Promise.all(names.map(ref => handles[ref].result(options)))
    return outputs.then(
      outputs => Object.fromEntries(names.map((ref, at) => [ref, outputs[at]])),
      error => this.#rethrow(error),
    )
  }

  // What was cancelled because of a failure may be heard of before it.
  async #rethrow(error) {
    if (error?.code === 'ERR_TASK_CANCELLED') {
      const { tasks } = await this.status()
      const failed = tasks.find(task => task.state === 'failed')
      await Object.values(this.handles)
        .find(handle => handle.id === failed?.id)
        ?.result()
    }
    throw error
  }

  async settled(options = undefined) {
    const { signal } = resultOptions(options, 'settled()')
    const ended = this.#executor.ask({ op: 'flowEnded', flow: this.id })
    await (signal === undefined ? ended : unlessAborted(ended, signal))
    return this.status()
  }

  status() {
    return this.#executor.flow(this.id)
  }

  cancel(reason = undefined) {
    const cancel = reason === undefined ? 'on request' : checkName(reason, 'reason')
    return this.#executor.ask({ op: 'amend', filter: { flow: this.id }, change: { cancel } })
  }

  retry() {
    return this.#executor.ask({ op: 'retryFlow', flow: this.id })
  }
}

function unlessAborted(promise, signal) {
  if (signal.aborted) {
    promise.catch(() => {})
    return Promise.reject(signal.reason)
  }
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}

module.exports = { TaskFlow, flowBatch, flowInformation }
