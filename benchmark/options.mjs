// The command line. Anything unknown is an error that names it, what is allowed, and the likely meaning.
import { parseArgs } from 'node:util'
import { suites } from './suites.mjs'

export const usage = `usage: node benchmark/run.mjs SUITE [options]

suites: ${Object.keys(suites).join(', ')}

  --case NAME    only this case; may be given more than once
  --peer NAME    only this contender; may be given more than once
  --trials N     fresh processes per contender, instead of what each case takes
  --quick        one trial with a fiftieth of the tasks: shows that all works, judges no goal
  --strict       exit code 1 where a goal is missed (a wrong result always is one)
  --json FILE    every sample
  --write        the report of the suite into benchmark/RESULTS.md; only for a whole run
  --node PATH    the Node that runs the contenders, instead of the pinned one
  --help`

const OPTIONS = {
  case: { type: 'string', multiple: true },
  peer: { type: 'string', multiple: true },
  trials: { type: 'string' },
  quick: { type: 'boolean' },
  strict: { type: 'boolean' },
  json: { type: 'string' },
  write: { type: 'boolean' },
  node: { type: 'string' },
  help: { type: 'boolean' },
}

/** An error in what was typed: shown without a stack. */
export class UsageError extends Error {}

export function readOptions(args) {
  const { values, positionals, tokens } = parseArgs({
    args,
    options: OPTIONS,
    allowPositionals: true,
    strict: false,
    tokens: true,
  })
  for (const { kind, name, rawName, value } of tokens) {
    if (kind !== 'option') continue
    oneOf(name, Object.keys(OPTIONS), `option ${rawName}`, '--')
    const takesText = OPTIONS[name].type === 'string'
    if (takesText && !value) throw new UsageError(`${rawName} needs a value`)
    if (!takesText && value !== undefined) throw new UsageError(`${rawName} takes no value, not "${value}"`)
  }
  if (values.help) return values
  if (positionals.length !== 1) {
    const given = positionals.length === 0 ? 'none' : positionals.join(', ')
    throw new UsageError(`one suite is wanted, given: ${given}; there is: ${Object.keys(suites).join(', ')}`)
  }
  const suite = oneOf(positionals[0], Object.keys(suites), `suite "${positionals[0]}"`)
  const cases = values.case?.map(name => oneOf(name, suites[suite], `case "${name}" in suite ${suite}`))
  if (values.write && (values.quick || values.case || values.peer)) {
    throw new UsageError('--write is for a whole run: leave out --quick, --case and --peer')
  }
  return {
    ...values,
    suite,
    cases: suites[suite].filter(name => !cases || cases.includes(name)),
    trials: values.trials === undefined ? undefined : positiveInteger(values.trials),
  }
}

function positiveInteger(text) {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new UsageError(`--trials is "${text}", but has to be a whole number from 1 to 999999`)
}

/** `name` if it is allowed; else an error with the nearest allowed name. */
export function oneOf(name, allowed, what, prefix = '') {
  if (allowed.includes(name)) return name
  const [nearest] = [...allowed].sort((a, b) => distance(name, a) - distance(name, b))
  const hint = distance(name, nearest) <= 2 ? `; did you mean ${prefix}${nearest}?` : ''
  const known = allowed.map(each => prefix + each).join(', ')
  throw new UsageError(`there is no ${what}${hint} (there is: ${known})`)
}

/** Edits between two words (Levenshtein), one row at a time. */
function distance(from, to) {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const change = row[j - 1] + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(change, row[j] + 1, next[j - 1] + 1))
    }
    row = next
  }
  return row[to.length]
}
