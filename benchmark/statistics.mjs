// Medians, spreads and ratios of samples. Pure.
//
// A ratio is taken trial by trial and then summed up: both sides of one trial ran within seconds of each
// other, so a machine that slows down for a minute slows both and leaves the ratio alone.

/** The middle value; the mean of the two middle ones when their number is even. */
export function median(values) {
  const sorted = Float64Array.from(values).sort()
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}

/** Median, least and greatest of the samples, or undefined when there is none. */
export function spread(values) {
  const known = values.filter(value => Number.isFinite(value))
  if (known.length === 0) return undefined
  return { median: median(known), min: Math.min(...known), max: Math.max(...known), count: known.length }
}

/** How many times larger `above` is than `below`, trial by trial. */
export function ratio(above, below) {
  return spread(above.map((value, trial) => value / below[trial]))
}

/** `above` less `below`, trial by trial. */
export function difference(above, below) {
  return spread(above.map((value, trial) => value - below[trial]))
}

/**
 * Random 32-bit integers from a seed, equal in every process, so that every contender sorts the same
 * priorities. The generator is the xorshift of Marsaglia (2003), shifts 13, 17, 5.
 */
export function seededIntegers(count, seed) {
  const numbers = new Int32Array(count)
  let state = seed | 0 || 1
  for (let i = 0; i < count; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    numbers[i] = state
  }
  return numbers
}
