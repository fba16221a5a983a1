// Several worker processes on one store: this starts them, gives the word, and checks what they did together.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { createWork, fill, untilDone } from './load.mjs'

const NODE = fileURLToPath(new URL('node.mjs', import.meta.url))

/** Runs `count` tasks that wait already with so many processes; gives their rate and their longest pauses. */
export async function workTogether(open, peer, { count, processes, ...options }) {
  const { work, check } = createWork(count)
  const queue = await open({ ...options, work })
  await fill(queue, count)
  const nodes = await Promise.all(
    Array.from({ length: processes }, () => startNode(peer, { ...options, count })),
  )
  const from = performance.now()
  for (const node of nodes) node.child.send('start')
  await untilDone(queue)
  const wallUs = (performance.now() - from) * 1000
  const reports = await Promise.all(nodes.map(node => node.stop()))
  await queue.close()
  for (const { ran } of reports) for (const id of ran) await work({ id, ...rest(id) })
  check()
  return {
    wallUs: wallUs / count,
    cpuUs: reports.reduce((sum, { cpuUs }) => sum + cpuUs, 0) / count,
    pauseMs: Math.max(...reports.map(({ pauseMs }) => pauseMs)),
    leastShare: (Math.min(...reports.map(({ ran }) => ran.length)) * processes) / count,
  }
}

// The nodes have looked at the inputs; what is checked here is that all of them together ran each task once.
const rest = id => ({ to: `user-${id}@example.com`, subject: 'x'.repeat(24), tries: [1, 2, 3] })

async function startNode(peer, options) {
  const child = fork(NODE, [JSON.stringify({ peer, options })], { execArgv: [] })
  process.once('exit', () => child.kill('SIGKILL'))
  const next = () =>
    new Promise((resolve, reject) => {
      child.once('message', resolve)
      // After the last message; its end may be told before.
      child.once('disconnect', () => reject(new Error('a worker process ended early')))
    })
  await next()
  return {
    child,
    stop() {
      const report = next()
      child.send('stop')
      return report
    },
  }
}
