/**
 * The known name that someone most likely meant, or undefined when none is near.
 *
 * @example nearest('colldown_minutes', ['cooldown_minutes', 'cooldown_key']) // 'cooldown_minutes'
 */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(name.length / 3))
  // A name this long was not mistyped, and comparing it would cost more than it is worth.
  if (name.length > 100) return undefined
  let best: { name: string; distance: number } | undefined
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance <= limit && (!best || distance < best.distance)) best = { name: candidate, distance }
  }
  return best?.name
}

/** `; did you mean "…"?`, or the list of what is known. */
export function suggestion(name: string, known: readonly string[]): string {
  const meant = nearest(name, known)
  if (meant !== undefined) return `; did you mean "${meant}"?`
  return known.length > 0 ? `; known names: ${[...known].sort().join(', ')}` : ''
}

/** Insertions, deletions, replacements and swaps of neighbours that make one word of the other. */
function editDistance(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1]
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      current.push(
        Math.min(
          at(last, column) + 1,
          at(current, column - 1) + 1,
          at(last, column - 1) + (same ? 0 : 1),
          swapped ? at(beforeLast, column - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      )
    }
    beforeLast = last
    last = current
  }
  return at(last, to.length)
}

const at = (row: readonly number[], column: number): number => row[column] ?? Number.POSITIVE_INFINITY
