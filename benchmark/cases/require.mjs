// What loading a library adds to the start of a process, and how large its native binary is.
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addonFile, root } from '../setup.mjs'

const GROUP = 'one process each'
const BARE = 'bare Node'
const MIB = 2 ** 20

export default {
  title: () => 'loading the library, in a fresh process',
  trials: 21,
  leastTrials: 15,
  child: 'load.cjs',
  columns: [
    { key: 'processMs', label: 'whole process ms', digits: 1 },
    { key: 'addedMs', label: 'over bare Node ms', digits: 1 },
    { key: 'loadMs', label: 'require ms', digits: 1, compare: true },
  ],

  plan() {
    const contender = (label, specifier) => ({
      label,
      peer: label,
      floor: specifier === undefined,
      group: GROUP,
      argument: specifier ?? '',
    })
    return [
      contender(BARE),
      contender('task', join(root, 'index.js')),
      contender('p-queue', 'p-queue'),
      contender('fastq', 'fastq'),
      contender('p-limit', 'p-limit'),
    ]
  },

  /** Completes the samples of one trial: the bare process of the same trial is the zero. */
  relate(samples) {
    const bare = samples.get(`${GROUP}/${BARE}`)
    if (!bare) return
    for (const metrics of samples.values()) metrics.addedMs = metrics.processMs - bare.processMs
  },

  goals(figures) {
    const task = [GROUP, 'task']
    const { bytes, stripped } = binarySize()
    return [
      { text: 'require, ms over bare Node', figure: figures.metric(task, 'addedMs'), atMost: 15 },
      {
        text: `native binary, MiB${stripped ? ', stripped' : ' (as built: strip is missing or failed)'}`,
        figure: bytes && { median: bytes / MIB, min: bytes / MIB, max: bytes / MIB },
        atMost: 3,
      },
    ]
  },
}

/** The size of the addon after `strip`, or as it is where there is no such tool. */
function binarySize() {
  const file = addonFile()
  if (!file) return {}
  const folder = mkdtempSync(join(tmpdir(), 'task-benchmark-'))
  try {
    const copy = join(folder, 'addon.node')
    copyFileSync(file, copy)
    execFileSync('strip', [copy], { stdio: 'ignore' })
    return { bytes: statSync(copy).size, stripped: true }
  } catch {
    return { bytes: statSync(file).size, stripped: false }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
