import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { describedOperations, exampleSender } from './testing.examples.js'
import { appOver, testApi } from './testing.js'

const api = await testApi()
const app = appOver(api.engine)
const { description, operations } = await describedOperations(app)
const send = exampleSender(api)

const ajv = new Ajv2020({ strict: false, validateFormats: false })
ajv.addSchema(description, 'openapi')

/** What is wrong with an answer, by its own description. */
function problemsOf(answer: unknown, ...pointer: string[]): unknown {
  const escaped = pointer.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')))
  const validate = ajv.compile({ $ref: `openapi#/${escaped.join('/')}` })
  return validate(answer) ? [] : validate.errors
}

describe('the description', () => {
  test('is OpenAPI 3.1, by its official schema', async () => {
    const validator = new Validator()
    expect(await validator.validate(structuredClone(description))).toEqual({ valid: true })
    expect(validator.version).toBe('3.1')
    expect(
      await new Validator().validate({ ...description, paths: { '/x': { get: { responses: [] } } } }),
    ).toMatchObject({
      valid: false,
    })
  })

  test('has an example of every body', () => {
    const without = operations.filter(
      ({ described: { requestBody } }) =>
        requestBody && requestBody.content['application/json']?.example === undefined,
    )
    expect(without.map(({ name }) => name)).toEqual([])
  })
})

describe('the example of', () => {
  test.each(operations)('$name works, and answers as described', async (operation) => {
    const { method, path, described } = operation
    const response = await send(app, operation)
    const text = await response.text()
    expect(response.ok, `${response.status} ${text}`).toBe(true)
    const status = String(response.status)
    expect(Object.keys(described.responses)).toContain(status)
    const [type = ''] = (response.headers.get('content-type') ?? '').split(';')
    expect(Object.keys(described.responses[status]?.content ?? {})).toEqual([type])
    const answer: unknown = type === 'application/json' ? JSON.parse(text) : text
    const pointer = ['paths', path, method.toLowerCase(), 'responses', status, 'content', type, 'schema']
    expect(problemsOf(answer, ...pointer), text).toEqual([])
  })
})
