// The floor on Redis: two scripts of a few lines, pushes of one turn together, completions sent with the next
// claim. No priorities, retries, leases or delays.
import Redis from 'ioredis'

const CLAIM = 256
const CHUNK = 1000
const IDLE_MS = 2
const KEYS = ['{floor}:waiting', '{floor}:active']
const PUSH = `for i = 1, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[i]) end`
const STEP = `
for i = 2, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
if ARGV[1] == '0' then return {} end
local jobs = redis.call('LPOP', KEYS[1], ARGV[1]) or {}
for i, job in ipairs(jobs) do redis.call('HSET', KEYS[2], string.match(job, '^%d+'), job) end
return jobs`

export async function open({ place, concurrency, work }) {
  const redis = new Redis(place)
  redis.defineCommand('floorPush', { numberOfKeys: 2, lua: PUSH })
  redis.defineCommand('floorStep', { numberOfKeys: 2, lua: STEP })
  let added = []
  const done = []
  let ready = []
  let running = 0
  let started = false
  let stepping = false
  let timer

  const textOf = input => `${input.id}:${JSON.stringify(input)}`
  async function push() {
    const batch = added
    added = []
    for (let from = 0; from < batch.length; from += CHUNK) {
      const part = batch.slice(from, from + CHUNK)
      redis.floorPush(...KEYS, ...part.map(({ text }) => text)).then(() => {
        for (const { resolve } of part) resolve()
      })
    }
  }
  async function step() {
    if (stepping) return
    clearTimeout(timer)
    stepping = true
    const finished = done.splice(0, CHUNK)
    const jobs = await redis.floorStep(...KEYS, started ? CLAIM : 0, ...finished)
    stepping = false
    ready = ready.concat(jobs)
    pump()
    if (started && ready.length === 0 && running === 0) {
      if (done.length > 0) step()
      else timer = setTimeout(step, IDLE_MS)
    }
  }
  function pump() {
    while (running < concurrency && ready.length > 0) {
      running++
      run(ready.pop())
    }
    if (started && ready.length === 0 && running < concurrency) step()
  }
  async function run(job) {
    const at = job.indexOf(':')
    await work(JSON.parse(job.slice(at + 1)))
    running--
    done.push(job.slice(0, at))
    pump()
  }
  const add = input =>
    new Promise(resolve => {
      if (added.length === 0) setImmediate(push)
      added.push({ text: textOf(input), resolve })
    })
  return {
    add,
    addMany: inputs => Promise.all(inputs.map(add)),
    async start() {
      started = true
      step()
    },
    async isDone() {
      const [waiting, active] = await Promise.all([redis.llen(KEYS[0]), redis.hlen(KEYS[1])])
      return waiting + active === 0
    },
    async close() {
      started = false
      clearTimeout(timer)
      await redis.quit()
    },
  }
}
