// BullMQ. What has completed is removed, as in every other contender on Redis.
import { Queue, Worker } from 'bullmq'

export async function open({ place, concurrency, work }) {
  const { hostname: host, port } = new URL(place)
  const connection = { host, port: Number(port), maxRetriesPerRequest: null }
  const queue = new Queue('benchmark', { connection, defaultJobOptions: { removeOnComplete: true } })
  await queue.waitUntilReady()
  let worker
  return {
    add: input => queue.add('job', input),
    addMany: inputs => queue.addBulk(inputs.map(data => ({ name: 'job', data }))),
    async start() {
      worker = new Worker('benchmark', job => work(job.data), { connection, concurrency })
      await worker.waitUntilReady()
    },
    async isDone() {
      const { waiting, active } = await queue.getJobCounts('waiting', 'active')
      return waiting + active === 0
    },
    async close() {
      await worker?.close()
      await queue.close()
    },
  }
}
