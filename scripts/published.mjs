// The checks of what npm would publish: that every tool finds the files and types it looks for, and how much it is.

import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { packPackages } from './pack.mjs'
import { root, runCommand } from './process.mjs'
import { ensureAddon } from './setup.mjs'

const MIB = 2 ** 20
// In bytes: what a user downloads and what it takes on disk.
const BUDGET = {
  main: { size: 128 * 1024, unpackedSize: 512 * 1024 },
  platform: { size: 4 * MIB, unpackedSize: 8 * MIB },
}

let packed

/** Packs once for all checks of a run. */
function pack() {
  if (packed !== undefined) return packed
  ensureAddon()
  const folder = join(root, 'target', 'packed')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  packed = packPackages(folder)
  return packed
}

/** What is over its budget, one line each. */
export function overBudget(reports, budget = BUDGET) {
  return Object.entries(reports).flatMap(([kind, report]) =>
    Object.entries(budget[kind])
      .filter(([figure, most]) => report[figure] > most)
      .map(
        ([figure, most]) =>
          `${report.name}: ${figure} is ${report[figure]} bytes, at most ${most} are allowed`,
      ),
  )
}

function checkSize() {
  const complaints = overBudget(pack())
  for (const line of complaints) console.error(`  ${line}`)
  return complaints.length === 0
}

const tool = (path, ...args) => runCommand(process.execPath, [join(root, 'node_modules', path), ...args]).ok

export const PUBLISHED = {
  publint: () => tool('publint/src/cli.js', '--strict', pack().main.path),
  attw: () => tool('@arethetypeswrong/cli/dist/index.js', '--no-color', '--no-emoji', pack().main.path),
  size: checkSize,
}
