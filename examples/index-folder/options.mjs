// Reads the command line.

import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

export const HELP = `Usage: npm start -- [folder] [options]

Indexes a folder, one task a file: SHA-256, gzip size, lines, kind.
Default: the checkout that this program is part of.

  --all            also take .git, node_modules and target
  --concurrency N  files at once (default: the number of processors)
  --timeout T      for one attempt at one file, as 500ms, 30s or 2m (default: 2m)
  --cache DIR      where the state of a run is kept (default: TASK_CACHE_DIR, or the user's cache folder)
  --json           write the whole report as JSON to standard output
  --help           show this

A run that was killed or interrupted is gone on with when it is started again. Symbolic links are not followed. Files that cannot be read are tried three times and then listed.
Exit code: 0 when done, 1 for a wrong option or folder, 130 when interrupted.
`

const FLAGS = {
  all: { type: 'boolean', default: false },
  concurrency: { type: 'string' },
  timeout: { type: 'string', default: '2m' },
  cache: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false, short: 'h' },
}

/** A mistake of the user: its message is all there is to say. */
export class UsageError extends Error {}

/** Returns `{ folder, all, concurrency, timeout, cache, json, help }`; throws a UsageError that names what is wrong. */
export function readOptions(args) {
  const { values, positionals } = parse(args)
  if (positionals.length > 1)
    throw new UsageError(`one folder at a time: "${positionals[1]}" is a second one`)
  return {
    ...values,
    folder: positionals[0] ?? fileURLToPath(new URL('../..', import.meta.url)),
    concurrency: values.concurrency === undefined ? availableParallelism() : wholeNumber(values.concurrency),
  }
}

function parse(args) {
  try {
    return parseArgs({ args, options: FLAGS, allowPositionals: true })
  } catch (error) {
    if (error.code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
      const given = args.find(arg => arg.startsWith('-') && !(arg.slice(2).split('=')[0] in FLAGS))
      throw new UsageError(
        `"${given}" is not an option; the options are --${Object.keys(FLAGS).join(', --')}`,
      )
    }
    throw new UsageError(error.message.split('\n')[0])
  }
}

function wholeNumber(text) {
  if (!/^[1-9]\d{0,4}$/.test(text)) {
    throw new UsageError(`--concurrency is "${text}"; it has to be a whole number from 1 to 99999`)
  }
  return Number(text)
}
