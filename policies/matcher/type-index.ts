import { compileGlob, type Glob } from './glob.js'

interface Entry<Value> {
  position: number
  value: Value
}

/**
 * Finds what was added for an event type. Cost follows what could match: exact types are looked up, globs only where
 * their literal beginning fits.
 */
export class TypeIndex<Value> {
  private readonly exact = new Map<string, Entry<Value>[]>()
  private readonly globs = new Map<string, { glob: Glob; entry: Entry<Value> }[]>()
  private readonly prefixLengths = new Set<number>()
  private size = 0

  /** Adds a value for several types or globs; it is found once, however many of them match. */
  add(globs: readonly string[], value: Value): void {
    const entry = { position: this.size++, value }
    for (const source of globs) {
      if (!source.includes('*')) {
        append(this.exact, source, entry)
        continue
      }
      const glob = compileGlob(source)
      append(this.globs, glob.prefix, { glob, entry })
      this.prefixLengths.add(glob.prefix.length)
    }
  }

  /** What was added for a type, in the order in which it was added. */
  find(type: string): Value[] {
    const found = new Set(this.exact.get(type))
    for (const length of this.prefixLengths) {
      if (length > type.length) continue
      for (const { glob, entry } of this.globs.get(type.slice(0, length)) ?? []) {
        if (!found.has(entry) && glob.matches(type)) found.add(entry)
      }
    }
    return [...found].sort((a, b) => a.position - b.position).map(({ value }) => value)
  }
}

function append<Item>(lists: Map<string, Item[]>, key: string, item: Item): void {
  const list = lists.get(key)
  if (list) list.push(item)
  else lists.set(key, [item])
}
