/**
 * Every way in which one value of a policy can be wrong, derived from the policy's JSON Schema: another type, out of range, too
 * short, too long, not one of the known words, a field missing, a field too many.
 */

export interface WrongEdit {
  /** What is wrong, for people. */
  readonly title: string
  /** Where the database must say that the problem is. */
  readonly path: string
  /** The whole policy with that one fault. */
  readonly value: unknown
}

type Schema = Readonly<Record<string, unknown>>
type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The faults of `example` and of all that it holds. It should hold every field that the schema knows. */
export function* wrongEdits(schema: unknown, example: unknown): Generator<WrongEdit> {
  yield* faults(schema, example, '')
}

function* faults(schema: unknown, value: unknown, path: string): Generator<WrongEdit> {
  if (!isFields(schema) || schema.anyOf !== undefined || schema.type === undefined) return
  for (const wrong of [null, true, 7, 'text', [], {}]) {
    if (!allows(schema.type, wrong)) yield { title: `is ${JSON.stringify(wrong)}`, path, value: wrong }
  }
  if (typeof value === 'number') yield* numberFaults(schema, path)
  if (typeof value === 'string') yield* stringFaults(schema, path)
  if (Array.isArray(value)) yield* listFaults(schema, value, path)
  else if (isFields(value)) yield* objectFaults(schema, value, path)
}

function allows(type: unknown, value: unknown): boolean {
  const types = Array.isArray(type) ? type : [type]
  if (value === null) return types.includes('null')
  if (Array.isArray(value)) return types.includes('array')
  if (typeof value === 'number') return types.includes('number') || types.includes('integer')
  return types.includes(typeof value)
}

function* numberFaults(schema: Schema, path: string): Generator<WrongEdit> {
  if (schema.type === 'integer') yield { title: 'is a fraction', path, value: 1.5 }
  if (typeof schema.minimum === 'number') yield { title: 'is too small', path, value: schema.minimum - 1 }
  if (typeof schema.maximum === 'number') yield { title: 'is too large', path, value: schema.maximum + 1 }
  if (typeof schema.exclusiveMinimum === 'number')
    yield { title: 'is at its open bound', path, value: schema.exclusiveMinimum }
}

function* stringFaults(schema: Schema, path: string): Generator<WrongEdit> {
  if (Array.isArray(schema.enum)) yield { title: 'is no known word', path, value: 'no such word' }
  if (typeof schema.minLength === 'number' && schema.minLength > 0)
    yield { title: 'is empty', path, value: '' }
  if (typeof schema.maxLength === 'number')
    yield { title: 'is too long', path, value: 'x'.repeat(schema.maxLength + 1) }
  if (typeof schema.pattern === 'string') yield { title: 'has another form', path, value: '{{ }}' }
  if (schema.format === 'time-zone') yield { title: 'is no time zone', path, value: 'Mars/Olympus' }
}

function* listFaults(schema: Schema, value: readonly unknown[], path: string): Generator<WrongEdit> {
  const before = value.slice(0, -1)
  const last = value.at(-1)
  if (typeof schema.minItems === 'number' && schema.minItems > 0)
    yield { title: 'is an empty list', path, value: [] }
  if (typeof schema.maxItems === 'number')
    yield {
      title: 'is too long a list',
      path,
      value: Array.from({ length: schema.maxItems + 1 }, () => before[0]),
    }
  // The last item is the one at fault, so that the path must count.
  for (const fault of faults(schema.items, last, `${path}[${before.length}]`))
    yield { ...fault, value: [...before, fault.value] }
}

function* objectFaults(schema: Schema, value: Fields, path: string): Generator<WrongEdit> {
  const at = (field: string) => (path === '' ? field : `${path}.${field}`)
  const properties = isFields(schema.properties) ? schema.properties : {}
  if (schema.additionalProperties === false)
    yield { title: 'has an unknown field', path: at('no_such_field'), value: { ...value, no_such_field: 1 } }
  const { propertyNames } = schema
  const name = isFields(propertyNames) ? wrongName(propertyNames) : undefined
  if (name !== undefined)
    yield { title: 'has a wrong name', path: at(name), value: { [name]: Object.values(value)[0] } }
  for (const field of Array.isArray(schema.required) ? schema.required.map(String) : []) {
    const { [field]: _, ...rest } = value
    yield { title: `misses ${field}`, path, value: rest }
  }
  for (const [field, held] of Object.entries(value)) {
    const inner = properties[field] ?? schema.additionalProperties
    for (const fault of faults(inner, held, at(field)))
      yield { ...fault, value: { ...value, [field]: fault.value } }
  }
}

function wrongName({ pattern, maxLength }: Schema): string | undefined {
  if (pattern !== undefined) return '{{ }}'
  return typeof maxLength === 'number' ? 'x'.repeat(maxLength + 1) : undefined
}
