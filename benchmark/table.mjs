// Plain text tables: medians with the least and the greatest trial, ratios, goals. Pure: gives lines, prints
// nothing.

/** Columns aligned by their widest cell, the first `left` to the left and the rest to the right. */
export function align(rows, left) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map(row => row[i].length)))
  return rows.map(row =>
    row
      .map((cell, i) => (i < left ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd(),
  )
}

const withCommas = (value, digits) =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** `1.23 (1.10-1.40)`; the spread is left out where there was one trial. */
export function showSpread(spread, digits) {
  if (!spread) return '-'
  const middle = withCommas(spread.median, digits)
  if (spread.min === spread.max) return middle
  return `${middle} (${withCommas(spread.min, digits)}-${withCommas(spread.max, digits)})`
}

export const showRatio = times => (times ? withCommas(times.median, 2) : '-')

/** Head and body cells of a case's table; each compared column is followed by its ratio to the reference. */
export function tableCells({ columns, rows }) {
  const head = ['', '']
  for (const { label, compare } of columns) {
    head.push(label)
    if (compare) head.push('ratio')
  }
  const body = rows.map(({ group, label, metrics, ratios }, i) => {
    const cells = [i > 0 && rows[i - 1].group === group ? '' : group, label]
    for (const { key, digits, compare } of columns) {
      cells.push(showSpread(metrics[key], digits))
      if (compare) cells.push(showRatio(ratios[key]))
    }
    return cells
  })
  return { head, body }
}

/** Cells of the goals: what, figure, limit, verdict. */
export function goalCells(goals) {
  return goals.map(({ text, figure, by, atLeast, atMost, aim, verdict }) => {
    const limit = atLeast !== undefined ? `>= ${atLeast}` : atMost !== undefined ? `<= ${atMost}` : ''
    const extra = [by === 'max' && limit ? 'worst trial' : '', aim ? `aim ${aim}` : '']
      .filter(Boolean)
      .join(', ')
    return [
      text,
      showSpread(figure, 2),
      extra ? `${limit} (${extra})` : limit,
      limit ? verdict.toUpperCase() : '',
    ]
  })
}

/** The whole report of one case. */
export function caseLines({ name, title, notes, columns, rows, goals, trials, others }) {
  const { head, body } = tableCells({ columns, rows })
  const lines = [
    `== ${name}: ${title}`,
    `   ${trialsText(trials, others)}`,
    ...notes.map(note => `   ${note}`),
    '',
  ]
  lines.push(...align([head, ...body], 2), '')
  if (goals.length > 0) lines.push(...align([['goal', 'figure', 'limit', ''], ...goalCells(goals)], 1), '')
  return lines
}

export function trialsText(trials, others) {
  const each = trials === 1 ? '1 trial' : `median of ${trials} trials (least-greatest)`
  const load = `other programs used ${showSpread(others, 2)} cores`
  return `${each}; ratio: the contender's need in multiples of ours; ${load}`
}
