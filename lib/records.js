'use strict'

// Owns what an executor tells of its tasks, and what operators change in many of them at once.

const { TaskError, describe } = require('./errors')
const { checkName } = require('./names')
const { flowInformation } = require('./flow')
const { information } = require('./record')
const options = require('./options')

const FINAL = ['completed', 'failed', 'cancelled']
const UNDONE = ['failed', 'cancelled']
const PAGE = 100

class Records {
  #ask

  /** `ask` brings a question to the engine, and its answer back. */
  constructor(ask) {
    this.#ask = ask
  }

  async find(id) {
    const record = await this.#ask({ op: 'get', id })
    return record === null ? undefined : information(record)
  }

  async status(id) {
    const found = await this.find(id)
    if (found !== undefined) return found
    throw new TaskError(`there is no task ${describe(id)}`, { code: 'ERR_TASK_NOT_FOUND' })
  }

  list(given) {
    return this.#pages(options.taskFilter(given, 'list()'))
  }

  async *#pages({ limit = Number.POSITIVE_INFINITY, cursor, ...filter }) {
    let left = limit
    let next = cursor
    if (cursor !== undefined) await this.status(cursor)
    while (left > 0) {
      const page = await this.#ask({
        op: 'list',
        filter: { ...filter, limit: Math.min(left, PAGE), cursor: next },
      })
      for (const record of page.records) yield information(record)
      left -= page.records.length
      next = page.cursor
      if (next === null) return
    }
  }

  async flow(id) {
    const records = await this.#ask({ op: 'flow', id })
    return flowInformation(records.map(information))
  }

  counts(queue) {
    return this.#ask({ op: 'counts', queue: queue === undefined ? undefined : checkName(queue, 'queue') })
  }

  async nodes() {
    const nodes = await this.#ask({ op: 'nodes' })
    return nodes.map(node => ({ ...node, lastBeat: new Date(node.lastBeat) }))
  }

  retryAll(filter) {
    const { state = UNDONE, ...rest } = options.taskFilter(filter, 'retryAll()', true)
    return this.#ask({ op: 'amend', filter: { ...rest, state }, change: 'retry' })
  }

  cancelAll(filter) {
    const change = { cancel: 'on request' }
    return this.#ask({ op: 'amend', filter: options.taskFilter(filter, 'cancelAll()', true), change })
  }

  prune(filter) {
    const checked = options.taskFilter(filter, 'prune()', true)
    const state = (checked.state ?? FINAL).filter(word => FINAL.includes(word))
    if (state.length === 0) return 0
    return this.#ask({ op: 'amend', filter: { ...checked, state }, change: 'remove' })
  }
}

module.exports = { Records }
