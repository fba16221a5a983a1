// plainjob. It opens its file with synchronous=NORMAL; FULL is set after that. One worker runs one job at a time,
// so there are as many workers as jobs may run at once.
import Database from 'better-sqlite3'
import { better, defineQueue, defineWorker, JobStatus } from 'plainjob'

const POLL_MS = 5
const QUIET = { error: console.error, warn: console.error, info() {}, debug() {} }

export async function open({ place, level, concurrency, work }) {
  const database = new Database(place)
  database.pragma('busy_timeout = 10000')
  const queue = defineQueue({ connection: better(database), logger: QUIET })
  if (level === 'strict') database.pragma('synchronous = FULL')
  const run = async job => void (await work(JSON.parse(job.data)))
  const workers = Array.from({ length: concurrency }, () =>
    defineWorker('benchmark', run, { queue, pollIntervall: POLL_MS, logger: QUIET }),
  )
  return {
    add: async input => void queue.add('benchmark', input),
    addMany: async inputs => void queue.addMany('benchmark', inputs),
    async start() {
      for (const worker of workers) worker.start()
    },
    isDone: async () =>
      [JobStatus.Pending, JobStatus.Processing].every(status => queue.countJobs({ status }) === 0),
    async close() {
      await Promise.all(workers.map(worker => worker.stop()))
      queue.close()
    },
  }
}
