// The job: one task a file, kept in a store, run by a TaskExecutor.
// Invariants: at most BACKLOG files are handed over and not yet answered, however large the folder; a file has one
// task, whose id is made of its name, so that a run that was killed is gone on with by handing over the same files
// again; a file that fails is recorded and disturbs no other; after `signal` aborts nothing new starts and the
// executor is closed.

import { createHash } from 'node:crypto'
import { defineTask, RetryPolicy, TaskExecutor } from '@wterminal/task'
import { indexFile } from './index-file.mjs'
import { decodeName } from './text.mjs'
import { walk } from './walk.mjs'

const BACKLOG = 1000
/** Files that are handed over together, and so acknowledged by one write. */
const BATCH = 250
/**
 * Failures that pass by themselves: too many open files, a file in use, a disk or server that hiccups. Permission
 * errors belong here, as a file is often locked or without rights only while somebody is writing it.
 * A file that is gone, or whose name is impossible, stays so.
 */
const PASSING = new Set([
  ...['EMFILE', 'ENFILE', 'EAGAIN', 'EBUSY', 'ETXTBSY', 'EINTR'],
  ...['EACCES', 'EPERM', 'EIO', 'ESTALE', 'ETIMEDOUT', 'ENOMEM', 'UNKNOWN'],
])
const ALL = {}

/** The executor of the job. Its options are checked here, by the library. */
export function createExecutor({ concurrency, timeout, persistence }) {
  return new TaskExecutor({
    concurrency,
    timeout,
    persistence,
    // A power cut may take the last half second, which is then done again; a kill takes nothing.
    durability: 'relaxed',
    // The outcomes of an earlier run are part of the report.
    retention: { completed: ALL, failed: ALL, cancelled: ALL },
    // A large file may be under way at every one of many kills.
    maxLosses: 1_000_000,
    gracePeriod: '2s',
    metrics: true,
  })
}

/** The kind of task that indexes one file below `root`. */
function defineIndexFile(root) {
  return defineTask({
    name: 'index.file',
    retry: RetryPolicy.exponentialBackoff(3, '100ms', {
      retryIf: error => error.code === 'ERR_TASK_TIMEOUT' || PASSING.has(error.cause?.code),
    }),
    async handler(name, ctx) {
      const startedAt = performance.now()
      const measures = await indexFile(Buffer.concat([Buffer.from(`${root}/`), toBytes(name)]), ctx.signal)
      return { ...measures, attempts: ctx.attempt, ms: performance.now() - startedAt }
    },
  })
}

// A name as JSON: a string, or its bytes in base64 where they are not UTF-8.
const toInput = name => decodeName(name) ?? { base64: name.toString('base64') }
const toBytes = input =>
  typeof input === 'string' ? Buffer.from(input) : Buffer.from(input.base64, 'base64')
const idOf = name => createHash('sha256').update(name).digest('base64url')

/** Counts what is under way and lets a producer wait for it. */
class Backlog {
  #pending = 0
  #wake = () => {}
  #failure

  add(work) {
    this.#pending++
    const end = failure => {
      this.#failure ??= failure
      this.#pending--
      this.#wake()
    }
    work.then(() => end(), end)
  }

  /** Resolves when at most `count` are pending; rejects with what one of them failed with. */
  async atMost(count) {
    while (this.#pending > count && !this.#failure) await new Promise(resolve => (this.#wake = resolve))
    if (this.#failure) throw this.#failure
  }
}

/**
 * Indexes everything below `root` into `collected` and closes the executor. Rejects where `root` cannot be read.
 * When `signal` aborts, resolves with what was collected until then, without metrics. `onResume` is called before the first file when
 * there are tasks of an earlier run.
 */
export async function indexFolder(root, { executor, collected, all, signal, onResume }) {
  const task = defineIndexFile(root)
  const backlog = new Backlog()
  let batch = []
  try {
    await resume()
    for await (const entry of walk(root, { all })) {
      if (signal.aborted) return
      await take(entry)
    }
    await submit()
    collected.walking = false
    await backlog.atMost(0)
    collected.metrics = await executor.getMetrics()
  } catch (error) {
    // Once the executor is closed it refuses whatever is asked.
    if (!signal.aborted) throw error
  } finally {
    await executor.close()
  }

  async function resume() {
    executor.register(task)
    const { completed, failed, cancelled, ...open } = await executor.counts()
    const done = completed + failed + cancelled
    const tasks = Object.values(open).reduce((sum, count) => sum + count, done)
    collected.resumed = { tasks, done }
    if (tasks > 0) onResume?.(collected.resumed)
    signal.addEventListener('abort', () => executor.close(), { once: true })
    if (!signal.aborted) await executor.start()
  }

  async function take(entry) {
    if (entry.type === 'file') {
      collected.found++
      batch.push(entry.name)
      if (batch.length >= BATCH) await submit()
    } else if (entry.type === 'unreadable') {
      const { code, message } = entry.error
      collected.addFailure(entry.name, { code, message }, 1, 0)
    } else if (entry.type === 'skipped') collected.skipped.folders++
    else if (entry.type === 'link') collected.skipped.links++
    else collected.skipped.special++
  }

  async function submit() {
    const names = batch
    batch = []
    await backlog.atMost(BACKLOG - names.length)
    const handles = await Promise.all(
      names.map(name => executor.enqueue(task, toInput(name), { id: idOf(name) })),
    )
    for (const [at, handle] of handles.entries()) backlog.add(collect(names[at], handle))
  }

  async function collect(name, handle) {
    try {
      const { attempts, ms, ...measures } = await handle.result()
      collected.addFile(name, measures, attempts, ms)
    } catch (error) {
      if (signal.aborted) return
      const { attempt, startedAt, finishedAt } = await handle.status()
      collected.addFailure(name, failureOf(error), attempt, finishedAt - startedAt)
    }
  }
}

/** A store keeps the name and the message of what was thrown: Node's messages begin with the code of the system. */
function failureOf({ code, message }) {
  return { code: /^(E[A-Z0-9]+): /.exec(message)?.[1] ?? code, message }
}
