// bee-queue, as its manual says for speed: no events, and jobs that have succeeded are removed.
import BeeQueue from 'bee-queue'

export async function open({ place, concurrency, work }) {
  const { hostname: host, port } = new URL(place)
  const queue = new BeeQueue('benchmark', {
    redis: { host, port: Number(port) },
    getEvents: false,
    sendEvents: false,
    storeJobs: false,
    removeOnSuccess: true,
  })
  await queue.ready()
  return {
    add: input => queue.createJob(input).save(),
    addMany: inputs => queue.saveAll(inputs.map(input => queue.createJob(input))),
    async start() {
      queue.process(concurrency, job => work(job.data))
    },
    async isDone() {
      const { waiting, active } = await queue.checkHealth()
      return waiting + active === 0
    },
    close: () => queue.close(),
  }
}
