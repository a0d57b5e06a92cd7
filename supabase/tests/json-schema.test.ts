/** The check behind policy edits, against a slow, obvious one. */
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/support/database.js'

let db: TestDatabase

beforeAll(async () => {
  db = await freshDatabase()
})

interface Schema {
  type?: string | readonly string[]
  const?: unknown
  enum?: readonly unknown[]
  minimum?: number
  exclusiveMaximum?: number
  multipleOf?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  minItems?: number
  maxItems?: number
  items?: Schema
  required?: string[]
  properties?: Record<string, Schema>
  additionalProperties?: Schema | boolean
  propertyNames?: Schema
  allOf?: Schema[]
  anyOf?: Schema[]
  oneOf?: Schema[]
}

const typeOf = (value: unknown) => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value)
const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)

/** Whether a value is valid, read off the words of the JSON Schema specification. */
function valid(schema: Schema | boolean, value: unknown): boolean {
  if (typeof schema === 'boolean') return schema
  const kind = typeOf(value)
  const types = [schema.type ?? []].flat()
  if (types.length > 0 && !types.some((t) => t === kind || (t === 'integer' && Number.isInteger(value))))
    return false
  if (schema.const !== undefined && !same(schema.const, value)) return false
  if (schema.enum && !schema.enum.some((one) => same(one, value))) return false
  if (typeof value === 'number') {
    if (schema.minimum !== undefined && value < schema.minimum) return false
    if (schema.exclusiveMaximum !== undefined && value >= schema.exclusiveMaximum) return false
    if (schema.multipleOf !== undefined && value % schema.multipleOf !== 0) return false
  }
  if (typeof value === 'string') {
    if (value.length < (schema.minLength ?? 0) || value.length > (schema.maxLength ?? 1e9)) return false
    if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value)) return false
  }
  if (Array.isArray(value)) {
    if (value.length < (schema.minItems ?? 0) || value.length > (schema.maxItems ?? 1e9)) return false
    if (!value.every((item) => valid(schema.items ?? true, item))) return false
  } else if (typeof value === 'object' && value !== null) {
    if (!(schema.required ?? []).every((field) => Object.hasOwn(value, field))) return false
    for (const [field, held] of Object.entries(value)) {
      const own = Object.hasOwn(schema.properties ?? {}, field) ? schema.properties?.[field] : undefined
      if (own === undefined && !valid(schema.propertyNames ?? true, field)) return false
      if (!valid(own ?? schema.additionalProperties ?? true, held)) return false
    }
  }
  const fits = (branch: Schema) => valid(branch, value)
  if (schema.allOf && !schema.allOf.every(fits)) return false
  if (schema.anyOf && !schema.anyOf.some(fits)) return false
  return !schema.oneOf || schema.oneOf.filter(fits).length === 1
}

const field = fc.constantFrom('a', 'b', 'cc')
const scalar = fc.oneof(
  fc.integer({ min: -3, max: 9 }),
  fc.constantFrom(0.5, 2.5),
  fc.constantFrom('', 'a', 'bb', 'a.b', 'UTC'),
  fc.boolean(),
  fc.constant(null),
)
const { value: values } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(field, tie('value'), { maxKeys: 3 }),
  ),
}))

const schemas = fc.letrec<{ schema: Schema }>((tie) => {
  const leaf: fc.Arbitrary<Schema> = fc.oneof(
    fc.record({ type: fc.constantFrom('string', 'number', 'integer', 'boolean', 'null', 'array', 'object') }),
    fc.constant<Schema>({ type: ['string', 'null', 'integer'] }),
    fc.record({ const: fc.constantFrom('a', 3, true) }),
    fc.record({ enum: fc.constant(['a', 'bb', 3]) }),
    fc.record({ type: fc.constant('number'), minimum: fc.nat(4), exclusiveMaximum: fc.nat(9) }),
    fc.record({ type: fc.constant('integer'), multipleOf: fc.constant(3) }),
    fc.record({
      type: fc.constant('string'),
      minLength: fc.nat(2),
      maxLength: fc.integer({ min: 1, max: 3 }),
    }),
    fc.record({ type: fc.constant('string'), pattern: fc.constant('^[a-c.]*$') }),
  )
  const branches = fc.array(tie('schema'), { minLength: 1, maxLength: 3 })
  const node: fc.Arbitrary<Schema> = fc.oneof(
    fc.record(
      {
        type: fc.constant('array'),
        items: tie('schema'),
        minItems: fc.nat(1),
        maxItems: fc.integer({ min: 1, max: 3 }),
      },
      { requiredKeys: ['items'] },
    ),
    fc.record(
      {
        type: fc.constant('object'),
        required: fc.array(field, { maxLength: 2 }),
        properties: fc.dictionary(field, tie('schema'), { maxKeys: 2 }),
        additionalProperties: fc.oneof(fc.boolean(), tie('schema')),
        propertyNames: fc.constant<Schema>({ type: 'string', maxLength: 1 }),
      },
      { requiredKeys: ['properties'] },
    ),
    fc.record({ allOf: branches }),
    fc.record({ anyOf: branches }),
    fc.record({ oneOf: branches }),
  )
  return { schema: fc.oneof({ maxDepth: 3, withCrossShrink: true }, leaf, node) }
}).schema

test('accepts and refuses what the specification does, and says why', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(schemas, values), { minLength: 100, maxLength: 100 }),
      async (pairs) => {
        const answers = await db.sql<{ path: string | null; problem: string | null }[]>`
        select (f.fault).path, (f.fault).problem
        from (select ops.schema_fault(p.value -> 0, p.value -> 1) as fault, p.ordinality
              from jsonb_array_elements(${JSON.stringify(pairs)}::text::jsonb) with ordinality p) f
        order by f.ordinality`
        const differ = pairs.filter(
          ([schema, value], n) => valid(schema, value) !== (answers[n]?.problem === null),
        )
        expect(differ).toEqual([])
        expect(answers.filter(({ path, problem }) => (path === null) !== (problem === null))).toEqual([])
      },
    ),
    { numRuns: 8, seed: 25 },
  )
})

test('names the first of many faults by its path', async () => {
  const item = { type: 'object', required: ['id'], properties: { id: { type: 'string', maxLength: 3 } } }
  const schema = { type: 'object', properties: { list: { type: 'array', items: item } } }
  const list = Array.from({ length: 1000 }, (_, n) => ({ id: n === 700 || n === 701 ? 'long' : 'ok' }))
  const [answer] = await db.sql`
    select (ops.schema_fault(${JSON.stringify(schema)}::text::jsonb, ${JSON.stringify({ list })}::text::jsonb)).*`
  expect(answer).toEqual({ n: 1, path: 'list[700].id', problem: 'must have at most 3 characters' })
})
