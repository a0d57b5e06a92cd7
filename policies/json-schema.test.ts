import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defaultPolicies } from './defaults.js'
import { type JsonSchema, jsonSchemaOf, policyJsonSchemas } from './json-schema.js'
import { policyKeys, policySchemas } from './schemas/index.js'
import { pattern, template } from './testing.js'

/** What the database's own validator reads. */
const CHECKED = new Set(
  `type properties required additionalProperties propertyNames items minItems maxItems enum const minimum maximum
  exclusiveMinimum exclusiveMaximum minLength maxLength pattern format anyOf oneOf allOf multipleOf`.split(
    /\s+/,
  ),
)
const ANNOTATIONS = new Set(['description', 'default', 'title', '$schema'])

const isSchema = (value: unknown): value is JsonSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Every schema inside a schema, with its path. */
function* schemasIn(schema: JsonSchema, path: string): Generator<[string, JsonSchema]> {
  yield [path, schema]
  const { properties, anyOf, oneOf, allOf, items, additionalProperties, propertyNames } = schema
  const named = Object.entries(properties ?? {}).map(([name, child]) => [`${path}.${name}`, child] as const)
  const branches = [anyOf, oneOf, allOf]
    .flatMap((list) => list ?? [])
    .map((child, at) => [`${path}|${at}`, child] as const)
  const others = [items, additionalProperties, propertyNames].map((child) => [`${path}.*`, child] as const)
  for (const [at, child] of [...named, ...branches, ...others])
    if (isSchema(child)) yield* schemasIn(child, at)
}

const all = Object.entries(policyJsonSchemas()).flatMap(([key, schema]) => [...schemasIn(schema, key)])

describe('the JSON Schema of every policy', () => {
  it('is there for each', () => expect(Object.keys(policyJsonSchemas())).toEqual(policyKeys))

  it('uses only keywords that the database checks', () => {
    const unknown = all.flatMap(([path, schema]) =>
      Object.keys(schema)
        .filter((keyword) => !CHECKED.has(keyword) && !ANNOTATIONS.has(keyword))
        .map((keyword) => `${path}: ${keyword}`),
    )
    expect(unknown).toEqual([])
  })

  it('has no format but that of time zones, the one that the database knows', () => {
    expect(new Set(all.flatMap(([, schema]) => schema.format ?? []))).toEqual(new Set(['time-zone']))
  })

  it('never has anyOf beside oneOf, of which the database reads one', () => {
    expect(all.filter(([, schema]) => schema.anyOf && schema.oneOf)).toEqual([])
  })

  it('has patterns that Postgres reads as JavaScript does', () => {
    const patterns = all.flatMap(([, schema]) => schema.pattern ?? [])
    expect(patterns.length).toBeGreaterThan(0)
    for (const source of patterns) {
      expect(source).toMatch(/^\^.*\$$/)
      expect(source, 'no escapes but of / and .').not.toMatch(/\\[^/.]/)
      expect(source, 'no groups but plain ones').not.toContain('(?')
      for (const [count] of source.matchAll(/(?<=[{,])[0-9]+(?=[,}])/g))
        expect(Number(count)).toBeLessThan(256)
    }
  })

  it('describes every field, once', () => {
    const fields = all.flatMap(([path, schema]) =>
      Object.entries(schema.properties ?? {}).map(([name, field]) => ({ path: `${path}.${name}`, field })),
    )
    expect(fields.length).toBeGreaterThan(80)
    for (const { path, field } of fields) expect(isSchema(field) && field.description, path).toBeTruthy()
  })

  it('refuses unknown fields wherever fields are named', () => {
    for (const [path, schema] of all)
      if (schema.properties) expect(schema.additionalProperties, path).toBe(false)
  })
})

describe('the JSON Schema and the zod schema', () => {
  // zod reads the JSON Schema back into a schema that knows nothing of the first.
  const readBack = new Map(policyKeys.map((key) => [key, z.fromJSONSchema(jsonSchemaOf(policySchemas[key]))]))
  const accepts = (key: (typeof policyKeys)[number], value: unknown) =>
    readBack.get(key)?.safeParse(value).success

  it.each(policyKeys)('both accept the default %s', (key) => {
    expect(policySchemas[key].safeParse(defaultPolicies[key]).success).toBe(true)
    expect(accepts(key, defaultPolicies[key])).toBe(true)
  })

  it.each(policyKeys)('both refuse a field that %s does not have', (key) => {
    const value = { ...defaultPolicies[key], 'no such field': {} }
    expect(policySchemas[key].safeParse(value).success).toBe(false)
    expect(accepts(key, value)).toBe(false)
  })

  it('agree on policies that are a little wrong', () => {
    const values = fc.oneof(
      fc.constantFrom(null, true, -1, 0.5, 1e9, '', 'x', '{{event.id}}', [], {}),
      fc.jsonValue(),
    )
    fc.assert(
      fc.property(fc.constantFrom(...policyKeys), fc.nat(), values, (key, at, value) => {
        const changed = replaceLeaf(defaultPolicies[key], at, value)
        // zod knows more: what it accepts, the database must accept too.
        if (policySchemas[key].safeParse(changed).success) expect(accepts(key, changed)).toBe(true)
      }),
      { numRuns: 700 },
    )
  })

  it.each([
    ['no template', { id: 'a', event_type: 'a' }],
    [
      'a placeholder in kind',
      pattern({ template: { title: 't', steps: [{ kind: '{{event.data.kind}}' }] } }),
    ],
    [
      'a placeholder in risk_level',
      pattern({ template: template({}, { risk_level: '{{event.data.risk}}' }) }),
    ],
    ['a placeholder in agent', pattern({ template: template({}, { agent: '{{event.data.agent}}' }) })],
    ['a placeholder in proposal_source', pattern({ proposal_source: '{{event.data.source}}' })],
    ['a probability above 1', pattern({ probability: 1.1 })],
    ['no steps', pattern({ template: { title: 't', steps: [] } })],
  ])('both refuse a pattern with %s', (_name, value) => {
    expect(policySchemas.reaction_matrix.safeParse({ patterns: [value] }).success).toBe(false)
    expect(accepts('reaction_matrix', { patterns: [value] })).toBe(false)
  })
})

describe('a pattern', () => {
  it.each([
    ['an id or a name', { event_type: 'a', template: template() }, ['id', 'name']],
    ['an event type, or its alias', { id: 'a', template: template() }, ['event_type', 'type']],
  ])('needs %s, for zod and in the JSON Schema', (_name, value, fields) => {
    expect(policySchemas.reaction_matrix.safeParse({ patterns: [value] }).success).toBe(false)
    const [, schema] = all.find(([path]) => path === 'reaction_matrix.patterns.*') ?? []
    expect(schema?.allOf).toContainEqual({ anyOf: fields.map((field) => ({ required: [field] })) })
  })
})

/** Replaces the n-th value inside a JSON value, counting round. */
function replaceLeaf(root: unknown, n: number, value: unknown): unknown {
  const places: { holder: object; key: string }[] = []
  const copy = structuredClone({ root })
  const visit = (holder: object) => {
    for (const [key, child] of Object.entries(holder)) {
      places.push({ holder, key })
      if (typeof child === 'object' && child !== null) visit(child)
    }
  }
  visit(copy)
  const place = places[n % places.length]
  if (place) Reflect.set(place.holder, place.key, value)
  return copy.root
}
