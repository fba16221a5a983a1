// The report as Markdown, with what is lost in front of what is won.
import { losses } from './figures.mjs'
import { goalCells, showRatio, tableCells, trialsText } from './table.mjs'

const row = cells => `| ${cells.join(' | ')} |`
const markdownTable = (head, body) => [row(head), row(head.map(() => '---')), ...body.map(row)]

const HEAD = '# Benchmark results\n'
const begin = suite => `<!-- begin ${suite} -->`
const end = suite => `<!-- end ${suite} -->`

/** The report `text` with the section of this run's suite replaced or added; other suites keep theirs. */
export function withSection(text, run) {
  const section = `${begin(run.suite)}\n${toSection(run)}\n${end(run.suite)}`
  const from = text.indexOf(begin(run.suite))
  const to = text.indexOf(end(run.suite))
  if (from < 0 || to < from) return `${text || HEAD}\n${section}\n`
  return text.slice(0, from) + section + text.slice(to + end(run.suite).length)
}

function toSection({ suite, at, machine, cases }) {
  return [
    `## Suite ${suite}`,
    '',
    `Written by \`node benchmark/run.mjs ${suite} --write\` on ${at.slice(0, 10)}.`,
    '[README.md](README.md) says how each figure is taken.',
    '',
    ...markdownTable(['machine', ''], Object.entries(machine)),
    '',
    '### Where we lose',
    '',
    ...lossLines(cases),
    ...cases.flatMap(caseSection),
  ]
    .join('\n')
    .trimEnd()
}

function lossLines(cases) {
  const missed = cases.flatMap(({ name, goals }) =>
    goals
      .filter(({ verdict }) => verdict === 'missed')
      .map(goal => {
        const [text, figure, limit] = goalCells([goal])[0]
        return `- Goal missed, ${name}: ${text}: ${figure}, wanted ${limit}.`
      }),
  )
  const behind = cases.flatMap(each =>
    losses(each).map(
      ({ group, label, column, times }) =>
        `- ${each.name}, ${group}, ${column}: ${label} needs ${showRatio(times)} of what task needs` +
        `${times.max < 1 ? '' : ' (not in every trial)'}.`,
    ),
  )
  const lines = [...missed, ...behind]
  return [...(lines.length > 0 ? lines : ['Nowhere in this run.']), '']
}

function caseSection({ name, title, notes, columns, rows, goals, trials, others }) {
  const { head, body } = tableCells({ columns, rows })
  const lines = [`### ${name}`, '', `${title[0].toUpperCase()}${title.slice(1)}.`, '']
  lines.push(
    `${trialsText(trials, others)}.`.replace(/^./, first => first.toUpperCase()),
    '',
  )
  lines.push(...notes.flatMap(note => [`- ${note}`]), ...(notes.length > 0 ? [''] : []))
  lines.push(...markdownTable(head, body), '')
  if (goals.length > 0)
    lines.push(...markdownTable(['goal', 'figure', 'limit', 'verdict'], goalCells(goals)), '')
  return lines
}
