import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defaultPolicies } from './defaults.js'
import { formatJson, formatPolicy } from './format.js'
import { policyKeys } from './schemas/index.js'

const fileOf = (key: string) => readFile(new URL(`./default/${key}.json`, import.meta.url), 'utf8')

/** As a jsonb column gives it back: no order of fields but its own. */
function asStored(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asStored)
  if (typeof value !== 'object' || value === null) return value
  const shorterFirst = ([a]: [string, unknown], [b]: [string, unknown]) =>
    a.length - b.length || (a < b ? -1 : 1)
  return Object.fromEntries(
    Object.entries(value)
      .sort(shorterFirst)
      .map(([name, child]) => [name, asStored(child)]),
  )
}

describe('formatPolicy', () => {
  it.each(policyKeys)('writes the default %s as its file has it, also after it was stored', async (key) => {
    const file = await fileOf(key)
    expect(formatPolicy(key, defaultPolicies[key])).toBe(file)
    expect(formatPolicy(key, asStored(defaultPolicies[key]))).toBe(file)
  })

  it('puts fields in the order of the schema, names in that of the alphabet', () => {
    const caps = { time_zone: 'UTC', per_agent: { b: 1, a: 2 }, unheard_of: 1, daily_limit: 1 }
    expect(formatPolicy('proposal_caps', caps)).toBe(
      '{\n  "daily_limit": 1,\n  "per_agent": { "a": 2, "b": 1 },\n  "time_zone": "UTC",\n  "unheard_of": 1\n}\n',
    )
    expect(formatPolicy('no_such_policy', { b: 1, a: 2 })).toBe('{\n  "a": 2,\n  "b": 1\n}\n')
  })

  it('is JSON of the same value, in lines of at most 110 columns where nothing is longer', () => {
    const words = fc.string({ maxLength: 8 })
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        words,
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('tree')),
        fc.dictionary(words, tie('tree')),
      ),
    }))
    fc.assert(
      fc.property(tree, (value) => {
        const text = formatJson(value)
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)))
        expect(formatJson(JSON.parse(text))).toBe(text)
        for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(110)
      }),
    )
  })
})
