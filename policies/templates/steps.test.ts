import { describe, expect, it } from 'vitest'
import { MAX_PARAMS_CHARACTERS, renderStepParams } from './steps.js'

const steps = {
  look: { color: 'red', count: 3, list: [{ a: null }], text: '{{steps.look.result.color}}' },
  none: null,
}
const render = (text: unknown) => {
  const outcome = renderStepParams({ text }, { steps })
  return outcome.ok ? outcome.value.text : outcome.problem
}

describe('renderStepParams', () => {
  it.each([
    ['{{steps.look.result.count}}', 3],
    ['{{ steps.look.result.list.0 }}', { a: null }],
    ['{{steps.look.result}}', steps.look],
    ['{{steps.none.result}}', null],
    ['It is {{steps.look.result.color}}.', 'It is red.'],
    ['[{{steps.none.result}}]', '[]'],
    ['{{steps.look.result.text}}', '{{steps.look.result.color}}'],
    ['a {{steps.look.result.text}}', 'a {{steps.look.result.color}}'],
    ['{{"{{"}}steps.look.result.color}}', '{{steps.look.result.color}}'],
    ['{{event.data.x}} {{ secrets.KEY }}', '{{event.data.x}} {{ secrets.KEY }}'],
    [{ deep: ['{{steps.look.result.color}}', 7] }, { deep: ['red', 7] }],
    [null, null],
  ])('%j', (text, expected) => expect(render(text)).toEqual(expected))

  it.each([
    ['{{steps.look.result.size}}', '{{steps.look.result.size}} names nothing'],
    ['{{steps.other.result.x}}', '{{steps.other.result.x}} names nothing: there is no steps.other'],
    ['{{steps.look.output}}!', '{{steps.look.output}} names nothing'],
    ['{{steps.look.output}}', '{{steps.look.output}} names nothing'],
    [
      '{{steps.constructor.result}}',
      '{{steps.constructor.result}} names nothing: there is no steps.constructor',
    ],
  ])('%s: %s', (text, message) => {
    expect(render(text)).toEqual({ code: 'OPS_004', path: 'params.text', message })
  })

  it('names the place of a problem', () => {
    expect(renderStepParams({ a: [{ 'b c': '{{steps.x.result}}' }] }, { steps: {} })).toMatchObject({
      ok: false,
      problem: { path: 'params.a[0]["b c"]' },
    })
  })

  it('leaves params without results as they are', () => {
    const params = { action: 'add', n: 1, nested: { list: [true, null] } }
    expect(renderStepParams(params, { steps: {} })).toEqual({ ok: true, value: params })
  })

  it('is bounded', () => {
    const big = 'x'.repeat(MAX_PARAMS_CHARACTERS / 2)
    expect(
      renderStepParams({ a: '{{steps.s.result}}', b: '{{steps.s.result}}' }, { steps: { s: big } }),
    ).toMatchObject({
      problem: { message: `renders to more than ${MAX_PARAMS_CHARACTERS} characters` },
    })
  })
})
