// One worker process of several on one store: starts and stops at its parent's word, then tells what it ran.
import { checkInput } from './load.mjs'

const { peer, options } = JSON.parse(process.argv[2])
const { open } = await import(`../peers/${peer}.mjs`)

const ran = []
const arrivals = []
let lastAt
let pauseMs = 0

async function work(input) {
  checkInput(input)
  const now = performance.now()
  if (lastAt !== undefined) pauseMs = Math.max(pauseMs, now - lastAt)
  lastAt = now
  ran.push(input.id)
  if (input.at !== undefined) arrivals.push(now + performance.timeOrigin - input.at)
  return { id: input.id, sent: true }
}

const queue = await open({ ...options, work })
let cpu
process.on('message', async word => {
  if (word === 'start') {
    cpu = process.cpuUsage()
    lastAt = performance.now()
    await queue.start()
    return
  }
  const { user, system } = process.cpuUsage(cpu)
  // A long report is on its way for a while: to disconnect earlier would cut it off.
  await new Promise(sent => process.send({ ran, arrivals, pauseMs, cpuUs: user + system }, sent))
  await queue.close()
  process.disconnect()
})
process.send('ready')
