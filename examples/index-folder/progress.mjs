// Shows how far the run is: one line rewritten in place on a terminal, else a plain line now and then.

import { columns, fit, formatBytes, formatCount } from './text.mjs'

const TERMINAL_MS = 100
const PLAIN_MS = 1000
const START_OF_LINE = '\r\u001b[2K'

/** `snapshot()` returns `{ done, found, walking, bytes, failed, name }`, where `name` is the newest file. */
export class Progress {
  #stream
  #snapshot
  #now
  #inPlace
  #shownAt
  #shown = ''
  #timer

  constructor(stream, snapshot, { now = () => performance.now(), terminal = process.env.TERM } = {}) {
    this.#stream = stream
    this.#snapshot = snapshot
    this.#now = now
    this.#inPlace = stream.isTTY === true && terminal !== 'dumb'
    // Nothing is shown for a run that is over at once.
    this.#shownAt = now()
  }

  get #every() {
    return this.#inPlace ? TERMINAL_MS : PLAIN_MS
  }

  start() {
    this.#timer = setInterval(() => this.tick(), this.#every)
    this.#timer.unref()
  }

  /** Shows the newest figures, unless they are the same or the last ones are too fresh. */
  tick() {
    const now = this.#now()
    if (now - this.#shownAt < this.#every) return
    const line = this.#line()
    if (line === this.#shown) return
    this.#shownAt = now
    this.#shown = line
    this.#stream.write(this.#inPlace ? START_OF_LINE + line : `${line}\n`)
  }

  /** Takes the line off the terminal, so that the summary starts on an empty one. */
  stop() {
    clearInterval(this.#timer)
    if (this.#inPlace && this.#shown !== '') this.#stream.write(START_OF_LINE)
  }

  #line() {
    const { done, found, walking, bytes, failed, name } = this.#snapshot()
    const parts = [`indexed ${formatCount(done)} of ${formatCount(found)}${walking ? '+' : ''} files`]
    parts.push(formatBytes(bytes))
    if (failed > 0) parts.push(`${formatCount(failed)} failed`)
    const line = parts.join(', ')
    if (!this.#inPlace) return line
    // A line that fills the last column makes some terminals wrap.
    const width = (this.#stream.columns || 80) - 1
    const room = width - columns(line) - 2
    return room < 8 ? fit(line, width) : `${line}  ${fit(name, room)}`
  }
}
