// Named tasks: define how a kind of task behaves, put work in the queue, await results where they are wanted.
// Run it with: node examples/definitions.mjs

import { defineTask, RetryPolicy, TaskExecutor } from '@wterminal/task'

const resize = defineTask({
  name: 'image.resize',
  concurrency: 2,
  timeout: '5s',
  retry: RetryPolicy.exponentialBackoff(3, '10ms'),
  async handler({ file, width }, ctx) {
    if (file === 'flaky.png' && ctx.attempt === 1) throw new Error('connection reset')
    return `${file} at ${width} px`
  },
})
const greet = defineTask({ name: 'greet', handler: name => `hello, ${name}` })

const executor = new TaskExecutor({ tasks: [resize, greet] })
executor.on('failed', event => console.log(`failed: ${event.name}, will retry: ${event.willRetry}`))

// By definition or by name: a handle at once, the result when it is there.
const handle = await executor.enqueue(resize, { file: 'flaky.png', width: 640 })
console.log(`result: ${await handle.result()}`)
console.log(`status: ${(await handle.status()).state}`)
const greeting = await executor.enqueue('greet', 'Ada')
console.log(`by name: ${await greeting.result()}`)

// A whole batch is one call.
const inputs = ['a.png', 'b.png', 'c.png'].map(file => ({ file, width: 64 }))
const handles = await executor.enqueueMany(resize, inputs)
console.log(`batch: ${(await Promise.all(handles.map(each => each.result()))).join(', ')}`)

// At most one unfinished task has the key: the second caller gets the handle of the first.
const first = await executor.enqueue(greet, 'Grace', { key: 'greet:grace', delay: '20ms' })
const second = await executor.enqueue(greet, 'Grace', { key: 'greet:grace' })
console.log(`same task: ${first.id === second.id}, created: ${first.created}, ${second.created}`)
console.log(`later: ${await second.result()}`)

await executor.onIdle()
const { completed, waiting } = await executor.counts()
console.log(`completed: ${completed}, waiting: ${waiting}`)
await executor.close()
