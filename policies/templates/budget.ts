import { PolicyFault } from '../fault.js'

/** How deep JSON may nest in what is rendered. */
export const MAX_DEPTH = 64

/** Bounds how much a rendering may produce, in characters; each value counts for a few of its own. */
export class Budget {
  constructor(
    private left: number,
    private readonly limit = left,
  ) {}

  /** @throws PolicyFault when the rendering has grown too large */
  spend(characters: number, path: string): void {
    this.left -= characters + 4
    if (this.left < 0) throw new PolicyFault(path, `renders to more than ${this.limit} characters`)
  }
}

/**
 * Copies JSON data, passing each string and each key through `text`. Keys such as `__proto__` stay plain keys.
 *
 * @throws PolicyFault when the data nests too deep or the budget ends
 */
export function copyJson(
  value: unknown,
  budget: Budget,
  path: string,
  text: (value: string) => string,
  depth = 0,
): unknown {
  if (typeof value === 'string') {
    const copy = text(value)
    budget.spend(copy.length, path)
    return copy
  }
  budget.spend(0, path)
  if (typeof value !== 'object' || value === null) return value
  if (depth >= MAX_DEPTH) throw new PolicyFault(path, `nests deeper than ${MAX_DEPTH} levels`)
  if (Array.isArray(value)) return value.map((item) => copyJson(item, budget, path, text, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      budget.spend(key.length, path)
      return [text(key), copyJson(item, budget, path, text, depth + 1)]
    }),
  )
}
