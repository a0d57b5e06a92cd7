import { describe, expect, it } from 'vitest'
import { decide, event, pattern, template } from '../testing.js'
import { compileMatrix } from './compile.js'
import { matchEvent } from './match.js'
import { draw } from './probability.js'

const one = (fields: Record<string, unknown>, data: Record<string, unknown> = {}, type = 'app:done') =>
  decide([pattern(fields)], event(type, data))[0]

const matched = expect.objectContaining({ pattern_id: 'p', mode: 'active', decision: 'matched' })

describe('event_type', () => {
  it.each([
    ['app:done', true],
    ['app:*', true],
    ['*', true],
    ['*:done', true],
    [['other', 'app:d*'], true],
    ['app', false],
    ['app:done.more', false],
    ['other:*', false],
  ])('%j: %s', (event_type, answers) => expect(one({ event_type })).toEqual(answers ? matched : undefined))

  it('tells nothing of patterns for other types', () => {
    expect(
      decide([pattern({ event_type: 'a' }), pattern({ id: 'q', event_type: 'b' })], event('b')),
    ).toMatchObject([{ pattern_id: 'q' }])
  })

  it.each(['heartbeat:success', 'heartbeat:failure', 'heartbeat:'])('never answers %s', (type) => {
    expect(
      decide([pattern({ event_type: '*' }), pattern({ id: 'q', event_type: 'heart*' })], event(type)),
    ).toEqual([])
  })

  it('answers each event once, in the order of the policy, however many types match', () => {
    const patterns = ['c', 'a', 'b'].map((id) => pattern({ id, event_type: ['app:done', 'app:*', '*'] }))
    expect(decide(patterns, event('app:done')).map(({ pattern_id }) => pattern_id)).toEqual(['c', 'a', 'b'])
  })
})

describe('enabled', () => {
  it('off: decides disabled, without a look at the event', () => {
    expect(one({ enabled: false, when: 'event.data.missing' })).toEqual({
      pattern_id: 'p',
      mode: 'active',
      decision: 'disabled',
    })
  })
})

describe('tags', () => {
  const detail = { condition: 'tags', expected: ['ci', 'red'] }
  it.each([
    [{ tags: ['red'] }, matched],
    [{ tags: ['blue', 'ci', 'red'] }, matched],
    [{ tags: ['blue'] }, expect.objectContaining({ decision: 'not_matched', detail })],
    [{ tags: [] }, expect.objectContaining({ decision: 'not_matched', detail })],
    [{ tags: 'ci' }, expect.objectContaining({ decision: 'not_matched', detail })],
    [{ tags: [['ci'], null, { ci: 1 }] }, expect.objectContaining({ decision: 'not_matched', detail })],
    [{}, expect.objectContaining({ decision: 'not_matched', detail })],
  ])('one of them is enough: %j', (data, decision) =>
    expect(one({ tags: ['ci', 'red'] }, data)).toEqual(decision),
  )
})

describe('source', () => {
  const refused = (actual: unknown) =>
    expect.objectContaining({
      decision: 'not_matched',
      detail: { condition: 'source', expected: 'github', actual },
    })
  it.each([
    [{ source: 'github' }, matched],
    [{ source: 'GitHub' }, refused('GitHub')],
    [{ source: ['github'] }, refused(null)],
    [{ source: 'x'.repeat(1000) }, refused('x'.repeat(200))],
    [{}, refused(null)],
  ])('is event.data.source: %j', (data, decision) =>
    expect(one({ source: 'github' }, data)).toEqual(decision),
  )
})

describe('when', () => {
  const when = 'event.data.count > 3'
  it('true answers', () => expect(one({ when }, { count: 4 })).toEqual(matched))

  it('false says which condition', () => {
    expect(one({ when }, { count: 3 })).toMatchObject({
      decision: 'not_matched',
      detail: { condition: 'when', expression: when },
    })
  })

  it.each([
    [{}, 'No such key: count'],
    [{ count: 'four' }, 'no such overload'],
  ])('that cannot be told is an error: %j', (data, message) => {
    expect(one({ when }, data)).toMatchObject({
      decision: 'error',
      detail: { code: 'OPS_008', path: 'patterns[0].when', message: expect.stringContaining(message) },
    })
  })

  it('is asked only after tags and source', () => {
    expect(one({ when: 'event.data.missing', tags: ['a'] })).toMatchObject({ detail: { condition: 'tags' } })
    expect(one({ when: 'event.data.missing', source: 'a' })).toMatchObject({
      detail: { condition: 'source' },
    })
  })
})

describe('probability', () => {
  it('0 answers nothing, 1 everything', () => {
    expect(one({ probability: 0 })).toMatchObject({ decision: 'probability' })
    expect(one({ probability: 1 })).toEqual(matched)
  })

  it('falls by event, pattern and salt, the same way each time', () => {
    for (let round = 0; round < 200; round++) {
      const of = event('app:done')
      const drawn = draw(of.event_id, 'p', 'pepper')
      const decision = drawn < 0.5 ? 'matched' : 'probability'
      const [first] = decide([pattern({ probability: 0.5 })], of, {}, 'pepper')
      expect(first?.decision).toBe(decision)
      expect(decide([pattern({ probability: 0.5 })], of, {}, 'pepper')).toEqual([first])
      if (decision === 'probability')
        expect(first).toMatchObject({ detail: { probability: 0.5, draw: drawn } })
    }
  })

  it('is drawn only for events that meet the conditions', () => {
    expect(one({ probability: 0, source: 'a' })).toMatchObject({ decision: 'not_matched' })
  })
})

describe('what the database settles', () => {
  const data = { repo: { name: 'r' }, id: 7 }
  it('is sent with its keys rendered', () => {
    const fields = {
      cooldown_minutes: 30,
      cooldown_key: '{{event.data.repo.name}}/{{event.type}}',
      threshold: { count: 3, within_minutes: 10, key: '{{event.data.id}}' },
      dedupe_key: 'item-{{event.data.id}}',
      proposal_source: 'shop',
    }
    expect(one(fields, data)).toEqual({
      pattern_id: 'p',
      mode: 'active',
      decision: 'matched',
      cooldown: { minutes: 30, key: 'r/app:done' },
      threshold: { count: 3, within_minutes: 10, key: '7' },
      dedupe_key: 'item-7',
      proposal_source: 'shop',
      template: { title: 'Do it', steps: [{ kind: 'noop', params: {} }] },
    })
  })

  it('counts for the whole pattern where there is no key', () => {
    expect(one({ cooldown: 0.5, threshold: { count: 2, within_minutes: 1 } })).toMatchObject({
      cooldown: { minutes: 0.5, key: '' },
      threshold: { count: 2, within_minutes: 1, key: '' },
    })
  })

  it('is left out where the pattern asks for none', () => {
    expect(Object.keys(one({ cooldown_minutes: 0 }) ?? {}).sort()).toEqual([
      'decision',
      'mode',
      'pattern_id',
      'proposal_source',
      'template',
    ])
  })

  it('gets the hash of a key that is too long for an index', () => {
    const long = (end: string) => one({ dedupe_key: '{{event.data.text}}' }, { text: 'x'.repeat(5000) + end })
    const keys = [long('a'), long('b'), long('a')].map(
      (decision) => decision?.decision === 'matched' && decision.dedupe_key,
    )
    expect(keys[0]).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(keys[0]).not.toBe(keys[1])
    expect(keys[0]).toBe(keys[2])
  })

  it.each(['cooldown_key', 'dedupe_key'])('is an error when %s names nothing', (field) => {
    expect(one({ cooldown: 1, [field]: '{{event.data.none}}' })).toMatchObject({
      decision: 'error',
      detail: { code: 'OPS_008', path: `patterns[0].${field}`, message: '{{event.data.none}} names nothing' },
    })
  })
})

describe('shadow mode', () => {
  it('decides as the active pattern would', () => {
    const active = one({ cooldown: 3 })
    expect(one({ cooldown: 3, mode: 'shadow' })).toEqual({ ...active, mode: 'shadow' })
  })
})

describe('the template', () => {
  it('sees event, policies and the role of the agent', () => {
    const params = {
      id: '{{event.id}}',
      depth: '{{event.depth}}',
      at: '{{event.created_at}}',
      limit: '{{policy.control.max_depth}}',
      how: '{{role.instructions}}',
    }
    const of = event('app:done', {}, { event_id: 'e-1', depth: 3 })
    const policies = { control: { max_depth: 8 }, agent_roles: { scout: { instructions: 'Look.' } } }
    const [decision] = decide([pattern({ target: 'scout', template: template(params) })], of, policies)
    expect(decision).toMatchObject({
      template: {
        agent: 'scout',
        steps: [{ params: { id: 'e-1', depth: 3, at: '2026-01-31T09:00:00Z', limit: 8, how: 'Look.' } }],
      },
    })
  })

  it('that cannot be rendered is an error of this pattern alone', () => {
    const patterns = [
      pattern({ template: template({ a: { b: '{{event.data.none.at}}' } }) }),
      pattern({ id: 'q' }),
    ]
    expect(decide(patterns, event('app:done'))).toMatchObject([
      {
        decision: 'error',
        detail: {
          code: 'OPS_008',
          path: 'patterns[0].template.steps[0].params.a.b',
          message: '{{event.data.none.at}} names nothing: there is no event.data.none',
        },
      },
      { decision: 'matched' },
    ])
  })
})

describe('matchEvent', () => {
  it('gives an item for ops_settle_events', () => {
    const of = event('nobody:asked')
    const matrix = compileMatrix({ patterns: [pattern()] }, { version: 1 })
    expect(matchEvent(matrix, of, { policies: {} })).toEqual({ event_id: of.event_id, decisions: [] })
  })

  it('changes neither event nor policies, and answers the same again', () => {
    const of = event('app:done', { list: [{ a: 1 }] })
    const policies = { control: { pause: {} } }
    const before = structuredClone({ of, policies })
    const patterns = [
      pattern({ template: template({ list: '{{event.data.list}}', control: '{{policy.control}}' }) }),
    ]
    const first = decide(patterns, of, policies)
    expect(decide(patterns, of, policies)).toEqual(first)
    expect({ of, policies }).toEqual(before)
  })
})
