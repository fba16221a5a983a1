// defineTask: what is inferred from a schema and from a handler, and what a definition cannot have.

import {
  defineTask,
  type InputOf,
  type OutputOf,
  RetryPolicy,
  type StandardSchema,
  TaskError,
} from '../../index.js'
import { expectType, type Same } from './expect.mjs'

declare const schema: StandardSchema<unknown, { to: string }>

const sendEmail = defineTask({
  name: 'email.send',
  description: 'Sends one mail',
  input: schema,
  queue: 'mail',
  priority: 5,
  timeout: '30s',
  retry: RetryPolicy.exponentialBackoff(5, '1s', { factor: 3, jitter: 'full' }),
  concurrency: { perNode: 4, perGroup: 1 },
  async handler(input, ctx) {
    expectType<Same<typeof input, { to: string }>>()
    expectType<Same<typeof ctx.attempt, number>>()
    expectType<Same<typeof ctx.name, string>>()
    if (ctx.metadata.dry === 'yes') ctx.snooze('5m')
    if (ctx.cancelled || ctx.signal.aborted) throw TaskError.fatal('stopped', { cause: ctx.signal.reason })
    return { id: input.to.toUpperCase() }
  },
})
expectType<Same<InputOf<typeof sendEmail>, { to: string }>>()
expectType<Same<OutputOf<typeof sendEmail>, { id: string }>>()
expectType<Same<typeof sendEmail.name, 'email.send'>>()

const resize = defineTask({
  name: 'img',
  retry: { attempts: 2 },
  handler: async (input: { w: number }) => input.w,
})
expectType<Same<InputOf<typeof resize>, { w: number }>>()
expectType<Same<OutputOf<typeof resize>, number>>()

const tick = defineTask({ name: 'tick', handler() {} })
expectType<Same<InputOf<typeof tick>, void>>()
expectType<Same<OutputOf<typeof tick>, void>>()

const elsewhere = defineTask<'report', { day: string }, number>({ name: 'report' })
expectType<Same<OutputOf<typeof elsewhere>, number>>()

// @ts-expect-error a name is missing
defineTask({ handler() {} })
// @ts-expect-error misspelt
defineTask({ name: 'a', handlr() {} })
// @ts-expect-error no such unit
defineTask({ name: 'a', timeout: '5 minutes' })
// @ts-expect-error null is not a timeout
defineTask({ name: 'a', timeout: null })
// @ts-expect-error a policy, not a count
defineTask({ name: 'a', retry: 3 })
// @ts-expect-error an object that only looks like a policy
defineTask({ name: 'a', retry: { max: '1h' } })
// @ts-expect-error the handler does not fit the schema
defineTask({ name: 'a', input: schema, handler: (input: { w: number }) => input.w })
// @ts-expect-error a definition does not change
sendEmail.queue = 'other'
// @ts-expect-error not part of this version
defineTask({ name: 'a', rateLimit: { limit: 1 } })
