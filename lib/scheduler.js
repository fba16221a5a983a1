'use strict'

// Owns the public scheduler: schedules live in the store of an executor, and every started executor on that store
// fires them. What is kept here is only the way there.

const binding = require('./binding')
const { TaskExecutor, innerOf } = require('./executor')
const { closedError } = require('./context')
const { describe, optionError } = require('./errors')
const { TaskHandle } = require('./handle')
const { checkDate } = require('./options')
const { checkCount, scheduleKey, scheduleOptions, slotsOf } = require('./options/schedule')
const { informationOf, upsert } = require('./schedules')

class TaskScheduler {
  #inner
  #own
  #closed = false

  constructor(executor = undefined) {
    this.#own = executor === undefined ? new TaskExecutor() : undefined
    this.#inner = innerOf(executor ?? this.#own)
    if (this.#inner === undefined) {
      throw optionError(`TaskScheduler() takes a TaskExecutor; got ${describe(executor)}`)
    }
  }

  async schedule(task, when = undefined, input = undefined) {
    this.#requireOpen()
    const kind = this.#inner.kind(task, 'schedule()')
    const options = when === undefined ? kind.schedule : scheduleOptions(when, 'when', 'schedule()')
    if (options === undefined) {
      throw optionError(`schedule() needs a schedule: ${describe(kind.name)} has none of its own`)
    }
    const text = this.#inner.payload(kind, input)
    if (kind.input !== undefined) await kind.check(input)
    this.#inner.accept()
    return upsert(this.#inner.ask, kind, options, text)
  }

  unschedule(key) {
    return this.#order({ act: 'unschedule', key: scheduleKey(key, 'key') })
  }

  async pause(key) {
    await this.#order({ act: 'pause', key: scheduleKey(key, 'key'), paused: true })
  }

  async resume(key) {
    await this.#order({ act: 'pause', key: scheduleKey(key, 'key'), paused: false })
  }

  async trigger(key) {
    this.#requireOpen()
    const checked = scheduleKey(key, 'key')
    const { stored } = this.#inner
    const batch = await stored.obtain(number => ({
      op: 'schedule',
      order: { act: 'trigger', key: checked, batch: number },
    }))
    return new TaskHandle(this.#inner, batch, 0)
  }

  async list() {
    const all = await this.#order({ act: 'list' })
    return all.map(informationOf)
  }

  async close() {
    this.#closed = true
    await this.#own?.close()
  }

  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.close()
  }

  async #order(order) {
    this.#requireOpen()
    return this.#inner.ask({ op: 'schedule', order })
  }

  #requireOpen() {
    if (this.#closed) throw closedError()
  }

  static preview(when, count = 10, from = new Date()) {
    const slots = slotsOf(scheduleOptions(when), checkDate(from, 'from'), checkCount(count, 'count'))
    return Array.from(slots, slot => new Date(slot))
  }

  static next(when, from = new Date()) {
    return one(slotsOf(scheduleOptions(when), checkDate(from, 'from'), 1))
  }

  static previous(when, from = new Date()) {
    return one(slotsOf(scheduleOptions(when), checkDate(from, 'from'), 1, true))
  }

  static get timeZoneData() {
    return binding.timeZoneData()
  }
}

function one(slots) {
  return slots.length === 0 ? null : new Date(slots[0])
}

module.exports = { TaskScheduler }
