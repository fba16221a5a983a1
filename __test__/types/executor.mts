// TaskExecutor: names and payloads are known from `tasks`, closures keep their result, events have their payload.

import type { EventEmitter } from 'node:events'
import {
  type AnyTaskEvent,
  defineTask,
  type Examination,
  type Json,
  type Metrics,
  type StandardSchema,
  TaskExecutor,
  type TaskHandle,
  type TaskInfo,
  type TaskState,
  type version,
} from '../../index.js'
import { expectType, type Same } from './expect.mjs'

declare const schema: StandardSchema<unknown, { to: string }>
const sendEmail = defineTask({
  name: 'email.send',
  input: schema,
  handler: async input => ({ id: input.to }),
})
const resize = defineTask({ name: 'img', handler: async (input: { w: number }) => input.w })
const tick = defineTask({ name: 'tick', handler() {} })
const maybe = defineTask({ name: 'maybe', handler: (input: string | undefined) => input?.length ?? 0 })

await using executor = new TaskExecutor({ tasks: [sendEmail, resize, tick, maybe], concurrency: 4 })
await executor.start()
expectType<Same<typeof version, string>>()

// enqueue, by definition and by name
const mail = await executor.enqueue(sendEmail, { to: 'a' }, { delay: '5m', key: 'a' })
expectType<Same<typeof mail, TaskHandle<{ id: string }>>>()
const id: string = (await mail.result({ signal: AbortSignal.timeout(10) })).id
const width: number = await (await executor.enqueue('img', { w: 1 })).result()
await executor.enqueue(tick)
await executor.enqueue('tick')
await executor.enqueue(tick, undefined, { priority: 3 })
await executor.enqueue(maybe)
await executor.enqueue('maybe', 'text')
const many: TaskHandle<number>[] = await executor.enqueueMany(resize, [{ w: 1 }, { w: 2 }], {
  after: [mail, id],
})
// @ts-expect-error wrong payload
await executor.enqueue('img', { w: 'x' })
// @ts-expect-error wrong payload
await executor.enqueue(resize, { w: 'x' })
// @ts-expect-error payload missing
await executor.enqueue('email.send')
// @ts-expect-error payload missing
await executor.enqueue(sendEmail)
// @ts-expect-error unknown name
await executor.enqueue('nope', 1)
// @ts-expect-error a task without input takes none
await executor.enqueue(tick, 5)
// @ts-expect-error bad duration
await executor.enqueue(tick, undefined, { delay: '5 minutes' })
// @ts-expect-error wrong payload in a batch
await executor.enqueueMany(resize, [{ w: 'x' }])

// execute
const response: Response = await executor.execute(() => fetch('x'), { signal: AbortSignal.timeout(1) })
const text: string = await executor.execute(async () => 'processed')
const plain: number = await executor.execute(ctx => ctx.attempt + ctx.maxAttempts)
const out: { id: string } = await executor.execute(sendEmail, { to: 'a' }, { priority: 1, timeout: 500 })
await executor.execute(tick)
const all: string[] = await executor.executeAll(
  Array.from({ length: 10 }, (_, i) => async () => `Result ${i}`),
)
// @ts-expect-error a closure has no name
await executor.execute(ctx => ctx.name)
// @ts-expect-error payload missing
await executor.execute(sendEmail)
// @ts-expect-error misspelt
await executor.execute(async () => 1, { priorty: 1 })

// Without `tasks` any name goes, and what it gives is not known.
const open = TaskExecutor.withRetry({ attempts: 3 })
const anything = await (await open.enqueue('whatever', { some: 'input' })).result()
anything.not.known
open.register(sendEmail, resize)
TaskExecutor.withPersistence('memory').unref().ref()
TaskExecutor.withPersistence('sqlite:tasks.db').unref()
// @ts-expect-error there is no such store
TaskExecutor.withPersistence('postgres://localhost')
// @ts-expect-error a name is text
await open.enqueue(5)

// Raw definitions work as those of defineTask do.
const raw = new TaskExecutor({ tasks: [{ name: 'double', handler: (n: number) => n * 2 }] })
const doubled: number = await (await raw.enqueue('double', 4)).result()
// @ts-expect-error wrong payload
await raw.enqueue('double', 'four')

// Seeing
const info: TaskInfo | undefined = await executor.get(id)
if (info?.state === 'failed') expectType<Same<typeof info.input, Json>>()
for await (const one of executor.list({ state: ['failed', 'cancelled'], search: 'a' })) one.errors[0]?.code
const counts: Record<TaskState, number> = await executor.counts()
const retried: number = await executor.retryAll({ state: 'failed' })
// @ts-expect-error a call that changes tasks needs a filter
await executor.cancelAll()
// @ts-expect-error no such state
executor.list({ state: 'done' })

// Events
executor.on('failed', event => {
  expectType<Same<typeof event.willRetry, boolean>>()
  if (event.error.code === 'ERR_TASK_TIMEOUT') event.retryAt?.getTime()
})
executor.once('idle', () => {})
executor.on('clockJump', event => event.by.toFixed())
executor.on('loopStalled', event => event.blockedFor + event.names.join().length + (event.task?.attempt ?? 0))

// metrics, log and doctor
await executor.enableMetrics()
const metrics = await executor.getMetrics()
expectType<Same<typeof metrics, Metrics>>()
const waiting: number = metrics.current.waiting + metrics.totals.completed + metrics.throughput.last5m
const slowest: number | undefined = metrics.perTask.img?.duration.p99
const page: string = await executor.metricsText()
const { warnings }: Examination = await executor.doctor()
new TaskExecutor({ metrics: true, logger: ({ level, fields }) => console.log(level, fields.tasks) })
// @ts-expect-error: a record has no such level
new TaskExecutor({ logger: (record: { level: 'loud' }) => record })
console.log(waiting, slowest, page, warnings)
const emitter: EventEmitter = executor as unknown as EventEmitter
for await (const event of executor.events()) {
  expectType<Same<typeof event, AnyTaskEvent>>()
  if (event.type === 'completed') event.duration.toFixed()
  // @ts-expect-error only a completed task has a duration
  if (event.type === 'running') event.duration
}

await executor.close({ gracePeriod: 0 })

export { all, counts, doubled, emitter, many, out, plain, response, retried, text, width }
