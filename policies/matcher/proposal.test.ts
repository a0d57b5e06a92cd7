import { describe, expect, it } from 'vitest'
import { decide, event, pattern, template } from '../testing.js'

const one = (fields: Record<string, unknown>, data: Record<string, unknown> = {}) =>
  decide([pattern(fields)], event('app:done', data))[0]

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
