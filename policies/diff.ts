import { joinPath } from './templates/scan.js'

/** One difference between two versions of a policy. */
export interface Change {
  /** `patterns["new-issue"].cooldown_minutes`; items that have an id, a name or a key are found by it. */
  path: string
  kind: 'added' | 'removed' | 'changed' | 'moved'
  /** Absent when added; where it stood, from 0, when moved. */
  from?: unknown
  /** Absent when removed; where it stands, from 0, when moved. */
  to?: unknown
}

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * What differs between two values of a policy, as an operator wrote them. An absent policy is `undefined`.
 *
 * @example diffPolicy({ max_depth: 8 }, { max_depth: 4 }) // [{ path: 'max_depth', kind: 'changed', from: 8, to: 4 }]
 */
export function diffPolicy(from: unknown, to: unknown): Change[] {
  return [...changes(from, to, '')]
}

function* changes(from: unknown, to: unknown, path: string): Generator<Change, void> {
  if (from === undefined && to === undefined) return
  if (from === undefined) yield { path, kind: 'added', to }
  else if (to === undefined) yield { path, kind: 'removed', from }
  else if (isObject(from) && isObject(to)) yield* fieldChanges(from, to, path)
  else if (Array.isArray(from) && Array.isArray(to)) yield* listChanges(from, to, path)
  else if (from !== to) yield { path, kind: 'changed', from, to }
}

function* fieldChanges(from: Json, to: Json, path: string): Generator<Change, void> {
  for (const name of new Set([...Object.keys(from), ...Object.keys(to)])) {
    yield* changes(own(from, name), own(to, name), joinPath(path, name))
  }
}

const own = (holder: Json, name: string): unknown => (Object.hasOwn(holder, name) ? holder[name] : undefined)

function* listChanges(
  from: readonly unknown[],
  to: readonly unknown[],
  path: string,
): Generator<Change, void> {
  const before = byIdentity(from)
  const after = byIdentity(to)
  if (!before || !after) {
    if (JSON.stringify(from) !== JSON.stringify(to)) yield* placeChanges(from, to, path)
    return
  }
  const kept = [...before.keys()].filter((id) => after.has(id))
  const keptAfter = [...after.keys()].filter((id) => before.has(id))
  for (const id of new Set([...before.keys(), ...after.keys()])) {
    const at = `${path}[${JSON.stringify(id)}]`
    yield* changes(before.get(id), after.get(id), at)
    if (after.has(id) && kept.indexOf(id) !== keptAfter.indexOf(id)) {
      yield {
        path: at,
        kind: 'moved',
        from: [...before.keys()].indexOf(id),
        to: [...after.keys()].indexOf(id),
      }
    }
  }
}

/** Lists of plain values are short and mean something as a whole; others are compared place by place. */
function* placeChanges(
  from: readonly unknown[],
  to: readonly unknown[],
  path: string,
): Generator<Change, void> {
  if (![...from, ...to].some((item) => typeof item === 'object' && item !== null)) {
    yield { path, kind: 'changed', from, to }
    return
  }
  for (let index = 0; index < Math.max(from.length, to.length); index++) {
    yield* changes(from[index], to[index], `${path}[${index}]`)
  }
}

/** The items by what they are called; undefined where one has no name, or two have the same. */
function byIdentity(items: readonly unknown[]): Map<string, unknown> | undefined {
  const found = new Map<string, unknown>()
  for (const item of items) {
    const id = isObject(item) ? (item.id ?? item.name ?? item.key) : undefined
    if (typeof id !== 'string' || found.has(id)) return undefined
    found.set(id, item)
  }
  return found
}
