import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { template } from '../testing.js'
import { renderTemplate } from './proposal.js'
import { renderStepParams } from './steps.js'
import { escapeSteps, unescapeSteps } from './text.js'

/** Text made of whatever means something to a template. */
const hostileText = fc
  .array(
    fc.constantFrom(
      '{',
      '{{',
      '}',
      '}}',
      '"',
      '"{{"',
      '{{"{{"}}',
      ' ',
      '\n',
      '\u00a0',
      '\u0085',
      '.',
      'steps',
      'steps.',
      'steps.a.result',
      '{{steps.a.result}}',
      '{{steps.a.result.secret}}',
      '{{ steps.a',
      '{{event.id}}',
      '{{policy.control}}',
      'x',
      '…',
      '\\',
    ),
    { maxLength: 12 },
  )
  .map((some) => some.join(''))

const hostileJson = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 3 }, hostileText, fc.constantFrom(null, 1, true), tie('list'), tie('object')),
  list: fc.array(tie('value'), { maxLength: 3 }),
  object: fc.dictionary(
    fc.oneof(hostileText, fc.constantFrom('__proto__', 'constructor', 'toJSON')),
    tie('value'),
    { maxKeys: 3 },
  ),
})).value

const RESULT = { secret: 'SECRET {{steps.a.result.secret}} {{event.id}}' }

/** From an event's data to what the executor of the second step sees. */
function throughTheLoop(text: string, data: Record<string, unknown>): { stored: unknown; seen: unknown } {
  const proposal = renderTemplate(
    {
      title: 't',
      steps: [
        { key: 'a', kind: 'noop' },
        { kind: 'noop', params: { text } },
      ],
    },
    { event: { id: 'e-1', data }, policy: {} },
  )
  if (!proposal.ok) throw new Error(proposal.problem.message)
  const stored: unknown = JSON.parse(JSON.stringify(proposal.value.steps[1]?.params))
  const step = renderStepParams(proposal.value.steps[1]?.params ?? {}, { steps: { a: RESULT } })
  if (!step.ok) throw new Error(step.problem.message)
  return { stored, seen: step.value.text }
}

/** What the gate looks for in stored params; Postgres' \s, read as widely as any locale does. */
const looksLikeAResult = (stored: unknown) =>
  /\{\{[\s\u0085\u180e\u200b]*steps\./.test(JSON.stringify(stored))

describe('text from an event', () => {
  it('reaches the executor as it was, alone', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        const { stored, seen } = throughTheLoop('{{event.data.text}}', { text })
        expect(seen).toBe(text)
        expect(looksLikeAResult(stored)).toBe(false)
      }),
      { numRuns: 1500 },
    )
  })

  it('reaches the executor as it was, between text, other text of the event and real results', () => {
    fc.assert(
      fc.property(hostileText, hostileText, (one, two) => {
        const source =
          '{{event.data.one}}{{event.data.two}}{{steps.a.result.secret}}{{event.data.two}}{ {{event.data.one}}'
        const { seen } = throughTheLoop(source, { one, two })
        expect(seen).toBe(`${one}${two}${RESULT.secret}${two}{ ${one}`)
      }),
      { numRuns: 1500 },
    )
  })

  it('reaches the executor as it was inside data, names of fields included', () => {
    fc.assert(
      fc.property(hostileJson, (value) => {
        const { stored, seen } = throughTheLoop('{{event.data.value}}', { value })
        expect(JSON.stringify(seen)).toBe(JSON.stringify(value))
        expect(looksLikeAResult(stored)).toBe(false)
      }),
      { numRuns: 800 },
    )
  })

  it('reaches the executor as it was when data is written out', () => {
    fc.assert(
      fc.property(hostileJson, (value) => {
        const { seen } = throughTheLoop(': {{event.data.value}}', { value: [value] })
        expect(seen).toBe(`: ${JSON.stringify([value])}`)
      }),
      { numRuns: 800 },
    )
  })

  it('is escaped without loss', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        expect(unescapeSteps(escapeSteps(text))).toBe(text)
      }),
      { numRuns: 1500 },
    )
  })

  it('stays ordinary where it only looks like other templates', () => {
    const text = 'run: {{ secrets.KEY }} {{ .Values.image }} {{#if x}}{{event.id}}'
    expect(throughTheLoop('{{event.data.text}}', { text })).toEqual({ stored: { text }, seen: text })
  })

  it('never becomes part of title or description either', () => {
    const text = '{{event.id}} {{steps.a.result}}'
    const fields = { title: '{{event.data.text}}', description: '{{event.data.text}}' }
    expect(
      renderTemplate(template({}, fields), { event: { id: 'e-1', data: { text } }, policy: {} }),
    ).toMatchObject({
      value: { title: text, description: text },
    })
  })

  it('pollutes nothing', () => {
    const value: unknown = JSON.parse(
      '{"__proto__": {"polluted": true}, "constructor": {"prototype": {"polluted": true}}}',
    )
    const { seen } = throughTheLoop('{{event.data.value}}', { value })
    expect(Object.getPrototypeOf(seen)).toBe(Object.prototype)
    expect(JSON.stringify(seen)).toBe(JSON.stringify(value))
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
  })
})

describe('renderTemplate and renderStepParams', () => {
  it('never throw, whatever they are given', () => {
    const anything = fc.oneof(fc.anything(), hostileJson, fc.jsonValue())
    fc.assert(
      fc.property(anything, fc.dictionary(fc.string(), anything), (value, more) => {
        expect(renderTemplate(value, { event: more, policy: more })).toHaveProperty('ok')
        expect(renderTemplate(template({ value }), { event: { data: value }, policy: more })).toHaveProperty(
          'ok',
        )
        expect(renderStepParams({ value, ...more }, { steps: more })).toHaveProperty('ok')
      }),
      { numRuns: 500 },
    )
  })
})
