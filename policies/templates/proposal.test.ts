import { describe, expect, it } from 'vitest'
import { template } from '../testing.js'
import { MAX_TEMPLATE_CHARACTERS, type ProposalScope, renderTemplate } from './proposal.js'

const data = {
  text: 'hello',
  number: 7,
  yes: true,
  nothing: null,
  list: [1, 'two', { three: 3 }],
  object: { a: { b: 'c' } },
}
const scope: ProposalScope = {
  event: { id: 'e-1', type: 'app:done', data, depth: 0 },
  policy: { control: { max_depth: 8 } },
}

const rendered = (params: Record<string, unknown>, fields = {}, given = scope) =>
  renderTemplate(template(params, fields), given)

const params = (source: unknown, given = scope) => {
  const outcome = rendered({ x: source }, {}, given)
  return outcome.ok ? outcome.value.steps[0]?.params?.x : outcome.problem
}

describe('a placeholder that is the whole string', () => {
  it.each([
    ['{{event.data.text}}', 'hello'],
    ['{{event.data.number}}', 7],
    ['{{ event.data.yes }}', true],
    ['{{event.data.nothing}}', null],
    ['{{event.data.list}}', data.list],
    ['{{event.data.list.2.three}}', 3],
    ['{{event.data.object}}', data.object],
    ['{{policy.control.max_depth}}', 8],
  ])('%s keeps its type', (source, value) => expect(params(source)).toEqual(value))

  it('gives a copy', () => {
    expect(params('{{event.data.object}}')).not.toBe(data.object)
  })
})

describe('a placeholder in text', () => {
  it.each([
    ['<{{event.data.text}}>', '<hello>'],
    ['{{event.data.number}}/{{event.data.yes}}', '7/true'],
    ['[{{event.data.nothing}}]', '[]'],
    [' {{event.data.list}}', ' [1,"two",{"three":3}]'],
    ['{{event.data.text}}{{event.data.object.a}}', 'hello{"b":"c"}'],
    ['{{"{{"}} {{event.data.text}} }}', '{{ hello }}'],
    ['{{"{{"}} secrets.KEY }}', '{{ secrets.KEY }}'],
    ['no placeholder', 'no placeholder'],
  ])('%s', (source, value) => expect(params(source)).toBe(value))
})

describe('a placeholder for a later result', () => {
  const two = (text: string) =>
    renderTemplate(
      {
        title: 't',
        steps: [
          { key: 'a', kind: 'noop' },
          { kind: 'noop', params: { text } },
        ],
      },
      scope,
    )
  it.each([
    ['{{steps.a.result}}', '{{steps.a.result}}'],
    ['{{ steps.a.result.x.0 }}', '{{steps.a.result.x.0}}'],
    ['{{event.data.text}} {{steps.a.result.x}}!', 'hello {{steps.a.result.x}}!'],
  ])('%s stays', (text, kept) => {
    expect(two(text)).toMatchObject({ ok: true, value: { steps: [{}, { params: { text: kept } }] } })
  })

  it.each(['{{steps.a}}', '{{steps.a.output}}'])('%s is refused', (text) => {
    expect(two(text)).toMatchObject({ ok: false, problem: { path: 'steps[1].params.text' } })
  })
})

describe('title and description', () => {
  it('are text, whatever they name', () => {
    expect(
      rendered({}, { title: '{{event.data.number}}', description: '{{event.data.list}}' }),
    ).toMatchObject({
      value: { title: '7', description: '[1,"two",{"three":3}]' },
    })
  })

  it('are cut to what fits, between characters', () => {
    const long = { ...scope, event: { data: { text: '😀'.repeat(5000) } } }
    const outcome = rendered({}, { title: 'x{{event.data.text}}', description: '{{event.data.text}}' }, long)
    expect(outcome).toMatchObject({
      value: { title: `x${'😀'.repeat(99)}…`, description: `${'😀'.repeat(1999)}…` },
    })
  })

  it('have a title of one line, and not an empty one', () => {
    const lines = { ...scope, event: { data: { text: ' a\n\n  b\t', blank: '\n ' } } }
    expect(rendered({}, { title: '{{event.data.text}}' }, lines)).toMatchObject({ value: { title: 'a b' } })
    expect(rendered({}, { title: '{{event.data.blank}}' }, lines)).toMatchObject({
      problem: { code: 'OPS_008', path: 'title', message: 'renders to nothing' },
    })
  })
})

describe('the role', () => {
  const roles = {
    agent_roles: { one: { instructions: 'I' }, two: { instructions: 'II' }, three: { instructions: 'III' } },
  }
  const instructions = '{{role.instructions}}'
  it("is that of the step's agent, else of its kind, else of the template's agent", () => {
    const steps = [
      { kind: 'noop:two', agent: 'three', params: { instructions } },
      { kind: 'noop:two', params: { instructions } },
      { kind: 'noop', params: { instructions } },
    ]
    const outcome = renderTemplate({ title: instructions, agent: 'one', steps }, { event: {}, policy: roles })
    expect(outcome).toMatchObject({
      value: { title: 'I', steps: ['III', 'II', 'I'].map((text) => ({ params: { instructions: text } })) },
    })
  })

  it.each(['nobody', 'constructor', undefined])('is missing for %s', (agent) => {
    const given = { title: 't', ...(agent && { agent }), steps: [{ kind: 'noop', params: { instructions } }] }
    expect(renderTemplate(given, { event: {}, policy: roles })).toMatchObject({
      problem: {
        path: 'steps[0].params.instructions',
        message: '{{role.instructions}} names nothing: there is no role',
      },
    })
  })
})

describe('what an event has no say in', () => {
  const mine = '{{event.data.text}}'
  it.each([
    [{ agent: mine }, 'agent'],
    [{ risk_level: mine }, 'risk_level'],
    [{ priority: mine }, 'priority'],
    [{ steps: [{ kind: mine }] }, 'steps[0].kind'],
    [{ steps: [{ kind: 'noop', executor: mine }] }, 'steps[0].executor'],
    [{ steps: [{ kind: 'noop', agent: mine }] }, 'steps[0].agent'],
    [{ steps: [{ kind: 'noop', key: mine }] }, 'steps[0].key'],
    [{ steps: [{ kind: 'noop', depends_on: [mine] }] }, 'steps[0].depends_on[0]'],
    [{ steps: [{ kind: 'noop', depends_on: mine }] }, 'steps[0].depends_on'],
    [{ steps: [{ kind: 'noop', run_at: mine }] }, 'steps[0].run_at'],
    [{ steps: [{ kind: 'noop', max_retries: mine }] }, 'steps[0].max_retries'],
    [{ steps: mine }, 'steps'],
  ])('%j', (fields, path) => {
    expect(rendered({}, fields)).toMatchObject({ ok: false, problem: { code: 'OPS_008', path } })
  })
})

describe('limits', () => {
  const tooLong = { message: `renders to more than ${MAX_TEMPLATE_CHARACTERS} characters` }
  const big = (value: unknown) => ({ ...scope, event: { data: { big: value } } })
  it('end a template that grows too large, in text and in data', () => {
    expect(params('{{event.data.big}}', big('x'.repeat(MAX_TEMPLATE_CHARACTERS)))).toMatchObject(tooLong)
    expect(params('{{event.data.big}}'.repeat(9), big('x'.repeat(50_000)))).toMatchObject(tooLong)
    expect(params('{{event.data.big}}', big(Array.from({ length: 100_000 }, () => 0)))).toMatchObject(tooLong)
  })

  it('end data that nests too deep', () => {
    let value: unknown = 1
    for (let level = 0; level < 100_000; level++) value = { value }
    expect(params('{{event.data.big}}', big(value))).toMatchObject({ message: 'nests deeper than 64 levels' })
    expect(params('text {{event.data.big}}', big(value))).toMatchObject({
      message: 'nests deeper than 64 levels',
    })
    expect(rendered({ value })).toMatchObject({ problem: { message: 'nests deeper than 64 levels' } })
  })
})
