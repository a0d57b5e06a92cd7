export type Resolution = { found: true; value: unknown } | { found: false; missing: string }

/**
 * Follows a path through JSON data. Only what the data itself holds is found: nothing that it inherits, no length
 * of a list, no character of a string.
 */
export function resolvePath(root: unknown, path: readonly string[]): Resolution {
  let here = root
  for (const [index, word] of path.entries()) {
    const reachable = Array.isArray(here)
      ? /^(0|[1-9][0-9]{0,8})$/.test(word) && Object.hasOwn(here, word)
      : typeof here === 'object' && here !== null && Object.hasOwn(here, word)
    const next: unknown = reachable ? Reflect.get(Object(here), word) : undefined
    if (next === undefined) return { found: false, missing: path.slice(0, index + 1).join('.') }
    here = next
  }
  return { found: true, value: here }
}
