// Samples of a case turned into rows, ratios and judged goals. Pure.
//
// The reference of a group is its first contender that is ours. A ratio above 1 says that the contender needs
// so many times what the reference needs: in every compared column less is better.
import { ratio, spread } from './statistics.mjs'
import { nameOf } from './suites.mjs'

/** What a case's `goals` may ask of the samples; every answer is undefined where a contender did not run. */
export function createFigures(samples) {
  const valuesOf = ([group, label], key) =>
    samples.get(nameOf({ group, label }))?.map(metrics => metrics[key])
  return {
    metric(contender, key) {
      const values = valuesOf(contender, key)
      return values && spread(values)
    },
    ratio(above, below, key) {
      const [over, under] = [valuesOf(above, key), valuesOf(below, key)]
      return over && under && ratio(over, under)
    },
  }
}

/** One row per entry: the spread of each metric and, for compared columns, the ratio to the reference. */
export function toRows({ definition, entries, samples }) {
  const figures = createFigures(samples)
  return entries.map(entry => {
    const reference = entries.find(({ group, peer }) => group === entry.group && peer === 'task')
    const metrics = {}
    const ratios = {}
    for (const { key, compare } of definition.columns) {
      metrics[key] = figures.metric([entry.group, entry.label], key)
      if (!compare || !reference || entry.floor) continue
      ratios[key] = figures.ratio([entry.group, entry.label], [reference.group, reference.label], key)
    }
    const { group, label, peer, floor = false } = entry
    return { group, label, own: peer === 'task', floor, metrics, ratios }
  })
}

/** Each goal with its verdict: `met`, `missed`, or `not judged` (a smoke test, no figure, no limit). */
export function judge(goals, { quick }) {
  return goals.map(goal => {
    const { text, figure, atLeast, atMost, aim, judge: by = 'median' } = goal
    const limit = atLeast ?? atMost
    let verdict = 'not judged'
    if (!quick && figure && limit !== undefined) {
      const met = atLeast !== undefined ? figure[by] >= atLeast : figure[by] <= atMost
      verdict = met ? 'met' : 'missed'
    }
    return { text, figure, by, atLeast, atMost, aim, verdict }
  })
}

/** Every compared column in which a peer needs less than we do, as text. */
export function losses({ columns, rows }) {
  const found = []
  for (const { group, label, own, ratios } of rows) {
    if (own) continue
    for (const { key, label: column } of columns) {
      const times = ratios[key]
      if (times && times.median < 1) found.push({ group, label, column, times })
    }
  }
  return found
}
