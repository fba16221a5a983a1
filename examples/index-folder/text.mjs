// How names and numbers are written for a terminal.
// Invariant: what `printable` returns cannot move the cursor, change colours or reverse the line it stands on.

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u
const NO_WIDTH = /\p{Mn}|\p{Me}|\u200b|\u200c|\u200d/u
// Controls, lone surrogates, line separators, and the marks that change the direction of text.
const UNPRINTABLE = /[\p{Cc}\p{Cs}\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff]/gu
const SHORT = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text of a file name, or undefined where its bytes are not UTF-8. */
export function decodeName(bytes) {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

/** A name as one harmless piece of a line: `a\nb` for a line feed, `\u{1b}` for escape, `\xff` for a stray byte. */
export function printable(bytes) {
  const name = decodeName(bytes)
  if (name === undefined) return Array.from(bytes, printableByte).join('')
  return name.replace(UNPRINTABLE, found => SHORT[found] ?? `\\u{${found.codePointAt(0).toString(16)}}`)
}

function printableByte(byte) {
  if (byte >= 0x20 && byte < 0x7f) return String.fromCharCode(byte)
  return `\\x${byte.toString(16).padStart(2, '0')}`
}

function columnsOf(character) {
  if (NO_WIDTH.test(character)) return 0
  return WIDE.test(character) ? 2 : 1
}

/** How many columns of a terminal the text takes. */
export function columns(text) {
  let total = 0
  for (const character of text) total += columnsOf(character)
  return total
}

/** The text in at most `width` columns; where it has to be cut, the end is kept, since that is the file's name. */
export function fit(text, width) {
  if (columns(text) <= width) return text
  const dots = '.'.repeat(Math.min(3, Math.max(0, width)))
  let kept = ''
  let room = width - dots.length
  for (const character of Array.from(text).reverse()) {
    room -= columnsOf(character)
    if (room < 0) break
    kept = character + kept
  }
  return dots + kept
}

/** The text filled up with spaces to `width` columns, on the left where `right` is asked for. */
export function pad(text, width, right = false) {
  const spaces = ' '.repeat(Math.max(0, width - columns(text)))
  return right ? spaces + text : text + spaces
}

export const formatCount = number => number.toLocaleString('en-US')

/** `512 B`, `1.5 KiB`, `20 MiB`: at least two figures, at most three. */
export function formatBytes(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}

/** `250 ms`, `1.2 s`, `3 min 20 s`. */
export function formatDuration(ms) {
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/** A count with its noun: `1 link`, `2 links`. */
export const formatNoun = (count, noun) => `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`
