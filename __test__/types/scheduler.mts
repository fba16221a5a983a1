// TaskScheduler: what a schedule can be, and what its calls give.

import {
  defineTask,
  type ScheduleInfo,
  type ScheduleSlot,
  type TaskExecutor,
  type TaskHandle,
  TaskScheduler,
} from '../../index.js'
import { expectType, type Same } from './expect.mjs'

declare const executor: TaskExecutor

const resize = defineTask({ name: 'img', handler: async (input: { w: number }) => input.w })
const tick = defineTask({
  name: 'tick',
  schedule: { cron: '0 3 * * *', timeZone: 'Europe/Berlin', catchUp: 'all', overlap: 'queue', limit: 3 },
  handler(_, ctx) {
    expectType<Same<typeof ctx.schedule, ScheduleSlot | undefined>>()
    return ctx.schedule?.slot.getTime() ?? 0
  },
})

await using scheduler = new TaskScheduler(executor)
new TaskScheduler()
const info: ScheduleInfo = await scheduler.schedule(tick)
await scheduler.schedule(tick, '0 * * * *')
await scheduler.schedule(tick, { every: '5m', jitter: 100, startAt: new Date(), endAt: new Date() })
await scheduler.schedule(resize, '@daily', { w: 1 })
await scheduler.schedule('by.name', '@daily')
// @ts-expect-error wrong input
await scheduler.schedule(resize, '@daily', { w: 'x' })
// @ts-expect-error no such option
await scheduler.schedule(resize, { crom: '@daily' }, { w: 1 })
// @ts-expect-error no such overlap
await scheduler.schedule(tick, { cron: '@daily', overlap: 'wait' })
// @ts-expect-error no executor
new TaskScheduler({})
expectType<Same<typeof info.nextRun, Date | null>>()
const removed: boolean = await scheduler.unschedule('tick')
const handle: TaskHandle = await scheduler.trigger('tick')
const dates: Date[] = TaskScheduler.preview('@daily', 3, new Date())
const next: Date | null = TaskScheduler.next({ every: 1000 })
const previous: Date | null = TaskScheduler.previous('@daily')
const version: string = TaskScheduler.timeZoneData

export { dates, handle, next, previous, removed, version }
