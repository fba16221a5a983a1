// Lays rows out in columns.

import { columns, fit, pad } from './text.mjs'

/**
 * Returns the lines of a table. `layout` names each column: `{ title, right, flexible }`; rows are arrays of strings.
 * The last column, if `flexible`, is cut so that a line fits in `width`.
 */
export function layOut(layout, rows, width = Number.POSITIVE_INFINITY) {
  const titles = layout.map(column => column.title)
  const widths = layout.map((_, index) => Math.max(...[titles, ...rows].map(row => columns(row[index]))))
  const fixed = widths.slice(0, -1).reduce((sum, one) => sum + one + 2, 0)
  const last = layout.length - 1
  if (layout[last].flexible) widths[last] = Math.max(12, Math.min(widths[last], width - fixed))
  const lineOf = row =>
    row
      .map((cell, index) => pad(fit(cell, widths[index]), widths[index], layout[index].right))
      .join('  ')
      .trimEnd()
  return [lineOf(titles), ...rows.map(lineOf)]
}
