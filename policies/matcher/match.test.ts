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

describe('matchEvent', () => {
  it('gives an item for settleEvents', () => {
    const of = event('nobody:asked')
    const matrix = compileMatrix({ patterns: [pattern()] }, { version: 1 })
    expect(matchEvent(matrix, of, { policies: {} })).toEqual({
      event_id: of.event_id,
      type: 'nobody:asked',
      decisions: [],
    })
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
