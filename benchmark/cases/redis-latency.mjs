// Low load: one task every 20 ms; the time from the call of enqueue to the start of its handler.
import { fork } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { inputOf, quantile } from '../durable/load.mjs'
import { newServer } from '../durable/place.mjs'
import { CONTENDERS } from '../durable/redis-contenders.mjs'

const NODE = fileURLToPath(new URL('../durable/node.mjs', import.meta.url))
const EVERY_MS = 20
const SIZE = 300
const PLACES = { same: 'same process', other: 'another process' }
const now = () => performance.timeOrigin + performance.now()

export default {
  title: () => `one task every ${EVERY_MS} ms, from enqueue to the start of its handler`,
  trials: 3,
  columns: [
    { key: 'p50Ms', label: 'p50 ms', digits: 2, compare: true },
    { key: 'p99Ms', label: 'p99 ms', digits: 2 },
  ],
  notes: ['The batched Lua queue asks every 2 ms when it is idle: no floor for latency.'],

  plan: scale =>
    Object.entries(PLACES).flatMap(([where, group]) =>
      CONTENDERS.map(({ label, peer }) => ({
        label,
        peer,
        group,
        params: { where, peer, count: scale.quick ? 30 : SIZE },
      })),
    ),

  async measure({ open }, { where, peer, count }) {
    const { place, remove } = await newServer({ aof: 'off' })
    try {
      const worker = where === 'same' ? undefined : startWorker(peer, { place, concurrency: 16 })
      const here = []
      const work = async ({ id, at }) => {
        here.push(now() - at)
        return { id }
      }
      const queue = await open({ place, concurrency: 16, work })
      await (worker ? worker.start() : queue.start())
      await sleep(500)
      for (let i = 0; i < count; i++) {
        await queue.add({ ...inputOf(i), at: now() })
        await sleep(EVERY_MS)
      }
      while (!(await queue.isDone())) await sleep(5)
      const waits = worker ? await worker.stop() : here
      await queue.close()
      if (waits.length !== count) throw new Error(`${waits.length} runs of ${count} tasks`)
      return { p50Ms: quantile(waits, 0.5), p99Ms: quantile(waits, 0.99) }
    } finally {
      await remove()
    }
  },

  goals: figures =>
    Object.values(PLACES).flatMap(group => [
      {
        text: `p50 in multiples of bee-queue's, ${group}`,
        figure: figures.ratio([group, 'task'], [group, 'bee-queue'], 'p50Ms'),
        atMost: 1.1,
      },
      {
        text: `p50 in multiples of bullmq's, ${group}`,
        figure: figures.ratio([group, 'task'], [group, 'bullmq'], 'p50Ms'),
        atMost: 1,
      },
    ]),
}

function startWorker(peer, options) {
  const child = fork(NODE, [JSON.stringify({ peer, options })], { execArgv: [] })
  process.once('exit', () => child.kill('SIGKILL'))
  const next = () => new Promise(resolve => child.once('message', resolve))
  const ready = next()
  return {
    async start() {
      await ready
      child.send('start')
    },
    async stop() {
      const report = next()
      child.send('stop')
      return (await report).arrivals
    },
  }
}
