import type { JsonObject } from '../engine/index.js'
import { describeError, type Problem } from '../executors/define.js'
import type { Mask } from './mask.js'

/** What a step may return, and what an event may carry: 1 MiB of JSON. */
export const MAX_JSON_BYTES = 1024 * 1024

const MAX_DEPTH = 200

export type Storable<T = unknown> = { ok: true; value: T; bytes: number } | { ok: false; problem: Problem }

/** Why a value cannot be stored. Thrown inside this file only. */
class Unstorable extends Error {
  constructor(
    readonly path: string,
    message: string,
  ) {
    super(message)
  }
}

/**
 * Copies a value as the JSON that the database will hold, with secrets masked, or says why it cannot be held: something
 * that JSON has no word for, NUL or half a surrogate pair (`jsonb` refuses both), nesting deeper than 200, more than 1 MiB.
 *
 * As with `JSON.stringify`, `toJSON` is honoured and what is undefined is left out. Numbers that are not finite, functions
 * and symbols, which it would quietly lose, are refused.
 */
export function toStorable(value: unknown, { mask, path }: { mask: Mask; path: string }): Storable {
  try {
    const copy = new Copier(mask).copy(value ?? null, path)
    const bytes = Buffer.byteLength(JSON.stringify(copy))
    if (bytes > MAX_JSON_BYTES) throw new Unstorable(path, TOO_LARGE)
    return { ok: true, value: copy, bytes }
  } catch (error) {
    if (error instanceof Unstorable)
      return { ok: false, problem: { path: error.path, message: error.message } }
    // A getter or a `toJSON` of the value's own.
    return { ok: false, problem: { path, message: `cannot be read: ${describeError(error)}` } }
  }
}

/** The same for what has to be an object. */
export function toStorableObject(
  value: JsonObject,
  about: { mask: Mask; path: string },
): Storable<JsonObject> {
  const copy = toStorable(value, about)
  if (!copy.ok) return copy
  const { value: object, bytes } = copy
  // A `toJSON` can turn an object into anything.
  if (isObject(object)) return { ok: true, value: object, bytes }
  return { ok: false, problem: { path: about.path, message: 'must be a JSON object' } }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const TOO_LARGE = 'is larger than 1 MiB as JSON: store it elsewhere and return where it is'

class Copier {
  /** Characters that may still be written: shared references can make a small value huge. */
  #budget = MAX_JSON_BYTES
  readonly #ancestors: object[] = []

  constructor(private readonly mask: Mask) {}

  copy(value: unknown, path: string): unknown {
    this.#spend(1, path)
    switch (typeof value) {
      case 'string':
        return this.#text(value, path)
      case 'boolean':
        return value
      case 'number':
        if (!Number.isFinite(value)) throw new Unstorable(path, `is ${value}, which JSON does not have`)
        // JSON knows no -0.
        return value === 0 ? 0 : value
      case 'object':
        return value === null ? null : this.#object(value, path)
      default:
        throw new Unstorable(path, `is a ${typeof value}, which JSON does not have`)
    }
  }

  #object(value: object, path: string): unknown {
    if (this.#ancestors.includes(value)) throw new Unstorable(path, 'refers to itself')
    if (this.#ancestors.length >= MAX_DEPTH)
      throw new Unstorable(path, `nests deeper than ${MAX_DEPTH} levels`)
    this.#ancestors.push(value)
    const copy = this.#contents(value, path)
    this.#ancestors.pop()
    return copy
  }

  #contents(value: object, path: string): unknown {
    if ('toJSON' in value && typeof value.toJSON === 'function')
      return this.copy(value.toJSON() ?? null, path)
    if (Array.isArray(value)) {
      return Array.from(value, (item: unknown, index) => this.copy(item ?? null, `${path}.${index}`))
    }
    const copy: Record<string, unknown> = {}
    for (const [key, item] of Object.entries(value)) {
      if (item !== undefined) setOwn(copy, this.#text(key, path), this.copy(item, `${path}.${key}`))
    }
    return copy
  }

  #text(text: string, path: string): string {
    this.#spend(text.length, path)
    if (text.includes('\0')) throw new Unstorable(path, 'holds a NUL character, which Postgres cannot store')
    if (LONE_SURROGATE.test(text))
      throw new Unstorable(path, 'holds half a surrogate pair, which is no valid text')
    return this.mask(text)
  }

  #spend(characters: number, path: string): void {
    this.#budget -= characters
    if (this.#budget < 0) throw new Unstorable(path, TOO_LARGE)
  }
}

/** As `JSON.parse` does it: `__proto__` is a key like any other. */
function setOwn(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true })
  else object[key] = value
}

const LONE_SURROGATE = /\p{Surrogate}/u

const MAX_ERROR_CHARACTERS = 4000

/** An error message as `last_error` can hold it: one that cannot be stored must not keep a step from failing. */
export function toStorableError(message: string, mask: Mask): string {
  const text = mask(message).trim() || 'failed without a message'
  const short = text.length > MAX_ERROR_CHARACTERS ? `${text.slice(0, MAX_ERROR_CHARACTERS - 1)}…` : text
  return short.replaceAll(/\0|\p{Surrogate}/gu, '\uFFFD')
}
