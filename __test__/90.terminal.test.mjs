// How the main job writes for a terminal: widths, cuts, progress.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Progress } from '../examples/index-folder/progress.mjs'
import { layOut } from '../examples/index-folder/table.mjs'
import { columns, fit, formatBytes, formatDuration, pad, printable } from '../examples/index-folder/text.mjs'

test('a width counts columns, not characters', () => {
  const widths = { abc: 3, '\u65e5\u672c': 4, '\u{1f389}': 2, 'e\u0301': 1, '': 0, '\uff21': 2 }
  for (const [text, width] of Object.entries(widths)) assert.equal(columns(text), width, JSON.stringify(text))
  assert.equal(pad('\u65e5', 4), '\u65e5  ')
  assert.equal(pad('\u65e5', 4, true), '  \u65e5')
})

test('a cut keeps the end and never exceeds the width', () => {
  assert.equal(fit('short', 5), 'short')
  assert.equal(fit('folder/name.txt', 11), '...name.txt')
  assert.equal(fit('\u65e5\u672c\u8a9e', 5), '...\u8a9e')
  for (const text of ['plain/ascii/name', '\u65e5\u672c\u8a9e\u{1f389}x', 'e\u0301'.repeat(9)]) {
    for (let width = 0; width < 20; width++)
      assert.ok(columns(fit(text, width)) <= width, `${text} in ${width}`)
  }
})

test('a name cannot reach the terminal as a command', () => {
  const shown = name => printable(Buffer.from(name))
  assert.equal(shown('caf\u00e9 \u65e5.txt'), 'caf\u00e9 \u65e5.txt')
  assert.equal(shown('a\nb\tc\rd'), 'a\\nb\\tc\\rd')
  assert.equal(shown('\u001b[2J\u009b31m\u007f'), '\\u{1b}[2J\\u{9b}31m\\u{7f}')
  assert.equal(shown('x\u202egnp.exe'), 'x\\u{202e}gnp.exe')
  assert.equal(printable(Buffer.from([0x61, 0xff, 0x0a])), 'a\\xff\\x0a')
})

test('sizes and times have a unit that fits', () => {
  const sizes = { 0: '0 B', 999: '999 B', 1000: '1.0 KiB', 10240: '10 KiB', 1048576: '1.0 MiB' }
  for (const [bytes, text] of Object.entries(sizes)) assert.equal(formatBytes(Number(bytes)), text)
  const times = {
    0: '0 ms',
    999.4: '999 ms',
    999.6: '1.0 s',
    59949: '59.9 s',
    59951: '1 min 0 s',
    200000: '3 min 20 s',
  }
  for (const [ms, text] of Object.entries(times)) assert.equal(formatDuration(Number(ms)), text)
})

test('a table is aligned, and its last column gives way', () => {
  const layout = [
    { title: 'n', right: true },
    { title: 'file', flexible: true },
  ]
  const rows = [
    ['1', 'short'],
    ['20', 'a/very/long/name/of/a/file.txt'],
  ]
  assert.deepEqual(layOut(layout, rows), [' n  file', ' 1  short', '20  a/very/long/name/of/a/file.txt'])
  assert.deepEqual(layOut(layout, rows, 20), [' n  file', ' 1  short', '20  ...of/a/file.txt'])
})

describe('progress', () => {
  /** A stream that keeps what is written, a clock that is set by hand, and figures to show. */
  function watch(stream) {
    const written = []
    const state = { now: 0, done: 0, found: 10, walking: true, bytes: 0, failed: 0, name: 'a/b.txt' }
    const target = { ...stream, write: text => written.push(text) }
    const progress = new Progress(target, () => state, { now: () => state.now, terminal: 'xterm' })
    const at = (now, changes = {}) => {
      Object.assign(state, changes, { now })
      progress.tick()
      return written.splice(0)
    }
    return { at, progress, written }
  }

  test('off a terminal: at most one plain line a second, and none without news', () => {
    const { at, progress, written } = watch({ isTTY: false })
    assert.deepEqual(at(999, { done: 1 }), [])
    assert.deepEqual(at(1000), ['indexed 1 of 10+ files, 0 B\n'])
    assert.deepEqual(at(1999, { done: 2 }), [])
    assert.deepEqual(at(2000, { walking: false, failed: 1 }), ['indexed 2 of 10 files, 0 B, 1 failed\n'])
    assert.deepEqual(at(9000), [])
    progress.stop()
    assert.deepEqual(written, [])
  })

  test('on a terminal: one line, rewritten, never as wide as the terminal, removed at the end', () => {
    const { at, progress, written } = watch({ isTTY: true, columns: 40 })
    const [line] = at(100, { done: 5, name: 'some/long/path/to/a/file.txt' })
    assert.ok(line.startsWith('\r\u001b[2Kindexed 5 of 10+ files, 0 B  ...'), line)
    assert.equal(columns(line.slice('\r\u001b[2K'.length)), 39)
    assert.deepEqual(at(150, { done: 6 }), [])
    progress.stop()
    assert.deepEqual(written, ['\r\u001b[2K'])
  })

  test('a terminal too narrow for anything is not overrun', () => {
    const { at } = watch({ isTTY: true, columns: 10 })
    const [line] = at(100)
    assert.equal(columns(line.slice('\r\u001b[2K'.length)), 9)
  })
})
