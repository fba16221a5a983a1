// Handlers in threads: as many at once as there are threads, and under the same limits, timeouts and retries as any
// other. What a handler does to its thread is a failed attempt, and the next one finds a new thread.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { threadId } from 'node:worker_threads'
import { defineTask, TaskExecutor } from '../index.js'
import { run } from './support/child.mjs'
import { within } from './support/executors.mjs'

const module = new URL('./fixtures/threads/handlers.mjs', import.meta.url)
const does = defineTask({ name: 'does', isolation: 'thread', module })
const words = (count = 2) => new SharedArrayBuffer(count * 4)

/** Resolves when a thread has raised the first word to this. */
async function reached(shared, wanted) {
  const word = new Int32Array(shared)
  for (let now = Atomics.load(word, 0); now < wanted; now = Atomics.load(word, 0)) {
    const { async, value } = Atomics.waitAsync?.(word, 0, now) ?? {}
    await (async ? value : new Promise(resolve => setImmediate(resolve)))
  }
}

/** Lets the handlers go that hold their threads. */
function release(shared) {
  Atomics.store(new Int32Array(shared), 1, 1)
  Atomics.notify(new Int32Array(shared), 1)
}

async function using(options, steps) {
  const executor = new TaskExecutor({ threads: 2, ...options })
  try {
    await within(steps(executor))
  } finally {
    await within(executor.close({ gracePeriod: 0 }))
  }
}

const fails = (promise, message, more = {}) =>
  assert.rejects(promise, error => {
    assert.match(error.message, message)
    for (const [key, value] of Object.entries(more)) assert.equal(error[key], value, key)
    return true
  })

test('as many handlers run at once as there are threads', () =>
  using({ concurrency: 4, threads: 4 }, async executor => {
    const input = { does: 'meet', shared: words(), wanted: 4 }
    const threads = await Promise.all([1, 2, 3, 4].map(() => executor.execute(does, input)))
    assert.equal(new Set(threads).size, 4)
    assert.ok(!threads.includes(threadId))
  }))

test('and no more: the others begin when a thread is free', () =>
  using({ concurrency: 8, threads: 2 }, async executor => {
    const shared = words()
    const all = Array.from({ length: 8 }, () => executor.execute(does, { does: 'hold', shared }))
    await reached(shared, 2)
    // The loop has turned meanwhile, and nobody else has come.
    for (let turns = 0; turns < 20; turns += 1) await new Promise(resolve => setImmediate(resolve))
    assert.equal(Atomics.load(new Int32Array(shared), 0), 2)
    release(shared)
    assert.equal(new Set(await Promise.all(all)).size, 2)
  }))

test('limits of a kind hold for threads too', () =>
  using({ concurrency: 4, threads: 4 }, async executor => {
    const one = defineTask({ name: 'one', isolation: 'thread', module, concurrency: 1 })
    const shared = words()
    const all = [1, 2, 3].map(() => executor.execute(one, { does: 'hold', shared }))
    await reached(shared, 1)
    for (let turns = 0; turns < 20; turns += 1) await new Promise(resolve => setImmediate(resolve))
    assert.equal(Atomics.load(new Int32Array(shared), 0), 1)
    release(shared)
    await Promise.all(all)
  }))

test('what waits behind a task that goes on and on is taken over by another thread', () =>
  using({ concurrency: 64, threads: 2 }, async executor => {
    // So many that end at once that each thread is given several ahead.
    const quick = value => executor.execute(does, { does: 'double', value })
    await Promise.all(Array.from({ length: 500 }, (_, at) => quick(at)))
    const shared = words()
    const held = executor.execute(does, { does: 'hold', shared })
    const outputs = await Promise.all(Array.from({ length: 200 }, (_, at) => quick(at)))
    assert.deepEqual(outputs.slice(0, 3), [0, 2, 4])
    release(shared)
    await held
  }))

test('a handler is told about its run, also of a task that was enqueued', () =>
  using({}, async executor => {
    const handle = await executor.enqueue(does, { does: 'about' }, { metadata: { tenant: 'a' } })
    assert.deepEqual(await handle.result(), {
      id: handle.id,
      attempt: 1,
      maxAttempts: 1,
      name: 'does',
      metadata: { tenant: 'a' },
    })
    const here = await executor.execute(does, { does: 'about' })
    assert.deepEqual([here.attempt, here.name, here.metadata], [1, 'does', {}])
  }))

describe('what a handler throws', () => {
  test('an error keeps its class, code, message and stack', () =>
    using({}, async executor => {
      const error = await executor.execute(does, { does: 'range' }).catch(reason => reason)
      assert.ok(error instanceof RangeError)
      assert.deepEqual([error.message, error.code], ['out of range', 'ERR_OWN'])
      assert.match(error.stack, /handlers\.mjs/)
    }))

  test('a TaskError decides about retries as anywhere', () =>
    using({ retry: { attempts: 5, base: 1 } }, async executor => {
      await fails(executor.execute(does, { does: 'fatal' }), /^never again$/, { retryable: false })
      assert.equal(await executor.execute(does, { does: 'flaky' }), 'attempt 3')
      const handle = await executor.enqueue(does, { does: 'flaky' })
      assert.equal(await handle.result(), 'attempt 3')
    }))

  test('a value that is no error', () =>
    using({}, executor => assert.rejects(executor.execute(does, { does: 'value' }), { odd: true })))

  test('a snooze comes again and costs no attempt', () =>
    using({}, async executor => {
      assert.equal(await executor.execute(does, { does: 'snooze', shared: words() }), 1)
    }))
})

describe('what cannot be sent', () => {
  test('an input', () =>
    using({}, async executor => {
      const bad = executor.execute(does, { does: 'double', value: () => {} })
      const good = executor.execute(does, { does: 'double', value: 2 })
      await fails(bad, /the input of "does" cannot be sent/, { code: 'ERR_TASK_SERIALIZE' })
      assert.equal(await good, 4)
    }))

  test('a result', () =>
    using({}, executor =>
      fails(executor.execute(does, { does: 'unclonable' }), /the result cannot be sent/, {
        code: 'ERR_TASK_SERIALIZE',
        retryable: false,
      }),
    ))
})

describe('a handler that does not end', () => {
  test('is ended with its thread when its time is over, and the next attempt has a new one', () =>
    using({ threads: 1, concurrency: 1 }, async executor => {
      const call = { timeout: 300, retry: { attempts: 2, base: 1 } }
      assert.equal(await executor.execute(does, { does: 'hangOnce', shared: words() }, call), 'second')
    }))

  test('fails as ERR_TASK_TIMEOUT, and its thread does other work afterwards', () =>
    using({ threads: 1, concurrency: 1 }, async executor => {
      await fails(executor.execute(does, { does: 'hang' }, { timeout: 50 }), /within 50 ms/, {
        code: 'ERR_TASK_TIMEOUT',
      })
      assert.equal(await executor.execute(does, { does: 'double', value: 1 }), 2)
    }))

  test('of a task that was enqueued', () =>
    using({ threads: 1, concurrency: 1 }, async executor => {
      const handle = await executor.enqueue(does, { does: 'hang' }, { timeout: 50 })
      await fails(handle.result(), /50 ms/, { code: 'ERR_TASK_TIMEOUT' })
      assert.equal(await (await executor.enqueue(does, { does: 'double', value: 1 })).result(), 2)
    }))

  test('hears that it is cancelled while it blocks its thread', () =>
    using({}, async executor => {
      const shared = words()
      const controller = new AbortController()
      const running = executor.execute(
        does,
        { does: 'untilCancelled', shared },
        { signal: controller.signal },
      )
      await reached(shared, 1)
      controller.abort(new Error('enough'))
      await assert.rejects(running, { message: 'enough' })
      const word = new Int32Array(shared)
      while (Atomics.load(word, 1) === 0) await new Promise(resolve => setImmediate(resolve))
    }))

  test('has a signal that aborts', () =>
    using({}, async executor => {
      const handle = await executor.enqueue(does, { does: 'untilAborted' })
      while ((await handle.status()).state !== 'running') await new Promise(resolve => setImmediate(resolve))
      await handle.cancel()
      await fails(handle.result(), /cancel/, { code: 'ERR_TASK_CANCELLED' })
    }))
})

describe('a thread that ends costs the attempt that it ran', () => {
  const crashes = [
    ['by process.exit', 'exit', /^the thread that ran it ended with code 3$/],
    ['by an error that nobody catches', 'stray', /^the thread that ran it ended: nobody waits for this$/],
  ]
  for (const [title, how, message] of crashes) {
    test(title, () =>
      using({ threads: 1, concurrency: 4 }, async executor => {
        const others = [1, 2, 3].map(value => executor.execute(does, { does: 'double', value }))
        await fails(executor.execute(does, { does: how }), message, {
          code: 'ERR_TASK_FAILED',
          retryable: true,
        })
        assert.deepEqual(await Promise.all(others), [2, 4, 6])
        assert.equal(await executor.execute(does, { does: 'double', value: 4 }), 8)
      }),
    )
  }

  test('by more memory than it may have', () =>
    using({ threads: { count: 1, resourceLimits: { maxOldGenerationSizeMb: 16 } } }, async executor => {
      await fails(executor.execute(does, { does: 'fill' }), /ended: .*memory/, { code: 'ERR_TASK_FAILED' })
      assert.equal(await executor.execute(does, { does: 'double', value: 4 }), 8)
    }))
})

describe('modules', () => {
  const task = name => {
    const url = new URL(`./fixtures/threads/${name}`, import.meta.url)
    return defineTask({ name, isolation: 'thread', module: fileURLToPath(url) })
  }
  test('CommonJS, by its path', () =>
    using({}, async executor => assert.equal(await executor.execute(task('common.cjs'), 3), 9)))

  test('none, and one without a function', () =>
    using({}, async executor => {
      await fails(executor.execute(task('missing.mjs')), /Cannot find module/, {
        code: 'ERR_MODULE_NOT_FOUND',
      })
      await fails(
        executor.execute(task('no-function.mjs')),
        /default export of .* must be a function; got "text"/,
        {
          code: 'ERR_OPTION',
        },
      )
    }))

  test('TypeScript where this Node reads it, and an error that names the file where not', () =>
    using({}, async executor => {
      const outcome = executor.execute(task('typed.mts'), 3)
      if (process.features.typescript) assert.equal(await outcome, 9)
      else await fails(outcome, /typed\.mts/, { code: 'ERR_UNKNOWN_FILE_EXTENSION' })
    }))
})

test('close() ends the threads, whatever they do', async () => {
  const executor = new TaskExecutor({ threads: 2, concurrency: 2 })
  const shared = words()
  const all = [1, 2].map(() => executor.execute(does, { does: 'hold', shared }))
  for (const one of all) one.catch(() => {})
  await within(reached(shared, 2))
  await within(executor.close({ gracePeriod: 10 }))
  for (const one of all) await assert.rejects(one, { code: 'ERR_EXECUTOR_CLOSED' })
})

test('threads keep a process only while they work', async () => {
  const { code, lines, stderr } = await run('threads/process.mjs')
  assert.deepEqual([code, lines, stderr], [0, ['worked', 'done'], ''])
})

describe('definitions', () => {
  const wrong = [
    [{ isolation: 'thread' }, /"isolation" is "thread", so "module" must name the module/],
    [{ isolation: 'thread', module, handler() {} }, /"handler" cannot be sent to a thread/],
    [{ module }, /"module" is only for "isolation": "thread"/],
    [
      { isolation: 'threads', module },
      /"isolation" must be one of "inline", "thread"; .*did you mean "thread"/,
    ],
    [
      { isolation: 'thread', module: './here.mjs' },
      /"module" must be a file: URL or an absolute path; got "\.\/here/,
    ],
    [
      { isolation: 'thread', module: new URL('https://example.org/a.mjs') },
      /must be a file: URL .*example\.org/,
    ],
  ]
  for (const [definition, message] of wrong) {
    test(message.source, () => {
      assert.throws(() => defineTask({ name: 'a', ...definition }), { code: 'ERR_OPTION', message })
    })
  }

  test('two of one name are one kind only with the same module', () =>
    using({}, async executor => {
      executor.register(does)
      executor.register(defineTask({ name: 'does', isolation: 'thread', module }))
      const other = new URL('./fixtures/threads/common.cjs', import.meta.url)
      assert.throws(() => executor.register({ name: 'does', isolation: 'thread', module: other }), {
        code: 'ERR_OPTION',
      })
    }))

  test('options of threads', () => {
    assert.throws(() => new TaskExecutor({ threads: 0 }), /"threads" must be a whole number from 1 to 1024/)
    assert.throws(() => new TaskExecutor({ threads: { counts: 1 } }), /did you mean "threads.count"/)
  })
})
