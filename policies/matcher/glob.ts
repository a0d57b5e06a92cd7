/** A pattern for event types: `*` stands for any run of characters, also none. */
export interface Glob {
  /** What every match begins with. */
  prefix: string
  matches(type: string): boolean
}

/** Reads a glob. Matching looks for the pieces between the stars from left to right and never goes back. */
export function compileGlob(glob: string): Glob {
  const [prefix = '', ...pieces] = glob.split('*')
  const suffix = pieces.pop()
  if (suffix === undefined) return { prefix, matches: (type) => type === glob }
  return {
    prefix,
    matches(type) {
      const end = type.length - suffix.length
      if (end < prefix.length || !type.startsWith(prefix) || !type.endsWith(suffix)) return false
      let from = prefix.length
      for (const piece of pieces) {
        const found = type.indexOf(piece, from)
        if (found < 0 || found + piece.length > end) return false
        from = found + piece.length
      }
      return true
    },
  }
}
