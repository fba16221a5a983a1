// Tasks at dates: what a schedule is, what its runs are told, and the rule where clocks are moved.
// Run it with: node examples/schedule.mjs

import { defineTask, TaskScheduler } from '@wterminal/task'

const cleanup = defineTask({
  name: 'Hourly Cleanup',
  async handler(folder, ctx) {
    return `${folder} is clean, for ${ctx.schedule.key}`
  },
})

// Without an executor of its own it makes one in memory.
const scheduler = new TaskScheduler()

const info = await scheduler.schedule(cleanup, '0 * * * *', '/tmp')
console.log('on the hour:', info.nextRun.getUTCMinutes() === 0)

// A run beside the slots, to see that it works.
const run = await scheduler.trigger('Hourly Cleanup')
console.log('now:', await run.result())

// Paused, it does not fire; what passes meanwhile is not made up for.
await scheduler.pause('Hourly Cleanup')
const [paused] = await scheduler.list()
console.log('paused:', paused.paused, paused.nextRun)
await scheduler.resume('Hourly Cleanup')

// A schedule of another kind, in the same store: it does not drift, and ends after three runs.
const seen = []
const tick = defineTask({
  name: 'tick',
  handler: async (_, ctx) => seen.push(ctx.schedule.slot.getTime()),
})
await scheduler.schedule(tick, { every: '100ms', limit: 3, overlap: 'queue', catchUp: 'all' })
while (seen.length < 3) await new Promise(resolve => setTimeout(resolve, 10))
console.log('apart:', seen[1] - seen[0], seen[2] - seen[1])

// Pure functions tell the slots. On 8 March 2026 clocks in New York go from 2:00 to 3:00.
const daily = { cron: '30 2 * * *', timeZone: 'America/New_York' }
const march = TaskScheduler.preview(daily, 3, new Date('2026-03-07T00:00:00Z'))
console.log('daily at 2:30:', march.map(date => date.toISOString().slice(5, 16)).join(', '))

try {
  TaskScheduler.preview('0 25 * * *')
} catch (error) {
  console.log(error.code, error.message)
}
await scheduler.close()
