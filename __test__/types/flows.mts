// Workflows, and what a run notes down: the types of what is given and of what comes back.

import {
  defineTask,
  type FlowInfo,
  type Json,
  type LogLine,
  TaskExecutor,
  type TaskFlow,
  type TaskHandle,
} from '../../index.js'
import { expectType, type Same } from './expect.mjs'

const compile = defineTask({ name: 'compile', handler: async (file: string) => file.length })
const clean = defineTask({ name: 'clean', handler() {} })
const link = defineTask({
  name: 'link',
  async handler(_input: undefined, ctx) {
    const parts = await ctx.results()
    expectType<Same<typeof parts, unknown[]>>()
    const sum = await ctx.step('sum', () => parts.length)
    expectType<Same<typeof sum, number>>()
    const later = await ctx.step('later', async () => ({ a: 'x' }))
    expectType<Same<typeof later, { a: string }>>()
    const id: string = ctx.spawn(compile, 'a.c', { priority: 1 })
    ctx.spawn(clean)
    ctx.spawn('by name', { any: id })
    // @ts-expect-error wrong payload
    ctx.spawn(compile, 5)
    // @ts-expect-error payload missing
    ctx.spawn(compile)
    ctx.progress(0.5)
    ctx.progress({ done: 1 })
    // @ts-expect-error a function is no progress
    ctx.progress(() => 1)
    ctx.log('linked', { parts: 2 }, 'debug')
    // @ts-expect-error not a level
    ctx.log('linked', undefined, 'loud')
    return sum
  },
})

await using executor = new TaskExecutor({ tasks: [compile, link] })
const flow = await executor.enqueueFlow(
  [
    { ref: 'a', task: compile, input: 'a.c', options: { priority: 2 } },
    { ref: 'app', task: 'link', after: ['a'] },
  ],
  { id: 'build' },
)
expectType<Same<typeof flow, TaskFlow>>()
const outputs: Record<string, unknown> = await flow.results({ signal: AbortSignal.timeout(1) })
const info: FlowInfo = await flow.settled()
const share: number = info.ended / info.total + info.counts.completed
const handle: TaskHandle | undefined = flow.handles.a
const lines: readonly LogLine[] | undefined = await handle?.logs()
for await (const value of (await executor.enqueue(compile, 'b.c')).progress())
  expectType<Same<typeof value, Json>>()
const many: TaskHandle<number>[] = await executor.enqueueMany(compile, ['a', 'b'], (input, at) => ({
  key: input,
  priority: at,
}))
// @ts-expect-error a ref is missing
await executor.enqueueFlow([{ task: compile }])
for await (const { progress, flow: id, after } of executor.list({ flow: flow.id }))
  [progress, id, after, share]

export { lines, many, outputs }
