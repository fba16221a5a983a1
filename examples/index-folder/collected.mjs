// What the run has found so far: files, failures, and the sums that the summary shows.

const SLOWEST = 10

/** Grows with every file; `kinds()` and `totals()` may be read at any time. */
export class Collected {
  files = []
  failures = []
  /** The ten files that took longest, slowest first. */
  slowest = []
  found = 0
  /** False when `found` grows no more. */
  walking = true
  bytes = 0
  /** Tasks that an earlier run has left, and how many of them it had ended. */
  resumed = { tasks: 0, done: 0 }
  /** What the executor says of its work; undefined where the run was interrupted. */
  metrics = undefined
  skipped = { folders: 0, links: 0, special: 0 }

  addFile(name, measures, attempts, ms) {
    this.files.push({ name, ...measures, attempts, ms })
    this.bytes += measures.bytes
    this.#rank({ name, bytes: measures.bytes, attempts, ms })
  }

  addFailure(name, error, attempts, ms) {
    this.failures.push({ name, code: error.code ?? error.name, reason: reasonOf(error), attempts })
    // A folder that cannot be listed took no time of its own.
    if (ms > 0) this.#rank({ name, bytes: null, attempts, ms })
  }

  #rank(file) {
    if (this.slowest.length === SLOWEST && this.slowest[SLOWEST - 1].ms >= file.ms) return
    const at = this.slowest.findIndex(other => other.ms < file.ms)
    this.slowest.splice(at < 0 ? this.slowest.length : at, 0, file)
    this.slowest.length = Math.min(this.slowest.length, SLOWEST)
  }

  /** One row a kind, the largest first. */
  kinds() {
    const rows = new Map()
    for (const file of this.files) {
      if (!rows.has(file.kind))
        rows.set(file.kind, { kind: file.kind, files: 0, bytes: 0, gzipBytes: 0, lines: 0 })
      const row = rows.get(file.kind)
      row.files++
      row.bytes += file.bytes
      row.gzipBytes += file.gzipBytes
      row.lines += file.lines
    }
    return [...rows.values()].sort(
      (one, other) => other.bytes - one.bytes || (one.kind < other.kind ? -1 : 1),
    )
  }

  totals() {
    const sums = { files: this.files.length, bytes: 0, gzipBytes: 0, lines: 0, failed: this.failures.length }
    for (const { bytes, gzipBytes, lines } of this.files) {
      sums.bytes += bytes
      sums.gzipBytes += gzipBytes
      sums.lines += lines
    }
    return sums
  }
}

/** Node's messages end in the call and the path, which stand beside it anyway: `EACCES: permission denied`. */
function reasonOf(error) {
  return String(error.message).replace(/, \w+( '.*)?$/s, '')
}
