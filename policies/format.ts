import { type JsonSchema, jsonSchemaOf } from './json-schema.js'
import { isPolicyKey, policySchemas } from './schemas/index.js'

/** The width of a line, as the project's formatter has it. */
const WIDTH = 110

type Json = Readonly<Record<string, unknown>>

/**
 * A policy as the text of its file. A row keeps no order of fields, so this gives them one: that of the schema, and the
 * alphabet for names of the operator's own. The same value always gives the same text.
 */
export function formatPolicy(key: string, value: unknown): string {
  const ordered = inOrder(value, isPolicyKey(key) ? jsonSchemaOf(policySchemas[key]) : undefined)
  return `${isObject(ordered) ? expanded(ordered, 0) : written(ordered, 0, 0)}\n`
}

/** JSON as a person would lay it out: what fits stands on one line. */
export function formatJson(value: unknown): string {
  return `${isObject(value) ? expanded(value, 0) : written(value, 0, 0)}\n`
}

function inOrder(value: unknown, schema: JsonSchema | undefined): unknown {
  if (Array.isArray(value)) return value.map((item) => inOrder(item, childOf(schema?.items)))
  if (!isObject(value)) return value
  const fields = Object.keys(schema?.properties ?? {})
  const place = (name: string) => (fields.includes(name) ? fields.indexOf(name) : fields.length)
  const names = Object.keys(value).sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1))
  return Object.fromEntries(
    names.map((name) => [
      name,
      inOrder(value[name], childOf(schema?.properties?.[name] ?? schema?.additionalProperties)),
    ]),
  )
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function childOf(schema: unknown): JsonSchema | undefined {
  return isObject(schema) ? schema : undefined
}

/** @param used columns that the line has taken before the value, or will take after it */
function written(value: unknown, indent: number, used: number): string {
  if (!isObject(value) && !Array.isArray(value)) return JSON.stringify(value)
  if (!(Array.isArray(value) && isList(value))) {
    const line = oneLine(value)
    if (indent + used + line.length <= WIDTH) return line
  }
  return expanded(value, indent)
}

function oneLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(oneLine).join(', ')}]`
  if (!isObject(value)) return JSON.stringify(value)
  const fields = Object.entries(value).map(([name, child]) => `${JSON.stringify(name)}: ${oneLine(child)}`)
  return fields.length === 0 ? '{}' : `{ ${fields.join(', ')} }`
}

/** Several things with parts of their own never share a line. */
const isList = (items: readonly unknown[]): boolean =>
  items.length > 1 &&
  (items.every((item) => isObject(item) && Object.keys(item).length > 1) ||
    items.every((item) => Array.isArray(item) && item.length > 1))

function expanded(value: Json | readonly unknown[], indent: number): string {
  const inner = indent + 2
  const list = Array.isArray(value)
  const entries: [string, unknown][] = list
    ? value.map((item) => ['', item])
    : Object.entries(value).map(([name, child]) => [`${JSON.stringify(name)}: `, child])
  if (entries.length === 0) return list ? '[]' : '{}'
  const lines = entries.map(([prefix, child], index) => {
    const comma = index < entries.length - 1 ? ',' : ''
    return `${' '.repeat(inner)}${prefix}${written(child, inner, prefix.length + comma.length)}${comma}`
  })
  const [open, close] = list ? '[]' : '{}'
  return `${open}\n${lines.join('\n')}\n${' '.repeat(indent)}${close}`
}
