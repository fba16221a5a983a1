// The clock for tests as types.

import { TaskExecutor } from '../../index.js'
import { TestClock } from '../../lib/testing.js'
import { expectType, type Same } from './expect.mjs'

const clock = new TestClock({ now: new Date(), patience: '50ms' })
new TestClock({ now: '2030-01-01' })
new TestClock({ now: 0 })
new TaskExecutor({ clock })

expectType<Same<ReturnType<typeof clock.now>, number>>()
const moved: Promise<void>[] = [clock.advance('3d'), clock.runUntilIdle({ within: '1d' }), clock.settle()]
const slept: Promise<void> = clock.sleep(100)

// @ts-expect-error a date is no clock
new TaskExecutor({ clock: new Date() })
// @ts-expect-error it needs to know how far
clock.advance()
// @ts-expect-error a length of time is no date
new TestClock({ now: /(?:)/ })

void [moved, slept]
