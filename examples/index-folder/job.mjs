// The job: one task a file, run by a TaskExecutor.
// Invariants: at most BACKLOG tasks are waiting or running, however large the folder; a file that fails is
// recorded and disturbs no other; after `signal` aborts nothing new starts and the executor is closed.

import { RetryPolicy, TaskExecutor } from '@wterminal/task'
import { indexFile } from './index-file.mjs'
import { walk } from './walk.mjs'

const BACKLOG = 1000
/**
 * Failures that pass by themselves: too many open files, a file in use, a disk or server that hiccups. Permission
 * errors belong here, as a file is often locked or without rights only while somebody is writing it.
 * A file that is gone, or whose name is impossible, stays so.
 */
const PASSING = new Set([
  ...['EMFILE', 'ENFILE', 'EAGAIN', 'EBUSY', 'ETXTBSY', 'EINTR'],
  ...['EACCES', 'EPERM', 'EIO', 'ESTALE', 'ETIMEDOUT', 'ENOMEM', 'UNKNOWN'],
])

/** The executor of the job. Its options are checked here, by the library. */
export function createExecutor({ concurrency, timeout }) {
  const retryIf = error => PASSING.has(error.cause?.code)
  const retry = RetryPolicy.exponentialBackoff(3, '100ms', { retryIf })
  return new TaskExecutor({ concurrency, timeout, retry, gracePeriod: '2s' })
}

/** Lets a producer run ahead of its tasks, but not further than `limit`. */
class Backlog {
  #pending = 0
  #wake = () => {}
  #limit

  constructor(limit) {
    this.#limit = limit
  }

  add(task) {
    this.#pending++
    task.finally(() => {
      this.#pending--
      this.#wake()
    })
  }

  /** Resolves when fewer than `count` are pending. */
  async below(count) {
    while (this.#pending >= count) await new Promise(resolve => (this.#wake = resolve))
  }

  room() {
    return this.below(this.#limit)
  }
}

/**
 * Indexes everything below `root` into `collected` and closes the executor. Rejects where `root` cannot be read.
 * When `signal` aborts, resolves with what was collected until then.
 */
export async function indexFolder(root, { executor, collected, all, signal }) {
  async function submit({ path, name }) {
    collected.found++
    let attempts = 0
    let startedAt = 0
    const elapsed = () => performance.now() - startedAt
    try {
      const measures = await executor.execute(
        ctx => {
          if (attempts === 0) startedAt = performance.now()
          attempts = ctx.attempt
          return indexFile(path, ctx.signal)
        },
        { signal },
      )
      collected.addFile(name, measures, attempts, elapsed())
    } catch (error) {
      if (!signal.aborted) collected.addFailure(name, error, attempts, elapsed())
    }
  }

  const backlog = new Backlog(BACKLOG)
  try {
    for await (const entry of walk(root, { all })) {
      if (signal.aborted) return
      await take(entry)
    }
    collected.walking = false
    await backlog.below(1)
  } finally {
    await executor.close()
  }

  async function take(entry) {
    if (entry.type === 'file') {
      backlog.add(submit(entry))
      await backlog.room()
    } else if (entry.type === 'unreadable') collected.addFailure(entry.name, entry.error, 1, 0)
    else if (entry.type === 'skipped') collected.skipped.folders++
    else if (entry.type === 'link') collected.skipped.links++
    else collected.skipped.special++
  }
}
