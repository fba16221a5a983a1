// The main job, `npm start -- <folder>`: what it measures, what it survives, how it ends.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { makeFolder, runForReport, runMainJob } from './support/main-job.mjs'

const windows = process.platform === 'win32'

/** What the program has to find out, worked out in another way. */
function expected(path, kind, content, lines) {
  const bytes = Buffer.from(content)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return { path, kind, bytes: bytes.length, gzipBytes: gzipSync(bytes).length, lines, sha256, attempts: 1 }
}

const withoutTime = ({ ms, ...file }) => file
const byPath = (one, other) => (one.path < other.path ? -1 : 1)

describe('what it measures', () => {
  const long = 'The quick brown fox jumps over the lazy dog.\n'.repeat(40_000)
  const noise = Buffer.alloc(700_001, 7)
  for (let at = 0; at < noise.length; at++) noise[at] = (at * at * 31 + (at >> 3)) & 255
  const files = {
    empty: ['text', '', 0],
    'one.md': ['markdown', 'one line\n', 1],
    'no-end.rs': ['rust', 'fn main() {\n}', 2],
    'deep/er/long.txt': ['text', long, 40_000],
    'deep/noise.bin': ['binary', noise, 0],
    'film.ts': ['binary', Buffer.from([71, 0, 17, 16]), 0],
    'Upper.JSON': ['json', '{}\n\n', 2],
    'packed.gz': ['archive', gzipSync('x'), 0],
  }

  test('hash, sizes, lines and kind of every file, and their sums', async t => {
    const folder = makeFolder(
      t,
      Object.fromEntries(Object.entries(files).map(([name, [, content]]) => [name, content])),
    )
    const { code, report, stderr } = await runForReport([folder])
    assert.equal(code, 0)
    assert.equal(stderr, '')
    const wanted = Object.entries(files).map(([name, [kind, content, lines]]) =>
      expected(name, kind, content, lines),
    )
    assert.deepEqual(report.files.map(withoutTime).sort(byPath), wanted.sort(byPath))
    const sum = key => wanted.reduce((total, file) => total + file[key], 0)
    const sums = {
      files: 8,
      bytes: sum('bytes'),
      gzipBytes: sum('gzipBytes'),
      lines: sum('lines'),
      failed: 0,
    }
    assert.deepEqual(report.totals, sums)
    const kinds = Object.fromEntries(report.kinds.map(row => [row.kind, row.files]))
    assert.deepEqual(kinds, { text: 2, markdown: 1, rust: 1, binary: 2, json: 1, archive: 1 })
    assert.equal(report.root, folder)
    assert.deepEqual([report.interrupted, report.failures], [false, []])
    assert.equal(report.slowest.length, 8)
  })

  test('the ten slowest files are listed, slowest first', async t => {
    const names = Array.from({ length: 13 }, (_, index) => `${String(index).padStart(2, '0')}.txt`)
    const folder = makeFolder(t, Object.fromEntries(names.map(name => [name, name])))
    const { report } = await runForReport([folder, '--concurrency', '1'], {
      faults: { '07.txt': { slow: 300 } },
    })
    assert.equal(report.slowest.length, 10)
    assert.equal(report.slowest[0].path, '07.txt')
    const times = report.slowest.map(file => file.ms)
    assert.deepEqual(
      times,
      [...times].sort((one, other) => other - one),
    )
  })

  test('.git, node_modules and target are skipped unless --all asks for them', async t => {
    const folder = makeFolder(t, { a: '', '.git/HEAD': '', 'x/node_modules/m/i.js': '', 'target/t.rs': '' })
    const { report } = await runForReport([folder])
    assert.deepEqual([report.files.map(file => file.path), report.skipped.folders], [['a'], 3])
    const all = await runForReport([folder, '--all'])
    assert.deepEqual([all.report.files.length, all.report.skipped.folders], [4, 0])
  })

  test('--concurrency is the number of files that are open at once', async t => {
    const names = Array.from({ length: 9 }, (_, index) => `${index}.txt`)
    const folder = makeFolder(t, Object.fromEntries(names.map(name => [name, name])))
    const faults = Object.fromEntries(names.map(name => [name, { slow: 30 }]))
    const { report, mostOpen } = await runForReport([folder, '--concurrency=3'], { faults, test: t })
    assert.deepEqual([report.files.length, report.concurrency, mostOpen], [9, 3, 3])
  })
})

describe('what it survives', () => {
  test('a file that vanishes is listed once, without a retry', async t => {
    const folder = makeFolder(t, { 'gone.txt': 'x', 'here.txt': 'y' })
    const { code, report } = await runForReport([folder], { faults: { 'gone.txt': { gone: true } } })
    assert.equal(code, 0)
    assert.deepEqual(
      report.files.map(file => file.path),
      ['here.txt'],
    )
    const reason = report.failures[0].reason
    assert.deepEqual(report.failures, [{ path: 'gone.txt', code: 'ENOENT', reason, attempts: 1 }])
    assert.match(reason, /^ENOENT: [^']+$/)
  })

  test('a file that cannot be read is tried three times and listed with its reason', async t => {
    const folder = makeFolder(t, { 'locked.txt': 'x', 'here.txt': 'y' })
    const { code, report } = await runForReport([folder], { faults: { 'locked.txt': { code: 'EACCES' } } })
    assert.equal(code, 0)
    assert.equal(report.totals.files, 1)
    assert.deepEqual(report.failures, [
      { path: 'locked.txt', code: 'EACCES', reason: 'EACCES: made to fail', attempts: 3 },
    ])
  })

  test('a folder inside that cannot be listed is a failure like any other', async t => {
    const folder = makeFolder(t, { 'a/locked/file': 'x', 'z.txt': 'y' })
    const { code, report } = await runForReport([folder], { faults: { locked: { code: 'EACCES' } } })
    assert.equal(code, 0)
    assert.deepEqual(
      report.files.map(file => file.path),
      ['z.txt'],
    )
    assert.deepEqual(
      report.failures.map(failure => [failure.path, failure.code]),
      [['a/locked', 'EACCES']],
    )
  })

  test('a file that is busy for a moment is indexed at a later attempt', async t => {
    const folder = makeFolder(t, { 'busy.txt': 'x\n', 'many.txt': 'y\n' })
    const faults = { 'busy.txt': { code: 'EBUSY', times: 2 }, 'many.txt': { code: 'EMFILE', times: 1 } }
    const { code, report } = await runForReport([folder], { faults })
    assert.equal(code, 0)
    assert.deepEqual(report.failures, [])
    const attempts = Object.fromEntries(report.files.map(file => [file.path, file.attempts]))
    assert.deepEqual(attempts, { 'busy.txt': 3, 'many.txt': 2 })
  })

  test('a read that never ends fails by its timeout and holds up nobody', async t => {
    const folder = makeFolder(t, { 'stuck.txt': 'x', 'a.txt': 'y', 'z.txt': 'z' })
    const faults = { 'stuck.txt': { stuck: true } }
    const { code, report } = await runForReport([folder, '--timeout', '200ms', '--concurrency', '1'], {
      faults,
    })
    assert.equal(code, 0)
    assert.deepEqual(report.files.map(file => file.path).sort(), ['a.txt', 'z.txt'])
    assert.deepEqual(
      report.failures.map(({ path, code: word, attempts }) => [path, word, attempts]),
      [['stuck.txt', 'ERR_TASK_TIMEOUT', 3]],
    )
  })

  test('links are counted and not followed, so a loop ends', async t => {
    const folder = makeFolder(t, { 'a/b/file.txt': 'x' })
    symlinkSync(folder, join(folder, 'a', 'b', 'up'), 'junction')
    symlinkSync(join(folder, 'nowhere'), join(folder, 'broken'), 'junction')
    const { code, report } = await runForReport([folder])
    assert.equal(code, 0)
    assert.deepEqual([report.files.map(file => file.path), report.skipped.links], [['a/b/file.txt'], 2])
  })

  test('names of every kind are reported as they are, and shown without effect on the terminal', async t => {
    const names = [
      ' lead',
      'semi;colon',
      'per%cent',
      '\u65e5\u672c.txt',
      '\u{1f389} party',
      'e\u0301.txt',
      '$(x)',
    ]
    if (!windows)
      names.push('line\nfeed', 'esc\u001b[31m', 'tab\t', 'quote"\'', 'back\\slash', 'turn\u202egnp.exe')
    const folder = makeFolder(t, Object.fromEntries(names.map(name => [name, name])))
    const { report } = await runForReport([folder])
    assert.deepEqual(report.files.map(file => file.path).sort(), [...names].sort())
    // The report lists the ten slowest: of so few it lists all.
    const hostile = names.slice(-6)
    const few = makeFolder(t, Object.fromEntries(hostile.map(name => [name, name])))
    const { code, stdout } = await runMainJob([few])
    assert.equal(code, 0)
    assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u202e]/)
    assert.ok(windows || (stdout.includes('line\\nfeed') && stdout.includes('esc\\u{1b}[31m')))
  })

  if (process.platform === 'linux') {
    test('a name that is not UTF-8 is indexed under its bytes', async t => {
      const folder = makeFolder(t, {})
      const bytes = Buffer.from([0x62, 0xff, 0x2e, 0x6d, 0x64])
      writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), bytes]), 'x\n')
      const { report } = await runForReport([folder])
      const [{ path, pathBase64, kind, lines }] = report.files
      assert.deepEqual(
        [path, pathBase64, kind, lines],
        ['b\\xff.md', bytes.toString('base64'), 'markdown', 1],
      )
    })
  }
})

describe('how it ends', () => {
  const oneLine = text => assert.match(text, /^error: [^\n]+\n$/)

  test('a missing folder, a file and a wrong option are one line each, and exit code 1', async t => {
    const folder = makeFolder(t, { file: '' })
    const cases = [
      [[join(folder, 'missing')], /there is no folder ".*missing"/],
      [[join(folder, 'file')], /file" is not a folder/],
      [[folder, '--jsno'], /"--jsno" is not an option; the options are .*--json/],
      [[folder, '--concurrency', '0'], /--concurrency is "0"; it has to be a whole number/],
      [[folder, '--concurrency'], /concurrency/],
      [[folder, '--timeout', '5 minutes'], /timeout/],
      [[folder, folder], /one folder at a time/],
    ]
    for (const [args, message] of cases) {
      const { code, stdout, stderr } = await runMainJob(args)
      assert.deepEqual([code, stdout], [1, ''], `for ${args}`)
      oneLine(stderr)
      assert.match(stderr, message)
    }
  })

  test('a folder that the system does not let us read is one line and exit code 1', async t => {
    const folder = makeFolder(t, { 'locked/file': '', plain: '' })
    const locked = { locked: { code: 'EACCES' } }
    for (const [path, faults] of [
      [join(folder, 'locked'), locked],
      [join(folder, 'plain', 'below'), {}],
    ]) {
      const { code, stdout, stderr } = await runMainJob([path], { faults })
      assert.deepEqual([code, stdout], [1, ''])
      oneLine(stderr)
      assert.match(stderr, /^error: (the folder ".*" cannot be read \((EACCES|ENOTDIR)\)|there is no folder)/)
    }
  })

  test('--help says what it does and starts nothing', async () => {
    const { code, stdout } = await runMainJob(['--help', '/nowhere'])
    assert.equal(code, 0)
    for (const word of ['--all', '--concurrency', '--timeout', '--json', '130'])
      assert.ok(stdout.includes(word), word)
  })

  test('an empty folder has an empty table', async t => {
    const { code, stdout } = await runMainJob([makeFolder(t, {})])
    assert.equal(code, 0)
    assert.match(stdout, /^indexed 0 files/)
    assert.match(stdout, /^total +0 +0 B +0 B +0$/m)
  })

  test('off a terminal there are plain lines only, then the summary', async t => {
    const folder = makeFolder(t, { 'slow.txt': 'x\n', 'locked.md': 'y\n', 'a.rs': 'z\n' })
    // Long enough for a line between the end of the others and its own, on any machine.
    const faults = { 'slow.txt': { slow: 4000 }, 'locked.md': { code: 'EPERM' } }
    const { code, stdout, stderr } = await runMainJob([folder], { faults })
    assert.deepEqual([code, stderr], [0, ''])
    assert.doesNotMatch(stdout, /[\r\u001b]/)
    assert.match(stdout, /^indexed 2 of 3 files, 2 B, 1 failed$/m)
    assert.match(stdout, /^total +2 +4 B +44 B +2$/m)
    assert.match(stdout, /^failed: 1\nattempts +reason +file\n +3 +EPERM: made to fail +locked\.md$/m)
    assert.match(stdout, /^slowest files\n.*time.*\n.*2 B +1 +slow\.txt$/m)
  })

  if (!windows) {
    test('an interrupt stops it, shows what was done and exits with 130', async t => {
      const folder = makeFolder(t, { 'a.txt': 'x\n', 'stuck.bin': 'y\n' })
      let sent = false
      const onStdout = (text, child) => {
        if (!sent && text.includes('indexed 1 of 2 files')) sent = child.kill('SIGINT')
      }
      const { code, stdout } = await runMainJob([folder], {
        faults: { 'stuck.bin': { stuck: true } },
        onStdout,
      })
      assert.equal(code, 130)
      assert.match(stdout, /^interrupted: 2 files were found$/m)
      assert.match(stdout, /^total +1 +2 B/m)
      assert.doesNotMatch(stdout, /^failed/m)
    })
  }
})
