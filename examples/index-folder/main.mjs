// The program: `node examples/index-folder/main.mjs [folder] [options]`, or `npm start -- [folder] [options]`.

import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Collected } from './collected.mjs'
import { createExecutor, indexFolder } from './job.mjs'
import { HELP, readOptions, UsageError } from './options.mjs'
import { Progress } from './progress.mjs'
import { reportJson, resumedLine, summarise } from './report.mjs'
import { RunState } from './state.mjs'
import { printable } from './text.mjs'

const EXIT_CODE = { SIGINT: 130, SIGTERM: 143 }

async function requireFolder(path) {
  const found = await stat(path)
  if (!found.isDirectory()) throw new UsageError(`${quoted(path)} is not a folder`)
}

const quoted = path => `"${printable(Buffer.from(path))}"`

/** One line for what went wrong with the folder or an option; anything else is a bug and keeps its stack. */
function explain(error, folder) {
  if (error instanceof UsageError || error.code === 'ERR_OPTION') return error.message
  if (error.code === 'ENOENT') return `there is no folder ${quoted(folder)}`
  if (error.syscall) return `the folder ${quoted(folder)} cannot be read (${error.code})`
  return error.stack
}

/** Aborts at the first signal; the second ends the process at once. */
function abortOnSignals(controller) {
  let stoppedBy
  for (const name of Object.keys(EXIT_CODE)) {
    process.on(name, () => {
      if (stoppedBy) process.exit(EXIT_CODE[name])
      stoppedBy = name
      controller.abort()
    })
  }
  return () => stoppedBy
}

function startProgress(collected, stream) {
  const progress = new Progress(stream, () => {
    const { files, failures, found, walking, bytes } = collected
    const name = files.length > 0 ? printable(files[files.length - 1].name) : ''
    return { done: files.length + failures.length, found, walking, bytes, failed: failures.length, name }
  })
  progress.start()
  return progress
}

/** Writes with regard to a slow reader. */
async function write(stream, pieces) {
  for (const piece of pieces) if (!stream.write(piece)) await once(stream, 'drain')
}

async function main(options) {
  if (options.help) return write(process.stdout, [HELP])
  const root = resolve(options.folder)
  await requireFolder(root)
  // First with no store: a wrong option must leave nothing behind.
  await createExecutor({ ...options, persistence: 'memory' }).close()
  const state = RunState.take(root, options)
  if (state.problem) process.stderr.write(`note: this run cannot be resumed: ${state.problem}\n`)
  try {
    const complete = await run(root, { ...options, persistence: state.persistence })
    if (complete) state.forget()
  } finally {
    state.keep()
  }
}

/** One run, with its report; false when it was interrupted. */
async function run(root, options) {
  const executor = createExecutor(options)
  const collected = new Collected()
  const controller = new AbortController()
  const stoppedBy = abortOnSignals(controller)
  const startedAt = performance.now()
  const talk = options.json ? process.stderr : process.stdout
  const progress = startProgress(collected, talk)
  const onResume = resumed => talk.write(`${resumedLine(resumed)}\n`)
  try {
    await indexFolder(root, { ...options, executor, collected, signal: controller.signal, onResume })
  } finally {
    progress.stop()
  }
  const interrupted = stoppedBy() !== undefined
  const about = {
    root,
    elapsedMs: performance.now() - startedAt,
    concurrency: options.concurrency,
    interrupted,
  }
  const width = process.stdout.isTTY ? process.stdout.columns || 80 : Number.POSITIVE_INFINITY
  const report = options.json
    ? reportJson(collected, about)
    : [`${summarise(collected, about, width).join('\n')}\n`]
  await write(process.stdout, report)
  process.exitCode = interrupted ? EXIT_CODE[stoppedBy()] : 0
  return !interrupted
}

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', error => process.exit(error.code === 'EPIPE' ? 0 : 1))
let folder = ''
try {
  const options = readOptions(process.argv.slice(2))
  folder = options.folder
  await main(options)
} catch (error) {
  process.stderr.write(`error: ${explain(error, folder)}\n`)
  process.exitCode = 1
}
