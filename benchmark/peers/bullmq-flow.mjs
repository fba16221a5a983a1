// BullMQ's FlowProducer: trees whose parents wait for their children, so a shape is turned around: its last task is the
// root. What has completed is removed, as in every other contender on Redis.
import { FlowProducer, Queue, Worker } from 'bullmq'

const NAME = 'benchmark'

export async function openFlows({ place, concurrency, work }) {
  const { hostname: host, port } = new URL(place)
  const connection = { host, port: Number(port), maxRetriesPerRequest: null }
  const producer = new FlowProducer({ connection })
  const queue = new Queue(NAME, { connection })
  await queue.waitUntilReady()
  const worker = new Worker(NAME, async job => work(job.data), { connection, concurrency, autorun: false })
  await worker.waitUntilReady()
  const opts = { removeOnComplete: true }
  return {
    /** Every task of it has one child at most that waits for it: `wide` without its first task, or `deep`. */
    addFlow: async shape => {
      for (const tree of treesOf(shape, opts)) await producer.add(tree)
    },
    start: async () => void worker.run(),
    async isDone() {
      const counts = await queue.getJobCounts('waiting', 'active', 'waiting-children')
      return Object.values(counts).every(count => count === 0)
    },
    async close() {
      await worker.close()
      await producer.close()
      await queue.close()
    },
  }
}

function treesOf({ count, parents }, opts) {
  const nodes = Array.from({ length: count }, (_, id) => ({
    name: 'job',
    queueName: NAME,
    data: { id },
    opts,
  }))
  const roots = new Set(nodes)
  for (const [id, node] of nodes.entries()) {
    const before = parents(id).map(parent => nodes[parent])
    if (before.length > 0) node.children = before
    for (const child of before) roots.delete(child)
  }
  return roots
}
