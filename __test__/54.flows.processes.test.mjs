// Flows and keys over several processes: workers are killed at random instants, and every task of a flow still runs after
// those that it waits for and is released once; producers race for keys. SOAK=1 plays the long form.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { defineTask } from '../index.js'
import { collect, open, within } from './support/executors.mjs'
import { STORES } from './support/stores.mjs'

const ROUNDS = process.env.SOAK === '1' ? 20 : 1
const WORKERS = 3
const fixture = name => fileURLToPath(new URL(`./fixtures/${name}.mjs`, import.meta.url))
const numbers = count => Array.from({ length: count }, (_, at) => at)

function start(t, name, ...args) {
  const child = fork(fixture(name), args.map(String))
  t.after(() => child.kill('SIGKILL'))
  return child
}

/** One task, 20 that wait for it, 20 for each of those, one that waits for all; and what that one comes to. */
function tree() {
  const entry = (ref, n, after, spawns) => ({ ref, task: 'add', input: { n, spawns }, after })
  const twigs = numbers(20).map(n => entry(`twig-${n}`, n, ['root']))
  const leaves = numbers(400).map(n => entry(`leaf-${n}`, 1_000 * n, [`twig-${n % 20}`], true))
  const top = entry(
    'top',
    7,
    leaves.map(leaf => leaf.ref),
  )
  const sum = leaves.reduce((sum, leaf) => sum + leaf.input.n + 5 + ((leaf.input.n / 1_000) % 20), 7)
  return { tasks: [top, ...leaves, ...twigs, entry('root', 5, [])], sum, spawned: 400 }
}

/** A thousand tasks, and one that waits for all of them. */
function fan() {
  const entry = (ref, n, after = []) => ({ ref, task: 'add', input: { n }, after })
  const parts = numbers(1_000).map(n => entry(`part-${n}`, n))
  return {
    tasks: [
      ...parts,
      entry(
        'top',
        1,
        parts.map(part => part.ref),
      ),
    ],
    sum: 499_501,
    spawned: 0,
  }
}

/** What the promises say about a flow that has ended. */
function judge({ tasks, edges, counts }, { sum, spawned, tasks: given }) {
  assert.equal(counts.completed, given.length + spawned, JSON.stringify(counts))
  const byId = new Map(tasks.map(task => [task.id, task]))
  for (const [blocker, task] of edges) {
    const [before, after] = [byId.get(blocker), byId.get(task)]
    assert.ok(before.finishedAt <= after.startedAt, `${task} has started before ${blocker} had ended`)
  }
  const outputs = tasks.filter(
    task => task.after?.length === Math.max(...tasks.map(t => t.after?.length ?? 0)),
  )
  assert.deepEqual(
    outputs.map(task => task.output),
    [sum],
    'the sum of a run without faults',
  )
  assert.equal(new Set(tasks.filter(task => task.name === 'tally').map(task => task.id)).size, spawned)
}

for (const [store, addressFor] of STORES.filter(([name]) => name !== 'memory')) {
  test(`workers are killed while they work on flows (${store})`, async t => {
    const persistence = await addressFor(t)
    const executor = open(t, { persistence, queues: [] })
    const workers = numbers(WORKERS).map(() => start(t, 'flow-worker', persistence))
    await Promise.all(workers.map(worker => within(once(worker, 'message'), 20_000, 'a worker')))
    let losses = 0
    for (const round of numbers(ROUNDS)) {
      const plays = [tree(), fan()]
      const flows = []
      for (const [at, play] of plays.entries())
        flows.push(await executor.enqueueFlow(play.tasks, { id: `flow-${round}-${at}` }))
      const settled = Promise.all(flows.map(flow => flow.settled()))
      let over = false
      const ended = settled.finally(() => {
        over = true
      })
      while (!over) {
        await sleep(50 + Math.random() * 150)
        if (over) break
        const victim = Math.floor(Math.random() * WORKERS)
        const gone = once(workers[victim], 'exit')
        workers[victim].kill('SIGKILL')
        await gone
        workers[victim] = start(t, 'flow-worker', persistence)
        await Promise.race([once(workers[victim], 'message'), settled])
      }
      const views = await within(ended, 60_000, 'the flows')
      for (const [at, view] of views.entries()) {
        judge(view, plays[at])
        losses += view.tasks.reduce((sum, task) => sum + task.losses, 0)
      }
    }
    assert.ok(losses > 0, 'the kills met nobody at work')
  })

  test(`8 processes race for 10 keys (${store})`, async t => {
    const persistence = await addressFor(t)
    const running = new Map()
    const hold = defineTask({
      name: 'hold',
      async handler(key) {
        assert.equal(running.get(key) ?? 0, 0, `${key} runs twice`)
        running.set(key, 1)
        await sleep(1)
        running.set(key, 0)
      },
    })
    const executor = open(t, { persistence, tasks: [hold], concurrency: 20 })
    await executor.start()
    const racers = numbers(8).map(() => start(t, 'key-racer', persistence, 10, 20 * ROUNDS))
    let over = false
    const ends = Promise.all(racers.map(async racer => (await once(racer, 'message'))[0])).finally(() => {
      over = true
    })
    let looks = 0
    while (!over) {
      const state = ['waiting', 'running', 'scheduled', 'blocked']
      const unfinished = await collect(executor.list({ state, limit: 100 }))
      const keys = unfinished.map(task => task.input)
      // A page is one look; of a list that takes several, a task may be seen before and its successor after its end.
      if (unfinished.length < 100) assert.equal(new Set(keys).size, keys.length, `unfinished: ${keys}`)
      looks += 1
    }
    const said = await within(ends, 60_000, 'the racers')
    await executor.onIdle()
    const made = said.reduce((sum, one) => sum + one.made, 0)
    const { completed, failed } = await executor.counts()
    assert.deepEqual([completed, failed], [made, 0])
    assert.ok(looks > 0 && made >= 10 && made < 8 * 10 * 20 * ROUNDS, `${made} tasks, ${looks} looks`)
  })
}
