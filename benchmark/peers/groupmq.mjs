// groupmq, with a thousand groups: within one it runs one job at a time.
import { Queue, Worker } from 'groupmq'
import Redis from 'ioredis'

const GROUPS = 1000

export async function open({ place, concurrency, work }) {
  const redis = new Redis(place, { maxRetriesPerRequest: null })
  const queue = new Queue({ redis, namespace: 'benchmark', keepCompleted: 0, keepFailed: 0 })
  const add = data => queue.add({ groupId: `g${data.id % GROUPS}`, data })
  let worker
  return {
    add,
    addMany: inputs => Promise.all(inputs.map(add)),
    async start() {
      worker = new Worker({ queue, concurrency, handler: job => work(job.data) })
      worker.run()
    },
    async isDone() {
      const { waiting, active } = await queue.getJobCounts()
      return waiting + active === 0
    },
    async close() {
      await worker?.close()
      await queue.close()
      redis.disconnect()
    },
  }
}
