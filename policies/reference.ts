/** The pages and files that are made from the schemas: for people in docs/policies.md, for editors in json-schema/. */
import { formatJson } from './format.js'
import { type JsonSchema, jsonSchemaOf } from './json-schema.js'
import { policyKeys, policySchemas } from './schemas/index.js'

/** In docs/policies.md, what stands below this line is generated. */
export const REFERENCE_MARK = '<!-- Below: generated from policies/schemas by npm run policies:build. -->'

/** The fields of every policy as Markdown. */
export function policyReference(): string {
  return policyKeys
    .map((key) => {
      const schema = jsonSchemaOf(policySchemas[key])
      const rows = [...fieldsOf(schema, '')].map((cells) => `| ${cells.join(' | ')} |`)
      return [
        `## ${key}\n\n${schema.description}\n`,
        '| field | value | default | meaning |\n|---|---|---|---|',
        ...rows,
      ].join('\n')
    })
    .join('\n\n')
}

/** The JSON Schema files for editors, by file name. */
export function editorSchemas(): Record<string, string> {
  return Object.fromEntries(
    policyKeys.map((key) => [`${key}.json`, formatJson({ title: key, ...jsonSchemaOf(policySchemas[key]) })]),
  )
}

/** VS Code's settings that bring each policy file together with its schema: completion without a `$schema` inside. */
export function editorSettings(): string {
  return formatJson({
    'json.schemas': policyKeys.map((key) => ({
      fileMatch: [`/policies/*/${key}.json`, `/policies/${key}.json`],
      url: `./policies/json-schema/${key}.json`,
    })),
  })
}

function* fieldsOf(schema: JsonSchema, path: string): Generator<string[], void> {
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    if (typeof child === 'boolean') continue
    const at = path === '' ? name : `${path}.${name}`
    const required = schema.required?.includes(name) ?? false
    yield [`\`${at}\``, valueWords(child), defaultWords(child, required), cell(child.description ?? '')]
    yield* partsOf(child, at)
  }
  const others = schema.additionalProperties
  if (schema.properties === undefined && isSchema(others)) yield* partsOf(schema, path)
}

/** The fields inside lists, named things and objects. */
function* partsOf(schema: JsonSchema, path: string): Generator<string[], void> {
  const { items, additionalProperties } = schema
  if (schema.properties) yield* fieldsOf(schema, path)
  else if (isSchema(items)) yield* partsOf(items, `${path}[]`)
  else if (isSchema(additionalProperties)) {
    yield* partsOf(additionalProperties, path === '' ? '<name>' : `${path}.<name>`)
  }
}

const isSchema = (value: unknown): value is JsonSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function valueWords(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.map((word) => `\`${JSON.stringify(word)}\``).join(', ')
  if (schema.format === 'time-zone') return 'IANA time zone'
  const either = schema.anyOf?.filter(isSchema) ?? []
  if (either.length > 0) return either.map(valueWords).join(', or ')
  switch (schema.type) {
    case 'boolean':
      return 'true or false'
    case 'integer':
      return `whole number${range(schema)}`
    case 'number':
      return `number${range(schema)}`
    case 'string':
      return schema.maxLength === undefined ? 'text' : `text, up to ${schema.maxLength} characters`
    case 'null':
      return 'null'
    case 'array':
      return `list, up to ${schema.maxItems}: ${isSchema(schema.items) ? valueWords(schema.items) : 'any value'}`
    case 'object':
      if (schema.properties) return 'object'
      return isSchema(schema.additionalProperties) && schema.additionalProperties.type
        ? `by name: ${valueWords(schema.additionalProperties)}`
        : 'any object'
    default:
      return 'any value'
  }
}

function range({ minimum, maximum, exclusiveMinimum }: JsonSchema): string {
  if (exclusiveMinimum !== undefined)
    return `, above ${exclusiveMinimum}${maximum === undefined ? '' : `, up to ${maximum}`}`
  return maximum === undefined ? `, at least ${minimum}` : `, ${minimum} to ${maximum}`
}

function defaultWords(schema: JsonSchema, required: boolean): string {
  if (required) return 'required'
  // That of an object follows from those of its fields.
  if (schema.default === undefined || schema.properties) return ''
  return `\`${JSON.stringify(schema.default)}\``
}

/** Placeholders as code; elsewhere angle brackets would be taken for HTML, and a pipe would end the cell. */
function cell(text: string): string {
  return text
    .split(/(\{\{.*?\}\})/)
    .map((part, index) =>
      index % 2 === 1 ? `\`${part}\`` : part.replaceAll('<', '&lt;').replaceAll('>', '&gt;'),
    )
    .join('')
    .replaceAll('|', '\\|')
}
