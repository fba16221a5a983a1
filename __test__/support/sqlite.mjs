// Files of tasks for tests, and processes that work on them.

import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { open, until, within } from './executors.mjs'

const FIXTURE = fileURLToPath(new URL('../fixtures/sqlite-node.mjs', import.meta.url))

/** The path of a file of tasks that is not there yet, in a folder that goes with the test. */
export function fileFor(test) {
  const folder = mkdtempSync(join(tmpdir(), 'task-sqlite-'))
  // An executor that is still open may make files in it meanwhile.
  test.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 }))
  return join(folder, 'tasks.db')
}

/** An executor on this file, closed when the test ends. */
export function openOn(test, file, options = {}) {
  return open(test, { persistence: `sqlite:${file}`, ...options })
}

/** A process at work on this file: see the fixture. */
export async function startNode(test, file, options = {}) {
  const child = fork(FIXTURE, [file, JSON.stringify(options)])
  test.after(() => child.kill('SIGKILL'))
  const events = []
  const waiting = new Map()
  let number = 0
  child.on('message', message => {
    if (message.event !== undefined) return events.push(message)
    const { resolve, reject } = waiting.get(message.number)
    if (message.error === undefined) resolve(message.value)
    else reject(new Error(message.error))
  })
  const node = {
    pid: child.pid,
    events,
    call(call, ...args) {
      const answer = new Promise((resolve, reject) => waiting.set(++number, { resolve, reject }))
      child.send({ number, call, args })
      return within(answer, 20_000, `${call} of the other process`)
    },
    event: name => until(() => events.find(event => event.event === name), `${name} in the other process`),
    async kill() {
      const gone = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    },
  }
  await node.event('ready')
  return node
}
