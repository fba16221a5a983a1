// Ten thousand schedules with one slot in the same second: what making them costs, the start with all of them, and that
// second. Only ours: the others keep no schedules in a store.
import { setTimeout as sleep } from 'node:timers/promises'
import { TaskExecutor, TaskScheduler } from '../../index.js'
import { newFile } from '../durable/place.mjs'
import { startClock } from '../round.mjs'

const SIZE = 10_000
// Long enough to close and open the executor before the slot.
const AHEAD_MS = 4_000
const STORES = ['memory', 'SQLite, strict']

export default {
  title: scale => `${scale.text(SIZE)} schedules that fire in the same second`,
  trials: 3,
  columns: [
    { key: 'makeUs', label: 'making one, us', digits: 1 },
    { key: 'startMs', label: 'start, ms', digits: 1 },
    { key: 'firstMs', label: 'first task after the slot, ms', digits: 1 },
    { key: 'tickMs', label: 'last task after the slot, ms', digits: 1 },
    { key: 'cpuUs', label: 'CPU of the second, us/schedule', digits: 1 },
    { key: 'loopMs', label: 'event loop held, ms', digits: 1 },
  ],
  notes: [
    'The start of a store reads every schedule once, to see whether its time zones are those of the library.',
  ],

  plan: scale =>
    STORES.map(store => ({
      label: 'task',
      peer: 'task',
      group: store,
      params: { store, count: scale.count(SIZE) },
    })),

  async measure(_, { store, count }) {
    const { place, remove } = newFile()
    try {
      const isMemory = store === 'memory'
      const options = isMemory ? {} : { persistence: `sqlite:${place}` }
      // Its tasks are for somebody else: only the firing is measured.
      let executor = new TaskExecutor(options)
      let scheduler = new TaskScheduler(executor)
      const stopMaking = startClock()
      const slot = await makeAll(scheduler, count)
      const making = stopMaking()
      let startMs = 0
      if (!isMemory) {
        await executor.close()
        executor = new TaskExecutor(options)
        scheduler = new TaskScheduler(executor)
        const from = performance.now()
        await executor.start()
        startMs = performance.now() - from
      }
      if (Date.now() > slot - 100) throw new Error('making the schedules has taken too long for their slot')
      const { held, cpu } = await passSlot(executor, slot, count)
      const times = []
      for await (const { createdAt } of executor.list({ name: 'tick' }))
        times.push(createdAt.getTime() - slot)
      await executor.close()
      if (times.length !== count) throw new Error(`${times.length} tasks of ${count} schedules`)
      const { firstMs, tickMs } = { firstMs: Math.min(...times), tickMs: Math.max(...times) }
      return { makeUs: making.wall / count, startMs, firstMs, tickMs, cpuUs: cpu / count, loopMs: held }
    } finally {
      await remove()
    }
  },

  goals: figures =>
    STORES.map(store => ({
      text: `ms from the slot to the last of its tasks, ${store}`,
      figure: figures.metric([store, 'task'], 'tickMs'),
      atMost: 1_000,
    })),
}

/** Makes the schedules; gives the one slot that all of them have, which lies ahead when they are made. */
async function makeAll(scheduler, count) {
  const first = Date.now()
  await scheduler.schedule('tick', { every: '1h', key: 'probe', startAt: new Date(first + 3_600_000) })
  await scheduler.unschedule('probe')
  // How long it takes is known when a part is done.
  const part = Math.ceil(count / 10)
  const far = new Date(first + 3_600_000)
  const make = (from, to, startAt) =>
    Promise.all(
      Array.from({ length: to - from }, (_, n) =>
        scheduler.schedule('tick', { every: '1h', startAt, limit: 1, key: `s${from + n}` }),
      ),
    )
  await make(0, part, far)
  const took = Date.now() - first
  const slot = Math.ceil((Date.now() + 15 * took + AHEAD_MS) / 1_000) * 1_000
  await make(0, count, new Date(slot))
  return slot
}

/** Waits until the slot has come and its tasks are made. */
async function passSlot(executor, slot, count) {
  await sleep(slot - Date.now() - 50)
  const stop = startClock()
  let held = 0
  let last = performance.now()
  const until = Date.now() + 30_000
  while (Date.now() < until) {
    await sleep(5)
    held = Math.max(held, performance.now() - last - 5)
    last = performance.now()
    // Asked seldom: a question is work too.
    if (Date.now() - slot > 200 && (await executor.counts()).waiting === count) break
    last = performance.now()
  }
  return { held, cpu: stop().cpu }
}
